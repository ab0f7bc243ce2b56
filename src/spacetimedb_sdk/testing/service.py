"""What the server does on one link: the handshake, and then a client's messages.

Bytes in and bytes out, with the core's `ServerConnection` in between; sockets, threads and time are `server.py`'s. So a
test can join a client to it in memory. Statuses and texts are the real server's (protocol reference, 1.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal, TypeAlias, cast

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.errors import ConnectionRefused
from spacetimedb_proto.events import NEED_DATA, Disconnected, NeedData
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.limits import MIB, Limits
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.websocket import ConnectionState, ServerConnection, ServerEvent, UpgradeRequest
from spacetimedb_proto.wire.compression import available
from spacetimedb_proto.wire.messages import ServerMessage

from .api import answer
from .database import Client, Database
from .faults import Gate
from .requests import Answer, Headers, Refusal, target_of
from .sessions import SessionKey
from .site import Credentials, Site

__all__ = ["Service"]

LIMITS: Final = Limits(message_size=32 * MIB)
"""As much as the real server takes in one message (protocol reference, 1.7)."""

Compression: TypeAlias = Literal["none", "gzip", "brotli"]

SESSION_BUSY: Final = 4000
"""The code that a client is closed with whose session is still on another link (protocol reference, 8)."""

_SUBSCRIBE_OPTIONS: Final[Mapping[str, str]] = {
    "compression": "None|Brotli|Gzip",
    "light": "true|false",
    "confirmed": "true|false",
    "connection_id": "[0-9a-fA-F]{32}",
}
_NEWER_SUBSCRIBE_OPTIONS: Final[Mapping[str, str]] = {**_SUBSCRIBE_OPTIONS, "session_id": "[0-9a-fA-F]{32}"}


class Service:
    """One link, from its first byte to its last; what a pump drives.

    Args:
        site: What it serves.
        now: The time, on the clock that `handle_timeout` will be called with.

    Attributes:
        is_connected: Whether a client has been let in on this link, or follows the log.
    """

    def __init__(self, site: Site, *, now: float = 0.0) -> None:
        self._site = site
        self._wake: Callable[[], None] = _nobody
        self._hang_up: Callable[[], None] = _nobody
        self._connection = ServerConnection(limits=LIMITS, now=now)
        self._gate = Gate(site.plan, self)
        self._visit: tuple[Database, Client] | None = None
        self._session_key: SessionKey | None = None
        self._unfollow: Callable[[], None] = _nobody
        self.is_connected = False
        site.links[self] = None

    def on_output(self, wake: Callable[[], None]) -> None:
        """Set what to call when there is something to send without anything having been received."""
        self._wake = wake

    def on_drop(self, hang_up: Callable[[], None]) -> None:
        """Set what to call when the link has been dropped, so that its last event waits to be taken."""
        self._hang_up = hang_up

    # --- what a pump asks for -----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take in bytes."""
        data = self._gate.receive(data)
        if data:
            self._connection.receive_data(data)

    def receive_eof(self, reason: str = "") -> None:
        """No more bytes will come."""
        self._connection.receive_eof(reason)

    def data_to_send(self) -> bytes:
        """Take what must go out; to be asked again until there is nothing."""
        return self._gate.send(self._connection.data_to_send())

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`."""
        return self._connection.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._connection.handle_timeout(now)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a Close frame."""
        self._connection.close(code, reason)
        self._wake()

    def drop(self) -> None:
        """End the connection without one."""
        self._connection.drop()
        self._hang_up()

    @property
    def identity(self) -> Identity | None:
        """The client's; None while there is none."""
        return None if self._visit is None else self._visit[1].caller.identity

    def catch_up(self, data: bytes) -> None:
        """Take in what was held back on the way here, do it, and send what there is to send."""
        if data:
            self._connection.receive_data(data)
            while (event := self.next_event()) is not NEED_DATA:
                if isinstance(event, Disconnected):
                    self._hang_up()
        self._wake()

    def next_event(self) -> ServerEvent | NeedData:
        """Do the next thing that the client asked for, and return what that was; `Disconnected` is the last."""
        event = self._connection.next_event()
        match event:
            case HttpRequest() | UpgradeRequest() if self._connection.state is ConnectionState.CLOSED:
                pass  # whoever asked has gone, or been dropped
            case HttpRequest():
                self._respond(*answer(self._site, event))
            case UpgradeRequest():
                self._shake_hands(event)
            case Disconnected():
                self.leave()
                self._gate.leave()
                self._site.links.pop(self, None)
            case _:
                if event is not NEED_DATA and self._visit is not None:
                    database, client = self._visit
                    database.handle(client, event)
        return event

    advance = next_event

    def _respond(self, answer: Answer, headers: Headers) -> None:
        self._connection.respond(answer.status, answer.headers(headers), answer.body, is_whole=answer.follows is None)
        if answer.follows is not None:
            self._unfollow = answer.follows.follow(self._add)
            self.is_connected = True

    def _add(self, line: str) -> None:
        """Send another part of an answer."""
        self._connection.add_to_response(line.encode("utf-8", errors="replace"))
        self._wake()

    def leave(self) -> None:
        """See the client off; what it still sends is ignored, and only now its session may begin on another link."""
        self._unfollow()
        self._unfollow = _nobody
        if self._visit is not None:
            database, client = self._visit
            self._visit = None
            database.disconnect(client)
        if self._session_key is not None:
            self._site.sessions.release(self._session_key)
            self._session_key = None

    @property
    def is_behind(self) -> bool:
        """Never: clients are not held back."""
        return False

    # --- the handshake ------------------------------------------------------------------------------------------------

    def _shake_hands(self, request: UpgradeRequest) -> None:
        credentials: Credentials | None = None
        try:
            self._site.check_open()
            name, params = _subscribe_target(request)
            credentials = self._site.authenticate(request, params)
            session = self._session_for(request, name, params)
        except Refusal as refusal:
            self._respond(refusal.answer, credentials.headers if credentials else [])
            return
        self._connection.accept(session, credentials.headers)
        if self._begin_session(credentials, params):
            self._greet(session, credentials, params)
        else:
            self._connection.close(SESSION_BUSY, "session busy")

    @property
    def _options(self) -> Mapping[str, str]:
        return _SUBSCRIBE_OPTIONS if self._site.release == "2.8" else _NEWER_SUBSCRIBE_OPTIONS

    def _session_for(self, request: UpgradeRequest, name: str, params: Mapping[str, str]) -> ServerSession:
        """The session that a handshake asks for; the order of the checks is the real server's."""
        for option, pattern in self._options.items():
            if option in params and re.fullmatch(pattern, params[option]) is None:
                expected = pattern.replace("|", ", ")
                text = f"Failed to deserialize query string: {option}: expected {expected}, got `{params[option]}`"
                raise Refusal(HTTPStatus.BAD_REQUEST, text)
        if not int(params.get("connection_id", "1"), 16):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Invalid connection ID")
        if "session_id" in self._options and not int(params.get("session_id", "1"), 16):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Invalid session ID")
        self._site.check_database(name, HTTPStatus.INTERNAL_SERVER_ERROR)
        common = [protocol for protocol in self._site.protocols if protocol in request.protocols]
        if not common:
            raise Refusal(HTTPStatus.BAD_REQUEST, "no valid protocol selected")
        asked = params.get("compression", "Brotli").lower()
        compression = cast("Compression", asked if asked in available() else "none")
        return ServerSession(
            self._site.database.schema,
            protocol=common[0],
            limits=LIMITS,
            compression=compression,
            knows_batches=self._site.release != "2.8",
        )

    def _begin_session(self, credentials: Credentials, params: Mapping[str, str]) -> bool:
        """Hold the session that the client names, if it names one and no other link holds it."""
        if "session_id" not in params or "session_id" not in self._options:
            return True
        key = (self._site.database.identity, credentials.identity, params["session_id"].lower())
        if not self._site.sessions.claim(key, self):
            return False
        self._session_key = key
        return True

    def _greet(self, session: ServerSession, credentials: Credentials, params: Mapping[str, str]) -> None:
        """Let the client in, which happens after the upgrade has succeeded (protocol reference, 1.6)."""

        def deliver(message: ServerMessage) -> None:
            session.send(message)
            self._wake()

        chosen = params.get("connection_id")
        connection_id = self._site.new_connection_id() if chosen is None else ConnectionId.from_hex(chosen)
        try:
            database = self._site.database
            client = database.connect(
                credentials.identity, connection_id, credentials.token, deliver, protocol=session.protocol_name
            )
        except ConnectionRefused:
            self._connection.drop()
        else:
            self._visit = database, client
            self.is_connected = True
            self._connection.ping()


def _subscribe_target(request: UpgradeRequest) -> tuple[str, dict[str, str]]:
    """The database and the options that a handshake names."""
    path, params = target_of(request)
    match path:
        case ["v1", "database", name, "subscribe"]:
            return name, params
        case _:
            raise Refusal(HTTPStatus.NOT_FOUND)


def _nobody() -> None:
    """Nobody has to be told: whoever joins links in memory looks by himself for what there is to send."""
