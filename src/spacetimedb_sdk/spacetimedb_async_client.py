"""The client of 0.7 for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from spacetimedb_proto.errors import ReducerError, SpacetimeDBError
from spacetimedb_proto.events import Disconnected

from .async_connection import Connection
from .bindings.context import Context
from .compat.arguments import also_called
from .compat.driven import SpacetimeDBClient, uri_of
from .compat.notices import deprecated
from .compat.values import Address, Identity, ReducerEvent, TransactionUpdateMessage
from .connecting import connect

__all__ = ["SpacetimeDBAsyncClient", "SpacetimeDBException"]

deprecated("spacetimedb_async_client", "`async with spacetimedb_sdk.connect(...)`")


class SpacetimeDBException(SpacetimeDBError):  # noqa: N818 - the name is 0.7's
    """The connection could not be made or was lost, or an answer did not come in time."""


class _Client(SpacetimeDBClient):
    """The client underneath, which an event loop drives."""

    def __init__(self, autogen_package: ModuleType) -> None:
        super().__init__(autogen_package)
        self.over: asyncio.Future[None] | None = None

    def join(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop, on its thread."""
        self._thread = threading.get_ident()
        self._wake = lambda: loop.call_soon_threadsafe(self._look)
        self.over = loop.create_future()

    def open(self, conn: Connection) -> None:
        """Listen to an open connection."""
        self._attach(conn)
        conn.on_disconnect(self._disconnected)

    def end(self, error: Exception | None = None) -> None:
        """Have whoever waits go on."""
        if self.over is None or self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
            self.over.exception()  # who does without run() does not ask, and need not be told so in the log

    def _look(self) -> None:
        self._do_posted()
        if self._failures:
            self.end(self._failures.popleft())

    def _disconnected(self, context: Context) -> None:
        event = context.event
        assert isinstance(event, Disconnected)
        error = SpacetimeDBException(event.reason or str(event.error or "the connection was closed"))
        error.__cause__ = event.error
        self.end(error)


class SpacetimeDBAsyncClient:
    """A connection that runs until it is closed, with callbacks registered beforehand.

    What a callback raises ends `run()`.

    Attributes:
        client: The client that generated packages use.
        identity: Who this client is; None before it is connected.
        address: Its connection; None before it is connected.
        is_connected: Whether it has been connected.
        is_closing: Whether it is to be closed.
        request_timeout: Seconds that `call_reducer` waits.
    """

    request_timeout: float = 5

    def __init__(self, autogen_package: ModuleType) -> None:
        self.client = _Client(autogen_package)
        self.identity: Identity | None = None
        self.address: Address | None = None
        self.is_connected = False
        self.is_closing = False
        self._conn: Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []
        self._timers: set[asyncio.TimerHandle] = set()

    def schedule_event(self, delay_secs: float, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` after so many seconds, counted from `run()` on if that has not begun.

        What it raises is logged by the event loop. Closing the client cancels what has not been called.
        """
        if self._loop is None:
            self._scheduled.append((delay_secs, callback, args))
            return

        def fire() -> None:
            self._timers.discard(timer)
            callback(*args)

        timer = self._loop.call_later(delay_secs, fire)
        self._timers.add(timer)

    def register_on_subscription_applied(self, callback: Callable[[], object]) -> None:
        """Call `callback()` whenever the rows of new queries are in the cache."""
        self.client.register_on_subscription_applied(callback)

    on_subscription_applied = register_on_subscription_applied

    def subscribe(self, queries: Sequence[str]) -> None:
        """Ask for the rows of these queries, instead of those asked for before."""
        self.client.subscribe(queries)

    def force_close(self) -> None:
        """Have `run()` close the connection and return. Any thread may say so."""
        self.is_closing = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.client.end)

    @also_called(host="host_name", address_or_name="module_address", subscription_queries="queries")
    async def run(
        self,
        auth_token: str | None,
        host_name: str,
        module_address: str,
        ssl_enabled: bool,
        on_connect: Callable[[str, Identity], object] | None,
        queries: Sequence[str] = (),
    ) -> None:
        """Connect, and run until the connection is closed.

        Args:
            auth_token: The token to connect with; None for a new identity.
            host_name: Name and port of the server.
            module_address: The database.
            ssl_enabled: Whether the server has TLS.
            on_connect: Called with the token to come back with and the identity, before any row.
            queries: What to subscribe to.

        Raises:
            SpacetimeDBException: The connection could not be made, or was lost.
            SpacetimeDBError: The server refused the queries.
            Exception: What a callback raised.
        """
        token, identity = await self.connect(auth_token, host_name, module_address, ssl_enabled, queries)
        try:
            if on_connect is not None:
                on_connect(token, identity)
            if self.is_closing:
                self.client.end()
            assert self.client.over is not None
            await self.client.over
        finally:
            await self.close()

    @also_called(host="host_name", address_or_name="module_address", subscription_queries="queries")
    async def connect(
        self,
        auth_token: str | None,
        host_name: str,
        module_address: str,
        ssl_enabled: bool,
        queries: Sequence[str] = (),
    ) -> tuple[str, Identity]:
        """Connect, for programs that do without `run()`; arguments as there.

        Returns:
            The token to come back with, and the identity.

        Raises:
            SpacetimeDBException: The connection could not be made.
        """
        self._begin(asyncio.get_running_loop())
        uri = uri_of(host_name, ssl_enabled=ssl_enabled)
        protocols = self.client.protocols
        try:
            conn = await connect(uri, module_address, token=auth_token or None, protocols=protocols, reconnect=None)
        except SpacetimeDBError as error:
            raise SpacetimeDBException(str(error)) from error
        self._conn = conn
        self.client.open(conn)
        self.is_connected = True
        self.identity, self.address = self.client.identity, self.client.address
        self.client.subscribe(queries)
        assert self.identity is not None
        return conn.token, self.identity

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.client.join(loop)
        scheduled, self._scheduled = self._scheduled, []
        for delay, callback, args in scheduled:
            self.schedule_event(delay, callback, *args)

    async def call_reducer(self, reducer_name: str, *reducer_args: Any) -> TransactionUpdateMessage:
        """Call a reducer and wait for its outcome, for programs that do without `run()`.

        Returns:
            The outcome, whose `status` says whether it committed.

        Raises:
            SpacetimeDBException: No outcome came in time, or the connection was lost.
        """
        pending = self.client._reducer_call(reducer_name, *reducer_args)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as packages do
        identity, address, status, message = self.identity, self.address, "committed", ""
        try:
            await asyncio.wait_for(_waited(pending), self.request_timeout)
        except ReducerError as error:
            status, message = "failed", str(error)
        except TimeoutError:
            raise SpacetimeDBException(f"reducer {reducer_name}: no outcome came in time") from None
        except SpacetimeDBError as error:
            raise SpacetimeDBException(str(error)) from error
        event = ReducerEvent(identity, address, reducer_name, status, message, reducer_args)
        return TransactionUpdateMessage(event, {})

    async def close(self) -> None:
        """Close the connection and wait until it is closed. Twice is harmless."""
        self.is_closing = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._conn is not None:
            async with self._conn:
                pass


async def _waited(pending: Any) -> Any:
    return await pending
