"""What has come and has not been read: payloads in order, of which many may still be together in one piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from ..alike import Alike
from .compression import Sealed
from .payloads import Waiting

__all__ = ["Inbox"]


class Inbox:
    """A queue of payloads.

    Attributes:
        size: Bytes in all of them.
    """

    __slots__ = ("_items", "size")

    def __init__(self) -> None:
        self._items: deque[Waiting | Alike] = deque()
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, payload: bytes | str) -> None:
        """Put a payload to the others."""
        self._items.append(payload)
        self.size += len(payload)

    def add_many(self, payloads: Sequence[bytes | str] | Alike, size: int) -> None:
        """Put several to the others, of so many bytes in all. Those that are alike are taken from what is given."""
        if isinstance(payloads, Alike):
            self._items.append(payloads)
        else:
            self._items.extend(payloads)
        self.size += size

    def clear(self) -> None:
        """Take all away."""
        self._items.clear()
        self.size = 0

    @property
    def first(self) -> Waiting:
        """The payload that is next."""
        item = self._items[0]
        return item.first if isinstance(item, Alike) else item

    @property
    def alike(self) -> Alike | None:
        """What the next payload is the first of, if those after it came with it; to be changed by `drop` alone."""
        item = self._items[0]
        return item if isinstance(item, Alike) else None

    def after(self, most: int) -> Iterator[Waiting]:
        """The payloads after the next one, at most so many."""
        each = ((item,) if isinstance(item, bytes | str | Sealed) else item for item in self._items)
        return islice(chain.from_iterable(each), 1, 1 + most)

    def seal(self, sealed: Sealed) -> None:
        """Have the next payload stand there in a form that can be opened elsewhere."""
        self.drop(1)
        self._items.appendleft(sealed)
        self.size += len(sealed)

    def drop(self, count: int) -> None:
        """Take payloads off the front."""
        items = self._items
        while count:
            item = items[0]
            if isinstance(item, Alike):
                some = min(count, len(item))
                item.drop(some)
                self.size -= some * item.length
                count -= some
                if not len(item):
                    items.popleft()
            else:
                items.popleft()
                self.size -= len(item)
                count -= 1
