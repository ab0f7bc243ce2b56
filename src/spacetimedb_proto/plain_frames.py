"""Reads the frames that nearly all traffic consists of: unmasked binary ones, whole or in fragments.

wsproto is the judge of everything else. This stands before it and only saves it work: what it reads here means the same
to wsproto, which a property test shows for any bytes, cut anywhere. It stops at the first frame that it does not know
for certain to be right; so it needs no words for what is wrong. Sections are those of RFC 6455.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from .alike import Alike

__all__ = ["Messages", "Pieces", "PlainFrames", "Stop"]

Messages: TypeAlias = list[bytes] | Alike
"""Whole messages, at least one."""

WHOLE, FIRST, LAST, MORE = 0x82, 0x02, 0x80, 0x00
"""First bytes of binary frames: a message in one frame; the first of several, the last, and those between (5.4)."""

CONTROLS: Final = frozenset({0x88, 0x89, 0x8A})
"""First bytes of control frames, which may stand between fragments (5.5)."""

LONGEST_CONTROL: Final = 125
"""Bytes in a control frame (5.5), and the longest length that needs no more bytes (5.2)."""

FEW: Final = 8
"""Frames that are not worth being read at once."""

MANY: Final = 512
"""Frames that are read at once at most: comparing them must cost little if they turn out to differ.

What reads on (`wire/runs.py`) takes as many messages at once.
"""

ONE_BY_ONE: Final = 16 * 1024
"""Bytes read frame by frame before it is tried again whether the next ones are alike."""

SMALL_PIECE: Final = 16 * 1024
"""Bytes of a piece that is joined to the next at once, so that many tiny ones take no more memory than their bytes."""


class Stop(enum.Enum):
    """Why no more was read."""

    NEED_DATA = "need data"  #: everything was read, but for the beginning of a header or of a control frame
    CONTROL = "control"  #: a whole control frame is next; `take_control` takes it
    FOREIGN = "foreign"  #: what is next is something else, or broken; `give_up` takes all that is left
    TOO_BIG = "too big"  #: more bytes of a message came than it may have


class Pieces:
    """What has come of a message.

    A bytearray would do, but copies what it holds many times when memory is such that it cannot grow in place.

    Attributes:
        size: Bytes in all pieces.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Put a piece to the others."""
        pieces = self._pieces
        if pieces and len(pieces[-1]) < SMALL_PIECE:
            pieces[-1] += piece
        else:
            pieces.append(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """All pieces as one, of which nothing is left here."""
        whole, self._pieces, self.size = b"".join(self._pieces), [], 0
        return whole


class PlainFrames:
    """Reads what a client receives.

    Args:
        limit: Bytes that one message may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""
        self._at = 0
        self._pieces = Pieces()
        self._is_open = False  # a message has begun and not ended
        self._is_last = False  # of the message's frames, the one that is being read
        self._missing: int = 0  # bytes of the frame that is being read

    def feed(self, data: bytes) -> None:
        """Take in bytes, which `read` will read."""
        rest = self._data[self._at :]
        self._data = rest + data if rest else bytes(data)  # copies only what is not bytes, and may change
        self._at = 0

    def read(self, found: list[Messages]) -> Stop:
        """Read on and put whole messages into `found`, until something else is to be done first."""
        while True:
            if not self._missing:
                while self._read_alike(found):
                    pass
                messages: list[bytes] = []
                is_more = self._read_one_by_one(messages)
                if messages:
                    found.append(messages)
                if is_more:
                    continue  # perhaps with frames that are alike
                stop = self._read_header()
                if stop is not None:
                    return stop
            stop = self._read_payload(found)
            if stop is not None:
                return stop

    def take_control(self) -> bytes:
        """The control frame that is next."""
        at = self._at
        self._at = at + 2 + self._data[at + 1]
        return self._data[at : self._at]

    def give_up(self) -> bytes:
        """All that is left, to be read by somebody who has seen nothing so far but control frames.

        If a message has begun, what comes cannot go on with it: it is an error. So what has come of the message is
        dropped, and an empty frame that begins one stands before the rest.
        """
        begun = bytes([FIRST, 0]) if self._is_open else b""
        return begun + self._data[self._at :]

    # --- many frames at once ------------------------------------------------------------------------------------------
    # Nothing is decided here that the methods below would decide otherwise. These only do without calls, because there
    # may be a million small frames or fragments in a second. They stop before any frame that is not whole.

    def _read_alike(self, found: list[Messages]) -> bool:
        """Read frames with the same header as the first: messages of one length, or fragments.

        Returns whether there may be more of them.
        """
        data, at, pieces = self._data, self._at, self._pieces
        if len(data) - at < 4 or data[at] != (MORE if self._is_open else WHOLE):
            return False
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = data[start] << 8 | data[at + 3], at + 4
        if size > LONGEST_CONTROL if start == at + 2 else size <= LONGEST_CONTROL:
            return False
        step = start - at + size
        if not data.startswith(data[at:start], at + FEW * step):
            return False
        count = min((len(data) - at) // step, MANY)
        for place in range(at, start):
            column = data[place : at + count * step : step]
            count = len(column) - len(column.lstrip(column[:1]))
        if size > self._limit or (self._is_open and pieces.size + count * size > self._limit):
            return False
        alike = Alike(data[at : at + count * step], start - at, step)
        if self._is_open:
            pieces.add(b"".join(alike))
        else:
            found.append(alike)
        self._at = at + count * step
        return count == MANY

    def _read_one_by_one(self, messages: list[bytes]) -> bool:
        """Read some frames of at most 65,535 bytes.

        Returns whether there may be more of them.
        """
        data, at, limit, pieces, is_open = self._data, self._at, self._limit, self._pieces, self._is_open
        end, view, room, parts = len(data), memoryview(data), limit - pieces.size, list[memoryview]()
        until, add = min(end - 3, at + ONE_BY_ONE), messages.append
        while at < until:
            head, size, start = data[at], data[at + 1], at + 2
            if size > LONGEST_CONTROL:
                if size != 126:
                    break
                size, start = data[start] << 8 | data[at + 3], at + 4
                if size <= LONGEST_CONTROL:
                    break
            stop = start + size
            if stop > end or size > room:
                break
            if head == WHOLE and not is_open:
                add(data[start:stop])
            elif head == (MORE if is_open else FIRST):
                parts.append(view[start:stop])
                room -= size
                is_open = True
            elif is_open and head == LAST:
                parts.append(view[start:stop])
                pieces.add(b"".join(parts))
                add(pieces.take())
                is_open, room, parts = False, limit, []
            else:
                break
            at = stop
        if parts:
            pieces.add(b"".join(parts))
        is_more = at > self._at
        self._at, self._is_open = at, is_open
        return is_more

    # --- one frame after the other ------------------------------------------------------------------------------------

    def _read_header(self) -> Stop | None:
        """Read one frame's header, or tell why not."""
        data, at = self._data, self._at
        left = len(data) - at
        if left < 2:
            return self._wait()
        head, size = data[at], data[at + 1]
        if head in CONTROLS and size <= LONGEST_CONTROL:
            return Stop.CONTROL if left >= 2 + size else self._wait()
        if head not in ((LAST, MORE) if self._is_open else (WHOLE, FIRST)) or size > 127:
            return Stop.FOREIGN
        more = {126: 2, 127: 8}.get(size, 0)
        if left < 2 + more:
            return self._wait()
        if more:
            size = int.from_bytes(data[at + 2 : at + 2 + more])
            # Lengths must be written in as few bytes as they need, and without the highest bit of eight (5.2).
            if size <= (LONGEST_CONTROL if more == 2 else 0xFFFF) or size >> 63:
                return Stop.FOREIGN
        self._at = at + 2 + more
        self._missing, self._is_last, self._is_open = size, head >= LAST, True
        return None

    def _read_payload(self, found: list[Messages]) -> Stop | None:
        """Read as much of a frame's payload as there is; it has not ended the frame if this returns something."""
        start = self._at
        self._at = stop = min(start + self._missing, len(self._data))
        if self._pieces.size + stop - start > self._limit:
            return Stop.TOO_BIG
        self._pieces.add(self._data[start:stop])
        self._missing -= stop - start
        if self._missing:
            return self._wait()
        if self._is_last:
            found.append([self._pieces.take()])
            self._is_open = False
        return None

    def _wait(self) -> Stop:
        """Keep what is left, and not the memory of what was read."""
        self._data, self._at = self._data[self._at :], 0
        return Stop.NEED_DATA
