"""What is waited for in a frame loop, and coroutines that go on in its ticks, so that a game's story can be told whole.

No event loop: what such a coroutine awaits are outcomes and streams of its own connection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from typing import Any, Generic, Self, TypeGuard, TypeVar

from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.errors import CallCancelled, LocalProtocolError, SpacetimeDBError

from .bindings.engine import Engine
from .bindings.pending import Pending
from .bindings.streams import Stream
from .bindings.tables import TableHandle
from .bindings.unread import Unread
from .owner import check_process

__all__ = ["FrameHost", "FramePending", "FrameStream", "Script", "check_coroutine"]

T = TypeVar("T")


class FramePending(Pending[T]):
    """An outcome to come. A coroutine that `conn.start` runs may await it, once or often."""

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done():
            yield self
        return self.result()

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call that when the outcome is known."""
        self.add_done_callback(lambda _: callback())


class FrameStream(Stream[T]):
    """A stream to read once a frame. Reading never waits: `for change in stream` ends where nothing more is recorded.

    It records in every tick, until it is closed, or until nobody holds it any more. A coroutine that `conn.start` runs
    may wait for what comes: `async for change in stream`.
    """

    _waiting: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[T]:
        """What was recorded and not read so far.

        Raises:
            SpacetimeDBError: What ended the stream, after its last item, once: `StreamOverflow`, or the end of the
                connection.
        """
        with suppress(StopIteration):
            while (item := self.next_nowait()) is not None:
                yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item, as soon as there is one. Raises as iterating does."""
        while True:
            try:
                item = self.next_nowait()
            except StopIteration:
                raise StopAsyncIteration from None
            if item is not None:
                return item
            await _Turn(self)

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call that when something has been recorded, or nothing will be any more."""
        self._waiting = callback

    def _wake(self) -> bool:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting()
        return False


class FrameHost:
    """What the engine needs of a frame loop."""

    few = 1  # a tick may end after each

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        self._process = os.getpid()
        self._thread: int | None = None

    def check_caller(self) -> None:
        """Refuse a caller in another thread than the one that called first, or in a forked child.

        Raises:
            LocalProtocolError: It is one of these. What moves the connection has no lock.
        """
        check_process(self._process)
        this_thread = threading.get_ident()
        if self._thread is None:
            self._thread = this_thread
        if this_thread != self._thread:
            raise LocalProtocolError(
                "expected a caller in the thread that ticks, got one in another thread: hand over what is to be done "
                "there in a queue that the loop reads, or use spacetimedb_sdk.blocking"
            )

    def wake(self) -> None:
        """Nothing is sent before the next tick."""

    def outcome(self, pending: Pending[Any], timeout: float | None) -> Any:  # noqa: ARG002 - nobody waits here
        """The outcome to come."""
        return pending

    def table(self, engine: Engine, name: str) -> TableHandle:
        """A handle like any other."""
        return TableHandle(engine, name)

    def pending(self, what: str, report: Callable[[Exception, str], None]) -> FramePending[Any]:
        """An outcome that scripts may await."""
        return FramePending(what, report)

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None], unread: Unread[Any]) -> FrameStream[Any]:
        """A stream to read once a frame."""
        return FrameStream(what, unregister, unread)


class _Turn:
    """Gives the turn away until a stream has something to read."""

    def __init__(self, stream: FrameStream[Any]) -> None:
        self._stream = stream

    def __await__(self) -> Generator[Any, Any, None]:
        yield self._stream


class Script(Generic[T]):
    """Runs a coroutine as far as it gets, whenever what it waits for is ready, until it ends or is cancelled.

    Args:
        coroutine: What to run. It may await outcomes and streams of its connection, and nothing else.
        outcome: Gets what it returns, or the SDK's error that ends it.
        later: Has a function called at the end of the present tick, or of the next.
        report: Called with any other exception that ends it.
        running: Has the script until it ends: a stream that only a script reads is held by nothing else.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        outcome: Pending[T],
        later: Callable[[Callable[[], None]], None],
        report: Callable[[Exception, str], None],
        running: set[Script[Any]],
    ) -> None:
        self._coroutine = coroutine
        self._outcome = outcome
        self._later = later
        self._report = report
        self._running = running
        self._is_stepping = False
        self._is_cancelled = False
        running.add(self)
        outcome.on_cancel(self._cancel)

    def step(self) -> None:
        """Go on. To be called when what is waited for is ready; too late is harmless."""
        if self not in self._running:
            return
        self._is_stepping = True
        awaited = self._go_on()
        self._is_stepping = False
        if awaited is None:
            self._running.discard(self)
        elif self._is_cancelled:
            self._leave()
        else:
            awaited.call_when_ready(lambda: self._later(self.step))

    def _cancel(self) -> None:
        self._is_cancelled = True
        if not self._is_stepping:  # else it has cancelled itself, and is left when it waits next
            self._leave()

    def _leave(self) -> None:
        """Run it no further. It is closed where it waits, so that it cleans up."""
        self._running.discard(self)
        try:
            self._coroutine.close()
        except Exception as error:
            self._report(error, self._outcome.what)
        self._outcome.fail(CallCancelled(f"{self._outcome.what}: cancelled"))

    def _go_on(self) -> FramePending[Any] | FrameStream[Any] | None:
        """Run up to the next wait, and return what is waited for; None at the end."""
        try:
            awaited: object = self._coroutine.send(None)
        except StopIteration as end:
            self._outcome.resolve(end.value)
        except SpacetimeDBError as error:
            self._outcome.fail(error)
        except Exception as error:
            self._report(error, self._outcome.what)
            failed = SpacetimeDBError(f"{self._outcome.what}: it raised {type(error).__name__}")
            failed.__cause__ = error
            self._outcome.exception()  # the error itself has been reported
            self._outcome.fail(failed)
        else:
            if _is_ours(awaited):
                return awaited
            self._coroutine.close()
            self._outcome.fail(
                LocalProtocolError(f"{self._outcome.what}: expected to await outcomes and streams, got {awaited!r}")
            )
        return None


def check_coroutine(given: object) -> None:
    """Refuse what cannot be run: mostly a function that nobody has called.

    Raises:
        TypeError: It is no coroutine.
    """
    if isinstance(given, Coroutine):
        return
    name = getattr(given, "__name__", None)
    if callable(given) and name is not None:
        raise TypeError(f"start: expected a coroutine, as {name}() makes it, got {name} itself")
    raise TypeError(f"start: expected a coroutine, got {shown(given)}")


def _is_ours(awaited: object) -> TypeGuard[FramePending[Any] | FrameStream[Any]]:
    return isinstance(awaited, FramePending | FrameStream)
