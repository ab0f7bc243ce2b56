"""Names in other cases, as the real server makes them (schema reference, 3.3 and appendix A).

A module of the real server is written in its language's own style, and the host turns names into one: tables, columns
and functions into snake_case, variants into camelCase, types into PascalCase. Nothing here knows modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["AS_WRITTEN", "CONVERTED", "Naming", "snake_case"]

_WORD_ENDS: Final = re.compile(
    "(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])"
)


def _words(name: str) -> list[str]:
    """Its words; digits are words of their own, so `Person2` has two."""
    return [word for word in _WORD_ENDS.sub("_", name).split("_") if word]


def snake_case(name: str) -> str:
    """`Person2` as `person_2`."""
    return "_".join(word.lower() for word in _words(name))


def _pascal_case(name: str) -> str:
    return "".join(word[:1].upper() + word[1:].lower() for word in _words(name))


def _camel_case(name: str) -> str:
    first, *rest = _words(name) or [""]
    return first.lower() + "".join(map(_pascal_case, rest))


@attrs.frozen
class Naming:
    """What becomes of the names in a module's source.

    Attributes:
        snake: For tables, columns, and functions.
        camel: For variants.
        pascal: For types.
    """

    snake: Callable[[str], str]
    camel: Callable[[str], str]
    pascal: Callable[[str], str]


AS_WRITTEN: Final = Naming(str, str, str)
"""Nothing."""

CONVERTED: Final = Naming(snake_case, _camel_case, _pascal_case)
"""What the real server does unless a module tells it not to."""
