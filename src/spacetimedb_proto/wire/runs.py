"""Transactions that replace one row, read many at a time: what a busy table sends a hundred thousand times a second.

Two such messages about one table for one query set are the same bytes but for the rows, if the rows are of one size.
So once a message has been read in the usual way, its *template* is remembered, and the messages after it that fit are
only compared and cut. What does not fit in every byte is read in the usual way, which also finds what is wrong with it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final, TypeAlias

from .messages import PersistentTableRows, QuerySetUpdate, TableUpdate, TransactionUpdate
from .payloads import Waiting
from .rowlist import RowList

__all__ = ["RowPair", "Run", "Template", "Templates"]

RowPair: TypeAlias = tuple[bytes, bytes]
"""The row that came and the row that left."""

_LONGEST: Final = 512
"""Messages in one run: enough that finding its end costs nothing, few enough that nothing large is built ahead."""

_KEPT: Final = 1024  # templates; a connection seldom has more tables times query sets

_HEAD: Final = struct.Struct("<BIIII")  # tag, one query set, its id, one table, length of its name
_REST: Final = struct.Struct("<IBBHI")  # one update, of a table, rows of one size: their size, and that of them all
_SECOND: Final = struct.Struct("<BHI")
_TRANSACTION: Final = 4


class Template:
    """What transactions have in common that replace one row of a table for a query set.

    Attributes:
        query_set_id: The query set.
        table_name: The table.
        row_size: Bytes of each of the two rows.
        size: Bytes of a message, what stands before it and its rows included.
        head: The bytes before the first row.
    """

    __slots__ = ("_fixed", "_middle", "_rows", "head", "query_set_id", "row_size", "size", "table_name")

    def __init__(self, before: bytes, query_set_id: int, table_name: str, row_size: int) -> None:
        name = table_name.encode()
        self.query_set_id = query_set_id
        self.table_name = table_name
        self.row_size = row_size
        fixed = _HEAD.pack(_TRANSACTION, 1, query_set_id, 1, len(name)), _REST.pack(1, 0, 0, row_size, row_size)
        self.head = before + fixed[0] + name + fixed[1]
        self._middle = _SECOND.pack(0, row_size, row_size)
        self.size = len(self.head) + row_size + len(self._middle) + row_size
        self._fixed = struct.Struct(f"{len(self.head)}s{row_size}x{len(self._middle)}s{row_size}x").iter_unpack
        self._rows = struct.Struct(f"{len(self.head)}x{row_size}s{len(self._middle)}x{row_size}s").iter_unpack

    def count(self, data: bytes) -> int:
        """How many whole messages that fit stand at the beginning, end to end."""
        whole = data[: len(data) - len(data) % self.size]
        return len(list(takewhile((self.head, self._middle).__eq__, self._fixed(whole))))

    def rows(self, data: bytes) -> Iterator[RowPair]:
        """The rows of messages that fit, laid end to end."""
        return self._rows(data)

    def message(self, rows: RowPair) -> TransactionUpdate:
        """The message that these rows came in."""
        came, left = (RowList(row, row_size=self.row_size) for row in rows)
        return TransactionUpdate(
            [QuerySetUpdate(self.query_set_id, [TableUpdate(self.table_name, [PersistentTableRows(came, left)])])]
        )


class Run:
    """Messages of one template.

    Attributes:
        template: What they have in common.
        rows: The rows of each, in order. To be used up.
        size: Bytes of them all.
    """

    __slots__ = ("rows", "size", "template")

    def __init__(self, template: Template, messages: bytes) -> None:
        self.template = template
        self.rows = template.rows(messages)
        self.size = len(messages)


class Templates:
    """The templates of one connection.

    Args:
        before: What stands before every message.
    """

    __slots__ = ("_before", "_by_head", "_reach")

    def __init__(self, before: bytes) -> None:
        self._before = before
        self._by_head: dict[bytes, Template] = {}
        self._reach = 1  # messages to look at: twice as many as the last run had, so that no look is in vain for long

    def learn(self, update: TransactionUpdate) -> None:
        """Remember the template of a message that was read, if it has one."""
        template = _template_of(self._before, update)
        if template is not None and template.head not in self._by_head:
            if len(self._by_head) == _KEPT:
                self._by_head.clear()
            self._by_head[template.head] = template

    def alone(self, payload: bytes, waiting: deque[Waiting]) -> Run | None:
        """A run of payloads that hold one message each.

        Args:
            payload: The first.
            waiting: Those that came after it. What belongs to the run is taken out.

        Returns:
            The run; None if the first payload has no template.
        """
        template = self._find(payload, 0)
        if template is None or len(payload) != template.size:
            return None
        size = template.size
        alike = takewhile(lambda other: len(other) == size and isinstance(other, bytes), islice(waiting, self._reach))
        payloads: list[bytes] = [payload, *alike]  # type: ignore[list-item]  # they are
        run = self._run(template, b"".join(payloads))
        if run is not None:
            for _ in range(run.size // size - 1):
                waiting.popleft()
        return run

    def together(self, data: bytes, position: int) -> Run | None:
        """A run of messages that follow each other in one payload; None if the first has no template."""
        template = self._find(data, position)
        if template is None:
            return None
        return self._run(template, data[position : position + template.size * self._reach])

    def _find(self, data: bytes, position: int) -> Template | None:
        name = position + len(self._before) + 13
        if name >= len(data):
            return None
        # The low byte of the length of the table's name tells how long the head is.
        return self._by_head.get(data[position : name + 16 + data[name]])

    def _run(self, template: Template, data: bytes) -> Run | None:
        count = template.count(data)
        self._reach = min(2 * count, _LONGEST) or 1
        return Run(template, data[: count * template.size]) if count else None


def _template_of(before: bytes, update: TransactionUpdate) -> Template | None:
    if len(update.query_sets) != 1 or len(update.query_sets[0].tables) != 1:
        return None
    (table,) = update.query_sets[0].tables
    if len(table.rows) != 1 or not isinstance(table.rows[0], PersistentTableRows):
        return None
    came, left = table.rows[0].inserts, table.rows[0].deletes
    if len(came) != 1 or len(left) != 1 or not came.row_size or came.row_size != left.row_size:
        return None
    return Template(before, update.query_sets[0].query_set_id, table.table_name, came.row_size)
