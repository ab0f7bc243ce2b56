"""Messages that came in frames alike, still in them: what a busy connection receives a thousand of at a time.

Cutting them apart costs as much as reading them, which can be done for all of them where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain

__all__ = ["Alike"]


class Alike:
    """Messages of one length, each behind the same header of a frame.

    Args:
        frames: Whole frames, end to end.
        header: Bytes of each before its message.
        step: Bytes of each in all.

    Attributes:
        frames: The same; also those of messages that were dropped.
        at: Where the first frame begins that is left.
        header: As above.
        step: As above.
    """

    __slots__ = ("at", "frames", "header", "step")

    def __init__(self, frames: bytes, header: int, step: int) -> None:
        self.frames = frames
        self.at = 0
        self.header = header
        self.step = step

    def __len__(self) -> int:
        """How many are left."""
        return (len(self.frames) - self.at) // self.step

    def __iter__(self) -> Iterator[bytes]:
        """Those that are left."""
        cut = struct.iter_unpack(f"{self.header}x{self.length}s", memoryview(self.frames)[self.at :])
        return chain.from_iterable(cut)

    @property
    def length(self) -> int:
        """Bytes of each message."""
        return self.step - self.header

    @property
    def size(self) -> int:
        """Bytes of all messages that are left."""
        return len(self) * self.length

    @property
    def first(self) -> bytes:
        """The first that is left."""
        return self.frames[self.at + self.header : self.at + self.step]

    def drop(self, count: int) -> None:
        """Take away so many from the front."""
        self.at += count * self.step
