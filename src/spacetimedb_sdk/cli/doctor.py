"""`spacetimedb-sdk doctor`: whether everything is as it should be, and what to do where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .output import AsJson, console, print_json
from .target import Target, with_target
from .values import text

if TYPE_CHECKING:
    from rich.text import Text

    from .checks import Finding

__all__ = ["doctor", "finding_text"]

_STYLES: Final = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@with_target
def doctor(
    target: Target,
    *,
    package: Annotated[
        Path | None, typer.Option("--package", exists=True, help="A generated package that should fit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at the server, the token and the database, and say what to do where something is wrong.

    The exit code is that of the first failure; warnings are none.
    """
    from .checks import Status, examine

    code = 0
    found: list[Finding] = []
    for finding in examine(target, package):
        found.append(finding)
        if finding.status is Status.FAILURE:
            code = code or finding.code
        if not as_json:
            console().print(finding_text(finding))
    if as_json:
        print_json([{"check": f.check, "status": f.status, "text": f.text, "cure": f.cure} for f in found])
    if code:
        raise typer.Exit(code)


def finding_text(finding: Finding) -> Text:
    """A finding as a line, and below it what to do."""
    from rich.text import Text

    line = Text.assemble(
        (f"{finding.status:8}", _STYLES[finding.status]), (f"{finding.check:12}", "bold"), text(finding.text)
    )
    return line.append(f"\n{'':20}→ {text(finding.cure)}", style="dim") if finding.cure else line
