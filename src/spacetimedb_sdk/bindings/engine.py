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
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import CachePolicy, Changes, RowUpdated, TableChange
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.errors import ConnectionLost, ReducerError
from spacetimedb_proto.events import (
    CallFailed,
    Committed,
    Connected,
    Disconnected,
    Event,
    ProcedureReturned,
    QueryReturned,
    ReducerEvent,
    Resumed,
    StateChanged,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.steps import Steps

from ..tabular import Rows
from .context import CallbackEvent, Context, RowContext
from .functions import Procedures, Reducers, procedures_of, reducers_of
from .hooks import Hooks
from .host import Asked, Host
from .listeners import Listener, Listeners, caught
from .names import Namespace
from .pending import Pending, seconds
from .records import NetTransactions, TransactionRecord
from .streams import Stream, Streams
from .subscription import Subscription
from .tables import Db, TableListeners
from .telling import Teller, recording
from .unread import DEFAULT_BUFFER, Overflow, unread_items

__all__ = ["Engine"]

log = logging.getLogger("spacetimedb_sdk")

T = TypeVar("T")


def _nobody_waits() -> bool:
    return False


class Engine:
    """The bindings of one connection.

    Attributes:
        core: The session underneath, which may outlive its links.
        schema: The module's definition.
        host: What drives it.
        hooks: Listeners that are older than these bindings.
        db: The tables and views.
        reducers: The reducers.
        procedures: The procedures.
        types: The module's named types as Python classes.
        ended: How the connection ended; None while it lasts.
        no_changes: The changes of an event that changed nothing.
    """

    def __init__(self, core: Asked, host: Host, hooks: Hooks | None = None) -> None:
        self.core = core
        self.schema: Schema = core.session.schema
        self.host = host
        self.hooks = hooks or Hooks()
        self.ended: Disconnected | None = None
        self.no_changes = Changes()
        self._pending: dict[int, Pending[Any]] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._tables: dict[str, TableListeners] = {}
        self._outcomes: dict[str, Listeners[Callable[[Context], object]]] = {}
        self._records: Streams[TransactionRecord] = Streams()
        self._teller = Teller(self.report)
        self._warned: set[str] = set()
        self._is_linked = True
        aliases = {table.source_name: name for name, table in self.schema.tables.items()}
        self.db: Db = Namespace("table", self.schema.tables, lambda name: host.table(self, name), aliases)
        self.reducers: Reducers = reducers_of(self)
        self.procedures: Procedures = procedures_of(self)
        self._handlers: dict[type, Callable[[Any], bool | Steps[bool]]] = {
            Connected: self._connected,
            SubscribeApplied: self._applied,
            UnsubscribeApplied: self._unsubscribed,
            SubscriptionFailed: self._failed,
            Resumed: self._resumed,
            Transaction: self._transaction,
            Burst: self._burst,
            ReducerEvent: self._reducer,
            ProcedureReturned: self._procedure,
            QueryReturned: self._query,
            CallFailed: self._call_failed,
            Disconnected: self._disconnected,
            StateChanged: self.hooks.tell_state,
        }
        slots = {name: slot for slot, name in self.schema.type_names.items()}
        self.types: Namespace[Any] = Namespace(
            "type", slots, lambda name: self.schema.types.python_type(slots[name]), {}
        )

    @property
    def session(self) -> ClientSession:
        """The rows, query sets and calls."""
        return self.core.session

    # --- asking -------------------------------------------------------------------------------------------------------

    def subscribe(
        self, queries: Iterable[str], *, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription:
        """Ask for a query set."""
        self.host.check_caller()
        query_set_id = self.core.subscribe(list(queries), cache=cache, deadline=self.deadline(timeout))
        query_set = self.session.query_sets.get(query_set_id)
        assert query_set is not None
        subscription = Subscription(self, query_set)
        self._subscriptions[query_set_id] = subscription
        self.host.wake()
        return subscription

    def hand_over(self, query_set_id: int, subscription: Subscription) -> None:
        """Have a query set belong to another handle."""
        self._subscriptions[query_set_id] = subscription

    def unsubscribe(self, query_set_id: int) -> None:
        """Ask for a query set's end."""
        self.core.unsubscribe(query_set_id)
        self.host.wake()

    def call(self, what: str, request: Callable[[], int]) -> Pending[Any]:
        """Send a request and return its outcome to come."""
        self.host.check_caller()
        request_id = request()
        pending = self.pending(what)
        pending.on_cancel(lambda: self._cancel(request_id))
        self._pending[request_id] = pending
        self.host.wake()
        return pending

    def _cancel(self, request_id: int) -> None:
        self.host.check_caller()
        if self.core.cancel_call(request_id):
            self.host.wake()

    def pending(self, what: str) -> Pending[Any]:
        """An outcome of this host's kind; if it fails and nobody asks, the error listeners hear of it."""
        return self.host.pending(what, self.report)

    def deadline(self, timeout: float | None) -> float:
        """When so many seconds are over; raises as `seconds`."""
        return math.inf if timeout is None else self.host.now() + seconds(timeout)

    def atomically(self, act: Callable[[], T]) -> T:
        """Do something that must be one with whatever else is done so. Hosts with threads see to that."""
        return act()

    def each_atomically(self, items: Iterator[T]) -> Iterator[T]:
        """Take things of which taking each must be one with whatever else is done, but not what is done with it."""
        return items

    def check_open(self, what: str) -> None:
        """Refuse what makes no sense any more.

        Raises:
            ConnectionLost: The connection is over.
        """
        if self.ended is not None:
            why = self.ended.error or "it was closed by this side"
            raise ConnectionLost(
                f"{what}: the connection is over: {why}", code=self.ended.code, reason=self.ended.reason
            ) from self.ended.error

    # --- listening ----------------------------------------------------------------------------------------------------

    def listeners_of(self, table: str) -> TableListeners:
        """The listeners and streams of one table."""
        listeners = self._tables.get(table)
        if listeners is None:
            fresh = TableListeners(lambda error: self.report(error, f"a row of {table}"))
            listeners = self._tables.setdefault(table, fresh)  # another thread may have been quicker
        return listeners

    def on_outcome(self, reducer: str, callback: Callable[[Context], object]) -> Listener[Callable[[Context], object]]:
        """Listen to the outcomes of one reducer."""
        return self._outcomes.setdefault(reducer, Listeners()).add(callback)

    def record(self, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error") -> Stream[TransactionRecord]:
        """Record transactions from now on."""
        unread = unread_items("transactions()", buffer, overflow, lambda: NetTransactions(self.schema))
        stream = self.host.stream("transactions()", self._records.discard, unread)
        self._records.add(stream)
        self.check_open("transactions()")  # last, so that a stream that nobody will end is not handed out
        return stream

    def longest_stream(self) -> int:
        """Items that the slowest consumer of a stream has not read."""
        streams: list[Stream[Any]] = [*self._records.now(), *self.hooks.state_streams.now()]
        for table in list(self._tables.values()):
            streams.extend(table.streams.now())
        return max(map(len, streams), default=0)

    def report(self, error: Exception, where: str) -> None:
        """Log an error that nobody else will see, and hand it to the error listeners."""
        self.hooks.report(error, where)

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Run one callback; what it raises is reported and goes no further."""
        self.hooks.run(callback, *args)

    # --- events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event | Burst) -> bool | Steps[bool]:
        """Carry out everything that one event means, or each of several.

        Returns:
            Whether somebody who waited may go on; or steps that end with that answer, for what may take long. Nothing
            else may be done with the connection's events before all of them are taken.
        """
        handler = self._handlers.get(type(event))
        return handler(event) if handler else False

    def _connected(self, event: Connected) -> bool:
        self._is_linked = True
        self.hooks.note_return()
        self.hooks.greeted(event)
        return False

    def _resumed(self, event: Resumed) -> Steps[bool]:
        return self._telling(event, event.changes)

    def _applied(self, event: SubscribeApplied) -> Steps[bool]:
        subscription = self._subscriptions.get(event.query_set_id)
        if subscription is None:
            return self._telling(event, event.changes)
        before = self.atomically(subscription.telling_applied)
        return self._telling(event, event.changes, before=before, finish=subscription.applied)

    def _unsubscribed(self, event: UnsubscribeApplied) -> Steps[bool]:
        subscription = self._subscriptions.pop(event.query_set_id, None)
        if subscription is None:
            return self._telling(event, event.changes)
        before = self.atomically(lambda: subscription.telling_ended(event))
        return self._telling(event, event.changes, before=before, finish=lambda: subscription.ended(event))

    def _failed(self, event: SubscriptionFailed) -> Steps[bool]:
        failed = list(self._subscriptions) if event.query_set_id is None else [event.query_set_id]
        subscriptions = [self._subscriptions.pop(i) for i in failed if i in self._subscriptions]
        before = self.atomically(lambda: [each for s in subscriptions for each in s.telling_ended(event)])
        return self._telling(
            event,
            event.changes,
            before=before,
            finish=lambda: sum(subscription.ended(event) for subscription in subscriptions) > 0,
        )

    def _transaction(self, event: Transaction) -> bool | Steps[bool]:
        """Tell of a transaction of one table, as most are, without what more than that takes; of one row at once."""
        did = event.did
        if not isinstance(did, TableChange) or self._records.references:
            return self._telling(event, event.changes)
        listeners = self._tables.get(did.source.name)
        if listeners is None:
            return False
        if listeners.streams.references:
            return self._telling(event, event.changes)
        if type(did) is not RowUpdated:
            return self._teller.table(Context(event, self), did, listeners.now())
        self._teller.one_row(Context(event, self), did, listeners)
        return False

    def _burst(self, burst: Burst) -> Steps[bool]:
        """Take transactions of one row each and tell of them, in steps of a few."""
        unheard = self.each_atomically(burst.applied())  # once: each such taker prepares for more than one step
        while not burst.is_over:
            listeners = self._tables.get(burst.table_name)
            if self._records.references or (listeners is not None and listeners.are_many):
                event = next(self.each_atomically(burst), None)
                outcome = event is not None and self._transaction(event)
                if isinstance(outcome, Generator):
                    yield from outcome
            elif listeners is None or not listeners.update:
                deque(islice(unheard, self.host.few), 0)
            else:
                yield from self._telling_of_updates(burst, listeners)
            yield
        return False

    def _telling_of_updates(self, burst: Burst, listeners: TableListeners) -> Steps[None]:
        """Tell those who want to know of rows, for as long as nobody else wants to know anything."""
        update, changes = listeners.update, listeners.changes
        streams, records = listeners.streams.references, self._records.references
        callbacks, source, make, few = update.callbacks, burst.source, object.__new__, self.host.few
        left = few
        for old, new, pair in self.each_atomically(burst.updates(listeners.skip)):
            context = make(RowContext)
            context.engine, context.source, context.pair = self, source, pair
            for callback in callbacks:
                try:
                    callback(context, old, new)
                except BaseException as error:
                    caught(error, callback, self.report)
            left -= 1
            if not left:
                left = few
                yield
            if update.callbacks is not callbacks or changes.callbacks or streams or records:
                return

    def _reducer(self, event: ReducerEvent) -> Steps[bool]:
        listeners = self._outcomes.get(event.reducer)
        after = listeners.callbacks if listeners else ()
        return self._telling(event, event.changes, after=after, finish=lambda: self._answer(event))

    def _answer(self, event: ReducerEvent) -> bool:
        pending = self._pending.pop(event.request_id, None) if event.request_id is not None else None
        if pending is None:
            return False
        if isinstance(event.outcome, Committed):
            return pending.resolve(event)
        return pending.fail(ReducerError(event.outcome.message, function=event.reducer))

    def _procedure(self, event: ProcedureReturned) -> bool:
        pending = self._pending.pop(event.request_id, None)
        if pending is None:
            return False
        return pending.resolve(event.value) if event.error is None else pending.fail(event.error)

    def _query(self, event: QueryReturned) -> bool:
        pending = self._pending.pop(event.request_id, None)
        if pending is None:
            return False
        if event.error is not None:
            return pending.fail(event.error)
        tables = list(event.tables)
        row = self.schema.types.node(self.schema.tables[tables[0]].row) if len(tables) == 1 else None
        return pending.resolve(Rows((row for rows in event.tables.values() for row in rows), row))

    def _call_failed(self, event: CallFailed) -> bool:
        pending = self._pending.pop(event.request_id, None)
        return pending is not None and pending.fail(event.error)

    def _disconnected(self, event: Disconnected) -> bool:
        """Tell of the loss of a link, and of the end; not of each attempt that fails in between."""
        is_over, was_linked = event.retry is None, self._is_linked
        self._is_linked = False
        if is_over:
            self.ended = event
        if is_over or was_linked:
            self.hooks.note_loss(event)
            context = Context(event, self)
            for callback in self.hooks.disconnects.callbacks:
                self.run(callback, context)
        return is_over and self._end(event)

    def _end(self, event: Disconnected) -> bool:
        lost = event.error or ConnectionLost("the connection was closed", code=event.code, reason=event.reason)
        for subscription in list(self._subscriptions.values()):
            subscription.lost(lost)
        streams: list[Stream[Any]] = [*self._records.now()]
        for table in list(self._tables.values()):
            streams.extend(table.streams.now())
        for stream in streams:
            stream.end(event.error)
        return True

    # --- telling ------------------------------------------------------------------------------------------------------

    def _telling(
        self,
        event: CallbackEvent,
        changes: Changes,
        *,
        before: Iterable[Callable[[Context], object]] = (),
        after: Iterable[Callable[[Context], object]] = (),
        finish: Callable[[], bool] = _nobody_waits,
    ) -> Steps[bool]:
        context = Context(event, self)
        # Everything that listens is noted before anything runs: what callbacks add counts from the next event on.
        tables = [(changes[name], self._tables[name].now()) for name in sorted(changes) if name in self._tables]
        records = self._records.now()
        try:
            for callback in before:
                self.run(callback, context)
            for change, listeners in tables:
                yield from self._teller.table(context, change, listeners)
            for callback in after:
                self.run(callback, context)
        except BaseException:  # a callback ends the program: that must not leave anybody waiting
            finish()
            raise
        for change, listeners in tables:
            if listeners.streams:
                yield from recording(change, listeners.streams)
        if changes or (isinstance(event, ReducerEvent) and isinstance(event.outcome, Committed)):
            for record in records:
                record.push(TransactionRecord(event, changes))
        for name in changes.skipped:
            self._warn_unknown(name)
        return finish()

    def _warn_unknown(self, table: str) -> None:
        if table not in self._warned:
            self._warned.add(table)
            log.warning("the server sends rows of %r, which the schema in use does not know: ignored", table)
