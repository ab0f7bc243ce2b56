"""Classes that all connections of a process share, as long as one of them is in use.

Rows of two connections to one database are equal if their values are, and what one has made is an argument of the
other. So classes that are made while the program runs go by what they look like, and not by where they come from. It
also spares the next connection the making of them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from .classes import make_enum, make_product, make_sum

__all__ = ["shared_enum", "shared_product", "shared_sum"]

T = TypeVar("T")

_made: Final[WeakValueDictionary[tuple[object, ...], type[Any]]] = WeakValueDictionary()


def shared_product(name: str, fields: Sequence[str]) -> type[Any]:
    """As `make_product`."""
    return _shared(make_product, name, fields)


def shared_sum(name: str, variants: Sequence[tuple[str, bool]]) -> type[Any]:
    """As `make_sum`."""
    return _shared(make_sum, name, variants)


def shared_enum(name: str, members: Sequence[str]) -> type[enum.Enum]:
    """As `make_enum`."""
    return _shared(make_enum, name, members)


def _shared(make: Callable[[str, Sequence[T]], type[Any]], name: str, parts: Sequence[T]) -> type[Any]:
    # Of two threads that make the same at the same moment each may get its own: then they are not equal, and no more.
    key = (make, name, *parts)
    found = _made.get(key)
    return _made.setdefault(key, make(name, parts)) if found is None else found
