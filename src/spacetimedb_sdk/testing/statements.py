"""The statements of `POST .../sql` beyond SELECT, from text to a tree (protocol reference, 5).

Nothing here knows which tables there are.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .sql import OTHER_STATEMENTS, Bool, Expression, Parser, Select, Sender, SqlError, Text

__all__ = ["Delete", "Insert", "Statement", "Update", "parse_statement"]


@attrs.frozen
class Insert:
    """Rows to add, as literals in the order of the columns."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Expression, ...], ...]


@attrs.frozen
class Update:
    """Columns to set, and in which rows."""

    table: str
    assignments: tuple[tuple[str, Expression], ...]
    where: Expression | None


@attrs.frozen
class Delete:
    """Rows to take out."""

    table: str
    where: Expression | None


Statement: TypeAlias = Select | Insert | Update | Delete


def parse_statement(text: str) -> Statement:
    """Read one statement.

    Raises:
        SqlError: It is none, or one that this server does not know.
    """
    parser = _StatementParser(text)
    start = parser.start()
    match parser.keyword:
        case "INSERT":
            return parser.insert()
        case "UPDATE":
            return parser.update()
        case "DELETE":
            return parser.delete()
        case keyword if keyword in OTHER_STATEMENTS:
            raise SqlError(f"Unsupported: {parser.whole(start)}")
        case _:
            return parser.select()


class _StatementParser(Parser):
    def insert(self) -> Insert:
        self._take()
        self._need("INTO")
        table = self._identifier()
        columns: tuple[str, ...] = ()
        if self._takes("("):
            columns = tuple(self._identifier() for _ in self._list())
            self._need(")")
        if self._next.keyword == "SELECT":
            raise SqlError(f"Unsupported INSERT expression: {self._rest(self._next.start)}")
        self._need("VALUES")
        rows = tuple(self._row() for _ in self._list())
        self._end()
        return Insert(table, columns, rows)

    def _row(self) -> tuple[Expression, ...]:
        self._need("(")
        values = tuple(self._value("Unsupported INSERT value: ") for _ in self._list())
        self._need(")")
        return values

    def update(self) -> Update:
        self._take()
        table = self._identifier()
        self._need("SET")
        assignments = tuple(self._assignment() for _ in self._list())
        where = self._where()
        self._end()
        return Update(table, assignments, where)

    def _assignment(self) -> tuple[str, Expression]:
        column = self._identifier()
        self._need("=")
        return column, self._value("Unsupported column/variable assignment expression: ")

    def delete(self) -> Delete:
        self._take()
        self._need("FROM")
        table = self._identifier()
        where = self._where()
        self._end()
        return Delete(table, where)

    def _value(self, refusal: str) -> Expression:
        start = self._next.start
        value = self._operand()
        match value:
            case Text() | Bool():
                return value
            case Sender():
                raise SqlError("Unsupported literal expression: :sender")
            case _:
                raise SqlError(refusal + " ".join(self._text[start : self._next.start].split()))

    def _need(self, word: str) -> None:
        if not self._takes(word):
            self._expected(word)
