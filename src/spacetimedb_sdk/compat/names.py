"""Which table or type of today's module an old name means.

Tables of 0.7 were called `User`, as their classes; servers of today call them `user` unless a module says otherwise,
and names are case-sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

__all__ = ["class_name", "meant_by", "rewritten"]

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\s+|.""", re.DOTALL)


def class_name(module_name: str) -> str:
    """The class that a module of a generated package is looked through for: `user_chat` has `UserChat`."""
    return module_name.replace("_", " ").title().replace(" ", "")


def meant_by(name: str, known: Iterable[str]) -> str | None:
    """The one of the known names that an old one stands for: itself, or the only one that is spelled as it but for case
    and underscores. None if there is none, or several.
    """  # noqa: D205 - two short sentences that belong together
    names = list(known)
    if name in names:
        return name
    alike = [other for other in names if _folded(other) == _folded(name)]
    return alike[0] if len(alike) == 1 else None


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def rewritten(query: str, tables: Mapping[str, str], known: Collection[str]) -> str:
    """A query with old names of tables replaced by those of the server.

    Only names that the server does not know are touched, after FROM and JOIN and before a dot.

    Args:
        query: SQL.
        tables: Names of tables on the server, by old names.
        known: All names of tables on the server.
    """
    tokens = _TOKEN.findall(query)
    words = [index for index, token in enumerate(tokens) if not token.isspace()]
    for place, index in enumerate(words):
        name = tokens[index].strip('"') if tokens[index][:1] == '"' else tokens[index]
        before = tokens[words[place - 1]].upper() if place else ""
        after = tokens[words[place + 1]] if place + 1 < len(words) else ""
        if name in tables and name not in known and (before in ("FROM", "JOIN") or after == "."):
            tokens[index] = f'"{tables[name]}"'
    return "".join(tokens)
