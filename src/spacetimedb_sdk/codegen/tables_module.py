"""`tables`: handles of tables and views, their columns, and queries for their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .annotations import SDK, Annotations
from .plan import Plan, TablePlan
from .scope import Scope
from .text import call, class_head, doc, literal, module_text, signature
from .things import GENERATED, TYPED, stand_ins

__all__ = ["tables_code", "tables_stub"]


def tables_code(plan: Plan) -> str:
    """The module as it runs."""
    rows = [line for table in plan.tables if not table.table.takes_arguments for line in _columns_of(table)]
    names: dict[str, str] = {"Tables": "Things", "Queries": "Things"}
    for table in plan.tables:
        names[table.columns_name] = "Fields"
        names[table.handle] = _base(table)
    lines = [
        doc("The tables and views of the module. What they are to type checkers, `tables.pyi` shows."),
        "",
        GENERATED,
        "",
        *(
            ["query = __generated__.queries(", "    {", *rows, "    }", ")"]
            if rows
            else ["query = __generated__.queries({})"]
        ),
        *stand_ins(names),
    ]
    return module_text(lines)


def _columns_of(table: TablePlan) -> list[str]:
    columns = [literal(column.name) for column in table.table.columns]
    start = f"{literal(table.table.name)}: "
    if len(columns) == 1:
        return [f"        {start}({columns[0]},),"]
    return call("        ", f"{start}(", columns, "),")


def _base(table: TablePlan) -> str:
    return "KeyedTable" if table.is_keyed else "Table"


# --- what type checkers see -------------------------------------------------------------------------------------------


def tables_stub(plan: Plan) -> str:
    """The module as type checkers see it."""
    own = ["Tables", "Queries", "query", *(n for table in plan.tables for n in (table.handle, table.columns_name))]
    inner = [name for table in plan.tables for name in (table.attribute, *(column for column, _ in table.columns))]
    scope = Scope(".tables", own, inner)
    annotations = Annotations(plan, scope)
    body = [line for table in plan.tables for line in (*_columns(table, annotations), *_handle(table, annotations))]
    body += _collections(plan, annotations)
    return module_text([doc("The tables and views of the module."), "", *scope.imports(), *body, "query: Queries"])


def _columns(table: TablePlan, annotations: Annotations) -> list[str]:
    hidden = [name for name, _ in table.comparable]
    column = annotations.scope.name(TYPED, "Column", hidden) if hidden else ""
    return [
        f"class {table.columns_name}:",
        f"    {doc(f'The columns of `{table.table.name}` that a condition can compare.')}",
        "",
        *(f"    {name}: {column}[{annotations.of(node, hidden, given=True)}]" for name, node in table.comparable),
        *([""] if hidden else []),
    ]


def _handle(table: TablePlan, annotations: Annotations) -> list[str]:
    scope = annotations.scope
    base, context = scope.name(TYPED, _base(table)), scope.name(".connection", "Context")
    what = f"The {_kind(table)} `{table.table.name}`{_remarks(table)}."
    host = scope.name(TYPED, "Told_co")
    bases = f"{base}[{annotations.of(table.row)}, {table.columns_name}, {context}[{host}], {host}]"
    lines = [
        *class_head(table.handle, bases),
        f"    {doc(what)}",
        "",
        *_find(table, annotations),
        *_filter(table, annotations),
    ]
    key = table.table.primary_key
    if key is not None:
        kept = annotations.of(table.columns[key][1], _METHODS)
        lines.append(f"    def keys(self) -> {scope.name('builtins', 'list', _METHODS)}[{kept}]: ...")
    return [*lines, ""]


_METHODS = ("find", "filter", "keys")


def _kind(table: TablePlan) -> str:
    if table.table.is_event:
        return "event table"
    return "view" if table.table.is_view else "table"


def _remarks(table: TablePlan) -> str:
    remarks = [] if table.table.is_public else ["which is private"]
    if table.table.takes_arguments:
        remarks.append("which takes parameters")
    return "".join(f", {remark}" for remark in remarks)


def _find(table: TablePlan, annotations: Annotations) -> list[str]:
    scope = annotations.scope
    keys = table.table.unique_keys
    if not keys:
        never = scope.name("typing", "Never", _METHODS)
        return [f"    def find(self, **no_column_is_unique: {never}) -> None: ..."]
    row = f"{annotations.of(table.row, _METHODS)} | None"
    lines: list[str] = []
    for key in keys:
        names = [table.columns[index][0] for index in key]
        params = [
            f"{name}: {annotations.of(table.columns[i][1], _METHODS, given=True)}"
            for i, name in zip(key, names, strict=True)
        ]
        if len(keys) > 1:
            lines.append(f"    @{scope.name('typing', 'overload', _METHODS)}")
        lines += signature("    ", "def find", [_self(names), "*", *params], row)
    return lines


def _filter(table: TablePlan, annotations: Annotations) -> list[str]:
    names = [name for name, _ in table.columns]
    params = [f"{name}: {annotations.of(node, _METHODS, given=True)} = ..." for name, node in table.columns]
    iterator = annotations.scope.name("collections.abc", "Iterator", _METHODS)
    returns = f"{iterator}[{annotations.of(table.row, _METHODS)}]"
    return signature("    ", "def filter", [_self(names), *(["*", *params] if params else [])], returns)


def _self(names: Iterable[str]) -> str:
    taken, name = set(names), "self"
    while name in taken:
        name = f"_{name}"
    return name


def _collections(plan: Plan, annotations: Annotations) -> list[str]:
    scope = annotations.scope
    every = [table.attribute for table in plan.tables]
    host = scope.name(TYPED, "Told_co", every)
    handles = [(table.attribute, f"{scope.own(table.handle, every)}[{host}]") for table in plan.tables]
    queried = [table for table in plan.tables if not table.table.takes_arguments]
    some = [table.attribute for table in queried]
    query = scope.name(TYPED, "TableQuery", some)
    queries = [
        (table.attribute, f"{query}[{annotations.of(table.row, some)}, {scope.own(table.columns_name, some)}]")
        for table in queried
    ]
    anything = scope.name("typing", "Any")
    things, generic = scope.name(TYPED, "Things"), scope.name("typing", "Generic")
    on_host = [f"{things}[{scope.name(SDK, 'TableHandle')}]", f"{generic}[{scope.name(TYPED, 'Told_co')}]"]
    about = "Queries for the rows of tables and views."
    return [
        *_collection("Tables", on_host, "The tables and views: `conn.db`.", handles, scope),
        *_collection("Queries", [f"{things}[{query}[{anything}, {anything}]]"], about, queries, scope),
    ]


def _collection(
    name: str, bases: Sequence[str], about: str, things: Sequence[tuple[str, str]], scope: Scope
) -> list[str]:
    """A class whose properties are the things of a schema that have a name: each with its name and type."""
    decorator = scope.name("builtins", "property", [attribute for attribute, _ in things])
    lines = [*class_head(name, *bases), f"    {doc(about)}", ""]
    for attribute, type_ in things:
        lines += [f"    @{decorator}", *signature("    ", f"def {attribute}", ["self"], type_)]
    return [*lines, ""] if things else lines
