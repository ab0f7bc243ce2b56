"""The SQL of subscriptions and one-off queries, from text to a tree (protocol reference, 2.6).

One SELECT of whole rows of one table, and a condition. Whatever else a text is, it is refused, in the words of the real
server where those were recorded. Nothing here knows which tables there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NoReturn, TypeAlias

import attrs

from spacetimedb_proto.errors import SpacetimeDBError

__all__ = ["Bool", "Compare", "Expression", "Logic", "Name", "Select", "Sender", "SqlError", "Text", "parse"]


class SqlError(SpacetimeDBError):
    """A query that the server refuses; the text is what clients are told."""


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
class Select:
    """A whole query.

    Attributes:
        table: The table's name as written.
        alias: What the query calls it.
        star: The name in front of `.*`, or None for a bare `*`.
        is_projection: Whether it asks for columns rather than rows.
        where: The condition, or None for all rows.
    """

    table: str
    alias: str
    star: str | None
    is_projection: bool
    where: Expression | None


MAX_DEPTH: Final = 50
"""Expressions inside each other, as on the real server; so the parser's stack is bounded."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<hex>0[xX][0-9a-fA-F]*|[xX]'[^']*')
    |(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<odd>[eEnNbB]'(?:[^']|'')*'|\$\w+|:(?!sender\b)\w+)
    |(?P<sender>:sender\b)
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<word>[^\W\d]\w*)
    |(?P<operator><>|!=|==|<=|>=|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS: Final = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "||", "&", "|", "^"})
_OTHER_STATEMENTS: Final = frozenset(
    {"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "SET", "SHOW", "TRUNCATE"}
)
_JOINS: Final = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"})
_CLAUSES: Final = frozenset(
    {"ORDER", "GROUP", "HAVING", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT", "FOR"}
)
_NO_ALIAS: Final = _JOINS | _CLAUSES | {"WHERE", "ON", "USING"}
_TESTS: Final = frozenset({"NOT", "IN", "LIKE", "ILIKE", "IS", "BETWEEN", "SIMILAR", "COLLATE"})


@attrs.frozen
class _Token:
    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word in capitals; nothing that is no bare word is a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def identifier(self) -> str | None:
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text if self.kind == "word" else None


def parse(text: str) -> Select:
    """Read one query.

    Raises:
        SqlError: It is none, or one that subscriptions do not know.
    """
    return _Parser(text).statement()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._position = 0
        self._depth = 0

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _scan(self) -> Iterator[_Token]:
        for match in _TOKEN.finditer(self._text):
            token = _Token(match.lastgroup or "", match[0], match.start())
            if self._text[token.start : token.start + 2] == "/*" and token.kind == "operator":
                raise SqlError("sql parser error: Unexpected EOF while in a multi-line comment")
            if token.text in ("'", '"'):
                raise SqlError(f"sql parser error: {self._unterminated(token)}{self._place(token)}")
            if token.kind != "space":
                yield token
        yield _Token("end", "", len(self._text))

    @staticmethod
    def _unterminated(token: _Token) -> str:
        return "Unterminated string literal" if token.text == "'" else "Expected close delimiter '\"' before EOF."

    def _place(self, token: _Token) -> str:
        line = self._text.count("\n", 0, token.start) + 1
        return f" at Line: {line}, Column {token.start - self._text.rfind(chr(10), 0, token.start)}"

    @property
    def _next(self) -> _Token:
        return self._tokens[self._position]

    @property
    def _after_next(self) -> _Token:
        return self._tokens[min(self._position + 1, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._position += 1
        return token

    def _takes(self, *wanted: str) -> bool:
        """Take the next token if it is one of these keywords or operators."""
        found = (self._next.keyword or self._next.text) in wanted and self._next.kind in ("word", "operator")
        if found:
            self._take()
        return found

    def _expected(self, what: str) -> NoReturn:
        token = self._next
        found = f"{token.text}{self._place(token)}" if token.kind != "end" else "EOF"
        raise SqlError(f"sql parser error: Expected {what}, found: {found}")

    def _rest(self, start: int) -> str:
        """The text from a position to the end of the statement, with single spaces."""
        end = next((token.start for token in self._tokens[self._position :] if token.text == ";"), len(self._text))
        return " ".join(self._text[start:end].split())

    # --- statements ---------------------------------------------------------------------------------------------------

    def statement(self) -> Select:
        while self._takes(";"):
            pass
        if self._next.kind == "end":
            raise SqlError("Empty SQL query")
        if self._next.keyword in _OTHER_STATEMENTS:
            raise SqlError("Unsupported: Non-SELECT queries")
        start = self._next.start
        if not self._takes("SELECT"):
            self._expected("an SQL statement")
        select = self._select(start)
        if self._next.kind != "end" and self._next.text != ";":
            self._expected("end of statement")
        while self._takes(";"):
            pass
        if self._next.kind != "end":
            raise SqlError("Multiple SQL statements are not supported")
        return select

    def _select(self, start: int) -> Select:
        if self._next.keyword == "DISTINCT":
            raise SqlError(f"Unsupported SELECT: {self._rest(start)}")
        if self._next.keyword == "FROM":  # the real server takes it for a column, and then misses this
            raise SqlError("A FROM clause is required")
        star, is_projection = self._projection()
        if not self._takes("FROM"):
            if self._next.kind == "end" or self._next.text == ";":
                raise SqlError("A FROM clause is required")
            self._expected("end of statement")
        table, alias = self._from()
        where = self._expression() if self._takes("WHERE") else None
        if self._next.keyword in _CLAUSES:
            raise SqlError(f"Unsupported: {self._rest(start)}")
        return Select(table, alias, star, is_projection, where)

    def _projection(self) -> tuple[str | None, bool]:
        """What stands before FROM: the name before `.*`, and whether columns are asked for."""
        if self._takes("*"):
            return None, False
        name = self._next.identifier
        if name is not None and [token.text for token in self._tokens[self._position + 1 :][:2]] == [".", "*"]:
            self._position += 3
            return name, False
        if self._next.kind in ("end", "operator"):
            self._expected("an expression:")
        is_call = self._after_next.text == "("
        taken: list[_Token] = []
        while self._next.kind != "end" and self._next.keyword != "FROM" and self._next.text != ";":
            taken.append(self._take())
        if is_call and not any(token.keyword == "AS" for token in taken):
            raise SqlError("Aggregate expressions must have column aliases")
        return None, True

    def _from(self) -> tuple[str, str]:
        start = self._next.start
        if self._next.text == "(":
            raise SqlError(f"Unsupported FROM expression: {self._rest(start)}")
        table = self._identifier()
        if self._next.text == ".":
            raise SqlError(f"Multi-part names are not supported: {self._rest(start)}")
        if self._next.text == "(":
            raise SqlError(f"Unsupported FROM expression: {self._rest(start)}")
        alias = table
        if self._takes("AS") or (self._next.identifier is not None and self._next.keyword not in _NO_ALIAS):
            alias = self._identifier()
        if self._next.text == ",":
            raise SqlError("Implicit joins are not supported")
        if self._next.keyword in _JOINS:
            raise SqlError("joins are not supported by the testing server")
        return table, alias

    def _identifier(self) -> str:
        name = self._next.identifier
        if name is None:
            self._expected("identifier")
        self._take()
        return name

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

    def _literal(self, token: _Token) -> Expression | None:
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
