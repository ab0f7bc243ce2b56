"""Generates the functions that write BSATN (protocol reference, 2.1 and 2.2).

Parts go to `append` and are joined at the very end, so nothing half-written ever leaves. Scalars that follow each other
are packed together; their ranges are checked by packing, and only if that fails each is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

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
    plain,
)
from .source import MAX_INDENT, dispatch
from .taking import Taker

__all__ = ["write_encode", "write_encode_entry"]


def write_encode(batch: Batch, node: Node) -> None:
    """Write the body of `encode(value, append, depth)`."""
    packer = Packer(batch)
    packer.write(node, "value")
    packer.flush()


def write_encode_entry(batch: Batch, node: Node) -> None:
    """Write the body of `encode(value) -> bytes`, where `depth` is known."""
    source = batch.source
    source.add("pass")
    first = len(source.lines) - 1
    packer = Packer(batch)
    packer.write(node, "value")
    if not packer.appended:  # all of it is one run of scalars: no list is needed
        if not packer.flush(deliver="return {}"):
            source.add("return b''")
        return
    packer.flush()
    source.lines[first] = source.lines[first].replace("pass", "parts = []; append = parts.append")
    source.add("return b''.join(parts)")


class Packer:
    """Writes the writing of values.

    Attributes:
        appended: Whether something other than the present run has been written.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source
        self._take = Taker(batch)
        self._run: list[tuple[str, str, str, str]] = []  # format, expression, path, type in words
        self._size = 0
        self._nans: list[tuple[int, str]] = []  # f32 fields of the run by offset
        self.appended = False

    def write(self, node: Node, expression: str) -> None:
        """Write the writing of one value."""
        if self._source.indent >= MAX_INDENT and isinstance(node, ArrayNode | OptionNode | SumNode):
            self._call(node, expression)
        else:
            self._WRITE[type(node)](self, node, expression)

    def flush(self, deliver: str = "append({})") -> bool:
        """Write what has been collected; returns whether there was something.

        Args:
            deliver: What to do with the packed bytes.
        """
        if not self._run:
            return False
        source = self._source
        format_ = "".join(code for code, _, _, _ in self._run)
        arguments = ", ".join(expression for _, expression, _, _ in self._run)
        fields = "".join(f"({path}, {title!r}, {code!r}, {value}), " for code, value, path, title in self._run)
        packed, note = f"{self._functions.pack(format_)}({arguments})", f"misfit(({fields}))"
        if self._nans:
            source.add(f"part = {packed}", note)
            test = " or ".join(f"{variable} != {variable}" for _, variable in self._nans)
            nans = "".join(f"({offset}, {variable}), " for offset, variable in self._nans)
            source.add(f"if {test}: part = keep_nan32(part, ({nans}))")
            packed = "part"
        source.add(deliver.format(packed), note)
        self._run, self._size, self._nans = [], 0, []
        return True

    def _append(self, expression: str) -> None:
        self.flush()
        self.appended = True
        self._source.add(f"append({expression})")

    def _put(self, code: str, size: int, expression: str, title: str) -> None:
        self._run.append((code, expression, self._source.here(), title))
        self._size += size

    def _tag(self, number: int) -> None:
        self._put("B", 1, str(number), "tag")

    # --- scalars ------------------------------------------------------------------------------------------------------

    def _scalar(self, node: ScalarNode, expression: str) -> None:
        variable = self._take.scalar(node, expression)
        if node.kind == "wide":
            note = self._source.note(repr(node.title), variable)
            call = f"to_bytes({node.size}, 'little', signed={node.signed})"
            self._source.add(f"{variable} = {variable}.{call}", note)
        elif node.kind == "f32":
            self._nans.append((self._size, variable))
        self._put("?" if node.kind == "bool" else node.code, node.size, variable, node.title)

    def _newtype(self, node: NewtypeNode, expression: str) -> None:
        value = f"{self._take.newtype(node, expression)}.{node.attribute}"
        if node.attribute == "int":
            value = f"{value}.to_bytes({node.scalar.size}, 'little')"
        self._put(node.scalar.code, node.scalar.size, value, node.title)

    def _enum(self, node: EnumNode, expression: str) -> None:
        self._put("B", 1, f"{self._take.member(node, expression)}._value_", f"{node.title} with a tag below 256")

    def _unit(self, _node: UnitNode, expression: str) -> None:
        self._take.unit(expression)

    def _product(self, node: ProductNode, expression: str) -> None:
        parts = self._take.fields(node, expression)
        for field, part in zip(node.fields, parts, strict=True):
            with self._source.step(repr(field.name)):
                self.write(field.node, part)

    # --- variable size ------------------------------------------------------------------------------------------------

    def _text(self, node: TextNode, expression: str) -> None:
        variable, encoded = self._take.text(node, expression), self._source.variable()
        note = self._source.note("'str without lone surrogates'", variable)
        self._source.add(f"{encoded} = {variable}.encode()", note)
        self._put("I", 4, f"len({encoded})", "str of less than 4 GiB")
        self._append(encoded)

    def _bytes(self, node: BytesNode, expression: str) -> None:
        variable = self._take.octets(node, expression)
        self._put("I", 4, f"len({variable})", "bytes of less than 4 GiB")
        self._append(variable)

    def _call(self, node: Node, expression: str) -> None:
        self.flush()
        self.appended = True
        function = self._batch.call("encode", node)
        self._source.add(f"{function}({expression}, append, depth)", self._source.note())

    def _slot(self, node: Slot, expression: str) -> None:
        inner = plain(node)
        if node.run is not None or isinstance(inner, TextNode | BytesNode):
            self.write(inner, expression)
        else:
            self._call(node, expression)

    def _custom(self, node: CustomNode, expression: str) -> None:
        self.flush()
        self.appended = True
        self._source.add(f"{self._functions.constant(node.encode)}({expression}, append)", self._source.note())

    def _option(self, node: OptionNode, expression: str) -> None:
        variable = self._take.variable(expression)
        self.flush()
        self.appended = True
        self._source.add(f"if {variable} is None: append(b'\\x01')")
        with self._source.block("else"):
            self._tag(0)
            self.write(node.payload, self._take.present(node, variable))
            self.flush()

    def _sum(self, node: SumNode, expression: str) -> None:
        variable, tag = self._take.variant(node, expression)
        self.flush()
        self.appended = True
        cases = [self._variant_case(variable, number, variant) for number, variant in enumerate(node.variants)]
        if cases:
            dispatch(self._source, tag, cases)

    def _variant_case(self, variable: str, number: int, variant: Variant) -> Callable[[], None]:
        def write() -> None:
            self._tag(number)
            with self._source.step(repr(variant.name)):
                if variant.mode != "unit":
                    self.write(variant.node, f"{variable}.{variant.field}" if variant.mode == "wrap" else variable)
                self.flush()

        return write

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _array(self, node: ArrayNode, expression: str) -> None:
        variable = self._take.items(node, expression)
        self._put("I", 4, f"len({variable})", "array of less than 4 Gi elements")
        self.flush()
        self.appended = True
        element = plain(node.element)
        if isinstance(element, ScalarNode) and element.kind in ("int", "f32", "f64"):
            self._scalars(element, variable)
            return
        index, item = self._source.variable(), self._source.variable()
        with self._source.block(f"for {index}, {item} in enumerate({variable})"), self._source.step(index):
            self.write(node.element, item)
            self.flush()
            self._source.add("pass")

    def _scalars(self, element: ScalarNode, variable: str) -> None:
        source, title, code = self._source, repr(element.title), repr(element.code)
        plain_types, convert = ("INTS", "integers") if element.kind == "int" else ("FLOATS", "floats")
        test = f"not {plain_types}.issuperset(map(type, {variable}))"
        source.add(f"if {test}: {variable} = {convert}({variable}, {title})", source.note())
        packed = f"pack_items('<%d{element.code}' % len({variable}), *{variable})"
        if element.kind == "f32":
            packed = f"pack_floats32({variable})"
        source.add(f"append({packed})", f"misfit_item({source.here()}, {title}, {code}, {variable})")

    _WRITE: ClassVar[Mapping[type[Any], Callable[..., None]]] = {
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
