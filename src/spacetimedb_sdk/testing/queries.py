"""Queries that know their table: from a tree of SQL to a condition on rows.

The rules for types are the real server's: a literal is read as the type of what it is compared with, and a column is
only compared with columns of its own type. Texts of refusals were recorded from it. Nothing here knows clients.
"""

from __future__ import annotations

import operator
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import attrs

from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    TIMESTAMP,
    UUID,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
)
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.schema.definitions import Table
from spacetimedb_proto.schema.model import Schema

from .sql import Bool, Compare, Expression, Logic, Name, Select, Sender, SqlError, Text, parse

__all__ = ["Query", "compile_query", "compile_subscription"]

Value: TypeAlias = Callable[[Any], Any]
"""From a row to what an expression is for it."""

MAX_QUERY: Final = 50_000
"""Bytes of a query (protocol reference, 2.6)."""

_ALL_TABLES: Final = re.compile(r"\s*SELECT\s+\*\s+FROM\s+\*\s*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?", re.ASCII)
_HEX: Final = re.compile("(?:0[xX])?([0-9a-fA-F]*)", re.ASCII)
_MANY_DIGITS: Final = 80
"""More digits than any integer type has; a short literal can name a number of a million."""

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARABLE: Final[frozenset[AlgebraicType]] = frozenset({*Primitive, BYTES, IDENTITY, CONNECTION_ID, TIMESTAMP, UUID})


@attrs.frozen(eq=False)
class Query:
    """A query that can be asked again and again.

    Attributes:
        text: As the client wrote it.
        table: Whose rows it is about.
        matches: Whether a row is in its result.
    """

    text: str
    table: Table
    matches: Callable[[Any], bool]


def compile_subscription(text: str, schema: Schema, sender: Identity) -> list[Query]:
    """The queries that a string of a subscription stands for: one, or for `SELECT * FROM *` one for each table.

    Args:
        text: SQL.
        schema: The module's.
        sender: Who asks.

    Raises:
        SqlError: The server refuses it; the text names the query.
    """
    if not text.strip():
        raise SqlError(f"SubscriptionError: Empty string, executing: `{text}`")
    try:
        if _ALL_TABLES.fullmatch(text):
            tables = [table for table in schema.tables.values() if table.is_public and not table.is_event]
            return [Query(text, table, _always) for table in tables]
        return [compile_query(text, schema, sender)]
    except SqlError as error:
        raise SqlError(f"{error}, executing: `{text}`") from error


def compile_query(text: str, schema: Schema, sender: Identity) -> Query:
    """A one-off query.

    Args:
        text: SQL.
        schema: The module's.
        sender: Who asks.

    Raises:
        SqlError: The server refuses it.
    """
    if len(text.encode("utf-8", errors="replace")) > MAX_QUERY:
        raise SqlError(f'SQL query exceeds maximum allowed length: "{text[:120]}..."')
    select = parse(text)
    table = schema.resolve_table(select.table)
    if table is None or not table.is_public:
        raise SqlError(f"no such table: `{select.table}`. If the table exists, it may be marked private.")
    matches = _Compiler(schema, table, select, sender).condition()
    if select.is_projection:
        raise SqlError("Column projections are not supported in subscriptions; Subscriptions must return a table type")
    if select.star not in (None, select.alias):
        raise SqlError(f"`{select.star}` is not in scope")
    return Query(text, table, matches)


def _always(_row: Any) -> bool:
    return True


class _Compiler:
    def __init__(self, schema: Schema, table: Table, select: Select, sender: Identity) -> None:
        self._schema = schema
        self._alias = select.alias
        self._where = select.where
        self._sender = sender
        self._columns = {column.name: column for column in table.columns}
        self._codec = schema.row_codec(table.name)

    def condition(self) -> Callable[[Any], bool]:
        return _always if self._where is None else self._of_type(self._where, Primitive.BOOL)

    def _of_type(self, expression: Expression, wanted: AlgebraicType) -> Value:
        """An expression that must be of some type.

        Raises:
            SqlError: It is of another one.
        """
        match expression:
            case Text(text):
                return _constant(self._read(text, wanted))
            case Sender():
                return _constant(self._read(self._sender.hex(), wanted))
            case _:
                value, found = self._typed(expression)
        if found != wanted:
            raise SqlError(f"Unexpected type: (expected) {self._shown(found)} != {self._shown(wanted)} (inferred)")
        return value

    def _typed(self, expression: Expression) -> tuple[Value, AlgebraicType]:
        """An expression that says itself of what type it is."""
        match expression:
            case Bool(value):
                return _constant(value), Primitive.BOOL
            case Name(table, column):
                return self._column(table, column)
            case Logic(name, parts):
                conditions = [self._of_type(part, Primitive.BOOL) for part in parts]
                return (_all if name == "AND" else _any)(conditions), Primitive.BOOL
            case Compare():
                return self._comparison(expression), Primitive.BOOL
            case Text() | Sender():
                raise SqlError("Cannot resolve type for literal expression")

    def _column(self, table: str | None, name: str) -> tuple[Value, AlgebraicType]:
        if table is not None and table != self._alias:
            raise SqlError(f"`{table}` is not in scope")
        column = self._columns.get(name)
        if column is None:
            raise SqlError(f"`{name}` is not in scope")
        return operator.attrgetter(self._codec.field_names[column.index]), self._schema.resolve(column.type)

    def _comparison(self, comparison: Compare) -> Value:
        left, right = comparison.left, comparison.right
        if isinstance(left, Text | Sender | Bool):
            second, type_ = self._typed(right)
            first = self._of_type(left, type_)
        else:
            first, type_ = self._typed(left)
            second = self._of_type(right, type_)
        if type_ not in _COMPARABLE:
            raise SqlError(f"Invalid binary operator `{comparison.operator}` for type `{self._shown(type_)}`")
        compare = _OPERATORS[comparison.operator]
        return lambda row: compare(first(row), second(row))

    # --- literals -----------------------------------------------------------------------------------------------------

    def _read(self, text: str, type_: AlgebraicType) -> Any:
        """A literal as a value of some type; however it was written, only its text counts."""
        try:
            value = _read_literal(text, type_)
            codec = self._schema.types.codec(type_)
            return codec.decode_exact(codec.encode(value))
        except (ValueError, InvalidOperation):  # errors of encoding are ValueErrors
            message = f"The literal expression `{text}` cannot be parsed as type `{self._shown(type_)}`"
            raise SqlError(message) from None

    def _shown(self, type_: AlgebraicType, depth: int = 8) -> str:
        """A type in the real server's notation. What nests deeper is cut, since a type may contain itself."""
        if depth == 0:
            return "..."

        def fields(elements: Iterable[Element]) -> list[str]:
            return [f"{element.name}: {self._shown(element.type, depth - 1)}" for element in elements]

        match type_:
            case Ref():
                return self._shown(self._schema.resolve(type_), depth)
            case Primitive():
                return type_.value
            case Array(element):
                return f"Array<{self._shown(element, depth - 1)}>"
            case Product(elements):
                return f"({', '.join(fields(elements))})"
            case Sum(variants):
                return f"({' | '.join(fields(variants))})"


def _read_literal(text: str, type_: AlgebraicType) -> Any:
    if isinstance(type_, Primitive) and type_ not in (Primitive.BOOL, Primitive.STRING):
        return float(_number(text)) if type_ in (Primitive.F32, Primitive.F64) else _integer(text)
    if type_ == BYTES:
        match = _HEX.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return bytes.fromhex("0" * (len(match[1]) % 2) + match[1])
    readers: dict[AlgebraicType, Callable[[str], Any]] = {
        Primitive.STRING: str,
        IDENTITY: Identity.from_hex,
        CONNECTION_ID: ConnectionId.from_hex,
        TIMESTAMP: Timestamp.from_text,
        UUID: uuid.UUID,
    }
    if type_ not in readers:
        raise ValueError(text)
    return readers[type_](text)


def _number(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text)
    return Decimal(text)


def _integer(text: str) -> int:
    """Also `5.0` and `1e3` are integers, as on the real server."""
    number = _number(text)
    if number and (number.adjusted() > _MANY_DIGITS or number != number.to_integral_value()):
        raise ValueError(text)
    return int(number) if number else 0


# --- values -----------------------------------------------------------------------------------------------------------


def _constant(value: Any) -> Value:
    return lambda _row: value


def _all(conditions: list[Value]) -> Value:
    return lambda row: all(condition(row) for condition in conditions)


def _any(conditions: list[Value]) -> Value:
    return lambda row: any(condition(row) for condition in conditions)
