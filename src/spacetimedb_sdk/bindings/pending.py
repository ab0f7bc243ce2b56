"""The outcome of something asked of the server: a value or an error, once.

A pending outcome that fails and that nobody claims is not lost: it goes to the connection's error listeners. So does
what a callback raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, TypeVar

from spacetimedb_proto.errors import LocalProtocolError, SpacetimeDBError

from .listeners import caught

__all__ = ["Pending", "seconds"]

T = TypeVar("T")


def seconds(timeout: float | None) -> float:
    """How long to wait; for ever if nothing else is said.

    Raises:
        TypeError: It is no number.
        LocalProtocolError: It is less than nothing, or NaN.
    """
    if timeout is None:
        return math.inf
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"timeout: expected seconds or None, got {timeout!r}")
    if not timeout >= 0:
        raise LocalProtocolError(f"timeout: expected seconds from 0 on, or None, got {timeout!r}")
    return timeout


class Pending(Generic[T]):
    """What a call will come to.

    Attributes:
        what: The call, in words, for messages.
    """

    def __init__(self, what: str, report: Callable[[Exception, str], None]) -> None:
        self.what = what
        self._report = report
        self._callbacks: list[Callable[[Pending[T]], object]] = []
        self._done = False
        self._claimed = False
        self._value: T | None = None
        self._error: SpacetimeDBError | None = None
        self._cancel: Callable[[], object] | None = None

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._done

    def result(self) -> T:
        """The value.

        Raises:
            SpacetimeDBError: The call's error, or `LocalProtocolError` while the outcome is not known.
        """
        self._claimed = True
        if not self._done:
            raise LocalProtocolError(f"{self.what} is not done yet")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def exception(self) -> SpacetimeDBError | None:
        """The error, or None if there is a value or nothing yet. Asking claims it."""
        self._claimed = True
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback(pending)` once the outcome is known: at once if it is known already."""
        self._claimed = True
        if self._done:
            self._run(callback)
        else:
            self._callbacks.append(callback)

    def abandon(self, callback: Callable[[Pending[T]], object]) -> None:
        """Take a callback back: its owner waits no more. If nobody else does, the outcome is unclaimed again."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)
        self._claimed = bool(self._callbacks)

    def cancel(self) -> None:
        """Give the call up: its outcome is then `CallCancelled`, which says whether it was sent. Too late is harmless.

        A call that was not sent never will be; one that was may still run, and its changes come as any others. What is
        no call, as the end of a subscription, cannot be cancelled.
        """
        if self._cancel is not None and not self._done:
            self._claimed = True
            self._cancel()

    def on_cancel(self, cancel: Callable[[], object]) -> None:
        """Set what gives the call up."""
        self._cancel = cancel

    def resolve(self, value: T) -> bool:
        """Set the value; returns whether anybody waited for it."""
        self._value = value
        return self._finish()

    def fail(self, error: SpacetimeDBError) -> bool:
        """Set the error; returns whether anybody waited for it."""
        self._error = error
        return self._finish()

    def _finish(self) -> bool:
        self._done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._run(callback)
        return bool(callbacks)

    def _run(self, callback: Callable[[Pending[T]], object]) -> None:
        try:
            callback(self)
        except BaseException as error:
            caught(error, callback, self._report)

    def report_unclaimed(self) -> None:
        """Hand an error that nobody has claimed to the error listeners: once, and at the latest when nobody can."""
        if self._error is not None and not self._claimed:
            self._claimed = True
            self._report(self._error, self.what)

    def __del__(self) -> None:
        self.report_unclaimed()

    def __repr__(self) -> str:
        if self._error is not None:
            return f"<{self.what}: {self._error!r}>"
        return f"<{self.what}: {'done' if self._done else 'pending'}>"
