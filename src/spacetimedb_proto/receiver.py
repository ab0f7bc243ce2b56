"""What each server message does: the one place where the cache, the query sets and the calls move together.

It takes decoded messages and returns events. Queues, commands and the end of a session are `client.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, ClassVar, Final

from .bsatn.values import ConnectionId, Identity
from .cache import Cache, Changes, Deltas
from .cache.replacing import Replaceable
from .calls import Call, CallKind, Calls, decode_arguments, decode_returned
from .errors import IdentityChanged, ProcedureError, QueryError, RemoteProtocolError, SubscriptionError
from .events import (
    BatchApplied,
    Committed,
    Connected,
    Event,
    Failed,
    Outcome,
    ProcedureReturned,
    QueryReturned,
    ReducerEvent,
    Refused,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from .query_sets import QuerySet, QuerySets
from .replay import Replay
from .schema.model import Schema
from .states import QuerySetInput, QuerySetState
from .steps import STEP, Steps
from .wire import messages
from .wire.runs import Run

__all__ = ["Receiver"]

SHARED: Final = 0
"""The one query set that all rows count for where the protocol does not say which set a row belongs to (v1)."""


class Receiver:
    """Applies server messages, one at a time, each wholly or not at all.

    Attributes:
        schema: The module's definition.
        cache: The rows of all live query sets.
        query_sets: The query sets that have not ended.
        calls: The calls that have no answer yet.
        identity: Who the server says the client is; None before the first message.
        connection_id: This connection's id; None before the first message.
        token: The token to come back with; None before the first message.
        last_id: The last id that was given to a request, or a query set.
        held: Events, and steps to events, to be handed out before the next message is applied.
    """

    def __init__(self, schema: Schema, *, shared_bag: bool) -> None:
        self.schema = schema
        self.cache = Cache(schema)
        self.query_sets = QuerySets()
        self.calls = Calls()
        self.identity: Identity | None = None
        self.connection_id: ConnectionId | None = None
        self.token: str | None = None
        self.last_id = 0
        self.held: deque[Event | Steps[Event]] = deque()
        self._shared_bag = shared_bag
        self._is_greeted = False
        self._replay: Replay | None = None

    def applying(self, message: messages.ServerMessage) -> Steps[Event | None]:
        """Apply one message, in steps. Nothing that anybody can see changes before the last one.

        Returns:
            What happened; None if nothing is told of it yet, because the query sets of a lost link are not all back.

        Raises:
            RemoteProtocolError: It does not fit what was asked or what is there; nothing has changed.
            DecodeError: It holds a value that is not of its declared type; nothing has changed.
            IdentityChanged: A new link greets somebody else than the lost one did; nothing has changed.
        """
        if not self._is_greeted and not isinstance(message, messages.InitialConnection):
            raise RemoteProtocolError(f"expected InitialConnection first, got {type(message).__name__}")
        outcome: Event | Steps[Event] = self._handlers[type(message)](self, message)
        event: Event = (yield from outcome) if isinstance(outcome, Generator) else outcome
        if self._replay is None:
            return event
        self._replay.add(event)
        return (yield from self.resuming()) if self._replay.is_complete else None

    # --- links --------------------------------------------------------------------------------------------------------

    def link(self, *, shared_bag: bool) -> None:
        """A new link takes the place of the one that was lost."""
        self._shared_bag = shared_bag
        self._is_greeted = False

    def lose_link(self) -> list[QuerySet]:
        """The link is lost. Rows stay as they are; what was half replayed is forgotten.

        Returns:
            The query sets that were leaving, for `giving_up`.
        """
        if self._replay is not None:
            self.held.extend(self._replay.left())
            self._replay = None
        return self.query_sets.lose()

    def replay(self) -> list[QuerySet]:
        """Begin to collect what the new link says.

        Returns:
            The query sets to ask for. When there are none, `resuming` may be called at once.
        """
        sets = [query_set for query_set in self.query_sets if query_set.is_unanswered and not query_set.is_leaving]
        self._replay = Replay(sets, self.query_sets.lean)
        return sets

    @property
    def is_replaying(self) -> bool:
        """Whether a new link has not said everything yet."""
        return self._replay is not None

    def resuming(self) -> Steps[Event]:
        """Apply what a new link has said, now that it has said everything."""
        replay = self._replay
        assert replay is not None
        first, *others = replay.told((yield from self.cache.renewing(replay.deltas)))
        self._replay = None
        self.held.extend(others)
        return first

    def giving_up(self, query_set: QuerySet) -> Steps[Event]:
        """End a query set that was taken back, without the server knowing: its link is lost."""
        return UnsubscribeApplied(query_set.id, (yield from self._give_up([query_set], QuerySetInput.LOST)))

    def _apply(self, deltas: Deltas) -> Steps[Changes]:
        if self._replay is None:
            return (yield from self.cache.applying(deltas))
        self._replay.deltas.absorb(deltas)
        return Changes()

    # --- messages -----------------------------------------------------------------------------------------------------

    def replaceable(self, run: Run) -> Replaceable | None:
        """What the messages of a run can be applied to while none of another kind comes between; None if to nothing."""
        template, name = run.template, run.template.table_name
        if (
            name not in self.schema.tables
            or self.schema.tables[name].is_event
            or not self.cache.table(name).admits(run.shortest, run.longest)
            or not (self._shared_bag or self.query_sets.receiving(template.query_set_id))
            or template.query_set_id in self.query_sets.lean
            or name in self.cache.grown
            or self._replay is not None
        ):
            return None
        return self.cache.table(name).replaceable(self._owner(template.query_set_id))

    def _on_initial_connection(self, message: messages.InitialConnection) -> Event:
        if self._is_greeted:
            raise RemoteProtocolError("expected one InitialConnection, got a second")
        if self.identity not in (None, message.identity):
            raise IdentityChanged(f"the new connection is {message.identity}'s, the lost one was {self.identity}'s")
        self._is_greeted = True
        self.identity, self.connection_id, self.token = message.identity, message.connection_id, message.token
        return Connected(message.identity, message.connection_id, message.token)

    def _on_subscribe_applied(self, message: messages.SubscribeApplied) -> Steps[Event]:
        query_set = self.query_sets.answered(message.request_id, QuerySetInput.APPLIED, message.query_set_id)
        deltas = Deltas(self.query_sets.lean)
        distinct = () if self.schema.row_level_security else query_set.distinct_tables
        deltas.insert(self._owner(query_set.id), message.rows, distinct)
        changes = yield from self._apply(deltas)
        self.query_sets.applied(query_set, _tables_of(message.rows))
        return SubscribeApplied(query_set.id, changes)

    def _on_batch_applied(self, message: messages.SubscribeBatchApplied) -> Steps[Event]:
        asked = self.query_sets.batch_answered(message.request_id, QuerySetInput.APPLIED)
        if [query_set.id for query_set in asked] != [result.query_set_id for result in message.results]:
            raise RemoteProtocolError(f"the answer to batch {message.request_id} names other query sets than asked for")
        deltas = Deltas(self.query_sets.lean)
        errors: dict[int, SubscriptionError] = {}
        for query_set, result in zip(asked, message.results, strict=True):
            if isinstance(result.outcome, str):
                errors[query_set.id] = SubscriptionError(result.outcome)
            else:
                deltas.insert(query_set.id, result.outcome)
        changes = yield from self._apply(deltas)
        for query_set, result in zip(asked, message.results, strict=True):
            if not isinstance(result.outcome, str):
                self.query_sets.applied(query_set, _tables_of(result.outcome))
            elif query_set in self.query_sets:
                self.query_sets.end(query_set, QuerySetInput.REFUSED)
        applied = tuple(query_set.id for query_set in asked if query_set.id not in errors)
        return BatchApplied(applied, errors, changes)

    def _on_unsubscribe_applied(self, message: messages.UnsubscribeApplied) -> Steps[Event]:
        query_set = self.query_sets.answered(message.request_id, QuerySetInput.UNSUBSCRIBED, message.query_set_id)
        deltas = Deltas(self.query_sets.lean)
        if message.rows is None or query_set.cache != "full":
            deltas.drop(query_set.id, self._holding(query_set.id))
        else:
            deltas.delete(self._owner(query_set.id), message.rows)
        changes = yield from self._apply(deltas)
        self.query_sets.end(query_set, QuerySetInput.UNSUBSCRIBED)
        return UnsubscribeApplied(query_set.id, changes)

    def _on_subscription_error(self, message: messages.SubscriptionError) -> Steps[Event]:
        error = SubscriptionError(message.error)
        if message.request_id is not None:
            query_set, how = self.query_sets.refused(message.request_id)
            if query_set not in self.query_sets:  # a second use of a live id, or the end of no set at all
                return SubscriptionFailed(query_set.id, error, Changes())
            return SubscriptionFailed(query_set.id, error, (yield from self._give_up([query_set], how)))
        if message.query_set_id is None:
            changes = yield from self._give_up(list(self.query_sets), QuerySetInput.DIED)
            return SubscriptionFailed(None, error, changes)
        died = self.query_sets.get(message.query_set_id)
        if died is None:
            return SubscriptionFailed(message.query_set_id, error, Changes())
        return SubscriptionFailed(died.id, error, (yield from self._give_up([died], QuerySetInput.DIED)))

    def _give_up(self, sets: list[QuerySet], how: QuerySetInput) -> Steps[Changes]:
        """End sets without the server saying which rows go: each set's own deliveries do, whatever they are.

        In v1 rows belong to no set, so those of a single failed set stay until the last set ends.
        """
        ending = [query_set.id for query_set in sets if query_set.state is not QuerySetState.REQUESTED]
        if self._shared_bag:
            ending = [SHARED] if len(sets) == len(self.query_sets) else []
        deltas = Deltas(self.query_sets.lean)
        for owner in ending:
            deltas.drop(owner, self._holding(owner))
        changes = yield from self._apply(deltas)
        for query_set in sets:
            self.query_sets.end(query_set, QuerySetInput.REFUSED if query_set.is_unanswered else how)
        return changes

    def _holding(self, query_set_id: int) -> Iterable[str]:
        """The tables in which a query set may hold anything."""
        query_set = self.query_sets.get(query_set_id)
        return self.cache.touched() if query_set is None or query_set.cache == "full" else query_set.tables

    def _owner(self, query_set_id: int) -> int:
        return SHARED if self._shared_bag else query_set_id

    def _on_transaction_update(self, message: messages.TransactionUpdate) -> Steps[Event]:
        changes = yield from self._apply_update(message)
        return Transaction(changes.only())

    def _apply_update(self, update: messages.TransactionUpdate) -> Steps[Changes]:
        deltas = Deltas(self.query_sets.lean)
        for part in update.query_sets:
            if self._shared_bag or self.query_sets.receiving(part.query_set_id):
                deltas.update(self._owner(part.query_set_id), part.tables)
        changes = yield from self._apply(deltas)
        if self.query_sets.lean:
            self._note_tables(update)
        return changes

    def _note_tables(self, update: messages.TransactionUpdate) -> None:
        """Which sets get rows of which tables says what can be read of them, where some sets store no rows."""
        for part in update.query_sets:
            query_set = self.query_sets.get(part.query_set_id)
            names = {table.table_name for table in part.tables}
            if query_set is not None and not names <= query_set.tables:
                self.query_sets.delivered(query_set, names)

    def _on_reducer_result(self, message: messages.ReducerResult) -> Steps[Event]:
        call = self.calls.under_way(CallKind.REDUCER, message.request_id)
        changes = Changes()
        outcome: Outcome = Committed()
        match message.result:
            case messages.ReducerOk(_, update):
                changes = yield from self._apply_update(update)
            case messages.ReducerErr(error):
                outcome = Refused(_error_text(error))
            case messages.ReducerInternalError(text):
                outcome = Failed(text)
            case messages.ReducerOkEmpty():
                pass
        self.calls.finish(call)
        args = decode_arguments(self.schema, call.name, call.args)
        who, where = self.identity, self.connection_id
        return ReducerEvent(call.request_id, call.name, args, message.timestamp, outcome, who, where, changes)

    def _on_reducer_update(self, message: messages.ReducerUpdate) -> Steps[Event]:
        """v1 tells everybody who called what; which of the calls are this connection's own is found here."""
        told = message.call
        own = self._own_call(message) if told.caller_connection_id == self.connection_id else None
        changes = yield from self._apply_update(message.update)
        if own is not None:
            self.calls.finish(own)
        outcome: Outcome = Committed() if message.error is None else Failed(message.error)
        return ReducerEvent(
            own.request_id if own else None,
            told.reducer,
            decode_arguments(self.schema, told.reducer, told.args if own is None else own.args),
            told.timestamp,
            outcome,
            told.caller_identity,
            told.caller_connection_id,
            changes,
        )

    def _own_call(self, message: messages.ReducerUpdate) -> Call | None:
        """Which of this connection's calls v1 means, if it is one of them."""
        told = message.call
        call = self.calls.find_reducer(told.request_id, told.reducer, told.args)
        return self.calls.under_way(CallKind.REDUCER, call.request_id) if call else None

    def _on_procedure_result(self, message: messages.ProcedureResult) -> Event:
        call = self.calls.under_way(CallKind.PROCEDURE, message.request_id)
        value: object = None
        error = None
        if isinstance(message.status, messages.ProcedureInternalError):
            error = ProcedureError(message.status.error, function=call.name)
        else:
            value = decode_returned(self.schema, call.name, message.status.value)
        self.calls.finish(call)
        duration = message.total_host_execution_duration
        return ProcedureReturned(call.request_id, call.name, value, error, message.timestamp, duration)

    def _on_query_result(self, message: messages.OneOffQueryResult) -> Steps[Event]:
        call = self.calls.under_way(CallKind.QUERY, message.request_id)
        found: dict[str, list[Any]] = {}
        error = QueryError(message.result) if isinstance(message.result, str) else None
        for part in () if isinstance(message.result, str) else message.result.tables:
            if part.table not in self.schema.tables:
                error = QueryError(f"the answer holds rows of {part.table!r}, which the schema does not know")
                break
            decode = self.schema.row_codec(part.table).decode_exact
            objects = found.setdefault(part.table, [])
            rows = yield from self.cache.known_part(part.table, part.rows)
            yield from rows.checking()
            for piece in rows.parts(STEP):
                objects.extend(map(decode, piece))
                yield
        self.calls.finish(call)
        return QueryReturned(call.request_id, {} if error else found, error)

    def _on_replaced_subscription(self, message: messages.ReplacedSubscription) -> Steps[Event]:
        """The rows of the legacy set. Alone, it owns all rows; beside other v1 sets nobody can say which are its."""
        (query_set,) = self.query_sets.batch_answered(message.request_id, QuerySetInput.APPLIED)
        deltas = Deltas()
        if all(other.id == SHARED for other in self.query_sets):
            deltas.drop(SHARED, self.cache.touched())
        deltas.insert(SHARED, message.rows)
        return SubscribeApplied(query_set.id, (yield from self._apply(deltas)))

    _handlers: ClassVar[Mapping[type, Callable[[Any, Any], Event | Steps[Event]]]] = {
        messages.InitialConnection: _on_initial_connection,
        messages.SubscribeApplied: _on_subscribe_applied,
        messages.UnsubscribeApplied: _on_unsubscribe_applied,
        messages.SubscriptionError: _on_subscription_error,
        messages.TransactionUpdate: _on_transaction_update,
        messages.OneOffQueryResult: _on_query_result,
        messages.ReducerResult: _on_reducer_result,
        messages.ReducerUpdate: _on_reducer_update,
        messages.ProcedureResult: _on_procedure_result,
        messages.SubscribeBatchApplied: _on_batch_applied,
        messages.ReplacedSubscription: _on_replaced_subscription,
    }


def _tables_of(rows: messages.QueryRows) -> Iterable[str]:
    return (part.table for part in rows.tables)


def _error_text(error: bytes) -> str:
    """A reducer's error: a string with its own length inside the bytes (protocol reference, trap 6)."""
    return error[4:].decode("utf-8", errors="replace")
