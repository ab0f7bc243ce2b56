"""How a client is answered: in the ways of v2 and v3, or in those of v1 (protocol reference, 3.5 and 3.8).

Both speak messages of the one model; what is said at all, and to whom, is what differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.wire import messages as m

from .functions import Caller, Failure, Fault, Success
from .sql import SqlError
from .storage import Changes, RowSource
from .subscriptions import QuerySets, SharedQueries, Subscriber

__all__ = ["Conversation", "ConversationV1", "ConversationV2"]

NO_NOTICE: Final = 1
"""The flag of a call in v1 whose caller hears of success like everybody else, and of failure not at all."""

_NOT_STARTED: Final = frozenset({Fault.MISSING, Fault.UNCALLABLE, Fault.ARGUMENTS})


class Conversation(ABC):
    """What one client is told, and how.

    Args:
        caller: Who the client is.
        deliver: Takes what it is told.
    """

    def __init__(self, caller: Caller, deliver: Callable[[m.ServerMessage], None]) -> None:
        self.caller = caller
        self.deliver = deliver

    @abstractmethod
    def subscribe(self, message: m.Subscribe, storage: RowSource) -> None:
        """Begin a query set."""

    @abstractmethod
    def unsubscribe(self, message: m.Unsubscribe, storage: RowSource) -> None:
        """End a query set."""

    @abstractmethod
    def replace(self, message: m.ReplaceSubscription, storage: RowSource, now: Timestamp) -> None:
        """Put queries into the place of earlier ones.

        Args:
            message: What the client asks.
            storage: What it is answered from.
            now: When.

        Raises:
            LocalProtocolError: The protocol has no such message.
        """

    @abstractmethod
    def subscribe_batch(self, message: m.SubscribeBatch, storage: RowSource) -> None:
        """Begin query sets; raises as `replace`."""

    @abstractmethod
    def tell(self, storage: RowSource, changes: Mapping[str, Changes], request_id: int) -> None:
        """Tell what a transaction changed, if it concerns the client.

        Args:
            storage: As it is after the transaction.
            changes: What the transaction did, by table.
            request_id: By which its caller knows the call, or 0.
        """

    def give_up(self, table: str, error: str) -> None:  # noqa: B027 - v1 has no words for it
        """Tell that a view cannot be computed any more, and end what has subscribed to it.

        Args:
            table: The view's name.
            error: What is told.
        """

    @abstractmethod
    def answer(self, call: m.CallReducer, outcome: Success | Failure, storage: RowSource, now: Timestamp) -> None:
        """Tell the client what came of its call, and what it changed.

        Args:
            call: What it asked.
            outcome: What came of it.
            storage: As it is after the call.
            now: When the call was made.
        """


class ConversationV2(Conversation):
    """With a client that speaks v2 or v3."""

    def __init__(self, caller: Caller, subscriber: Subscriber, deliver: Callable[[m.ServerMessage], None]) -> None:
        super().__init__(caller, deliver)
        self._sets = QuerySets(subscriber)

    def subscribe(self, message: m.Subscribe, storage: RowSource) -> None:
        """Answer with the rows of the set."""
        request_id, set_id = message.request_id, message.query_set_id
        try:
            rows = self._sets.start(set_id, message.query_strings, storage)
        except SqlError as error:
            self.deliver(m.SubscriptionError(request_id, set_id, str(error)))
        else:
            self.deliver(m.SubscribeApplied(request_id, set_id, rows))

    def unsubscribe(self, message: m.Unsubscribe, storage: RowSource) -> None:
        """Answer with the rows that leave, if they are asked for."""
        request_id, set_id = message.request_id, message.query_set_id
        try:
            rows = self._sets.end(set_id, storage)
        except SqlError as error:
            self.deliver(m.SubscriptionError(request_id, set_id, str(error)))
        else:
            self.deliver(m.UnsubscribeApplied(request_id, set_id, rows if message.send_dropped_rows else None))

    def replace(self, message: m.ReplaceSubscription, storage: RowSource, now: Timestamp) -> None:  # noqa: ARG002 - there is none
        """Refuse."""
        raise LocalProtocolError(f"{type(message).__name__} belongs to v1, which this client does not speak")

    def subscribe_batch(self, message: m.SubscribeBatch, storage: RowSource) -> None:
        """Answer once for all sets."""
        results = [m.SubscribeSetResult(part.query_set_id, self._outcome(part, storage)) for part in message.sets]
        self.deliver(m.SubscribeBatchApplied(message.request_id, results))

    def _outcome(self, part: m.SubscribeSet, storage: RowSource) -> m.QueryRows | str:
        try:
            return self._sets.start(part.query_set_id, part.query_strings, storage)
        except SqlError as error:
            return str(error)

    def give_up(self, table: str, error: str) -> None:
        """Name each set that is over; it was no request that failed (protocol reference, 3.5)."""
        for set_id in self._sets.drop(table):
            self.deliver(m.SubscriptionError(None, set_id, error))

    def tell(self, storage: RowSource, changes: Mapping[str, Changes], request_id: int) -> None:  # noqa: ARG002 - v1's
        """Tell nothing of the cause."""
        updates = self._sets.updates(storage, changes)
        if updates:
            self.deliver(m.TransactionUpdate(updates))

    def answer(self, call: m.CallReducer, outcome: Success | Failure, storage: RowSource, now: Timestamp) -> None:
        """Answer with the client's share of the transaction."""
        result: m.ReducerOutcome
        if isinstance(outcome, Success):
            result = m.ReducerOk(b"", m.TransactionUpdate(self._sets.updates(storage, outcome.changes)))
        elif outcome.fault is Fault.REFUSED:
            result = m.ReducerErr(_bsatn_text(outcome.text))
        else:
            result = m.ReducerInternalError(outcome.text)
        self.deliver(m.ReducerResult(call.request_id, now, result))


class ConversationV1(Conversation):
    """With a client that speaks v1, to a server of 2.x: nobody is told who else called what.

    Args:
        caller: Who the client is.
        subscriber: Who it is to its subscriptions.
        deliver: Takes what it is told.
        is_json: Whether arguments are JSON.
    """

    def __init__(
        self,
        caller: Caller,
        subscriber: Subscriber,
        deliver: Callable[[m.ServerMessage], None],
        *,
        is_json: bool = False,
    ) -> None:
        super().__init__(caller, deliver)
        self._queries = SharedQueries(subscriber)
        self._no_args = "[]" if is_json else b""

    def subscribe(self, message: m.Subscribe, storage: RowSource) -> None:
        """Answer in the form that was asked in."""
        request_id, set_id = message.request_id, message.query_set_id
        is_single = isinstance(message, m.SubscribeSingle)
        start = self._queries.start_single if is_single else self._queries.start
        try:
            rows = start(set_id, message.query_strings, storage)
        except SqlError as error:
            self.deliver(m.SubscriptionError(request_id, set_id, str(error)))
        else:
            self.deliver((m.SingleApplied if is_single else m.SubscribeApplied)(request_id, set_id, rows))

    def unsubscribe(self, message: m.Unsubscribe, storage: RowSource) -> None:
        """Answer in the form that was asked in."""
        request_id, set_id = message.request_id, message.query_set_id
        is_single = isinstance(message, m.UnsubscribeSingle)
        end = self._queries.end_single if is_single else self._queries.end
        try:
            rows = end(set_id, storage)
        except SqlError as error:
            self.deliver(m.SubscriptionError(request_id, set_id, str(error)))
        else:
            self.deliver((m.SingleEnded if is_single else m.UnsubscribeApplied)(request_id, set_id, rows))

    def replace(self, message: m.ReplaceSubscription, storage: RowSource, now: Timestamp) -> None:
        """Answer with all rows, or as if a call had failed, which is how v1 tells of any request that does."""
        try:
            rows = self._queries.replace(message.query_strings, storage)
        except SqlError as error:
            self._not_started("<none>", str(error), now)
        else:
            self.deliver(m.ReplacedSubscription(message.request_id, rows))

    def subscribe_batch(self, message: m.SubscribeBatch, storage: RowSource) -> None:  # noqa: ARG002 - there is none
        """Refuse."""
        raise LocalProtocolError(f"{type(message).__name__} is not in v1, which this client speaks")

    def tell(self, storage: RowSource, changes: Mapping[str, Changes], request_id: int) -> None:
        """Tell which request of its caller's it was."""
        updates = self._queries.updates(storage, changes)
        if updates:
            self.deliver(m.LightUpdate(updates, request_id))

    def answer(self, call: m.CallReducer, outcome: Success | Failure, storage: RowSource, now: Timestamp) -> None:
        """Answer with the call itself, unless the client does not want to hear of it."""
        if isinstance(outcome, Failure) and outcome.fault in _NOT_STARTED:
            self._not_started(call.reducer, outcome.full_text, now)
        elif call.flags != NO_NOTICE:
            error = outcome.text if isinstance(outcome, Failure) else None
            changes: Mapping[str, Changes] = {} if isinstance(outcome, Failure) else outcome.changes
            update = m.TransactionUpdate(self._queries.updates(storage, changes))
            told = m.ReducerCall(call.reducer, call.request_id, call.args, *self._me, now)
            self.deliver(m.ReducerUpdate(told, update, error))
        elif isinstance(outcome, Success):
            self.tell(storage, outcome.changes, call.request_id)

    def _not_started(self, name: str, text: str, now: Timestamp) -> None:
        """v1 does not say which call it was that could not be made."""
        told = m.ReducerCall(name, 0, self._no_args, *self._me, now)
        self.deliver(m.ReducerUpdate(told, m.TransactionUpdate([]), text))

    @property
    def _me(self) -> tuple[Identity, ConnectionId]:
        assert self.caller.connection_id is not None
        return self.caller.identity, self.caller.connection_id


def _bsatn_text(text: str) -> bytes:
    data = text.encode("utf-8", errors="replace")
    return len(data).to_bytes(4, "little") + data
