"""Which Arrow type a type of the module becomes. Exact always: what Arrow has no numbers for becomes text.

=========================  =============================================================================================
bool, floats               `bool`, `float`, `double`
integers up to 64 bits     `int8` to `uint64`
wider integers             `string`, in decimal: `decimal256` ends below 2**256, and polars knows no such thing
string, bytes              `string`, `binary`
Timestamp                  `timestamp[us, UTC]`
TimeDuration               `duration[us]`
Identity, ConnectionId     `string`, hex as the server prints it
Uuid                       `string`, with dashes
option                     nulls; an option of an option is a `struct` of `some`, null where the outer one is None
array                      `list`
product                    `struct`; without fields a `bool` that is true
sum of units               `dictionary` of the variants' names
other sum                  `struct` of `tag`, a dictionary, and a nullable field for each variant that holds something
a type within itself       `string`, JSON as `plain.py` writes it
=========================  =============================================================================================

Arrow's own unions are not used: they have no nulls, and neither polars nor Parquet takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Final, assert_never

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    CustomNode,
    EnumNode,
    NewtypeNode,
    Node,
    OptionNode,
    ProductNode,
    ScalarNode,
    Slot,
    SumNode,
    TextNode,
    UnitNode,
)
from spacetimedb_proto.bsatn.values import TimeDuration, Timestamp
from spacetimedb_proto.errors import LocalProtocolError

from .shapes import Leaf, column_names, member_names, payloads_of, sum_names, variant_names

__all__ = [
    "dictionary_type",
    "list_type",
    "member_array",
    "newtype_type",
    "pa",
    "scalar_type",
    "type_of",
    "variant_array",
]

pa: Any = import_module("pyarrow")

_SCALARS: Final = {
    "B": pa.uint8(), "b": pa.int8(), "H": pa.uint16(), "h": pa.int16(), "I": pa.uint32(), "i": pa.int32(),
    "Q": pa.uint64(), "q": pa.int64(), "f": pa.float32(), "d": pa.float64(),
}  # fmt: skip


def type_of(node: Node) -> Any:
    """The Arrow type of a type's values."""
    match node:
        case Slot(cyclic=True):
            return pa.string()
        case Slot():
            return type_of(node.node)
        case ArrayNode(element=element):
            return list_type(type_of(element))
        case OptionNode(payload=payload):
            inner = type_of(payload)
            return pa.struct([pa.field("some", inner)]) if node.wraps else inner
        case ProductNode(fields=fields):
            return _struct(column_names(fields), (type_of(field.node) for field in fields)) if fields else pa.bool_()
        case SumNode():
            types = (dictionary_type(), *(type_of(variant.node) for _, variant in payloads_of(node)))
            return _struct(sum_names(node), types)
        case _:
            return _leaf_type(node)


def _leaf_type(node: Leaf) -> Any:
    match node:
        case ScalarNode():
            return scalar_type(node)
        case NewtypeNode():
            return newtype_type(node)
        case TextNode():
            return pa.string()
        case BytesNode():
            return pa.binary()
        case UnitNode():
            return pa.bool_()
        case EnumNode():
            return dictionary_type()
        case CustomNode():
            raise LocalProtocolError(f"{node.title}: there are no columns for this type")
        case _:
            assert_never(node)


def _struct(names: Sequence[str], types: Iterable[Any]) -> Any:
    return pa.struct([pa.field(name, type_) for name, type_ in zip(names, types, strict=True)])


def scalar_type(node: ScalarNode) -> Any:
    """The type of a number or bool."""
    if node.kind == "bool":
        return pa.bool_()
    return pa.string() if node.kind == "wide" else _SCALARS[node.code]


def newtype_type(node: NewtypeNode) -> Any:
    """The type of a special type."""
    if node.cls is Timestamp:
        return pa.timestamp("us", tz="UTC")
    return pa.duration("us") if node.cls is TimeDuration else pa.string()


def dictionary_type() -> Any:
    """The type of names, of which there are 256 at most."""
    return pa.dictionary(pa.uint8(), pa.string())


def list_type(element: Any) -> Any:
    """The type of lists."""
    return pa.list_(pa.field("item", element))


def member_array(node: EnumNode) -> Any:
    """The names of an enum's members, by tag."""
    return pa.array(member_names(node), pa.string())


def variant_array(node: SumNode) -> Any:
    """The names of a sum's variants, by tag."""
    return pa.array(variant_names(node), pa.string())
