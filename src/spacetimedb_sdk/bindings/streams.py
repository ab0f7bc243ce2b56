"""Streams of what happens: a buffer between the connection, which never waits, and a consumer, which may.

A stream records from the moment it is made, not from the first `next`. How to wait for an item is the host's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

from spacetimedb_proto.errors import SpacetimeDBError, StreamOverflow

from .unread import Unread

__all__ = ["Stream", "Streams"]

T = TypeVar("T")


class Stream(Generic[T]):
    """Items recorded for one consumer.

    Attributes:
        what: What is recorded, in words, for messages.
    """

    def __init__(self, what: str, unregister: Callable[[Stream[T]], None], unread: Unread[T]) -> None:
        self.what = what
        self._unregister = unregister
        self._unread = unread
        self._over = False
        self._error: SpacetimeDBError | None = None

    @property
    def dropped(self) -> int:
        """Items that were dropped because the buffer was full (`overflow="drop_old"`)."""
        return self._unread.dropped

    @property
    def coalesced(self) -> int:
        """Items that were merged into others because the buffer was full (`overflow="coalesce"`).

        Two that undo each other, an insert and a delete of the same row, are two of them.
        """
        return self._unread.coalesced

    def __len__(self) -> int:
        """Items that were recorded and not read."""
        return len(self._unread)

    def __bool__(self) -> bool:
        """A stream is something, however many items it holds."""
        return True

    def push(self, item: T) -> bool:
        """Record one item; returns whether somebody may be waiting for it."""
        if self._over:
            return False
        if not self._unread.add(item):
            buffer = self._unread.buffer
            return self.end(StreamOverflow(f"{self.what}: the consumer is more than {buffer} items behind"))
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
        if self._unread:
            return self._unread.take()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._over:
            raise StopIteration
        return None

    def close(self) -> None:
        """Stop recording and forget what was recorded."""
        self._unread.clear()
        self.end(None)

    def __repr__(self) -> str:
        says = [f"{len(self._unread)} unread", f"overflow={self._unread.overflow!r}"]
        says += [f"{number} {what}" for what in ("dropped", "coalesced") if (number := getattr(self, what))]
        return f"<{self.what}: {', '.join(says)}{', ended' if self._over else ''}>"

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
        references = tuple(self.references)  # others leave whenever the garbage collector finds them
        return tuple(stream for reference in references if (stream := reference()) is not None)
