"""Types of a schema as annotations."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    NewtypeNode,
    Node,
    OptionNode,
    ScalarNode,
    Slot,
    SumNode,
    TextNode,
    UnitNode,
)
from spacetimedb_proto.bsatn.values import Err, Ok, ScheduleAt

from .plan import Plan
from .scope import Scope

__all__ = ["NUMBERS", "Annotations"]

SDK = "spacetimedb_sdk"
NUMBERS = {"bool": "bool", "int": "int", "wide": "int", "f32": "float", "f64": "float"}
"""Python's types of scalars, by kind."""


@attrs.frozen
class Annotations:
    """Writes annotations for one module.

    Attributes:
        plan: What the classes are called.
        scope: The module.
        is_types: Whether the module is the one that the classes are in.
    """

    plan: Plan
    scope: Scope
    is_types: bool = False

    def of(self, node: Node, hidden: Iterable[str] = (), *, given: bool = False) -> str:
        """The annotation of a type.

        Args:
            node: The type.
            hidden: Names that mean something else where it stands.
            given: Whether it is for what a caller gives, where more is taken than ever comes out.
        """
        return _Writer(self, frozenset(hidden), given).write(node)


@attrs.frozen
class _Writer:
    annotations: Annotations
    hidden: frozenset[str]
    given: bool
    inside: set[int] = attrs.field(factory=set[int])

    def write(self, node: Node) -> str:
        match node:
            case Slot():
                return self._slot(node)
            case ScalarNode(kind=kind):
                return self._builtin(NUMBERS[kind])
            case TextNode():
                return self._builtin("str")
            case BytesNode():
                return self._builtin("bytes")
            case UnitNode():
                return f"{self._builtin('tuple')}[()]"
            case NewtypeNode(cls=cls):
                module = "uuid" if cls.__module__ == "uuid" else SDK
                return self._name(module, cls.__name__)
            case ArrayNode(element=element):
                array = self._name("collections.abc", "Sequence") if self.given else self._builtin("list")
                return f"{array}[{self.write(element)}]"
            case OptionNode(payload=payload):
                inner = self.write(payload)
                return f"{self._name(SDK, 'Some')}[{inner}] | None" if node.wraps else f"{inner} | None"
            case SumNode():
                return self._inline_sum(node)
            case _:
                return self._name("typing", "Any")

    def _slot(self, slot: Slot) -> str:
        type_ = self.annotations.plan.classes.get(slot.index)
        if type_ is None:
            return self._alias(slot)
        name = type_.name if self.given or not type_.union else type_.union
        return self.own(name)

    def _alias(self, slot: Slot) -> str:
        """A slot without a name is what it holds; inside of itself it could only go on for ever."""
        if slot.index in self.inside:
            return self._name("typing", "Any")
        self.inside.add(slot.index)
        text = self.write(slot.node)
        self.inside.discard(slot.index)
        return text

    def own(self, name: str) -> str:
        scope = self.annotations.scope
        return scope.own(name, self.hidden) if self.annotations.is_types else self._name(".types", name)

    def _inline_sum(self, node: SumNode) -> str:
        if node.cls is ScheduleAt:
            return self._name(SDK, "ScheduleAt")
        if not node.variants:
            return self._name("typing", "Never")
        if [variant.cls for variant in node.variants] == [Ok, Err]:
            ok, err = (self.write(variant.node) for variant in node.variants)
            return f"{self._name(SDK, 'Ok')}[{ok}] | {self._name(SDK, 'Err')}[{err}]"
        return self._name("typing", "Any")

    def _builtin(self, name: str) -> str:
        return self._name("builtins", name)

    def _name(self, module: str, name: str) -> str:
        return self.annotations.scope.name(module, name, self.hidden)
