"""`spacetimedb-sdk subscribe`: rows, and what becomes of them."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import AsJson, print_json, row_object
from .target import Target, with_target
from .waiting import PULSE, each

if TYPE_CHECKING:
    from spacetimedb_proto.cache import Change
    from spacetimedb_proto.schema import Schema

    from ..blocking import BlockingStream, Connection

__all__ = ["subscribe"]


@with_target
def subscribe(
    target: Target,
    *,
    queries: Annotated[
        list[str] | None, typer.Argument(help="Names of tables, or SQL; by default everything that is public.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Subscribe, and show rows with their changes until Ctrl-C.

    At a terminal that is a live picture of the tables; in a pipe, or with --json, one JSON object per change. The
    connection comes back by itself when it is lost.
    """
    is_live = sys.stdout.isatty() and not as_json
    with target.connect() as conn:
        stream = conn.transactions(overflow="coalesce" if is_live else "error")
        wanted = [_query(each) for each in queries or []]
        subscription = conn.subscribe(*wanted) if wanted else conn.subscribe_to_all_tables()
        if is_live:
            _show_live(conn, stream, subscription.queries, target.name)
        else:
            _write_changes(conn.schema, stream)


def _query(words: str) -> str:
    """A query, which may be given as the name of a table."""
    from ..sql import select

    return str(select(words)) if re.fullmatch(r"[\w.]+", words) else words


# --- in a pipe --------------------------------------------------------------------------------------------------------


def _write_changes(schema: Schema, stream: BlockingStream[Any]) -> None:
    columns = {name: [column.name for column in table.columns] for name, table in schema.tables.items()}
    for transaction in each(stream):
        for name, changes in transaction.changes.items():
            for told in _told(changes, columns[name]):
                print_json({"table": name, **told})


def _told(changes: list[Change], columns: list[str]) -> Iterator[dict[str, Any]]:
    from spacetimedb_proto.cache import Deleted, Inserted

    for change in changes:
        match change:
            case Inserted(row):
                yield {"change": "inserted", "row": row_object(row, columns)}
            case Deleted(row):
                yield {"change": "deleted", "row": row_object(row, columns)}
            case _:
                old, new = row_object(change.old, columns), row_object(change.new, columns)
                yield {"change": "updated", "row": new, "old": old}


# --- at a terminal ----------------------------------------------------------------------------------------------------


def _show_live(conn: Connection, stream: BlockingStream[Any], queries: tuple[str, ...], title: str) -> None:
    from rich.live import Live

    from spacetimedb_proto.errors import WaitTimeout

    from .live import LiveTable, LiveView

    view = LiveView(
        title,
        (
            LiveTable(name, [column.name for column in table.columns], table.primary_key)
            for name, table in conn.schema.tables.items()
            if any(_asks_for(query, name, table.source_name) for query in queries)
        ),
    )
    is_lit = False
    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            while (transaction := stream.next_nowait()) is not None:
                view.take(transaction.changes, time.monotonic(), is_lit=is_lit)
            is_lit = True
            state = "out of date" if conn.is_stale else "live"
            live.update(view.drawn(time.monotonic(), live.console.height, state), refresh=True)
            with suppress(WaitTimeout):
                view.take(stream.get(timeout=PULSE).changes, time.monotonic())


def _asks_for(query: str, *names: str) -> bool:
    """Whether a query's rows are those of a table."""
    from spacetimedb_proto.http_api import table_of

    return table_of(query) in names
