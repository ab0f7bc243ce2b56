"""From types to nodes: which shapes are special, what the classes are called, where recursion is.

The rule of precedence (schema reference, 2.2): a reference to a slot that has a name is that named type, whatever its
shape. Only inline types, and slots without a name, are tested for the special shapes. So a module's own enum of the
variants `some` and `none` is a class, and so are the shapes that early 1.x servers name because they do not know them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from ..errors import SchemaError
from .classes import attribute_names
from .hollow import MOST_HOLLOW, hollow_fields
from .layout import (
    NEWTYPES,
    SCALARS,
    ArrayNode,
    BytesNode,
    EnumNode,
    Field,
    Node,
    OptionNode,
    ProductNode,
    Slot,
    SumNode,
    TextNode,
    UnitNode,
    Variant,
    plain,
)
from .names import field_names, variant_names
from .shared import shared_enum, shared_product, shared_sum
from .types import (
    SCHEDULE_AT,
    UNIT,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option_payload,
    references,
    result_payloads,
)
from .values import Err, Ok, ScheduleAt

__all__ = ["Resolver"]

_TYPE_NESTING = 64
"""Types inside each other without a reference between them. Answers to ad-hoc SQL spell out everything; more than this
is no module's but an attack on the generator's stack."""

_TAGS = 256  # the tag is one byte, whatever a definition lists (schema reference, 2.2)


@attrs.define
class Resolver:
    """Makes nodes for one typespace.

    Attributes:
        typespace: The slots.
        names: Names of those slots that have one.
    """

    typespace: Sequence[AlgebraicType]
    names: Mapping[int, str]
    _slots: dict[int, Slot] = attrs.field(factory=dict[int, Slot], init=False)
    _inline: dict[AlgebraicType, Node] = attrs.field(factory=dict[AlgebraicType, Node], init=False)
    _recursive: frozenset[int] | None = attrs.field(default=None, init=False)
    _hollow: Mapping[int, int] | None = attrs.field(default=None, init=False)
    _bound: dict[int, Callable[[], Node]] = attrs.field(factory=dict[int, Callable[[], Node]], init=False)

    # --- bindings -----------------------------------------------------------------------------------------------------

    def bind(self, index: int, make: Callable[[], Node]) -> None:
        """Let a slot be what `make` returns, from its first use on.

        Raises:
            SchemaError: There is no such slot, or it is in use already.
        """
        if not 0 <= index < len(self.typespace):
            raise SchemaError(f"no type {index} in a typespace of {len(self.typespace)}")
        if index in self._slots:
            raise SchemaError(f"{self._slots[index].title}: bound too late, the type is in use already")
        self._bound[index] = make

    def class_node(self, index: int, cls: type[Any], known: int | None = None, older: str = "") -> Node:
        """The node of a slot whose class exists: an attrs class, an enum, or the base of a sum's classes.

        Args:
            index: The slot.
            cls: The class.
            known: How many variants of a sum the class is made for; None for all.
            older: What to say of a variant beyond those.
        """
        title = self.names.get(index, cls.__name__)
        match self._behind_aliases(self.typespace[index]):
            case Product() as product:
                return self._product(title, product, cls)
            case Sum(variants) if issubclass(cls, enum.Enum):
                return attrs.evolve(self._enum(title, variants[:known], cls), older=older)
            case Sum(variants):
                names = variant_names([variant.name for variant in variants[:known]])
                missing = [name for name in names if not hasattr(cls, name)]
                if missing:
                    raise SchemaError(f"{title}: class {cls.__name__} has no variant {missing[0]}")
                node = self._sum(title, Sum(variants[:known]), cls, [getattr(cls, name) for name in names])
                node.unknown = [self.node(variant.type) for variant in variants[len(names) : _TAGS]]
                node.older = older
                return node
            case _:
                raise SchemaError(f"{title}: only products and sums can be bound to a class")

    def union_node(self, index: int, classes: Sequence[type[Any]]) -> Node:
        """The node of a sum slot whose variants are classes that need nothing in common."""
        title = self.names.get(index, f"type {index}")
        match self._behind_aliases(self.typespace[index]):
            case Sum(variants) as type_ if len(variants) == len(classes):
                return self._sum(title, type_, None, classes, union=True)
            case _:
                raise SchemaError(f"{title}: a sum of {len(classes)} variants expected")

    # --- nodes --------------------------------------------------------------------------------------------------------

    def node(self, type_: AlgebraicType, depth: int = 0) -> Node:
        """The node of a type.

        Raises:
            SchemaError: It refers to a slot that does not exist, to nothing but itself, or is nested too deeply.
        """
        if depth > _TYPE_NESTING:
            raise SchemaError(f"types are nested more than {_TYPE_NESTING} deep")
        match type_:
            case Primitive.STRING:
                return TextNode()
            case Primitive():
                return SCALARS[type_]
            case Ref(index):
                return self._reference(index)
            case Array(element):
                is_bytes = self._behind_aliases(element) is Primitive.U8
                return BytesNode() if is_bytes else ArrayNode(self.node(element, depth + 1))
            case Product() | Sum():
                found = self._inline.get(type_)
                return found or self._inline.setdefault(type_, self._inline_node(type_, depth))

    def _inline_node(self, type_: Product | Sum, depth: int) -> Node:
        return self._inline_product(type_, depth) if isinstance(type_, Product) else self._inline_sum(type_, depth)

    def _reference(self, index: int) -> Slot:
        slot = self._slots.get(index)
        if slot is None:
            self._behind_aliases(Ref(index))
            self._check_hollow(index)
            cyclic = index in self._cycles()
            slot = Slot(index, self.names.get(index), cyclic, lambda: self._slot_node(index))
        return self._slots.setdefault(index, slot)

    def _check_hollow(self, index: int) -> None:
        if self._hollow is None:
            self._hollow = hollow_fields(self.typespace)
        if self._hollow[index] > MOST_HOLLOW:
            title = self.names.get(index, f"type {index}")
            raise SchemaError(f"{title}: expected at most {MOST_HOLLOW} fields of products without bytes, got more")

    def _slot_node(self, index: int) -> Node:
        if index in self._bound:
            return self._bound[index]()
        type_ = self.typespace[index]
        if index in self.names:
            title = self.names[index]
            match type_:
                case Product():
                    return self._product(title, type_)
                case Sum():
                    return self._named_sum(title, type_)
                case _:
                    pass
        return self.node(type_)

    def _inline_product(self, product: Product, depth: int) -> Node:
        match product.elements:
            case ():
                return UnitNode()
            case (Element(name, type_),) if (name, type_) in NEWTYPES:
                return NEWTYPES[name, type_]
            case _:
                return self._product("Row", product, depth=depth)

    def _inline_sum(self, type_: Sum, depth: int) -> Node:
        if type_ == SCHEDULE_AT:
            return self._sum("ScheduleAt", type_, ScheduleAt, (ScheduleAt.Interval, ScheduleAt.Time))
        payload = option_payload(type_)
        if payload is not None:
            return OptionNode(self.node(payload, depth + 1))
        if result_payloads(type_) is not None:
            return self._sum("Result", type_, None, (Ok, Err), depth)
        return self._named_sum("Sum", type_, depth) if type_.variants else SumNode("never", None, ())

    def _product(self, title: str, product: Product, cls: type[Any] | None = None, depth: int = 0) -> ProductNode:
        wire_names = [element.name for element in product.elements]
        names = field_names(wire_names) if cls is None else attribute_names(cls)
        if len(names) != len(wire_names):
            raise SchemaError(f"{title}: {len(wire_names)} fields, but its class has {len(names)}")
        nodes = [self.node(element.type, depth + 1) for element in product.elements]
        fields = [Field(*field) for field in zip(wire_names, names, nodes, strict=True)]
        return ProductNode(title, cls or shared_product(title, names), fields)

    def parameters(self, title: str, product: Product, names: Sequence[str]) -> ProductNode:
        """The node of a function's parameters, whose values are plain tuples."""
        nodes = [self.node(element.type) for element in product.elements]
        wire_names = [element.name for element in product.elements]
        return ProductNode(title, None, [Field(*field) for field in zip(wire_names, names, nodes, strict=True)])

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _named_sum(self, title: str, type_: Sum, depth: int = 0) -> Node:
        units = [self._is_unit(variant.type) for variant in type_.variants]
        if all(units):
            return self._enum(title, type_.variants)
        names = variant_names([variant.name for variant in type_.variants])
        cls = shared_sum(title, [(name, not unit) for name, unit in zip(names, units, strict=True)])
        return self._sum(title, type_, cls, [getattr(cls, name) for name in names], depth)

    def _enum(self, title: str, variants: Sequence[Element], cls: type[enum.Enum] | None = None) -> EnumNode:
        wire_names = [variant.name for variant in variants]
        if cls is None:
            cls = shared_enum(title, variant_names(wire_names))
        members = list(cls)
        if [member.value for member in members] != list(range(len(variants))):
            raise SchemaError(
                f"{title}: the members of {cls.__name__} are not the tags 0 to {len(variants) - 1} in order"
            )
        return EnumNode(title, cls, members[:_TAGS], wire_names[:_TAGS])

    def _sum(
        self,
        title: str,
        type_: Sum,
        cls: type[Any] | None,
        classes: Sequence[type[Any]],
        depth: int = 0,
        *,
        union: bool = False,
    ) -> SumNode:
        make = self._member if union else self._variant
        names = variant_names([variant.name for variant in type_.variants])
        rows = zip(names, type_.variants[:_TAGS], classes, strict=False)
        return SumNode(title, cls, [make(name, element, variant, depth) for name, element, variant in rows])

    def _variant(self, name: str, element: Element, cls: type[Any], depth: int) -> Variant:
        """A variant whose class has the payload as its one field, or no field where there is no payload."""
        node = self.node(element.type, depth + 1)
        fields = attribute_names(cls)
        if not fields and self._is_unit(element.type):
            return Variant(element.name, name, cls, "unit", "", node)
        if len(fields) == 1:
            return Variant(element.name, name, cls, "wrap", fields[0], node)
        raise SchemaError(
            f"variant {name}: class {cls.__name__} has {len(fields)} fields, which do not fit the payload"
        )

    def _member(self, name: str, element: Element, cls: type[Any], depth: int) -> Variant:
        """A variant of a union: its class may also be the payload itself, or have the payload's fields."""
        node = self.node(element.type, depth + 1)
        if not attrs.has(cls) or getattr(plain(node), "cls", None) is cls:
            return Variant(element.name, name, cls, "bare", "", node)
        target = self._behind_aliases(element.type)
        count = len(target.elements) if isinstance(plain(node), ProductNode) and isinstance(target, Product) else None
        if len(attribute_names(cls)) == count and isinstance(target, Product):
            return Variant(element.name, name, cls, "bare", "", self._product(cls.__name__, target, cls, depth))
        return self._variant(name, element, cls, depth)

    # --- references ---------------------------------------------------------------------------------------------------

    def _is_unit(self, type_: AlgebraicType) -> bool:
        # A named empty product is a class of its own, only an inline one is unit.
        while isinstance(type_, Ref) and type_.index not in self.names:
            type_ = self.typespace[type_.index]
        return type_ == UNIT

    def _behind_aliases(self, type_: AlgebraicType) -> AlgebraicType:
        seen: set[int] = set()
        while isinstance(type_, Ref):
            if type_.index in seen or not 0 <= type_.index < len(self.typespace):
                raise SchemaError(f"type {type_.index} refers to no type in the end")
            seen.add(type_.index)
            type_ = self.typespace[type_.index]
        return type_

    def _cycles(self) -> frozenset[int]:
        """Slots that contain themselves, and those between such: what is left when all others are peeled off."""
        if self._recursive is None:
            targets = {index: frozenset(references(type_)) for index, type_ in enumerate(self.typespace)}
            inner = _peel(targets)
            sources: dict[int, set[int]] = {index: set() for index in inner}
            for index in inner:
                for target in targets[index] & inner:
                    sources[target].add(index)
            self._recursive = _peel({index: frozenset(found) for index, found in sources.items()})
        return self._recursive


def _peel(targets: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """What remains of a graph when nodes that lead nowhere are removed until there are none."""
    sources: dict[int, list[int]] = {index: [] for index in targets}
    open_targets = {index: len(found & targets.keys()) for index, found in targets.items()}
    for index, found in targets.items():
        for target in found & targets.keys():
            sources[target].append(index)
    ready = [index for index, count in open_targets.items() if not count]
    left = set(targets)
    while ready:
        index = ready.pop()
        left.discard(index)
        for source in sources[index]:
            open_targets[source] -= 1
            if not open_targets[source]:
                ready.append(source)
    return frozenset(left)
