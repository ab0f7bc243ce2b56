"""One side's WebSocket frames, between bytes and whole messages. The framing is wsproto's.

wsproto hands out pieces; here they become messages, bounded in size, and the pong that a ping asks for. wsproto draws
the mask of every client frame (and the handshake's nonce) from the operating system by itself: the one place where
chance enters the core without being an argument. Nothing here knows handshakes, sessions or time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

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


class Frames:
    """Framing of one connection after its handshake.

    Args:
        is_client: Whether this side masks its frames (clients must).
        limit: Bytes that one received message may have.
        fragment: Bytes in each frame of a sent message; None sends a message as one frame.
    """

    def __init__(self, *, is_client: bool, limit: int, fragment: int | None = None) -> None:
        # No extension is ever negotiated, so none is passed (protocol reference, 1.3).
        self._ws = Connection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER)
        self._limit = limit
        self._fragment = fragment
        self._pieces = bytearray()
        self._pong = b""

    def receive(self, data: bytes) -> Iterator[Payload | PeerClosed | Broken]:
        """Take in bytes and hand out what they complete. To be exhausted before the next call."""
        self._ws.receive_data(data)
        for event in self._ws.events():
            match event:
                case TextMessage() | BytesMessage():
                    whole = self._assemble(event)
                    if whole is not None:
                        yield whole
                    if isinstance(whole, Broken):
                        return
                case Ping():
                    # Only the newest of several waiting pings is answered, which RFC 6455, 5.5.3 allows: a peer that
                    # sends pings without reading the answers must not fill our memory with them.
                    self._pong = self._ws.send(event.response()) if self._is_open else b""
                case CloseConnection():
                    yield self._ended(event)
                    return
                case _:
                    pass  # a pong: that something came is what counts, and the connection has seen it

    def take_pong(self) -> bytes:
        """The answer to the newest ping, once."""
        pong, self._pong = self._pong, b""
        return pong

    def message(self, payload: Payload) -> bytes:
        """Frame one message."""
        if self._fragment is None:
            return self._frame(payload, last=True)
        # A frame of text is cut between characters, of which none takes more than four bytes.
        size = self._fragment // 4 if isinstance(payload, str) and not payload.isascii() else self._fragment
        starts = range(0, max(len(payload), 1), size)
        return b"".join(self._frame(payload[at : at + size], last=at == starts[-1]) for at in starts)

    def ping(self) -> bytes:
        """A ping without a payload, as the server sends them."""
        return self._ws.send(Ping())

    def close(self, code: int, reason: str = "") -> bytes:
        """A Close frame, or nothing when one was sent before. A reason beyond 123 bytes is cut."""
        if self._ws.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        reason = reason.encode("utf-8", "replace").decode()
        return self._ws.send(CloseConnection(CloseReason.NO_STATUS_RCVD if code == NO_STATUS else code, reason))

    @property
    def _is_open(self) -> bool:
        return self._ws.state is ConnectionState.OPEN

    def _frame(self, payload: Payload, *, last: bool) -> bytes:
        if isinstance(payload, str):
            return self._ws.send(TextMessage(data=payload, message_finished=last))
        return self._ws.send(BytesMessage(data=payload, message_finished=last))

    def _assemble(self, event: TextMessage | BytesMessage) -> Payload | Broken | None:
        """Put a piece to the others; the whole message when it was the last one.

        A bytearray grows without copying what it holds each time, and holds many tiny fragments in no more memory
        than their bytes; a list of pieces would not.
        """
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        finished = event.frame_finished and event.message_finished
        piece = data.encode() if isinstance(data, str) else data
        if len(self._pieces) + len(piece) > self._limit:
            return Broken(CloseReason.MESSAGE_TOO_BIG, f"expected a message of at most {self._limit} bytes, got more")
        if finished and not self._pieces:
            return data
        self._pieces += piece
        if not finished:
            return None
        whole, self._pieces = bytes(self._pieces), bytearray()
        return whole.decode() if isinstance(data, str) else whole

    def _ended(self, event: CloseConnection) -> PeerClosed | Broken:
        """A parse error comes out of wsproto as a Close too; only a frame that came moves its state."""
        code, reason = int(event.code), event.reason or ""
        if self._ws.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
            return PeerClosed(code, reason)
        if code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            reason = "its text is not UTF-8"  # the codec's own words depend on how the bytes were cut
        return Broken(code, f"broken WebSocket frame: {reason}")
