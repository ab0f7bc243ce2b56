"""The type algebra of SpacetimeDB as data (protocol reference, 2.4).

Types here are plain values: comparable, hashable, without behaviour. Codecs are made from them in `codec.py`, Python
classes in `classes.py`; nothing else walks them.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

__all__ = [
    "BYTES",
    "CONNECTION_ID",
    "IDENTITY",
    "NEVER",
    "SCHEDULE_AT",
    "TIMESTAMP",
    "TIME_DURATION",
    "UNIT",
    "UUID",
    "AlgebraicType",
    "Array",
    "Element",
    "Primitive",
    "Product",
    "Ref",
    "Sum",
    "option",
    "option_payload",
    "references",
    "result",
    "result_payloads",
]


class Primitive(enum.Enum):
    """The leaves of the algebra; the value is the name used in a module definition."""

    STRING = "String"
    BOOL = "Bool"
    I8 = "I8"
    U8 = "U8"
    I16 = "I16"
    U16 = "U16"
    I32 = "I32"
    U32 = "U32"
    I64 = "I64"
    U64 = "U64"
    I128 = "I128"
    U128 = "U128"
    I256 = "I256"
    U256 = "U256"
    F32 = "F32"
    F64 = "F64"


@attrs.frozen
class Ref:
    """A reference to a slot of the typespace that the type belongs to."""

    index: int


@attrs.frozen
class Array:
    """Any number of elements of one type."""

    element: AlgebraicType


@attrs.frozen
class Element:
    """A field of a product or a variant of a sum. Unnamed ones occur only in answers to ad-hoc SQL."""

    name: str | None
    type: AlgebraicType


@attrs.frozen
class Product:
    """Fields in wire order."""

    elements: tuple[Element, ...] = ()


@attrs.frozen
class Sum:
    """Variants; the tag on the wire is the position."""

    variants: tuple[Element, ...] = ()


AlgebraicType: TypeAlias = Ref | Sum | Product | Array | Primitive


def _newtype(name: str, primitive: Primitive) -> Product:
    return Product((Element(name, primitive),))


# Special types are recognised by structure: one element with this exact name and type (protocol reference, 2.3).
UNIT = Product()
NEVER = Sum()
BYTES = Array(Primitive.U8)
IDENTITY = _newtype("__identity__", Primitive.U256)
CONNECTION_ID = _newtype("__connection_id__", Primitive.U128)
TIMESTAMP = _newtype("__timestamp_micros_since_unix_epoch__", Primitive.I64)
TIME_DURATION = _newtype("__time_duration_micros__", Primitive.I64)
UUID = _newtype("__uuid__", Primitive.U128)
SCHEDULE_AT = Sum((Element("Interval", TIME_DURATION), Element("Time", TIMESTAMP)))


def option(payload: AlgebraicType) -> Sum:
    """The type `payload | None`: on the wire tag 0 is some, tag 1 is none."""
    return Sum((Element("some", payload), Element("none", UNIT)))


def option_payload(type_: AlgebraicType) -> AlgebraicType | None:
    """What an option holds, or None if the type is no option."""
    match type_:
        case Sum((Element("some", payload), Element("none", Product(())))):
            return payload
        case _:
            return None


def result(ok: AlgebraicType, err: AlgebraicType) -> Sum:
    """The type of a result: tag 0 is ok, tag 1 is err."""
    return Sum((Element("ok", ok), Element("err", err)))


def result_payloads(type_: AlgebraicType) -> tuple[AlgebraicType, AlgebraicType] | None:
    """What a result holds as (ok, err), or None if the type is no result."""
    match type_:
        case Sum((Element("ok", ok), Element("err", err))):
            return ok, err
        case _:
            return None


def references(type_: AlgebraicType) -> list[int]:
    """The slots that a type refers to directly, each as often as it does."""
    found: list[int] = []
    todo = [type_]
    while todo:
        match todo.pop():
            case Ref(index):
                found.append(index)
            case Array(element):
                todo.append(element)
            case Product(elements) | Sum(elements):
                todo.extend(element.type for element in elements)
            case _:
                pass
    return found
