"""Arguments of a call as BSATN, and what is wrong with them in the real server's words.

Nothing here knows calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacetimedb_proto.bsatn.layout import SCALARS
from spacetimedb_proto.bsatn.types import AlgebraicType, Array, Primitive, Product, Ref, Sum
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.schema.definitions import Function
from spacetimedb_proto.schema.model import Schema

__all__ = ["read_bsatn"]


def read_bsatn(schema: Schema, function: Function, data: bytes) -> tuple[Any, ...]:
    """The arguments in some bytes; stricter than the real server, which ignores bytes that follow them.

    Raises:
        DecodeError: They are not what the function takes.
    """
    try:
        return schema.params_codec(function).decode(data)
    except DecodeError as error:
        try:
            _Reader(schema, data).read_all(param.type for param in function.params)
        except _TooShortError as fault:
            raise DecodeError(str(fault)) from None
        except RecursionError:
            pass
        raise error from None


class _TooShortError(Exception):
    """The bytes end inside a value."""


class _Reader:
    """Passes over values, to find where the bytes end too early."""

    def __init__(self, schema: Schema, data: bytes) -> None:
        self._schema = schema
        self._data = data
        self._at = 0

    def read_all(self, types: Iterable[AlgebraicType]) -> None:
        for type_ in types:
            self._read(type_)

    def _read(self, type_: AlgebraicType) -> None:
        match type_:
            case Ref():
                self._read(self._schema.resolve(type_))
            case Primitive.STRING:
                self._take(self._count(), "[u8]")
            case Primitive() as primitive:
                self._take(SCALARS[primitive].size, primitive.value.lower())
            case Array(element):
                self._read_array(element)
            case Product(elements):
                self.read_all(element.type for element in elements)
            case Sum(variants):
                tag = self._take(1, "u8")[0]
                self.read_all(variant.type for variant in variants[tag : tag + 1])

    def _read_array(self, element: AlgebraicType) -> None:
        for _ in range(self._count()):
            before = self._at
            self._read(element)
            if self._at == before:  # whose elements have no bytes never ends too early
                return

    def _count(self) -> int:
        return int.from_bytes(self._take(4, "u32"), "little")

    def _take(self, size: int, what: str) -> bytes:
        left = len(self._data) - self._at
        if left < size:
            raise _TooShortError(f"data too short for {what}: Expected {size}, given {left}")
        self._at += size
        return self._data[self._at - size : self._at]
