"""What all hosts share: events in; callbacks, streams and waiting calls out, in one fixed order.

For one event, after the cache has changed as a whole:

1. the subscription's `on_applied` or `on_ended`,
2. per table, by name: inserts, deletes, updates, each row in the order it arrived and each row's listeners in the order
   they were added; then the table's `on_changes`,
3. the reducer's `on_outcome`,
4. streams,
5. whoever waits for a call, a query or a subscription.

A callback that raises disturbs none of this: its error is logged and handed to the connection's `on_error`. The engine
knows no event loop, socket or clock; a host gives it a way to make things that can be waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from spacetimedb_proto.cache import Change, Changes, TableChange
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.errors import (
    ConnectionLost,
    DecodeError,
    NotSent,
    ReducerError,
    SpacetimeDBError,
)
from spacetimedb_proto.events import (
    CallFailed,
    Committed,
    Disconnected,
    Event,
    ProcedureReturned,
    QueryReturned,
    ReducerEvent,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from spacetimedb_proto.schema.model import Schema

from .context import CallbackEvent, Context
from .functions import Procedures, Reducers, procedures_of, reducers_of
from .listeners import Listener, Listeners, name_of
from .names import Namespace
from .pending import Pending
from .streams import Stream
from .subscription import Subscription
from .tables import Db, ListenersNow, TableHandle, TableListeners

__all__ = ["Engine", "Host", "TransactionRecord"]

log = logging.getLogger("spacetimedb_sdk")


class Host(Protocol):
    """What the engine needs of the loop, thread or frame that drives it."""

    def pending(self, what: str, report: Callable[[SpacetimeDBError, str], None]) -> Pending[Any]:
        """Make an outcome that this host's users can wait for."""
        ...

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None]) -> Stream[Any]:
        """Make a stream that this host's users can read."""
        ...

    def wake(self) -> None:
        """Something may be waiting to be sent."""
        ...


class TransactionRecord:
    """One message's changes, as `transactions()` hands them out.

    Attributes:
        event: What callbacks see as `ctx.event`.
    """

    __slots__ = ("_changes", "_lists", "event")

    def __init__(self, event: CallbackEvent, changes: Changes) -> None:
        self.event = event
        self._changes = changes
        self._lists: dict[str, list[Change]] | None = None

    @property
    def changes(self) -> Mapping[str, list[Change]]:
        """The changes of each table, inserts before deletes before updates. Rows are decoded when first asked for."""
        if self._lists is None:
            self._lists = {name: list(self._changes[name]) for name in sorted(self._changes) if self._changes[name]}
        return self._lists

    def __repr__(self) -> str:
        return f"<transaction {self.event!r} on {', '.join(sorted(self._changes)) or 'no tables'}>"


class Engine:
    """The bindings of one connection.

    Attributes:
        schema: The module's definition.
        session: The session underneath.
        host: What drives it.
        db: The tables and views.
        reducers: The reducers.
        procedures: The procedures.
        types: The module's named types as Python classes.
        errors: Listeners for errors that nobody claims.
        disconnects: Listeners for the end of the connection.
        ended: How the connection ended; None while it lasts.
        no_changes: The changes of an event that changed nothing.
    """

    def __init__(self, session: ClientSession, host: Host) -> None:
        self.session = session
        self.schema: Schema = session.schema
        self.host = host
        self.errors: Listeners[Callable[[SpacetimeDBError | Exception, str], object]] = Listeners()
        self.disconnects: Listeners[Callable[[Context], object]] = Listeners()
        self.ended: Disconnected | None = None
        self.no_changes = Changes()
        self._pending: dict[int, Pending[Any]] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._tables: dict[str, TableListeners] = {}
        self._outcomes: dict[str, Listeners[Callable[[Context], object]]] = {}
        self._records: WeakSet[Stream[TransactionRecord]] = WeakSet()
        self._warned: set[str] = set()
        aliases = {table.source_name: name for name, table in self.schema.tables.items()}
        self.db: Db = Namespace("table", self.schema.tables, lambda name: TableHandle(self, name), aliases)
        self.reducers: Reducers = reducers_of(self)
        self.procedures: Procedures = procedures_of(self)
        slots = {name: slot for slot, name in self.schema.type_names.items()}
        self.types: Namespace[Any] = Namespace(
            "type", slots, lambda name: self.schema.types.python_type(slots[name]), {}
        )

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(self, queries: Iterable[str]) -> Subscription:
        """Ask for a query set."""
        self.check_open("subscribe")
        texts = list(queries)
        query_set_id = self.session.subscribe(texts)
        query_set = self.session.query_sets.get(query_set_id)
        assert query_set is not None
        subscription = Subscription(self, query_set)
        self._subscriptions[query_set_id] = subscription
        self.host.wake()
        return subscription

    def unsubscribe(self, query_set_id: int) -> None:
        """Ask for a query set's end."""
        self.session.unsubscribe(query_set_id)
        self.host.wake()

    def call(self, what: str, request: Callable[[], int]) -> Pending[Any]:
        """Send a request and return its outcome to come."""
        request_id = request()
        pending = self.pending(what)
        self._pending[request_id] = pending
        self.host.wake()
        return pending

    def pending(self, what: str) -> Pending[Any]:
        """An outcome of this host's kind; if it fails and nobody asks, the error listeners hear of it."""
        return self.host.pending(what, self.report)

    def check_open(self, what: str, *, function: str = "") -> None:
        """Refuse what cannot be sent any more.

        Raises:
            NotSent: For calls of functions.
            ConnectionLost: For everything else.
        """
        if self.ended is None:
            return
        why = self.ended.error or "it was closed by this side"
        if function:
            raise NotSent(f"{what}: not sent, the connection is over: {why}", function=function)
        raise ConnectionLost(
            f"{what}: the connection is over: {why}", code=self.ended.code, reason=self.ended.reason
        ) from self.ended.error

    # --- listening ----------------------------------------------------------------------------------------------------

    def listeners_of(self, table: str) -> TableListeners:
        """The listeners and streams of one table."""
        return self._tables.setdefault(table, TableListeners())

    def on_outcome(self, reducer: str, callback: Callable[[Context], object]) -> Listener[Callable[[Context], object]]:
        """Listen to the outcomes of one reducer."""
        return self._outcomes.setdefault(reducer, Listeners()).add(callback)

    def record(self) -> Stream[TransactionRecord]:
        """Record transactions from now on."""
        self.check_open("transactions()")
        stream = self.host.stream("transactions()", self._records.discard)
        self._records.add(stream)
        return stream

    def report(self, error: Exception, where: str) -> None:
        """Log an error that nobody else will see, and hand it to the error listeners."""
        log.error("%s: %s", where, error, exc_info=error)
        for listener in self.errors.now():
            try:
                listener(error, where)
            except Exception:
                log.exception("on_error listener %s failed", name_of(listener.callback))

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Run one callback; what it raises is reported and goes no further."""
        try:
            callback(*args)
        except Exception as error:
            self.report(error, name_of(getattr(callback, "callback", callback)))

    # --- events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> bool:
        """Carry out everything that one event means; returns whether somebody who waited may go on."""
        handler = self._handlers.get(type(event))
        return bool(handler(self, event)) if handler else False

    def _applied(self, event: SubscribeApplied) -> bool:
        subscription = self._subscriptions.get(event.query_set_id)
        before = subscription.applied_listeners.now() if subscription else ()
        self._tell(event, event.changes, before=before)
        return subscription.applied() if subscription else False

    def _unsubscribed(self, event: UnsubscribeApplied) -> bool:
        subscription = self._subscriptions.pop(event.query_set_id, None)
        before = subscription.ended_listeners.now() if subscription else ()
        self._tell(event, event.changes, before=before)
        return subscription.ended(event) if subscription else False

    def _failed(self, event: SubscriptionFailed) -> bool:
        failed = list(self._subscriptions) if event.query_set_id is None else [event.query_set_id]
        subscriptions = [self._subscriptions.pop(i) for i in failed if i in self._subscriptions]
        before = [listener for s in subscriptions for listener in s.ended_listeners.now()]
        self._tell(event, event.changes, before=before)
        waited = [subscription.ended(event) for subscription in subscriptions]
        return any(waited)

    def _transaction(self, event: Transaction) -> bool:
        self._tell(event, event.changes)
        return False

    def _reducer(self, event: ReducerEvent) -> bool:
        listeners = self._outcomes.get(event.reducer)
        self._tell(event, event.changes, after=listeners.now() if listeners else ())
        pending = self._pending.pop(event.request_id, None) if event.request_id is not None else None
        if pending is None:
            return False
        if isinstance(event.outcome, Committed):
            return pending.resolve(event)
        return pending.fail(ReducerError(event.outcome.message, function=event.reducer))

    def _procedure(self, event: ProcedureReturned) -> bool:
        pending = self._pending.pop(event.request_id)
        return pending.resolve(event.value) if event.error is None else pending.fail(event.error)

    def _query(self, event: QueryReturned) -> bool:
        pending = self._pending.pop(event.request_id)
        rows = [row for table in event.tables.values() for row in table]
        return pending.resolve(rows) if event.error is None else pending.fail(event.error)

    def _call_failed(self, event: CallFailed) -> bool:
        return self._pending.pop(event.request_id).fail(event.error)

    def _disconnected(self, event: Disconnected) -> bool:
        self.ended = event
        context = Context(event, self)
        for listener in self.disconnects.now():
            self.run(listener, context)
        lost = event.error or ConnectionLost("the connection was closed", code=event.code, reason=event.reason)
        for subscription in self._subscriptions.values():
            subscription.lost(lost)
        streams: list[Stream[Any]] = [*self._records]
        for table in self._tables.values():
            streams.extend(table.streams)
        for stream in streams:
            stream.end(event.error)
        return True

    _handlers: ClassVar[Mapping[type, Callable[[Any, Any], bool]]] = {
        SubscribeApplied: _applied,
        UnsubscribeApplied: _unsubscribed,
        SubscriptionFailed: _failed,
        Transaction: _transaction,
        ReducerEvent: _reducer,
        ProcedureReturned: _procedure,
        QueryReturned: _query,
        CallFailed: _call_failed,
        Disconnected: _disconnected,
    }

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell(
        self,
        event: CallbackEvent,
        changes: Changes,
        *,
        before: Iterable[Callable[[Context], object]] = (),
        after: Iterable[Callable[[Context], object]] = (),
    ) -> None:
        context = Context(event, self)
        # Everything that listens is noted before anything runs: what callbacks add counts from the next event on.
        tables = [(changes[name], self._tables[name].now()) for name in sorted(changes) if name in self._tables]
        records = tuple(self._records)
        for callback in before:
            self.run(callback, context)
        for change, listeners in tables:
            self._tell_table(context, change, listeners)
        for callback in after:
            self.run(callback, context)
        for change, listeners in tables:
            if listeners.streams:
                self._record_changes(change, listeners.streams)
        if changes or (isinstance(event, ReducerEvent) and isinstance(event.outcome, Committed)):
            for record in records:
                record.push(TransactionRecord(event, changes))
        for name in changes.skipped:
            self._warn_unknown(name)

    def _tell_table(self, context: Context, change: TableChange, listeners: ListenersNow) -> None:
        if listeners.insert:
            self._tell_rows(context, change, listeners.insert, [(row,) for row in change.inserts])
        if listeners.delete:
            self._tell_rows(context, change, listeners.delete, [(row,) for row in change.deletes])
        if listeners.update:
            self._tell_rows(context, change, listeners.update, change.updates)
        if listeners.changes and change:
            for listener in listeners.changes:
                self.run(listener, context, change)

    @staticmethod
    def _record_changes(change: TableChange, streams: Iterable[Stream[Change]]) -> None:
        try:
            for item in change:
                for stream in streams:
                    stream.push(item)
        except DecodeError as error:
            for stream in streams:
                stream.end(error)

    def _tell_rows(
        self,
        context: Context,
        change: TableChange,
        listeners: Iterable[Callable[..., object]],
        rows: Iterable[tuple[bytes, ...]],
    ) -> None:
        for group in rows:
            try:
                decoded = [change.decode(row) for row in group]
            except DecodeError as error:
                self.report(error, f"a row of {change.name}")
                continue
            for listener in listeners:
                self.run(listener, context, *decoded)

    def _warn_unknown(self, table: str) -> None:
        if table not in self._warned:
            self._warned.add(table)
            log.warning("the server sends rows of %r, which the schema in use does not know: ignored", table)
