"""The module's definition, read over a link of its own before the WebSocket is opened. Bytes in, bytes out."""

from __future__ import annotations

import math
from typing import Final

from .errors import ConnectError, RemoteProtocolError, SchemaError
from .events import NEED_DATA, LinkEnded, NeedData
from .handshake import bearer
from .http import HttpExchange, HttpResponse, refusal
from .limits import Limits
from .schema import Schema, load_schema
from .uri import Endpoint

__all__ = ["SchemaLink"]

ANSWER_TIME: Final = 30.0
"""Seconds for the whole answer. The server itself waits up to 10 s for a module that is loading."""


class SchemaLink:
    """Asks for a database's module definition.

    Args:
        endpoint: The server.
        database: Name or identity of the database.
        version: Layout of the definition, 9 or 10. A server that does not know it answers 400 (schema reference, 1.1).
        token: Who asks; None for nobody.
        limits: What the answer may cost.

    Attributes:
        version: The layout asked for.

    Raises:
        AuthenticationError: The token cannot be sent.
        ConnectError: No database can have that name.
    """

    is_behind = False

    def __init__(self, endpoint: Endpoint, database: str, version: int, *, token: str | None, limits: Limits) -> None:
        self.version = version
        self._where = f"{endpoint.host}:{endpoint.port}"
        self._token = token
        headers = [] if token is None else [("authorization", bearer(token))]
        target = endpoint.schema_target(database, version)
        self._exchange = HttpExchange("GET", endpoint, target, headers=headers, limits=limits)
        self._response: HttpResponse | None = None
        self._error: ConnectError | RemoteProtocolError | None = None
        self._is_told = False
        self._deadline = math.inf

    def start(self, now: float) -> None:
        """The link is there: from here on its time is measured."""
        self._deadline = now + ANSWER_TIME

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        if self._is_over:
            return
        self._exchange.receive_data(data)
        try:
            response = self._exchange.next_event()
        except (ConnectError, RemoteProtocolError) as error:
            self._error = error
        else:
            self._response = None if response is NEED_DATA else response

    def receive_eof(self, reason: str = "") -> None:  # noqa: ARG002 - the exchange says what is missing
        """Say that no more bytes will come."""
        self.receive_data(b"")

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        return self._exchange.data_to_send()

    def advance(self) -> LinkEnded | NeedData:
        """`LinkEnded` once, when there is an answer or will be none."""
        if not self._is_over or self._is_told:
            return NEED_DATA
        self._is_told = True
        return LinkEnded()

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`."""
        return None if self._is_over else self._deadline

    def handle_timeout(self, now: float) -> None:
        """Give up when it is time."""
        if now >= self._deadline and not self._is_over:
            self._error = ConnectError(f"no answer from {self._where} for {ANSWER_TIME:g} s")

    @property
    def _is_over(self) -> bool:
        return self._response is not None or self._error is not None

    @property
    def is_unknown_version(self) -> bool:
        """Whether the server does not know this layout."""
        return self._response is not None and self._response.status == 400

    @property
    def text(self) -> bytes:
        """The definition as it came; empty if none has."""
        return b"" if self._response is None else self._response.body

    def schema(self) -> Schema:
        """The definition.

        Raises:
            ConnectError: The server refused, or there was no whole answer; the subclass says why.
            RemoteProtocolError: The answer is not HTTP, or too large.
        """
        if self._error is not None:
            raise self._error
        assert self._response is not None
        if self._response.status != 200:
            raise refusal(self._response.status, self._response.body, token=self._token)
        try:
            return load_schema(self._response.body)
        except SchemaError as error:
            raise ConnectError(f"the server's schema cannot be understood: {error}", status=200) from error
