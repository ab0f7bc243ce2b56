"""One HTTP/1.1 request and its answer, from either side, as bytes in and bytes out. The parsing is h11's.

`HttpExchange` asks, `HttpServerExchange` answers; both carry the WebSocket handshake too, which is an HTTP request
until it is accepted. What a refusal means to a SpacetimeDB client is said here once, in `refusal`. Nothing here knows
paths of the API, JSON or frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, TypeAlias

import attrs
import h11

from .errors import (
    AuthenticationError,
    ConnectError,
    DatabaseNotFound,
    LocalProtocolError,
    RemoteProtocolError,
    UnsupportedProtocol,
)
from .events import NEED_DATA, NeedData
from .limits import Limits
from .uri import Endpoint

__all__ = [
    "Headers",
    "HttpExchange",
    "HttpRequest",
    "HttpResponse",
    "HttpServerExchange",
    "decoded",
    "refusal",
    "shown",
    "written",
]

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names in lower case and values, in the order sent. Never shown in a `repr`, since they carry tokens."""

SHOWN_TEXT: Final = 500
"""Characters of an answer's body that go into an error: a sentence of the server's, or the start of a proxy's page."""

READ_TEXT: Final = 64 * 1024
"""Characters of it that are looked at."""

# Base64 of `{"`, which every JSON Web Token starts with, and the parts after it.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)+")


@attrs.frozen
class HttpResponse:
    """A whole answer."""

    status: int
    headers: Headers = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by commas, or None."""
        return _header(self.headers, name)


@attrs.frozen
class HttpRequest:
    """A whole request, as a server sees it. `target` is the path and the query, undecoded."""

    method: str
    target: str
    headers: Headers = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by commas, or None."""
        return _header(self.headers, name)


def refusal(status: int, body: bytes | str, *, token: str | None = None) -> ConnectError:
    """The error that an answer to the handshake or to a schema request means (protocol reference, 1.5 and 5).

    Args:
        status: Its status, other than the one hoped for.
        body: Its body, however long; the error holds the first 500 characters, on one line and without tokens.
        token: The token that was sent, in case it has another form than a JSON Web Token.
    """
    text = shown(body.decode("utf-8", "replace") if isinstance(body, bytes) else body, token)
    kind = ConnectError
    if status in (401, 403) or (status == 400 and text.startswith("Authorization is invalid")):
        kind = AuthenticationError
    elif status == 404:
        kind = DatabaseNotFound
    elif status == 400 and "no valid protocol selected" in text:
        kind = UnsupportedProtocol
    elif 300 <= status < 400:
        text = f"it redirects to another address, which is not followed; give that one, perhaps with https. {text}"
    message = f"the server answered {status}: {text}" if text else f"the server answered {status}, without a reason"
    return kind(message, status=status, body=text)


class HttpExchange:
    """A client's side of one request, on a connection of its own."""

    def __init__(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        limits: Limits | None = None,
    ) -> None:
        """Make the request; `data_to_send` then returns it.

        Args:
            method: `GET`, `POST`, ...
            endpoint: The server, for the `Host` header.
            target: Path and query, as `Endpoint.target` makes them.
            headers: More headers. `Connection: close` is added unless there is one.
            body: Sent with its length, if there is one.
            limits: `message_size` bounds the answer's body.

        Raises:
            LocalProtocolError: A header or the target cannot be sent. The message does not repeat it.
        """
        self._what = f"{method} {target.partition('?')[0]}"
        self._limit = (limits or Limits()).message_size
        self._h11 = h11.Connection(h11.CLIENT)
        self._response: HttpResponse | None = None
        self._body = bytearray()
        self._complete = False
        self._eof = False
        self._error: ConnectError | RemoteProtocolError | None = None
        own = [("host", endpoint.host_header), *headers]
        if _header(own, "connection") is None:
            own.append(("connection", "close"))
        self._out = written(self._h11, HttpRequest(method, target, tuple(own), body))

    @property
    def partial(self) -> HttpResponse | None:
        """As much of the answer as has arrived, once its head has: what is left to report when the rest never comes."""
        return attrs.evolve(self._response, body=bytes(self._body)) if self._response else None

    @property
    def trailing_data(self) -> bytes:
        """Bytes received after a 101: they belong to the protocol that was switched to."""
        return self._h11.trailing_data[0]

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        out, self._out = self._out, b""
        return out

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        if self._complete or self._error or self._eof:
            return
        self._eof = not data
        try:
            self._h11.receive_data(data)
            while not self._complete:
                event = self._h11.next_event()
                if not isinstance(event, h11.Event):  # NEED_DATA or PAUSED
                    break
                self._take(event)
        except h11.RemoteProtocolError as error:
            if self._eof:
                self._error = ConnectError(f"{self._what}: the server ended the connection before its answer was whole")
            else:
                self._error = RemoteProtocolError(f"{self._what}: the answer is not HTTP: {shown(str(error))}")

    def next_event(self) -> HttpResponse | NeedData:
        """The answer, or `NEED_DATA`; after an upgrade the answer has status 101 and no body.

        Raises:
            ConnectError: The connection ended before the answer was whole.
            RemoteProtocolError: The answer is not HTTP, or larger than allowed.
        """
        if self._error is not None:
            raise self._error
        if self._complete and self.partial is not None:
            return self.partial
        return NEED_DATA

    def _take(self, event: h11.Event) -> None:
        if isinstance(event, h11.Response):
            self._response = HttpResponse(event.status_code, decoded(event.headers))
        elif isinstance(event, h11.InformationalResponse) and event.status_code == 101:
            self._response = HttpResponse(101, decoded(event.headers))
            self._complete = True
        elif isinstance(event, h11.Data):
            room = self._limit - len(self._body)
            self._body += event.data[:room]
            if len(event.data) > room:
                raise h11.RemoteProtocolError(f"its body is larger than {self._limit} bytes")
        elif isinstance(event, h11.EndOfMessage):
            self._complete = True


class HttpServerExchange:
    """A server's side of one request. The connection ends with the answer, unless it is upgraded."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limit = (limits or Limits()).message_size
        self._h11 = h11.Connection(h11.SERVER)
        self._request: HttpRequest | None = None
        self._body = bytearray()
        self._complete = False
        self._eof = False
        self._out: list[bytes] = []
        self._error: RemoteProtocolError | None = None

    @property
    def trailing_data(self) -> bytes:
        """Bytes received after an upgrade request: they belong to the protocol that is switched to."""
        return self._h11.trailing_data[0]

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        out, self._out = b"".join(self._out), []
        return out

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        if self._error or self._eof:
            return
        self._eof = not data
        try:
            self._h11.receive_data(data)
            while not self._complete:
                event = self._h11.next_event()
                if not isinstance(event, h11.Event):  # NEED_DATA or PAUSED
                    break
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._error = RemoteProtocolError(f"the request is not HTTP: {shown(str(error))}")
            if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self._eof:
                self.respond(error.error_status_hint, body=str(self._error).encode())

    def next_event(self) -> HttpRequest | NeedData:
        """The request, or `NEED_DATA`.

        Raises:
            RemoteProtocolError: The request is not HTTP, not whole, or too large. An answer that says so is queued.
        """
        if self._error is not None:
            raise self._error
        if self._complete and self._request is not None:
            return attrs.evolve(self._request, body=bytes(self._body))
        return NEED_DATA

    def respond(
        self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, is_whole: bool = True
    ) -> None:
        """Answer the request.

        Args:
            status: Of the answer.
            headers: Its headers.
            body: Its body.
            is_whole: Whether that is all of the body; otherwise `add` and `finish` go on with it.

        Raises:
            LocalProtocolError: There is no request to answer, or a header cannot be sent.
        """
        own = list(headers)
        if _header(own, "connection") is None:
            own.append(("connection", "close"))
        # RFC 9110, 6.4.1: some answers have no body, and with it no length.
        if is_whole and status not in (204, 304):
            own.append(("content-length", str(len(body))))
        self._send(_head(h11.Response, status, own))
        self.add(body)
        if is_whole:
            self.finish()

    def add(self, data: bytes) -> None:
        """Send another part of an answer that is not whole yet."""
        self._send(h11.Data(data=data))

    def finish(self) -> None:
        """End an answer that was not whole."""
        self._send(h11.EndOfMessage())

    def switch(self, headers: Iterable[tuple[str, str]]) -> None:
        """Answer an upgrade request with 101; from here on the bytes are another protocol's.

        Raises:
            LocalProtocolError: There is no upgrade request, or a header cannot be sent.
        """
        self._send(_head(h11.InformationalResponse, 101, headers))

    def _send(self, event: h11.Event) -> None:
        try:
            self._out.append(self._h11.send(event) or b"")
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(f"no such answer is possible now: {error}") from error

    def _take(self, event: h11.Event) -> None:
        if isinstance(event, h11.Request):
            method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
            self._request = HttpRequest(method, target, decoded(event.headers))
            if self._h11.they_are_waiting_for_100_continue:
                self._send(_head(h11.InformationalResponse, 100, ()))
        elif isinstance(event, h11.Data):
            if len(self._body) + len(event.data) > self._limit:
                raise h11.RemoteProtocolError(f"its body is larger than {self._limit} bytes", error_status_hint=413)
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self._complete = True
        else:
            raise h11.RemoteProtocolError("the connection ended before it")


def _header(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    values = [value for each, value in headers if each.lower() == name]
    return ", ".join(values) if values else None


def _head(
    kind: type[h11.Response | h11.InformationalResponse], status: int, headers: Iterable[tuple[str, str]]
) -> h11.Event:
    # Clients show the phrase to people, some of them nothing else.
    phrase = _PHRASES.get(status, "").encode("ascii")
    try:
        return kind(status_code=status, headers=[_encoded(each) for each in headers], reason=phrase)
    except (h11.LocalProtocolError, UnicodeError):
        # Not chained: h11 quotes what it complains about, and that may be a token.
        raise LocalProtocolError(f"an answer with status {status} or these headers cannot be sent over HTTP") from None


def written(connection: h11.Connection, request: HttpRequest) -> bytes:
    """The bytes of a client's request, to whose headers the length of its body is added.

    Raises:
        LocalProtocolError: A header or the target cannot be sent. The message does not repeat it.
    """
    own = list(request.headers)
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        own.append(("content-length", str(len(request.body))))
    try:
        headers = [_encoded(each) for each in own]
        parts = [connection.send(h11.Request(method=request.method, target=request.target, headers=headers))]
        if request.body:
            parts.append(connection.send(h11.Data(data=request.body)))
        parts.append(connection.send(h11.EndOfMessage()))
    except (h11.LocalProtocolError, UnicodeError):
        # Not chained: h11 quotes what it complains about, and that may be a token.
        what = f"{request.method} {request.target.partition('?')[0]}"
        raise LocalProtocolError(f"{what[:200]!r}: the target or a header cannot be sent over HTTP") from None
    return b"".join(part for part in parts if part)


def _encoded(header: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = header
    return name.encode("ascii"), value.encode("latin-1")


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers as text, with names in lower case."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)


def shown(text: str, token: str | None = None) -> str:
    """Text of the peer's, made fit for an error message: short, on one line, printable, and without tokens."""
    if token:
        text = text[:READ_TEXT].replace(token, "<token>")
    text = _TOKEN.sub("<token>", text[:READ_TEXT])
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"
