"""The WebSocket handshake with a SpacetimeDB server: the request, and what its answer means.

The rules are those of the protocol reference, 1.2 to 1.5, and RFC 6455, section 4. wsproto draws the nonce from the
operating system by itself. Nothing here knows frames, or what happens after the 101.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from wsproto.utilities import generate_accept_token, generate_nonce

from .bsatn.values import ConnectionId
from .errors import AuthenticationError, ConnectError, LocalProtocolError, RemoteProtocolError, UnsupportedProtocol
from .events import NEED_DATA, NeedData
from .http import Headers, HttpExchange, HttpRequest, HttpResponse, refusal
from .limits import Limits
from .uri import Endpoint
from .wire import PROTOCOLS
from .wire import compression as compressions

__all__ = [
    "Accepted",
    "ClientHandshake",
    "accept_headers",
    "bearer",
    "is_upgrade",
    "offered_protocols",
    "query_parameters",
    "requested_protocols",
]

SUFFIX: Final = ".spacetimedb"

REFUSAL_SIZE: Final = 64 * 1024
"""Bytes read of a refusal's body; the server's are a sentence, and a proxy's page needs not be read to its end."""


def query_parameters(
    compression: str, *, light: bool, confirmed: bool | None, session_id: ConnectionId | None = None
) -> dict[str, str]:
    """The options of a connection as the server reads them. A `connection_id` is never sent (1.2).

    A `session_id` says that this connection takes the place of an older one; servers before 2.11 do not read it
    (protocol reference, 8).

    Raises:
        LocalProtocolError: There is no such compression, or it is not installed.
    """
    if compression not in compressions.available():
        known = ", ".join(compressions.available())
        raise LocalProtocolError(f"compression: expected one of {known}, got {compression!r}")
    # Always said, because a server that is not told compresses with brotli.
    params = {"compression": compression.capitalize()}
    if light:
        params["light"] = "true"
    if confirmed is not None:
        params["confirmed"] = "true" if confirmed else "false"
    if session_id is not None:
        params["session_id"] = session_id.hex()
    return params


def offered_protocols(names: Sequence[str]) -> tuple[str, ...]:
    """Full names of subprotocols that may be given short, `v2.bsatn` for `v2.bsatn.spacetimedb`.

    Raises:
        LocalProtocolError: There is none, or one is unknown.
    """
    full = tuple(name if name.endswith(SUFFIX) else name + SUFFIX for name in names)
    if not full or not set(full) <= set(PROTOCOLS):
        known = ", ".join(name.removesuffix(SUFFIX) for name in PROTOCOLS)
        raise LocalProtocolError(f"protocols: expected some of {known}, got {', '.join(names) or 'none'}")
    return tuple(dict.fromkeys(full))


@attrs.frozen
class Accepted:
    """The server answered 101. `trailing_data` was received after it and belongs to the first frames."""

    protocol: str
    trailing_data: bytes = attrs.field(repr=False)


class ClientHandshake:
    """Asks for the upgrade and reads the answer.

    Attributes:
        request: What is asked.
        response: What was answered, of a refusal perhaps only the beginning; None before `next_event` has read it.
    """

    def __init__(
        self, endpoint: Endpoint, target: str, protocols: Sequence[str], *, token: str | None, limits: Limits
    ) -> None:
        """Make the request.

        Raises:
            AuthenticationError: The token cannot stand in a header, so no server would accept it.
        """
        nonce = generate_nonce()
        self._token = token
        self._protocols = protocols
        self.response: HttpResponse | None = None
        self._accept_token = generate_accept_token(nonce).decode()
        headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", nonce.decode()),
            ("sec-websocket-protocol", ", ".join(protocols)),
        ]
        if token is not None:
            headers.append(("authorization", bearer(token)))
        self.request = HttpRequest("GET", target, tuple(headers))
        small = attrs.evolve(limits, message_size=min(limits.message_size, REFUSAL_SIZE))
        self._exchange = HttpExchange("GET", endpoint, target, headers, limits=small)

    @property
    def is_answered(self) -> bool:
        """Whether the head of an answer has come, of which the body is still on its way."""
        return self._exchange.partial is not None

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        return self._exchange.data_to_send()

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        self._exchange.receive_data(data)

    def next_event(self) -> Accepted | NeedData:
        """What the server decided, or `NEED_DATA`.

        Raises:
            ConnectError: It refused, for the reason that the subclass and the text say; or the connection ended.
            RemoteProtocolError: Its answer is not HTTP, or accepts what was not asked for.
        """
        try:
            response = self._exchange.next_event()
        except (ConnectError, RemoteProtocolError):
            # A refusal whose body was cut short, or goes on for ever, is still a refusal.
            partial = self._exchange.partial
            if partial is None:
                raise
            response = partial
        if response is NEED_DATA:
            return NEED_DATA
        self.response = response
        if response.status != 101:
            raise refusal(response.status, response.body, token=self._token)
        return Accepted(self._check(response), self._exchange.trailing_data)

    def _check(self, response: HttpResponse) -> str:
        """RFC 6455, 4.1, for what the server must answer; the name of the protocol that it chose."""
        if not _says_websocket(response):
            raise RemoteProtocolError("the server answered 101 without upgrading to WebSocket")
        if response.header("sec-websocket-accept") != self._accept_token:
            raise RemoteProtocolError("the server answered 101 with a wrong Sec-WebSocket-Accept")
        if response.header("sec-websocket-extensions"):
            raise RemoteProtocolError("the server answered 101 with a WebSocket extension that was not offered")
        protocol = response.header("sec-websocket-protocol")
        offered = ", ".join(self._protocols)
        if protocol is None:
            raise UnsupportedProtocol(f"the server chose no subprotocol; offered were {offered}", status=101)
        if protocol not in self._protocols:
            raise RemoteProtocolError(f"the server chose the subprotocol {protocol[:80]!r}; offered were {offered}")
        return protocol


def bearer(token: str) -> str:
    """Value of the `Authorization` header.

    Raises:
        AuthenticationError: The token is empty, or has spaces or other characters that no token has.
    """
    if not token or any(not "!" <= char <= "~" for char in token):
        raise AuthenticationError("token: expected visible ASCII characters, got none or others")
    return f"Bearer {token}"


def is_upgrade(request: HttpRequest) -> bool:
    """Whether a request asks for WebSocket correctly; the server answers others itself (1.5, row 5)."""
    return (
        request.method == "GET"
        and _says_websocket(request)
        and request.header("sec-websocket-version") == "13"
        and bool(request.header("sec-websocket-key"))
    )


def requested_protocols(request: HttpRequest) -> tuple[str, ...]:
    """The subprotocols that a client offers, in its order."""
    offered = request.header("sec-websocket-protocol") or ""
    return tuple(name.strip() for name in offered.split(",") if name.strip())


def accept_headers(request: HttpRequest, protocol: str) -> Headers:
    """Headers of the 101 that accepts an upgrade request."""
    key = request.header("sec-websocket-key") or ""
    return (
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", generate_accept_token(key.encode("latin-1")).decode()),
        ("sec-websocket-protocol", protocol),
    )


def _says_websocket(message: HttpRequest | HttpResponse) -> bool:
    connection = (message.header("connection") or "").lower().split(",")
    return "upgrade" in map(str.strip, connection) and (message.header("upgrade") or "").lower() == "websocket"
