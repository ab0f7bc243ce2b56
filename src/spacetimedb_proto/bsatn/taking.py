"""What every way of writing values has in common: taking them apart and checking them.

A value of exactly the expected class costs one comparison; anything else goes to a helper in `checks.py`, which
converts what may be converted and refuses the rest. The helpers do not know where they are: the lines' notes do.
"""

from __future__ import annotations

from typing import Any

from .checks import ZERO_SIZE_ELEMENTS
from .functions import Batch
from .layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    OptionNode,
    ProductNode,
    ScalarNode,
    SumNode,
    TextNode,
    least_size,
)

__all__ = ["Taker"]


class Taker:
    """Writes the checking of values and the reading of their parts. All methods return variables."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source

    def variable(self, expression: str) -> str:
        """Put an expression into a variable of its own, because checking may replace the value."""
        variable = self._source.variable()
        self._source.add(f"{variable} = {expression}")
        return variable

    def _checked(self, expression: str, cls: str, convert: str) -> str:
        variable = self.variable(expression)
        self._source.add(
            f"if type({variable}) is not {cls}: {variable} = {convert.format(variable)}", self._source.note()
        )
        return variable

    def scalar(self, node: ScalarNode, expression: str) -> str:
        """A bool, or a number that need not be in range yet."""
        match node.kind:
            case "bool":
                variable = self.variable(expression)
                test = f"{variable} is not True and {variable} is not False"
                self._source.add(f"if {test}: as_bool({variable})", self._source.note())
                return variable
            case "int" | "wide":
                return self._checked(expression, "int", f"as_int({{}}, {node.title!r})")
            case _:
                return self._checked(expression, "float", f"as_float({{}}, {node.title!r})")

    def newtype(self, node: NewtypeNode, expression: str) -> str:
        """An instance of the special type's class."""
        cls = self._functions.constant(node.cls)
        return self._checked(expression, cls, f"as_instance({{}}, {cls})")

    def text(self, _node: TextNode, expression: str) -> str:
        """A string."""
        return self._checked(expression, "str", "as_text({})")

    def octets(self, _node: BytesNode, expression: str) -> str:
        """Bytes."""
        return self._checked(expression, "bytes", "as_bytes({})")

    def unit(self, expression: str) -> None:
        """Nothing."""
        self._source.add(f"as_unit({expression})", self._source.note())

    def member(self, node: EnumNode, expression: str) -> str:
        """An enum's member."""
        cls, names = self._functions.constant(node.cls), self._functions.constant(node.wire_names)
        return self._checked(expression, cls, f"as_member({{}}, {cls}, {names})")

    def present(self, node: OptionNode, variable: str) -> str:
        """An expression for the payload of an option that is not None."""
        if not node.wraps:
            return variable
        payload = self._source.variable()
        expected = repr(node.title)
        self._source.add(
            f"{payload} = {variable}.value if type({variable}) is Some else as_some({variable}, {expected})",
            self._source.note(),
        )
        return payload

    def fields(self, node: ProductNode, expression: str) -> list[str]:
        """The fields of a product."""
        variable = self.variable(expression)
        parts = [self._source.variable() for _ in node.fields]
        targets = "".join(f"{part}, " for part in parts)
        if node.cls is None:
            self._source.add(f"{targets or '()'} = {variable}" if targets else "pass")
            return parts
        names = self._functions.constant(tuple(field.name for field in node.fields))
        wire_names = self._functions.constant(tuple(field.wire_name for field in node.fields))
        with self._source.block(f"if type({variable}) is {self._functions.constant(node.cls)}"):
            stores = [f"{part} = {variable}.{field.name}" for part, field in zip(parts, node.fields, strict=True)]
            self._source.add("; ".join(stores) or "pass")
        convert = f"as_fields({variable}, {node.title!r}, {names}, {wire_names})"
        self._source.add(f"else: {f'{targets}= ' if targets else ''}{convert}", self._source.note())
        return parts

    def variant(self, node: SumNode, expression: str) -> tuple[str, str]:
        """A sum's value and its tag."""
        variable, tag = self.variable(expression), self._source.variable()
        classes: dict[type[Any], int] = {}
        for number, variant in enumerate(node.variants):
            classes.setdefault(variant.cls, number)
        units = {variant.cls: variant.cls() for variant in node.variants if variant.mode == "unit"}
        table, unit_table = self._functions.constant(classes), self._functions.constant(units)
        self._source.add(f"{tag} = {table}.get(type({variable}))")
        convert = f"as_variant({variable}, {node.title!r}, {table}, {unit_table})"
        self._source.add(f"if {tag} is None: {variable}, {tag} = {convert}", self._source.note())
        return variable, tag

    def items(self, node: ArrayNode, expression: str) -> str:
        """The elements of an array: a list or a tuple."""
        variable = self.variable(expression)
        test = f"type({variable}) is not list and type({variable}) is not tuple"
        self._source.add(f"if {test}: {variable} = as_items({variable}, {node.title!r})", self._source.note())
        if least_size(node.element) == 0:
            text = repr(f"at most {ZERO_SIZE_ELEMENTS} elements without bytes")
            note = self._source.note(text, variable)
            self._source.add(f"if len({variable}) > {ZERO_SIZE_ELEMENTS}: raise Bad", note)
        return variable
