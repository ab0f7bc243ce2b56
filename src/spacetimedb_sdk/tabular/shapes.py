"""What columns and their parts are called, and which parts there are. Nothing here needs Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from spacetimedb_proto.bsatn.layout import (
    BytesNode,
    CustomNode,
    EnumNode,
    Field,
    NewtypeNode,
    Node,
    ProductNode,
    ScalarNode,
    SumNode,
    TextNode,
    UnitNode,
    Variant,
    plain,
)
from spacetimedb_proto.errors import LocalProtocolError

__all__ = [
    "TAG",
    "Leaf",
    "column_names",
    "has_content",
    "member_names",
    "payloads_of",
    "product_of",
    "sum_names",
    "variant_names",
]

Leaf: TypeAlias = ScalarNode | NewtypeNode | TextNode | BytesNode | UnitNode | EnumNode | CustomNode
"""Types that hold no others."""

TAG: Final = "tag"
"""What says which variant a sum holds."""


def product_of(node: Node) -> ProductNode:
    """The product that rows are.

    Raises:
        LocalProtocolError: They are something else, which no table's are.
    """
    found = plain(node)
    if not isinstance(found, ProductNode):
        raise LocalProtocolError(f"expected rows, got values of {node.title}")
    return found


def column_names(fields: Sequence[Field]) -> list[str]:
    """The names of a product's fields as the database has them; none twice."""
    return _unique(field.name if field.wire_name is None else field.wire_name for field in fields)


def member_names(node: EnumNode) -> list[str]:
    """The names of an enum's variants as the module has them, by tag; none twice."""
    named = zip(node.wire_names, node.members, strict=False)
    return _unique(member.name if name is None else name for name, member in named)


def variant_names(node: SumNode) -> list[str]:
    """The names of a sum's variants as the module has them, by tag; none twice."""
    return _unique(variant.name if variant.wire_name is None else variant.wire_name for variant in node.variants)


def sum_names(node: SumNode) -> list[str]:
    """What a sum's parts are called: the tag, and each variant that holds something."""
    names = variant_names(node)
    return _unique((TAG, *(names[tag] for tag, _ in payloads_of(node))))


def has_content(node: Node) -> bool:
    """Whether values differ from each other."""
    inner = plain(node)
    return not (isinstance(inner, UnitNode) or (isinstance(inner, ProductNode) and not inner.fields))


def payloads_of(node: SumNode) -> list[tuple[int, Variant]]:
    """The variants that hold something, with their tags."""
    return [(tag, variant) for tag, variant in enumerate(node.variants) if has_content(variant.node)]


def _unique(names: Iterable[str]) -> list[str]:
    """Names with underscores behind those that are taken: neither polars nor SQL has the same twice."""
    found: dict[str, None] = {}
    for name in names:
        free = name
        while free in found:
            free += "_"
        found[free] = None
    return list(found)
