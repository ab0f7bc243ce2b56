"""What connections of all hosts have in common: everything but how they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import ConnectError, LocalProtocolError, SpacetimeDBError
from spacetimedb_proto.events import Connected, Disconnected, Event, StateChanged
from spacetimedb_proto.schema import Drift, Schema
from spacetimedb_proto.states import SessionState

from ..memory import MemoryReport
from ..sql import select
from ..statistics import Statistics
from ..token_keeper import TokenKeeper
from .context import Context
from .engine import Engine
from .follow import Followed, follow
from .functions import Procedures, Reducers
from .hooks import Hooks
from .host import Host
from .listeners import Listener
from .names import Namespace
from .pending import Pending
from .streams import Stream
from .subscription import Subscription
from .tables import Db
from .unread import DEFAULT_BUFFER, Refusing

__all__ = ["BaseConnection", "OpenConnection", "engine_of"]


class BaseConnection:
    """A connection to one database, whatever drives it.

    Args:
        core: The session underneath.
        keeper: Decides which token each attempt to connect is made with.
        host: What the bindings need of whatever drives them.
        opened: Its being open, to be waited for.
    """

    def __init__(self, core: DurableConnection, keeper: TokenKeeper, host: Host, opened: Pending[Any]) -> None:
        self._core = core
        self._keeper = keeper
        self._host = host
        self._opened = opened
        self._hooks = Hooks(self._greeted_again, f"{core.database} at {core.endpoint}")
        self._engine: Engine | None = None

    # --- who and where ------------------------------------------------------------------------------------------------

    @property
    def _bindings(self) -> Engine:
        if self._engine is None:
            raise LocalProtocolError(f"the connection is {self.state.value}: expected an open one")
        return self._engine

    @property
    def schema(self) -> Schema:
        """The module's definition, as the server gave it when the connection was opened."""
        return self._bindings.schema

    @property
    def drift(self) -> Drift:
        """How the module differs from `schema` if it was published anew since then. What is new in it is not seen."""
        return self._core.drift

    @property
    def identity(self) -> Identity | None:
        """Who this client is; None before the connection is open."""
        return None if self._engine is None else self._engine.session.identity

    @property
    def connection_id(self) -> ConnectionId | None:
        """The id of the link to the server, another one after each loss; None before the connection is open."""
        return None if self._engine is None else self._engine.session.connection_id

    @property
    def token(self) -> str:
        """The token to come back with as the same identity. Keep it like a password. Empty before there is one."""
        return "" if self._engine is None else self._engine.session.token or ""

    @property
    def protocol(self) -> str:
        """The WebSocket subprotocol that the server chose."""
        return self._bindings.session.protocol_name

    @property
    def db(self) -> Db:
        """The tables and views: `conn.db.message`, or `conn.db["any name"]`."""
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

    # --- how it is ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """Where the connection stands."""
        return self._core.state

    @property
    def is_stale(self) -> bool:
        """Whether the cache may lag behind the server: there is no link, or its first rows are not all there yet."""
        return self._core.is_stale

    @property
    def last_ending(self) -> Disconnected | None:
        """How the last link ended, or the last attempt to open one: error, close code, reason, and the next attempt."""
        return self._core.ending

    @property
    def last_message_at(self) -> datetime | None:
        """When anything was received last; None before anything was."""
        received = self._last_received()
        return None if received is None else datetime.now(UTC) - timedelta(seconds=self._host.now() - received)

    def _last_received(self) -> float | None:
        """When bytes arrived last, on the host's clock."""
        raise NotImplementedError

    def memory_report(self) -> MemoryReport:
        """What the connection holds in memory now: `print(conn.memory_report())`.

        It takes some ten milliseconds for a million rows, and changes nothing: a first snapshot at which nobody has
        looked stays in one piece.
        """
        session = self._bindings.session
        return MemoryReport(session.cache.memory(), session.backlog)

    def follow(self, tables: Iterable[str] | None = None, **options: Any) -> Followed:
        """The rows of tables as of now, and a stream of all that happens after, with nothing missing between the two.

        Args:
            tables: The tables; None for all that subscriptions read.
            options: `buffer` and `overflow` of the stream, as for `transactions()`.

        Raises:
            SchemaError: There is no such table.
            LocalProtocolError: The rows of one are not kept.
            ConnectionLost: The connection is over.
        """
        return follow(self._bindings, tables, options)

    def statistics(self) -> Statistics:
        """Counters and the lengths of queues, as of now: `print(conn.statistics())`."""
        return Statistics.of(self._core, self._engine)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _subscribe(self, queries: tuple[str, ...], cache: CachePolicy, timeout: float | None) -> Subscription:
        return self._bindings.subscribe(queries, cache=cache, timeout=timeout)

    def _all_tables(self) -> tuple[str, ...]:
        """A query for each table and view that anybody may read."""
        knows_events = not self.protocol.startswith("v1.")
        return tuple(
            select(table.name)
            for table in self.schema.tables.values()
            if table.is_public and not table.takes_arguments and (knows_events or not table.is_event)
        )

    def _query(self, query: str, timeout: float | None) -> Pending[Any]:
        engine = self._bindings
        deadline = engine.deadline(timeout)
        return engine.call(f"query {query[:200]}", lambda: engine.core.query(query, deadline=deadline))

    # --- listening ----------------------------------------------------------------------------------------------------

    def _record_states(self) -> Stream[StateChanged]:
        streams = self._hooks.state_streams
        stream = self._host.stream("states()", streams.discard, Refusing(DEFAULT_BUFFER))
        if self.state is SessionState.CLOSED:
            stream.end(None)
        else:
            streams.add(stream)
        return stream

    def on_error(self, callback: Callable[[Exception, str], object]) -> Listener[Callable[[Exception, str], object]]:
        """Call `callback(error, where)` for errors that nobody else sees. They are logged all the same.

        These are errors raised by callbacks, failures of calls that nobody awaited, and of subscriptions that die.
        """
        return self._hooks.errors.add(callback)

    def on_disconnect(self, callback: Callable[[Context], object]) -> Listener[Callable[[Context], object]]:
        """Call `callback(ctx)` when the connection is lost, and when it is over.

        `ctx.event` is a `Disconnected` with the reason. Its `retry` says when the next attempt to connect is made; it
        is None when there will be none, which is told in any case, and then last.
        """
        return self._hooks.disconnects.add(callback)

    def on_state(self, callback: Callable[[StateChanged], object]) -> Listener[Callable[[StateChanged], object]]:
        """Call `callback(change)` each time the connection stands elsewhere: `change.state`, `change.ending`."""
        return self._hooks.states.add(callback)

    # --- driving ------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        who = "" if self._engine is None else f" as {self._engine.session.identity}"
        return f"<connection to {self._core.endpoint}{who}, {self.state.value}>"

    def _on_event(self, event: Event | Burst) -> Any:
        """Everything after the first greeting is the engine's."""
        if self._engine is not None:
            return self._engine.handle(event)
        if isinstance(event, Connected):
            self._note_token(event)
            self._engine = self._new_engine()
            return self._opened.resolve(self)
        if isinstance(event, StateChanged):
            return self._hooks.tell_state(event)
        if isinstance(event, Disconnected):
            return self._opened.fail(event.error or ConnectError("the connection was closed before it opened"))
        return False

    def _new_engine(self) -> Engine:
        return Engine(self._core, self._host, self._hooks)

    def _greeted_again(self, event: Connected) -> None:
        self._note_token(event)
        self._hooks.note_drift(self._core.drift)

    def _note_token(self, event: Connected) -> None:
        try:
            self._keeper.issued(event.token)
        except SpacetimeDBError as error:
            self._hooks.report(error, "storing the token")


class OpenConnection(BaseConnection):
    """A connection that users get only when it is open."""

    @property
    def identity(self) -> Identity:
        """Who this client is."""
        identity = self._bindings.session.identity
        assert identity is not None
        return identity

    @property
    def connection_id(self) -> ConnectionId:
        """The id of the link to the server, another one after each loss."""
        connection_id = self._bindings.session.connection_id
        assert connection_id is not None
        return connection_id


def engine_of(connection: BaseConnection) -> Engine:
    """The bindings of a connection, for parts of the SDK that listen to everything it does.

    Raises:
        LocalProtocolError: It is not open yet.
    """
    return connection._bindings  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this is the door to it
