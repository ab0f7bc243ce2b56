"""Faults on demand: what goes wrong on the way to a client, at the message that a test names.

Nothing here looks at a clock or draws a number. Messages are counted as the server sends them, the greeting included,
pings and pongs not; so the same calls do the same in every run. What a link does about it is `service.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from spacetimedb_proto.bsatn.values import Identity

__all__ = ["Faults", "Gate", "Plan"]

Kind: TypeAlias = Literal["cut", "close", "lose", "garble", "split", "stall"]

FIN: Final = 0x80
CONTROL: Final = 0x08
CLOSE: Final = 0x08
OPCODE: Final = 0x0F
NONSENSE: Final = 0xA5
END_OF_HEAD: Final = b"\r\n\r\n"


@attrs.frozen
class Unit:
    """A message, or a control frame: its opcode, what it carries, and the bytes of all its frames."""

    opcode: int
    payload: bytes
    frames: bytes


@attrs.define(eq=False)
class Fault:
    """Something that is to go wrong.

    Attributes:
        kind: What.
        to: Whose messages count; None for everybody's.
        after: Messages that pass before.
        count: Messages that it then happens to.
        size: Bytes: of the next message that still pass before a cut, or of the pieces of a message that is split.
        code: To close with.
        reason: Likewise.
        is_deaf: Whether a stalled link is not read either.
    """

    kind: Kind
    to: Identity | None
    after: int
    count: int = 1
    size: int = 0
    code: int = 1000
    reason: str = ""
    is_deaf: bool = False


class Faulty(Protocol):
    """The link behind a gate."""

    @property
    def identity(self) -> Identity | None:
        """The client's, once it is known."""
        ...

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a Close frame."""

    def drop(self) -> None:
        """End it without one."""

    def catch_up(self, data: bytes) -> None:
        """Take in what was held back, and send what there is to send."""


class Plan:
    """The faults that have not happened yet, and the links that they may happen to."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.gates: dict[Gate, None] = {}

    def resume(self) -> None:
        """Let all links go on."""
        for gate in list(self.gates):
            gate.resume()

    def next_for(self, identity: Identity | None) -> Fault | None:
        """Count a message to a client; what happens to it, if anything does."""
        due: Fault | None = None
        for fault in self.faults:
            if fault.to not in (None, identity):
                continue
            if fault.after:
                fault.after -= 1
            elif due is None:
                due = fault
        if due is not None:
            due.count -= 1
            if not due.count:
                self.faults.remove(due)
        return due


class Gate:
    """What the bytes of one link pass.

    Args:
        plan: What is to happen.
        link: Whose bytes they are.
    """

    def __init__(self, plan: Plan, link: Faulty) -> None:
        self._plan = plan
        self._link = link
        self._is_upgraded: bool | None = None
        self._ready: deque[bytes] = deque()
        self._held: deque[Unit] | None = None
        self._unread: bytes | None = None
        self._last: Callable[[], None] | None = None
        plan.gates[self] = None

    # --- bytes --------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """What is to be read of bytes that a client sent."""
        if self._unread is None:
            return data
        self._unread += data
        return b""

    def send(self, data: bytes) -> bytes:
        """What is to be sent next, of bytes that are whole frames; to be called until there is nothing."""
        if self._is_upgraded is None and data:
            self._is_upgraded = data.startswith(b"HTTP/1.1 101")
            head, end, frames = data.partition(END_OF_HEAD) if self._is_upgraded else (data, b"", b"")
            if self._plan.faults:
                self._ready.append(head + end)
                data = frames
        if self._is_plain:
            return data
        if self._is_upgraded:
            for unit in _units(data):
                self._pass(unit)
        elif data:
            self._ready.append(data)
        if self._ready:
            return self._ready.popleft()
        if self._last is not None:
            last, self._last = self._last, _nothing
            last()
        return b""

    @property
    def _is_plain(self) -> bool:
        return not (self._plan.faults or self._ready or self._held is not None or self._last)

    def _pass(self, unit: Unit) -> None:
        if self._last is not None:
            if unit.opcode == CLOSE:
                self._ready.append(unit.frames)
            return
        if self._held is not None:
            self._held.append(unit)
            return
        fault = None if unit.opcode & CONTROL else self._plan.next_for(self._link.identity)
        if fault is None:
            self._ready.append(unit.frames)
        else:
            self._spoil(fault, unit)

    def _spoil(self, fault: Fault, unit: Unit) -> None:
        match fault.kind:
            case "cut":
                if fault.size:
                    self._ready.append(unit.frames[: fault.size])
                self._last = self._link.drop
            case "close":
                self._last = lambda: self._link.close(fault.code, fault.reason)
            case "garble":
                self._ready.append(_frame(FIN | unit.opcode, bytes(byte ^ NONSENSE for byte in unit.payload)))
            case "split":
                starts = range(0, max(len(unit.payload), 1), fault.size)
                for at in starts:
                    head = (unit.opcode if at == 0 else 0) | (FIN if at == starts[-1] else 0)
                    self._ready.append(_frame(head, unit.payload[at : at + fault.size]))
            case "stall":
                self._held = deque([unit])
                self._unread = b"" if fault.is_deaf else None
            case "lose":
                pass

    # --- stalls -------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Let pass what was held back."""
        held, self._held = self._held, None
        unread, self._unread = self._unread, None
        if held is not None:
            self._ready.append(held.popleft().frames)  # the message that the stall began with has been counted
            for unit in held:
                self._pass(unit)
            self._link.catch_up(unread or b"")

    def leave(self) -> None:
        """The link is gone."""
        self._plan.gates.pop(self, None)


class Faults:
    """What is to go wrong with what a server sends; `server.faults`.

    Each call adds something that happens once its messages come, to whichever client they go, or only to the one that
    `to` names. Calls add up, and are carried out in their order; a message meets one of them at most.

    Args:
        plan: Where it is noted.
        do: Runs something in the server's thread, to which links belong.
    """

    def __init__(self, plan: Plan, do: Callable[[Callable[[], None]], None]) -> None:
        self._plan = plan
        self._do = do

    def cut(self, *, after: int = 0, size: int = 0, to: Identity | None = None) -> None:
        """Cut a link without a Close frame, as a pulled cable does.

        Args:
            after: Messages that arrive before.
            size: Bytes of the next one that still arrive.
            to: Whose messages count, and whose link it is; None for the next client's, whoever it is.
        """
        self._add(Fault("cut", to, after, size=size))

    def close(self, code: int, reason: str = "", *, after: int = 0, to: Identity | None = None) -> None:
        """Close a connection in place of the message that follows so many. `after` and `to` are those of `cut`.

        Args:
            code: One that may be sent, as 1000 or 3000 to 4999.
            reason: At most 123 bytes.
            after: Messages that arrive before.
            to: Whose.
        """
        self._add(Fault("close", to, after, code=code, reason=reason))

    def lose(self, count: int = 1, *, after: int = 0, to: Identity | None = None) -> None:
        """Have messages vanish, while the link goes on. No network does that; a server at fault might."""
        self._add(Fault("lose", to, after, count))

    def garble(self, count: int = 1, *, after: int = 0, to: Identity | None = None) -> None:
        """Turn the payloads of messages into nonsense of the same length."""
        self._add(Fault("garble", to, after, count))

    def split(self, size: int = 1, count: int = 1, *, after: int = 0, to: Identity | None = None) -> None:
        """Send messages in fragments of so many bytes, each by itself."""
        if size < 1:
            raise ValueError(f"size: expected 1 or more, got {size}")
        self._add(Fault("split", to, after, count, size))

    def stall(self, *, after: int = 0, deaf: bool = False, to: Identity | None = None) -> None:
        """Hold back a message and all that follows it on its link until `resume`: a delay as long as is wanted.

        Args:
            after: Messages that arrive before.
            deaf: Whether what the client sends meanwhile is not looked at either.
            to: Whose.
        """
        self._add(Fault("stall", to, after, is_deaf=deaf))

    def resume(self) -> None:
        """Let all links go on that are stalled: what was held back is sent, and what was not looked at is done."""
        self._do(self._plan.resume)

    def clear(self) -> None:
        """Forget what has not happened yet, and resume."""
        self._do(self._plan.faults.clear)
        self.resume()

    @property
    def waiting(self) -> int:
        """How many faults have not wholly happened yet."""
        return len(self._plan.faults)

    def _add(self, fault: Fault) -> None:
        if fault.after < 0 or fault.count < 1:
            raise ValueError(f"expected messages to count, got after={fault.after}, count={fault.count}")
        self._do(lambda: self._plan.faults.append(fault))


def _nothing() -> None:
    """A link that has been ended has nothing else to do."""


def _units(data: bytes) -> Iterator[Unit]:
    """Messages and control frames in what a server sends, all of them whole."""
    at, opcode, payload, frames = 0, 0, b"", b""
    while at < len(data):
        head, size, start = data[at], data[at + 1], at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[start : start + width], "big")
            start += width
        whole, content, at = data[at : start + size], data[start : start + size], start + size
        if head & CONTROL:
            yield Unit(head & OPCODE, content, whole)
            continue
        opcode = head & OPCODE or opcode
        payload += content
        frames += whole
        if head & FIN:
            yield Unit(opcode, payload, frames)
            payload, frames = b"", b""


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([head, size]) + payload
    return bytes([head, 126 if size < 65536 else 127]) + size.to_bytes(2 if size < 65536 else 8, "big") + payload
