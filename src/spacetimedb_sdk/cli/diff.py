"""`spacetimedb-sdk diff`: what a module has become since somebody has looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import ExitCode
from .output import AsJson, console, print_json
from .sources import file_schema, package_bindings
from .target import Target, with_target

if TYPE_CHECKING:
    from spacetimedb_proto.schema import Drift, Schema

__all__ = ["diff", "drift_of"]


@with_target
def diff(
    target: Target,
    *,
    known: Annotated[Path, typer.Argument(exists=True, help="A generated package, or a definition in a file.")],
    served: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="A definition in a file instead of the server's.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Count differences that break nobody, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what a package or file knows with what the server has; the exit code is 5 if that breaks something."""
    if served is not None:
        now = file_schema(served)
    else:
        with target.client() as client:
            now = client.schema()
    drift = drift_of(known, now)
    is_worse = bool(drift.differences) if exact else not drift.fits_bindings
    if as_json:
        print_json([_object(drift, position) for position in range(len(drift.differences))])
    else:
        console().print(_told(drift), markup=False)
    if is_worse:
        raise typer.Exit(ExitCode.DIFFERENT)


def drift_of(known: Path, served: Schema) -> Drift:
    """How a served definition differs from what a package or file knows."""
    from spacetimedb_proto.schema import compare

    if known.is_dir():
        return package_bindings(known).drift(served)
    return compare(file_schema(known), served)


def _told(drift: Drift) -> str:
    """What a `SchemaMismatch` would say, and after it what breaks nobody."""
    from spacetimedb_proto.errors import SchemaMismatch
    from spacetimedb_proto.schema import Effect

    harmless = [each for each in drift.differences if not each.effect & Effect.API]
    lines = [f"- {each}" for each in harmless]
    try:
        drift.raise_if_breaking(Effect.API, most=len(drift.differences))
    except SchemaMismatch as error:
        return "\n".join((str(error), *(["differences that break no code:", *lines] if lines else [])))
    return "\n".join(("differences that break no code:", *lines)) if lines else "no differences"


def _object(drift: Drift, position: int) -> dict[str, object]:
    from spacetimedb_proto.schema import Effect

    each = drift.differences[position]
    told = {"kind": each.kind, "name": each.name, "what": each.what, "before": each.before, "after": each.after}
    return {**told, "breaks_code": bool(each.effect & Effect.API), "breaks_wire": bool(each.effect & Effect.WIRE)}
