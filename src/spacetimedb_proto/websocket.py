"""`ClientConnection` and `ServerConnection`: a session over a byte stream. Bytes in, bytes and events out.

They know the handshake and what an end means to each side; frames, states and deadlines are in `connection.py`. They
know no sockets and read no clock: time is an argument.

Frames are read as soon as their bytes arrive, so pings are answered however many messages wait; messages are decoded
one by one as `next_event()` is called.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, Literal, TypeAlias

import attrs

from .bsatn.values import ConnectionId
from .bursts import Advance, next_of
from .client import ClientSession
from .connection import (
    ABNORMAL,
    NORMAL,
    TRANSITIONS,
    ConnectionInput,
    ConnectionState,
    FramedConnection,
    Timeouts,
)
from .errors import (
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    IdentityChanged,
    LocalProtocolError,
    RemoteProtocolError,
)
from .events import NEED_DATA, Disconnected, Event, NeedData
from .handshake import (
    Accepted,
    ClientHandshake,
    accept_headers,
    is_upgrade,
    offered_protocols,
    query_parameters,
    requested_protocols,
)
from .http import Headers, HttpRequest, HttpServerExchange
from .limits import Limits
from .schema import Schema
from .server import ServerSession
from .tap import Tap
from .uri import Endpoint
from .wire.messages import ClientMessage

__all__ = [
    "TRANSITIONS",
    "ClientConnection",
    "ConnectionInput",
    "ConnectionState",
    "ServerConnection",
    "ServerEvent",
    "Timeouts",
    "UpgradeRequest",
]

PROTOCOL_ERROR: Final = 1002
INTERNAL_ERROR: Final = 1011

FULL: Final = 16
"""Receiving should pause when one part in so many of what may be queued is: 64 MiB, unless the limits say otherwise."""

SERVER_FRAGMENT: Final = 4096
"""Bytes per frame, as the real server sends (protocol reference, 1.7)."""

SERVER_TIMEOUTS: Final = Timeouts(greeting=15.0, silence=15.0, answer=15.0, close=0.25)
"""A ping after 15 s of silence, the end after 30 s. The real server pings every 15 s (protocol reference, 1.7)."""


class ClientConnection(FramedConnection):
    """A client's connection, from the handshake to the end.

    Feed it with `receive_data`, send what `data_to_send` returns, take events from `next_event` until `NEED_DATA`, and
    call `handle_timeout` at `next_deadline()`. Nothing that the peer does makes any of these raise: the last event is
    always `Disconnected`, and says why. After that everything is inert.

    Args:
        schema: The module's definition, for the session: as `ClientSession` has it.
        endpoint: The server.
        database: Name or identity of the database.
        token: Sent as a bearer token; without one the server makes a new anonymous identity.
        protocols: Subprotocols to offer. The server takes the newest that it knows.
        compression: What the server may compress large messages with.
        light: Leave reducer information out of transactions; v1 only.
        confirmed: Wait for durable transactions, or not; None leaves it to the server.
        session_id: The same on each of several connections that take the place of one another.
        after: The session whose connection was lost, if this one is to go on with it.
        limits: What the server may cost.
        timeouts: How long to wait for what.
        tap: Is shown what passes.
        now: The time, on the clock that `handle_timeout` will be called with.
    """

    IS_CLIENT: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913  one keyword for each option of the protocol reference, 1.1 to 1.4
        self,
        schema: Schema,
        endpoint: Endpoint,
        database: str,
        *,
        token: str | None = None,
        protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn"),
        compression: Literal["none", "gzip", "brotli"] = "none",
        light: bool = False,
        confirmed: bool | None = None,
        session_id: ConnectionId | None = None,
        after: ClientSession | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        tap: Tap | None = None,
        now: float = 0.0,
    ) -> None:
        """Make the handshake; `data_to_send` then returns it.

        Raises:
            LocalProtocolError: An option has an unknown value.
            AuthenticationError: The token cannot be sent.
            ConnectError: No database can have that name.
        """
        super().__init__(limits or Limits(), timeouts or Timeouts(), now)
        params = query_parameters(compression, light=light, confirmed=confirmed, session_id=session_id)
        target = endpoint.subscribe_target(database, params)
        offered = offered_protocols(protocols)
        self._schema = schema
        self._after = after
        self._tap = tap
        self._session: ClientSession | None = None
        self._handshake = ClientHandshake(endpoint, target, offered, token=token, limits=self._limits)
        self._out.append(self._handshake.data_to_send())
        self._is_ending_told = False

    @property
    def session(self) -> ClientSession:
        """The session, through which commands are given. It exists from the 101 on; commands need not wait longer.

        Raises:
            LocalProtocolError: The server has not accepted the connection, or never did.
        """
        if self._session is None:
            raise LocalProtocolError(f"the connection is {self._state.value}: there is no session before the upgrade")
        return self._session

    def next_event(self) -> Event | NeedData:
        """Advance by exactly one server message, as `ClientSession.next_event` does, but never raise.

        Returns:
            What happened, or `NEED_DATA`. What was received before the end comes first, then `CallFailed` for each call
            under way, and `Disconnected` last.
        """
        return next_of(self.advance)

    def advance(self) -> Advance:
        """As `next_event`, but in short steps, and several small transactions at once: see `ClientSession.advance`."""
        session = self._session
        if session is not None:
            try:
                event = session.advance()
                if event is not NEED_DATA:
                    return event
            except RemoteProtocolError as error:
                self._fail(error, PROTOCOL_ERROR)
            except IdentityChanged as error:
                self._fail(error, NORMAL)
        if self._state is not ConnectionState.CLOSED or self._is_ending_told:
            return NEED_DATA
        self._is_ending_told = True
        if session is None:
            return self._ending
        session.connection_lost(self._ending.error, self._ending.code, self._ending.reason)
        return session.next_event()

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`: at once if it is past, never if None. To be asked again after other calls."""
        deadline = super().next_deadline()
        calls = math.inf if self._session is None else self._session.next_deadline()
        if calls == math.inf:
            return deadline
        return calls if deadline is None else min(calls, deadline)

    def handle_timeout(self, now: float) -> None:
        """Do what is due. Early and repeated calls are harmless."""
        super().handle_timeout(now)
        if self._session is not None:
            self._session.handle_timeout(now)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for `next_event()` that no more should be received for a while."""
        return self._session is not None and self._session.backlog > self._limits.queued_bytes // FULL

    def _read_handshake(self, data: bytes) -> bytes:
        self._handshake.receive_data(data)
        try:
            answer = self._next_answer()
        except (ConnectError, RemoteProtocolError) as error:
            self._end(ConnectionInput.REJECTED, error, ABNORMAL, "")
            return b""
        if answer is NEED_DATA:
            return b""
        self._session = ClientSession(self._schema, protocol=answer.protocol, limits=self._limits, after=self._after)
        self._upgrade(self._session)
        return answer.trailing_data

    def _next_answer(self) -> Accepted | NeedData:
        try:
            return self._handshake.next_event()
        finally:
            if self._tap is not None and self._handshake.response is not None:
                self._tap.answered(self._handshake.request, self._handshake.response)

    def _handle_delay(self) -> None:
        if self._handshake.is_answered and self._state is ConnectionState.CONNECTING:
            self._read_handshake(b"")  # a refusal whose body does not end
        elif self._state is ConnectionState.CONNECTING:
            error = ConnectError(f"no answer to the handshake for {self._timeouts.handshake:g} s")
            self._end(ConnectionInput.FAILED, error, ABNORMAL, "")
        else:
            wait = f"{self._timeouts.greeting:g} s"
            text = f"the server accepted the connection, but sent no first message for {wait}"
            self._fail(ConnectError(text, status=101), NORMAL)

    def _lost_early(self, text: str, code: int, reason: str) -> ConnectionRefused:
        """The server drops clients that `client_connected` refuses, without a word (protocol reference, 1.6)."""
        if code == ABNORMAL:
            text = f"{text}, before its first message: the module's client_connected refused the client, or failed"
        return ConnectionRefused(text, status=101, body=reason)


@attrs.frozen
class UpgradeRequest:
    """A client asks for WebSocket. Answer with `accept`, or with `respond` to refuse."""

    target: str
    headers: Headers = attrs.field(repr=False)
    protocols: tuple[str, ...]


ServerEvent: TypeAlias = HttpRequest | UpgradeRequest | ClientMessage | Disconnected
"""What a `ServerConnection` hands out."""


class ServerConnection(FramedConnection):
    """A server's side of one link, which carries either one HTTP request or a WebSocket.

    The first event tells which: `HttpRequest`, to be answered with `respond`, or `UpgradeRequest`, to be answered with
    `accept` or `respond`. After `accept` come the client's messages, and what is queued in the session goes out. The
    last event is always `Disconnected`.
    """

    IS_CLIENT: ClassVar[bool] = False
    FRAGMENT: ClassVar[int | None] = SERVER_FRAGMENT

    def __init__(self, *, limits: Limits | None = None, timeouts: Timeouts = SERVER_TIMEOUTS, now: float = 0.0) -> None:
        super().__init__(limits or Limits(), timeouts, now)
        self._exchange = HttpServerExchange(self._limits)
        self._request: HttpRequest | None = None
        self._waiting: HttpRequest | UpgradeRequest | None = None
        self._session: ServerSession | None = None
        self._is_responding = False
        self._is_ending_told = False

    def next_event(self) -> ServerEvent | NeedData:
        """What the client did next, or `NEED_DATA`."""
        if self._waiting is not None:
            request, self._waiting = self._waiting, None
            return request
        message = self._session_message()
        if message is not NEED_DATA or self._state is not ConnectionState.CLOSED or self._is_ending_told:
            return message
        self._is_ending_told = True
        return self._ending

    advance = next_event
    """A client's messages are small: none takes more than one step."""

    @property
    def is_behind(self) -> bool:
        """Never: clients are not held back."""
        return False

    def accept(self, session: ServerSession, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer an upgrade request with 101 and carry `session` from here on, under its protocol's name.

        Raises:
            LocalProtocolError: There is no upgrade request to answer.
        """
        if self._request is None or not is_upgrade(self._request):
            raise LocalProtocolError("there is no upgrade request to accept")
        self._exchange.switch([*accept_headers(self._request, session.protocol_name), *headers])
        self._out.append(self._exchange.data_to_send())
        self._session = session
        self._upgrade(session)
        trailing = self._exchange.trailing_data
        if trailing:
            self.receive_data(trailing)

    def respond(
        self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, is_whole: bool = True
    ) -> None:
        """Answer a request over HTTP, which also refuses an upgrade. The link ends with it.

        Args:
            status: Of the answer.
            headers: Its headers.
            body: Its body.
            is_whole: Whether that is all of the body; otherwise `add_to_response` goes on with it until `close`.

        Raises:
            LocalProtocolError: There is no request to answer.
        """
        if self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError("there is no request to respond to")
        self._exchange.respond(status, headers, body, is_whole=is_whole)
        self._out.append(self._exchange.data_to_send())
        self._is_responding = not is_whole
        if is_whole:
            self._end(ConnectionInput.REJECTED, None, NORMAL, "")

    def add_to_response(self, data: bytes) -> None:
        """Send another part of an answer that is not whole yet; without effect once the link has ended.

        Raises:
            LocalProtocolError: There is no such answer.
        """
        if self._state is ConnectionState.CLOSED:
            return
        if not self._is_responding:
            raise LocalProtocolError("there is no answer to go on with")
        self._exchange.add(data)
        self._out.append(self._exchange.data_to_send())

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """End the connection; an answer that is not whole yet ends here. As `FramedConnection.close` otherwise."""
        if self._is_responding and self._state is not ConnectionState.CLOSED:
            self._exchange.finish()
            self._out.append(self._exchange.data_to_send())
        super().close(code, reason)

    def ping(self) -> None:
        """Send a ping, if the connection is upgraded and not ending."""
        if self._frames is not None and self._state in (ConnectionState.UPGRADED, ConnectionState.OPEN):
            self._frame_output()
            self._out.append(self._frames.ping())

    def drop(self) -> None:
        """Let go of the link without a Close frame, as the real server does when `client_connected` refuses."""
        if self._state is not ConnectionState.CLOSED:
            self._frame_output()
            self._end(ConnectionInput.LINK_ENDED, None, ABNORMAL, "")

    def _session_message(self) -> ClientMessage | NeedData:
        if self._session is None or self._is_ending_told:
            return NEED_DATA
        try:
            return self._session.next_event()
        except RemoteProtocolError as error:
            self._fail(error, INTERNAL_ERROR)  # the code that the real server closes with (protocol reference, 1.7)
            return NEED_DATA

    def _read_handshake(self, data: bytes) -> bytes:
        self._exchange.receive_data(data)
        try:
            request = self._exchange.next_event()
        except RemoteProtocolError as error:
            self._out.append(self._exchange.data_to_send())
            self._end(ConnectionInput.REJECTED, error, ABNORMAL, "")
            return b""
        self._out.append(self._exchange.data_to_send())
        if not data:
            lost = ConnectionLost("the client left before its request was answered", code=ABNORMAL)
            self._end(ConnectionInput.LINK_ENDED, lost, ABNORMAL, "")
        elif request is not NEED_DATA and self._request is None:
            self._request = request
            self._waiting = request
            if is_upgrade(request):
                self._waiting = UpgradeRequest(request.target, request.headers, requested_protocols(request))
        return b""

    def _handle_delay(self) -> None:
        if self._state is ConnectionState.UPGRADED:
            self._keep_alive()  # a client need not send anything
        elif self._request is None:
            self._end(ConnectionInput.FAILED, ConnectionLost("no request came in time", code=ABNORMAL), ABNORMAL, "")
        else:
            self._deadline = math.inf  # whoever answers the request takes the time it takes
