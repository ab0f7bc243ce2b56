"""What clients of 0.7 have in common, however they are driven: callbacks, and a connection's events.

Callbacks may be registered before there is a connection; reducers may be called and queries set on any thread. In one
event row callbacks come first, table by table, then `on_event`, then the reducer's callbacks; `on_subscription_applied`
comes after the rows of the subscription.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

from spacetimedb_proto.bsatn.values import ConnectionId
from spacetimedb_proto.cache import TableChange
from spacetimedb_proto.errors import NotSent, SchemaError
from spacetimedb_proto.events import Committed, Failed, Refused, Transaction
from spacetimedb_proto.events import ReducerEvent as CoreReducerEvent
from spacetimedb_proto.states import QuerySetState

from ..bindings.connection import BaseConnection, engine_of
from ..bindings.context import Context
from ..bindings.engine import Engine
from ..bindings.pending import Pending
from ..bindings.subscription import Subscription
from .callbacks import call_reducer_callback
from .names import meant_by, rewritten
from .packages import ClientCache, TableCache
from .plain import from_plain, to_plain
from .values import Address, DbEvent, Identity, ReducerEvent, TransactionUpdateMessage

__all__ = ["LegacyClient"]

RowUpdateCallback: TypeAlias = Callable[[str, Any, Any, Any], object]


class LegacyClient:
    """The callbacks of a program, and the connection that they hear from.

    Attributes:
        client_cache: The generated package.
        identity: Who this client is; None before it is connected.
        address: Its connection; None before it is connected.
    """

    def __init__(self, autogen_package: ModuleType) -> None:
        self.client_cache = ClientCache(autogen_package)
        self.identity: Identity | None = None
        self.address: Address | None = None
        self._row_update_callbacks: dict[str, list[RowUpdateCallback]] = {}
        self._reducer_callbacks: dict[str, list[Callable[..., object]]] = {}
        self._on_subscription_applied: list[Callable[[], object]] = []
        self._on_event: list[Callable[[TransactionUpdateMessage], object]] = []
        self._engine: Engine | None = None
        self._subscription: Subscription | None = None
        self._reducer_names: dict[str, str] = {}
        self._told: tuple[CoreReducerEvent | None, dict[str, list[DbEvent]]] = (None, {})
        self._thread = threading.get_ident()
        self._posted: deque[Callable[[], object]] = deque()
        self._wake: Callable[[], object] = _nothing
        self._failures: deque[Exception] = deque()

    # --- registering --------------------------------------------------------------------------------------------------

    def register_on_subscription_applied(self, callback: Callable[[], object]) -> None:
        """Call `callback()` whenever the rows of new queries are in the cache."""
        self._on_subscription_applied.append(callback)

    def unregister_on_subscription_applied(self, callback: Callable[[], object]) -> None:
        """Call it no more."""
        self._on_subscription_applied.remove(callback)

    def register_on_event(self, callback: Callable[[TransactionUpdateMessage], object]) -> None:
        """Call `callback(message)` for each reducer's outcome that the server tells of. v2 and v3 tell of own calls."""
        self._on_event.append(callback)

    def unregister_on_event(self, callback: Callable[[TransactionUpdateMessage], object]) -> None:
        """Call it no more."""
        self._on_event.remove(callback)

    def _register_row_update(self, table_name: str, callback: RowUpdateCallback) -> None:
        self._row_update_callbacks.setdefault(table_name, []).append(callback)

    def _unregister_row_update(self, table_name: str, callback: RowUpdateCallback) -> None:
        self._row_update_callbacks.get(table_name, []).remove(callback)

    def _register_reducer(self, reducer_name: str, callback: Callable[..., object]) -> None:
        self._reducer_callbacks.setdefault(reducer_name, []).append(callback)

    def _unregister_reducer(self, reducer_name: str, callback: Callable[..., object]) -> None:
        self._reducer_callbacks.get(reducer_name, []).remove(callback)

    def _get_table_cache(self, table_name: str) -> TableCache:
        return self.client_cache.get_table_cache(table_name)

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, queries: Sequence[str]) -> None:
        """Ask for the rows of these queries, instead of those asked for before.

        A table may be called as its class in the package: `SELECT * FROM User`.
        """
        texts = list(queries)
        self._on_thread(lambda: self._subscribe(texts))

    def _subscribe(self, queries: list[str]) -> None:
        engine = self._engine
        if engine is None:
            self._posted.append(lambda: self._subscribe(queries))
            return
        old, known = self._subscription, engine.schema.tables
        served = self.client_cache.served.items()
        names = {old: name for name, table in served for old in (table.table_class.__name__, table.table_name)}
        texts = [rewritten(query, names, known) for query in queries]
        is_live = old is not None and old.state is not QuerySetState.ENDED
        if not texts:
            self._subscription = None
            if old is not None:
                old.leave()
            self._post(self._tell_applied)
        elif old is not None and is_live:
            old.replace(*texts).add_done_callback(self._answered)
        else:
            self._subscription = engine.subscribe(texts)
            self._subscription.pending.add_done_callback(self._answered)

    def _answered(self, pending: Pending[Subscription]) -> None:
        error = pending.exception()
        if error is None:
            self._tell_applied()
        else:
            self._report(error)

    def _tell_applied(self) -> None:
        for callback in list(self._on_subscription_applied):
            self._run(callback)

    def _reducer_call(self, reducer: str, *args: Any) -> Any:
        """Call a reducer with plain data; what comes of it is told by callbacks."""
        return self._on_thread(lambda: self._call(reducer, args))

    def _call(self, reducer: str, args: tuple[Any, ...]) -> Any:
        engine = self._engine
        if engine is None:
            raise NotSent(f"reducer {reducer}: expected an open connection, there is none")
        name = meant_by(reducer, engine.schema.reducers)
        if name is None:
            raise SchemaError(f"the module has no reducer {reducer!r}; generate the package anew")
        params = engine.schema.reducers[name].params
        nodes = [engine.schema.types.node(param.type) for param in params]
        values = list(map(from_plain, nodes, args)) if len(nodes) == len(args) else list(args)
        pending: Pending[CoreReducerEvent] = engine.reducers[name](*values)
        pending.add_done_callback(_claim)  # callbacks are told; the loss of the connection is told to others
        return pending

    # --- what drives it -----------------------------------------------------------------------------------------------

    def _attach(self, conn: BaseConnection) -> None:
        """Listen to an open connection."""
        self._engine = engine = engine_of(conn)
        self._subscription = None
        assert conn.identity is not None
        assert conn.connection_id is not None
        self.identity, self.address = Identity.from_string(conn.identity.hex()), _address(conn.connection_id)
        self.client_cache.attach(engine)
        self._reducer_names = self.client_cache.reducers(engine.schema)
        for name, table in self.client_cache.served.items():
            engine.db[name].on_changes(partial(self._run, self._changed, table))
        for name in engine.schema.reducers:
            engine.on_outcome(name, partial(self._run, self._reducer_ended))

    def _on_thread(self, act: Callable[[], Any]) -> Any:
        """Do something on the thread that the connection belongs to: at once, or as soon as that thread can."""
        if threading.get_ident() == self._thread:
            return act()
        self._post(act)
        return None

    def _post(self, act: Callable[[], object]) -> None:
        self._posted.append(act)
        self._wake()

    def _do_posted(self) -> None:
        for _ in range(len(self._posted)):
            self._run(self._posted.popleft())

    def _report(self, error: Exception) -> None:
        """Have whoever drives the client raise an error."""
        self._failures.append(error)
        self._wake()

    def _run(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback; what it raises goes to the program in the way of its client, and the others go on."""
        try:
            callback(*args)
        except Exception as error:
            self._report(error)

    # --- events -------------------------------------------------------------------------------------------------------

    def _changed(self, table: TableCache, context: Context, changes: TableChange) -> None:
        callbacks = list(self._row_update_callbacks.get(table.table_name, ()))
        if callbacks or self._on_event:
            reducer_event = self._reducer_event(context.event)
            events = list(_row_events(table, changes))
            self._note(context.event, table.table_name, events)
            for event in events:
                for callback in callbacks:
                    self._run(callback, event.row_op, event.old_value, event.decoded_value, reducer_event)
        gone = [*changes.deletes, *(old for old, _ in changes.updates), *(changes.inserts if changes.is_event else ())]
        for data in gone:
            table.forget(data)

    def _note(self, event: object, table_name: str, events: list[DbEvent]) -> None:
        """Keep what happened to rows for those who are told of the whole event."""
        if isinstance(event, CoreReducerEvent):
            if self._told[0] is not event:
                self._told = (event, {})
            self._told[1][table_name] = events

    def _reducer_ended(self, context: Context) -> None:
        event = context.event
        assert isinstance(event, CoreReducerEvent)
        reducer_event = self._reducer_event(event)
        assert reducer_event is not None
        noted, rows = self._told
        message = TransactionUpdateMessage(reducer_event, rows if noted is event else {})
        self._told = (None, {})
        for callback in list(self._on_event):
            self._run(callback, message)
        listeners = list(self._reducer_callbacks.get(reducer_event.reducer_name or "", ()))
        if listeners:
            args = self.client_cache.reducer_cache[reducer_event.reducer_name or ""](reducer_event.args)
            for listener in listeners:
                self._run(call_reducer_callback, listener, reducer_event, args)

    def _reducer_event(self, event: object) -> ReducerEvent | None:
        """What caused an event: a reducer, one that the protocol does not tell of, or none."""
        if isinstance(event, Transaction):
            return ReducerEvent(None, None, None, "committed", "", ())
        if not isinstance(event, CoreReducerEvent) or self._engine is None:
            return None
        schema = self._engine.schema
        function = schema.reducers.get(event.reducer)
        nodes = [schema.types.node(param.type) for param in function.params] if function else []
        status, message = _status(event.outcome)
        identity, connection_id = event.caller_identity, event.caller_connection_id
        return ReducerEvent(
            None if identity is None else Identity.from_string(identity.hex()),
            None if connection_id is None else _address(connection_id),
            self._reducer_names.get(event.reducer, event.reducer),
            status,
            message,
            [to_plain(node, arg) for node, arg in zip(nodes, event.args, strict=False)],
        )


def _nothing() -> None:
    pass


def _claim(pending: Pending[CoreReducerEvent]) -> None:
    pending.exception()


def _address(connection_id: ConnectionId) -> Address | None:
    return Address.from_string(connection_id.hex())


def _status(outcome: Committed | Refused | Failed) -> tuple[str, str]:
    if isinstance(outcome, Committed):
        return "committed", ""
    return "outofenergy" if "ran out of energy" in outcome.message else "failed", outcome.message


def _row_events(table: TableCache, changes: TableChange) -> Iterator[DbEvent]:
    for data in changes.inserts:
        yield DbEvent(table.table_name, data.hex(), "insert", table.row(data))
    for data in changes.deletes:
        yield DbEvent(table.table_name, data.hex(), "delete", None, table.row(data))
    for old, new in changes.updates:
        yield DbEvent(table.table_name, new.hex(), "update", table.row(new), table.row(old))
