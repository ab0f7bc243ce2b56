"""Lists of rows as the wire carries them: one block of bytes and a hint where to cut it (protocol reference, 3.2).

A list is checked once, when it is made, and cut into rows only when somebody asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from operator import le, sub

from ..errors import DecodeError

__all__ = ["RowList"]

_CHUNK = 512  # rows cut by one `Struct`; larger formats cost more to parse than they save

_new = object.__new__


@lru_cache(maxsize=1024)
def _cutter(size: int, count: int) -> struct.Struct:
    return struct.Struct(f"{size}s" * count)


class RowList:
    """Rows of one table, in the order the server sent them, as bytes.

    Attributes:
        data: The rows without separators.
        row_size: Bytes of each row, or 0 when `offsets` says where each begins.
        offsets: Start of each row when `row_size` is 0.
    """

    __slots__ = ("data", "offsets", "row_size")

    def __init__(self, data: bytes, *, row_size: int = 0, offsets: Sequence[int] = ()) -> None:
        if row_size:
            if len(data) % row_size:
                raise DecodeError(f"data: expected rows of {row_size} bytes, got {len(data)} bytes")
        else:
            _check_offsets(offsets, len(data))
        self.data = data
        self.row_size = row_size
        self.offsets = offsets

    @classmethod
    def checked(cls, data: bytes, row_size: int) -> RowList:
        """Make a list of rows of one size from data that is known to be a multiple of it; twice as fast."""
        self = _new(cls)
        self.data = data
        self.row_size = row_size
        self.offsets = ()
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

    def __len__(self) -> int:
        return len(self.data) // self.row_size if self.row_size else len(self.offsets)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.rows())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowList) and self.rows() == other.rows()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<RowList of {len(self)} rows, {len(self.data)} bytes>"

    def rows(self) -> list[bytes]:
        """Cut the list into its rows."""
        data, size = self.data, self.row_size
        if not size:
            return [data[a:b] for a, b in pairwise(chain(self.offsets, (len(data),)))]
        if len(data) == size:  # most transactions change one row
            return [data]
        rows: list[bytes] = []
        step = size * _CHUNK
        whole = len(data) - len(data) % step
        for start in range(0, whole, step):
            rows.extend(_cutter(size, _CHUNK).unpack_from(data, start))
        rest = (len(data) - whole) // size
        if rest:
            rows.extend(_cutter(size, rest).unpack_from(data, whole))
        return rows

    def shortest(self) -> int:
        """Length of the shortest row in bytes; of an empty list 0."""
        if self.row_size:
            return self.row_size if self.data else 0
        ends = chain(self.offsets[1:], (len(self.data),))
        return min(map(sub, ends, self.offsets), default=0)


def _check_offsets(offsets: Sequence[int], size: int) -> None:
    if not offsets:
        if size:
            raise DecodeError(f"data: expected nothing in a list without rows, got {size} bytes")
        return
    if offsets[0] != 0 or offsets[-1] > size or not all(map(le, offsets, offsets[1:])):
        raise DecodeError(f"offsets: expected them to rise from 0 to at most {size}, got others")
