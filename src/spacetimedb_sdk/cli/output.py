"""Where output goes: tables for people, JSON and CSV for programs, news about the work to stderr."""

from __future__ import annotations

import codecs
import csv
import enum
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .streams import is_utf8
from .values import plain, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "AsJson",
    "Format",
    "console",
    "errors",
    "json_line",
    "print_json",
    "print_rows",
    "row_object",
    "table_of_rows",
]

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]


_WIDE: Final = 100_000
"""Columns of what is no terminal: lines are as long as they are."""


class Format(enum.StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def console() -> Console:
    """Stdout as rich sees it: colours only at a terminal, and none where NO_COLOR is set."""
    from .screen import Screen

    return Screen(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def errors() -> Console:
    """Stderr, for what is no result."""
    from .screen import Screen

    return Screen(stderr=True, highlight=False)


def json_line(value: Any, stream: Any) -> str:
    """A value as one line of JSON, which stays JSON in the stream's encoding."""
    return json.dumps(value, ensure_ascii=not is_utf8(stream))


def print_json(value: Any) -> None:
    """One JSON text on a line of its own, at once."""
    sys.stdout.write(json_line(value, sys.stdout) + "\n")
    sys.stdout.flush()


def row_object(row: Any, columns: Sequence[str]) -> dict[str, Any]:
    """A row as an object for JSON, under the names that its columns have in the database."""
    return dict(zip(columns, plain(row).values(), strict=True))


def print_rows(rows: Iterable[Any], columns: Sequence[str], format_: Format) -> None:
    """Write rows.

    Args:
        rows: Of one table or statement.
        columns: Names of their columns in the database.
        format_: JSON is one array, CSV has the names in its first line and is UTF-8, and a table is for people.
    """
    match format_:
        case Format.JSON:
            print_json([row_object(row, columns) for row in rows])
        case Format.CSV:
            writer = csv.writer(_utf8_output(), lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in plain(row).values()] for row in rows)
        case Format.TABLE:
            console().print(table_of_rows(rows, columns))


def _utf8_output() -> Any:
    """Stdout for what has no escapes, and so would lose something in another encoding."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        return sys.stdout
    sys.stdout.flush()
    return codecs.getwriter("utf-8")(binary)


def table_of_rows(rows: Iterable[Any], columns: Sequence[str]) -> Table:
    """Rows as a table of rich."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE)
    for column in columns:
        made.add_column(Text(text(column)), overflow="fold")
    for row in rows:
        made.add_row(*(Text(text(value)) for value in plain(row).values()))
    return made


def _cell(value: Any) -> Any:
    """A value in CSV: nothing for null, and JSON for what has parts."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value
