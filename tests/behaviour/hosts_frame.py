"""The frame host behind the face of the async one: whoever waits draws frames."""

from __future__ import annotations

from typing import Any

import anyio

import spacetimedb_sdk.frame
from spacetimedb_sdk import SpacetimeDBError
from spacetimedb_sdk.bindings.pending import Pending
from spacetimedb_sdk.frame import FrameStream

from .hosts import Host

FRAME = 0.001
"""Seconds between two frames in which there was nothing to do."""


class FrameHost(Host):
    """A frame loop that drives all connections of a test, as a game with several would."""

    name = "frame"
    lacks = frozenset({"async token"})
    loops = ("asyncio",)  # the waiting between frames is the suite's, not the host's

    def __init__(self) -> None:
        self.connections: list[spacetimedb_sdk.frame.Connection] = []

    def connect(self, uri: str, database: str, **options: Any) -> FrameConnecting:
        return FrameConnecting(self, uri, database, options)

    async def frame(self) -> None:
        """One frame. What ends a session is told to those who wait, too."""
        is_more = False
        for conn in list(self.connections):
            try:
                is_more = conn.frame_tick() or is_more
            except SpacetimeDBError:
                assert conn.is_closed
            if conn.is_closed:
                self.connections.remove(conn)
        await anyio.sleep(0 if is_more else FRAME)


class FrameConnecting:
    """What `connect()` returns: to be awaited, or used with `async with`."""

    def __init__(self, host: FrameHost, uri: str, database: str, options: dict[str, Any]) -> None:
        self._host, self._args, self._options = host, (uri, database), options

    async def _open(self) -> FrameClient:
        conn = spacetimedb_sdk.frame.connect(*self._args, **self._options)
        conn._host = FrameBindings(self._host, conn._host)
        self._host.connections.append(conn)
        while not conn.opened.done():
            await self._host.frame()
        conn.opened.result()
        return FrameClient(self._host, conn)

    def __await__(self):
        return self._open().__await__()

    async def __aenter__(self) -> FrameClient:
        self._client = await self._open()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._client.aclose()


class FrameClient:
    """A connection in a frame loop, which the suite closes by waiting."""

    def __init__(self, host: FrameHost, conn: spacetimedb_sdk.frame.Connection) -> None:
        self._host, self._conn = host, conn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def __repr__(self) -> str:
        return repr(self._conn)

    async def aclose(self) -> None:
        self._conn.close()
        while not self._conn.is_closed:
            await self._host.frame()


class FrameBindings:
    """The host's part of the bindings, but for outcomes and streams, which can be awaited here."""

    def __init__(self, host: FrameHost, inner: Any) -> None:
        self._host, self._inner = host, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def pending(self, what, report):
        return FramePending(what, report, self._host)

    def stream(self, what, unregister, unread):
        stream = AwaitedStream(what, unregister, unread)
        stream.host = self._host
        return stream


class FramePending(Pending[Any]):
    """An outcome; awaiting it draws frames."""

    def __init__(self, what, report, host):
        super().__init__(what, report)
        self._host = host

    def __await__(self):
        return self._wait().__await__()

    async def _wait(self):
        def finished(_):
            pass

        self.add_done_callback(finished)  # so that a failure is claimed, and unclaimed again if nobody waits any more
        try:
            while not self.done():
                await self._host.frame()
        except BaseException:
            self.abandon(finished)
            raise
        return self.result()


class AwaitedStream(FrameStream[Any]):
    """A stream; waiting for its next item draws frames."""

    host: FrameHost

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            try:
                item = self.next_nowait()
            except StopIteration:
                raise StopAsyncIteration from None
            if item is not None:
                return item
            await self.host.frame()

    async def aclose(self):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()
