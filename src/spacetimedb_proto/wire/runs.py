"""Transactions that replace one row, read many at a time: what a busy table sends a hundred thousand times a second.

Two such messages about one table for one query set are the same bytes but for the rows and their sizes. So once a
message has been read in the usual way, its *template* is remembered, and the messages after it that fit are only
compared and cut: together while their rows are as long as those of the first, else one by one. What does not fit in
every byte is read in the usual way, which also finds what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Final, TypeAlias

from .inbox import Inbox
from .messages import PersistentTableRows, QuerySetUpdate, TableUpdate, TransactionUpdate
from .rowlist import RowList

__all__ = ["RowPair", "Run", "Template", "Templates"]

RowPair: TypeAlias = tuple[bytes, bytes]
"""The row that came and the row that left."""

_LONGEST: Final = 512
"""Messages in one run: enough that finding its end costs nothing, few enough that nothing large is built ahead."""

_AHEAD: Final = 16  # as many as a v3 payload usually holds

_FEW: Final = 8
"""Messages of one size that are not worth being cut together."""

_KEPT: Final = 1024  # templates; a connection seldom has more tables times query sets

_HEAD: Final = struct.Struct("<BIIII")  # tag, one query set, its id, one table, length of its name
_REST: Final = struct.Struct("<IBB")  # one update, of a table, rows of one size
_CAME: Final = struct.Struct("<HI")  # that size, and how many bytes all rows have
_LEFT: Final = struct.Struct("<BHI")  # the same of the rows that left
_TRANSACTION: Final = 4


class _Shape:
    """Messages with one head and rows of one size each, end to end.

    Args:
        head: Of each.
        came: Bytes of the row that came.
        left: Bytes of the row that left.
        before: Bytes before each message that do not matter.

    Attributes:
        size: Bytes of each, with those before it.
        rows: Takes their rows out.
    """

    def __init__(self, head: bytes, came: int, left: int, before: int) -> None:
        self._wanted = head + _CAME.pack(came, came), _LEFT.pack(0, left, left)
        first, second = map(len, self._wanted)
        self._fixed = struct.Struct(f"{before}x{first}s{came}x{second}s{left}x").iter_unpack
        self.rows = struct.Struct(f"{before}x{first}x{came}s{second}x{left}s").iter_unpack
        self.size = before + first + came + second + left

    def count(self, data: bytes) -> int:
        """How many whole messages that fit stand at the beginning."""
        whole = data[: len(data) - len(data) % self.size]
        return len(list(takewhile(self._wanted.__eq__, self._fixed(whole))))


_shape = lru_cache(maxsize=256)(_Shape)


class Run:
    """Messages of one template.

    Attributes:
        template: What they have in common.
        rows: The rows of each, in order.
        size: Bytes of them all.
        shortest: Bytes of the shortest row that came.
        longest: Bytes of the longest.
        ahead: For how many messages something may be done ahead, in vain if the first turns out to be unlike others.
    """

    __slots__ = ("ahead", "longest", "rows", "shortest", "size", "template")

    def __init__(self, template: Template, rows: Sequence[RowPair], *, size: int, shortest: int, longest: int) -> None:
        self.template = template
        self.rows = rows
        self.ahead = _AHEAD
        self.size = size
        self.shortest = shortest
        self.longest = longest


class Template:
    """What transactions have in common that replace one row of a table for a query set.

    Attributes:
        query_set_id: The query set.
        table_name: The table.
        head: The bytes of a message before the size of its first row, with what stands before the message.
    """

    __slots__ = ("head", "query_set_id", "table_name")

    def __init__(self, before: bytes, query_set_id: int, table_name: str) -> None:
        name = table_name.encode()
        self.query_set_id = query_set_id
        self.table_name = table_name
        self.head = before + _HEAD.pack(_TRANSACTION, 1, query_set_id, 1, len(name)) + name + _REST.pack(1, 0, 0)

    def cut(self, data: bytes, position: int = 0) -> tuple[RowPair, int] | None:
        """The rows of the message whose head stands at a position, and where it ends; None if it does not fit."""
        sizes = position + len(self.head)
        came = sizes + _CAME.size
        try:
            size, in_all = _CAME.unpack_from(data, sizes)
            tag, left_size, left_in_all = _LEFT.unpack_from(data, came + size)
        except struct.error:
            return None
        left = came + size + _LEFT.size
        end = left + left_size
        if tag or not 0 < size == in_all or not 0 < left_size == left_in_all or end > len(data):
            return None
        return (data[came : came + size], data[left:end]), end

    def together(self, data: bytes, first: RowPair, before: int = 0) -> Run:
        """A run of the messages at the beginning that have rows as long as those of the first one.

        Args:
            data: The messages.
            first: The rows of the first.
            before: Bytes before each message that do not matter.
        """
        shape = self.shape(first, before)
        count = shape.count(data)
        length = len(first[0])
        rows = list(shape.rows(data[: count * shape.size]))
        return Run(self, rows, size=count * (shape.size - before), shortest=length, longest=length)

    def shape(self, rows: RowPair, before: int = 0) -> _Shape:
        """What messages have in common beside that whose rows are as long as these."""
        came, left = rows
        return _shape(self.head, len(came), len(left), before)

    def one_by_one(self, pairs: Sequence[RowPair], size: int) -> Run:
        """A run of messages that have been cut, of so many bytes."""
        sizes = [len(came) for came, _ in pairs]
        return Run(self, pairs, size=size, shortest=min(sizes), longest=max(sizes))

    def message(self, rows: RowPair) -> TransactionUpdate:
        """The message that these rows came in."""
        came, left = (RowList(row, row_size=len(row)) for row in rows)
        return TransactionUpdate(
            [QuerySetUpdate(self.query_set_id, [TableUpdate(self.table_name, [PersistentTableRows(came, left)])])]
        )


class Templates:
    """The templates of one connection.

    Args:
        before: What stands before every message.
    """

    __slots__ = ("_before", "_by_head", "_further", "_reach")

    def __init__(self, before: bytes) -> None:
        self._before = before
        self._by_head: dict[bytes, Template] = {}
        self._reach = 1  # messages to look at: twice as many as the last run had, so that no look is in vain for long
        self._further = 1  # payloads to look at after that of a run, in the same way

    def learn(self, update: TransactionUpdate) -> None:
        """Remember the template of a message that was read, if it has one."""
        template = _template_of(self._before, update)
        if template is not None and template.head not in self._by_head:
            if len(self._by_head) == _KEPT:
                self._by_head.clear()
            self._by_head[template.head] = template

    def alone(self, payload: bytes, inbox: Inbox) -> Run | None:
        """A run of payloads that hold one message each.

        Args:
            payload: The first.
            inbox: Where it stands. What belongs to the run is taken out.

        Returns:
            The run; None if the first payload has no template.
        """
        template = self._find(payload, 0)
        first = template.cut(payload) if template is not None else None
        if template is None or first is None or first[1] != len(payload):
            return None
        alike = inbox.alike
        if alike is not None and min(len(alike), self._reach) >= _FEW:
            frames = alike.frames[alike.at : alike.at + (1 + self._reach) * alike.step]
            run = template.together(frames, first[0], alike.header)
        else:
            run = self._one_by_one(template, payload, first[0], inbox)
        inbox.drop(len(run.rows))
        return self._noted(run)

    def _one_by_one(self, template: Template, payload: bytes, first: RowPair, inbox: Inbox) -> Run:
        pairs, size = [first], len(payload)
        for other in inbox.after(self._reach):
            found = template.cut(other) if isinstance(other, bytes) and other.startswith(template.head) else None
            if found is None or found[1] != len(other):
                break
            pairs.append(found[0])
            size += len(other)
        return template.one_by_one(pairs, size)

    def together(self, data: bytes, position: int) -> Run | None:
        """A run of messages that follow each other in one payload; None if the first has no template."""
        template = self._find(data, position)
        found = template.cut(data, position) if template is not None else None
        if template is None or found is None:
            return None
        first, end = found
        size = end - position
        sizes = position + len(template.head) + _CAME.size
        if data.startswith(data[position:sizes], position + (_FEW - 1) * size):
            return self._noted(template.together(data[position : position + size * (self._reach + 1)], first))
        pairs: list[RowPair] = []
        at = position
        while found is not None:
            pairs.append(found[0])
            at = found[1]
            is_more = len(pairs) <= self._reach and data.startswith(template.head, at)
            found = template.cut(data, at) if is_more else None
        return self._noted(template.one_by_one(pairs, at - position))

    def over(self, run: Run, payload: bytes, start: int, inbox: Inbox) -> int:
        """Have a run go on in the payloads after its own, if it fills that and nothing else is in them.

        Args:
            run: What `together` has found. What belongs to it is added.
            payload: Its payload.
            start: Where messages begin in a payload.
            inbox: Where it stands.

        Returns:
            How many payloads after its own are in it now.
        """
        each = len(run.rows)
        shape = run.template.shape(run.rows[0])
        body = len(payload) - start
        if not run.size == body == each * shape.size:
            return 0
        size, before = len(payload), payload[:start]
        alike: list[bytes] = []
        for other in inbox.after(min(self._further, _LONGEST // each)):
            if len(other) != size or not isinstance(other, bytes) or not other.startswith(before):
                break
            alike.append(other[start:])
        data = b"".join(alike)
        whole = shape.count(data) // each
        run.rows = [*run.rows, *shape.rows(data[: whole * body])]
        run.size += whole * body
        run.ahead = max(_AHEAD, self._further // 2 * each)
        self._further = 2 * whole + 1
        return whole

    def _find(self, data: bytes, position: int) -> Template | None:
        name = position + len(self._before) + 13
        if name >= len(data):
            return None
        # The low byte of the length of the table's name tells how long the head is.
        return self._by_head.get(data[position : name + 4 + data[name] + _REST.size])

    def _noted(self, run: Run) -> Run:
        run.ahead = max(_AHEAD, self._reach // 2)  # as many as came together last time
        self._reach = min(2 * len(run.rows), _LONGEST)
        return run


def _template_of(before: bytes, update: TransactionUpdate) -> Template | None:
    if len(update.query_sets) != 1 or len(update.query_sets[0].tables) != 1:
        return None
    (table,) = update.query_sets[0].tables
    if len(table.rows) != 1 or not isinstance(table.rows[0], PersistentTableRows):
        return None
    came, left = table.rows[0].inserts, table.rows[0].deletes
    if len(came) != 1 or len(left) != 1 or not came.row_size or not left.row_size:
        return None
    return Template(before, update.query_sets[0].query_set_id, table.table_name)
