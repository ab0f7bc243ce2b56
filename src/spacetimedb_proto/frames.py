"""One side's WebSocket frames, between bytes and whole messages. The framing is wsproto's.

wsproto hands out pieces; here they become messages, bounded in size, and the pong that a ping asks for. On a client,
`plain_frames.py` reads the plain ones before, for speed. wsproto draws the mask of every client frame (and the
handshake's nonce) from the operating system by itself: the one place where chance enters the core without being an
argument. Nothing here knows handshakes, sessions or time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, TypeAlias

import attrs
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from .alike import Alike
from .plain_frames import Messages, Pieces, PlainFrames, Stop
from .tap import Op, Sender, Tap

__all__ = ["Broken", "Frames", "Payload", "PeerClosed"]

Payload: TypeAlias = bytes | str
"""One WebSocket message: binary or text."""

NO_STATUS: Final = 1005
"""What a Close frame without a code counts as (RFC 6455, 7.1.5). Never on the wire."""


@attrs.frozen
class PeerClosed:
    """The peer sent a Close frame. Nothing comes after it."""

    code: int
    reason: str


@attrs.frozen
class Broken:
    """The peer broke RFC 6455 or the size limit; `code` is the close code to answer with. Nothing comes after it."""

    code: int
    why: str


Received: TypeAlias = Sequence[Payload] | Alike | PeerClosed | Broken
"""What comes out: whole messages, at least one, all binary or all text; or the end."""


class Frames:
    """Framing of one connection after its handshake.

    Args:
        is_client: Whether this side masks its frames (clients must).
        limit: Bytes that one received message may have.
        fragment: Bytes in each frame of a sent message; None sends a message as one frame.
        tap: Is shown what passes, if anybody wants to see it.

    Attributes:
        PLAIN_FIRST: Whether wsproto is spared a client's plain frames. It makes no difference but in time.
    """

    PLAIN_FIRST: ClassVar[bool] = True

    def __init__(self, *, is_client: bool, limit: int, fragment: int | None = None, tap: Tap | None = None) -> None:
        # No extension is ever negotiated, so none is passed (protocol reference, 1.3).
        self._ws = Connection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER)
        self._limit = limit
        self._fragment = fragment
        self._tap = tap
        self._me: Sender = "client" if is_client else "server"
        self._peer: Sender = "server" if is_client else "client"
        self._plain = PlainFrames(limit) if is_client and self.PLAIN_FIRST else None
        self._pieces = Pieces()
        self._pong = b""
        self._is_over = False

    def receive(self, data: bytes) -> Iterator[Received]:
        """Take in bytes and hand out what they complete. To be exhausted before the next call."""
        if self._is_over:
            return
        for item in self._judge(data) if self._plain is None else self._read_plain(self._plain, data):
            self._is_over = isinstance(item, PeerClosed | Broken)
            if self._tap is not None:
                self._show(self._tap, item)
            yield item

    def _show(self, tap: Tap, item: Received) -> None:
        match item:
            case PeerClosed(code, reason):
                tap.passed(self._peer, "close", None, None if code == NO_STATUS else code, reason)
            case Broken():
                pass  # what does not hold together is nothing that could be shown
            case _:
                for payload in item:
                    tap.passed(self._peer, _op(payload), payload)

    def _read_plain(self, plain: PlainFrames, data: bytes) -> Iterator[Received]:
        plain.feed(data)
        while not self._is_over:
            found: list[Messages] = []
            stop = plain.read(found)
            yield from found
            match stop:
                case Stop.CONTROL:
                    yield from self._judge(plain.take_control())
                case Stop.FOREIGN:
                    # wsproto takes over for good: what comes now is broken, or text.
                    self._plain = None
                    yield from self._judge(plain.give_up())
                    return
                case Stop.TOO_BIG:
                    yield self._too_big()
                case Stop.NEED_DATA:
                    return

    def _judge(self, data: bytes) -> Iterator[Received]:
        """Let wsproto read."""
        self._ws.receive_data(data)
        for event in self._ws.events():
            match event:
                case TextMessage() | BytesMessage():
                    whole = self._assemble(event)
                    if isinstance(whole, Broken):
                        yield whole
                        return
                    if whole is not None:
                        yield [whole]
                case Ping():
                    # Only the newest of several waiting pings is answered, which RFC 6455, 5.5.3 allows: a peer that
                    # sends pings without reading the answers must not fill our memory with them.
                    self._pong = self._ws.send(event.response()) if self._is_open else b""
                    self._show_control(self._peer, "ping")
                case CloseConnection():
                    yield self._ended(event)
                    return
                case _:  # a pong: that something came is what counts, and the connection has seen it
                    self._show_control(self._peer, "pong")

    def take_pong(self) -> bytes:
        """The answer to the newest ping, once."""
        pong, self._pong = self._pong, b""
        if pong:
            self._show_control(self._me, "pong")
        return pong

    def message(self, payload: Payload) -> bytes:
        """Frame one message."""
        if self._tap is not None:
            self._tap.passed(self._me, _op(payload), payload)
        if self._fragment is None:
            return self._frame(payload, last=True)
        # A frame of text is cut between characters, of which none takes more than four bytes.
        size = self._fragment // 4 if isinstance(payload, str) and not payload.isascii() else self._fragment
        starts = range(0, max(len(payload), 1), size)
        return b"".join(self._frame(payload[at : at + size], last=at == starts[-1]) for at in starts)

    def ping(self) -> bytes:
        """A ping without a payload, as the server sends them."""
        self._show_control(self._me, "ping")
        return self._ws.send(Ping())

    def close(self, code: int, reason: str = "") -> bytes:
        """A Close frame, or nothing when one was sent before. A reason beyond 123 bytes is cut."""
        if self._ws.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        reason = reason.encode("utf-8", "replace").decode()
        if self._tap is not None:
            self._tap.passed(self._me, "close", None, None if code == NO_STATUS else code, reason)
        return self._ws.send(CloseConnection(CloseReason.NO_STATUS_RCVD if code == NO_STATUS else code, reason))

    def _show_control(self, sender: Sender, op: Op) -> None:
        if self._tap is not None:
            self._tap.passed(sender, op)

    @property
    def _is_open(self) -> bool:
        return self._ws.state is ConnectionState.OPEN

    def _frame(self, payload: Payload, *, last: bool) -> bytes:
        if isinstance(payload, str):
            return self._ws.send(TextMessage(data=payload, message_finished=last))
        return self._ws.send(BytesMessage(data=payload, message_finished=last))

    def _assemble(self, event: TextMessage | BytesMessage) -> Payload | Broken | None:
        """Put a piece to the others; the whole message when it was the last one."""
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        finished = event.frame_finished and event.message_finished
        piece = data.encode() if isinstance(data, str) else data
        if self._pieces.size + len(piece) > self._limit:
            return self._too_big()
        if finished and not self._pieces.size:
            return data
        self._pieces.add(piece)
        if not finished:
            return None
        whole = self._pieces.take()
        return whole.decode() if isinstance(data, str) else whole

    def _too_big(self) -> Broken:
        return Broken(CloseReason.MESSAGE_TOO_BIG, f"expected a message of at most {self._limit} bytes, got more")

    def _ended(self, event: CloseConnection) -> PeerClosed | Broken:
        """A parse error comes out of wsproto as a Close too; only a frame that came moves its state."""
        code, reason = int(event.code), event.reason or ""
        if self._ws.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
            return PeerClosed(code, reason)
        if code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            reason = "its text is not UTF-8"  # the codec's own words depend on how the bytes were cut
        return Broken(code, f"broken WebSocket frame: {reason}")


def _op(payload: Payload) -> Op:
    return "text" if isinstance(payload, str) else "binary"
