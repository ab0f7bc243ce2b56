"""What stands for a row: the value of its primary key, in a form that is quick to take out of bytes and to compare.

Integers of at most 64 bits stand for themselves, everything else is the bytes it has on the wire, which are equal
exactly when the values are. Floats are not among them: theirs are not (`-0.0`, NaN), and no server has such keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias, cast

from ..bsatn.codec import Codec
from ..schema.model import Table
from ..wire.rowlist import RowList

__all__ = ["Key", "Keys", "are_equal_as_bytes", "primary_keys"]

Key: TypeAlias = Hashable


class Keys:
    """How the keys of one column are found.

    Attributes:
        column: Position of the column.
        is_integer: Whether keys are integers, which stand for themselves.
        unpack: As `of`, but the key is in a tuple, which is quicker.
    """

    def __init__(self, codec: Codec, column: int) -> None:
        values = codec.column(column)
        self.column = column
        self.is_integer = values.integer_format is not None
        self._encode = values.encode
        self._decode = values.decode_exact
        offset = codec.column_offset(column)
        self._format: str | None = None
        if offset is None or values.fixed_size is None:
            of = codec.column_reader(column) if self.is_integer else codec.column_slicer(column)
            self.unpack: Callable[[bytes], tuple[Key, ...]] = lambda row: (of(row),)
            return
        code = values.integer_format or f"{values.fixed_size}s"
        self.unpack = struct.Struct(f"<{offset}x{code}").unpack_from
        if codec.fixed_size is not None:
            self._format = f"{offset}x{code}{codec.fixed_size - offset - values.fixed_size}x"

    def of(self, row: bytes) -> Key:
        """The key of a row.

        Raises:
            DecodeError: The row is too short for the column.
        """
        (key,) = self.unpack(row)
        return key

    def of_list(self, rows: RowList, cut: Sequence[bytes] | None = None) -> Sequence[Key]:
        """The keys of a list of rows, of which the sizes have been checked; `cut` are the same rows, if at hand.

        Raises:
            DecodeError: A row is too short for the column.
        """
        if self._format is not None and rows.row_size:
            return rows.column(self._format)
        return self._one_by_one(rows.rows() if cut is None else cut)

    def of_rows(self, rows: Sequence[bytes]) -> Sequence[Key]:
        """The keys of rows, of which the sizes have been checked. Raises as `of_list`."""
        if self._format is not None:
            return RowList(b"".join(rows), row_size=len(rows[0])).column(self._format)
        return self._one_by_one(rows)

    def _one_by_one(self, rows: Iterable[bytes]) -> Sequence[Key]:
        return list(chain.from_iterable(map(self.unpack, rows)))

    def of_value(self, value: Any) -> Key:
        """The key of the rows that hold this value.

        Raises:
            EncodeError: The column cannot hold it.
        """
        if self.is_integer and type(value) is int:
            return value
        data = self._encode(value)
        return int(value) if self.is_integer else data

    def values(self, keys: Iterable[Key]) -> list[Any]:
        """The values of the column that keys stand for.

        Raises:
            DecodeError: One is no value of the column.
        """
        return list(keys) if self.is_integer else [self._decode(cast(bytes, key)) for key in keys]


def are_equal_as_bytes(values: Codec) -> bool:
    """Whether values of a column are equal exactly when their bytes are. Those of floats are not."""
    return values.is_scalar and not values.is_float


def primary_keys(table: Table, codec: Codec) -> Keys | None:
    """How a table's rows are told apart by primary key; None if there is none, or none that bytes could stand for."""
    column = table.primary_key
    if column is None or not are_equal_as_bytes(codec.column(column)):
        return None
    return Keys(codec, column)
