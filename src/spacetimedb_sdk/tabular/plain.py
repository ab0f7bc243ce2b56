"""Values as JSON can carry them, without loss: for nested values in places that know only text.

Integers beyond 64 bits and special types are text, as everywhere in this package; floats that JSON lacks are the texts
`NaN`, `Infinity` and `-Infinity`; bytes are hex. Products are objects. A sum is an object of its one variant, or the
variant's name where it holds nothing.
"""

from __future__ import annotations

import json
import math
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
from spacetimedb_proto.errors import LocalProtocolError

from .shapes import Leaf, column_names, has_content, member_names, variant_names

__all__ = ["as_json", "as_plain", "dumped"]


def as_json(node: Node, value: Any) -> str:
    """A value as JSON text."""
    return dumped(as_plain(node, value))


def dumped(value: Any) -> str:
    """A plain value as JSON text: always the same one, for feeds know rows by it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_plain(node: Node, value: Any) -> Any:
    """A value as `json.dumps` takes it."""
    match node:
        case Slot():
            return as_plain(node.node, value)
        case ArrayNode(element=element):
            return [as_plain(element, item) for item in value]
        case OptionNode(payload=payload):
            if value is None:
                return None
            return {"some": as_plain(payload, value.value)} if node.wraps else as_plain(payload, value)
        case ProductNode():
            return _object(node, value)
        case SumNode():
            return _variant(node, value)
        case _:
            return _leaf(node, value)


def _leaf(node: Leaf, value: Any) -> Any:
    match node:
        case ScalarNode():
            return _number(node, value)
        case NewtypeNode():
            return str(value)
        case TextNode():
            text: str = value
            return text
        case BytesNode():
            data: bytes = value
            return data.hex()
        case UnitNode():
            return True
        case EnumNode():
            tag: int = value.value
            return member_names(node)[tag]
        case CustomNode():
            raise LocalProtocolError(f"{node.title}: there is no plain form of this type")
        case _:
            assert_never(node)


def _number(node: ScalarNode, value: Any) -> Any:
    if node.kind == "wide":
        return str(value)
    if node.kind in ("f32", "f64") and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _object(node: ProductNode, value: Any) -> Any:
    if not node.fields:
        return True
    named = zip(column_names(node.fields), node.fields, strict=True)
    return {name: as_plain(field.node, getattr(value, field.name)) for name, field in named}


def _variant(node: SumNode, value: Any) -> Any:
    tag = next(tag for tag, variant in enumerate(node.variants) if isinstance(value, variant.cls))
    variant, name = node.variants[tag], variant_names(node)[tag]
    if not has_content(variant.node):
        return name
    return {name: as_plain(variant.node, value if variant.mode == "bare" else getattr(value, variant.field))}
