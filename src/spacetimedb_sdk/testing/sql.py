"""The SQL of queries, from text to a tree (protocol reference, 2.6).

One SELECT from one table, or from tables that are joined, and a condition. Whatever else a text is, it is refused, in
the words of the real server where those were recorded. Nothing here knows which tables there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import attrs

from .sql_tokens import SqlError, Token, Tokens

__all__ = [
    "OTHER_STATEMENTS",
    "Bool",
    "Columns",
    "Compare",
    "Count",
    "Expression",
    "Join",
    "Logic",
    "Name",
    "Parser",
    "Select",
    "Sender",
    "Source",
    "SqlError",
    "Star",
    "Text",
    "parse",
]


@attrs.frozen
class Bool:
    """TRUE or FALSE."""

    value: bool


@attrs.frozen
class Text:
    """Any other literal. What it means depends on the type of what it is compared with, however it was written."""

    text: str


@attrs.frozen
class Sender:
    """`:sender`, the caller's identity."""


@attrs.frozen
class Name:
    """A column, perhaps with its table in front."""

    table: str | None
    column: str


@attrs.frozen
class Compare:
    """A comparison. `operator` is one of `= <> < <= > >=`."""

    operator: str
    left: Expression
    right: Expression


@attrs.frozen
class Logic:
    """Two or more conditions."""

    operator: Literal["AND", "OR"]
    parts: tuple[Expression, ...]


Expression: TypeAlias = Bool | Text | Sender | Name | Compare | Logic


@attrs.frozen
class Source:
    """A table in a FROM clause: its name as written, and what the query calls it."""

    table: str
    alias: str


@attrs.frozen
class Join:
    """Another table, and which column equals which; None for every row with every row."""

    source: Source
    on: Compare | None


@attrs.frozen
class Star:
    """All columns: of the only table, or of the one that is named."""

    table: str | None


@attrs.frozen
class Columns:
    """Some columns, and what they are called in the result."""

    columns: tuple[tuple[Name, str], ...]


@attrs.frozen
class Count:
    """How many rows there are, and what that is called."""

    name: str


@attrs.frozen
class Select:
    """A whole query.

    Attributes:
        source: The first table.
        joins: The others.
        projection: What of the rows is asked for.
        where: The condition, or None for all rows.
        limit: How many rows at most, as written, or None for all.
    """

    source: Source
    joins: tuple[Join, ...]
    projection: Star | Columns | Count
    where: Expression | None
    limit: str | None


MAX_DEPTH: Final = 50
"""Expressions inside each other, as on the real server; so the parser's stack is bounded."""

_COMPARISONS: Final = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "||", "&", "|", "^"})
OTHER_STATEMENTS: Final = frozenset(
    {"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "SET", "SHOW", "TRUNCATE"}
)
_JOINS: Final = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"})
_CLAUSES: Final = frozenset({"ORDER", "GROUP", "HAVING", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT", "FOR"})
_NO_ALIAS: Final = _JOINS | _CLAUSES | {"WHERE", "ON", "USING", "LIMIT", "SET"}
_TESTS: Final = frozenset({"NOT", "IN", "LIKE", "ILIKE", "IS", "BETWEEN", "SIMILAR", "COLLATE"})


def parse(text: str) -> Select:
    """Read one query.

    Raises:
        SqlError: It is none, or one that subscriptions do not know.
    """
    parser = Parser(text)
    start = parser.start()
    if parser.keyword in OTHER_STATEMENTS:
        raise SqlError("Unsupported: Non-SELECT queries")
    select = parser.select()
    if select.limit is not None:
        raise SqlError(f"Unsupported: {parser.whole(start)}")
    return select


class Parser(Tokens):
    """Reads SELECT, and the expressions of other statements."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    # --- statements ---------------------------------------------------------------------------------------------------

    def start(self) -> int:
        """Where the statement begins; raises `SqlError` if there is none."""
        while self._takes(";"):
            pass
        if self._next.kind == "end":
            raise SqlError("Empty SQL query")
        return self._next.start

    @property
    def keyword(self) -> str:
        """The keyword that comes next, in capitals."""
        return self._next.keyword

    def whole(self, start: int) -> str:
        """The statement that began there, with single spaces."""
        return " ".join(self._text[start:].rstrip("; \t\r\n").split())

    def select(self) -> Select:
        """A whole SELECT, up to the end of the text."""
        start = self._next.start
        if not self._takes("SELECT"):
            self._expected("an SQL statement")
        select = self._select(start)
        self._end()
        return select

    def _end(self) -> None:
        if self._next.kind != "end" and self._next.text != ";":
            self._expected("end of statement")
        while self._takes(";"):
            pass
        if self._next.kind != "end":
            raise SqlError("Multiple SQL statements are not supported")

    def _select(self, start: int) -> Select:
        if self._next.keyword == "DISTINCT":
            raise SqlError(f"Unsupported SELECT: {self._rest(start)}")
        if self._next.keyword == "FROM":  # the real server takes it for a column, and then misses this
            raise SqlError("A FROM clause is required")
        projection = self._projection()
        if not self._takes("FROM"):
            if self._next.kind == "end" or self._next.text == ";":
                raise SqlError("A FROM clause is required")
            self._expected("end of statement")
        source = self._source()
        joins: list[Join] = []
        while self._next.keyword in _JOINS:
            joins.append(self._join())
        where = self._where()
        limit = self._limit() if self._takes("LIMIT") else None
        if self._next.keyword in _CLAUSES:
            raise SqlError(f"Unsupported: {self._rest(start)}")
        select = Select(source, tuple(joins), projection, where, limit)
        if joins and any(name.table is None for name in _names(select)):
            raise SqlError("Names must be qualified when using joins")
        return select

    def _where(self) -> Expression | None:
        return self._expression() if self._takes("WHERE") else None

    def _limit(self) -> str:
        if self._next.kind != "number":
            raise SqlError(f"Unsupported LIMIT expression: {self._next.text}")
        return self._take().text

    # --- what is asked for --------------------------------------------------------------------------------------------

    def _projection(self) -> Star | Columns | Count:
        """What stands before FROM."""
        if self._takes("*"):
            return Star(None)
        name = self._next.identifier
        if name is not None and [token.text for token in self._tokens[self._position + 1 :][:2]] == [".", "*"]:
            self._position += 3
            return Star(name)
        if self._after_next.text == "(" and name is not None:
            return self._aggregate()
        return Columns(tuple(self._projected() for _ in self._list()))

    def _aggregate(self) -> Count:
        start = self._next.start
        taken: list[Token] = []
        while self._next.kind != "end" and self._next.keyword not in ("AS", "FROM") and self._next.text not in ";,":
            taken.append(self._take())
        call = " ".join(self._text[start : self._next.start].split())
        if not self._takes("AS"):
            raise SqlError("Aggregate expressions must have column aliases")
        if [token.text.upper() for token in taken] != ["COUNT", "(", "*", ")"]:
            raise SqlError(f"Unsupported aggregate function: {call}")
        return Count(self._identifier())

    def _projected(self) -> tuple[Name, str]:
        token = self._next
        if token.text == "*":
            raise SqlError("Mixed wildcard projections are not supported")
        if token.identifier is None and (token.kind in ("end", "operator")):
            self._expected("an expression:")
        if token.identifier is None or self._after_next.text == "(":
            raise SqlError(f"Unsupported projection expression: {self._take().text}")
        name = self._name()
        if self._takes("AS") or (self._next.identifier is not None and self._next.keyword != "FROM"):
            return name, self._identifier()
        return name, name.column

    # --- tables -------------------------------------------------------------------------------------------------------

    def _source(self) -> Source:
        begin = self._next.start
        if self._next.text == "(":
            raise SqlError(f"Unsupported FROM expression: {self._rest(begin)}")
        table = self._identifier()
        if self._next.text == ".":
            raise SqlError(f"Multi-part names are not supported: {self._rest(begin)}")
        if self._next.text == "(":
            raise SqlError(f"Unsupported FROM expression: {self._rest(begin)}")
        alias = table
        if self._takes("AS") or (self._next.identifier is not None and self._next.keyword not in _NO_ALIAS):
            alias = self._identifier()
        if self._next.text == ",":
            raise SqlError("Implicit joins are not supported")
        return Source(table, alias)

    def _join(self) -> Join:
        is_cross = self._takes("CROSS")
        if not is_cross:
            self._takes("INNER")
        if not self._takes("JOIN"):
            raise SqlError("Non-inner joins are not supported")
        source = self._source()
        if self._next.keyword == "USING":
            raise SqlError("Non-inner joins are not supported")
        if is_cross or not self._takes("ON"):
            return Join(source, None)
        on = self._expression()
        if isinstance(on, Compare) and on.operator == "=" and isinstance(on.left, Name) and isinstance(on.right, Name):
            return Join(source, on)
        raise SqlError("Non-inner joins are not supported")  # which is what the real server calls all other conditions

    # --- expressions --------------------------------------------------------------------------------------------------

    def _expression(self) -> Expression:
        parts = [self._conjunction()]
        while self._takes("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Logic("OR", tuple(parts))

    def _conjunction(self) -> Expression:
        parts = [self._comparison()]
        while self._takes("AND"):
            parts.append(self._comparison())
        return parts[0] if len(parts) == 1 else Logic("AND", tuple(parts))

    def _comparison(self) -> Expression:
        start, depth = self._next.start, self._depth
        if self._next.keyword == "NOT":
            raise SqlError(f"Unsupported expression: {self._rest(start)}")
        found = self._operand()
        while self._next.text in _COMPARISONS and self._next.kind == "operator":
            self._deepen()  # a chain nests to the left
            found = Compare(_COMPARISONS[self._take().text], found, self._operand())
        self._depth = depth
        if self._next.keyword in _TESTS:
            raise SqlError(f"Unsupported expression: {self._rest(start)}")
        if self._next.kind == "operator" and self._next.text in _ARITHMETIC:
            raise SqlError(f"Unsupported binary operator: {self._next.text}")
        return found

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SqlError("sql parser error: recursion limit exceeded")

    def _operand(self) -> Expression:
        token = self._next
        if self._takes("("):
            self._deepen()
            found = self._expression()
            if not self._takes(")"):
                self._expected(")")
            self._depth -= 1
            return found
        if token.text in ("+", "-") and self._after_next.kind == "number":
            self._take()
            return Text(token.text + self._take().text)
        literal = self._literal(token)
        if literal is not None:
            self._take()
            return literal
        return self._name()

    def _literal(self, token: Token) -> Expression | None:
        match token.kind:
            case "number":
                return Text(token.text)
            case "hex":
                return Text(token.text[2:].rstrip("'"))
            case "string":
                return Text(token.text[1:-1].replace("''", "'"))
            case "sender":
                return Sender()
            case "odd":
                raise SqlError(f"Unsupported literal expression: {token.text}")
            case _:
                pass
        if token.keyword == "NULL":
            raise SqlError("Unsupported literal expression: NULL")
        return Bool(token.keyword == "TRUE") if token.keyword in ("TRUE", "FALSE") else None

    def _name(self) -> Name:
        start = self._next.start
        if self._next.identifier is None:
            self._expected("an expression:")
        column, table = self._identifier(), None
        if self._takes("."):
            table, column = column, self._identifier()
        if self._next.text in ("(", "."):
            raise SqlError(f"Unsupported expression: {self._rest(start)}")
        return Name(table, column)


def _names(select: Select) -> Iterator[Name]:
    """All columns that a query names."""
    if isinstance(select.projection, Columns):
        yield from (name for name, _ in select.projection.columns)
    waiting: list[Expression | None] = [select.where, *(join.on for join in select.joins)]
    while waiting:
        match waiting.pop():
            case Name() as name:
                yield name
            case Compare(_, left, right):
                waiting += [left, right]
            case Logic(_, parts):
                waiting += parts
            case _:
                pass
