"""Reading a v9 definition (schema reference, 1.5): a struct of lists, names canonical throughout.

A 2.x server tells less in this form than in v10 (schema reference, 1.2). Lost are submodules, `is_event`, privacy of
functions that are neither scheduled nor run at an event, declared keys of views, HTTP handlers, and the source names of
tables, functions and indexes.
"""

from __future__ import annotations

from itertools import chain

from ..bsatn.types import AlgebraicType
from .assemble import Parts
from .definitions import Function
from .reader import Node, Struct, shorten
from .scope import Scope
from .tables import ScheduleEntry, read_table, read_view

__all__ = ["MODULE_FIELDS", "read_v9"]

MODULE_FIELDS = ("typespace", "tables", "reducers", "types", "misc_exports", "row_level_security")
TABLE_FIELDS = (
    "name",
    "product_type_ref",
    "primary_key",
    "indexes",
    "constraints",
    "sequences",
    "schedule",
    "table_type",
    "table_access",
)
SCHEDULE_FIELDS = ("name", "reducer_name", "scheduled_at_column")
REDUCER_FIELDS = ("name", "params", "lifecycle")
EXPORTS = {
    "ColumnDefaultValue": ("table", "col_id", "value"),
    "Procedure": ("name", "params", "return_type"),
    "View": ("name", "index", "is_public", "is_anonymous", "params", "return_type"),
}
LIFECYCLES = ("Init", "OnConnect", "OnDisconnect")


def read_v9(node: Node, scope: Scope, parts: Parts) -> None:
    """Read a whole definition into `parts`.

    Raises:
        SchemaError: It is malformed.
    """
    module = node.struct(MODULE_FIELDS)
    typespace = module.get("typespace")
    if typespace is not None:
        scope.read_typespace(typespace)
    parts.type_defs.extend(scope.type_def(item) for item in module.list("types"))
    exports = _exports(scope, module)
    _read_tables(module, scope, parts, exports["ColumnDefaultValue"])
    scheduled = {table.schedule.function for table in parts.tables if table.schedule is not None}
    for item in module.list("reducers"):
        reducer = item.struct(REDUCER_FIELDS)
        parts.reducers.append(_function(reducer, scope, scheduled, lifecycle=_lifecycle(reducer)))
    for export in exports["Procedure"]:
        returned = scope.types.read(export["return_type"])
        parts.procedures.append(_function(export, scope, scheduled, return_type=returned))
    for export in exports["View"]:
        name = export["name"].text()
        view = read_view(export, scope, name=name, source_name=name)
        if view is not None:
            parts.tables.append(view)
    parts.row_level_security.extend(item.struct(("sql",))["sql"].text() for item in module.list("row_level_security"))


def _exports(scope: Scope, module: Struct) -> dict[str, list[Struct]]:
    """The miscellaneous exports by kind, as structs."""
    exports: dict[str, list[Struct]] = {name: [] for name in EXPORTS}
    for item in module.list("misc_exports"):
        kind, payload = item.variant(tuple(EXPORTS))
        if kind in EXPORTS:
            exports[kind].append(payload.struct(EXPORTS[kind]))
        else:
            scope.skip(item, f"unknown export {shorten(kind)}")
    return exports


def _read_tables(module: Struct, scope: Scope, parts: Parts, defaults: list[Struct]) -> None:
    by_table: dict[str, list[Struct]] = {}
    for default in defaults:
        by_table.setdefault(default["table"].text(), []).append(default)
    for item in module.list("tables"):
        table = item.struct(TABLE_FIELDS)
        name = table["name"].text()
        schedule = _schedule(table)
        own = by_table.pop(name, ())
        parts.tables.append(read_table(table, scope, name=name, source_name=name, defaults=own, schedule=schedule))
    for default in chain.from_iterable(by_table.values()):
        scope.skip(default.node, "the default value belongs to no table")


def _schedule(table: Struct) -> ScheduleEntry | None:
    option = table["schedule"].option()
    if option is None:
        return None
    entry = option.struct(SCHEDULE_FIELDS)
    name = entry["name"].option()
    return ScheduleEntry(
        name=None if name is None else name.text(),
        column=entry["scheduled_at_column"],
        function=entry["reducer_name"].text(),
    )


def _lifecycle(reducer: Struct) -> str | None:
    option = reducer["lifecycle"].option()
    return None if option is None else option.variant(LIFECYCLES)[0]


def _function(
    function: Struct,
    scope: Scope,
    scheduled: set[str],
    *,
    lifecycle: str | None = None,
    return_type: AlgebraicType | None = None,
) -> Function:
    name = function["name"].text()
    return Function(
        name=name,
        source_name=name,
        params=scope.params(function["params"]),
        return_type=return_type,
        # What the host runs by itself nobody may call; this form does not say so (schema reference, trap 13).
        is_callable=lifecycle is None and name not in scheduled,
        lifecycle=lifecycle,
        is_scheduled=name in scheduled,
    )
