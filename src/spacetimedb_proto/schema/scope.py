"""What is the same for all parts of one module while its definition is being read.

v9 and v10 spell most structs alike and differ in what a name is called, `name` or `source_name`; everything here works
for both. What stands where, `v9.py` and `v10.py` know.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..bsatn.types import AlgebraicType, Product, Ref
from ..errors import SchemaError
from .definitions import Param, TypeDef
from .names import qualify
from .reader import Node, shorten
from .types_json import TypeReader
from .typespace import endless_alias, last_slot

__all__ = ["Budget", "Scope"]

MAX_COLUMNS = 200_000
"""Columns of all tables together. Tables may share a row type, so a small definition could ask for very many."""

MAX_NOTES = 100
U32 = 1 << 32


@attrs.define(kw_only=True)
class Budget:
    """What one definition may cost, and has cost so far; shared by the root and its submodules."""

    nesting: int
    columns: int = 0
    notes: list[str] = attrs.field(factory=list[str])

    def spend_columns(self, count: int) -> None:
        """Account for the columns of one more table.

        Raises:
            SchemaError: That is too many.
        """
        self.columns += count
        if self.columns > MAX_COLUMNS:
            raise SchemaError(f"the tables have more than {MAX_COLUMNS} columns together")

    def note(self, text: str) -> None:
        """Remember something that was skipped; of very many notes only the first."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)


@attrs.define(kw_only=True)
class Scope:
    """One module, the root or a submodule.

    Attributes:
        name_field: What this form of the definition calls the name of things.
        typespace: The typespace of the whole schema; each module appends its own.
        namespace: Canonical dotted name of the submodule; empty for the root.
        source_namespace: The same in source names.
        types: Reads types of this module; refers to nothing before `read_typespace`.
    """

    name_field: str
    budget: Budget
    typespace: list[AlgebraicType] = attrs.field(factory=list[AlgebraicType])
    namespace: str = ""
    source_namespace: str = ""
    types: TypeReader = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.types = TypeReader(0, len(self.typespace), self.budget.nesting)

    @property
    def names_are_canonical(self) -> bool:
        """Whether this form gives canonical names only: v9 calls them `name`, v10 calls its own `source_name`."""
        return self.name_field == "name"

    def skip(self, node: Node, what: str) -> None:
        """Note that something was left out."""
        self.budget.note(f"{node.path}: {what}")

    def variant(self, node: Node, names: Sequence[str]) -> str:
        """The name of a variant without payload; an unknown one is noted, and is none of `names`."""
        name, _ = node.variant(names)
        if name not in names:
            self.skip(node, f"unknown variant {shorten(name)}")
        return name

    def canonical(self, name: str) -> str:
        """The name by which the whole database knows something in this module."""
        return qualify(self.namespace, name)

    def source(self, name: str) -> str:
        """The same for a source name."""
        return qualify(self.source_namespace, name)

    def read_typespace(self, node: Node) -> None:
        """Append the module's own types.

        Raises:
            SchemaError: A type is malformed, or references go round in a circle.
        """
        items = node.struct(("types",)).list("types")
        first = len(self.typespace)
        self.types = TypeReader(len(items), first, self.budget.nesting)
        self.typespace.extend([self.types.read(item) for item in items])
        endless = endless_alias(self.typespace, first, self.budget.nesting)
        if endless is not None:
            raise items[endless - first].fail("references that lead to a type", "a circle, or too many of them")

    def type_def(self, node: Node) -> TypeDef:
        """A name of a slot."""
        definition = node.struct((self.name_field, "ty", "custom_ordering"))
        name = definition[self.name_field].struct(("scope", self.name_field))
        ordering = definition.get("custom_ordering")
        return TypeDef(
            slot=self.types.slot(definition["ty"]),
            name=name[self.name_field].text(),
            scope=tuple(step.text() for step in name.list("scope")),
            namespace=self.namespace,
            custom_ordering=ordering is None or ordering.boolean(),
        )

    def row(self, node: Node) -> tuple[Ref, Product]:
        """The slot that holds a table's row type, behind any references to other slots, and the type itself."""
        slot = last_slot(self.typespace, self.types.slot(node))
        product = self.typespace[slot]
        if not isinstance(product, Product):
            raise node.fail("a slot that holds a product", f"one that holds a {type(product).__name__}")
        return Ref(slot), product

    def params(self, node: Node) -> tuple[Param, ...]:
        """Parameters in declared order. The host refuses unnamed ones; they get a name all the same."""
        elements = self.types.product(node).elements
        return tuple(
            Param(name=element.name if element.name is not None else f"arg_{position}", type=element.type)
            for position, element in enumerate(elements)
        )
