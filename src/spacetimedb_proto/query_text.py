"""What the text of a query says without a schema: whose rows it asks for."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["table_of"]

_TOKEN: Final = re.compile(r""""(?:[^"]|"")*"|'(?:[^']|'')*'|\w+|\S""")
_NO_ALIAS: Final = frozenset(("AS", "INNER", "JOIN", "LIMIT", "ON", "ORDER", "WHERE"))


def table_of(query: str) -> str | None:
    """The name of the table whose whole rows a query asks for, or None if it asks for something else.

    That is so for `SELECT * FROM t` and `SELECT t.* FROM t JOIN ...`, as the server's own grammar has them (protocol
    reference, 2.6). Whether there is such a table is not asked; the answer's types tell.
    """
    reader = _Words(_TOKEN.findall(query))
    if not reader.skip("SELECT"):
        return None
    wanted = reader.name()
    if wanted is not None and not reader.skip("."):
        return None
    if not reader.skip("*") or not reader.skip("FROM"):
        return None
    sources: dict[str, str] = {}
    while (table := reader.name()) is not None:
        sources[reader.alias() or table] = table
        if not reader.find("JOIN"):
            break
    if wanted is None:
        return next(iter(sources.values())) if len(sources) == 1 else None
    return sources.get(wanted)


class _Words:
    """The words of a query, from left to right."""

    def __init__(self, words: list[str]) -> None:
        self._words = [*words, "", ""]
        self._at = 0

    def skip(self, word: str) -> bool:
        """Go past a word if it is the next."""
        is_next = self._words[self._at].upper() == word
        self._at += is_next
        return is_next

    def find(self, word: str) -> bool:
        """Go past the next such word, if there is one."""
        rest = [each.upper() for each in self._words[self._at :]]
        if word not in rest:
            return False
        self._at += rest.index(word) + 1
        return True

    def name(self) -> str | None:
        """Go past a name, quoted or not, dotted in submodules."""
        name = self._part()
        while name is not None and self._words[self._at] == "." and self._is_part(self._words[self._at + 1]):
            self._at += 1
            name = f"{name}.{self._part()}"
        return name

    def alias(self) -> str | None:
        """Go past another name for what was named last."""
        if self.skip("AS"):
            return self._part()
        return None if self._words[self._at].upper() in _NO_ALIAS else self._part()

    def _part(self) -> str | None:
        word = self._words[self._at]
        if not self._is_part(word):
            return None
        self._at += 1
        return word[1:-1].replace('""', '"') if word.startswith('"') else word

    def _is_part(self, word: str) -> bool:
        return word.startswith(('"', "_")) or word[:1].isalpha()
