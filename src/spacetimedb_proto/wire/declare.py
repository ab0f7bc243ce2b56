"""Message classes and their layout, declared together once; codecs for BSATN and JSON are made from that.

A protocol whose messages are ordinary SATS values (v1 is one) needs no reading and writing by hand: its classes are
registered here with the types of their fields, and `Types` compiles both formats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from ..bsatn.codec import Types
from ..bsatn.types import UNIT, AlgebraicType, Element, Product, Ref, Sum
from ..limits import Limits

__all__ = ["Append", "Custom", "Declarations"]

Append: TypeAlias = Callable[[bytes], None]


@attrs.frozen
class Custom:
    """How a custom slot is read and written: the arguments of `Types.bind_custom`."""

    decode: Callable[[bytes, int], tuple[Any, int]]
    encode: Callable[[Any, Append], None]
    min_size: int
    from_json: Callable[[Any], Any]
    to_json: Callable[[Any], Any]


class Declarations:
    """The types of a protocol's messages.

    Customs are slots whose reading and writing is not SATS alone; they are bound when codecs are made.
    """

    def __init__(self) -> None:
        self._slots: list[AlgebraicType] = []
        self._names: dict[int, str] = {}
        self._bindings: list[Callable[[Types], None]] = []
        self._customs: dict[str, int] = {}

    def record(self, cls: type[Any], **fields: AlgebraicType) -> Ref:
        """A product whose values are instances of `cls`, with these fields in wire order."""
        elements = tuple(Element(name, type_) for name, type_ in fields.items())
        slot = self._add(cls.__name__, Product(elements))
        self._bindings.append(lambda types: types.bind(slot, cls))
        return Ref(slot)

    def union(self, name: str, **variants: tuple[type[Any], AlgebraicType]) -> Ref:
        """A sum whose values are instances of the variants' classes, in order of their tags."""
        slot = self._add(name, Sum(tuple(Element(variant, type_) for variant, (_, type_) in variants.items())))
        classes = [cls for cls, _ in variants.values()]
        self._bindings.append(lambda types: types.bind_union(slot, classes))
        return Ref(slot)

    def custom(self, name: str) -> Ref:
        """A slot that `types` is told how to read and write."""
        self._customs[name] = self._add(name, UNIT)
        return Ref(self._customs[name])

    def types(self, limits: Limits, **customs: Custom) -> Types:
        """Compile nothing yet, but know everything: each custom slot comes with how it is read and written."""
        types = Types(self._slots, self._names, limits)
        for bind in self._bindings:
            bind(types)
        for name, slot in self._customs.items():
            how = customs[name]
            types.bind_custom(slot, how.decode, how.encode, how.min_size, from_json=how.from_json, to_json=how.to_json)
        return types

    def _add(self, name: str, type_: AlgebraicType) -> int:
        self._slots.append(type_)
        self._names[len(self._slots) - 1] = name
        return len(self._slots) - 1
