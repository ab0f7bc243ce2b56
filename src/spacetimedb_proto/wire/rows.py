"""Rows inside v2 messages, read and written by hand: this is where the time and the memory of a session go.

A transaction that changes one row is one of a hundred thousand a second, and a first snapshot may be a gigabyte. So the
parts of a message that hold rows do not go through the compiled codecs, which serve everything around them. Layouts are
those of the protocol reference, 3.2 and 3.4. Nothing here knows tables or types: a row is bytes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from ..errors import DecodeError
from .messages import EventTableRows, PersistentTableRows, QueryRows, QuerySetUpdate, SingleTableRows, TableUpdate
from .rowlist import RowList

__all__ = ["RowReader", "write_query_rows", "write_query_sets", "write_row_list"]

T = TypeVar("T")
_Reader: TypeAlias = Callable[[bytes, int], tuple[T, int]]

_U32: Final = struct.Struct("<I")
_FIXED: Final = struct.Struct("<HI")  # row size and length of the data
_ONE: Final = _U32.pack(1)
_NO_ROWS: Final = RowList(b"")
_NO_ROWS_BYTES: Final = b"\1" + bytes(8)  # no offsets, no data

_ENTRIES: Final = 1_000_000
"""Tables, updates and query sets in one message.

Each may take eight bytes on the wire and costs some hundred here, so a limit on bytes alone is no limit on memory. The
server sends one update for each query that a client has live.
"""

_SHAPES: Final = 1024  # remembered beginnings of updates; a connection seldom has more tables times query sets


class RowReader:
    """Reads row lists, and counts what one message holds before it is built.

    Attributes:
        limit: Rows that one message may hold, all its lists together.
        rows_left: How many of them are left.
        entries_left: How many more tables, updates and query sets the message may name.
    """

    __slots__ = ("_shapes", "entries_left", "limit", "rows_left")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._shapes: dict[bytes, tuple[int, str]] = {}
        self.start()

    def start(self) -> None:
        """Begin a message: everything is still allowed."""
        self.rows_left = self.limit
        self.entries_left = _ENTRIES

    def admit(self, what: str, count: int) -> None:
        """Count things that are about to be built and are no rows; too many of them in one message are refused."""
        self.entries_left -= count
        if self.entries_left < 0:
            raise DecodeError(f"{what}: expected at most {_ENTRIES} tables and query sets in one message, got more")

    def row_list(self, data: bytes, position: int) -> tuple[RowList, int]:
        """Read a `BsatnRowList`; the rows are not cut yet."""
        if data[position]:
            return self._offset_rows(data, position)
        size, length = _FIXED.unpack_from(data, position + 1)
        start = position + 7
        end = start + length
        if not size or length % size or end > len(data):
            return _odd_rows(data, start, size, length)
        self.rows_left -= length // size
        if self.rows_left < 0:
            raise DecodeError(f"rows_data: expected at most {self.limit} rows in one message, got more")
        return RowList.within(data, start, end, row_size=size), end

    def _offset_rows(self, data: bytes, position: int) -> tuple[RowList, int]:
        tag, (count,) = data[position], _U32.unpack_from(data, position + 1)
        if tag != 1:
            raise DecodeError(f"size_hint: expected a tag of 0 or 1, got {tag}")
        middle = position + 5 + 8 * count
        if middle + 4 > len(data):
            raise DecodeError(f"size_hint: expected {count} offsets, got {len(data) - position - 5} bytes")
        self.rows_left -= count
        if self.rows_left < 0:
            raise DecodeError(f"size_hint: expected at most {self.limit} rows in one message, got more")
        (length,) = _U32.unpack_from(data, middle)
        start = middle + 4
        end = start + length
        if end > len(data):
            raise DecodeError(f"rows_data: expected {length} bytes, got {len(data) - start}")
        if not (count or length):
            return _NO_ROWS, end
        offsets = array("Q", data[position + 5 : middle])
        if sys.byteorder == "big":
            offsets.byteswap()
        return RowList.within(data, start, end, offsets=offsets), end

    def named_rows(self, name: str, data: bytes, position: int) -> tuple[RowList, int]:
        """Read a row list that is a field, and say so if something is wrong in it."""
        try:
            return self.row_list(data, position)
        except DecodeError as error:
            raise DecodeError(f"{name}.{error}") from None
        except (struct.error, IndexError):
            raise DecodeError(f"{name}: expected more bytes, got the end of the message") from None

    def query_rows(self, data: bytes, position: int) -> tuple[QueryRows, int]:
        """Read `QueryRows`."""
        tables, position = self._list("tables", 11, self._single_table, data, position)
        return QueryRows(tables), position

    def query_sets(self, data: bytes, position: int) -> tuple[list[QuerySetUpdate], int]:
        """Read the `[QuerySetUpdate]` of a transaction.

        Most transactions change one table for one query set, and then everything before the rows is the same bytes as
        last time: those are looked up as a whole. Bytes are only ever remembered after they were read one by one.
        """
        # count 1, query set id, count 1, length of the name, the name, count 1, tag 0: the low byte of the length tells
        name = data[position + 12] if position + 12 < len(data) else 0
        rows = position + 21 + name
        shape = data[position:rows]
        known = self._shapes.get(shape)
        if known is None:
            sets, end = self._list("query_sets", 8, self._query_set, data, position)
            self._remember(shape, sets)
            return sets, end
        try:
            inserts, end = self.row_list(data, rows)
            deletes, end = self.row_list(data, end)
        except (DecodeError, struct.error, IndexError):
            return self._list("query_sets", 8, self._query_set, data, position)  # to say where
        update = TableUpdate(known[1], [PersistentTableRows(inserts, deletes)])
        return [QuerySetUpdate(known[0], [update])], end

    def _remember(self, shape: bytes, sets: list[QuerySetUpdate]) -> None:
        if len(sets) == 1 and len(sets[0].tables) == 1 and len(sets[0].tables[0].rows) == 1:
            (update,) = sets[0].tables
            expected = b"".join((_ONE, _U32.pack(sets[0].query_set_id), _ONE, _text(update.table_name), _ONE, b"\0"))
            if shape == expected:
                if len(self._shapes) == _SHAPES:
                    self._shapes.clear()
                self._shapes[shape] = sets[0].query_set_id, update.table_name

    def _list(self, name: str, least: int, read: _Reader[T], data: bytes, position: int) -> tuple[list[T], int]:
        """Read an array whose elements take at least `least` bytes, and say where in it something is wrong."""
        if position + 4 > len(data):
            raise DecodeError(f"{name}: expected a count, got the end of the message")
        (count,) = _U32.unpack_from(data, position)
        position += 4
        if count * least > len(data) - position:
            raise DecodeError(f"{name}: expected {count} elements, got {len(data) - position} bytes")
        self.admit(name, count)
        items: list[T] = []
        for index in range(count):
            try:
                item, position = read(data, position)
            except DecodeError as error:
                raise DecodeError(f"{name}[{index}].{error}") from None
            except (struct.error, IndexError):
                raise DecodeError(f"{name}[{index}]: expected more bytes, got the end of the message") from None
            items.append(item)
        return items, position

    def _single_table(self, data: bytes, position: int) -> tuple[SingleTableRows, int]:
        table, position = _read_text("table", data, position)
        rows, position = self.named_rows("rows", data, position)
        return SingleTableRows(table, rows), position

    def _query_set(self, data: bytes, position: int) -> tuple[QuerySetUpdate, int]:
        (query_set_id,) = _U32.unpack_from(data, position)
        tables, position = self._list("tables", 8, self._table_update, data, position + 4)
        return QuerySetUpdate(query_set_id, tables), position

    def _table_update(self, data: bytes, position: int) -> tuple[TableUpdate, int]:
        table, position = _read_text("table_name", data, position)
        rows, position = self._list("rows", 8, self._table_update_rows, data, position)
        return TableUpdate(table, rows), position

    def _table_update_rows(self, data: bytes, position: int) -> tuple[PersistentTableRows | EventTableRows, int]:
        tag = data[position]
        if tag == 0:
            inserts, position = self.named_rows("inserts", data, position + 1)
            deletes, position = self.named_rows("deletes", data, position)
            return PersistentTableRows(inserts, deletes), position
        if tag == 1:
            events, position = self.named_rows("events", data, position + 1)
            return EventTableRows(events), position
        raise DecodeError(f"tag: expected 0 or 1 of TableUpdateRows, got {tag}")


def _odd_rows(data: bytes, start: int, size: int, length: int) -> tuple[RowList, int]:
    """What a `FixedSize` list may be that is not simply rows: empty, or wrong (protocol reference, 3.2)."""
    if length > len(data) - start:
        raise DecodeError(f"rows_data: expected {length} bytes, got {len(data) - start}")
    if length:
        raise DecodeError(f"rows_data: expected rows of {size} bytes, got {length} bytes")
    return _NO_ROWS, start


def _read_text(name: str, data: bytes, position: int) -> tuple[str, int]:
    (length,) = _U32.unpack_from(data, position)
    start = position + 4
    end = start + length
    if end > len(data):
        raise DecodeError(f"{name}: expected {length} bytes of text, got {len(data) - start}")
    try:
        return data[start:end].decode(), end
    except UnicodeDecodeError:
        raise DecodeError(f"{name}: expected UTF-8, got {length} other bytes") from None


def write_row_list(rows: RowList) -> bytes:
    """Write a `BsatnRowList`."""
    if not rows.size and not rows.offsets:
        return _NO_ROWS_BYTES
    if rows.row_size:
        return b"\0" + _FIXED.pack(rows.row_size, rows.size) + rows.data
    offsets = array("Q", rows.offsets)
    if sys.byteorder == "big":
        offsets.byteswap()
    return b"".join((b"\1", _U32.pack(len(offsets)), offsets.tobytes(), _U32.pack(rows.size), rows.data))


def write_query_rows(rows: QueryRows) -> bytes:
    """Write `QueryRows`."""
    parts = [_U32.pack(len(rows.tables))]
    for table in rows.tables:
        parts += _text(table.table), write_row_list(table.rows)
    return b"".join(parts)


def write_query_sets(sets: list[QuerySetUpdate]) -> bytes:
    """Write the `[QuerySetUpdate]` of a transaction."""
    parts = [_U32.pack(len(sets))]
    for query_set in sets:
        parts += _U32.pack(query_set.query_set_id), _U32.pack(len(query_set.tables))
        for table in query_set.tables:
            parts += _text(table.table_name), _U32.pack(len(table.rows))
            parts += map(_write_update, table.rows)
    return b"".join(parts)


def _write_update(update: PersistentTableRows | EventTableRows) -> bytes:
    if isinstance(update, EventTableRows):
        return b"\1" + write_row_list(update.events)
    return b"\0" + write_row_list(update.inserts) + write_row_list(update.deletes)


def _text(text: str) -> bytes:
    data = text.encode()
    return _U32.pack(len(data)) + data
