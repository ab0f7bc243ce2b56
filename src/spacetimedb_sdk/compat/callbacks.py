"""Callbacks of reducers, which programs of 0.7 write in two ways."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..annotations import parameters_of
from .values import ReducerEvent

__all__ = ["call_reducer_callback", "takes_address"]

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def takes_address(callback: Callable[..., object], args: int) -> bool:
    """Whether a callback is written `(sender, address, status, message, *args)`, as 0.7 called it.

    The other way is `(sender, status, message, *args)`, as its README had it. The name of the second parameter tells,
    where it says "status" or "address"; else the number of parameters.

    Args:
        callback: The function.
        args: How many arguments the reducer has.
    """
    try:
        parameters = parameters_of(callback).values()
    except (TypeError, ValueError):  # some functions written in C
        return True
    placed = [parameter for parameter in parameters if parameter.kind in _BY_POSITION]
    second = placed[1].name.lower() if len(placed) > 1 else ""
    if "status" in second or "addr" in second:
        return "addr" in second
    takes_more = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    return takes_more or len(placed) >= 4 + args


def call_reducer_callback(callback: Callable[..., object], event: ReducerEvent, args: Sequence[Any]) -> None:
    """Tell a callback of a reducer's outcome, in the way in which it is written."""
    address = (event.caller_address,) if takes_address(callback, len(args)) else ()
    callback(event.caller_identity, *address, event.status, event.message, *args)
