"""Names of the module as Python can spell them: one algorithm for dynamic classes and for generated code.

The names of a served definition are final and may be any text (schema reference, 6.3 and 6.4). Fields and parameters
keep theirs; variants become PascalCase as in every generator (schema reference, trap 7). What Python cannot spell is
changed as little as possible. Names on the wire are never touched: values are laid out by position.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Callable, Iterable, Sequence

__all__ = ["camel", "class_names", "field_names", "parameter_names", "pascal", "snake", "variant_names"]

_DIGITS = frozenset("0123456789")
# What a sum's classes and an enum's members have of their own, or would be misunderstood as.
_RESERVED_VARIANTS = frozenset({"mro", "name", "value"})


def field_names(names: Sequence[str | None], reserved: Iterable[str] = ()) -> tuple[str, ...]:
    """Attribute names for the fields of a product, in order and distinct.

    A keyword or a clash gets trailing underscores, and a field without a name (they occur in answers to ad-hoc SQL) is
    called `field_0` by its position. A field whose name needs no change keeps it, whatever the others are called.

    Args:
        names: As in the definition.
        reserved: More names that must not come out.
    """
    return _distinct(names, "field", _identifier, frozenset(reserved))


def parameter_names(names: Sequence[str | None], reserved: Iterable[str] = ("self",)) -> tuple[str, ...]:
    """Names of a function's parameters: as for fields, but `self` is taken."""
    return _distinct(names, "arg", _identifier, frozenset(reserved))


def variant_names(names: Sequence[str | None]) -> tuple[str, ...]:
    """Class or member names for the variants of a sum, in order and distinct: `bannedUntil` becomes `BannedUntil`."""
    return _distinct(names, "Variant", _variant, _RESERVED_VARIANTS)


def class_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names for classes that go with tables or functions, in order and distinct: `auth.live_user` is `AuthLiveUser`."""
    return _distinct([name.replace(".", "_") for name in names], "Thing", _variant, frozenset())


def _distinct(
    names: Sequence[str | None], fallback: str, convert: Callable[[str], str], reserved: frozenset[str]
) -> tuple[str, ...]:
    wishes = [convert(name) if name else "" for name in names]
    found: dict[int, str] = {}
    taken = set(reserved)
    for exact in (True, False):  # who keeps its name comes first, so that no other can push it aside
        for position, (name, wish) in enumerate(zip(names, wishes, strict=True)):
            if position in found or (exact and (name != wish or wish in taken)):
                continue
            free = wish or f"{fallback}_{position}"
            while free in taken:
                free += "_"
            taken.add(free)
            found[position] = free
    return tuple(found[position] for position in range(len(names)))


def _identifier(name: str) -> str:
    # The parser applies NFKC to identifiers, so a name that NFKC changes could not be written down otherwise.
    text = unicodedata.normalize("NFKC", name)
    text = "".join(c if f"_{c}".isidentifier() else "_" for c in text)
    if text and not text.isidentifier():
        text = f"n_{text}"
    if keyword.iskeyword(text):
        return f"{text}_"
    if text.startswith("__"):
        # Two at the front would be mangled inside a class body unless two stand at the end, and with exactly two at the
        # end it could be one of Python's own.
        return f"{text.rstrip('_')}___"
    return text


def _variant(name: str) -> str:
    text = _identifier(pascal(name)) if pascal(name) else ""
    return f"n{text}" if text.startswith("_") else text  # an enum takes names in underscores for its own


def pascal(name: str) -> str:
    """Convert to PascalCase by the server's rules (schema reference, appendix A); acronyms are lost as there."""
    return "".join(word[:1].upper() + word[1:].lower() for word in _words(name))


def snake(name: str) -> str:
    """Convert to snake_case by the server's rules (schema reference, appendix A)."""
    return "_".join(word.lower() for word in _words(name))


def camel(name: str) -> str:
    """Convert to camelCase by the server's rules (schema reference, appendix A)."""
    first, *others = _words(name) or [""]
    return first.lower() + "".join(word[:1].upper() + word[1:].lower() for word in others)


def _words(name: str) -> list[str]:
    words = [""]
    for position, char in enumerate(name):
        if char in "_- ":
            words.append("")
        elif position and _begins_word(name[position - 1], char, name[position + 1 : position + 2]):
            words.append(char)
        else:
            words[-1] += char
    return [word for word in words if word]


def _begins_word(before: str, char: str, after: str) -> bool:
    digits = (before in _DIGITS) != (char in _DIGITS) and (_is_cased(before) or _is_cased(char))
    return digits or (_is_upper(char) and (_is_lower(before) or (_is_upper(before) and _is_lower(after))))


def _is_cased(char: str) -> bool:
    return char.upper() != char.lower()


def _is_upper(char: str) -> bool:
    return _is_cased(char) and char == char.upper()


def _is_lower(char: str) -> bool:
    return _is_cased(char) and char == char.lower()
