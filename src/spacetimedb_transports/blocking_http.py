"""HTTP requests on blocking sockets: some links to one server, used again and again, by any number of threads.

What is asked and what answers mean is the core's business (`spacetimedb_proto.http_api`). Nothing here repeats a
request. Importing this module imports no event loop.
"""

from __future__ import annotations

import socket
import ssl as tls
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, TypeVar

import attrs

from spacetimedb_proto.errors import ConnectError, ConnectionLost, RemoteProtocolError
from spacetimedb_proto.events import NEED_DATA, NeedData
from spacetimedb_proto.http import HttpRequest, HttpResponse
from spacetimedb_proto.http_connection import HttpConnection
from spacetimedb_proto.http_proxy import Route

from .http_links import ENDLESS, Progress, Spares, Unanswered, has_news

__all__ = ["BlockingHttpLinks", "BlockingHttpStream"]

T = TypeVar("T")

CHUNK: Final = 256 * 1024
"""Bytes asked for at once."""


class _Deadline:
    """When a request must be done.

    Attributes:
        seconds: For how long it may take as a whole; None for ever.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._until = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        if self._until is None:
            return None
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Link:
    """One open connection."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._connection = HttpConnection()
        self._fault: OSError | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self._connection.is_idle and self._fault is None and not has_news(self._socket)

    def ask(self, request: HttpRequest, size: int, deadline: _Deadline) -> HttpResponse:
        """Send a request, and wait for the head of its answer."""
        self._connection.send(request, size=size)
        try:
            self._socket.settimeout(deadline.left())
            self._socket.sendall(self._connection.data_to_send())
        except TimeoutError:
            raise
        except OSError as error:  # the answer may have come all the same, as when the body is refused for its size
            self._fault = error
        return self._next(self._connection.next_head, deadline)

    def piece(self, deadline: _Deadline) -> bytes:
        """Wait for the next bytes of the body; empty at its end."""
        return self._next(self._connection.next_piece, deadline)

    def body(self, deadline: _Deadline) -> bytes:
        """Wait for the whole body."""
        pieces: list[bytes] = []
        while piece := self.piece(deadline):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close. A thread that waits for bytes is told that no more will come."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's own, which is not for another thread
        self._socket.close()

    def _next(self, take: Callable[[], T | NeedData], deadline: _Deadline) -> T:
        try:
            while (taken := take()) is NEED_DATA:
                self._connection.receive_data(self._received(deadline))
        except ConnectionLost as error:
            raise error from self._fault
        return taken

    def _received(self, deadline: _Deadline) -> bytes:
        try:
            self._socket.settimeout(deadline.left())
            return self._socket.recv(CHUNK)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:  # ValueError where TLS was closed meanwhile
            self._fault = self._fault or (error if isinstance(error, OSError) else None)
            return b""


class BlockingHttpStream:
    """The body of an answer, read while it comes.

    Attributes:
        head: The answer without its body.
    """

    def __init__(self, link: _Link, head: HttpResponse) -> None:
        self._link = link
        self.head = head

    def read(self) -> bytes:
        """Wait for the next bytes; empty when there are no more.

        Raises:
            ConnectionLost: The connection ended before the body did.
            RemoteProtocolError: It is not HTTP.
        """
        return self._link.piece(_Deadline(None))

    def close(self) -> None:
        """Close the connection, also while another thread reads. Twice does no harm."""
        self._link.close()


class BlockingHttpLinks:
    """Links to one server.

    Args:
        route: The way to the server.
        ssl: How to check its certificate; None trusts what the system trusts.
        limit: Requests under way at once; other threads wait for their turn.
        size: Bytes that an answer may have.
    """

    def __init__(self, route: Route, *, ssl: tls.SSLContext | None = None, limit: int = 10, size: int) -> None:
        self._route = route
        self._ssl = ssl
        self._size = size
        self._spares: Spares[_Link] = Spares()
        self._turns = threading.BoundedSemaphore(limit)
        self._where = f"{route.endpoint.host}:{route.endpoint.port}"

    def exchange(self, request: HttpRequest, *, time: float, fresh: bool = False) -> HttpResponse | Unanswered:
        """Send a request and wait for the whole answer.

        Args:
            request: What to ask.
            time: Seconds for all of it, waiting for a turn included, though not for the system's name lookup.
            fresh: Whether it must be on a new link.

        Raises:
            LocalProtocolError: It cannot be sent.
        """
        progress, deadline = Progress(), _Deadline(time)
        if not self._turns.acquire(timeout=max(time, 0)):
            return progress.failed(f"no turn to ask {self._where} for {time:g} s", is_timeout=True)
        try:
            return self._exchange(request, progress, deadline, fresh=fresh)
        except TimeoutError:
            return progress.failed(f"no answer from {self._where} for {time:g} s", is_timeout=True)
        except (ConnectError, ConnectionLost, RemoteProtocolError) as error:
            return progress.failed(str(error), error)
        finally:
            self._turns.release()

    def open(self, request: HttpRequest, *, time: float) -> BlockingHttpStream | HttpResponse | Unanswered:
        """Send a request on a link of its own, and wait for the head of the answer, whose body is then read at will.

        An answer of another status than 200 is read as a whole.

        Args:
            request: What to ask.
            time: Seconds for all of that.

        Raises:
            LocalProtocolError: It cannot be sent.
        """
        progress = Progress()
        try:
            return self._open(request, progress, _Deadline(time))
        except TimeoutError:
            return progress.failed(f"no answer from {self._where} for {time:g} s", is_timeout=True)
        except (ConnectError, ConnectionLost, RemoteProtocolError) as error:
            return progress.failed(str(error), error)

    def close(self) -> None:
        """Close the idle links."""
        for link in self._spares.clear():
            link.close()

    def _exchange(self, request: HttpRequest, progress: Progress, deadline: _Deadline, *, fresh: bool) -> HttpResponse:
        link = None if fresh else self._spare()
        progress.was_reused = link is not None
        link = link or self._connect(deadline)
        progress.was_sent = True
        try:
            head = link.ask(self._route.prepared(request), self._size, deadline)
            response = attrs.evolve(head, body=link.body(deadline))
            is_kept = link.is_usable
        except BaseException:
            link.close()
            raise
        if is_kept:
            self._spares.put(link, monotonic())
        else:
            link.close()
        return response

    def _open(self, request: HttpRequest, progress: Progress, deadline: _Deadline) -> BlockingHttpStream | HttpResponse:
        link = self._connect(deadline)
        progress.was_sent = True
        try:
            head = link.ask(self._route.prepared(request), ENDLESS, deadline)
            if head.status == 200:
                return BlockingHttpStream(link, head)
            response = attrs.evolve(head, body=link.body(deadline))
        except BaseException:
            link.close()
            raise
        link.close()
        return response

    def _spare(self) -> _Link | None:
        while True:
            link, old = self._spares.take(monotonic())
            for each in old:
                each.close()
            if link is None or link.is_usable:
                return link
            link.close()

    def _connect(self, deadline: _Deadline) -> _Link:
        if self._ssl is not None and not self._route.endpoint.is_tls:
            raise ConnectError(f"an SSL context was given: expected wss:// or https://, got {self._route.endpoint}")
        try:
            return _Link(self._opened(deadline))
        except TimeoutError as error:
            raise ConnectError(f"cannot connect to {self._where}: no answer for {deadline.seconds:g} s") from error
        except tls.SSLError as error:
            raise ConnectError(f"cannot connect to {self._where} with TLS: {error}") from error
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be looked up or sent
            raise ConnectError(f"cannot connect to {self._where}: {error}") from error

    def _opened(self, deadline: _Deadline) -> socket.socket:
        first = self._route.first
        connected = socket.create_connection((first.host, first.port), timeout=deadline.left())
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._secured(connected, deadline)
        except BaseException:
            connected.close()
            raise

    def _secured(self, connected: socket.socket, deadline: _Deadline) -> socket.socket:
        """Go through the proxy, if there is one, and encrypt, if the server wants that."""
        tunnel = self._route.tunnel()
        if tunnel is not None:
            connected.settimeout(deadline.left())
            connected.sendall(tunnel.data_to_send())
            while tunnel.next_event() is NEED_DATA:
                connected.settimeout(deadline.left())
                tunnel.receive_data(connected.recv(CHUNK))
        if not self._route.endpoint.is_tls:
            return connected
        if self._ssl is None:
            self._ssl = tls.create_default_context()  # once, since it takes some tens of milliseconds
        connected.settimeout(deadline.left())
        return self._ssl.wrap_socket(connected, server_hostname=self._route.endpoint.host.rstrip("."))
