"""Columns made of Python values. A value of None is one that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

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
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import LocalProtocolError

from .plain import as_json
from .shapes import Leaf, column_names, payloads_of, sum_names
from .types import list_type, member_array, newtype_type, pa, scalar_type, type_of, variant_array

__all__ = ["array_of"]


def array_of(node: Node, values: Sequence[Any]) -> Any:
    """An Arrow array of values of a type."""
    match node:
        case Slot(cyclic=True):
            return pa.array([None if value is None else as_json(node, value) for value in values], pa.string())
        case Slot():
            return array_of(node.node, values)
        case ArrayNode():
            return _lists(node, values)
        case OptionNode():
            return _options(node, values)
        case ProductNode():
            return _products(node, values) if node.fields else _there(values)
        case SumNode():
            return _sums(node, values)
        case _:
            return _leaves(node, values)


def _leaves(node: Leaf, values: Sequence[Any]) -> Any:
    match node:
        case ScalarNode():
            found = [None if value is None else str(value) for value in values] if node.kind == "wide" else values
            return pa.array(found, scalar_type(node))
        case NewtypeNode():
            return pa.array(_newtypes(node, values), newtype_type(node))
        case TextNode():
            return pa.array(values, pa.string())
        case BytesNode():
            return pa.array(values, pa.binary())
        case UnitNode():
            return _there(values)
        case EnumNode():
            return _enums(node, values)
        case CustomNode():
            raise LocalProtocolError(f"{node.title}: there are no columns for this type")
        case _:
            assert_never(node)


def _newtypes(node: NewtypeNode, values: Sequence[Any]) -> list[Any]:
    if node.cls in (Timestamp, TimeDuration):
        return [None if value is None else value.micros for value in values]
    if node.cls in (Identity, ConnectionId):
        return [None if value is None else value.hex() for value in values]
    return [None if value is None else str(value) for value in values]


def _there(values: Sequence[Any]) -> Any:
    return pa.array([None if value is None else True for value in values], pa.bool_())


def _missing(values: Sequence[Any]) -> Any:
    return pa.array([value is None for value in values], pa.bool_())


def _enums(node: EnumNode, values: Sequence[Any]) -> Any:
    tags = pa.array([None if value is None else value.value for value in values], pa.uint8())
    return pa.DictionaryArray.from_arrays(tags, member_array(node))


def _lists(node: ArrayNode, values: Sequence[Any]) -> Any:
    offsets, items = [0], list[Any]()
    for value in values:
        items.extend(value or ())
        offsets.append(len(items))
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        array_of(node.element, items),
        type=list_type(type_of(node.element)),
        mask=_missing(values),
    )


def _options(node: OptionNode, values: Sequence[Any]) -> Any:
    if not node.wraps:
        return array_of(node.payload, values)
    inner = array_of(node.payload, [None if value is None else value.value for value in values])
    return pa.StructArray.from_arrays([inner], names=["some"], mask=_missing(values))


def _products(node: ProductNode, values: Sequence[Any]) -> Any:
    parts = [
        array_of(field.node, [None if value is None else getattr(value, field.name) for value in values])
        for field in node.fields
    ]
    return pa.StructArray.from_arrays(parts, names=column_names(node.fields), mask=_missing(values))


def _sums(node: SumNode, values: Sequence[Any]) -> Any:
    by_class = {variant.cls: tag for tag, variant in enumerate(node.variants)}
    tags = [None if value is None else by_class[type(value)] for value in values]
    names = variant_array(node)
    parts = [pa.DictionaryArray.from_arrays(pa.array(tags, pa.uint8()), names)]
    for wanted, variant in payloads_of(node):
        found = [value if tag == wanted else None for tag, value in zip(tags, values, strict=True)]
        if variant.mode != "bare":
            found = [None if value is None else getattr(value, variant.field) for value in found]
        parts.append(array_of(variant.node, found))
    return pa.StructArray.from_arrays(parts, names=sum_names(node), mask=_missing(values))
