"""The connection for programs that await, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
import anyio.lowlevel

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.errors import ConnectError, SpacetimeDBError
from spacetimedb_proto.events import Connected, Disconnected, Event
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import Schema
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_transports.anyio import Background, Pump, dial, fetch, spawn

from .bindings.context import Context
from .bindings.engine import Engine, TransactionRecord
from .bindings.functions import Procedures, Reducers
from .bindings.listeners import Listener
from .bindings.names import Namespace
from .bindings.pending import Pending
from .bindings.streams import Stream
from .bindings.subscription import Subscription
from .bindings.tables import Db
from .memory import MemoryReport
from .opening import Compression, choose_compression, read_schema

__all__ = ["AsyncPending", "AsyncStream", "Connecting", "Connection", "open_connection"]

T = TypeVar("T")


class AsyncPending(Pending[T]):
    """An outcome to come. Await it, once or often; a call that is not awaited runs all the same."""

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()

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


def _nobody(_error: SpacetimeDBError, _what: str) -> None:
    """Whoever opens a connection always claims the outcome."""


class _Host:
    """What the engine needs of an event loop."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def pending(self, what: str, report: Callable[[SpacetimeDBError, str], None]) -> AsyncPending[Any]:
        return AsyncPending(what, report)

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None]) -> AsyncStream[Any]:
        return AsyncStream(what, unregister)


class Connection:
    """A connection to one database. Made by `connect()`.

    Attributes:
        db: The tables and views: `conn.db.message`, or `conn.db["any name"]`.
        reducers: The reducers: `await conn.reducers.send_message("hello")`.
        procedures: The procedures: `total = await conn.procedures.add(1, 2)`.
        types: The module's named types as Python classes.
    """

    def __init__(self, endpoint: Endpoint, connection: ClientConnection) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._engine: Engine | None = None
        self._pump: Pump[Event] | None = None
        self._background: Background | None = None
        self._opened: AsyncPending[Connection] = AsyncPending("connect", _nobody)

    # --- who and where ------------------------------------------------------------------------------------------------

    @property
    def _bindings(self) -> Engine:
        assert self._engine is not None, "users get a connection only after it has opened"
        return self._engine

    @property
    def schema(self) -> Schema:
        """The module's definition, as the server gave it."""
        return self._bindings.schema

    @property
    def identity(self) -> Identity:
        """Who this client is."""
        identity = self._bindings.session.identity
        assert identity is not None
        return identity

    @property
    def connection_id(self) -> ConnectionId:
        """This connection's id; another one each time."""
        connection_id = self._bindings.session.connection_id
        assert connection_id is not None
        return connection_id

    @property
    def token(self) -> str:
        """The token to come back with as the same identity. Keep it like a password."""
        return self._bindings.session.token or ""

    @property
    def protocol(self) -> str:
        """The WebSocket subprotocol that the server chose."""
        return self._bindings.session.protocol_name

    @property
    def db(self) -> Db:
        """The tables and views."""
        return self._bindings.db

    @property
    def reducers(self) -> Reducers:
        """The reducers that clients may call."""
        return self._bindings.reducers

    @property
    def procedures(self) -> Procedures:
        """The procedures that clients may call."""
        return self._bindings.procedures

    @property
    def types(self) -> Namespace[Any]:
        """The module's named types as Python classes."""
        return self._bindings.types

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, *queries: str, cache: CachePolicy = "full") -> Subscription:
        """Ask for the rows of some queries, now and from now on: `sub = await conn.subscribe("SELECT * FROM user")`.

        The request is sent at once. Awaiting it waits until its rows are in the cache, and returns the subscription;
        cancelling that takes the subscription back.

        Args:
            queries: SQL.
            cache: What to keep of the rows. `"full"` is a copy of each. For who only follows changes, `"keys"` keeps
                their primary keys, so that overlapping subscriptions tell each row once, and `"none"` keeps nothing.

        Raises:
            SubscriptionError: When awaited: the server refused it. Other subscriptions live on.
            ConnectionLost: The connection is over.
            LocalProtocolError: There is no query, no such policy, or v1 was chosen, which needs `"full"`.
        """
        return self._bindings.subscribe(queries, cache=cache)

    def query(self, query: str) -> AsyncPending[list[Any]]:
        """Ask for the rows of one query, once: `rows = await conn.query("SELECT * FROM user")`. Never cached.

        Raises:
            QueryError: When awaited: the server refused it.
            ConnectionLost: The connection is over.
        """
        engine = self._bindings
        engine.check_open("query")
        pending: AsyncPending[list[Any]] = engine.call(f"query {query[:200]}", lambda: engine.session.query(query))  # type: ignore[assignment]
        return pending

    def memory_report(self) -> MemoryReport:
        """What the connection holds in memory now: `print(conn.memory_report())`.

        It takes some ten milliseconds for a million rows, and changes nothing: a first snapshot at which nobody has
        looked stays in one piece.
        """
        session = self._bindings.session
        return MemoryReport(session.cache.memory(), session.backlog)

    # --- listening ----------------------------------------------------------------------------------------------------

    def transactions(self) -> AsyncStream[TransactionRecord]:
        """Record every change of the cache from now on: `async for tx in conn.transactions(): tx.event, tx.changes`."""
        return self._bindings.record()  # type: ignore[return-value]

    def on_error(self, callback: Callable[[Exception, str], object]) -> Listener[Callable[[Exception, str], object]]:
        """Call `callback(error, where)` for errors that nobody else sees. They are logged all the same.

        These are errors raised by callbacks, failures of calls that nobody awaited, and of subscriptions that die.
        """
        return self._bindings.errors.add(callback)

    def on_disconnect(self, callback: Callable[[Context], object]) -> Listener[Callable[[Context], object]]:
        """Call `callback(ctx)` when the connection is over; `ctx.event` is a `Disconnected` with the reason."""
        return self._bindings.disconnects.add(callback)

    # --- closing ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connection and wait until it is closed. What was cached stays readable. Twice is harmless."""
        self._connection.close()
        if self._pump is not None and self._background is not None:
            self._pump.wake()
            await self._background.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Also when the block was cancelled: the server's answer to a Close is short, and has a deadline of its own.
        with anyio.CancelScope(shield=True):
            await self.aclose()

    def __repr__(self) -> str:
        if self._engine is None:
            return f"<connection to {self._endpoint}, opening>"
        return f"<connection to {self._endpoint} as {self.identity}{', over' if self._engine.ended else ''}>"

    # --- driving ------------------------------------------------------------------------------------------------------

    async def open(self, stream: anyio.abc.ByteStream) -> None:
        """Run over this stream until the server has said who the client is.

        Raises:
            ConnectError: The server refused.
        """
        self._pump = Pump(self._connection, stream, self._on_event)
        self._background = spawn(self._pump.run, "spacetimedb connection")
        try:
            await self._opened
        except BaseException:
            self._background.cancel()
            with anyio.CancelScope(shield=True):
                await self._background.wait()
            raise

    def _on_event(self, event: Event) -> bool:
        """Wait for the server's greeting; everything after it is the engine's."""
        if isinstance(event, Connected):
            pump = self._pump
            assert pump is not None
            self._engine = Engine(self._connection.session, _Host(pump.wake))
            pump.on_event = self._engine.handle
            return self._opened.resolve(self)
        if isinstance(event, Disconnected):
            return self._opened.fail(event.error or ConnectError("the connection was closed before it opened"))
        return False


class Connecting(Generic[T]):
    """What `connect()` returns: use it with `async with`, or await it for a connection to close by hand."""

    def __init__(self, open_connection: Callable[[], Awaitable[Connection]]) -> None:
        self._open = open_connection
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, Any, Connection]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None
        await self._connection.__aexit__(exc_type, exc, traceback)


async def open_connection(  # noqa: PLR0913 - the options of `connect()`
    uri: str,
    database: str,
    *,
    token: str | None,
    protocols: Sequence[str],
    compression: Compression | None,
    light: bool,
    confirmed: bool | None,
    limits: Limits | None,
    ssl: SSLContext | None,
) -> Connection:
    """Ask for the schema, then open a connection that is bound to it: what awaiting `connect()` does."""
    endpoint = Endpoint.parse(uri)
    bounds = limits or Limits()
    chosen = choose_compression(endpoint, compression)
    schema = await _fetch_schema(endpoint, database, token, bounds, ssl)
    core = ClientConnection(
        schema,
        endpoint,
        database,
        token=token,
        protocols=protocols,
        compression=chosen,
        light=light,
        confirmed=confirmed,
        limits=bounds,
        now=anyio.current_time(),
    )
    connection = Connection(endpoint, core)
    await connection.open(await dial(endpoint, ssl=ssl))
    return connection


async def _fetch_schema(
    endpoint: Endpoint, database: str, token: str | None, limits: Limits, ssl: SSLContext | None
) -> Schema:
    steps = read_schema(endpoint, database, token, limits)
    exchange = next(steps)
    while True:
        response = await fetch(endpoint, exchange, ssl=ssl)
        try:
            exchange = steps.send(response)
        except StopIteration as finished:
            schema: Schema = finished.value
            return schema
