"""The connection for frame loops, as games have them: it moves only when it is told to, and never waits.

::

    conn = spacetimedb_sdk.frame.connect("http://127.0.0.1:3000", "arena")


    @conn.on_connect
    def connected(conn):
        conn.subscribe("SELECT * FROM player")


    while running:
        conn.frame_tick(budget=0.004)
        draw(conn.db.player if conn.identity else ())
"""

from __future__ import annotations

import ssl as tls
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar, overload

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.events import Event, StateChanged
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Compression
from spacetimedb_transports.frame import FrameDriver

from .bindings.connection import BaseConnection
from .bindings.listeners import Listener, Listeners
from .bindings.pending import Pending
from .bindings.records import TransactionRecord
from .bindings.subscription import Subscription
from .bindings.unread import DEFAULT_BUFFER, Overflow
from .frame_scripts import FrameHost, FramePending, FrameStream, Script, check_coroutine
from .opening import Settings, next_token_now
from .tabular import Rows
from .token_keeper import TokenKeeper
from .tokens import Token

if TYPE_CHECKING:
    from typing import Unpack

    from .typed import ConnectOptions, FramePackage

__all__ = ["Connection", "FramePending", "FrameStream", "connect"]

T = TypeVar("T")
C = TypeVar("C", bound="Connection")

ConnectCallback: TypeAlias = Callable[["Connection"], object]

GOODBYE_TIME: Final = 1.0
"""Seconds that leaving a `with` block may take, at most."""


class Connection(BaseConnection):
    """A connection to one database, to be driven with `frame_tick`. Made by `connect()`.

    Nothing changes, is sent or is called back between ticks, and everything belongs to the thread that ticks or asks
    first: others are refused with `LocalProtocolError`. So are `db`, `reducers` and the like before the connection is
    open.

    Attributes:
        db: The tables and views: `conn.db.message`, or `conn.db["any name"]`.
        reducers: The reducers: `conn.reducers.send_message("hello")` returns a `Pending`.
        procedures: The procedures, likewise.
        types: The module's named types as Python classes.
    """

    def __init__(
        self,
        core: DurableConnection,
        keeper: TokenKeeper,
        *,
        clock: Callable[[], float],
        ssl: tls.SSLContext | None,
    ) -> None:
        super().__init__(core, keeper, FrameHost(clock), FramePending("connect", self._report))
        self._connects: Listeners[ConnectCallback] = Listeners()
        self._opened.add_done_callback(self._tell_connected)
        self._is_leaving = False
        self._ready: deque[Callable[[], None]] = deque()
        self._scripts: set[Script[Any]] = set()
        self._driver = FrameDriver(core, ask_token=self._ask_token, on_event=self._on_event, clock=clock, ssl=ssl)

    # --- driving ------------------------------------------------------------------------------------------------------

    def frame_tick(self, budget: float = 0.004) -> bool:
        """Receive, call back and send, for so long; to be called once a frame, or as often as there is time.

        It never waits. It takes longer than the budget by one step at most: the first or next 256 rows of a callback,
        some thousand rows on their way into the cache, a message to inflate. What is left is done in the next tick. A
        message changes the cache in one piece, before its first callback; its callbacks may take several ticks.

        Args:
            budget: Seconds, from 0 on. One step is taken even if there are none.

        Returns:
            Whether there is more to do at once.

        Raises:
            SpacetimeDBError: What ended the session, after it was told to everybody else, from this tick on in each. If
                this side closed it, nothing is raised.
            LocalProtocolError: It was called inside a callback, or in another thread than the one that called first.
            TypeError: The budget is no number.
            ValueError: It is less than nothing, or NaN.
        """
        self._host.check_caller()
        is_more = self._driver.tick(_checked(budget))
        for _ in range(len(self._ready)):
            self._ready.popleft()()
        ending = self._core.ending
        if self._driver.is_over and not self._is_leaving and ending is not None and ending.error is not None:
            raise ending.error.with_traceback(None)  # a traceback that grew with each tick would be no help
        return is_more or bool(self._ready)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Pending[T]:
        """Run a coroutine in ticks: what is a story need not be cut into callbacks.

        ::

            async def join(conn):
                await conn.subscribe("SELECT * FROM player")
                await conn.reducers.enter("arena")


            conn.start(join(conn))

        It runs at once up to its first `await`, and goes on at the end of the tick in which what it awaits happened. It
        may await what its connection returns (outcomes, subscriptions, streams) and nothing of an event loop.

        Returns:
            What it returns, to come. What it raises of the SDK's errors is raised there; any other exception is logged
            and handed to `on_error` as well. `cancel()` closes it where it waits, and its outcome is `CallCancelled`.

        Raises:
            TypeError: It is no coroutine.
        """
        self._host.check_caller()
        check_coroutine(coroutine)
        outcome: FramePending[T] = FramePending(f"script {getattr(coroutine, '__qualname__', coroutine)}", self._report)
        Script(coroutine, outcome, self._ready.append, self._report, self._scripts).step()
        return outcome

    @property
    def is_closed(self) -> bool:
        """Whether the session is over and everybody was told. Nothing is open any more then, and ticks do nothing."""
        return self._driver.is_over

    def close(self, *, wait: float | None = None) -> None:
        """Say goodbye: what is queued goes out before. What was cached stays readable. Twice is harmless.

        The ticks that follow do it, until `is_closed`.

        Args:
            wait: Seconds for which this call may block to have it done when it returns. After them the link is cut.

        Raises:
            LocalProtocolError: It would block inside a callback, or this is another thread than the one that ticks.
        """
        self._host.check_caller()
        self._is_leaving = True
        self._core.close()
        if wait is not None:
            self._driver.finish(wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection, and block for a second at most to have that done."""
        with suppress(*(() if exc is None else (LocalProtocolError,))):  # it would hide what is being raised
            self.close(wait=GOODBYE_TIME)

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, *queries: str, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of some queries, now and from now on. The request is sent in the next tick.

        `subscription.on_applied(callback)` and `subscription.pending` tell when the rows are in the cache.

        Args:
            queries: SQL.
            cache: What to keep of the rows: `"full"`, `"keys"` or `"none"`, as for `spacetimedb_sdk.Connection`.
            timeout: Seconds until a subscription without rows fails and is taken back; None waits for ever.

        Raises:
            ConnectionLost: The connection is over.
            LocalProtocolError: It is not open yet, there is no query, no such policy, or v1 was chosen, which needs
                `"full"`.
        """
        return self._subscribe(queries, cache, timeout)

    def subscribe_to_all_tables(self, *, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of every table and view that is public, one query each. Arguments and errors as `subscribe`.

        Views with parameters are left out, and event tables on v1, which tells of no events.
        """
        return self.subscribe(*self._all_tables(), cache=cache, timeout=timeout)

    def query(self, query: str, *, timeout: float | None = None) -> Pending[Rows[Any]]:
        """Ask for the rows of one query, once. They are never cached.

        Args:
            query: SQL.
            timeout: Seconds until it fails with `CallTimeout`; None waits for ever.

        Returns:
            The rows to come, or a `QueryError` if the server refuses.

        Raises:
            ConnectionLost: There is no connection, or it is over.
            LocalProtocolError: It is not open yet.
        """
        return self._query(query, timeout)

    # --- listening ----------------------------------------------------------------------------------------------------

    @property
    def opened(self) -> Pending[Connection]:
        """Its being open: the connection itself, or the error that `frame_tick` raises if it never will be."""
        return self._opened

    def on_connect(self, callback: ConnectCallback) -> Listener[ConnectCallback]:
        """Call `callback(conn)` when the connection is open: at once, if it is already. Also a decorator.

        That happens once. What becomes of the link later is told by `on_state` and `on_disconnect`.
        """
        listener = self._connects.add(callback)
        if self._engine is not None:
            self._hooks.run(listener, self)
        return listener

    def transactions(
        self, *, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error"
    ) -> FrameStream[TransactionRecord]:
        """Record every change of the cache from now on: `for tx in stream: tx.event, tx.changes`.

        Args:
            buffer: Transactions that the consumer may be behind.
            overflow: What happens when it is further behind, as for `spacetimedb_sdk.Connection`.

        Raises:
            ConnectionLost: The connection is over.
            LocalProtocolError: It is not open yet, or there is no such buffer or overflow.
        """
        return self._bindings.record(buffer, overflow)  # type: ignore[return-value]

    def states(self) -> FrameStream[StateChanged]:
        """Record where the connection stands, from now on. The stream ends with the connection."""
        return self._record_states()  # type: ignore[return-value]

    # --- what drives it -----------------------------------------------------------------------------------------------

    def _ask_token(self) -> str | None:
        return next_token_now(self._core, self._keeper)

    def _on_event(self, event: Event | Burst) -> Any:
        outcome = super()._on_event(event)
        if self._engine is not None:
            self._driver.on_event = self._engine.handle
        return outcome

    def _tell_connected(self, opened: Pending[Connection]) -> None:
        if opened.exception() is None:
            for callback in self._connects.callbacks:
                self._hooks.run(callback, self)

    def _report(self, error: Exception, where: str) -> None:
        self._hooks.report(error, where)

    def _last_received(self) -> float | None:
        return self._driver.last_received


def _checked(budget: Any) -> float:
    if isinstance(budget, bool) or not isinstance(budget, int | float):
        raise TypeError(f"budget: expected seconds, got {shown(budget)}")
    if not budget >= 0:
        raise ValueError(f"budget: expected seconds from 0 on, got {budget!r}")
    return budget


@overload
def connect(uri: str, database: str, *, bindings: FramePackage[C], **options: Unpack[ConnectOptions]) -> C: ...


@overload
def connect(uri: str, database: str, *, bindings: None = None, **options: Unpack[ConnectOptions]) -> Connection: ...


def connect(  # noqa: PLR0913 - each option is one that users name
    uri: str,
    database: str,
    *,
    token: Token | None = None,
    bindings: FramePackage[Any] | None = None,
    protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn"),
    compression: Compression | None = None,
    light: bool = False,
    confirmed: bool | None = None,
    reconnect: Backoff | bool | None = True,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl: tls.SSLContext | None = None,
    record: str | PathLike[str] | None = None,
) -> Any:
    """Begin to connect to a database: nothing is opened or sent before the first `frame_tick`, and none of it waits.

    With TLS and without `ssl`, the settings are made here, which takes some tens of milliseconds.

    Args:
        uri: Where the server is: `http`, `https`, `ws` or `wss`. TLS is verified.
        database: Name or identity of the database.
        token: The token to connect with, or where it comes from, as for `spacetimedb_sdk.connect`. It is asked for
            inside a tick, so a source must not take long, and cannot be awaited.
        bindings: A generated package, for static types, into whose classes rows are read.
        protocols: What to offer, of `"v3.bsatn"`, `"v2.bsatn"`, `"v1.bsatn"`, `"v1.json"`. The server chooses.
        compression: `"brotli"`, `"gzip"` or `"none"` for large messages; by default the best that is installed, and
            none on loopback. A large message is inflated in one step, some milliseconds for each megabyte.
        light: v1 only: be told of other clients' transactions without who caused them.
        confirmed: Whether to see only what is durable; None leaves it to the server (protocol reference, 3.9).
        reconnect: When to connect again after the connection was lost: a `Backoff`, which True is with its defaults;
            None or False for never. A first attempt that fails, and a refusal, are never repeated.
        limits: What an untrusted server may cost.
        timeouts: How long to wait for what: the handshake, a sign of life, the server's goodbye.
        ssl: TLS settings; by default those of `ssl.create_default_context()`.
        record: A file to write everything to that passes, as for `spacetimedb_sdk.connect`.

    Raises:
        ConnectError: The address or the database's name is none, or the recording cannot be written. Everything else is
            raised by ticks.
        TypeError: An option is of another type.
        LocalProtocolError: An option has a value that there is not.
    """
    settings = Settings(
        uri=uri,
        database=database,
        token=token,
        bindings=bindings,
        protocols=protocols,
        compression=compression,
        light=light,
        confirmed=confirmed,
        reconnect=reconnect,
        limits=limits,
        timeouts=timeouts,
        ssl=ssl,
        record=record,
    )
    core = settings.core(now=time.monotonic())
    if ssl is None and core.endpoint.is_tls:
        ssl = tls.create_default_context()
    return Connection(core, settings.keeper(), clock=time.monotonic, ssl=ssl)
