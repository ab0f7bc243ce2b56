"""Between values of today and the plain data that classes and reducers of 0.7 read and write.

That data is the JSON of its time: rows and structs are lists by position, an option is `{"0": value}` or `{"1": []}`,
an enum `{"2": []}` by its tag, bytes are hex, and an identity is a list of its hex. Times are microseconds. What 0.7
had no form for (sums with payloads, results, options of options, UUIDs) passes as it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    OptionNode,
    ProductNode,
    plain,
)
from spacetimedb_proto.bsatn.values import ConnectionId, TimeDuration, Timestamp
from spacetimedb_proto.bsatn.values import Identity as CoreIdentity

from .values import Address, Identity

__all__ = ["from_plain", "to_plain"]

_Convert: TypeAlias = Callable[[Any, Any], Any]


def to_plain(node: Node, value: Any) -> Any:
    """A value as classes of 0.7 read it.

    Args:
        node: Its type.
        value: As the SDK of today has it.
    """
    node = plain(node)
    convert = _TO.get(type(node))
    return value if convert is None else convert(node, value)


def from_plain(node: Node, data: Any) -> Any:
    """What classes and reducers of 0.7 write, as a value of today.

    More is taken than 0.7's generator wrote, since what it wrote was not always right: also the values themselves.

    Args:
        node: The type that is wanted.
        data: As 0.7 has it. What does not fit is left for the codec to refuse.
    """
    node = plain(node)
    convert = _FROM.get(type(node))
    return data if convert is None else convert(node, data)


# --- to 0.7 -----------------------------------------------------------------------------------------------------------


def _newtype_to(node: NewtypeNode, value: Any) -> Any:
    if node.cls in (CoreIdentity, ConnectionId):
        return [value.hex()]
    return value if node.cls is uuid.UUID else value.micros


def _bytes_to(_node: BytesNode, value: bytes) -> str:
    return value.hex()


def _array_to(node: ArrayNode, value: list[Any]) -> list[Any]:
    return [to_plain(node.element, item) for item in value]


def _option_to(node: OptionNode, value: Any) -> Any:
    if node.wraps:
        return value
    return {"1": []} if value is None else {"0": to_plain(node.payload, value)}


def _enum_to(node: EnumNode, value: Any) -> Any:
    return {str(list(node.members).index(value)): []}


def _product_to(node: ProductNode, value: Any) -> Any:
    if node.cls is None:
        return [to_plain(field.node, item) for field, item in zip(node.fields, value, strict=True)]
    return [to_plain(field.node, getattr(value, field.name)) for field in node.fields]


_TO: Mapping[type, _Convert] = {
    NewtypeNode: _newtype_to,
    BytesNode: _bytes_to,
    ArrayNode: _array_to,
    OptionNode: _option_to,
    EnumNode: _enum_to,
    ProductNode: _product_to,
}


# --- from 0.7 ---------------------------------------------------------------------------------------------------------


def _is_sequence(data: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(data, list | tuple)


def _is_sum(data: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(data, dict)


def _newtype_from(node: NewtypeNode, data: Any) -> Any:
    if _is_sequence(data) and len(data) == 1:
        return _newtype_from(node, data[0])
    if isinstance(data, Identity | Address):
        return data.core
    if isinstance(data, str) and node.cls is not uuid.UUID:
        return node.cls.from_hex(data) if node.cls in (CoreIdentity, ConnectionId) else data
    if isinstance(data, int) and node.cls in (Timestamp, TimeDuration):
        return Timestamp(data) if node.cls is Timestamp else TimeDuration(data)
    return data


def _bytes_from(_node: BytesNode, data: Any) -> Any:
    return bytes.fromhex(data) if isinstance(data, str) else data


def _array_from(node: ArrayNode, data: Any) -> Any:
    return [from_plain(node.element, item) for item in data] if _is_sequence(data) else data


def _option_from(node: OptionNode, data: Any) -> Any:
    if node.wraps:
        return data
    if _is_sum(data):
        data = data.get("0")
        # `encode()` of 0.7's classes puts the payload into a list of one.
        if _is_sequence(data) and len(data) == 1 and not _is_list(node.payload):
            data = data[0]
    return None if data is None else from_plain(node.payload, data)


def _is_list(node: Node) -> bool:
    node = plain(node)
    return isinstance(node, ArrayNode | ProductNode | NewtypeNode)


def _enum_from(node: EnumNode, data: Any) -> Any:
    if isinstance(data, node.cls):
        return data
    if _is_sum(data) and len(data) == 1:
        tag = int(next(iter(data)))
    else:
        number = getattr(data, "value", data)  # a member of an enum of 0.7, which counts from 1
        if not isinstance(number, int):
            return data
        tag = number - 1
    return node.members[tag] if 0 <= tag < len(node.members) else data


def _product_from(node: ProductNode, data: Any) -> Any:
    if hasattr(data, "encode") and not isinstance(data, str):
        data = data.encode()  # an object of a class of 0.7
    if not _is_sequence(data) or len(data) != len(node.fields):
        return data
    values = [from_plain(field.node, item) for field, item in zip(node.fields, data, strict=True)]
    return tuple(values) if node.cls is None else node.cls(*values)


_FROM: Mapping[type, _Convert] = {
    NewtypeNode: _newtype_from,
    BytesNode: _bytes_from,
    ArrayNode: _array_from,
    OptionNode: _option_from,
    EnumNode: _enum_from,
    ProductNode: _product_from,
}
