"""From a module's declarations to the definitions of its schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import attrs

from spacetimedb_proto.bsatn.layout import SCALARS
from spacetimedb_proto.bsatn.types import SCHEDULE_AT, Primitive, Product
from spacetimedb_proto.errors import EncodeError
from spacetimedb_proto.schema import definitions
from spacetimedb_proto.schema.assemble import query_keys
from spacetimedb_proto.schema.definitions import (
    Column,
    Function,
    Index,
    Param,
    Schedule,
    Table,
    Unique,
    View,
    ViewShape,
)
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.schema.names import index_name

from ..annotations import parameters_of
from .columns import Marker
from .declarations import ModuleFunction, ModuleTable, ModuleView
from .typespace import TypeBuilder, function_hints, markers, wire_name
from .views import Query

__all__ = ["define_function", "define_table", "define_views", "with_defaults", "with_schedules"]

_INTEGERS: Final = frozenset(primitive for primitive, scalar in SCALARS.items() if scalar.kind in ("int", "wide"))


# --- tables -----------------------------------------------------------------------------------------------------------


class _Columns:
    """The columns of one table: as the schema has them, as the class has them, and what is marked on them."""

    def __init__(self, types: TypeBuilder, declared: ModuleTable) -> None:
        annotations = types.fields(declared.row)
        row = types.reference(declared.row)
        product: Any = types.typespace[row.index]
        self.row = row
        self.sources = [wire_name(name) for name in annotations]
        self.all = _plain_columns(product)
        self._notes = [markers(annotation) for annotation in annotations.values()]

    def marked(self, *wanted: Marker) -> list[Column]:
        return [column for column in self.all if self._notes[column.index] & set(wanted)]


def _plain_columns(product: Product) -> tuple[Column, ...]:
    return tuple(
        Column(name=element.name or "", type=element.type, index=position)
        for position, element in enumerate(product.elements)
    )


def define_table(types: TypeBuilder, declared: ModuleTable) -> Table:
    """The definition of a table, but for the defaults of its columns.

    Raises:
        TypeError: It is declared wrongly.
    """
    columns = _Columns(types, declared)
    keys = columns.marked(Marker.PRIMARY_KEY)
    if len(keys) > 1:
        raise TypeError(f"{declared.name}: at most one column can be the primary key, got {len(keys)}")
    counters = columns.marked(Marker.AUTO_INC)
    for column in counters:
        if column.type not in _INTEGERS:
            raise TypeError(f"{declared.name}.{column.name}: only integers can be counted up")
    return Table(
        name=declared.name,
        source_name=declared.source_name,
        row=columns.row,
        columns=columns.all,
        primary_key=keys[0].index if keys else None,
        constraints=tuple(
            Unique(name=f"{declared.name}_{column.name}_key", columns=(column.index,))
            for column in columns.marked(Marker.PRIMARY_KEY, Marker.UNIQUE)
        ),
        indexes=_indexes(declared, columns),
        sequences=tuple(
            definitions.Sequence(name=f"{declared.name}_{column.name}_seq", column=column.index) for column in counters
        ),
        is_public=declared.is_public,
        is_event=declared.is_event,
    )


def _indexes(declared: ModuleTable, columns: _Columns) -> tuple[Index, ...]:
    """One for each column with a key, a constraint or a marker, as the real server has them, and those asked for."""
    positions = {name: position for position, name in enumerate(columns.sources)}
    marked = columns.marked(Marker.PRIMARY_KEY, Marker.UNIQUE, Marker.INDEX)
    accessors: dict[tuple[str, ...], str] = {
        (columns.sources[column.index],): columns.sources[column.index] for column in marked
    }
    for accessor, group in declared.indexes.items():
        unknown = [name for name in group if name not in positions]
        if unknown or not group:
            raise TypeError(f"{declared.name}: an index on {', '.join(unknown) or 'no column'}, which is no column")
        accessors.setdefault(group, accessor)
    found = [
        Index(
            columns=tuple(positions[name] for name in group),
            source_name=index_name(declared.source_name, group, "BTree"),
            accessor=accessor,
        )
        for group, accessor in accessors.items()
    ]
    return tuple(sorted(found, key=lambda index: index.columns))


def with_defaults(schema: Schema, declared: Mapping[str, ModuleTable]) -> dict[str, Table]:
    """The tables with what new columns are filled with in old rows: the defaults of the attributes of their classes.

    As on the real server, columns that are unique or counted up have none, whatever the class says.

    Args:
        schema: The module's, whose codecs encode the defaults.
        declared: The module's tables, by name.

    Raises:
        TypeError: A column cannot have such a value.
    """
    return {
        name: attrs.evolve(table, columns=_with_defaults(schema, table, declared[name].row))
        if name in declared
        else table
        for name, table in schema.tables.items()
    }


def _with_defaults(schema: Schema, table: Table, cls: type[Any]) -> tuple[Column, ...]:
    without = {*table.unique, *(counter.column for counter in table.sequences)}
    return tuple(
        column
        if field.default is attrs.NOTHING or column.index in without
        else attrs.evolve(column, default=_default(schema, table, column, field.default))
        for column, field in zip(table.columns, attrs.fields(cls), strict=True)
    )


def _default(schema: Schema, table: Table, column: Column, default: Any) -> bytes:
    where = f"{table.name}.{column.name}"
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, which its stub calls a function
        if default.takes_self:
            raise TypeError(f"{where}: its default depends on the row, which is not there yet when a column is added")
        default = default.factory()
    try:
        return schema.types.codec(column.type).encode(default)
    except EncodeError as error:
        raise TypeError(f"{where}: its default is no value of its type: {error}") from error


# --- schedules --------------------------------------------------------------------------------------------------------


def with_schedules(
    tables: Sequence[Table], functions: Sequence[Function], declared: Mapping[str, ModuleTable]
) -> tuple[list[Table], list[Function]]:
    """Tables and functions, those that belong together joined.

    Args:
        tables: The module's.
        functions: The module's reducers and procedures.
        declared: The tables as the module declares them, by name.

    Raises:
        TypeError: A function or a table is not what it takes to be scheduled.
    """
    schedules = {
        table.name: _schedule(table, name, functions)
        for table in tables
        if (name := declared[table.name].scheduled) is not None
    }
    scheduled = {schedule.function for schedule in schedules.values()}
    return [attrs.evolve(table, schedule=schedules.get(table.name)) for table in tables], [
        attrs.evolve(function, is_callable=False, is_scheduled=True) if function.name in scheduled else function
        for function in functions
    ]


def _schedule(table: Table, name: str, functions: Iterable[Function]) -> Schedule:
    function = next((each for each in functions if name in (each.name, each.source_name)), None)
    if function is None:
        raise TypeError(f"{table.name}: the scheduled function {name!r} is no reducer or procedure of the module")
    if [param.type for param in function.params] != [table.row]:
        raise TypeError(f"{function.name}(): expected one parameter, a row of `{table.name}`, by which it is scheduled")
    columns = [column.index for column in table.columns if column.type == SCHEDULE_AT]
    key = table.primary_key
    if len(columns) != 1 or table.is_event or key is None or table.columns[key].type is not Primitive.U64:
        raise TypeError(f"{table.name}: a scheduled table has a PrimaryKey[u64], one ScheduleAt, and is no event table")
    return Schedule(name=f"{table.name}_sched", column=columns[0], function=function.name)


# --- views ------------------------------------------------------------------------------------------------------------


def define_views(types: TypeBuilder, declared: Iterable[ModuleView], tables: Iterable[Table]) -> Iterator[Table]:
    """The definitions of views, which are tables to clients.

    Args:
        types: Where their rows' types are.
        declared: In the module's order.
        tables: Those of the module, by which the keys of queries go.

    Raises:
        TypeError: One is declared wrongly.
    """
    keys = query_keys(tables)
    counts: Counter[bool] = Counter()
    for view in declared:
        yield _view(types, view, counts[view.is_anonymous], keys)
        counts[view.is_anonymous] += 1


def _view(types: TypeBuilder, declared: ModuleView, index: int, keys: Mapping[int, int | None]) -> Table:
    params, hints = _signature(types, declared.name, declared.call, returns=True)
    if params:
        raise TypeError(f"{declared.name}(): views with parameters are not supported by the testing server")
    shape, cls = _view_shape(declared.name, hints.get("return"))
    if shape == "query" and declared.primary_key is not None:
        raise TypeError(f"{declared.name}(): primary key {declared.primary_key!r}: that of a query is its table's")
    row = types.known_reference(cls, f"{declared.name}() -> ")
    product = types.typespace[row.index]
    if not isinstance(product, Product):
        raise TypeError(f"{declared.name}(): expected rows, which are products, got {cls.__name__}")
    return Table(
        name=declared.name,
        source_name=declared.source_name,
        row=row,
        columns=_plain_columns(product),
        primary_key=keys.get(row.index) if shape == "query" else _view_key(declared, list(types.fields(cls))),
        is_public=declared.is_public,
        view=View(shape=shape, index=index, is_anonymous=declared.is_anonymous),
    )


def _view_key(declared: ModuleView, names: list[str]) -> int | None:
    if declared.primary_key is None:
        return None
    if declared.primary_key not in names:
        raise TypeError(f"{declared.name}(): primary key {declared.primary_key!r}: there is no such column")
    return names.index(declared.primary_key)


def _view_shape(name: str, annotation: Any) -> tuple[ViewShape, type[Any]]:
    """How a view returns its rows, and what class they are of."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is list:
        return "array", args[0]
    if origin is Query:
        return "query", args[0]
    if origin in (Union, UnionType) and len(args) == 2 and args[1] is type(None):
        return "option", args[0]
    raise TypeError(f"{name}(): a view returns list[T], T | None or Query[T] of some rows T, got {annotation!r}")


# --- functions --------------------------------------------------------------------------------------------------------


def define_function(types: TypeBuilder, declared: ModuleFunction) -> Function:
    """The definition of a reducer or procedure.

    Raises:
        TypeError: It is declared wrongly.
    """
    params, hints = _signature(types, declared.name, declared.call, returns=declared.is_procedure)
    return Function(
        name=declared.name,
        source_name=declared.source_name,
        params=tuple(
            Param(name=wire_name(name), type=types.algebraic(hints[name], f"{declared.name}({name})"))
            for name in params
        ),
        return_type=types.algebraic(hints.get("return"), f"{declared.name}() -> ") if declared.is_procedure else None,
        is_callable=declared.lifecycle is None,
        lifecycle=None if declared.lifecycle is None else declared.lifecycle.value,
    )


def _signature(
    types: TypeBuilder, title: str, call: Callable[..., Any], *, returns: bool
) -> tuple[Sequence[str], dict[str, Any]]:
    """The names of a function's parameters after the context, and their annotations, and that of what it returns."""
    params = parameters_of(call).values()
    _, *names = [param.name for param in params] or [""]
    if not params or any(param.kind is not param.POSITIONAL_OR_KEYWORD for param in params):
        raise TypeError(f"{title}(): expected the context and then plain parameters")
    hints = function_hints(call, [*names, *["return"] * returns], types.known)
    for name in names:
        if name not in hints:
            raise TypeError(f"{title}(): the parameter {name!r} has no annotation")
    return names, hints
