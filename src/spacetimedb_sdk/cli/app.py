"""The program as Typer knows it: every command under its name. Another command is a module here and one line below."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from . import (
    call,
    delete,
    demo,
    diff,
    doctor,
    export,
    generate,
    identity,
    logs,
    publish,
    record,
    schema,
    serve,
    sql,
    subscribe,
)
from .failures import ended, settings
from .streams import usable

__all__ = ["app", "run"]

PROGRAM = "spacetimedb-sdk"

app = typer.Typer(
    name=PROGRAM,
    help="Look at a SpacetimeDB database, change it, and make Python of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def _before(
    debug: Annotated[bool, typer.Option("--debug", "-v", help="Show tracebacks, and what the SDK logs.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    settings.debug = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG)


for _function in (
    demo.demo,
    sql.sql,
    subscribe.subscribe,
    record.record,
    record.replay,
    schema.schema,
    export.export,
    export.feed,
    logs.logs,
    publish.publish,
    delete.delete,
    serve.serve,
    generate.generate,
    diff.diff,
    doctor.doctor,
):
    app.command()(_function)
# What looks like an option may be a negative number.
app.command(context_settings={"ignore_unknown_options": True})(call.call)
app.add_typer(identity.app, name="identity")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program; see `spacetimedb_sdk.cli.main`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings.as_json = "--json" in given  # not by the parser, whose own errors are to be JSON, too
    with usable():
        return ended(lambda: app(given, prog_name=PROGRAM, standalone_mode=False))
