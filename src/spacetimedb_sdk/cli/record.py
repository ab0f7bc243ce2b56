"""`spacetimedb-sdk record` and `replay`: what passes between a client and a server, kept and played again."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .changes import ChangeLines, live_view
from .output import AsJson, errors
from .queries import Asked, subscribed
from .sources import blaming_file, file_schema
from .target import Target, command, with_target

if TYPE_CHECKING:
    from ..replaying import Replay

__all__ = ["record", "replay"]


@with_target
def record(
    target: Target,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; it must not be there.")],
    queries: Asked = None,
) -> None:
    """Subscribe, and write all that passes to a file until Ctrl-C. Tokens are left out."""
    if out.exists():
        raise typer.BadParameter(f"--out: {out} is there already")
    with target.connect(record=out) as conn:
        states = conn.states()
        subscription = subscribed(conn, queries)
        errors().print(
            f"recording {len(subscription.queries)} queries to {out}, until Ctrl-C", markup=False, soft_wrap=True
        )
        while True:  # the file has all of it: only the end matters here
            states.get(timeout=math.inf)


@command
def replay(
    *,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `record` has written.")],
    speed: Annotated[
        float, typer.Option("--speed", min=0.0, help="How many times as fast as it was; 0 is as fast as it goes.")
    ] = 0.0,
    schema: Annotated[
        Path | None, typer.Option("--schema", exists=True, dir_okay=False, help="The definition, where there is none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a recording: a live picture of the tables at a terminal, one JSON object per change in a pipe."""
    from ..replaying import replay as opened

    definition = None if schema is None else file_schema(schema)
    with blaming_file(file), opened(file, schema=definition) as session:
        if sys.stdout.isatty() and not as_json:
            _show_live(session, speed or 1.0, file.name)
        else:
            _write_changes(session, speed)


def _write_changes(session: Replay, speed: float) -> None:
    lines, transactions = ChangeLines(session.schema), session.transactions()

    def write() -> None:
        for transaction in transactions:
            lines.write(transaction.changes)

    _play(session, speed, write)


def _show_live(session: Replay, speed: float, title: str) -> None:
    from rich.live import Live

    view, transactions = live_view(title, session.schema), session.transactions()
    with Live(auto_refresh=False, vertical_overflow="crop") as live:

        def draw() -> None:
            for transaction in transactions:
                view.take(transaction.changes, session.time)
            live.update(view.drawn(session.time, live.console.height, f"at {session.time:,.1f} s"), refresh=True)

        _play(session, speed, draw)


def _play(session: Replay, speed: float, tell: Callable[[], None]) -> None:
    """Play to the end, and tell after each moment at which something passed."""

    def pause(seconds: float) -> None:
        tell()
        time.sleep(seconds)

    if speed:
        session.play(speed, sleep=pause)
    else:
        for _ in session:
            tell()
    tell()
