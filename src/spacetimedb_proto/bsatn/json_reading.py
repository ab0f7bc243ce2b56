"""Generates the functions that read parsed SATS-JSON (protocol reference, 2.5).

All forms are understood that servers write or accept, also mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from .checks import ZERO_SIZE_ELEMENTS
from .functions import Batch
from .layout import (
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
    Variant,
    least_size,
    plain,
)
from .source import MAX_INDENT, dispatch
from .values import Some

__all__ = ["tags_of", "write_read"]


def write_read(batch: Batch, node: Node) -> None:
    """Write the body of `read(obj, depth) -> value`."""
    batch.source.add(f"return {JsonReader(batch).read(node, 'obj')}")


def tags_of(wire_names: Sequence[str | None]) -> Mapping[str | int, int]:
    """Tags by what may stand for them: the variants' names, themselves, and themselves as text where that is free."""
    tags: dict[str | int, int] = {tag: tag for tag in range(len(wire_names))}
    for tag, name in enumerate(wire_names):
        if name is not None:
            tags.setdefault(name, tag)
    for tag in range(len(wire_names)):
        tags.setdefault(str(tag), tag)
    return tags


class JsonReader:
    """Writes the reading of values; `read` returns an expression that must be used once."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source

    def read(self, node: Node, expression: str) -> str:
        """Write the reading of one value."""
        if self._source.indent >= MAX_INDENT and isinstance(node, ArrayNode | OptionNode | SumNode):
            return self._call(node, expression)
        return self._READ[type(node)](self, node, expression)

    def _let(self, expression: str, *details: str) -> str:
        variable = self._source.variable()
        self._source.add(f"{variable} = {expression}", self._source.note(*details))
        return variable

    def _demand(self, condition: str, text: str) -> None:
        self._source.add(f"if not ({condition}): raise Bad", self._source.note(text))

    def _construct(self, cls: type[Any], fields: list[tuple[str, str]]) -> str:
        variable = self._source.variable()
        for line in self._functions.construct(variable, cls, fields):
            self._source.add(line)
        return variable

    # --- scalars ------------------------------------------------------------------------------------------------------

    def _scalar(self, node: ScalarNode, expression: str) -> str:
        title = repr(node.title)
        match node.kind:
            case "f32":
                return self._let(f"json_float32({expression}, {title})")
            case "f64":
                return self._let(f"json_float({expression}, {title})")
            case "wide" if node.size == 32:
                return self._let(f"json_wide({expression}, {title}, {node.low}, {node.high})")
            case "bool":
                variable = self._let(expression)
                self._demand(f"{variable} is True or {variable} is False", f"json_unlike({variable}, 'bool')")
            case _:
                variable = self._let(expression)
                test = f"type({variable}) is int and {node.low} <= {variable} <= {node.high}"
                self._demand(test, f"json_unfit({variable}, {title})")
        return variable

    def _newtype(self, node: NewtypeNode, expression: str) -> str:
        names = self._functions.constant((node.wire_name,))
        (inner,) = (self._let(f"json_fields({expression}, {node.title!r}, {names})[0]"),)
        with self._source.step(repr(node.wire_name)):
            value = self._scalar(node.scalar, inner)
        if node.attribute == "wire":
            value = f"{value}.to_bytes({node.scalar.size}, 'little')"
        return self._construct(node.cls, [(node.attribute, value)])

    def _text(self, _node: TextNode, expression: str) -> str:
        variable = self._let(expression)
        self._demand(f"type({variable}) is str", f"json_unlike({variable}, 'string')")
        self._source.add(f"{variable}.encode()", self._source.note("'a string without lone surrogates expected'"))
        return variable

    def _bytes(self, _node: BytesNode, expression: str) -> str:
        return self._let(f"json_bytes({expression})")

    def _unit(self, _node: UnitNode, expression: str) -> str:
        self._source.add(f"json_unit({expression})", self._source.note())
        return "()"

    def _enum(self, node: EnumNode, expression: str) -> str:
        tag, payload = self._variant(node.title, node.wire_names, expression)
        self._source.add(f"json_unit({payload})", self._source.note())
        return f"{self._functions.constant(tuple(node.members))}[{tag}]"

    # --- composites ---------------------------------------------------------------------------------------------------

    def _product(self, node: ProductNode, expression: str) -> str:
        names = self._functions.constant(tuple(field.wire_name for field in node.fields))
        items = self._let(f"json_fields({expression}, {node.title!r}, {names})")
        values: list[tuple[str, str]] = []
        for position, field in enumerate(node.fields):
            with self._source.step(repr(field.name)):
                values.append((field.name, self.read(field.node, f"{items}[{position}]")))
        if node.cls is None:
            return f"({''.join(f'{value}, ' for _, value in values)})"
        return self._construct(node.cls, values)

    def _call(self, node: Node, expression: str) -> str:
        return self._let(f"{self._batch.call('read', node)}({expression}, depth)")

    def _slot(self, node: Slot, expression: str) -> str:
        simple = isinstance(plain(node), ScalarNode | NewtypeNode | TextNode | BytesNode)
        return self.read(plain(node), expression) if simple else self._call(node, expression)

    def _custom(self, node: CustomNode, expression: str) -> str:
        if node.from_json is None:
            return self._let(f"json_missing({node.title!r})")
        return self._let(f"{self._functions.constant(node.from_json)}({expression})")

    def _variant(self, title: str, wire_names: Sequence[str | None], expression: str) -> tuple[str, str]:
        tag, payload = self._source.variable(), self._source.variable()
        tags = self._functions.constant(tags_of(wire_names))
        self._source.add(f"{tag}, {payload} = json_variant({expression}, {title!r}, {tags})", self._source.note())
        return tag, payload

    def _option(self, node: OptionNode, expression: str) -> str:
        source, given, value = self._source, self._let(expression), self._source.variable()
        source.add(f"{value} = None")
        with source.block(f"if {given} is not None"):
            tag, payload = self._variant("option", ("some", "none"), given)
            source.add(f"if {tag}: json_unit({payload})", source.note())
            with source.block("else"):
                found = self.read(node.payload, payload)
                if node.wraps:
                    found = self._construct(Some, [("value", found)])
                source.add(f"{value} = {found}")
        return value

    def _sum(self, node: SumNode, expression: str) -> str:
        wire_names = [variant.wire_name for variant in node.variants]
        tag, payload = self._variant(node.title, wire_names, expression)
        value = self._source.variable()
        cases = [self._variant_case(value, payload, variant) for variant in node.variants]
        if cases:
            dispatch(self._source, tag, cases)
        return value

    def _variant_case(self, value: str, payload: str, variant: Variant) -> Callable[[], None]:
        def write() -> None:
            with self._source.step(repr(variant.name)):
                found = self.read(variant.node, payload)
                if variant.mode != "bare":
                    fields = [(variant.field, found)] if variant.mode == "wrap" else []
                    found = self._construct(variant.cls, fields)
            self._source.add(f"{value} = {found}")

        return write

    def _array(self, node: ArrayNode, expression: str) -> str:
        source, items, value = self._source, self._let(expression), self._source.variable()
        self._demand(f"type({items}) is list", f"json_unlike({items}, {node.title!r})")
        if least_size(node.element) == 0:
            text = f"at most {ZERO_SIZE_ELEMENTS} elements without bytes expected"
            self._demand(f"len({items}) <= {ZERO_SIZE_ELEMENTS}", repr(text))
        index, item = source.variable(), source.variable()
        source.add(f"{value} = []")
        with source.block(f"for {index}, {item} in enumerate({items})"), source.step(index):
            source.add(f"{value}.append({self.read(node.element, item)})")
        return value

    _READ: ClassVar[Mapping[type[Any], Callable[..., str]]] = {
        ScalarNode: _scalar,
        NewtypeNode: _newtype,
        EnumNode: _enum,
        UnitNode: _unit,
        ProductNode: _product,
        TextNode: _text,
        BytesNode: _bytes,
        ArrayNode: _array,
        OptionNode: _option,
        SumNode: _sum,
        CustomNode: _custom,
        Slot: _slot,
    }
