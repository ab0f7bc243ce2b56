"""From the parts that v9 and v10 read to a `Schema`: what only shows when everything is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from ..bsatn.types import AlgebraicType, Ref
from ..errors import SchemaError
from ..limits import Limits
from .definitions import Function, HttpRoute, Submodule, Table, TypeDef
from .model import Schema, by_name
from .reader import shorten

__all__ = ["Parts", "assemble", "query_keys"]


@attrs.define
class Parts:
    """Everything read so far, in the order of the answer."""

    type_defs: list[TypeDef] = attrs.field(factory=list[TypeDef])
    tables: list[Table] = attrs.field(factory=list[Table])
    reducers: list[Function] = attrs.field(factory=list[Function])
    procedures: list[Function] = attrs.field(factory=list[Function])
    row_level_security: list[str] = attrs.field(factory=list[str])
    http_handlers: list[str] = attrs.field(factory=list[str])
    http_routes: list[HttpRoute] = attrs.field(factory=list[HttpRoute])
    submodules: list[Submodule] = attrs.field(factory=list[Submodule])


def assemble(
    parts: Parts, typespace: Iterable[AlgebraicType], *, version: int, notes: Iterable[str], limits: Limits
) -> Schema:
    """The schema of these parts, in an order of its own.

    Raises:
        SchemaError: Two tables, reducers or procedures have the same name.
    """
    for what, items in (("tables", parts.tables), ("reducers", parts.reducers), ("procedures", parts.procedures)):
        _refuse_duplicates(what, items)
    return Schema(
        typespace=tuple(typespace),
        type_defs=tuple(sorted(parts.type_defs, key=lambda item: (item.namespace, item.scope, item.name, item.slot))),
        tables=by_name(_with_inferred_keys(parts.tables)),
        reducers=by_name(parts.reducers),
        procedures=by_name(parts.procedures),
        row_level_security=tuple(sorted(parts.row_level_security)),
        http_handlers=tuple(sorted(parts.http_handlers)),
        http_routes=tuple(sorted(parts.http_routes, key=lambda route: (route.path, route.method or "", route.handler))),
        submodules=tuple(sorted(parts.submodules, key=lambda submodule: submodule.namespace)),
        version=version,
        notes=tuple(notes),
        limits=limits,
    )


def _refuse_duplicates(what: str, items: Iterable[Table] | Iterable[Function]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise SchemaError(f"two {what} have the name {shorten(item.name)}")
        seen.add(item.name)


def query_keys(tables: Iterable[Table]) -> dict[int, int | None]:
    """The key column of a view that is a query, by the slot of its row type.

    The host infers it from the tables of that row type, and does not say so (schema reference, 3.1). If they disagree,
    one of them having no key included, the rows of the view have none.
    """
    keys: dict[int, int | None] = {}
    for table in tables:
        if isinstance(table.row, Ref) and not table.is_view:
            slot = table.row.index
            keys[slot] = table.primary_key if keys.get(slot, table.primary_key) == table.primary_key else None
    return keys


def _with_inferred_keys(tables: list[Table]) -> Iterator[Table]:
    keys = query_keys(tables)
    for table in tables:
        is_query = table.view is not None and table.view.shape == "query"
        if is_query and table.primary_key is None and isinstance(table.row, Ref):
            yield attrs.evolve(table, primary_key=keys.get(table.row.index))
        else:
            yield table
