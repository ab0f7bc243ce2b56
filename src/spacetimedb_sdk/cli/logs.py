"""`spacetimedb-sdk logs`: what the module has written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .output import AsJson, console, print_json
from .target import Target, with_target
from .values import text
from .waiting import read_along

if TYPE_CHECKING:
    from spacetimedb_proto.http_api import LogLine

__all__ = ["logs"]

_STYLES: Final = {"Error": "red", "Panic": "bold red", "Warn": "yellow", "Debug": "dim", "Trace": "dim"}


@with_target
def logs(
    target: Target,
    *,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="How many of the last ones; or all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the module's log. Only the owner of the database may read it."""
    with target.client() as client:
        if not follow:
            for line in client.logs(lines):
                _show(line, as_json=as_json)
            return
        with client.follow_logs(lines) as coming:
            for line in read_along(coming):
                _show(line, as_json=as_json)


def _show(line: LogLine, *, as_json: bool) -> None:
    from rich.text import Text

    if as_json:
        told = {"time": line.time.to_text(), "level": line.level, "message": line.message}
        more = {"target": line.target, "function": line.function, "file": line.filename, "line": line.line_number}
        print_json({**told, **{name: value for name, value in more.items() if value is not None}})
        return
    where = f" {line.function}:" if line.function else ""
    shown = Text(f"{line.time.to_text()} ", style="dim")
    shown.append(f"{line.level:5}", style=_STYLES.get(line.level, ""))
    shown.append(f"{text(where)} {text(line.message)}", style="")
    console().print(shown)
    sys.stdout.flush()
