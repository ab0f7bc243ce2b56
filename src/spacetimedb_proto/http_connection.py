"""One HTTP/1.1 connection that carries a client's requests one after the other, as bytes in and bytes out.

`HttpExchange` in `http.py` asks once and closes; here a link is kept for the next request, and a body may be read piece
by piece while it is still being sent. The parsing is h11's. Nothing here knows paths of the API.
"""

from __future__ import annotations

import h11

from .errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from .events import NEED_DATA, NeedData
from .http import HttpRequest, HttpResponse, decoded, shown, written

__all__ = ["HttpConnection"]


class HttpConnection:
    """A client's side of a connection.

    For each request call `send`, then `next_head` until the head of the answer is there, then `next_piece` until that
    is empty. If `is_idle` then, another request may follow.
    """

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.CLIENT)
        self._out = b""
        self._what = "no request"
        self._room = 0
        self._is_ended = False

    @property
    def is_idle(self) -> bool:
        """Whether a request may be sent: there is none under way, and neither side has ended the connection."""
        return self._h11.our_state is h11.IDLE and not self._is_ended and not self._h11.trailing_data[0]

    def send(self, request: HttpRequest, *, size: int) -> None:
        """Send a request. Its headers must hold `host`; the length of the body is added.

        Args:
            request: What to ask.
            size: Bytes that the body of the answer may have.

        Raises:
            LocalProtocolError: The connection is not idle, or the target or a header cannot be sent. The message does
                not repeat it.
        """
        self._what = f"{request.method} {request.target.partition('?')[0]}"
        if not self.is_idle:
            raise LocalProtocolError(f"{self._what[:200]!r}: expected an idle connection")
        self._room = size
        self._out += written(self._h11, request)

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        out, self._out = self._out, b""
        return out

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        if self._is_ended:
            return
        self._is_ended = not data
        try:
            self._h11.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise self._broken(error) from None

    def next_head(self) -> HttpResponse | NeedData:
        """Status and headers of the answer, without a body, or `NEED_DATA`.

        Raises:
            ConnectionLost: The connection ended before that.
            RemoteProtocolError: The answer is not HTTP.
        """
        event = self._next()
        while isinstance(event, h11.InformationalResponse):
            event = self._next()
        if isinstance(event, h11.Response):
            return HttpResponse(event.status_code, decoded(event.headers))
        return NEED_DATA

    def next_piece(self) -> bytes | NeedData:
        """The next bytes of the body, as they came; empty at its end; or `NEED_DATA`.

        Raises:
            ConnectionLost: The connection ended before the body did.
            RemoteProtocolError: The answer is not HTTP, or its body is larger than allowed.
        """
        event = self._next()
        if isinstance(event, h11.Data):
            self._room -= len(event.data)
            if self._room < 0:
                raise RemoteProtocolError(f"{self._what}: the body of the answer is larger than allowed")
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
                self._h11.start_next_cycle()
            return b""
        return NEED_DATA

    def _next(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise self._broken(error) from None

    def _broken(self, error: h11.RemoteProtocolError) -> ConnectionLost | RemoteProtocolError:
        if self._is_ended:
            return ConnectionLost(f"{self._what}: the server ended the connection before its answer was whole")
        return RemoteProtocolError(f"{self._what}: the answer is not HTTP: {shown(str(error))}")
