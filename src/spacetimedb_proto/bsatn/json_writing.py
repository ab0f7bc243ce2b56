"""Generates the functions that write SATS-JSON, as Python objects for `json.dumps` (protocol reference, 2.5).

There are two forms: *named* has objects for products and sums, *positional* has arrays. Servers accept both and write
now this, now that. Numbers that JSON cannot carry are refused, or lost as servers lose them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from .functions import Batch, Kind
from .json_reading import tags_of
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
    plain,
)
from .source import MAX_INDENT, dispatch
from .taking import Taker

__all__ = ["write_write"]

_OPTION = ("some", "none")

_KINDS: Final[Mapping[tuple[bool, bool], Kind]] = {
    (False, False): "write_named",
    (True, False): "write_positional",
    (False, True): "tell_named",
    (True, True): "tell_positional",
}


def write_write(batch: Batch, node: Node, *, positional: bool, lossy: bool = False) -> None:
    """Write the body of `write(value, depth) -> JSON`."""
    batch.source.add(f"return {JsonWriter(batch, positional=positional, lossy=lossy).write(node, 'value')}")


class JsonWriter:
    """Writes the writing of values; `write` returns an expression that must be used once."""

    def __init__(self, batch: Batch, *, positional: bool, lossy: bool) -> None:
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source
        self._positional = positional
        self._lossy = lossy
        self._kind: Kind = _KINDS[positional, lossy]
        self._take = Taker(batch)

    def write(self, node: Node, expression: str) -> str:
        """Write the writing of one value."""
        if self._source.indent >= MAX_INDENT and isinstance(node, ArrayNode | OptionNode | SumNode):
            return self._call(node, expression)
        return self._WRITE[type(node)](self, node, expression)

    def _tagged(self, number: int, wire_names: Sequence[str | None], payload: str) -> str:
        name = wire_names[number]
        if self._positional or name is None or tags_of(wire_names)[name] != number:
            return f"[{number}, {payload}]"  # also for a variant that has no name, or not for itself
        return f"{{{name!r}: {payload}}}"

    # --- scalars ------------------------------------------------------------------------------------------------------

    def _scalar(self, node: ScalarNode, expression: str) -> str:
        variable = self._take.scalar(node, expression)
        match node.kind:
            case "bool":
                return variable
            case "f32" | "f64":
                check = "finite32" if node.kind == "f32" else "finite"
                return f"finite_or_null({variable})" if self._lossy else self._checked(check, node, variable)
            case _:
                test = f"{node.low} <= {variable} <= {node.high}"
                self._source.add(f"if not {test}: raise Bad", self._source.note(repr(node.title), variable))
        return f"hex({variable})" if node.size == 32 else variable

    def _checked(self, check: str, node: ScalarNode, variable: str) -> str:
        self._source.add(f"{check}({variable}, {node.title!r})", self._source.note())
        return variable

    def _newtype(self, node: NewtypeNode, expression: str) -> str:
        value = f"{self._take.newtype(node, expression)}.{node.attribute}"
        if node.attribute == "wire":
            value = f"int_from_bytes({value}, 'little')"
        if node.scalar.size == 32:
            value = f"hex({value})"
        return f"[{value}]" if self._positional else f"{{{node.wire_name!r}: {value}}}"

    def _text(self, node: TextNode, expression: str) -> str:
        variable = self._take.text(node, expression)
        self._source.add(f"{variable}.encode()", self._source.note("'str without lone surrogates'", variable))
        return variable

    def _bytes(self, node: BytesNode, expression: str) -> str:
        return f"{self._take.octets(node, expression)}.hex()"

    def _unit(self, _node: UnitNode, expression: str) -> str:
        self._take.unit(expression)
        return "[]"

    def _enum(self, node: EnumNode, expression: str) -> str:
        tag = self._take.variable(f"{self._take.member(node, expression)}._value_")
        note = self._source.note(repr(f"{node.title} with a tag below 256"), tag)
        self._source.add(f"if {tag} > 255: raise Bad", note)
        if self._positional or None in node.wire_names or len(set(node.wire_names)) < len(node.wire_names):
            return f"[{tag}, []]"
        return f"{{{self._functions.constant(node.wire_names)}[{tag}]: []}}"

    # --- composites ---------------------------------------------------------------------------------------------------

    def _product(self, node: ProductNode, expression: str) -> str:
        parts = self._take.fields(node, expression)
        values: list[str] = []
        for field, part in zip(node.fields, parts, strict=True):
            with self._source.step(repr(field.name)):
                values.append(self.write(field.node, part))
        names = [field.wire_name for field in node.fields]
        if self._positional or None in names or len(set(names)) < len(names):
            return f"[{', '.join(values)}]"
        return f"{{{', '.join(f'{name!r}: {value}' for name, value in zip(names, values, strict=True))}}}"

    def _call(self, node: Node, expression: str) -> str:
        variable = self._source.variable()
        function = self._batch.call(self._kind, node)
        self._source.add(f"{variable} = {function}({expression}, depth)", self._source.note())
        return variable

    def _slot(self, node: Slot, expression: str) -> str:
        simple = isinstance(plain(node), ScalarNode | NewtypeNode | TextNode | BytesNode)
        return self.write(plain(node), expression) if simple else self._call(node, expression)

    def _custom(self, node: CustomNode, expression: str) -> str:
        variable = self._source.variable()
        call = f"json_no_form({expression}, {node.title!r})"
        if node.to_json is not None:
            call = f"{self._functions.constant(node.to_json)}({expression})"
        self._source.add(f"{variable} = {call}", self._source.note())
        return variable

    def _option(self, node: OptionNode, expression: str) -> str:
        source, variable, value = self._source, self._take.variable(expression), self._source.variable()
        source.add(f"if {variable} is None: {value} = {self._tagged(1, _OPTION, '[]')}")
        with source.block("else"):
            payload = self.write(node.payload, self._take.present(node, variable))
            source.add(f"{value} = {self._tagged(0, _OPTION, payload)}")
        return value

    def _sum(self, node: SumNode, expression: str) -> str:
        variable, tag = self._take.variant(node, expression)
        value = self._source.variable()
        wire_names = [variant.wire_name for variant in node.variants]
        cases = [
            self._variant_case(value, variable, number, variant, wire_names)
            for number, variant in enumerate(node.variants)
        ]
        if cases:
            dispatch(self._source, tag, cases)
        return value

    def _variant_case(
        self, value: str, variable: str, number: int, variant: Variant, wire_names: Sequence[str | None]
    ) -> Callable[[], None]:
        def write() -> None:
            payload = "[]"
            with self._source.step(repr(variant.name)):
                if variant.mode != "unit":
                    inner = f"{variable}.{variant.field}" if variant.mode == "wrap" else variable
                    payload = self.write(variant.node, inner)
            self._source.add(f"{value} = {self._tagged(number, wire_names, payload)}")

        return write

    def _array(self, node: ArrayNode, expression: str) -> str:
        source, items, value = self._source, self._take.items(node, expression), self._source.variable()
        index, item = source.variable(), source.variable()
        source.add(f"{value} = []")
        with source.block(f"for {index}, {item} in enumerate({items})"), source.step(index):
            source.add(f"{value}.append({self.write(node.element, item)})")
        return value

    _WRITE: ClassVar[Mapping[type[Any], Callable[..., str]]] = {
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
