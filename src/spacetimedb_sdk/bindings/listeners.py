"""Callbacks and who holds them.

A listener added or removed while callbacks run counts from the next event on: every dispatch works on the list as it
was when the event began.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar, cast

__all__ = ["Listener", "Listeners", "caught", "name_of"]

F = TypeVar("F", bound=Callable[..., Any])

_CHANGING: Final = threading.RLock()
"""Held for the moment in which listeners are added or removed, which any thread may do."""


def name_of(callback: Callable[..., Any]) -> str:
    """A callback's name as a reader of the log would look for it: module and qualified name."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None)
    return f"{module}.{name}" if module else str(name)


def caught(error: BaseException, callback: Callable[..., Any], report: Callable[[Exception, str], object]) -> None:
    """Report what a callback raised, with its name; raise it again if it is meant to end the program.

    That a task was cancelled of which a callback asked the result is no more than an error of the callback: nobody
    cancels a plain function. Loops would take it for the end of whatever task the callback runs in.
    """
    asyncio: Any = sys.modules.get("asyncio")
    if not isinstance(error, Exception) and (asyncio is None or not isinstance(error, asyncio.CancelledError)):
        raise error
    report(cast("Exception", error), name_of(callback))


class Listener(Generic[F]):
    """A registered callback. Calling it calls the function, so a decorated name stays usable.

    Attributes:
        callback: The function.
    """

    def __init__(self, callback: F, owner: Listeners[F]) -> None:
        self.callback = callback
        self._owner = owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.callback(*args, **kwargs)

    def remove(self) -> None:
        """Call the function no more, from the next event on. Removing twice is harmless."""
        self._owner.discard(self)

    def __repr__(self) -> str:
        return f"<listener {name_of(self.callback)}>"


class Listeners(Generic[F]):
    """The listeners for one kind of event, in the order they were added.

    Attributes:
        callbacks: Their functions: a tuple that later changes do not touch.
    """

    __slots__ = ("_listeners", "callbacks")

    def __init__(self) -> None:
        self._listeners: tuple[Listener[F], ...] = ()
        self.callbacks: tuple[F, ...] = ()

    def add(self, callback: F) -> Listener[F]:
        """Register a callback.

        Raises:
            TypeError: It is not callable, or it is a coroutine function, which nobody would await.
        """
        if not callable(callback):
            raise TypeError(f"expected a function, got {callback!r}")
        if inspect.iscoroutinefunction(callback):
            raise TypeError(
                f"expected a plain function, got the coroutine function {name_of(callback)}: "
                "read a stream such as changes() instead, or start a task from a plain function"
            )
        listener = Listener(callback, self)
        with _CHANGING:
            self._set((*self._listeners, listener))
        return listener

    def discard(self, listener: Listener[F]) -> None:
        """Forget a listener, if it is here."""
        with _CHANGING:
            self._set(other for other in self._listeners if other is not listener)

    def _set(self, listeners: Iterable[Listener[F]]) -> None:
        self._listeners = listeners = tuple(listeners)
        self.callbacks = tuple(listener.callback for listener in listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)
