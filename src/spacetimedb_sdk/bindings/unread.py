"""What a stream has recorded and nobody has read, and what becomes of it when a consumer is too far behind.

- `"error"`: what was recorded can be read, then the stream ends with `StreamOverflow`.
- `"drop_old"`: the oldest item makes room for the newest.
- `"coalesce"`: items are merged into their net effect, which is for `net.py` and `records.py` to work out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from spacetimedb_proto.errors import LocalProtocolError

__all__ = ["DEFAULT_BUFFER", "Coalescing", "Dropping", "Net", "Overflow", "Refusing", "Unread", "unread_items"]

T = TypeVar("T")

Overflow: TypeAlias = Literal["error", "coalesce", "drop_old"]
"""What becomes of a stream whose buffer is full: it ends, its items are merged, or the oldest are dropped."""

DEFAULT_BUFFER: Final = 1_000_000
"""Items that a consumer may be behind. Far more than a healthy one ever is, and still an end to a forgotten one."""

_FOLD: Final = 8
"""Older items that are merged with each new one: to merge a whole buffer at once would hold up everything else."""


class Net(Protocol[T]):
    """Items merged into their net effect."""

    def after(self, item: T) -> int:
        """Merge an item that came after all of these; returns how many items fewer there are than without merging."""
        ...

    def before(self, item: T) -> int:
        """Merge an item that came before all of these; returns the same."""
        ...

    def take(self) -> T:
        """Remove the first item. There must be one."""
        ...

    def clear(self) -> None:
        """Remove all items."""
        ...

    def __len__(self) -> int:
        """How many items are left to take."""
        ...


class Unread(ABC, Generic[T]):
    """Items in the order in which they are to be read.

    Attributes:
        overflow: What happens when there are too many.
        buffer: How many are not too many.
        dropped: Items that nobody will ever read.
        coalesced: Items merged away; what others tell includes what they told.
    """

    overflow: Overflow

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer
        self.dropped = 0
        self.coalesced = 0
        self._items: deque[T] = deque()

    @abstractmethod
    def add(self, item: T) -> bool:
        """Record an item; returns whether there was room for it."""

    def take(self) -> T:
        """Remove the item that is to be read next. There must be one."""
        return self._items.popleft()

    def clear(self) -> None:
        """Forget all items."""
        self._items.clear()

    def __len__(self) -> int:
        """How many items wait to be read."""
        return len(self._items)


class Refusing(Unread[T]):
    """Has no room for more than its buffer."""

    overflow = "error"

    def add(self, item: T) -> bool:
        """Record an item unless the buffer is full."""
        if len(self._items) >= self.buffer:
            return False
        self._items.append(item)
        return True


class Dropping(Unread[T]):
    """Makes room by dropping the oldest item."""

    overflow = "drop_old"

    def add(self, item: T) -> bool:
        """Record an item, if need be in place of the oldest."""
        if len(self._items) >= self.buffer:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        return True


class Coalescing(Unread[T]):
    """Makes room by merging items, from the moment the buffer is full until all that was merged has been read.

    Items that were not merged are all older than those that were, and are read first. With each new item some of them
    are merged too, the newest first, so that soon all are. So no item ever costs more than a few merges.
    """

    overflow = "coalesce"

    def __init__(self, buffer: int, net: Net[T]) -> None:
        super().__init__(buffer)
        self._net = net

    def add(self, item: T) -> bool:
        """Record an item, merged with others if the buffer is full. There is always room."""
        if not self._net and len(self._items) < self.buffer:
            self._items.append(item)
            return True
        self.coalesced += self._net.after(item)
        for _ in range(min(_FOLD, len(self._items))):
            self.coalesced += self._net.before(self._items.pop())
        return True

    def take(self) -> T:
        """Remove the item that is to be read next. There must be one."""
        return self._items.popleft() if self._items else self._net.take()

    def clear(self) -> None:
        """Forget all items."""
        super().clear()
        self._net.clear()

    def __len__(self) -> int:
        """How many items wait to be read."""
        return len(self._items) + len(self._net)


def unread_items(what: str, buffer: int, overflow: Overflow, net: Callable[[], Net[T]]) -> Unread[T]:
    """What a new stream records into.

    Args:
        what: What is recorded, in words, for messages.
        buffer: Items that a consumer may be behind.
        overflow: What happens when it is further behind.
        net: Makes what merges items, for a stream that does. May raise `LocalProtocolError`.

    Raises:
        LocalProtocolError: The buffer holds nothing, or there is no such way to go on.
    """
    if type(buffer) is not int or buffer < 1:
        raise LocalProtocolError(f"{what}: expected a buffer of at least 1 item, got {buffer!r}")
    if overflow == "error":
        return Refusing(buffer)
    if overflow == "drop_old":
        return Dropping(buffer)
    if overflow == "coalesce":
        return Coalescing(buffer, net())
    raise LocalProtocolError(f"{what}: overflow: expected 'error', 'coalesce' or 'drop_old', got {overflow!r}")
