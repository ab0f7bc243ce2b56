"""`spacetimedb-sdk sql`: one statement, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .output import AsJson, Format, errors, print_rows, table_of_rows
from .target import Target, with_target

if TYPE_CHECKING:
    from spacetimedb_proto.http_api import SqlResult

    from ..http import BlockingHttpClient

__all__ = ["sql"]


@with_target
def sql(
    target: Target,
    *,
    statement: Annotated[str, typer.Argument(help="One SQL statement; - reads it from stdin.")],
    format_: Annotated[Format, typer.Option("--format", "-f", help="How rows are written.")] = Format.TABLE,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again whenever the rows change, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Where it cannot be subscribed to, ask this often.")
    ] = 2.0,
) -> None:
    """Run a SQL statement and show its rows.

    With --watch the result is shown again whenever it changes: through a subscription if the statement can be
    subscribed to, else by asking every few seconds. JSON is then one line per result.
    """
    text = sys.stdin.read() if statement == "-" else statement
    form = Format.JSON if as_json else format_
    with target.client() as client:
        if watch:
            _watch(target, client, text, form, interval)
        else:
            _show(client.sql(text), form)


def _show(result: SqlResult, form: Format) -> None:
    columns = _columns(result)
    if columns or form is Format.JSON:
        print_rows(result, columns, form)
    changed = {"inserted": result.inserted, "deleted": result.deleted, "updated": result.updated}
    told = ", ".join(f"{number} {what}" for what, number in changed.items() if number)
    if told:
        errors().print(told)


def _columns(result: SqlResult) -> list[str]:
    return [column.name or f"column_{number}" for number, column in enumerate(result.columns)]


# --- again and again --------------------------------------------------------------------------------------------------


def _watch(target: Target, client: BlockingHttpClient, statement: str, form: Format, interval: float) -> None:
    with _news(target, statement, interval) as wait, _screen(form) as show:
        shown: list[object] | None = None
        while True:
            result = client.sql(statement)
            if shown != result.rows:
                shown = result.rows
                show(result)
            wait()


@contextmanager
def _news(target: Target, statement: str, interval: float) -> Generator[Callable[[], object]]:
    """A function that returns when the rows may have changed."""
    from spacetimedb_proto.errors import SubscriptionError

    with target.connect() as conn:
        try:
            conn.subscribe(statement)
        except SubscriptionError:
            yield lambda: time.sleep(interval)
        else:
            changes = conn.transactions(overflow="coalesce")
            yield lambda: next(changes)


@contextmanager
def _screen(form: Format) -> Generator[Callable[[SqlResult], None]]:
    """A function that shows a result in place of the last one at a terminal, and below it elsewhere."""
    if form is Format.JSON:
        yield lambda result: print_rows(result, _columns(result), form)
    elif form is Format.CSV or not sys.stdout.isatty():
        yield lambda result: _flushed(lambda: _show(result, form))
    else:
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            yield lambda result: live.update(table_of_rows(result, _columns(result)), refresh=True)


def _flushed(write: Callable[[], None]) -> None:
    write()
    sys.stdout.flush()
