"""Lists of rows as the wire carries them: one block of bytes and a hint where to cut it (protocol reference, 3.2).

A list is checked once, when it is made, and cut into rows only when somebody asks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from operator import sub
from typing import Any

from ..errors import DecodeError

__all__ = ["RowList"]

_CHUNK = 512  # rows cut by one `Struct`; larger formats cost more to parse than they save

_new = object.__new__


@lru_cache(maxsize=1024)
def _cutter(format_: str, count: int) -> Callable[[bytes, int], tuple[Any, ...]]:
    return struct.Struct("<" + format_ * count).unpack_from


class RowList:
    """Rows of one table, in the order the server sent them, as bytes.

    Attributes:
        size: Bytes of all rows together.
        row_size: Bytes of each row, or 0 when `offsets` says where each begins.
        offsets: Start of each row when `row_size` is 0.
        shortest: Bytes of the shortest row; of an empty list 0.
    """

    __slots__ = ("_source", "_start", "offsets", "row_size", "shortest", "size")

    def __init__(self, data: bytes, *, row_size: int = 0, offsets: Sequence[int] = ()) -> None:
        if row_size:
            if len(data) % row_size:
                raise DecodeError(f"data: expected rows of {row_size} bytes, got {len(data)} bytes")
            self.shortest = row_size if data else 0
        else:
            self.shortest = _check_offsets(offsets, len(data))
        self._source = data
        self._start = 0
        self.size = len(data)
        self.row_size = row_size
        self.offsets = offsets

    @classmethod
    def within(
        cls, payload: bytes, start: int, stop: int, *, row_size: int = 0, offsets: Sequence[int] = ()
    ) -> RowList:
        """A list that stands somewhere in a payload; if its rows are of one size, it must be known to cut evenly.

        A list that makes up most of its payload is not copied out of it: then a first snapshot costs no memory beside
        the message that brought it. A smaller one is, or else it would keep the whole payload alive.

        Raises:
            DecodeError: The offsets do not cut it into rows.
        """
        self = _new(cls)
        self.size = size = stop - start
        self.shortest = (row_size if size else 0) if row_size else _check_offsets(offsets, size)
        if size * 2 < len(payload):
            self._source, self._start = payload[start:stop], 0
        else:
            self._source, self._start = payload, start
        self.row_size = row_size
        self.offsets = offsets
        return self

    @classmethod
    def of(cls, rows: Sequence[bytes]) -> RowList:
        """Make a list as the server would: one size if all rows share one (of at most 65535 bytes), else offsets."""
        data = b"".join(rows)
        size = len(rows[0]) if rows else 0
        if 0 < size <= 0xFFFF and len(data) == size * len(rows) and all(len(row) == size for row in rows):
            return cls(data, row_size=size)
        offsets: list[int] = []
        position = 0
        for row in rows:
            offsets.append(position)
            position += len(row)
        return cls(data, offsets=tuple(offsets))

    @property
    def data(self) -> bytes:
        """The rows without separators; a copy if they are part of a larger payload."""
        return self._source[self._start : self._start + self.size]

    def __len__(self) -> int:
        return self.size // self.row_size if self.row_size else len(self.offsets)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.rows())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowList) and self.rows() == other.rows()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<RowList of {len(self)} rows, {self.size} bytes>"

    def rows(self) -> list[bytes]:
        """Cut the list into its rows."""
        if not self.row_size:
            data = self.data
            return [data[a:b] for a, b in pairwise(chain(self.offsets, (len(data),)))]
        if self.size == self.row_size:  # most transactions change one row
            return [self.data]
        return self.column(f"{self.row_size}s")

    def column(self, format_: str) -> list[Any]:
        """What one format of `struct` takes out of each row, where all rows have one size: one value per row.

        Args:
            format_: Little-endian, for a whole row: `"12s"` is the row itself, `"Q4x"` its first eight bytes.
        """
        source, start, size = self._source, self._start, self.row_size
        taken: list[Any] = []
        step = size * _CHUNK
        whole = start + self.size - self.size % step
        for position in range(start, whole, step):
            taken.extend(_cutter(format_, _CHUNK)(source, position))
        rest = self.size % step // size
        if rest:
            taken.extend(_cutter(format_, rest)(source, whole))
        return taken

    def parts(self, count: int) -> Iterator[RowList]:
        """The same rows as several lists of at most `count`, where all rows have one size; else as this one list."""
        step = self.row_size * count
        if not step or self.size <= step:
            yield self
            return
        stop = self._start + self.size
        for position in range(self._start, stop, step):
            yield RowList.within(self._source, position, min(position + step, stop), row_size=self.row_size)

    def blocks(self) -> Iterator[bytes]:
        """The bytes of a few hundred rows at a time, where all rows have one size."""
        source, step = self._source, self.row_size * _CHUNK
        stop = self._start + self.size
        for position in range(self._start, stop, step):
            yield source[position : min(position + step, stop)]


def _check_offsets(offsets: Sequence[int], size: int) -> int:
    """Length of the shortest row, if the offsets cut `size` bytes into rows."""
    if not offsets:
        if size:
            raise DecodeError(f"data: expected nothing in a list without rows, got {size} bytes")
        return 0
    shortest: int = min(map(sub, chain(offsets[1:], (size,)), offsets))
    if offsets[0] or shortest < 0:
        raise DecodeError(f"offsets: expected them to rise from 0 to at most {size}, got others")
    return shortest
