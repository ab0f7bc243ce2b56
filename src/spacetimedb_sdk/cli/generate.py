"""`spacetimedb-sdk generate`: a package with static types for a module."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from .failures import ExitCode
from .output import console, errors
from .sources import file_schema, wasm_schema
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
    wasm: Annotated[
        Path | None, typer.Option("--wasm", exists=True, dir_okay=False, help="A compiled module, which is run for it.")
    ] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="In the layout of spacetimedb-sdk 0.7.")] = False,
    package_name: Annotated[str | None, typer.Option("--package-name", help="By default as the directory.")] = None,
    include_private: Annotated[bool, typer.Option("--include-private", help="With private tables.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; the exit code is 5 if it is stale.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again whenever the module changes.")] = False,
    interval: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="How often --watch looks.")] = 2.0,
) -> None:
    """Write a package with static types, from the server's module, a compiled one, or a definition in a file."""
    from .. import codegen

    if check and watch:
        raise typer.BadParameter("expected --check or --watch, got both")
    folder = out.resolve().name
    _check_name(folder)
    load = _source(target, schema, wasm)
    form = _Form(package_name or folder, include_private, is_legacy=legacy)
    found = load()
    if check:
        _check(out, codegen.check(out, form.files(found)))
        return
    _told(out, codegen.write(out, form.files(found)))
    for missing in form.left_out(found):
        errors().print(f"left out: {missing}", markup=False)
    while watch:
        time.sleep(interval)
        latest = load()
        if latest != found:
            found = latest
            _told(out, codegen.write(out, form.files(found)))


def _check_name(folder: str) -> None:
    """See that a package in a folder of this name can be imported.

    Raises:
        typer.BadParameter: It cannot.
    """
    if folder.isidentifier() and not iskeyword(folder):
        return
    better = re.sub(r"\W", "_", folder)
    if iskeyword(better):
        better = f"{better}_bindings"
    elif not better.isidentifier():
        better = f"bindings_{better}" if better else "bindings"
    raise typer.BadParameter(f"--out: expected a name that can be imported, such as {better}, got {folder}")


@attrs.frozen
class _Form:
    """What is made of a definition."""

    name: str
    include_private: bool
    is_legacy: bool

    def files(self, schema: Schema) -> dict[str, str]:
        """The text of each file."""
        from .. import codegen

        generate: Callable[..., dict[str, str]] = self._old.generate if self.is_legacy else codegen.generate
        return generate(schema, package_name=self.name, include_private=self.include_private)

    def left_out(self, schema: Schema) -> list[str]:
        """What is not in them, and why."""
        from .. import codegen

        tell: Callable[..., list[str]] = self._old.left_out_of if self.is_legacy else codegen.left_out
        return tell(schema, include_private=self.include_private)

    @property
    def _old(self) -> Any:
        return import_module("spacetimedb_sdk.codegen.legacy")


def _source(target: Target, file: Path | None, wasm: Path | None) -> Callable[[], Schema]:
    """What gives the definition, now and later."""
    if file is not None and wasm is not None:
        raise typer.BadParameter("expected --schema or --wasm, got both")
    if file is not None:
        return partial(file_schema, file)
    return partial(wasm_schema, wasm) if wasm is not None else _asking(target)


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
