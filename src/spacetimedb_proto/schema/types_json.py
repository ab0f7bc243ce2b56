"""`AlgebraicType` from and to the JSON of a definition (schema reference, 2.1).

References are shifted on the way: each submodule numbers its own typespace from 0, while a `Schema` keeps all types in
one, so that a type means the same wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bsatn.types import AlgebraicType, Array, Element, Primitive, Product, Ref, Sum
from .reader import Node, shorten

__all__ = ["TypeReader", "elements_to_json", "option_to_json", "type_to_json"]

PRIMITIVES = {primitive.value: primitive for primitive in Primitive}
VARIANTS = ("Ref", "Sum", "Product", "Array", *PRIMITIVES)
ELEMENT_FIELDS = ("name", "algebraic_type")


class TypeReader:
    """Reads the types of one module.

    Args:
        slots: How many slots the module's own typespace has; references beyond are errors.
        first_slot: Where that typespace begins in the schema's.
        nesting: How deep a type may be nested without a reference.
    """

    def __init__(self, slots: int, first_slot: int, nesting: int) -> None:
        self.slots = slots
        self.first_slot = first_slot
        self._nesting = nesting

    def read(self, node: Node, depth: int = 0) -> AlgebraicType:
        """One type.

        Raises:
            SchemaError: It is malformed, of an unknown kind, nested too deeply, or refers to a slot that is not there.
        """
        if depth > self._nesting:
            raise node.fail(f"a type nested at most {self._nesting} deep", "a deeper one")
        name, payload = node.variant(VARIANTS)
        primitive = PRIMITIVES.get(name)
        if primitive is not None:
            return primitive
        match name:
            case "Ref":
                return Ref(self.slot(payload))
            case "Array":
                return Array(self.read(payload, depth + 1))
            case "Product":
                return Product(self._elements(payload, "elements", depth + 1))
            case "Sum":
                return Sum(self._elements(payload, "variants", depth + 1))
            case _:
                # Rows and arguments that hold it cannot be read at all, so there is nothing to go on with.
                raise node.fail("a type", f"the unknown kind {shorten(name)}")

    def slot(self, node: Node) -> int:
        """A number of a slot in the module's typespace, as the number in the schema's typespace."""
        return self.first_slot + node.below(self.slots, "a slot of the typespace")

    def product(self, node: Node) -> Product:
        """The parameters of a function: a product without its tag."""
        return Product(self._elements(node, "elements", 1))

    def _elements(self, node: Node, field: str, depth: int) -> tuple[Element, ...]:
        return tuple(self._element(item, depth) for item in node.struct((field,))[field].items())

    def _element(self, node: Node, depth: int) -> Element:
        element = node.struct(ELEMENT_FIELDS)
        name = element["name"].option()
        return Element(None if name is None else name.text(), self.read(element["algebraic_type"], depth))


def type_to_json(type_: AlgebraicType, first_slot: int = 0) -> dict[str, Any]:
    """What the server writes for a type of the module whose typespace begins at `first_slot`."""
    match type_:
        case Ref(index):
            return {"Ref": index - first_slot}
        case Array(element):
            return {"Array": type_to_json(element, first_slot)}
        case Product(elements):
            return {"Product": {"elements": elements_to_json(elements, first_slot)}}
        case Sum(variants):
            return {"Sum": {"variants": elements_to_json(variants, first_slot)}}
        case Primitive():
            return {type_.value: []}


def elements_to_json(elements: Sequence[Element], first_slot: int) -> list[dict[str, Any]]:
    """What the server writes for fields, variants or parameters."""
    return [
        {"name": option_to_json(element.name), "algebraic_type": type_to_json(element.type, first_slot)}
        for element in elements
    ]


def option_to_json(value: object) -> dict[str, Any]:
    """What the server writes for an option."""
    return {"none": []} if value is None else {"some": value}
