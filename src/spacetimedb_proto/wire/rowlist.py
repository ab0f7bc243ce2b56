"""Lists of rows as the wire carries them: one block of bytes and a hint where to cut it (protocol reference, 3.2).

A list is checked once, when it is made, and cut into rows only when somebody asks.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from operator import sub
from sys import getsizeof
from typing import Any

from ..errors import DecodeError
from ..steps import STEP, Steps, finish, slices

__all__ = ["RowList"]

_CHUNK = 512  # rows cut by one `Struct`; larger formats cost more to parse than they save

_ELSEWHERE = 64  # places where a piece is found that are not the right one, until its search is given up

_new = object.__new__


@lru_cache(maxsize=1024)
def _cutter(format_: str, count: int) -> Callable[[bytes, int], tuple[Any, ...]]:
    return struct.Struct("<" + format_ * count).unpack_from


class RowList:
    """Rows of one table, in the order the server sent them, as bytes.

    Offsets of a long list are checked when they are first needed, or before that in steps: see `checking`.

    Attributes:
        size: Bytes of all rows together.
        row_size: Bytes of each row, or 0 when `offsets` says where each begins.
        offsets: Start of each row when `row_size` is 0, counted from the start of the list that was sent.
    """

    __slots__ = ("_shortest", "_source", "_start", "offsets", "row_size", "size")

    def __init__(self, data: bytes, *, row_size: int = 0, offsets: Sequence[int] = ()) -> None:
        if row_size and len(data) % row_size:
            raise DecodeError(f"data: expected rows of {row_size} bytes, got {len(data)} bytes")
        self._source = data
        self._start = 0
        self.size = len(data)
        self.row_size = row_size
        self.offsets = offsets
        self._shortest: int | None = row_size
        if not row_size:
            self._shortest = None
            finish(self.checking())

    @classmethod
    def within(
        cls, payload: bytes, start: int, stop: int, *, row_size: int = 0, offsets: Sequence[int] = ()
    ) -> RowList:
        """A list that stands somewhere in a payload; if its rows are of one size, it must be known to cut evenly.

        A list that makes up most of its payload is not copied out of it: then a first snapshot costs no memory beside
        the message that brought it. A smaller one is, or else it would keep the whole payload alive.

        Raises:
            DecodeError: The offsets do not cut it into rows. Of a long list that comes out later.
        """
        self = _new(cls)
        self.size = size = stop - start
        if size * 2 < len(payload):
            self._source, self._start = payload[start:stop], 0
        else:
            self._source, self._start = payload, start
        self.row_size = row_size
        self.offsets = offsets
        if row_size:
            self._shortest = row_size
        else:
            self._shortest = None
            if len(offsets) <= STEP:
                finish(self.checking())
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

    @property
    def shortest(self) -> int:
        """Bytes of the shortest row; of an empty list 0.

        Raises:
            DecodeError: The offsets do not cut the list into rows.
        """
        if self._shortest is None:
            finish(self.checking())
        assert self._shortest is not None
        return self._shortest if self.size else 0

    @property
    def overhead(self) -> int:
        """Bytes that it keeps in memory beside its rows: the rest of their payload, and where each row begins."""
        return getsizeof(self._source) - self.size + getsizeof(self.offsets)

    def checking(self) -> Steps[None]:
        """Find the shortest row, and whether the offsets cut the list into rows at all.

        Raises:
            DecodeError: They do not.
        """
        if self._shortest is not None:
            return
        offsets, size = self.offsets, self.size
        if not len(offsets):
            if size:
                raise DecodeError(f"data: expected nothing in a list without rows, got {size} bytes")
            self._shortest = 0
            return
        shortest = size - offsets[-1]
        for part in slices(len(offsets) - 1):
            starts = offsets[part.start : part.stop + 1]
            shortest = min(shortest, *map(sub, starts[1:], starts))
            yield
        if offsets[0] or shortest < 0:
            raise DecodeError(f"offsets: expected them to rise from 0 to at most {size}, got others")
        self._shortest = shortest

    def rows(self) -> list[bytes]:
        """Cut the list into its rows.

        Raises:
            DecodeError: The offsets do not.
        """
        if self.row_size:
            if self.size == self.row_size:  # most transactions change one row
                return [self.data]
            return self.column(f"{self.row_size}s")
        if self._shortest is None:
            finish(self.checking())
        offsets = self.offsets
        if not len(offsets):
            return []
        data, first = self.data, offsets[0]
        bounds: Iterator[int] = chain(offsets, (first + self.size,))
        if first:
            bounds = map(first.__rsub__, bounds)
        return [data[a:b] for a, b in pairwise(bounds)]

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

    def seek(self, piece: bytes, at: int) -> bytes | None:
        """The first row with this piece at one place. Nothing is cut: some nanoseconds for each row before it.

        Args:
            piece: What to look for; at least one byte.
            at: Where it must stand, in bytes from the start of the row.

        Raises:
            LookupError: It stands so often in other places that it is better to cut the list.
        """
        position, stop = self._start + at, self._start + self.size
        for _ in range(_ELSEWHERE):
            position = self._source.find(piece, position, stop)
            if position < 0:
                return None
            start, end = self._row_around(position)
            if position == start + at and position + len(piece) <= end:
                return self._source[start:end]
            position += 1
        raise LookupError(piece)

    def _row_around(self, position: int) -> tuple[int, int]:
        """Where the row with that byte of the source begins and ends."""
        if self.row_size:
            start = position - (position - self._start) % self.row_size
            return start, start + self.row_size
        shift = self._start - self.offsets[0]
        number = bisect_right(self.offsets, position - shift)
        end = self.offsets[number] + shift if number < len(self.offsets) else self._start + self.size
        return self.offsets[number - 1] + shift, end

    def parts(self, count: int) -> Iterator[RowList]:
        """The same rows as several lists of at most `count`.

        Raises:
            DecodeError: The offsets do not cut the list into rows.
        """
        if len(self) <= count:
            yield self
        elif self.row_size:
            step, stop = self.row_size * count, self._start + self.size
            for position in range(self._start, stop, step):
                yield self._part(position, min(position + step, stop), ())
        else:
            shift = self._start - self.offsets[0]
            for position in range(0, len(self), count):
                offsets = self.offsets[position : position + count + 1]
                stop = shift + offsets[count] if len(offsets) > count else self._start + self.size
                yield self._part(shift + offsets[0], stop, offsets[:count])

    def _part(self, start: int, stop: int, offsets: Sequence[int]) -> RowList:
        return self._made(self._source, start, stop, self.row_size, offsets, self.shortest)

    @classmethod
    def _made(
        cls, source: bytes, start: int, stop: int, row_size: int, offsets: Sequence[int], shortest: int
    ) -> RowList:
        self = _new(cls)
        self._source, self._start, self.size = source, start, stop - start
        self.row_size, self.offsets, self._shortest = row_size, offsets, shortest
        return self
