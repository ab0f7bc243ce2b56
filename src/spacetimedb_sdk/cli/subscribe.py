"""`spacetimedb-sdk subscribe`: rows, and what becomes of them."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .changes import ChangeLines, live_view
from .output import AsJson
from .queries import Asked, subscribed
from .target import Target, with_target
from .waiting import PULSE

if TYPE_CHECKING:
    from ..blocking import BlockingStream, Connection

__all__ = ["subscribe"]


@with_target
def subscribe(
    target: Target,
    *,
    queries: Asked = None,
    as_json: AsJson = False,
) -> None:
    """Subscribe, and show rows with their changes until Ctrl-C.

    At a terminal that is a live picture of the tables; in a pipe, or with --json, one JSON object per change. The
    connection comes back by itself when it is lost.
    """
    is_live = sys.stdout.isatty() and not as_json
    with target.connect() as conn:
        stream = conn.transactions(overflow="coalesce" if is_live else "error")
        subscription = subscribed(conn, queries)
        if is_live:
            _show_live(conn, stream, subscription.queries, target.name)
        else:
            told = ChangeLines(conn.schema)
            for transaction in stream:
                told.write(transaction.changes)


# --- at a terminal ----------------------------------------------------------------------------------------------------


def _show_live(conn: Connection, stream: BlockingStream[Any], queries: tuple[str, ...], title: str) -> None:
    from rich.live import Live

    from spacetimedb_proto.errors import WaitTimeout

    view = live_view(title, conn.schema, queries)
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
