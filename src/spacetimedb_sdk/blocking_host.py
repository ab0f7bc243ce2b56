"""What the bindings need where several threads use them: outcomes and streams that are waited for, tables with a lock.

Two rules keep threads apart. The session moves, and is asked for things, in turns (`BlockingDriver.locked`). What one
thread hands to another, an outcome or a stream, has a small lock of its own, inside which nothing else is locked.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.errors import CallTimeout, LocalProtocolError, SpacetimeDBError, WaitTimeout
from spacetimedb_transports.blocking import BlockingDriver, Signal

from .bindings.engine import Engine
from .bindings.hooks import Hooks
from .bindings.host import Asked
from .bindings.pending import Pending
from .bindings.streams import Stream
from .bindings.subscription import Subscription
from .bindings.tables import TableHandle
from .bindings.unread import Unread
from .owner import check_process
from .tabular import Held

__all__ = ["BlockingHost", "BlockingPending", "BlockingStream", "LockedEngine", "LockedTable"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

GRACE: Final = 0.25
"""Seconds that a wait lasts beyond the time after which the session itself gives up, and says what that means."""


class BlockingHost:
    """What the engine needs of two threads that drive a connection.

    Args:
        driver: Those threads.
        patience: Seconds that every wait may take for which its caller names no other number; None for ever.
    """

    few = 8  # nobody looks at a clock

    def __init__(self, driver: BlockingDriver, patience: float | None) -> None:
        self.driver = driver
        self.patience = patience
        self._process = os.getpid()

    def now(self) -> float:
        """The time, on the driver's clock."""
        return self.driver.now()

    def check_caller(self) -> None:
        """Let any thread ask, but none of a forked child, where nobody would answer and a lock may be held for ever.

        Raises:
            LocalProtocolError: This is such a child.
        """
        check_process(self._process)

    def locked(self, act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something that must be one with whatever else is done. A caller who may not is refused before the lock."""
        self.check_caller()
        return self.driver.locked(act, *args, **kwargs)

    def wake(self) -> None:
        """Something may be waiting to be sent."""
        self.driver.wake()

    def seconds(self, timeout: float | None) -> float | None:
        """How long a wait may take; None for ever."""
        seconds = self.patience if timeout is None else timeout
        return None if seconds == math.inf else seconds

    def outcome(self, pending: Pending[Any], timeout: float | None) -> Any:
        """The outcome, as soon as it is known; in a callback the outcome to come."""
        blocking = cast("BlockingPending[Any]", pending)
        return blocking if self.driver.is_callback_thread else blocking.outcome(self.seconds(timeout))

    def check_may_wait(self, what: str) -> None:
        """Refuse to wait in a callback, and in a forked child.

        Raises:
            LocalProtocolError: It would never end.
        """
        self.check_caller()
        if self.driver.is_callback_thread:
            raise LocalProtocolError(f"{what}: a callback cannot wait for what is told only after it has returned")

    def table(self, engine: Engine, name: str) -> LockedTable:
        """Make the handle of a table."""
        return self.driver.locked(LockedTable, engine, name, self.driver)

    def pending(self, what: str, report: Callable[[Exception, str], None]) -> BlockingPending[Any]:
        """Make an outcome to wait for. It is not reported by whichever thread collects it."""
        return BlockingPending(self, what, lambda error, what: self.driver.post(lambda: report(error, what)))

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None], unread: Unread[Any]) -> BlockingStream[Any]:
        """Make a stream to wait for."""
        return BlockingStream(self, what, unregister, unread)


class BlockingPending(Pending[T]):
    """An outcome to come: what a call returns in a callback. Any other thread may wait for it."""

    def __init__(self, host: BlockingHost, what: str, report_unclaimed: Callable[[Exception, str], None]) -> None:
        super().__init__(what, report_unclaimed)
        self._host = host
        self._guard = threading.Lock()

    def wait(self, timeout: float | None = None) -> T:
        """Block until the outcome is known, and return the value.

        Args:
            timeout: Seconds to wait; None for as long as the connection's `timeout` says.

        Raises:
            SpacetimeDBError: The call's error.
            WaitTimeout: Nothing is known yet. The call goes on.
            LocalProtocolError: It was called in a callback.
        """
        if not self.done():
            self._host.check_may_wait(self.what)
            seconds = self._host.seconds(timeout)
            if not self._is_told_within(seconds):
                raise WaitTimeout(f"{self.what}: not done within {seconds:g} s")
        return self.result()

    def outcome(self, seconds: float | None) -> T:
        """As `wait`, for whoever asked. The session itself gives most things up after as many seconds, and is heard.

        Raises:
            SpacetimeDBError: The call's error: `CallTimeout` if there was no answer, or if it could not be told.
            WaitTimeout: Something else than a call took too long.
        """
        if not self._is_told_within(None if seconds is None else seconds + GRACE):
            if self._cancel is None:
                raise WaitTimeout(f"{self.what}: not done within {seconds:g} s")
            self.exception()  # it is told here, whatever comes later
            raise CallTimeout(f"{self.what}: a callback has kept the answer from being told in time")
        return self.result()

    def _is_told_within(self, seconds: float | None) -> bool:
        told = Signal()
        self.add_done_callback(told.give)
        try:
            is_told = told.wait(seconds)
        except BaseException:
            self.abandon(told.give)
            raise
        if not is_told:
            self.abandon(told.give)
        return is_told

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback(pending)` once the outcome is known: at once if it is known already."""
        with self._guard:
            if not self._done:
                self._claimed = True
                self._callbacks.append(callback)
                return
        super().add_done_callback(callback)

    def abandon(self, callback: Callable[[Pending[T]], object]) -> None:
        """Take a callback back. If nobody else waits, the outcome is unclaimed again."""
        with suppress(ValueError):
            self._callbacks.remove(callback)
        self._claimed = bool(self._callbacks)

    def cancel(self) -> None:
        """Give the call up: its outcome is then `CallCancelled`, which says whether it was sent."""
        self._host.locked(super().cancel)

    def _finish(self) -> bool:
        with self._guard:
            self._done = True
        return super()._finish()


class BlockingStream(Stream[T], Iterator[T]):
    """A stream to read with `for`. It records until it is closed, or until nobody holds it any more.

    Several threads may read it; each item goes to one of them.
    """

    def __init__(
        self, host: BlockingHost, what: str, unregister: Callable[[Stream[T]], None], unread: Unread[T]
    ) -> None:
        super().__init__(what, unregister, unread)
        self._host = host
        self._guard = threading.RLock()
        self._waiting: list[Signal] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """The next item, as soon as there is one, however long that takes.

        Raises:
            SpacetimeDBError: What ended the stream: `StreamOverflow`, or the end of the connection.
        """
        return self._next(None)

    def get(self, *, timeout: float | None = None) -> T:
        """The next item, as soon as there is one.

        Args:
            timeout: Seconds to wait; None for as long as the connection's `timeout` says.

        Raises:
            SpacetimeDBError: What ended the stream: `StreamOverflow`, or the end of the connection.
            WaitTimeout: There is none yet.
            LocalProtocolError: The stream has ended without an error, or this is a callback and there is none yet.
        """
        try:
            return self._next(self._host.seconds(timeout))
        except StopIteration:
            raise LocalProtocolError(f"{self.what}: the stream has ended") from None

    def _next(self, seconds: float | None) -> T:
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            with self._guard:
                item = super().next_nowait()
                if item is not None:
                    return item
                self._host.check_may_wait(self.what)
                news = Signal()
                self._waiting.append(news)
            try:
                if not news.wait(max(0.0, end - time.monotonic())):
                    raise WaitTimeout(f"{self.what}: nothing happened within {seconds:g} s")
            finally:
                with self._guard, suppress(ValueError):
                    self._waiting.remove(news)

    def next_nowait(self) -> T | None:
        """The next item, or None if there is none yet."""
        with self._guard:
            return super().next_nowait()

    def push(self, item: T) -> bool:
        """Record one item."""
        with self._guard:
            return super().push(item)

    def end(self, error: SpacetimeDBError | None) -> bool:
        """Record no more."""
        with self._guard:
            return super().end(error)

    def close(self) -> None:
        """Stop recording and forget what was recorded. Whoever waits is told that the stream has ended."""
        with self._guard:
            super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> bool:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            news.give()
        return bool(waiting)


class LockedTable(TableHandle):
    """A table or view that any thread may read. What one call returns is of one moment, also what it iterates over."""

    def __init__(self, engine: Engine, name: str, driver: BlockingDriver) -> None:
        self._locked = driver.locked
        super().__init__(engine, name)

    def _as_one(self, act: F) -> F:
        return cast("F", partial(self._locked, act))

    def __iter__(self) -> Iterator[Any]:
        """The rows as of now; changes during the iteration do not touch it."""
        return self._locked(super().__iter__)

    def _count(self, what: str) -> int:
        return self._locked(super()._count, what)

    def held(self, what: str) -> Held:
        """The rows as of now, for those who make something else of them; raises as `to_arrow`."""
        return self._locked(super().held, what)

    def keys(self) -> list[Any]:
        """The primary keys of the rows there are, in no particular order. Needs no more than `cache="keys"`."""
        return self._locked(super().keys)

    def find(self, /, *args: Any, **columns: Any) -> Any:
        """The row with this value in a unique column, or with these values in the columns of a unique constraint."""
        return self._locked(super().find, *args, **columns)

    def filter(self, /, *args: Any, **columns: Any) -> Iterator[Any]:
        """The rows with these values as of now, through an index where one covers some of the columns."""
        return self._locked(super().filter, *args, **columns)

    def __repr__(self) -> str:
        return self._locked(super().__repr__)


class LockedEngine(Engine):
    """The bindings of one connection that several threads may use."""

    host: BlockingHost

    def __init__(self, core: Asked, host: BlockingHost, hooks: Hooks) -> None:
        super().__init__(core, host, hooks)

    def atomically(self, act: Callable[[], T]) -> T:
        """Do something that must be one with whatever else is done so."""
        return self.host.locked(act)

    def each_atomically(self, items: Iterator[T]) -> Iterator[T]:
        """Take things of which taking each must be one with whatever else is done, but not what is done with it."""
        return self.host.driver.each_in_turn(items)

    def deadline(self, timeout: float | None) -> float:
        """When so many seconds are over, or as many as the connection allows where nobody says how many."""
        return super().deadline(self.host.seconds(timeout))

    def subscribe(
        self, queries: Iterable[str], *, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription:
        """Ask for a query set."""
        return self.host.locked(super().subscribe, queries, cache=cache, timeout=timeout)

    def call(self, what: str, request: Callable[[], int]) -> Pending[Any]:
        """Send a request and return its outcome to come."""
        return self.host.locked(super().call, what, request)
