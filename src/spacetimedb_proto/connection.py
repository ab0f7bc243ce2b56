"""What a WebSocket connection does alike on both sides: frames around a session, its states, its one deadline.

`websocket.py` adds the two handshakes and says what an end means to a client and to a server. Nothing here knows HTTP,
or what a session's payloads mean. Time is an argument; only wsproto draws masks by itself (see `frames.py`).
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Protocol

import attrs

from .alike import Alike
from .errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, SpacetimeDBError
from .events import Disconnected
from .frames import Broken, Frames, Payload, PeerClosed
from .limits import Limits
from .states import step
from .tap import Tap

__all__ = ["TRANSITIONS", "ConnectionInput", "ConnectionState", "FramedConnection", "Session", "Timeouts"]

NORMAL: Final = 1000
UNACCEPTABLE_DATA: Final = 1003
ABNORMAL: Final = 1006

SENDABLE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1014), *range(3000, 5000)})
"""Close codes that may stand in a frame (RFC 6455, 7.4)."""


class ConnectionState(enum.Enum):
    """Where a connection stands."""

    CONNECTING = "connecting"  #: the handshake is on its way
    UPGRADED = "upgraded"  #: the server answered 101; the peer's first message has not come
    OPEN = "open"  #: messages pass
    CLOSING = "closing"  #: this side sent a Close frame; the peer's has not come
    CLOSED = "closed"  #: nothing is sent or received any more


class ConnectionInput(enum.Enum):
    """What can happen to a connection."""

    ACCEPTED = "accepted"  #: the handshake succeeded
    REJECTED = "rejected"  #: the handshake failed, or was none
    MESSAGE = "message"  #: a whole message arrived
    CLOSE = "close"  #: this side asks for the end
    PEER_CLOSED = "peer closed"  #: a Close frame arrived
    LINK_ENDED = "link ended"  #: no more bytes will come, or this side lets go of the link
    FAILED = "failed"  #: the peer broke the protocol or a limit, or kept silent too long


_S = ConnectionState
_I = ConnectionInput

TRANSITIONS: Final[Mapping[ConnectionState, Mapping[ConnectionInput, ConnectionState]]] = {
    _S.CONNECTING: {
        _I.ACCEPTED: _S.UPGRADED,
        _I.REJECTED: _S.CLOSED,
        _I.CLOSE: _S.CLOSED,
        _I.LINK_ENDED: _S.CLOSED,
        _I.FAILED: _S.CLOSED,
    },
    _S.UPGRADED: {
        _I.MESSAGE: _S.OPEN,
        _I.CLOSE: _S.CLOSING,
        _I.PEER_CLOSED: _S.CLOSED,
        _I.LINK_ENDED: _S.CLOSED,
        _I.FAILED: _S.CLOSED,
    },
    _S.OPEN: {
        _I.MESSAGE: _S.OPEN,
        _I.CLOSE: _S.CLOSING,
        _I.PEER_CLOSED: _S.CLOSED,
        _I.LINK_ENDED: _S.CLOSED,
        _I.FAILED: _S.CLOSED,
    },
    # What the peer sent before it saw our Close frame still counts.
    _S.CLOSING: {
        _I.MESSAGE: _S.CLOSING,
        _I.CLOSE: _S.CLOSING,
        _I.PEER_CLOSED: _S.CLOSED,
        _I.LINK_ENDED: _S.CLOSED,
        _I.FAILED: _S.CLOSED,
    },
    # A message that arrived before the end may turn out to be broken when it is decoded after it.
    _S.CLOSED: {
        _I.CLOSE: _S.CLOSED,
        _I.FAILED: _S.CLOSED,
    },
}


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long a connection waits, in seconds; `math.inf` waits for ever.

    Attributes:
        handshake: For the handshake; the C# SDK's connect timeout.
        greeting: For the peer's first message after it: a module may take its time in `client_connected`.
        silence: Without anything received before a ping asks whether the peer is alive; the Rust SDK's value. The
            real server pings every 15 s (protocol reference, 1.7).
        answer: For anything after such a ping; the Rust SDK's value.
        close: For the peer's Close frame after ours. The real server waits 250 ms.
    """

    handshake: float = 10.0
    greeting: float = 30.0
    silence: float = 30.0
    answer: float = 30.0
    close: float = 5.0


class Session(Protocol):
    """What a connection asks of the session that it carries."""

    @property
    def protocol_name(self) -> str:
        """The WebSocket subprotocol in use."""
        ...

    def receive_many(self, payloads: Sequence[bytes | str] | Alike) -> None:
        """Take in WebSocket messages."""

    def payloads_to_send(self) -> list[bytes | str]:
        """Take what must go out, one WebSocket message each."""
        ...


class FramedConnection(ABC):
    """Feed it with `receive_data`, send what `data_to_send` returns, call `handle_timeout` at `next_deadline()`."""

    IS_CLIENT: ClassVar[bool]
    FRAGMENT: ClassVar[int | None] = None
    _tap: Tap | None = None

    def __init__(self, limits: Limits, timeouts: Timeouts, now: float) -> None:
        self._limits = limits
        self._timeouts = timeouts
        self._state = ConnectionState.CONNECTING
        self._frames: Frames | None = None
        self._carried: Session | None = None
        self._wants_text = False
        self._ending = Disconnected(None)
        self._out: list[bytes] = []
        self._now = now
        self._deadline = now + timeouts.handshake
        self._is_timed = True
        self._heard = False
        self._pinged = False

    def start(self, now: float) -> None:
        """Measure the handshake's time from now on, if the connection was made before there was a link."""
        self._now = now
        self._deadline = now + self._timeouts.handshake

    @property
    def state(self) -> ConnectionState:
        """Where the link stands. Events may still be waiting after it is closed."""
        return self._state

    # --- bytes --------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take in bytes as they come; an empty string says that no more will come."""
        if not data:
            self.receive_eof()
        elif self._state is not ConnectionState.CLOSED:
            self._heard = True
            if self._frames is None:
                data = self._read_handshake(data)
            if self._frames is not None and data:
                self._read_frames(self._frames, data)

    def receive_eof(self, reason: str = "") -> None:
        """Say that no more bytes will come.

        Args:
            reason: What the transport says about it, if anything; it goes into the error.
        """
        if self._state is ConnectionState.CONNECTING:
            self._read_handshake(b"")
        elif self._state is not ConnectionState.CLOSED:
            text = f"the connection was lost: {reason}" if reason else "the connection was lost"
            self._end(ConnectionInput.LINK_ENDED, self._blame(text, ABNORMAL, reason), ABNORMAL, reason)

    def data_to_send(self) -> bytes:
        """Take what must go out. From here on the session counts what is in it as sent."""
        self._frame_output()
        out, self._out = b"".join(self._out), []
        return out

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """End the connection; what is queued goes out before. Without effect when it is ending already.

        Raises:
            LocalProtocolError: The code is not one that may be sent.
        """
        if code not in SENDABLE_CODES:
            raise LocalProtocolError(f"close code: expected one that may be sent, as 1000 or 3000 to 4999, got {code}")
        if self._state is ConnectionState.CONNECTING:
            self._end(ConnectionInput.CLOSE, None, ABNORMAL, reason)
            return
        if self._frames is not None and self._state is not ConnectionState.CLOSED:
            self._frame_output()
            self._out.append(self._frames.close(code, reason))
        self._move(ConnectionInput.CLOSE)

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`: at once if it is past, never if None. To be asked again after other calls."""
        return None if self._state is ConnectionState.CLOSED or self._deadline == math.inf else self._deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due. Early and repeated calls are harmless."""
        self._now = now
        if self._state is ConnectionState.CLOSED or now < self._deadline:
            return
        if not self._is_timed:
            self._start_clock()
        elif self._state is ConnectionState.CLOSING:
            self._end(ConnectionInput.LINK_ENDED, None, ABNORMAL, "no answer to our Close frame")
        elif self._state is ConnectionState.OPEN:
            self._keep_alive()
        else:
            self._handle_delay()

    def _start_clock(self) -> None:
        """Measure a new state's time from now on.

        Most states begin when bytes arrive, and then nobody says what time it is: so a new state is due at once.
        """
        waits = {
            ConnectionState.UPGRADED: self._timeouts.greeting,
            ConnectionState.OPEN: self._timeouts.silence,
            ConnectionState.CLOSING: self._timeouts.close,
        }
        self._deadline = self._now + waits[self._state]
        self._is_timed = True
        self._heard = self._pinged = False

    def _keep_alive(self) -> None:
        """Ask for a sign of life after a silence, and give up after a second one.

        A deadline that is overdue by more than a whole wait means that this process slept (a suspended laptop, a
        debugger): then the answer may be waiting unread, so the peer is asked again.
        """
        now = self._now
        has_slept = now - self._deadline > self._timeouts.answer
        if self._heard:
            self._pinged = False
            self._deadline = now + self._timeouts.silence
        elif not self._pinged or has_slept:
            assert self._frames is not None
            self._out.append(self._frames.ping())
            self._pinged = True
            self._deadline = now + self._timeouts.answer
        else:
            text = f"no answer to a ping for {self._timeouts.answer:g} s"
            self._end(ConnectionInput.FAILED, ConnectionLost(text, code=ABNORMAL, reason=text), ABNORMAL, text)
        self._heard = False

    # --- what the sides do differently --------------------------------------------------------------------------------

    @abstractmethod
    def _read_handshake(self, data: bytes) -> bytes:
        """Take in bytes of the handshake (none: no more will come); returns those that follow it."""

    @abstractmethod
    def _handle_delay(self) -> None:
        """The handshake, or the first message, has not come in time."""

    def _lost_early(self, text: str, code: int, reason: str) -> SpacetimeDBError:
        """What it means that the connection ends before the first message."""
        return ConnectionLost(text, code=code, reason=reason)

    # --- for the sides ------------------------------------------------------------------------------------------------

    def _upgrade(self, session: Session) -> None:
        self._carried = session
        self._wants_text = session.protocol_name.startswith("v1.json")
        self._frames = Frames(
            is_client=self.IS_CLIENT, limit=self._limits.message_size, fragment=self.FRAGMENT, tap=self._tap
        )
        self._move(ConnectionInput.ACCEPTED)

    def _fail(self, error: SpacetimeDBError, code: int) -> None:
        """End the connection for what the peer did; it is told, but not waited for (RFC 6455, 7.1.7)."""
        if self._frames is not None and self._state is not ConnectionState.CLOSED:
            self._out.append(self._frames.close(code, str(error)))
        self._end(ConnectionInput.FAILED, error, code, str(error))

    def _end(self, event: ConnectionInput, error: SpacetimeDBError | None, code: int, reason: str) -> None:
        self._move(event)
        self._ending = Disconnected(error, code, reason)

    def _move(self, event: ConnectionInput) -> None:
        before, self._state = self._state, step(TRANSITIONS, self._state, event, "the connection")
        if self._state is not before:
            self._deadline, self._is_timed = self._now, False

    # --- frames -------------------------------------------------------------------------------------------------------

    def _read_frames(self, frames: Frames, data: bytes) -> None:
        for item in frames.receive(data):
            match item:
                case PeerClosed(code, reason):
                    self._out.append(frames.close(code))
                    error = self._blame(f"the peer closed the connection: {code} {reason}".rstrip(), code, reason)
                    self._end(ConnectionInput.PEER_CLOSED, error, code, reason)
                case Broken(code, why):
                    self._fail(RemoteProtocolError(why), code)
                case _:
                    self._deliver(item)
            if self._state is ConnectionState.CLOSED:
                return

    def _deliver(self, messages: Sequence[Payload] | Alike) -> None:
        """Hand on messages of one kind."""
        assert self._carried is not None
        is_text = not isinstance(messages, Alike) and isinstance(messages[0], str)
        if is_text is not self._wants_text:
            expected, got = ("text", "binary") if self._wants_text else ("binary", "text")
            self._fail(RemoteProtocolError(f"expected {expected} messages, got a {got} one"), UNACCEPTABLE_DATA)
            return
        self._move(ConnectionInput.MESSAGE)
        self._carried.receive_many(messages)

    def _frame_output(self) -> None:
        """Frame what waits to be sent. In other states nothing is taken, so that the session knows it was not sent."""
        if self._state in (ConnectionState.UPGRADED, ConnectionState.OPEN):
            assert self._frames is not None
            assert self._carried is not None
            self._out.append(self._frames.take_pong())
            self._out.extend(map(self._frames.message, self._carried.payloads_to_send()))

    def _blame(self, text: str, code: int, reason: str) -> SpacetimeDBError | None:
        if self._state is ConnectionState.CLOSING:
            return None
        if self._state is ConnectionState.UPGRADED:
            return self._lost_early(text, code, reason)
        return ConnectionLost(text, code=code, reason=reason)
