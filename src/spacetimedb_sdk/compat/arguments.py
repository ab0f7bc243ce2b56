"""Arguments that have two names: one in 0.7's code, another in its README."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["also_called"]

P = ParamSpec("P")
T = TypeVar("T")


def also_called(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a function take arguments by other names, too.

    Args:
        names: The parameter's name, by its other name.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def renamed(*args: P.args, **kwargs: P.kwargs) -> T:
            for other, name in names.items():
                if other in kwargs:
                    kwargs[name] = kwargs.pop(other)
            return function(*args, **kwargs)

        return renamed

    return decorate
