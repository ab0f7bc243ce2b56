"""`spacetimedb-sdk call`: a reducer or a procedure."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import AsJson, console, print_json
from .target import Target, with_target
from .values import plain

if TYPE_CHECKING:
    from spacetimedb_proto.schema import Function, Schema

__all__ = ["call"]


@with_target
def call(
    target: Target,
    *,
    function: Annotated[str, typer.Argument(help="Name of the reducer or procedure.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="One word each: texts, ids and times as they are, the rest as JSON.")
    ] = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="All in one array or object; - reads it from stdin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Call a reducer or a procedure, and show what it returns.

    Arguments are checked against the module's schema before anything is sent.
    """
    if args is not None and arguments:
        raise typer.BadParameter("expected arguments as words or as --args, got both")
    with target.client() as client:
        schema = client.schema()
        found = schema.resolve_reducer(function) or schema.resolve_procedure(function)
        if found is None or not found.is_callable:
            raise typer.BadParameter(f"no reducer or procedure {function!r} to call; {_known(schema)}")
        given = _read(schema, found, arguments or [], args)
        if found.is_procedure:
            _show({"function": found.name, "result": plain(client.procedure(found.name, *given))}, as_json=as_json)
            return
        done = client.call(found.name, *given)
        micros = None if done.duration is None else done.duration.micros
        _show({"function": found.name, "duration_micros": micros, "energy": done.energy}, as_json=as_json)


def _read(schema: Schema, function: Function, words: list[str], whole: str | None) -> tuple[Any, ...]:
    from spacetimedb_proto.bsatn.checks import shown

    from .arguments import read_json, read_words

    try:
        if whole is None:
            return read_words(schema, function, words)
        return read_json(schema, function, json.loads(sys.stdin.read() if whole == "-" else whole))
    except json.JSONDecodeError as error:
        text = f"expected JSON: {error}, got {shown(error.doc)}"
        raise typer.BadParameter(text, param_hint="--args") from None
    except TypeError as error:
        raise typer.BadParameter(str(error)) from None


def _known(schema: Schema) -> str:
    names = [each.name for each in (*schema.reducers.values(), *schema.procedures.values()) if each.is_callable]
    return f"there are: {', '.join(names) or 'none'}"


def _show(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    elif "result" in told:
        print_json(told["result"])
    else:
        took = "" if told["duration_micros"] is None else f" in {told['duration_micros'] / 1000:.3f} ms"
        console().print(f"{told['function']}: committed{took}", markup=False)
