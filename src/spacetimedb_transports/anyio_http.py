"""HTTP requests on asyncio and trio: some links to one server, used again and again.

What is asked and what answers mean is the core's business (`spacetimedb_proto.http_api`). Nothing here repeats a
request. Importing this module imports neither trio nor a running loop.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable
from typing import TypeVar

import anyio
import attrs
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

from spacetimedb_proto.errors import ConnectError, ConnectionLost, RemoteProtocolError
from spacetimedb_proto.events import NEED_DATA, NeedData
from spacetimedb_proto.http import HttpRequest, HttpResponse
from spacetimedb_proto.http_connection import HttpConnection
from spacetimedb_proto.http_proxy import Route

from .anyio import CHUNK, Dial, close_stream, dial
from .asyncio_stream import AsyncioStream
from .http_links import ENDLESS, Progress, Spares, Unanswered, has_news

__all__ = ["AsyncHttpLinks", "AsyncHttpStream"]

T = TypeVar("T")


class _Link:
    """One open connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._connection = HttpConnection()
        self._fault: Exception | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        if not self._connection.is_idle or self._fault is not None:
            return False
        if isinstance(self._stream, AsyncioStream):
            return not self._stream.has_news
        raw = self._stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - anyio's, not Django's
        return raw is None or not has_news(raw)

    async def ask(self, request: HttpRequest, size: int) -> HttpResponse:
        """Send a request, and wait for the head of its answer."""
        self._connection.send(request, size=size)
        try:
            await self._stream.send(self._connection.data_to_send())
        except Exception as error:  # the answer may have come all the same, as when the body is refused for its size
            self._fault = error
        return await self._next(self._connection.next_head)

    async def piece(self) -> bytes:
        """Wait for the next bytes of the body; empty at its end."""
        return await self._next(self._connection.next_piece)

    async def body(self) -> bytes:
        """Wait for the whole body."""
        pieces: list[bytes] = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        """Close in any case: also when cancelled, when broken, and when the peer does not take part."""
        await close_stream(self._stream)

    async def _next(self, take: Callable[[], T | NeedData]) -> T:
        try:
            while (taken := take()) is NEED_DATA:
                self._connection.receive_data(await self._received())
        except ConnectionLost as error:
            raise error from self._fault
        return taken

    async def _received(self) -> bytes:
        try:
            return await self._stream.receive(CHUNK)
        except anyio.EndOfStream:
            return b""
        except Exception as error:
            self._fault = self._fault or error
            return b""


class AsyncHttpStream:
    """The body of an answer, read while it comes.

    Attributes:
        head: The answer without its body.
    """

    def __init__(self, link: _Link, head: HttpResponse) -> None:
        self._link = link
        self.head = head

    async def read(self) -> bytes:
        """Wait for the next bytes; empty when there are no more.

        Raises:
            ConnectionLost: The connection ended before the body did.
            RemoteProtocolError: It is not HTTP.
        """
        return await self._link.piece()

    async def aclose(self) -> None:
        """Close the connection. Twice does no harm."""
        await self._link.close()


class AsyncHttpLinks:
    """Links to one server. All of them belong to one event loop.

    Args:
        route: The way to the server.
        ssl: How to check its certificate; None trusts what the system trusts.
        limit: Requests under way at once; others wait for their turn.
        size: Bytes that an answer may have.
        dial: How streams are opened.
    """

    def __init__(
        self, route: Route, *, ssl: tls.SSLContext | None = None, limit: int = 10, size: int, dial: Dial = dial
    ) -> None:
        self._route = route
        self._ssl = ssl
        self._limit = limit
        self._size = size
        self._dial = dial
        self._spares: Spares[_Link] = Spares()
        self._turns: anyio.Semaphore | None = None  # made in the loop
        self._where = f"{route.endpoint.host}:{route.endpoint.port}"

    async def exchange(self, request: HttpRequest, *, time: float, fresh: bool = False) -> HttpResponse | Unanswered:
        """Send a request and wait for the whole answer.

        Args:
            request: What to ask.
            time: Seconds for all of it, waiting for a turn included.
            fresh: Whether it must be on a new link.

        Raises:
            LocalProtocolError: It cannot be sent.
        """
        progress = Progress()
        try:
            with anyio.fail_after(time):
                if self._turns is None:
                    self._turns = anyio.Semaphore(self._limit)
                async with self._turns:
                    return await self._exchange(request, progress, fresh=fresh)
        except TimeoutError:
            return progress.failed(f"no answer from {self._where} for {time:g} s", is_timeout=True)
        except (ConnectError, ConnectionLost, RemoteProtocolError) as error:
            return progress.failed(str(error), error)

    async def open(self, request: HttpRequest, *, time: float) -> AsyncHttpStream | HttpResponse | Unanswered:
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
            with anyio.fail_after(time):
                return await self._open(request, progress)
        except TimeoutError:
            return progress.failed(f"no answer from {self._where} for {time:g} s", is_timeout=True)
        except (ConnectError, ConnectionLost, RemoteProtocolError) as error:
            return progress.failed(str(error), error)

    async def aclose(self) -> None:
        """Close the idle links."""
        await _close_all(self._spares.clear())

    async def _exchange(self, request: HttpRequest, progress: Progress, *, fresh: bool) -> HttpResponse:
        link = None if fresh else await self._spare()
        progress.was_reused = link is not None
        link = link or await self._connect()
        progress.was_sent = True
        try:
            head = await link.ask(self._route.prepared(request), self._size)
            response = attrs.evolve(head, body=await link.body())
            is_kept = link.is_usable
        except BaseException:
            await link.close()
            raise
        if is_kept:
            self._spares.put(link, anyio.current_time())
        else:
            await link.close()
        return response

    async def _open(self, request: HttpRequest, progress: Progress) -> AsyncHttpStream | HttpResponse:
        link = await self._connect()
        progress.was_sent = True
        try:
            head = await link.ask(self._route.prepared(request), ENDLESS)
            if head.status == 200:
                return AsyncHttpStream(link, head)
            response = attrs.evolve(head, body=await link.body())
        except BaseException:
            await link.close()
            raise
        await link.close()
        return response

    async def _spare(self) -> _Link | None:
        while True:
            link, old = self._spares.take(anyio.current_time())
            await _close_all(old)
            if link is None or link.is_usable:
                return link
            await link.close()

    async def _connect(self) -> _Link:
        endpoint = self._route.endpoint
        if endpoint.is_tls and self._ssl is None:
            self._ssl = tls.create_default_context()  # once, since it takes some tens of milliseconds
        if self._route.proxy is None:
            return _Link(await self._dial(endpoint, ssl=self._ssl))
        stream = await self._dial(self._route.first)
        try:
            return _Link(await self._through(stream))
        except BaseException as error:
            await close_stream(stream)
            if isinstance(error, OSError | anyio.BrokenResourceError | anyio.EndOfStream):
                raise ConnectError(f"cannot connect to {self._where} through the proxy: {error}") from error
            raise

    async def _through(self, stream: ByteStream) -> ByteStream:
        tunnel = self._route.tunnel()
        if tunnel is None:
            return stream
        await stream.send(tunnel.data_to_send())
        while tunnel.next_event() is NEED_DATA:
            try:
                tunnel.receive_data(await stream.receive(CHUNK))
            except anyio.EndOfStream:
                tunnel.receive_data(b"")
        name = self._route.endpoint.host.rstrip(".")
        return await TLSStream.wrap(stream, hostname=name, ssl_context=self._ssl, standard_compatible=False)


async def _close_all(links: list[_Link]) -> None:
    for link in links:
        await link.close()
