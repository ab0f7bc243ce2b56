"""What the server answers on one link: the HTTP API, the handshake, and then a client's messages.

Bytes in and bytes out, with the core's `ServerConnection` in between; sockets, threads and time are `server.py`'s. So a
test can join a client to it in memory. Statuses and texts are the real server's (protocol reference, 1.5 and 5).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.errors import AuthenticationError, ConnectionRefused
from spacetimedb_proto.events import NEED_DATA, Disconnected, NeedData
from spacetimedb_proto.handshake import offered_protocols
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.limits import MIB, Limits
from spacetimedb_proto.schema import dump_schema
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.websocket import ServerConnection, ServerEvent, UpgradeRequest
from spacetimedb_proto.wire import PROTOCOLS
from spacetimedb_proto.wire.compression import available
from spacetimedb_proto.wire.messages import ServerMessage

from .database import Client, Database
from .tokens import TokenIssuer, derive_identity

__all__ = ["SERVED_PROTOCOLS", "Service", "Site"]

SERVED_PROTOCOLS: Final = ("v3.bsatn", "v2.bsatn")

LIMITS: Final = Limits(message_size=32 * MIB)
"""As much as the real server takes in one message (protocol reference, 1.7)."""

SHORT_LIFE: Final = 60
"""Seconds that a token for the address of a WebSocket lives (protocol reference, 1.4)."""

Compression: TypeAlias = Literal["none", "gzip", "brotli"]
Headers: TypeAlias = Sequence[tuple[str, str]]

_NAME: Final = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")
_IDENTITY: Final = re.compile("(?:0x)?([0-9a-fA-F]{64})")
_SUBSCRIBE_OPTIONS: Final[Mapping[str, str]] = {
    "compression": "None|Brotli|Gzip",
    "light": "true|false",
    "confirmed": "true|false",
    "connection_id": "[0-9a-fA-F]{32}",
}


@attrs.frozen
class Answer:
    """What an HTTP request gets."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def json(cls, value: Any) -> Answer:
        """A good answer."""
        return cls(HTTPStatus.OK, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def headers(self, more: Headers) -> Headers:
        """Its headers, and more."""
        own = [("content-type", self.content_type)] if self.body else []
        return [*own, ("access-control-allow-origin", "*"), *more]


class _Refusal(Exception):  # noqa: N818  not a fault: the way out of several steps, with what to answer
    def __init__(self, status: HTTPStatus, text: str = "") -> None:
        super().__init__(text)
        self.answer = Answer(status, text.encode())


@attrs.frozen
class _Credentials:
    subject: str
    token: str

    @property
    def identity(self) -> Identity:
        return derive_identity(self.subject)

    @property
    def headers(self) -> Headers:
        return [("spacetime-identity", self.identity.hex()), ("spacetime-identity-token", self.token)]


class Site:
    """What all links of one server share.

    Args:
        database: The one that is served.
        random_bytes: Makes that many random bytes, for ids and for the secret that tokens are signed with.
        protocols: Subprotocols that clients may ask for, short names allowed. The newest that they know is taken.

    Raises:
        LocalProtocolError: One of the protocols is unknown.
        ValueError: One of them is not served here.
    """

    def __init__(
        self,
        database: Database,
        *,
        random_bytes: Callable[[int], bytes],
        protocols: Sequence[str] = SERVED_PROTOCOLS,
    ) -> None:
        self.database = database
        offered = offered_protocols(protocols)
        refused = set(offered) - set(offered_protocols(SERVED_PROTOCOLS))
        if refused:
            raise ValueError(
                f"protocols: only {', '.join(SERVED_PROTOCOLS)} are served, got {', '.join(sorted(refused))}"
            )
        self.protocols = tuple(name for name in PROTOCOLS if name in offered)
        self._random_bytes = random_bytes
        self._issuer = TokenIssuer(random_bytes(32))

    def new_connection_id(self) -> ConnectionId:
        """A connection id that nobody has."""
        return ConnectionId.from_wire(self._random_bytes(16))

    # --- who asks -----------------------------------------------------------------------------------------------------

    def newcomer(self) -> _Credentials:
        """A new anonymous identity and the only token for it."""
        subject = str(uuid.UUID(bytes=self._random_bytes(16), version=4))
        return _Credentials(subject, self._issuer.issue(subject, self.database.clock()))

    def _known(self, token: str) -> _Credentials:
        return _Credentials(self._issuer.subject(token, self.database.clock()), token)

    def authenticate(self, request: HttpRequest | UpgradeRequest, params: Mapping[str, str]) -> _Credentials:
        """Who sent a request; somebody new if it does not say (protocol reference, 1.4)."""
        header = _header(request, "authorization")
        if header is None and "token" not in params:
            return self.newcomer()
        scheme, _, token = (header or "").partition(" ")
        if header is not None and (scheme.lower() != "bearer" or not token.strip()):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "Authorization is invalid: malformed token")
        try:
            return self._known(token.strip() if header is not None else params["token"])
        except AuthenticationError as error:
            raise _Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from error

    # --- what is asked ------------------------------------------------------------------------------------------------

    def answer(self, request: HttpRequest) -> tuple[Answer, Headers]:
        """Answer anything that is no handshake."""
        credentials: _Credentials | None = None
        try:
            path, params = _target(request)
            match path:
                case ["v1", "ping"]:
                    _check_method(request, "GET")
                    self.authenticate(request, params)
                    return Answer(HTTPStatus.OK), []
                case ["v1", "identity"]:
                    _check_method(request, "POST")
                    new = self.newcomer()
                    return Answer.json({"identity": new.identity.hex(), "token": new.token}), []
                case ["v1", "identity", "websocket-token"]:
                    _check_method(request, "POST")
                    return self._short_token(request, params), []
                case ["v1", "database", name, "schema" | "subscribe" as what]:
                    credentials = self.authenticate(request, params)
                    _check_method(request, "GET")
                    answer = self._schema(name, params) if what == "schema" else _no_upgrade(request)
                    return answer, credentials.headers
                case _:
                    return Answer(HTTPStatus.NOT_FOUND), []
        except _Refusal as refusal:
            return refusal.answer, credentials.headers if credentials else []

    def _short_token(self, request: HttpRequest, params: Mapping[str, str]) -> Answer:
        """A token for clients that can set no headers, and so have to show it in the address (1.4)."""
        if _header(request, "authorization") is None:
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "Authorization required")
        known = self.authenticate(request, params)
        return Answer.json({"token": self._issuer.issue(known.subject, self.database.clock(), SHORT_LIFE)})

    def _schema(self, name: str, params: Mapping[str, str]) -> Answer:
        self.check_database(name, HTTPStatus.NOT_FOUND)
        failed = "Failed to deserialize query string"
        match params.get("version"):
            case "9":
                return Answer.json(dump_schema(self.database.schema, 9))
            case "10":
                return Answer.json(dump_schema(self.database.schema, 10))
            case None:
                raise _Refusal(HTTPStatus.BAD_REQUEST, f"{failed}: missing field `version`")
            case other:
                raise _Refusal(HTTPStatus.BAD_REQUEST, f"{failed}: unknown variant `{other}`, expected `9` or `10`")

    def check_database(self, name: str, unknown_identity: HTTPStatus) -> None:
        """See that a name or identity in a path means the database of this site; refuse the request if not."""
        match = _IDENTITY.fullmatch(name)
        if match is not None:
            if Identity.from_hex(match[1]) != self.database.identity:
                raise _Refusal(unknown_identity, "No such database.")
        elif _NAME.fullmatch(name) is None:
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"`{name}` is no database name")
        elif name != self.database.name:
            raise _Refusal(HTTPStatus.NOT_FOUND, f"`{name}` not found")


class Service:
    """One link, from its first byte to its last; what a pump drives.

    Args:
        site: What it serves.
        now: The time, on the clock that `handle_timeout` will be called with.
        wake: Called when there is something to send without anything having been received.
    """

    def __init__(self, site: Site, *, now: float = 0.0, wake: Callable[[], None] = lambda: None) -> None:
        self._site = site
        self._wake = wake
        self._connection = ServerConnection(limits=LIMITS, now=now)
        self._session: ServerSession | None = None
        self._client: Client | None = None

    def on_output(self, wake: Callable[[], None]) -> None:
        """Set what to call when there is something to send without anything having been received."""
        self._wake = wake

    @property
    def is_connected(self) -> bool:
        """Whether a client has been let in on this link."""
        return self._client is not None

    # --- what a pump asks for -----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take in bytes."""
        self._connection.receive_data(data)

    def receive_eof(self, reason: str = "") -> None:
        """No more bytes will come."""
        self._connection.receive_eof(reason)

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        return self._connection.data_to_send()

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`."""
        return self._connection.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._connection.handle_timeout(now)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a Close frame."""
        self._connection.close(code, reason)

    def drop(self) -> None:
        """End the connection without one."""
        self._connection.drop()

    def next_event(self) -> ServerEvent | NeedData:
        """Do the next thing that the client asked for, and return what that was; `Disconnected` is the last."""
        event = self._connection.next_event()
        match event:
            case HttpRequest():
                answer, headers = self._site.answer(event)
                self._connection.respond(answer.status, answer.headers(headers), answer.body)
            case UpgradeRequest():
                self._shake_hands(event)
            case Disconnected():
                if self._client is not None:
                    self._site.database.disconnect(self._client)
            case _:
                if event is not NEED_DATA and self._client is not None:
                    self._site.database.handle(self._client, event)
        return event

    advance = next_event

    @property
    def is_behind(self) -> bool:
        """Never: clients are not held back."""
        return False

    # --- the handshake ------------------------------------------------------------------------------------------------

    def _shake_hands(self, request: UpgradeRequest) -> None:
        credentials: _Credentials | None = None
        try:
            name, params = _subscribe_target(request)
            credentials = self._site.authenticate(request, params)
            session = self._session_for(request, name, params)
        except _Refusal as refusal:
            headers = refusal.answer.headers(credentials.headers if credentials else [])
            self._connection.respond(refusal.answer.status, headers, refusal.answer.body)
            return
        self._connection.accept(session, credentials.headers)
        self._greet(session, credentials, params)

    def _session_for(self, request: UpgradeRequest, name: str, params: Mapping[str, str]) -> ServerSession:
        """The session that a handshake asks for; the order of the checks is the real server's."""
        for option, pattern in _SUBSCRIBE_OPTIONS.items():
            if option in params and re.fullmatch(pattern, params[option]) is None:
                expected = pattern.replace("|", ", ")
                text = f"Failed to deserialize query string: {option}: expected {expected}, got `{params[option]}`"
                raise _Refusal(HTTPStatus.BAD_REQUEST, text)
        if not int(params.get("connection_id", "1"), 16):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "Invalid connection ID")
        self._site.check_database(name, HTTPStatus.INTERNAL_SERVER_ERROR)
        common = [protocol for protocol in self._site.protocols if protocol in request.protocols]
        if not common:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "no valid protocol selected")
        asked = params.get("compression", "Brotli").lower()
        compression = cast("Compression", asked if asked in available() else "none")
        return ServerSession(self._site.database.schema, protocol=common[0], limits=LIMITS, compression=compression)

    def _greet(self, session: ServerSession, credentials: _Credentials, params: Mapping[str, str]) -> None:
        """Let the client in, which happens after the upgrade has succeeded (protocol reference, 1.6)."""

        def deliver(message: ServerMessage) -> None:
            session.send(message)
            self._wake()

        chosen = params.get("connection_id")
        connection_id = self._site.new_connection_id() if chosen is None else ConnectionId.from_hex(chosen)
        try:
            database = self._site.database
            self._client = database.connect(credentials.identity, connection_id, credentials.token, deliver)
        except ConnectionRefused:
            self._connection.drop()
        else:
            self._connection.ping()


# --- requests ---------------------------------------------------------------------------------------------------------


def _header(request: HttpRequest | UpgradeRequest, name: str) -> str | None:
    return next((value for each, value in request.headers if each == name), None)


def _target(request: HttpRequest | UpgradeRequest) -> tuple[list[str], dict[str, str]]:
    """The path's segments and the parameters of a request."""
    try:
        parts = urlsplit(request.target)
    except ValueError as error:
        raise _Refusal(HTTPStatus.BAD_REQUEST, "the target is no URL") from error
    segments = [unquote(segment) for segment in parts.path.removeprefix("/").split("/")]
    return segments, dict(parse_qsl(parts.query, keep_blank_values=True))


def _subscribe_target(request: UpgradeRequest) -> tuple[str, dict[str, str]]:
    """The database and the options that a handshake names."""
    path, params = _target(request)
    match path:
        case ["v1", "database", name, "subscribe"]:
            return name, params
        case _:
            raise _Refusal(HTTPStatus.NOT_FOUND)


def _check_method(request: HttpRequest, method: str) -> None:
    if request.method != method:
        raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED)


def _no_upgrade(request: HttpRequest) -> Answer:
    """Why a request for the subscribe route is no handshake (protocol reference, 1.5, row 5)."""
    if (_header(request, "upgrade") or "").lower() != "websocket":
        raise _Refusal(HTTPStatus.UPGRADE_REQUIRED, "This service requires use of the websocket protocol")
    raise _Refusal(HTTPStatus.BAD_REQUEST, "malformed WebSocket handshake")
