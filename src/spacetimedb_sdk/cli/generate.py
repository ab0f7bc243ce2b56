"""`spacetimedb-sdk generate`: a package with static types for a module."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import ExitCode
from .output import console, errors
from .sources import file_schema
from .target import Target, with_target

if TYPE_CHECKING:
    from spacetimedb_proto.schema import Schema

__all__ = ["generate"]


@with_target
def generate(
    target: Target,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", file_okay=False, help="Directory of the package.")],
    schema: Annotated[
        Path | None, typer.Option("--schema", exists=True, dir_okay=False, help="A definition in a file.")
    ] = None,
    package_name: Annotated[str | None, typer.Option("--package-name", help="By default as the directory.")] = None,
    include_private: Annotated[bool, typer.Option("--include-private", help="With private tables.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; the exit code is 5 if it is stale.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again whenever the module changes.")] = False,
    interval: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="How often --watch looks.")] = 2.0,
) -> None:
    """Write a package with static types, from the server's module or from a definition in a file."""
    from .. import codegen

    if check and watch:
        raise typer.BadParameter("expected --check or --watch, got both")
    name = package_name or out.resolve().name
    load = partial(file_schema, schema) if schema is not None else _asking(target)

    def files_of(found: Schema) -> dict[str, str]:
        return codegen.generate(found, package_name=name, include_private=include_private)

    found = load()
    if check:
        _check(out, codegen.check(out, files_of(found)))
        return
    _told(out, codegen.write(out, files_of(found)))
    for missing in codegen.left_out(found, include_private=include_private):
        errors().print(f"left out: {missing}", markup=False)
    while watch:
        time.sleep(interval)
        latest = load()
        if latest != found:
            found = latest
            _told(out, codegen.write(out, files_of(found)))


def _asking(target: Target) -> Callable[[], Schema]:
    client = target.client()
    return lambda: client.schema(refresh=True)


def _check(out: Path, stale: list[str]) -> None:
    for path in stale:
        console().print(f"out of date: {out / path}", markup=False)
    if stale:
        raise typer.Exit(ExitCode.DIFFERENT)
    console().print(f"{out}: up to date", markup=False)


def _told(out: Path, written: list[str]) -> None:
    count = "1 file" if len(written) == 1 else f"{len(written)} files"
    console().print(f"{out}: {count} written" if written else f"{out}: up to date", markup=False)
