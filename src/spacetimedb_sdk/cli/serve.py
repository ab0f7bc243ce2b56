"""`spacetimedb-sdk serve`: the in-process server of `spacetimedb_sdk.testing`, by hand."""

from __future__ import annotations

import importlib.util
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .output import console, errors
from .target import command

if TYPE_CHECKING:
    from ..testing import Module, Server

__all__ = ["serve"]

BANNER: Final = "for tests and demos: rows are kept in memory only, nobody is kept out, and it listens on loopback only"


@command
def serve(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A Python file with a Module in it.")],
    name: Annotated[str | None, typer.Option("--name", help="Which Module, if there are several.")] = None,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 lets the system choose.")] = 3000,
    owner_token: Annotated[
        Path | None, typer.Option("--owner-token", help="A new file for the owner's token, for you alone.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Serve it anew when the file changes.")] = False,
    interval: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="How often --reload looks.")] = 0.5,
) -> None:
    """Serve a module that is written in Python, until Ctrl-C. Not for real data."""
    from ..private_files import create_private
    from ..testing import serve as serve_module

    module = load_module(file, name)
    with serve_module(module, port=port) as server:
        if owner_token is not None and not create_private(owner_token, server.owner_token.encode() + b"\n"):
            raise typer.BadParameter(f"{owner_token} is there already, and is kept", param_hint="--owner-token")
        errors().print(BANNER, style="yellow")
        console().print(f"serving {server.database} on {server.uri}", markup=False)
        sys.stdout.flush()
        while True:
            if reload:
                _reload_when_changed(server, file, module.name, interval)
            else:
                time.sleep(3600)


def load_module(file: Path, name: str | None = None) -> Module:
    """The module in a Python file.

    Args:
        file: It is run, and may import what lies beside it.
        name: The database's name that the module gives itself, if the file has several.

    Raises:
        typer.BadParameter: There is none, or several and no name, or the file cannot be run.
    """
    from ..testing import Module

    values: dict[str, object] = vars(_run(file))
    found = {module.name: module for module in values.values() if isinstance(module, Module)}
    if name is not None and name in found:
        return found[name]
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    wanted = "one object of spacetimedb_sdk.testing.Module" if name is None else f"a Module called {name!r}"
    got = f"{', '.join(found)}; say which with --name" if found else "none"
    raise typer.BadParameter(f"{file}: expected {wanted}, got {got}")


def _run(file: Path) -> ModuleType:
    name = f"served {file.stem}"  # which no import can mean
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise typer.BadParameter(f"{file}: expected a Python file")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # where names in annotations are looked up
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(made)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        raise typer.BadParameter(f"{file} cannot be run: {text}") from error
    finally:
        sys.path.pop(0)
    return made


def _reload_when_changed(server: Server, file: Path, name: str, interval: float) -> None:
    """Wait for another version of the file, and serve it. One that cannot be served leaves the old one in place."""
    seen = file.read_bytes()
    while file.is_file() and file.read_bytes() == seen:
        time.sleep(interval)
    try:
        server.republish(load_module(file, name))
    except (typer.BadParameter, TypeError, ValueError, OSError) as error:
        errors().print(f"kept the old version: {error}", style="red", markup=False)
    else:
        errors().print(f"serving the new version of {name}", markup=False)
