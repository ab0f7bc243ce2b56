"""How a module says what its columns are: sized numbers, and markers for keys, counters and indexes.

To a type checker all of these are the Python types that values really have, so `id: PrimaryKey[AutoInc[u64]]` is an
`int`. What they add stands in `Annotated`, where `typespace.py` reads it. Nothing here knows tables.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, dataclass_transform

from spacetimedb_proto.bsatn.types import Primitive

__all__ = [
    "AutoInc",
    "Index",
    "Marker",
    "PrimaryKey",
    "Row",
    "Unique",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "i256",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "u256",
]

T = TypeVar("T")


class Marker(enum.Enum):
    """What a column is beyond its type."""

    PRIMARY_KEY = "PrimaryKey"
    UNIQUE = "Unique"
    AUTO_INC = "AutoInc"
    INDEX = "Index"


u8: TypeAlias = Annotated[int, Primitive.U8]
u16: TypeAlias = Annotated[int, Primitive.U16]
u32: TypeAlias = Annotated[int, Primitive.U32]
u64: TypeAlias = Annotated[int, Primitive.U64]
u128: TypeAlias = Annotated[int, Primitive.U128]
u256: TypeAlias = Annotated[int, Primitive.U256]
i8: TypeAlias = Annotated[int, Primitive.I8]
i16: TypeAlias = Annotated[int, Primitive.I16]
i32: TypeAlias = Annotated[int, Primitive.I32]
i64: TypeAlias = Annotated[int, Primitive.I64]
i128: TypeAlias = Annotated[int, Primitive.I128]
i256: TypeAlias = Annotated[int, Primitive.I256]
f32: TypeAlias = Annotated[float, Primitive.F32]
f64: TypeAlias = Annotated[float, Primitive.F64]

PrimaryKey: TypeAlias = Annotated[T, Marker.PRIMARY_KEY]
"""The column that rows are known by; at most one in a table, and unique."""

Unique: TypeAlias = Annotated[T, Marker.UNIQUE]
"""No two rows have the same value here."""

AutoInc: TypeAlias = Annotated[T, Marker.AUTO_INC]
"""A row inserted with 0 here gets the next number, from 1 on. For integers."""

Index: TypeAlias = Annotated[T, Marker.INDEX]
"""Clients may look rows up by this column without a scan."""


if TYPE_CHECKING:
    import attrs

    @attrs.frozen
    class _Attrs:
        """Makes mypy take rows for attrs classes, which to it only those are that come of attrs' own decorators."""

else:
    _Attrs = object


@dataclass_transform(frozen_default=True)
class Row(_Attrs):
    """A base that rows, types and sums need not have.

    pyright knows the constructor that `@module.table` and `@module.type` give to a class; mypy cannot see it through a
    decorator that is a method, but sees it in subclasses of this, which `attrs.evolve` takes, too.
    """

    __slots__ = ()
