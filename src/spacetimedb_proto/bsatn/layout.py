"""What the code generators walk: types with every question answered.

A node says what a type is to Python (a class, an option, an enum) and how long it is on the wire; `resolve.py` makes
nodes from types. Named types, like all that is referred to, are reached through a `Slot`, which finds its
node when first asked; everything else hangs together directly. Nothing here generates code or knows the wire beyond
sizes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import attrs

from .types import AlgebraicType, Primitive
from .values import ConnectionId, Identity, TimeDuration, Timestamp

__all__ = [
    "NEWTYPES",
    "SCALARS",
    "ArrayNode",
    "BytesNode",
    "CustomNode",
    "EnumNode",
    "Field",
    "NewtypeNode",
    "Node",
    "OptionNode",
    "ProductNode",
    "ScalarNode",
    "Slot",
    "SumNode",
    "TextNode",
    "UnitNode",
    "Variant",
    "least_size",
    "plain",
]

_MANY = 32  # scalars of one named type that are worth repeating


@attrs.frozen(eq=False)
class ScalarNode:
    """A number or bool.

    Attributes:
        title: The type in words.
        code: Its format in `struct`; integers beyond 64 bits are taken as bytes.
        size: Bytes on the wire.
        kind: How it is checked and converted.
        low: Least value of an integer.
        high: Greatest value of an integer.
    """

    title: str
    code: str
    size: int
    kind: Literal["bool", "int", "wide", "f32", "f64"]
    low: int = 0
    high: int = 0

    @property
    def fixed(self) -> int | None:
        """Bytes of every value, or None if values differ."""
        return self.size

    @property
    def run(self) -> int | None:
        """How many scalars this is, laid end to end; None if it is more than scalars."""
        return 1

    @property
    def signed(self) -> bool:
        """Whether an integer can be negative."""
        return self.low < 0


def _integer(title: str, code: str, size: int, *, signed: bool) -> ScalarNode:
    low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    return ScalarNode(title, code, size, "int" if size <= 8 else "wide", low, high)


SCALARS: Mapping[Primitive, ScalarNode] = {
    Primitive.BOOL: ScalarNode("bool", "B", 1, "bool"),
    Primitive.I8: _integer("i8", "b", 1, signed=True),
    Primitive.U8: _integer("u8", "B", 1, signed=False),
    Primitive.I16: _integer("i16", "h", 2, signed=True),
    Primitive.U16: _integer("u16", "H", 2, signed=False),
    Primitive.I32: _integer("i32", "i", 4, signed=True),
    Primitive.U32: _integer("u32", "I", 4, signed=False),
    Primitive.I64: _integer("i64", "q", 8, signed=True),
    Primitive.U64: _integer("u64", "Q", 8, signed=False),
    Primitive.I128: _integer("i128", "16s", 16, signed=True),
    Primitive.U128: _integer("u128", "16s", 16, signed=False),
    Primitive.I256: _integer("i256", "32s", 32, signed=True),
    Primitive.U256: _integer("u256", "32s", 32, signed=False),
    Primitive.F32: ScalarNode("f32", "f", 4, "f32"),
    Primitive.F64: ScalarNode("f64", "d", 8, "f64"),
}


@attrs.frozen(eq=False)
class NewtypeNode:
    """A special type that Python has a class for (protocol reference, 2.3).

    Attributes:
        cls: The class.
        attribute: Where the class keeps what is on the wire: bytes, microseconds, or the number of a UUID.
        wire_name: The name of the one element, which is how the type is recognised.
        scalar: What is on the wire.
    """

    cls: type[Any]
    attribute: str
    wire_name: str
    scalar: ScalarNode

    @property
    def title(self) -> str:
        """The type in words."""
        return self.cls.__name__

    @property
    def fixed(self) -> int | None:
        """Bytes of every value, or None if values differ."""
        return self.scalar.size

    @property
    def run(self) -> int | None:
        """How many scalars this is, laid end to end; None if it is more than scalars."""
        return 1


NEWTYPES: Mapping[tuple[str | None, AlgebraicType], NewtypeNode] = {
    (name, primitive): NewtypeNode(cls, attribute, name, SCALARS[primitive])
    for name, primitive, cls, attribute in (
        ("__identity__", Primitive.U256, Identity, "wire"),
        ("__connection_id__", Primitive.U128, ConnectionId, "wire"),
        ("__timestamp_micros_since_unix_epoch__", Primitive.I64, Timestamp, "micros"),
        ("__time_duration_micros__", Primitive.I64, TimeDuration, "micros"),
        ("__uuid__", Primitive.U128, uuid.UUID, "int"),
    )
}


@attrs.frozen(eq=False)
class TextNode:
    """A string."""

    title: str = "str"
    fixed: int | None = None
    run: int | None = None


@attrs.frozen(eq=False)
class BytesNode:
    """An array of u8, which is `bytes` in Python."""

    title: str = "bytes"
    fixed: int | None = None
    run: int | None = None


@attrs.frozen(eq=False)
class UnitNode:
    """An inline product without elements: `()` in Python, nothing on the wire."""

    title: str = "unit ()"
    fixed: int | None = 0
    run: int | None = 0


@attrs.frozen(eq=False)
class EnumNode:
    """A sum whose variants all are unit: one byte, and an enum's member in Python.

    Attributes:
        members: Members by tag.
        wire_names: The variants' names by tag.
        older: What to say of a tag beyond the members, if the module has more variants than the class.
    """

    title: str
    cls: type[Any]
    members: Sequence[Any]
    wire_names: Sequence[str | None]
    older: str = ""
    fixed: int | None = 1
    run: int | None = 1


@attrs.frozen(eq=False)
class ArrayNode:
    """Any number of elements; a list in Python."""

    element: Node
    fixed: int | None = None
    run: int | None = None

    @property
    def title(self) -> str:
        """The type in words."""
        return f"array of {self.element.title}"


@attrs.frozen(eq=False)
class OptionNode:
    """A value or None."""

    payload: Node
    run: int | None = None

    @property
    def title(self) -> str:
        """The type in words."""
        return f"Some({self.payload.title}) or None" if self.wraps else f"{self.payload.title} or None"

    @property
    def wraps(self) -> bool:
        """Whether a present value comes as `Some(value)`: exactly when the payload is an option itself.

        Only then could a bare None mean two things.
        """
        return isinstance(plain(self.payload), OptionNode)

    @property
    def fixed(self) -> int | None:
        """Bytes of every value: only an option of nothing has one size."""
        return 1 if self.payload.fixed == 0 else None


@attrs.frozen(eq=False)
class Field:
    """One element of a product.

    Attributes:
        wire_name: Name in the definition.
        name: Name in Python.
        node: What it holds.
    """

    wire_name: str | None
    name: str
    node: Node


@attrs.define(eq=False, slots=False)
class ProductNode:
    """A product.

    Attributes:
        title: The class's name.
        cls: The class of its values, or None for a plain tuple.
        fields: Its elements in wire order.
    """

    title: str
    cls: type[Any] | None
    fields: Sequence[Field]

    @cached_property
    def fixed(self) -> int | None:
        """Bytes of every value, or None if values differ."""
        sizes = [field.node.fixed for field in self.fields]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @cached_property
    def run(self) -> int | None:
        """How many scalars this is, laid end to end; None if it is more than scalars."""
        counts = [field.node.run for field in self.fields]
        return None if None in counts else sum(count or 0 for count in counts)


@attrs.frozen(eq=False)
class Variant:
    """One variant of a sum, and what Python has for it.

    Attributes:
        wire_name: Name in the definition.
        name: Name in Python.
        cls: Class of the values of this variant.
        mode: `unit`: an instance without fields. `wrap`: an instance whose one field holds the payload. `bare`: the
            payload itself is the value, and `cls` its class.
        field: Name of that one field.
        node: The payload.
    """

    wire_name: str | None
    name: str
    cls: type[Any]
    mode: Literal["unit", "wrap", "bare"]
    field: str
    node: Node


@attrs.define(eq=False, slots=False)
class SumNode:
    """A sum whose variants are classes.

    Attributes:
        title: The class's name.
        cls: The base of the variants' classes; None for a union of unrelated ones.
        variants: By tag.
        unknown: Payloads of later variants, for which there is no class: they can be skipped, but not read.
        older: What to say of such a variant.
    """

    title: str
    cls: type[Any] | None
    variants: Sequence[Variant]
    unknown: Sequence[Node] = ()
    older: str = ""
    run: int | None = None

    @property
    def payloads(self) -> Sequence[Node]:
        """What each variant holds, by tag, the unknown ones included."""
        return [*(variant.node for variant in self.variants), *self.unknown]

    @cached_property
    def fixed(self) -> int | None:
        """Bytes of every value, or None if values differ."""
        sizes = {payload.fixed for payload in self.payloads}
        size = sizes.pop() if len(sizes) == 1 else None
        return None if size is None else 1 + size


@attrs.frozen(eq=False)
class CustomNode:
    """A type that somebody else reads and writes.

    Attributes:
        decode: `(data, position) -> (value, end)`; raises `DecodeError` only.
        encode: `(value, append) -> None`; raises `EncodeError` only.
        min_size: A lower bound for the bytes of any value.
        from_json: From parsed JSON, if the type has a JSON form.
        to_json: To what JSON can carry, if the type has a JSON form.
    """

    title: str
    decode: Callable[[bytes, int], tuple[Any, int]]
    encode: Callable[[Any, Callable[[bytes], None]], None]
    min_size: int
    from_json: Callable[[Any], Any] | None = None
    to_json: Callable[[Any], Any] | None = None
    fixed: int | None = None
    run: int | None = None


@attrs.define(eq=False, slots=False)
class Slot:
    """A slot of the typespace that is reached by reference.

    Attributes:
        index: Its position in the typespace.
        name: Its name, if it has one.
        cyclic: Whether its values may contain values of the same type.
    """

    index: int
    name: str | None
    cyclic: bool
    _find: Callable[[], Node] = attrs.field(alias="find")
    _found: dict[int, Node] = attrs.field(factory=dict[int, "Node"], init=False)

    @property
    def title(self) -> str:
        """The type in words."""
        return self.name or (f"type {self.index}" if self.cyclic else self.node.title)

    @property
    def node(self) -> Node:
        """What the slot holds: one node for good, even if two threads ask first."""
        return self._found.get(0) or self._found.setdefault(0, self._find())

    @cached_property
    def fixed(self) -> int | None:
        """Bytes of every value, or None if values differ; what contains itself has no one size."""
        return None if self.cyclic else self.node.fixed

    @cached_property
    def run(self) -> int | None:
        """How many scalars this is, laid end to end; None if it is more than scalars, or so many that a call is better.

        Scalars are read and written together with those around them, so their code is repeated wherever they occur.
        """
        count = None if self.cyclic else self.node.run
        return None if count is None or count > _MANY else count


Node: TypeAlias = (
    ScalarNode
    | NewtypeNode
    | TextNode
    | BytesNode
    | UnitNode
    | EnumNode
    | ArrayNode
    | OptionNode
    | ProductNode
    | SumNode
    | CustomNode
    | Slot
)


def plain(node: Node) -> Node:
    """The node behind any slots at its outside."""
    while isinstance(node, Slot):
        node = node.node
    return node


def least_size(node: Node, known: dict[int, int] | None = None) -> int:
    """A lower bound for the bytes of any value, exact unless the type contains itself.

    Args:
        node: The type.
        known: Bounds of slots that have been met; what contains itself counts as nothing inside of itself.
    """
    known = {} if known is None else known
    match node:
        case Slot(index=index):
            if index not in known:
                known[index] = 0
                known[index] = least_size(node.node, known)
            return known[index]
        case ProductNode(fields=fields):
            return sum(least_size(field.node, known) for field in fields)
        case SumNode(payloads=payloads):
            return 1 + min((least_size(payload, known) for payload in payloads), default=0)
        case OptionNode():
            return 1
        case TextNode() | BytesNode() | ArrayNode():
            return 4
        case CustomNode(min_size=min_size):
            return min_size
        case _:
            return node.fixed or 0
