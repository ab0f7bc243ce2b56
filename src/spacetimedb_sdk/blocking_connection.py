"""The connection for programs that block: the same names without `await`."""

from __future__ import annotations

import time
from contextlib import suppress
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self, cast

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import (
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    SpacetimeDBError,
    SubscriptionError,
    WaitTimeout,
)
from spacetimedb_proto.events import Event, StateChanged
from spacetimedb_transports.blocking import BlockingDriver

from .bindings.connection import OpenConnection
from .bindings.engine import Engine
from .bindings.pending import seconds
from .bindings.records import TransactionRecord
from .bindings.subscription import Subscription
from .bindings.unread import DEFAULT_BUFFER, Overflow
from .blocking_host import BlockingHost, BlockingPending, BlockingStream, LockedEngine
from .memory import MemoryReport
from .opening import Settings, next_token_now
from .statistics import Statistics
from .token_keeper import TokenKeeper

__all__ = ["Connection", "open_connection"]

LET_GO_TIME: Final = 2.0
"""Seconds that the threads of a connection that never opened get to end."""


def _nobody(_error: Exception, _what: str) -> None:
    """Whoever opens a connection always claims the outcome."""


class Connection(OpenConnection):
    """A connection to one database, which any thread may use. Made by `connect()`.

    Callbacks run on a thread of the connection's own, one at a time. In a callback nothing waits: calls and queries
    return a `BlockingPending` at once, and `subscribe` a subscription that is not applied yet.

    Attributes:
        db: The tables and views: `conn.db.message`, or `conn.db["any name"]`.
        reducers: The reducers: `conn.reducers.send_message("hello")`.
        procedures: The procedures: `total = conn.procedures.add(1, 2)`.
        types: The module's named types as Python classes.
    """

    def __init__(
        self, core: DurableConnection, keeper: TokenKeeper, *, ssl: SSLContext | None, timeout: float | None
    ) -> None:
        self._driver = BlockingDriver(
            core, ask_token=lambda: next_token_now(core, keeper), on_event=self._on_event, ssl=ssl
        )
        self._waiting = BlockingHost(self._driver, timeout)
        super().__init__(core, keeper, self._waiting, BlockingPending(self._waiting, "connect", _nobody))

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, *queries: str, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of some queries, now and from now on, and wait until they are in the cache.

        Whatever ends the wait takes the subscription back: an interruption, or callbacks that take longer than there is
        time.

        Args:
            queries: SQL.
            cache: What to keep of the rows. `"full"` is a copy of each. For who only follows changes, `"keys"` keeps
                their primary keys, so that overlapping subscriptions tell each row once, and `"none"` keeps nothing.
            timeout: Seconds until a subscription without rows fails and is taken back; None for as long as the
                connection's `timeout` says, `math.inf` for ever.

        Raises:
            SubscriptionError: The server refused it, or its rows did not come, or could not be told, in time. Other
                subscriptions live on.
            ConnectionLost: The connection is over.
            LocalProtocolError: There is no query, no such policy, or v1 was chosen, which needs `"full"`.
        """
        subscription = self._subscribe(queries, cache, timeout)
        if self._driver.is_callback_thread:
            return subscription
        applied = cast("BlockingPending[Subscription]", subscription.pending)
        patience = self._waiting.seconds(timeout)
        try:
            return applied.outcome(patience)
        except WaitTimeout:
            self._take_back(subscription)
            raise SubscriptionError(f"{applied.what}: not told within {patience:g} s, so it is taken back") from None
        except SpacetimeDBError:
            raise
        except BaseException:
            self._take_back(subscription)
            raise

    def _take_back(self, subscription: Subscription) -> None:
        """End a subscription whose caller is not going to get it."""
        subscription.pending.exception()  # its caller is told something else, so that nobody else need hear of it
        with suppress(ConnectionLost):  # it is ending anyway
            subscription.leave()

    def subscribe_to_all_tables(self, *, cache: CachePolicy = "full", timeout: float | None = None) -> Subscription:
        """Ask for the rows of every table and view that is public, one query each. Arguments and errors as `subscribe`.

        Views with parameters are left out, and event tables on v1, which tells of no events.
        """
        return self.subscribe(*self._all_tables(), cache=cache, timeout=timeout)

    def query(self, query: str, *, timeout: float | None = None) -> Any:
        """Ask for the rows of one query, once: `rows = conn.query("SELECT * FROM user")`. Never cached.

        Args:
            query: SQL.
            timeout: Seconds to wait; None for as long as the connection's `timeout` says, `math.inf` for ever.

        Returns:
            The rows as a list (`Rows`); in a callback a `BlockingPending` of it.

        Raises:
            QueryError: The server refused it.
            CallTimeout: There was no answer in time.
            ConnectionLost: There is no connection, or it is over.
        """
        return self._waiting.outcome(self._query(query, timeout), timeout)

    # --- listening ----------------------------------------------------------------------------------------------------

    def transactions(
        self, *, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error"
    ) -> BlockingStream[TransactionRecord]:
        """Record every change of the cache from now on: `for tx in conn.transactions(): tx.event, tx.changes`.

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

    def states(self) -> BlockingStream[StateChanged]:
        """Record where the connection stands, from now on. The stream ends with the connection."""
        return cast("BlockingStream[StateChanged]", self._driver.locked(self._record_states))

    # --- how it is ----------------------------------------------------------------------------------------------------

    def memory_report(self) -> MemoryReport:
        """What the connection holds in memory now: `print(conn.memory_report())`."""
        return self._driver.locked(super().memory_report)

    def statistics(self) -> Statistics:
        """Counters and the lengths of queues, as of now: `print(conn.statistics())`."""
        return self._driver.locked(super().statistics)

    # --- closing ------------------------------------------------------------------------------------------------------

    def close(self, *, timeout: float | None = None) -> None:
        """Close the connection and wait until all callbacks have returned and both threads have ended.

        What was cached stays readable. Twice is harmless. In a callback it does not wait.

        Args:
            timeout: Seconds to wait; None for as long as the connection's `timeout` says, `math.inf` for ever. The
                server gets some for its goodbye, as `Timeouts.close` says.

        Raises:
            WaitTimeout: It is not closed yet, and will be without further ado.
            LocalProtocolError: This is a forked child, and the connection is its parent's.
            BaseException: What a callback raised that was no `Exception`, such as `SystemExit`: that closes the
                connection, too. It is raised once.
        """
        self._waiting.check_caller()
        self._driver.close()
        if self._driver.is_callback_thread:
            return
        seconds = self._waiting.seconds(timeout)
        if not self._driver.join(seconds):
            raise WaitTimeout(f"close: not closed within {seconds:g} s; a callback may still be running")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        hiding = () if exc is None else (LocalProtocolError, WaitTimeout)
        with suppress(*hiding):  # what is being raised
            self.close()

    # --- driving ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the threads, and wait until the server has said who the client is.

        Raises:
            ConnectError: There is no server, it refused, or it took too long.
        """
        self._driver.start()
        try:
            cast("BlockingPending[Connection]", self._opened).wait()
        except BaseException as error:
            self._driver.abandon("nobody waits for it any more")
            self._driver.join(LET_GO_TIME)
            if isinstance(error, WaitTimeout):
                where = f"{self._core.endpoint.host}:{self._core.endpoint.port}"
                raise ConnectError(f"cannot connect to {where} within {self._waiting.patience:g} s") from error
            raise

    def _on_event(self, event: Event | Burst) -> Any:
        outcome = super()._on_event(event)
        if self._engine is not None:
            self._driver.on_event = self._engine.handle
        return outcome

    def _new_engine(self) -> Engine:
        return LockedEngine(self._core, self._waiting, self._hooks)

    def _last_received(self) -> float | None:
        return self._driver.last_received


def open_connection(settings: Settings, timeout: float | None) -> Connection:
    """Open a connection: what `connect()` does. Raises as that does."""
    seconds(timeout)
    connection = Connection(settings.core(now=time.monotonic()), settings.keeper(), ssl=settings.ssl, timeout=timeout)
    connection.open()
    return connection
