"""What a package will hold, and under which names: everything that is decided before any text is written.

Names are made by the functions that dynamic bindings use, so that both kinds reach a thing by the same name. All orders
are those of the schema, which does not depend on the order of the server's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from spacetimedb_proto.bsatn.layout import (
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    ProductNode,
    ScalarNode,
    SumNode,
    TextNode,
    plain,
)
from spacetimedb_proto.bsatn.names import class_names, field_names, parameter_names
from spacetimedb_proto.bsatn.types import Ref
from spacetimedb_proto.bsatn.values import TimeDuration
from spacetimedb_proto.schema import Function, Schema, Table

__all__ = ["FunctionPlan", "Kind", "Plan", "TablePlan", "TypePlan", "left_out"]

Kind: TypeAlias = Literal["reducer", "procedure"]

OWN_NAMES = (
    "BINDINGS",
    "BlockingConnection",
    "Connection",
    "Context",
    "FrameConnection",
    "SCHEMA_HASH",
    "connect",
    "query",
)
"""What a package has of its own, beside types."""

OWN_MODULES = ("connection", "procedures", "reducers", "tables", "types")


@attrs.frozen(kw_only=True)
class TypePlan:
    """A named type that has a class.

    Attributes:
        schema_name: Its name in the schema.
        name: The class.
        union: For a sum, the union of its variants; else empty.
        node: What the class looks like.
        rows_of: Names of the tables whose rows it is.
    """

    schema_name: str
    name: str
    node: ProductNode | EnumNode | SumNode
    union: str = ""
    rows_of: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class TablePlan:
    """A table or view.

    Attributes:
        attribute: What it is called on `conn.db`.
        handle: The class of its handle.
        columns_name: The class of its columns in conditions.
        columns: Each column's attribute and type.
        row: The type of its rows.
    """

    table: Table
    attribute: str
    handle: str
    columns_name: str
    columns: Sequence[tuple[str, Node]]
    row: Node

    @property
    def is_keyed(self) -> bool:
        """Whether its rows can be updated."""
        return self.table.primary_key is not None and not self.table.is_event

    @property
    def comparable(self) -> Sequence[tuple[str, Node]]:
        """The columns that SQL has literals for."""
        return [(name, node) for name, node in self.columns if _has_literal(plain(node))]


@attrs.frozen(kw_only=True)
class FunctionPlan:
    """A reducer or procedure that clients may call.

    Attributes:
        attribute: What it is called on `conn.reducers` or `conn.procedures`.
        params: Each parameter's name and type.
        returns: What a procedure returns; None for reducers.
    """

    function: Function
    attribute: str
    params: Sequence[tuple[str, Node]]
    returns: Node | None


@attrs.frozen(slots=False)
class Plan:
    """All of one package.

    Attributes:
        schema: What it is made from.
        include_private: Whether private tables are in it.
    """

    schema: Schema
    include_private: bool = False

    # --- types --------------------------------------------------------------------------------------------------------

    @cached_property
    def classes(self) -> Mapping[int, TypePlan]:
        """The named types with a class of their own, by slot, in the order of their names."""
        slots = {name: slot for slot, name in self.schema.type_names.items()}
        known = sorted(slots)
        names = dict(zip(known, field_names(known), strict=True))
        nodes = {name: plain(self.schema.types.node(Ref(slots[name]))) for name in known}
        sums = [name for name in known if isinstance(nodes[name], SumNode)]
        wishes = [f"Any{names[name]}" for name in sums]
        unions = dict(zip(sums, field_names(wishes, reserved=names.values()), strict=True))
        return {
            slots[name]: TypePlan(
                schema_name=name,
                name=names[name],
                node=node,
                union=unions.get(name, ""),
                rows_of=tuple(table.name for table in self._shown if table.row == Ref(slots[name])),
            )
            for name, node in nodes.items()
            if isinstance(node, ProductNode | EnumNode | SumNode)
        }

    @property
    def exported(self) -> Iterator[str]:
        """Classes and unions that the package itself has under their names, too."""
        taken = {*OWN_NAMES, *OWN_MODULES}
        names = [name for type_ in self.classes.values() for name in (type_.name, type_.union) if name]
        return (name for name in sorted(names) if name not in taken)

    # --- tables -------------------------------------------------------------------------------------------------------

    @property
    def _shown(self) -> list[Table]:
        return [table for table in self.schema.tables.values() if table.is_public or self.include_private]

    @cached_property
    def tables(self) -> Sequence[TablePlan]:
        """The tables and views, by name."""
        # A private table takes part in naming, for on a connection it is there.
        attributes = dict(zip(self.schema.tables, field_names(list(self.schema.tables)), strict=True))
        names = dict(zip(self.schema.tables, class_names(self.schema.tables), strict=True))
        return [
            TablePlan(
                table=table,
                attribute=attributes[table.name],
                handle=f"{names[table.name]}Table",
                columns_name=f"{names[table.name]}Columns",
                columns=self._columns(table),
                row=self.schema.types.node(table.row),
            )
            for table in self._shown
        ]

    def _columns(self, table: Table) -> Sequence[tuple[str, Node]]:
        attributes = field_names([column.name for column in table.columns])
        types = self.schema.types
        return [(name, types.node(column.type)) for name, column in zip(attributes, table.columns, strict=True)]

    # --- functions ----------------------------------------------------------------------------------------------------

    def functions(self, kind: Kind) -> Sequence[FunctionPlan]:
        """The reducers or procedures that clients may call, by name."""
        return self._functions[kind]

    @cached_property
    def _functions(self) -> Mapping[Kind, Sequence[FunctionPlan]]:
        return {"reducer": self._offered("reducer"), "procedure": self._offered("procedure")}

    def _offered(self, kind: Kind) -> Sequence[FunctionPlan]:
        found = self.schema.reducers if kind == "reducer" else self.schema.procedures
        offered = [function for function in found.values() if function.is_callable]
        attributes = field_names([function.name for function in offered])
        types = self.schema.types
        return [
            FunctionPlan(
                function=function,
                attribute=attribute,
                params=[
                    (param, types.node(type_.type))
                    for param, type_ in zip(
                        parameter_names([param.name for param in function.params]), function.params, strict=True
                    )
                ],
                returns=None if function.return_type is None else types.node(function.return_type),
            )
            for function, attribute in zip(offered, attributes, strict=True)
        ]

    # --- what is not in it --------------------------------------------------------------------------------------------

    def left_out(self) -> list[str]:
        """What the package does not show of its schema, and why, one sentence each."""
        schema = self.schema
        tables = [
            f"table {table.name}: it is private" for table in schema.tables.values() if not table.is_public
        ] if not self.include_private else []  # fmt: skip
        functions = [
            f"{'procedure' if function.is_procedure else 'reducer'} {function.name}: {_why_not(function)}"
            for function in (*schema.reducers.values(), *schema.procedures.values())
            if not function.is_callable
        ]
        types = [
            f"type {name}: it has no class, its values are plain ones"
            for slot, name in sorted(schema.type_names.items(), key=lambda item: item[1])
            if slot not in self.classes
        ]
        exported = set(self.exported)
        hidden = [
            f"class {type_.name}: the package itself has something of that name, so it is in `types` only"
            for type_ in self.classes.values()
            if type_.name not in exported
        ]
        return [*tables, *functions, *types, *hidden, *(f"definition: {note}" for note in schema.notes)]


def _has_literal(node: Node) -> bool:
    match node:
        case ScalarNode() | TextNode() | BytesNode():
            return True
        case NewtypeNode(cls=cls):
            return cls is not TimeDuration
        case _:
            return False


def left_out(schema: Schema, *, include_private: bool = False) -> list[str]:
    """What a package does not show of its schema, and why, one sentence each."""
    return Plan(schema, include_private).left_out()


def _why_not(function: Function) -> str:
    if function.lifecycle is not None:
        return f"the server runs it ({function.lifecycle})"
    return "a table schedules it" if function.is_scheduled else "it is private"
