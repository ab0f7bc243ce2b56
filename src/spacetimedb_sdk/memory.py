"""What a connection holds in memory, as a report to read or to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from spacetimedb_proto.cache import TableMemory

__all__ = ["MemoryReport"]

_HEADINGS = ("table", "rows", "row bytes", "overhead", "objects", "held", "keys", "indexes")


@attrs.frozen
class MemoryReport:
    """What a connection holds in memory at one moment. `str()` of it is a table.

    Not in it are row objects, items that streams have recorded and nobody has read, and what the transport buffers.

    Attributes:
        tables: Each table that messages or the program have touched, by name.
        backlog_bytes: Bytes of messages that were received and that nobody has begun to apply.
    """

    tables: tuple[TableMemory, ...]
    backlog_bytes: int

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def row_bytes(self) -> int:
        """Bytes of the rows of all tables, as the server sent them."""
        return sum(table.row_bytes for table in self.tables)

    @property
    def overhead_bytes(self) -> int:
        """An estimate of what holding the rows of all tables takes beside their own bytes."""
        return sum(table.overhead_bytes for table in self.tables)

    @property
    def total_bytes(self) -> int:
        """All rows, their overhead and the backlog together."""
        return self.row_bytes + self.overhead_bytes + self.backlog_bytes

    def __str__(self) -> str:
        lines = [_HEADINGS, *map(_line, self.tables), self._sum()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            (*(_aligned(line, widths) for line in lines), f"waiting to be applied: {self.backlog_bytes:,} bytes")
        )

    def _sum(self) -> Sequence[str]:
        numbers = (
            self.rows,
            self.row_bytes,
            self.overhead_bytes,
            sum(table.objects for table in self.tables),
            sum(table.held for table in self.tables),
            sum(table.keys for table in self.tables),
        )
        return ("all", *map(_number, numbers), "")


def _line(table: TableMemory) -> Sequence[str]:
    numbers = (table.rows, table.row_bytes, table.overhead_bytes, table.objects, table.held, table.keys)
    indexes = ", ".join(f"{columns}: {keys:,}" for columns, keys in table.indexes.items())
    return (table.name, *map(_number, numbers), "not cut apart yet" if table.is_uncut else indexes)


def _number(number: int) -> str:
    return f"{number:,}"


def _aligned(line: Sequence[str], widths: Iterable[int]) -> str:
    first, *numbers, last = (
        text.rjust(width) if 0 < place < len(line) - 1 else text.ljust(width)
        for place, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join((first, *numbers, last)).rstrip()
