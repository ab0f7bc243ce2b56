"""Transactions that replace one row, read many at a time: what a busy table sends a hundred thousand times a second.

Two such messages about one table for one query set are the same bytes but for the rows, if the rows are of one size.
So once a message has been read in the usual way, its *template* is remembered, and the messages after it that fit are
only compared and cut. What does not fit in every byte is read in the usual way, which also finds what is wrong with it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from itertools import islice
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
_REST: Final = struct.Struct(
    "<IBBHI"
)  # one update, of a table, with rows of one size: their size, and that of them all
_SECOND: Final = struct.Struct("<BHI")
_TRANSACTION: Final = 4


class Template:
    """What transactions have in common that replace one row of a table for a query set.

    Attributes:
        query_set_id: The query set.
        table_name: The table.
        row_size: Bytes of each of the two rows.
        size: Bytes of a message, its rows included.
    """

    __slots__ = ("_cut", "_head", "_middle", "_second", "query_set_id", "row_size", "size", "table_name")

    def __init__(self, query_set_id: int, table_name: str, row_size: int) -> None:
        name = table_name.encode()
        head = _HEAD.pack(_TRANSACTION, 1, query_set_id, 1, len(name))
        self.query_set_id = query_set_id
        self.table_name = table_name
        self.row_size = row_size
        self._head = head + name + _REST.pack(1, 0, 0, row_size, row_size)
        self._middle = _SECOND.pack(0, row_size, row_size)
        self._second = len(self._head) + row_size
        self.size = self._second + len(self._middle) + row_size
        self._cut = struct.Struct(f"{len(self._head)}x{row_size}s{len(self._middle)}x{row_size}s").iter_unpack

    @property
    def head(self) -> bytes:
        """The bytes before the first row."""
        return self._head

    def fits(self, data: bytes, position: int) -> bool:
        """Whether such a message stands at this position, and not just its beginning."""
        return (
            data.startswith(self._head, position)
            and data.startswith(self._middle, position + self._second)
            and position + self.size <= len(data)
        )

    def rows(self, data: bytes) -> Iterator[RowPair]:
        """The rows of messages that fit, laid end to end."""
        return self._cut(data)

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
    """

    __slots__ = ("rows", "template")

    def __init__(self, template: Template, messages: bytes) -> None:
        self.template = template
        self.rows = template.rows(messages)


class Templates:
    """The templates of one connection."""

    __slots__ = ("_by_head", "_heads")

    def __init__(self) -> None:
        self._by_head: dict[bytes, Template] = {}
        self._heads: dict[int, int] = {}

    def learn(self, update: TransactionUpdate) -> None:
        """Remember the template of a message that was read, if it has one."""
        template = _template_of(update)
        if template is not None and template.head not in self._by_head:
            if len(self._by_head) == _KEPT:
                self._by_head.clear()
            self._by_head[template.head] = template

    def find(self, data: bytes, position: int) -> Template | None:
        """The template of the message at this position, which stands there as a whole."""
        if position + 16 >= len(data):
            return None
        # The low byte of the length of the table's name tells how long the head is.
        template = self._by_head.get(data[position : position + 29 + data[position + 13]])
        return template if template is not None and template.fits(data, position) else None

    def alone(self, payload: bytes, waiting: deque[Waiting]) -> tuple[Run, int] | None:
        """A run of payloads that hold one message each after their compression tag.

        Args:
            payload: The first.
            waiting: Those that came after it. What belongs to the run is taken out.

        Returns:
            The run and its bytes; None if the first payload has no template.
        """
        template = self.find(payload, 1) if payload.startswith(b"\0") else None
        if template is None or len(payload) != template.size + 1:
            return None
        size, fits = len(payload), template.fits
        payloads = [payload[1:]]
        for other in islice(waiting, _LONGEST):
            if len(other) != size or not isinstance(other, bytes) or other[0] or not fits(other, 1):
                break
            payloads.append(other[1:])
        for _ in payloads[1:]:
            waiting.popleft()
        return Run(template, b"".join(payloads)), size * len(payloads)

    def together(self, data: bytes, position: int) -> tuple[Run, int] | None:
        """A run of messages that follow each other in one payload, and where it ends."""
        template = self.find(data, position)
        if template is None:
            return None
        end = position + template.size
        last = min(len(data), position + template.size * _LONGEST) - template.size
        while end <= last and template.fits(data, end):
            end += template.size
        return Run(template, data[position:end]), end


def _template_of(update: TransactionUpdate) -> Template | None:
    if len(update.query_sets) != 1 or len(update.query_sets[0].tables) != 1:
        return None
    (table,) = update.query_sets[0].tables
    if len(table.rows) != 1 or not isinstance(table.rows[0], PersistentTableRows):
        return None
    came, left = table.rows[0].inserts, table.rows[0].deletes
    if len(came) != 1 or len(left) != 1 or not came.row_size or came.row_size != left.row_size:
        return None
    return Template(update.query_sets[0].query_set_id, table.table_name, came.row_size)
