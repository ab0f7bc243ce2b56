"""The program `spacetimedb-sdk`: what people and scripts ask of a database, from a terminal.

A command is a module in this package with one function, which imports what it needs when it runs. What commands share
is in `target` (which database, as whom), `output` (terminals, JSON, tables), `values` (values in words), `streams`
(what a process writes to) and `failures` (what errors come to). The program is an extra,
`pip install "spacetimedb-sdk[cli]"`: nothing else in the SDK needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: What stands behind the program's name; by default what this process was started with.

    Returns:
        The exit code; `failures.ExitCode` says what each means.
    """
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        text = f"spacetimedb-sdk needs {needed}, which the SDK does not bring: pip install 'spacetimedb-sdk[cli]'"
        print(text, file=sys.stderr)
        return 2
    from .app import run

    return run(arguments)
