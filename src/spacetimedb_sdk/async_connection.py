"""The connection for programs that await, on asyncio and on trio."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar, cast

import anyio
import anyio.abc
import anyio.lowlevel

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.events import Event, StateChanged
from spacetimedb_transports.anyio import Background, dial, spawn
from spacetimedb_transports.anyio_session import SessionDriver

from .bindings.connection import OpenConnection
from .bindings.engine import Engine
from .bindings.pending import Pending
from .bindings.records import TransactionRecord
from .bindings.streams import Stream
from .bindings.subscription import Subscription
from .bindings.tables import TableHandle
from .bindings.unread import DEFAULT_BUFFER, Overflow, Unread
from .opening import Settings, next_token_async
from .owner import check_process
from .tabular import Rows
from .token_keeper import TokenKeeper

__all__ = ["AsyncPending", "AsyncStream", "Connecting", "Connection", "open_connection"]

T = TypeVar("T")
C_co = TypeVar("C_co", bound="Connection", covariant=True)

HOW_TO_WAIT: Final = "write `async with connect(...) as conn:` or `conn = await connect(...)`"

OpenStream: TypeAlias = Callable[[], Awaitable[anyio.abc.ByteStream]]


class AsyncPending(Pending[T], Coroutine[Any, Any, T]):
    """An outcome to come. Await it, once or often; a call that is not awaited runs all the same.

    It is a coroutine, too, so that what wants one takes it: `asyncio.create_task(conn.reducers.say("hello"))`,
    `nursery.start_soon(conn.reducers.say, "hello")`. Cancelling such a task ends the wait, not the call.
    """

    _task: Coroutine[Any, Any, T] | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()

    def send(self, value: Any, /) -> Any:
        """Go on waiting; for the event loop, when this is what a task runs."""
        return self._waited().send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None, /) -> Any:
        """Interrupt the wait; for the event loop, when this is what a task runs."""
        error = typ if val is None else val
        return self._waited().throw(error if tb is None else error.with_traceback(tb))

    def close(self) -> None:
        """Wait no more; for the event loop, when this is what a task runs. The call goes on."""
        if self._task is not None:
            self._task.close()

    def _waited(self) -> Coroutine[Any, Any, T]:
        if self._task is None:
            self._task = self._wait()
        return self._task

    async def _wait(self) -> T:
        if self.done():
            await anyio.lowlevel.checkpoint()
            return self.result()
        finished = anyio.Event()

        def wake(_: Pending[T]) -> None:
            finished.set()

        self.add_done_callback(wake)
        try:
            await finished.wait()
        except BaseException:
            self.abandon(wake)
            raise
        return self.result()


class AsyncStream(Stream[T], AsyncIterator[T]):
    """A stream to read with `async for`. It records until it is closed, or until nobody holds it any more."""

    _news: anyio.Event | None = None

    async def __anext__(self) -> T:
        """The next item, as soon as there is one.

        Raises:
            SpacetimeDBError: What ended the stream: `StreamOverflow`, or the end of the connection.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                item = self.next_nowait()
            except StopIteration:
                raise StopAsyncIteration from None
            if item is not None:
                return item
            if self._news is None:  # others may be waiting, too: each item is one reader's
                self._news = anyio.Event()
            await self._news.wait()

    async def aclose(self) -> None:
        """Stop recording."""
        self.close()
        await anyio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> bool:
        news, self._news = self._news, None
        if news is not None:
            news.set()
        return news is not None


def _nobody(_error: Exception, _what: str) -> None:
    """Whoever opens a connection always claims the outcome."""


class _Host:
    """What the engine needs of an event loop."""

    few = 8  # what takes about as long as the look at the clock that follows

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self._process = os.getpid()
        self._thread = threading.get_ident()

    def now(self) -> float:
        return anyio.current_time()

    def check_caller(self) -> None:
        check_process(self._process)
        if threading.get_ident() != self._thread:
            raise LocalProtocolError(
                "expected a caller in the thread of the connection's event loop, got one in another thread: go there "
                "by anyio.from_thread.run_sync() or loop.call_soon_threadsafe(), or use spacetimedb_sdk.blocking"
            )

    def outcome(self, pending: Pending[Any], timeout: float | None) -> Any:  # noqa: ARG002 - nobody waits here
        return pending

    def table(self, engine: Engine, name: str) -> TableHandle:
        return TableHandle(engine, name)

    def pending(self, what: str, report: Callable[[Exception, str], None]) -> AsyncPending[Any]:
        return AsyncPending(what, report)

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None], unread: Unread[Any]) -> AsyncStream[Any]:
        return AsyncStream(what, unregister, unread)


class Connection(OpenConnection):
    """A connection to one database. Made by `connect()`.

    Attributes:
        db: The tables and views: `conn.db.message`, or `conn.db["any name"]`.
        reducers: The reducers: `await conn.reducers.send_message("hello")`.
        procedures: The procedures: `total = await conn.procedures.add(1, 2)`.
        types: The module's named types as Python classes.
    """

    def __init__(self, core: DurableConnection, keeper: TokenKeeper, open_stream: OpenStream) -> None:
        super().__init__(core, keeper, _Host(self.wake), AsyncPending("connect", _nobody))
        self._driver = SessionDriver(core, open_stream=open_stream, ask_token=self._ask_token, on_event=self._on_event)
        self._background: Background | None = None

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, *queries: str, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of some queries, now and from now on: `sub = await conn.subscribe("SELECT * FROM user")`.

        The request is sent at once, or as soon as there is a connection again. Awaiting it waits until its rows are in
        the cache, and returns the subscription; cancelling that takes the subscription back.

        Args:
            queries: SQL.
            cache: What to keep of the rows. `"full"` is a copy of each. For who only follows changes, `"keys"` keeps
                their primary keys, so that overlapping subscriptions tell each row once, and `"none"` keeps nothing.
            timeout: Seconds until a subscription without rows fails and is taken back; None waits for ever.

        Raises:
            SubscriptionError: When awaited: the server refused it. Other subscriptions live on.
            ConnectionLost: The connection is over.
            LocalProtocolError: There is no query, no such policy, or v1 was chosen, which needs `"full"`.
        """
        return self._subscribe(queries, cache, timeout)

    def subscribe_to_all_tables(self, *, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of every table and view that is public, one query each. Arguments and errors as `subscribe`.

        Views with parameters are left out, and event tables on v1, which tells of no events.
        """
        return self.subscribe(*self._all_tables(), cache=cache, timeout=timeout)

    def query(self, query: str, *, timeout: float | None = None) -> AsyncPending[Rows[Any]]:
        """Ask for the rows of one query, once: `rows = await conn.query("SELECT * FROM user")`. Never cached.

        Args:
            query: SQL.
            timeout: Seconds until it fails with `CallTimeout`; None waits for ever.

        Raises:
            QueryError: When awaited: the server refused it.
            ConnectionLost: There is no connection, or it is over.
        """
        return self._query(query, timeout)  # type: ignore[return-value]

    # --- listening ----------------------------------------------------------------------------------------------------

    def transactions(
        self, *, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error"
    ) -> AsyncStream[TransactionRecord]:
        """Record every change of the cache from now on: `async for tx in conn.transactions(): tx.event, tx.changes`.

        Args:
            buffer: Transactions that the consumer may be behind.
            overflow: What happens when it is further behind. `"error"`: the stream ends with `StreamOverflow` after
                what was recorded. `"drop_old"`: the oldest transaction is dropped. `"coalesce"`: transactions are
                merged into one record of their net effect, with the last one's event and all rows of event tables.

        Raises:
            ConnectionLost: The connection is over.
            LocalProtocolError: There is no such buffer or overflow.
        """
        return self._bindings.record(buffer, overflow)  # type: ignore[return-value]

    def states(self) -> AsyncStream[StateChanged]:
        """Record where the connection stands, from now on. The stream ends with the connection."""
        return self._record_states()  # type: ignore[return-value]

    # --- closing ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connection and wait until it is closed. What was cached stays readable. Twice is harmless.

        Raises:
            LocalProtocolError: This is another thread than that of the connection's event loop, or another process.
        """
        self._host.check_caller()
        self._core.close()
        if self._background is not None:
            self.wake()
            await self._background.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Also when the block was cancelled: the server's answer to a Close is short, and has a deadline of its own.
        with anyio.CancelScope(shield=True), suppress(*(() if exc is None else (LocalProtocolError,))):
            await self.aclose()  # a complaint about the caller would hide what is being raised

    # --- driving ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Run until the server has said who the client is.

        Raises:
            ConnectError: There is no server, or it refused.
        """
        self._background = spawn(self._driver.run, "spacetimedb connection")
        try:
            await cast("AsyncPending[Connection]", self._opened)
        except BaseException:
            self._background.cancel()
            with anyio.CancelScope(shield=True):
                await self._background.wait()
            raise

    def wake(self) -> None:
        """Say that something may have to be sent."""
        self._driver.wake()

    async def _ask_token(self) -> str | None:
        return await next_token_async(self._core, self._keeper)

    def _on_event(self, event: Event | Burst) -> Any:
        outcome = super()._on_event(event)
        if self._engine is not None:
            self._driver.on_event = self._engine.handle
        return outcome

    def _last_received(self) -> float | None:
        return self._driver.last_received


class Connecting(Generic[C_co]):
    """What `connect()` returns: use it with `async with`, or await it for a connection to close by hand.

    Until then nothing has been opened. What is never used warns of that, as a coroutine does.
    """

    _is_used = False

    def __init__(self, open_connection: Callable[[], Awaitable[C_co]]) -> None:
        self._open = open_connection
        self._connection: C_co | None = None

    def __await__(self) -> Generator[Any, Any, C_co]:
        self._is_used = True
        return self._open().__await__()

    async def __aenter__(self) -> C_co:
        self._is_used = True
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None
        await self._connection.__aexit__(exc_type, exc, traceback)

    if not TYPE_CHECKING:  # to a type checker it would be a promise of every attribute

        def __getattr__(self, name: str) -> Any:
            text = f"{type(self).__name__!r} object has no attribute {name!r}; {HOW_TO_WAIT}"
            raise AttributeError(text, name=name, obj=self)

    def __del__(self) -> None:
        if not (self._is_used or sys.is_finalizing()):
            warnings.warn(f"connect() was never awaited: {HOW_TO_WAIT}", RuntimeWarning, stacklevel=2, source=self)


async def open_connection(settings: Settings) -> Connection:
    """Open a connection: what awaiting `connect()` does."""
    core = settings.core(now=anyio.current_time())
    connection = Connection(core, settings.keeper(), partial(dial, core.endpoint, ssl=settings.ssl))
    await connection.open()
    return connection
