"""Tables that change while one looks at them: a model of what is seen, and how it is drawn. No terminal, no clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.cache import Change, Deleted, Inserted

from .values import plain, text

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["LiveTable", "LiveView"]

LIT_TIME: Final = 2.0
"""Seconds that a change stays lit up."""

_STYLES: Final = {"inserted": "bold green", "updated": "bold yellow", "deleted": "red strike", "": ""}
_SHORT: Final = 12


@attrs.define
class _Line:
    cells: tuple[str, ...]
    mark: str
    until: float


class LiveTable:
    """One table.

    Args:
        name: Its name in the database.
        columns: Names of its columns.
        key: Position of the primary key; None where rows are told apart by all they hold.
    """

    def __init__(self, name: str, columns: Sequence[str], key: int | None) -> None:
        self.name = name
        self._columns = columns
        self._key = key
        self._lines: dict[str, _Line] = {}

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(line.mark != "deleted" for line in self._lines.values())

    def take(self, changes: Iterable[Change], now: float, *, is_lit: bool = True) -> None:
        """Note what has changed.

        Args:
            changes: In order.
            now: The time in seconds.
            is_lit: Whether it is news; the first rows are none.
        """
        until = now + LIT_TIME if is_lit else now
        for change in changes:
            match change:
                case Inserted(row):
                    self._put(row, "inserted", until)
                case Deleted(row):
                    self._put(row, "deleted", until)
                case _:
                    if self._id(change.old) != self._id(change.new):
                        self._put(change.old, "deleted", until)
                    self._put(change.new, "updated", until)

    def fade(self, now: float) -> None:
        """Let go of what has been lit up for long enough."""
        for name, line in list(self._lines.items()):
            if line.until <= now and line.mark:
                if line.mark == "deleted":
                    del self._lines[name]
                else:
                    line.mark = ""

    def drawn(self, most: int) -> Group:
        """The table, with so many rows at most: what is lit up, and the newest of the others."""
        from rich.box import SIMPLE
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        count = f"{self.count:,} row{'s' * (self.count != 1)}"
        made = Table(box=SIMPLE)
        for column in self._columns:
            made.add_column(Text(text(column)), no_wrap=True, overflow="ellipsis")
        for line in self._shown(most):
            made.add_row(*(Text(cell, style=_STYLES[line.mark]) for cell in line.cells))
        return Group(Text.assemble((text(self.name), "bold"), (f", {count}", "dim")), made)

    def _shown(self, most: int) -> list[_Line]:
        lines = list(self._lines.values())
        if len(lines) <= most:
            return lines
        lit = [position for position, line in enumerate(lines) if line.mark]
        others = [position for position, line in enumerate(lines) if not line.mark]
        wanted = {*lit[-most:], *others[len(others) - max(0, most - len(lit)) :]}
        return [line for position, line in enumerate(lines) if position in wanted]

    def _put(self, row: Any, mark: str, until: float) -> None:
        self._lines[self._id(row)] = _Line(_cells(row), mark, until)

    def _id(self, row: Any) -> str:
        values = _values(row)
        return json.dumps(plain(values if self._key is None else values[self._key]))


def _values(row: object) -> list[Any]:
    cls: type[Any] = type(row)
    return [getattr(row, field.name) for field in attrs.fields(cls)]


def _cells(row: object) -> tuple[str, ...]:
    """Values in few characters: of an identity, the beginning is enough to tell it from others."""
    cells: list[str] = []
    for value in _values(row):
        shown = text(plain(value))
        is_id = isinstance(value, Identity | ConnectionId)
        cells.append(f"{shown[:_SHORT]}…" if is_id else shown)
    return tuple(cells)


class LiveView:
    """All tables, one below the other.

    Args:
        title: What stands above them.
        tables: In the order in which they are shown.
    """

    def __init__(self, title: str, tables: Iterable[LiveTable]) -> None:
        self._title = title
        self._tables = {table.name: table for table in tables}

    def take(self, changes: Mapping[str, list[Change]], now: float, *, is_lit: bool = True) -> None:
        """Note what one transaction has changed; see `LiveTable.take`."""
        for name, found in changes.items():
            if name in self._tables:
                self._tables[name].take(found, now, is_lit=is_lit)

    def drawn(self, now: float, height: int, state: str) -> Group:
        """What is seen now.

        Args:
            now: The time in seconds, as `take` was told.
            height: Lines that there are room for.
            state: How the connection is, in a word.
        """
        from rich.console import Group
        from rich.text import Text

        for table in self._tables.values():
            table.fade(now)
        head = Text.assemble((text(self._title), "bold"), "  ", (state, "green" if state == "live" else "yellow"))
        # Title, head, two rules and an empty line are around the rows of each table.
        room = max(3, (height - 2) // max(1, len(self._tables)) - 5)
        return Group(head, *(table.drawn(room) for table in self._tables.values()))
