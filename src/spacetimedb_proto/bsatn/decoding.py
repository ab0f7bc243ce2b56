"""Generates the functions that read BSATN (protocol reference, 2.1 and 2.2).

They take `data` and move `pos` through it. Scalars that follow each other are unpacked together: `Reader`
collects them until something of variable size comes. Until then nothing that was read has a value yet, so what is
to be done with the values is collected too. Reading is strict: what encoding would not write is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from .source import MAX_INDENT, Source, dispatch
from .values import Some

__all__ = [
    "Reader",
    "bad_tag",
    "check_count",
    "is_elastic",
    "write_decode",
    "write_decode_block",
    "write_decode_elastic",
    "write_decode_elastic_rows",
    "write_decode_exact",
]


_ELASTIC = "*"  # stands in a format for the one part that takes what the others leave


def write_decode(batch: Batch, node: Node) -> None:
    """Write the body of `decode(data, pos, depth) -> (value, end)`."""
    reader = Reader(batch)
    value = reader.read(node)
    reader.flush()
    batch.source.add(f"return {value}, pos")


def write_decode_exact(batch: Batch, node: Node) -> None:
    """Write the body of `decode_exact(data) -> value`."""
    source = batch.source
    source.add("pos = 0")
    reader = Reader(batch, exact=bool(node.run))
    value = reader.read(node)
    reader.flush(last=bool(node.run))
    if not node.run:
        source.add("if pos != len(data): raise Bad", "short(data, pos, ())")
    source.add(f"return {value}")


def is_elastic(node: Node) -> bool:
    """Whether one of a product's fields is text or bytes and all others are scalars."""
    if not isinstance(node, ProductNode):
        return False
    rest = [field.node for field in node.fields if not isinstance(plain(field.node), TextNode | BytesNode)]
    return len(rest) == len(node.fields) - 1 and all(field.run is not None for field in rest)


def write_decode_elastic(batch: Batch, node: Node) -> None:
    """Write the body of `decode_exact(data) -> value` for a product that `is_elastic`.

    All of it is unpacked at once, by a format for the size of this very data. Data for which that goes wrong must be
    read again by what `write_decode_exact` writes, which knows why.
    """
    batch.source.add("pos = 0")
    reader = Reader(batch, exact=True)
    value = reader.read(node)
    reader.flush(last=True)
    batch.source.add(f"return {value}")


def write_decode_block(batch: Batch, node: Node) -> None:
    """Write the body of `decode_block(data) -> list` for values of one size that are nothing but scalars.

    The loop knows neither position nor index: data for which it goes wrong must be read again value by value. So must
    an f32 that is NaN, whose bits Python does not keep.
    """
    Reader(batch).block(node)
    batch.source.add("return made")


def write_decode_elastic_rows(batch: Batch, node: Node) -> None:
    """Write the body of `decode_rows(rows) -> list`, as `write_decode_elastic` does for one."""
    source = batch.source
    source.add("pos = 0")
    source.add("made = []")
    with source.block("for data in rows"):
        reader = Reader(batch, exact=True)
        value = reader.read(node)
        reader.flush(last=True)
        source.add(f"made.append({value})")
    source.add("return made")


def check_count(source: Source, count: str, element: Node) -> None:
    """Write the check that an array is not longer than its bytes, before anything is allocated for it."""
    if least_size(element) == 0:
        text = f"'at most {ZERO_SIZE_ELEMENTS} elements without bytes expected, got %d' % {count}"
        source.add(f"if {count} > {ZERO_SIZE_ELEMENTS}: raise Bad", source.note("pos - 4", text))
    else:
        needed = f"{count} * {least_size(element)}"
        text = f"'an array of %d needs at least %d bytes, %d left' % ({count}, {needed}, len(data) - pos)"
        source.add(f"if {needed} > len(data) - pos: raise Bad", source.note("pos - 4", text))


class Reader:
    """Writes the reading of values.

    `read` returns an expression that has its value only after `flush`, and that must be used once.
    """

    def __init__(self, batch: Batch, *, exact: bool = False) -> None:
        """Start with nothing read.

        Args:
            batch: The function that is being written.
            exact: Whether the first run must be all there is in `data`. It may then hold one text or bytes, the size
                of which follows from that of the data.
        """
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source
        self._exact = exact
        self._run: list[tuple[str, str, str, int]] = []  # variable, format, path, size
        self._size = 0
        self._later: list[tuple[str, str | None]] = []
        self._origin = "pos"
        self._is_block = False

    def read(self, node: Node) -> str:
        """Write the reading of one value."""
        if self._source.indent >= MAX_INDENT and isinstance(node, ArrayNode | OptionNode | SumNode):
            return self._call(node)
        return self._READ[type(node)](self, node)

    def flush(self, *, last: bool = False) -> None:
        """Write what has been collected, after which all expressions have their values.

        Args:
            last: Nothing more will be read, so the position is of no interest.
        """
        if self._run:
            fields = "".join(f"({path}, {size}), " for _, _, path, size in self._run)
            targets = "".join(f"{variable}, " for variable, _, _, _ in self._run)
            format_ = "".join(code for _, code, _, _ in self._run)
            if format_ == "B" and not self._exact:
                targets = targets.rstrip(", ")
            self._source.add(f"{targets} = {self._unpack(format_)}", f"short(data, pos, ({fields}))")
        for text, note in self._later:
            self._source.add(text, note)
        if self._size and not last:
            self._source.add(f"pos += {self._size}")
        self._run, self._size, self._later = [], 0, []

    def _unpack(self, format_: str) -> str:
        if not self._exact:
            return "data[pos]" if format_ == "B" else f"{self._functions.unpack_from(format_)}(data, pos)"
        if _ELASTIC not in format_:
            return f"{self._functions.unpack(format_)}(data)"
        self._source.add(f"size = len(data) - {self._size}")
        return f"{self._functions.elastic_unpack(*format_.split(_ELASTIC))}[size](data)"

    # --- scalars ------------------------------------------------------------------------------------------------------

    def _take(self, code: str, size: int) -> tuple[str, str]:
        """Add a scalar to the run; returns its variable and an expression for its position."""
        variable = self._source.variable()
        position = f"{self._origin} + {self._size}"
        self._run.append((variable, code, self._source.here(), size))
        self._size += size
        return variable, position

    def _after(self, text: str, *details: str) -> None:
        self._later.append((text, self._source.note(*details) if details else None))

    def _scalar(self, node: ScalarNode) -> str:
        variable, position = self._take(node.code, node.size)
        match node.kind:
            case "bool":
                self._after(f"{variable} = BOOLS[{variable}]", position, f"'a bool is 0 or 1, got %d' % {variable}")
            case "f32":
                nan = "raise Bad" if self._is_block else f"{variable} = nan32(data, {position})"
                self._after(f"if {variable} != {variable}: {nan}")
            case "wide":
                return f"int_from_bytes({variable}, 'little', signed={node.signed})"
            case _:
                pass
        return variable

    def _newtype(self, node: NewtypeNode) -> str:
        variable, _ = self._take(node.scalar.code, node.scalar.size)
        value = f"int_from_bytes({variable}, 'little')" if node.attribute == "int" else variable
        return self._construct(node.cls, [(node.attribute, value)])

    def _enum(self, node: EnumNode) -> str:
        variable, position = self._take("B", 1)
        members = self._functions.constant(tuple(node.members))
        bad = bad_tag(variable, node.title, len(node.members), node.older)
        self._after(f"{variable} = {members}[{variable}]", position, bad)
        return variable

    def _construct(self, cls: type[Any], fields: list[tuple[str, str]]) -> str:
        variable = self._source.variable()
        for line in self._functions.construct(variable, cls, fields):
            self._after(line)
        return variable

    def _unit(self, _node: UnitNode) -> str:
        return "()"

    def _product(self, node: ProductNode) -> str:
        values: list[tuple[str, str]] = []
        for field in node.fields:
            with self._source.step(repr(field.name)):
                values.append((field.name, self.read(field.node)))
        if node.cls is None:
            return f"({''.join(f'{value}, ' for _, value in values)})"
        return self._construct(node.cls, values)

    # --- variable size ------------------------------------------------------------------------------------------------

    def _length(self) -> str:
        variable, _ = self._take("I", 4)
        self.flush()
        return variable

    def _span(self) -> str:
        """Read a length and check it: the bytes are then between `pos` and `end`. Returns a free variable."""
        length, source = self._length(), self._source
        text = f"'%d bytes expected, %d left' % ({length}, len(data) - pos)"
        source.add(f"end = pos + {length}")
        source.add("if end > len(data): raise Bad", source.note("pos", text))
        return source.variable()

    def _elastic(self) -> str:
        length, _ = self._take("I", 4)
        variable, _ = self._take(_ELASTIC, 0)
        self._origin = "pos + size"
        self._after(f"if {length} != size: raise Bad")
        return variable

    def _text(self, _node: TextNode) -> str:
        if self._exact:
            return f"{self._elastic()}.decode()"
        value = self._span()
        self._source.add(f"{value} = data[pos:end].decode()", self._source.note("pos", "'invalid UTF-8'"))
        self._source.add("pos = end")
        return value

    def _bytes(self, _node: BytesNode) -> str:
        if self._exact:
            return self._elastic()
        value = self._span()
        self._source.add(f"{value} = data[pos:end]")
        self._source.add("pos = end")
        return value

    def _call(self, node: Node) -> str:
        self.flush()
        value = self._source.variable()
        function = self._batch.call("decode", node)
        self._source.add(f"{value}, pos = {function}(data, pos, depth)", self._source.note())
        return value

    def _slot(self, node: Slot) -> str:
        inner = plain(node)
        if node.run is not None or isinstance(inner, TextNode | BytesNode):
            return self.read(inner)
        return self._call(node)

    def _custom(self, node: CustomNode) -> str:
        self.flush()
        value = self._source.variable()
        self._source.add(f"{value}, pos = {self._functions.constant(node.decode)}(data, pos)", self._source.note())
        return value

    def _option(self, node: OptionNode) -> str:
        tag, _ = self._take("B", 1)
        self.flush()
        source, value = self._source, self._source.variable()
        with source.block(f"if {tag} == 0"):
            payload = self.read(node.payload)
            if node.wraps:
                payload = self._construct(Some, [("value", payload)])
            self.flush()
            source.add(f"{value} = {payload}")
        source.add(f"elif {tag} == 1: {value} = None")
        source.add("else: raise Bad", source.note("pos - 1", bad_tag(tag, "option", 2)))
        return value

    def _sum(self, node: SumNode) -> str:
        tag, _ = self._take("B", 1)
        self.flush()
        source, value = self._source, self._source.variable()
        bad = source.note("pos - 1", bad_tag(tag, node.title, len(node.variants), node.older))
        source.add(f"if {tag} >= {len(node.variants)}: raise Bad", bad)
        cases = [self._variant_case(value, variant) for variant in node.variants]
        if cases:
            dispatch(source, tag, cases)
        return value

    def _variant_case(self, value: str, variant: Variant) -> Callable[[], None]:
        def write() -> None:
            with self._source.step(repr(variant.name)):
                payload = self.read(variant.node)
                if variant.mode != "bare":
                    fields = [(variant.field, payload)] if variant.mode == "wrap" else []
                    payload = self._construct(variant.cls, fields)
                self.flush()
            self._source.add(f"{value} = {payload}")

        return write

    # --- arrays -------------------------------------------------------------------------------------------------------

    def block(self, node: Node) -> None:
        """Write the reading of all values in `data`, end to end, into a list `made`."""
        source, self._is_block = self._source, True
        item = self.read(node)
        run, later, size = self._run, [text for text, _ in self._later], self._size
        self._run, self._size, self._later = [], 0, []
        targets = "".join(f"{variable}, " for variable, _, _, _ in run)
        unpack = self._functions.iter_unpack("".join(code for _, code, _, _ in run))
        if not later:
            source.add(f"made = [{item} for {targets}in {unpack}(data)]")
            return
        blank = self._functions.blank(node.cls) if isinstance(node, ProductNode) and node.cls else None
        if f"{item} = {blank}()" in later:
            later.remove(f"{item} = {blank}()")
            source.add(f"made = blanks({blank}, len(data) // {size})")
            loop, last = f"for {item}, ({targets}) in zip(made, {unpack}(data))", []
        else:
            source.add("made = []")
            loop, last = f"for {targets}in {unpack}(data)", [f"made.append({item})"]
        with source.block(loop):
            for text in (*later, *last):
                source.add(text)

    def _array(self, node: ArrayNode) -> str:
        count = self._length()
        check_count(self._source, count, node.element)
        value, element = self._source.variable(), plain(node.element)
        if isinstance(element, ScalarNode) and element.kind in ("int", "f32", "f64"):
            unpacked = f"list(unpack_from('<%d{element.code}' % {count}, data, pos))"
            self._source.add(f"{value} = {f'floats32(data, pos, {count})' if element.kind == 'f32' else unpacked}")
            self._source.add(f"pos += {count} * {element.size}")
        elif node.element.run and node.element.fixed:
            self._even_array(node.element, value, count, node.element.fixed)
        else:
            index = self._source.variable()
            self._source.add(f"{value} = []")
            with self._source.block(f"for {index} in range({count})"), self._source.step(index):
                item = self.read(node.element)
                self.flush()
                self._source.add(f"{value}.append({item})")
        return value

    def _even_array(self, element: Node, value: str, count: str, size: int) -> None:
        """Elements of one size: unpacked in one go, without moving the position."""
        source, index = self._source, self._source.variable()
        self._origin = f"pos + {index} * {size}"
        with source.step(index):
            item = self.read(element)
        run, later = self._run, self._later
        self._run, self._size, self._later, self._origin = [], 0, [], "pos"
        targets = "".join(f"{variable}, " for variable, _, _, _ in run)
        unpack = self._functions.iter_unpack("".join(code for _, code, _, _ in run))
        items = f"{unpack}(data[pos:pos + {count} * {size}])"
        if later:
            source.add(f"{value} = []")
            with source.block(f"for {index}, ({targets}) in enumerate({items})"):
                for text, note in later:
                    source.add(text, note)
                source.add(f"{value}.append({item})")
        else:
            source.add(f"{value} = [{item} for {targets}in {items}]")
        source.add(f"pos += {count} * {size}")

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


def bad_tag(tag: str, title: str, count: int, older: str = "") -> str:
    """An expression for what to say about a tag that is out of range."""
    return f"'tag %d, but ' % {tag} + {f'{title} has {count} variants{older}'!r}"
