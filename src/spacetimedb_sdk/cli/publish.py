"""`spacetimedb-sdk publish`: a module onto a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .output import AsJson, console, errors, print_json
from .target import Target, with_target

__all__ = ["Yes", "confirm", "publish"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@with_target
def publish(
    target: Target,
    *,
    program: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The module: .wasm or .js.")],
    clear: Annotated[bool, typer.Option("--clear", "--delete-data", help="Drop all rows.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have the database run a module; it is created if there is none of that name."""
    if clear:
        confirm(f"Drop all rows of {target.name} at {target.uri}?", yes=yes)
    code = program.read_bytes()
    host_type = "Js" if program.suffix == ".js" else None
    with target.client() as client, errors().status(f"publishing {len(code):,} bytes to {target.uri}"):
        done = client.publish(code, clear=clear, host_type=host_type)
    if as_json:
        print_json({"name": done.name, "identity": done.identity.hex(), "is_new": done.is_new})
    else:
        what = "created" if done.is_new else "updated"
        console().print(f"{what} {done.name or 'a database'} ({done.identity.hex()})", markup=False)


def confirm(question: str, *, yes: bool) -> None:
    """Have somebody at a terminal agree.

    Raises:
        typer.BadParameter: Nobody is there to be asked, and `--yes` was not given.
        typer.Exit: They do not agree.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: expected --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)
