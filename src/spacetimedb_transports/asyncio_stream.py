"""A TCP or TLS stream of asyncio's that reads much at once, for `anyio.py`.

anyio's own streams make an object for each read and stop reading between two of them. Here asyncio reads on into one
piece of memory while nobody looks, and whoever looks gets all of it. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import asyncio
import ipaddress
import mmap
import ssl as tls
from contextlib import suppress
from typing import Final, cast

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

__all__ = ["AsyncioStream", "connect"]

BUFFER: Final = 1024 * 1024
"""Bytes that are read ahead at most. A snapshot of many megabytes takes a sixth less time than with a quarter of it."""

NEXT_ADDRESS_DELAY: Final = 0.25
"""Seconds before the next address of a host is tried beside the last (RFC 8305, 5: the recommended 250 ms)."""


async def connect(host: str, port: int, context: tls.SSLContext | None = None) -> AsyncioStream:
    """Open a connection, with TLS if there is a context. The loop must be asyncio's own.

    Raises:
        OSError: No address of the host could be reached, or TLS failed.
        UnicodeError: No resolver takes such a name.
    """
    loop = asyncio.get_running_loop()
    name = None if context is None else host.rstrip(".")
    # Racing addresses, asyncio loses a socket when it is cancelled in the moment of success; one address needs no race.
    delay = None if _is_address(host) else NEXT_ADDRESS_DELAY
    _, link = await loop.create_connection(
        _Link, host, port, ssl=context, server_hostname=name, happy_eyeballs_delay=delay
    )
    return AsyncioStream(link)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Link(asyncio.BufferedProtocol):
    """What asyncio tells of a connection.

    Attributes:
        came: Set while there are bytes to take, and for good when no more will come.
        may_send: Clear while what was written has not left.
        lost: Set when the connection is over.
        error: Why, if it did not end well.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.may_send = asyncio.Event()
        self.lost = asyncio.Event()
        self.error: Exception | None = None
        # Pages of such memory are taken from the system when they are used, which in a quiet stream is one or two.
        self._memory = memoryview(mmap.mmap(-1, BUFFER))
        self._start = self._stop = 0  # where the bytes to take are
        self._is_ended = False

    def take(self, size: int) -> bytes:
        """Take what came, at most so many bytes; none if no more will come."""
        start, stop = self._start, min(self._stop, self._start + size)
        data = bytes(self._memory[start:stop])
        self._start = stop
        if stop == self._stop:
            self._start = self._stop = 0
            if not self._is_ended:
                self.came.clear()
            if stop == BUFFER:
                self.transport.resume_reading()
        return data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(0)  # what the system has is not lost when the connection is aborted
        self.may_send.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the name is asyncio's
        return self._memory[self._stop :]

    def buffer_updated(self, nbytes: int) -> None:
        self._stop += nbytes
        if self._stop == BUFFER:
            self.transport.pause_reading()
        self.came.set()

    def eof_received(self) -> bool:
        self._end_input()
        # One may send on after the peer has ended its side of a TCP connection, but not after TLS's.
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._end_input()
        self.may_send.set()
        self.lost.set()

    def pause_writing(self) -> None:
        self.may_send.clear()

    def resume_writing(self) -> None:
        self.may_send.set()

    def _end_input(self) -> None:
        self._is_ended = True
        self.came.set()


class AsyncioStream(ByteStream):
    """A connection, for one task that receives and one that sends. Made by `connect`.

    Cancelling a call loses no bytes, but for those that a cancelled `send` has not sent.
    """

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._is_closed = False

    @property
    def has_news(self) -> bool:
        """Whether `receive` would not wait: bytes have come, or the end."""
        return self._link.came.is_set()

    async def receive(self, max_bytes: int = BUFFER) -> bytes:
        """Wait for bytes, and take all that have come, at most `max_bytes`.

        Raises:
            EndOfStream: The peer sends no more.
            BrokenResourceError: The connection broke, for the reason chained.
            ClosedResourceError: This side has closed it.
        """
        if self._link.came.is_set():
            await anyio.lowlevel.checkpoint()
        else:
            await self._link.came.wait()
        self._check_open()
        data = self._link.take(max_bytes)
        if not data:
            self._check_whole()
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Send all bytes; returns when the system has taken them. With TLS asyncio may still hold those of one call.

        Raises:
            BrokenResourceError: The connection broke, for the reason chained.
            ClosedResourceError: This side has closed it.
        """
        await anyio.lowlevel.checkpoint()
        self._check_open()
        self._check_whole()
        if self._link.transport.is_closing():
            raise anyio.BrokenResourceError
        self._link.transport.write(item)
        await self._link.may_send.wait()
        self._check_open()
        self._check_whole()

    async def send_eof(self) -> None:
        """Send no more; receiving goes on.

        Raises:
            NotImplementedError: TLS cannot do that.
        """
        await anyio.lowlevel.checkpoint()
        with suppress(OSError):
            self._link.transport.write_eof()

    async def aclose(self) -> None:
        """Close at once, without TLS's goodbye. What was not received is dropped."""
        self._is_closed = True
        self._link.transport.abort()
        await self._link.lost.wait()

    def _check_open(self) -> None:
        if self._is_closed:
            raise anyio.ClosedResourceError

    def _check_whole(self) -> None:
        if self._link.error is not None:
            raise anyio.BrokenResourceError from self._link.error
