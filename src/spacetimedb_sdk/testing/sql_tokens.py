"""SQL text as tokens, and a cursor over them: the part of a parser that knows no grammar.

Texts of refusals are the real server's where those were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NoReturn

import attrs

from spacetimedb_proto.errors import SpacetimeDBError

__all__ = ["SqlError", "Token", "Tokens"]


class SqlError(SpacetimeDBError):
    """A query that the server refuses; the text is what clients are told."""


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


@attrs.frozen
class Token:
    """One token, and where it starts."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word in capitals; nothing that is no bare word is a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def identifier(self) -> str | None:
        """The name that it is, if it is one."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text if self.kind == "word" else None


class Tokens:
    """The tokens of one text, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._position = 0

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _scan(self) -> Iterator[Token]:
        for match in _TOKEN.finditer(self._text):
            token = Token(match.lastgroup or "", match[0], match.start())
            if self._text[token.start : token.start + 2] == "/*" and token.kind == "operator":
                raise SqlError("sql parser error: Unexpected EOF while in a multi-line comment")
            if token.text in ("'", '"'):
                raise SqlError(f"sql parser error: {self._unterminated(token)}{self._place(token)}")
            if token.kind != "space":
                yield token
        yield Token("end", "", len(self._text))

    @staticmethod
    def _unterminated(token: Token) -> str:
        return "Unterminated string literal" if token.text == "'" else "Expected close delimiter '\"' before EOF."

    def _place(self, token: Token) -> str:
        line = self._text.count("\n", 0, token.start) + 1
        return f" at Line: {line}, Column {token.start - self._text.rfind(chr(10), 0, token.start)}"

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    @property
    def _after_next(self) -> Token:
        return self._tokens[min(self._position + 1, len(self._tokens) - 1)]

    def _take(self) -> Token:
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

    # --- common pieces ------------------------------------------------------------------------------------------------

    def _identifier(self) -> str:
        name = self._next.identifier
        if name is None:
            self._expected("identifier")
        self._take()
        return name

    def _list(self) -> Iterator[None]:
        """Once for each item of a list with commas; whoever iterates takes the items."""
        yield
        while self._takes(","):
            yield
