"""Streams of what happens: a buffer between the connection, which never waits, and a consumer, which may.

A stream records from the moment it is made, not from the first `next`. How to wait for an item is the host's part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar
from weakref import ref

from spacetimedb_proto.errors import SpacetimeDBError, StreamOverflow

__all__ = ["DEFAULT_BUFFER", "Stream", "Streams"]

T = TypeVar("T")

DEFAULT_BUFFER: Final = 1_000_000
"""Items that a consumer may be behind. Far more than a healthy one ever is, and still an end to a forgotten one."""


class Stream(Generic[T]):
    """Items recorded for one consumer.

    Attributes:
        what: What is recorded, in words, for messages.
    """

    def __init__(self, what: str, unregister: Callable[[Stream[T]], None], buffer: int = DEFAULT_BUFFER) -> None:
        self.what = what
        self._unregister = unregister
        self._buffer = buffer
        self._items: deque[T] = deque()
        self._over = False
        self._error: SpacetimeDBError | None = None

    def __len__(self) -> int:
        """Items that were recorded and not read."""
        return len(self._items)

    def __bool__(self) -> bool:
        """A stream is something, however many items it holds."""
        return True

    def push(self, item: T) -> bool:
        """Record one item; returns whether somebody may be waiting for it."""
        if self._over:
            return False
        if len(self._items) >= self._buffer:
            return self.end(StreamOverflow(f"{self.what}: the consumer is more than {self._buffer} items behind"))
        self._items.append(item)
        return self._wake()

    def end(self, error: SpacetimeDBError | None) -> bool:
        """Record no more. What was recorded can still be read; then the stream stops, or raises `error` once."""
        if self._over:
            return False
        self._over = True
        self._error = error
        self._unregister(self)
        return self._wake()

    def next_nowait(self) -> T | None:
        """The next item, or None if there is none yet.

        Raises:
            SpacetimeDBError: What ended the stream, after its last item.
            StopIteration: The stream has ended.
        """
        if self._items:
            return self._items.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._over:
            raise StopIteration
        return None

    def close(self) -> None:
        """Stop recording and forget what was recorded."""
        self._items.clear()
        self.end(None)

    def _wake(self) -> bool:
        """Wake whoever waits; hosts whose consumers wait override this."""
        return False


class Streams(Generic[T]):
    """The streams that record one thing. A stream that nobody holds any more is not among them.

    Attributes:
        references: Weak ones, to each of them.
    """

    __slots__ = ("references",)

    def __init__(self) -> None:
        self.references: set[ref[Stream[T]]] = set()

    def add(self, stream: Stream[T]) -> None:
        """Have a stream record from now on."""
        self.references.add(ref(stream, self.references.discard))

    def discard(self, stream: Stream[T]) -> None:
        """Have it record no more."""
        self.references.discard(ref(stream))

    def now(self) -> tuple[Stream[T], ...]:
        """The streams as of now."""
        if not self.references:
            return ()
        return tuple(stream for reference in self.references if (stream := reference()) is not None)
