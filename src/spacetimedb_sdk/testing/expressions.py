"""Expressions that know their tables: from a tree of SQL to functions of rows.

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
from spacetimedb_proto.schema.definitions import Column, Table
from spacetimedb_proto.schema.model import Schema

from .sql import Bool, Compare, Expression, Logic, Name, Sender, SqlError, Text

__all__ = ["Compiler", "Environment", "Value", "always"]

Environment: TypeAlias = Any
"""What an expression is evaluated for: a row, or in a join the rows of all tables, in the order of the FROM clause."""

Value: TypeAlias = Callable[[Environment], Any]
"""From rows to what an expression is for them."""

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


def always(_environment: Environment) -> bool:
    """No condition."""
    return True


class Compiler:
    """Compiles expressions about some tables.

    Args:
        schema: The module's.
        tables: What names in front of columns mean, in the order of the FROM clause.
        sender: Who asks.
    """

    def __init__(self, schema: Schema, tables: Mapping[str, Table], sender: Identity) -> None:
        self._schema = schema
        self._tables = tables
        self._sender = sender

    def condition(self, where: Expression | None) -> Callable[[Environment], bool]:
        """What a WHERE clause says."""
        return always if where is None else self._of_type(where, Primitive.BOOL)

    def value(self, expression: Expression, type_: AlgebraicType) -> Any:
        """A literal, as a value of some type.

        Raises:
            SqlError: It is none.
        """
        return self._of_type(expression, self._schema.resolve(type_))(None)

    def find(self, name: Name) -> tuple[str, Column]:
        """The table, by what the query calls it, and the column that a name means.

        Raises:
            SqlError: There is none.
        """
        alias = next(iter(self._tables)) if name.table is None else name.table
        if alias not in self._tables:
            raise SqlError(f"`{alias}` is not in scope")
        column = next((column for column in self._tables[alias].columns if column.name == name.column), None)
        if column is None:
            raise SqlError(f"`{name.column}` is not in scope")
        return alias, column

    def column(self, name: Name) -> tuple[Value, AlgebraicType]:
        """The value of a column, and its type."""
        alias, column = self.find(name)
        attribute = self._schema.row_codec(self._tables[alias].name).field_names[column.index]
        found = operator.attrgetter(attribute)
        type_ = self._schema.resolve(column.type)
        if len(self._tables) == 1:
            return found, type_
        position = list(self._tables).index(alias)
        return lambda rows: found(rows[position]), type_

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
            case Name():
                return self.column(expression)
            case Logic(name, parts):
                conditions = [self._of_type(part, Primitive.BOOL) for part in parts]
                return (_all if name == "AND" else _any)(conditions), Primitive.BOOL
            case Compare():
                return self._comparison(expression), Primitive.BOOL
            case Text() | Sender():
                raise SqlError("Cannot resolve type for literal expression")

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
