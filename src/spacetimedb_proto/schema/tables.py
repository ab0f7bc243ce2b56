"""Tables and views, as far as v9 and v10 describe them alike: rows, keys, constraints, indexes, sequences.

What the two forms keep elsewhere (defaults, schedules, event tables, keys of views) is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Items
from typing import Final, TypeGuard, get_args

import attrs

from ..bsatn.types import AlgebraicType, Array, Element, Product, Ref, option_payload
from .definitions import Column, Index, IndexKind, RowType, Schedule, Sequence, Table, Unique, View, ViewShape
from .reader import Node, Struct, shorten
from .scope import U32, Scope
from .typespace import last_slot, resolve

__all__ = ["ScheduleEntry", "read_table", "read_view"]

ALGORITHMS: Final[tuple[IndexKind, ...]] = get_args(IndexKind)


@attrs.frozen(kw_only=True)
class ScheduleEntry:
    """A schedule before its table's columns are known. `function` is a canonical name within the module."""

    name: str | None
    column: Node
    function: str


def read_table(
    table: Struct,
    scope: Scope,
    *,
    name: str,
    source_name: str,
    defaults: Iterable[Struct] = (),
    schedule: ScheduleEntry | None = None,
    is_event: bool = False,
) -> Table:
    """A table.

    Args:
        table: What its definition says.
        scope: The module it is in.
        name: Its canonical name within the module.
        source_name: Its source name within the module.
        defaults: Structs with the fields `col_id` and `value`.
        schedule: What makes it a scheduled table.
        is_event: Whether its rows are events.

    Raises:
        SchemaError: Something is malformed, or names a column that is not there.
    """
    row, product = scope.row(table["product_type_ref"])
    width = len(product.elements)
    return Table(
        name=scope.canonical(name),
        source_name=scope.source(source_name),
        namespace=scope.namespace,
        row=row,
        columns=_columns(scope, product, defaults),
        primary_key=_primary_key(scope, table, width),
        constraints=_constraints(scope, table, width),
        indexes=_indexes(scope, table, width),
        sequences=_sequences(scope, table, width),
        schedule=None if schedule is None else _schedule(scope, schedule, width),
        is_public=scope.variant(table["table_access"], ("Public", "Private")) == "Public",
        is_event=is_event,
        is_system=scope.variant(table["table_type"], ("System", "User")) == "System",
    )


def read_view(view: Struct, scope: Scope, *, name: str, source_name: str, key: Items[str] = ()) -> Table | None:
    """A view, or None with a note if its return type is of a shape that has no rows.

    Args:
        view: What its definition says.
        scope: The module it is in.
        name: Its canonical name within the module.
        source_name: Its source name within the module.
        key: Names of key columns as declared; one or none is used.
    """
    found = _view_row(scope.typespace, scope.types.read(view["return_type"]))
    if found is None:
        scope.skip(view.node, f"the view {shorten(name)} returns no rows; left out")
        return None
    shape, row = found
    product = resolve(scope.typespace, row)
    assert isinstance(product, Product)
    return Table(
        name=scope.canonical(name),
        source_name=scope.source(source_name),
        namespace=scope.namespace,
        row=row,
        columns=_columns(scope, product, ()),
        primary_key=_view_key(scope, view.node, product, key),
        is_public=view["is_public"].boolean(),
        view=View(
            shape=shape,
            index=view["index"].below(U32),
            is_anonymous=view["is_anonymous"].boolean(),
            params=scope.params(view["params"]),
        ),
    )


def _columns(scope: Scope, product: Product, defaults: Iterable[Struct]) -> tuple[Column, ...]:
    width = len(product.elements)
    scope.budget.spend_columns(width)
    values: dict[int, bytes] = {}
    for default in defaults:
        values.setdefault(default["col_id"].below(width, "a column"), default["value"].octets())
    return tuple(
        Column(
            # The host refuses unnamed columns. They are counted here so that positions stay right.
            name=element.name if element.name is not None else f"field_{position}",
            type=element.type,
            index=position,
            default=values.get(position),
        )
        for position, element in enumerate(product.elements)
    )


def _primary_key(scope: Scope, table: Struct, width: int) -> int | None:
    columns = [item.below(width, "a column") for item in table.list("primary_key")]
    if len(columns) > 1:
        scope.skip(table.node, "a primary key of several columns; the table is taken to have none")
        return None
    return columns[0] if columns else None


def _view_key(scope: Scope, node: Node, product: Product, key: Items[str]) -> int | None:
    names = [element.name for element in product.elements]
    if len(key) == 1 and key[0] in names:
        return names.index(key[0])
    if key:
        scope.skip(node, "the declared key is not one column of the view; it is taken to have none")
    return None


def _constraints(scope: Scope, table: Struct, width: int) -> tuple[Unique, ...]:
    found: list[Unique] = []
    for item in table.list("constraints"):
        constraint = item.struct((scope.name_field, "data"))
        kind, payload = constraint["data"].variant(("Unique",))
        if kind != "Unique":
            scope.skip(item, f"unknown constraint {shorten(kind)}")
            continue
        columns = _column_list(payload.struct(("columns",))["columns"], width)
        found.append(Unique(name=_optional_text(constraint[scope.name_field]), columns=columns))
    return tuple(sorted(found, key=lambda unique: (unique.columns, unique.name or "")))


def _indexes(scope: Scope, table: Struct, width: int) -> tuple[Index, ...]:
    found: list[Index] = []
    for item in table.list("indexes"):
        index = item.struct((scope.name_field, "accessor_name", "algorithm"))
        kind, payload = index["algorithm"].variant(ALGORITHMS)
        if not _is_known(kind):
            scope.skip(item, f"unknown index algorithm {shorten(kind)}; the index is left out")
            continue
        columns = (payload.below(width, "a column"),) if kind == "Direct" else _column_list(payload, width)
        name = _optional_text(index[scope.name_field])
        found.append(
            Index(
                columns=columns,
                kind=kind,
                accessor=_optional_text(index["accessor_name"]),
                name=name if scope.names_are_canonical else None,
                source_name=None if scope.names_are_canonical else name,
            )
        )
    return tuple(sorted(found, key=lambda index: (index.columns, index.name or index.source_name or "")))


def _is_known(kind: str) -> TypeGuard[IndexKind]:
    return kind in ALGORITHMS


def _sequences(scope: Scope, table: Struct, width: int) -> tuple[Sequence, ...]:
    fields = (scope.name_field, "column", "start", "min_value", "max_value", "increment")
    found: list[Sequence] = []
    for item in table.list("sequences"):
        sequence = item.struct(fields)
        found.append(
            Sequence(
                name=_optional_text(sequence[scope.name_field]),
                column=sequence["column"].below(width, "a column"),
                start=_optional_number(sequence["start"]),
                min_value=_optional_number(sequence["min_value"]),
                max_value=_optional_number(sequence["max_value"]),
                increment=sequence["increment"].i128(),
            )
        )
    return tuple(sorted(found, key=lambda sequence: (sequence.column, sequence.name or "")))


def _schedule(scope: Scope, entry: ScheduleEntry, width: int) -> Schedule:
    column = entry.column.below(width, "a column")
    return Schedule(name=entry.name, column=column, function=scope.canonical(entry.function))


def _column_list(node: Node, width: int) -> tuple[int, ...]:
    return tuple(item.below(width, "a column") for item in node.items())


def _optional_text(node: Node) -> str | None:
    payload = node.option()
    return None if payload is None else payload.text()


def _optional_number(node: Node) -> int | None:
    payload = node.option()
    return None if payload is None else payload.i128()


def _view_row(typespace: Items[AlgebraicType], returned: AlgebraicType) -> tuple[ViewShape, RowType] | None:
    """How a view's return type wraps its row type, and that (schema reference, 3.1)."""
    shape: ViewShape
    row: AlgebraicType | None
    match resolve(typespace, returned):
        case Array(element):
            shape, row = "array", element
        case Product((Element("__query__", element),)):
            shape, row = "query", element
        case other:
            shape, row = "option", option_payload(other)
    if isinstance(row, Ref):
        row = Ref(last_slot(typespace, row.index))
        return (shape, row) if isinstance(typespace[row.index], Product) else None
    return (shape, row) if isinstance(row, Product) else None
