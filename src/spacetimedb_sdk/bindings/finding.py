"""`find` with a parameter of its own for the column that is asked for nearly always: a table's primary key.

The general `find` takes any columns, so Python makes a dictionary of them and `find` takes it apart again, which costs
more than the lookup. A parameter costs next to nothing, but its name is the table's own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final

__all__ = ["find_by"]

_NOT_GIVEN: Final = object()


def find_by(
    column: str, quick: Callable[[Any], Any], check: Callable[[], object], general: Callable[..., Any]
) -> Callable[..., Any]:
    """A function that does what `general` does, quickly if it is given this column and nothing else.

    Args:
        column: The column's name as an attribute.
        quick: Finds the row with this value, or None.
        check: Called where nothing was found; raises if that does not mean that there is nothing.
        general: The general `find`.
    """

    def find(*args: Any, column_: Any = _NOT_GIVEN, **others: Any) -> Any:
        if others or args or column_ is _NOT_GIVEN:
            return general(*args, **others) if column_ is _NOT_GIVEN else general(*args, **{column: column_}, **others)
        found = quick(column_)
        if found is None:
            check()
        return found

    named = FunctionType(_renamed(find.__code__, "column_", column), find.__globals__, "find", None, find.__closure__)
    named.__kwdefaults__ = {column: _NOT_GIVEN}
    named.__qualname__, named.__doc__ = general.__qualname__, general.__doc__
    return named


def _renamed(code: CodeType, old: str, new: str) -> CodeType:
    """The code of a function with another name for one of its parameters."""
    return code.replace(co_varnames=tuple(new if name == old else name for name in code.co_varnames))
