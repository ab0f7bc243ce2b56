"""What the statements of `POST .../sql` do, and what they answer (protocol reference, 5).

Values in results are JSON, by position throughout. Nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias

import attrs

from spacetimedb_proto.bsatn.types import AlgebraicType, Array, Element, Primitive, Product, Ref, Sum
from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.errors import EncodeError
from spacetimedb_proto.schema.definitions import Table
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.schema.types_json import elements_to_json

from .expressions import Compiler, Environment
from .queries import JoinQuery, Query, check_length, compile_select, find_table
from .sql import Columns, Count, Expression, Name, Select, SqlError
from .statements import Delete, Insert, Update, parse_statement
from .storage import ConstraintError, RowSource, Storage, TableStorage

__all__ = ["SqlResult", "execute"]

_DIGITS: Final = 20  # of the greatest u64

Column: TypeAlias = tuple[Element, Callable[[Environment], Any]]
"""A column of a result: its name and type, and its value as JSON."""


@attrs.frozen(kw_only=True)
class SqlResult:
    """What a statement answers.

    Attributes:
        elements: The columns of its rows, as JSON.
        rows: Their values, as JSON.
        inserted: How many rows it added.
        deleted: How many it took out.
        updated: How many it changed.
    """

    elements: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    rows: list[list[Any]] = attrs.field(factory=list[list[Any]])
    inserted: int = 0
    deleted: int = 0
    updated: int = 0

    def to_json(self, duration: int) -> dict[str, Any]:
        """As the real server writes it.

        Args:
            duration: How long it took, in microseconds.
        """
        stats = {"rows_inserted": self.inserted, "rows_deleted": self.deleted, "rows_updated": self.updated}
        return {
            "schema": {"elements": self.elements},
            "rows": self.rows,
            "total_duration_micros": duration,
            "stats": stats,
        }


def execute(text: str, storage: Storage, sees: RowSource, sender: Identity, *, is_owner: bool) -> SqlResult:
    """Run one statement, inside a transaction.

    Args:
        text: SQL.
        storage: The rows that it may change.
        sees: What it may read.
        sender: Who asks.
        is_owner: Whether whoever asks may see all tables and change rows.

    Raises:
        SqlError: The server refuses it. The transaction has to be undone then.
    """
    check_length(text)
    statement = parse_statement(text)
    if isinstance(statement, Select):
        return _select(text, statement, sees, sender, is_owner=is_owner)
    if not is_owner:
        raise SqlError("Only owners are authorized to run SQL DML statements")
    table = find_table(storage.schema, statement.table, sees_all=True)
    if table.is_view:
        raise SqlError(f"`{table.name}` is a view, whose rows cannot be changed")
    target = _Target(storage.schema, storage.tables[table.name], sender)
    try:
        match statement:
            case Insert():
                return target.insert(statement)
            case Update():
                return target.update(statement)
            case Delete():
                return target.delete(statement)
    except (ConstraintError, EncodeError) as error:
        raise SqlError(str(error)) from error


# --- SELECT -----------------------------------------------------------------------------------------------------------


def _select(text: str, select: Select, storage: RowSource, sender: Identity, *, is_owner: bool) -> SqlResult:
    schema = storage.schema
    query, compiler = compile_select(text, select, schema, sender, sees_all=is_owner, rows_only=False)
    found = islice(query.environments(storage), _limit(select))
    match select.projection:
        case Count(name):
            element = Element(name, Primitive.U64)
            whole = islice(iter([[sum(1 for _ in query.environments(storage))]]), _limit(select))
            return SqlResult(elements=elements_to_json([element], 0), rows=list(whole))
        case Columns(names):
            columns = [_named(schema, compiler, name, title) for name, title in names]
        case _:
            columns = list(_all_columns(schema, query))
    rows = [[value(environment) for _, value in columns] for environment in found]
    return SqlResult(elements=elements_to_json([element for element, _ in columns], 0), rows=rows)


def _limit(select: Select) -> int | None:
    if select.limit is None:
        return None
    digits = select.limit.lstrip("0") or "0"
    if not digits.isdecimal() or len(digits) > _DIGITS or int(digits) >= 2**64:
        raise SqlError(f"The literal expression `{select.limit}` cannot be parsed as type `U64`")
    return min(int(digits), 2**63 - 1)


def _named(schema: Schema, compiler: Compiler, name: Name, title: str) -> Column:
    value, type_ = compiler.column(name)
    codec = schema.types.codec(type_)
    return Element(title, _spelled_out(schema, type_)), lambda environment: codec.tell_json(value(environment))


def _all_columns(schema: Schema, query: Query) -> Iterator[Column]:
    side = query.side if isinstance(query, JoinQuery) else None
    codec = schema.row_codec(query.table.name)
    for column, attribute in zip(query.table.columns, codec.field_names, strict=True):
        value = _value_of(attribute, side, codec.column(column.index).tell_json)
        yield Element(column.name, _spelled_out(schema, column.type)), value


def _value_of(attribute: str, side: int | None, tell_json: Callable[[Any], Any]) -> Callable[[Environment], Any]:
    def value(environment: Environment) -> Any:
        row = environment if side is None else environment[side]
        return tell_json(getattr(row, attribute))

    return value


def _spelled_out(schema: Schema, type_: AlgebraicType, inside: frozenset[Ref] = frozenset()) -> AlgebraicType:
    """A type without references, but where it contains itself."""

    def elements(of: tuple[Element, ...]) -> tuple[Element, ...]:
        return tuple(Element(element.name, _spelled_out(schema, element.type, inside)) for element in of)

    if isinstance(type_, Ref):
        if type_ in inside:
            return type_
        inside |= {type_}
    match schema.resolve(type_):
        case Array(element):
            return Array(_spelled_out(schema, element, inside))
        case Product(fields):
            return Product(elements(fields))
        case Sum(variants):
            return Sum(elements(variants))
        case plain:
            return plain


# --- changes ----------------------------------------------------------------------------------------------------------


class _Target:
    """The table that a statement changes."""

    def __init__(self, schema: Schema, rows: TableStorage, sender: Identity) -> None:
        self._rows = rows
        self._table: Table = rows.definition
        self._attributes = rows.codec.field_names
        self._compiler = Compiler(schema, {self._table.name: self._table}, sender)

    def insert(self, statement: Insert) -> SqlResult:
        name, expected = self._table.name, len(self._table.columns)
        if len(statement.columns) != expected:
            raise SqlError(
                f"The number of fields ({len(statement.columns)}) in the INSERT does not match "
                f"the number of columns ({expected}) of the table `{name}`"
            )
        for values in statement.rows:
            if len(values) != expected:
                raise SqlError(f"Inserting a row with {len(values)} values into `{name}` which has {expected} fields")
            self._rows.insert(self._rows.make(self._values(zip(statement.columns, values, strict=True))))
        return SqlResult(inserted=len(statement.rows))

    def update(self, statement: Update) -> SqlResult:
        changes = self._values(statement.assignments)
        old = self._matching(statement.where)
        for row in old:
            self._rows.delete(row)
        for row in old:  # later, since rows may take over each other's keys
            same = {attribute: getattr(row, attribute) for attribute in self._attributes}
            self._rows.insert(self._rows.make({**same, **changes}))
        return SqlResult(updated=len(old))

    def delete(self, statement: Delete) -> SqlResult:
        old = self._matching(statement.where)
        for row in old:
            self._rows.delete(row)
        return SqlResult(deleted=len(old))

    def _matching(self, where: Expression | None) -> list[Any]:
        matches = self._compiler.condition(where)
        return [row for row in self._rows.rows.values() if matches(row)]

    def _values(self, pairs: Iterable[tuple[str, Expression]]) -> dict[str, Any]:
        """Values by the attributes of rows, from literals by the names of columns."""
        values: dict[str, Any] = {}
        for name, literal in pairs:
            column = next((column for column in self._table.columns if column.name == name), None)
            if column is None:
                raise SqlError(f"`{self._table.name}` does not have a field `{name}`")
            values[self._attributes[column.index]] = self._compiler.value(literal, column.type)
        return values
