"""Links without a network, for tests: streams in memory, and two connections joined without any loop.

`pipe` serves what expects a stream (`Pump`); `Link` needs no loop, so a test decides what happens when, byte by byte if
it likes. Nothing here keeps time or knows a protocol.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from spacetimedb_proto.events import NEED_DATA, Disconnected

from .anyio import Driven

__all__ = ["Link", "MemoryStream", "pipe"]

C = TypeVar("C")
S = TypeVar("S")


class _Channel:
    """One direction: bytes on their way, at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = bytearray()
        self._changed = anyio.Event()
        self.is_ended = False  # the sender will send no more
        self.is_broken = False  # the receiver will receive no more

    async def put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            if self.is_broken:
                raise anyio.BrokenResourceError
            room = left[: self._capacity - len(self._bytes)]
            self._bytes += room
            left = left[len(room) :]
            if room:
                self.change()
            if left:
                await self._changed.wait()

    async def take(self, size: int) -> bytes:
        while not self._bytes:
            if self.is_ended:
                raise anyio.EndOfStream
            await self._changed.wait()
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        self.change()
        return taken

    def change(self) -> None:
        """Let whoever waits look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class MemoryStream(ByteStream):
    """One end of a `pipe`."""

    def __init__(self, incoming: _Channel, outgoing: _Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes; at most `max_bytes` of them."""
        await self._check_open()
        return await self._incoming.take(max_bytes)

    async def send(self, item: bytes) -> None:
        """Send all bytes, waiting for room."""
        await self._check_open()
        if self._outgoing.is_ended:
            raise anyio.ClosedResourceError
        await self._outgoing.put(item)

    async def send_eof(self) -> None:
        """Send no more; receiving goes on."""
        self._outgoing.is_ended = True
        self._outgoing.change()
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close both directions: the peer sees the end of what was sent, and can send no more."""
        self._is_closed = True
        self._incoming.is_broken = True
        self._incoming.change()
        await self.send_eof()

    async def _check_open(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self._is_closed:
            raise anyio.ClosedResourceError


def pipe(capacity: int = 1024 * 1024) -> tuple[MemoryStream, MemoryStream]:
    """Two ends of a link in memory. `capacity` bytes fit into each direction; then sending waits."""
    one, other = _Channel(capacity), _Channel(capacity)
    return MemoryStream(one, other), MemoryStream(other, one)


class Link(Generic[C, S]):
    """Joins a client's and a server's connection without a loop.

    Args:
        client: The client's side.
        server: The server's side.
        chunk: Bytes handed over at once; 1 goes byte by byte, None hands over all there is.
    """

    def __init__(self, client: Driven[C], server: Driven[S], *, chunk: int | None = None) -> None:
        self.client = client
        self.server = server
        self._chunk = chunk

    def move(self) -> None:
        """Carry bytes both ways until neither side has more to send. Events wait to be taken."""
        while self._carry(self.client, self.server) or self._carry(self.server, self.client):
            pass

    def client_events(self) -> list[C | Disconnected]:
        """Carry bytes, and take all events of the client. A side that has ended hangs up, which the other then sees."""
        self.move()
        events = _all_events(self.client)
        if any(isinstance(event, Disconnected) for event in events):
            self.move()
            self.server.receive_eof()
        return events

    def server_events(self) -> list[S | Disconnected]:
        """The same for the server."""
        self.move()
        events = _all_events(self.server)
        if any(isinstance(event, Disconnected) for event in events):
            self.move()
            self.client.receive_eof()
        return events

    def cut(self, reason: str = "") -> None:
        """End the link as a pulled cable does: what was not carried is lost, and both sides see the end."""
        self.client.receive_eof(reason)
        self.server.receive_eof(reason)

    def _carry(self, sender: Driven[object], receiver: Driven[object]) -> bool:
        data = sender.data_to_send()
        size = self._chunk or len(data) or 1
        for at in range(0, len(data), size):
            receiver.receive_data(data[at : at + size])
        return bool(data)


def _all_events(side: Driven[C]) -> list[C | Disconnected]:
    events: list[C | Disconnected] = []
    while (event := side.next_event()) is not NEED_DATA:
        events.append(event)
    return events
