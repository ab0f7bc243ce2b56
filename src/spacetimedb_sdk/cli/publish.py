"""`spacetimedb-sdk publish`: a module onto a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import ExitCode
from .output import AsJson, console, errors, print_json
from .target import Target, with_target
from .values import text

if TYPE_CHECKING:
    from spacetimedb_proto.http_api import PublishPlan

__all__ = ["Yes", "confirm", "publish"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@with_target
def publish(
    target: Target,
    *,
    program: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The module: .wasm or .js.")],
    clear: Annotated[bool, typer.Option("--clear", "--delete-data", help="Drop all rows.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what it would do to the database that is there.")
    ] = False,
    break_clients: Annotated[
        bool, typer.Option("--break-clients", help="Even where present clients cannot go on and are ended.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have the database run a module; it is created if there is none of that name."""
    if clear and not plan:
        confirm(f"Drop all rows of {target.name} at {target.uri}?", yes=yes)
    code = program.read_bytes()
    host_type = "Js" if program.suffix == ".js" else None
    with target.client() as client:
        if plan:
            _show(client.plan_publish(code, host_type=host_type), as_json=as_json)
            return
        with errors().status(f"publishing {len(code):,} bytes to {target.uri}"):
            known = client.plan_publish(code, host_type=host_type) if break_clients and not clear else None
            allowed = known.token if known and known.breaks_clients else None
            done = client.publish(code, clear=clear, host_type=host_type, break_clients=allowed)
    if as_json:
        print_json({"name": done.name, "identity": done.identity.hex(), "is_new": done.is_new})
    else:
        what = "created" if done.is_new else "updated"
        console().print(f"{what} {done.name or 'a database'} ({done.identity.hex()})", markup=False)


def _show(plan: PublishPlan, *, as_json: bool) -> None:
    """Say what publishing would do.

    Raises:
        typer.Exit: The rows cannot stay, or clients would be ended.
    """
    if as_json:
        told = {"is_possible": plan.is_possible, "breaks_clients": plan.breaks_clients, "text": plan.text}
        print_json({**told, "is_major_upgrade": plan.is_major_upgrade})
    else:
        console().print(text(plan.text), markup=False, soft_wrap=True)
        if not plan.is_possible:
            console().print("the rows cannot stay: --clear publishes it without them", style="red")
        elif plan.breaks_clients:
            console().print("present clients are ended: --break-clients allows that", style="yellow")
    if plan.breaks_clients or not plan.is_possible:
        raise typer.Exit(ExitCode.DIFFERENT)


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
