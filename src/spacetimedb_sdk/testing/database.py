"""A database: a module's rows, the clients that are connected, and what each of their messages does.

It takes messages and delivers messages; bytes, protocols and sockets are other modules'. Everything happens in the
order of the calls, one thing after the other, and clock and ids come from outside: the same calls do the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import ConnectionRefused, LocalProtocolError, ReducerError
from spacetimedb_proto.wire import messages
from spacetimedb_proto.wire.messages import ClientMessage, QueryRows, QuerySetUpdate, ServerMessage

from .context import ReducerContext
from .execution import SqlResult, execute
from .functions import Caller, Failure, Fault, Functions, Success
from .logs import Log
from .migration import carry_rows
from .module import Lifecycle, Module
from .queries import compile_query
from .sql import SqlError
from .storage import Changes, Storage
from .subscriptions import QuerySet, rows_of
from .tokens import derive_identity

__all__ = ["Client", "Database"]

logger = logging.getLogger("spacetimedb_sdk.testing")

T = TypeVar("T")


@attrs.define(eq=False)
class Client:
    """One connected client.

    Attributes:
        identity: Who it is.
        connection_id: Which of its connections.
        deliver: Takes what it is to be told.
        query_sets: Its live subscriptions by their ids.
    """

    identity: Identity
    connection_id: ConnectionId
    deliver: Callable[[ServerMessage], None]
    query_sets: dict[int, QuerySet] = attrs.field(factory=dict[int, QuerySet], init=False)

    @property
    def caller(self) -> Caller:
        """On whose behalf functions run that it calls."""
        return Caller(self.identity, self.connection_id)

    def __str__(self) -> str:
        """As the real server names a client in its errors."""
        return f"(Identity({self.identity}), ConnectionId({self.connection_id}))"


class Database:
    """One database made of a module: with the rows of an earlier one, or empty but for what `init` put into it.

    Args:
        module: What it is made of.
        clock: What time it is.
        rows_of: The database whose rows it begins with; `init` does not run then.

    Attributes:
        module: As given.
        name: The module's name.
        identity: Its own, by which clients may also address it.
        schema: The module's.
        clock: As given.
        owner: Whose it is, by the subject of the owner's tokens.
        storage: Its rows.
        log: What happened in the module.

    Raises:
        TypeError: Something in the module is declared wrongly.
        ValueError: The tables of the other database do not fit.
        ConstraintError: Its rows do not.
        Exception: What `init` raised.
    """

    def __init__(self, module: Module, *, clock: Callable[[], Timestamp], rows_of: Database | None = None) -> None:
        self.module = module
        self.name = module.name
        self.identity = derive_identity(f"database {module.name}")
        self.owner = f"owner of {module.name}"
        self.schema = module.schema
        self.clock = clock
        self.storage = Storage(module.schema)
        self.log: Log = Log(clock) if rows_of is None else rows_of.log
        self._functions = Functions(module, self.storage, self.log)
        self._clients: list[Client] = []
        if rows_of is not None:
            carry_rows(rows_of.storage, self.storage)
        else:
            self._functions.lifecycle(Lifecycle.INIT, self._itself, clock())

    def __repr__(self) -> str:
        return f"<Database {self.name!r} with {len(self._clients)} clients>"

    def run(self, function: Callable[[ReducerContext], T]) -> T:
        """Run a function like a reducer that the server calls by itself: subscribers learn what it changed.

        Raises:
            Exception: What the function raised, which undoes what it did.
        """
        result, success = self._functions.run(function, self._itself, self.clock())
        self._publish(success.changes)
        return result

    @property
    def _itself(self) -> Caller:
        return Caller(self.identity, None)

    def is_owner(self, identity: Identity) -> bool:
        """Whether somebody owns the database, and so may see all tables, change rows by SQL, and read the log."""
        return identity == derive_identity(self.owner)

    # --- clients ------------------------------------------------------------------------------------------------------

    def connect(
        self, identity: Identity, connection_id: ConnectionId, token: str, deliver: Callable[[ServerMessage], None]
    ) -> Client:
        """Let a client in; its first message is delivered before this returns.

        Raises:
            ConnectionRefused: The module's `client_connected` raised. What it did is undone.
        """
        client = Client(identity, connection_id, deliver)
        try:
            success = self._functions.lifecycle(Lifecycle.CLIENT_CONNECTED, client.caller, self.clock())
        except Exception as error:
            if not isinstance(error, ReducerError):
                logger.exception("%s: client_connected failed", self.name)
            raise ConnectionRefused(str(error)) from error
        self._clients.append(client)
        client.deliver(messages.InitialConnection(identity, connection_id, token))
        self._publish(success.changes)
        return client

    def disconnect(self, client: Client) -> None:
        """A client has left. Once is enough, more often does nothing."""
        if client not in self._clients:
            return
        self._clients.remove(client)
        try:
            success = self._functions.lifecycle(Lifecycle.CLIENT_DISCONNECTED, client.caller, self.clock())
        except Exception:
            logger.exception("%s: client_disconnected failed", self.name)
        else:
            self._publish(success.changes)

    def _publish(self, changes: Mapping[str, Changes], caller: Client | None = None) -> list[QuerySetUpdate]:
        """Tell every client what concerns it, except the caller, whose share is returned."""
        share: list[QuerySetUpdate] = []
        for client in self._clients if changes else ():
            updates = [
                (set_id, query_set.updates(self.storage, changes)) for set_id, query_set in client.query_sets.items()
            ]
            concerned = [QuerySetUpdate(set_id, tables) for set_id, tables in updates if tables]
            if client is caller:
                share = concerned
            elif concerned:
                client.deliver(messages.TransactionUpdate(concerned))
        return share

    # --- messages -----------------------------------------------------------------------------------------------------

    def handle(self, client: Client, message: ClientMessage) -> None:
        """Do what a client asks. Answers, and what others learn of it, are delivered before this returns."""
        match message:
            case messages.Subscribe():
                self._subscribe(client, message)
            case messages.SubscribeBatch():
                self._subscribe_batch(client, message)
            case messages.Unsubscribe():
                self._unsubscribe(client, message)
            case messages.OneOffQuery():
                self._one_off_query(client, message)
            case messages.CallReducer():
                self._call_reducer(client, message)
            case messages.CallProcedure():
                self._call_procedure(client, message)
            case messages.ReplaceSubscription():
                _refuse_v1(message)

    def _start_set(self, client: Client, query_set_id: int, texts: list[str]) -> QueryRows | str:
        """Make a query set live; its rows, or why not."""
        if query_set_id in client.query_sets:
            return f"Subscription with id {_shown(query_set_id)} already exists for client: {client}"
        try:
            query_set = QuerySet(texts, self.schema, client.identity, sees_all=self.is_owner(client.identity))
        except SqlError as error:
            return str(error)
        client.query_sets[query_set_id] = query_set
        return query_set.rows(self.storage)

    def _subscribe(self, client: Client, message: messages.Subscribe) -> None:
        request_id, set_id = message.request_id, message.query_set_id
        outcome = self._start_set(client, set_id, message.query_strings)
        if isinstance(outcome, str):
            client.deliver(messages.SubscriptionError(request_id, set_id, outcome))
        else:
            client.deliver(messages.SubscribeApplied(request_id, set_id, outcome))

    def _subscribe_batch(self, client: Client, message: messages.SubscribeBatch) -> None:
        results = [
            messages.SubscribeSetResult(
                part.query_set_id, self._start_set(client, part.query_set_id, part.query_strings)
            )
            for part in message.sets
        ]
        client.deliver(messages.SubscribeBatchApplied(message.request_id, results))

    def _unsubscribe(self, client: Client, message: messages.Unsubscribe) -> None:
        request_id, set_id = message.request_id, message.query_set_id
        query_set = client.query_sets.pop(set_id, None)
        if query_set is None:
            text = f"Subscription not found: ({client}, {_shown(set_id)})"
            client.deliver(messages.SubscriptionError(request_id, set_id, text))
            return
        rows = query_set.rows(self.storage) if message.send_dropped_rows else None
        client.deliver(messages.UnsubscribeApplied(request_id, set_id, rows))

    def _one_off_query(self, client: Client, message: messages.OneOffQuery) -> None:
        outcome: QueryRows | str
        try:
            sees_all = self.is_owner(client.identity)
            query = compile_query(message.query_string, self.schema, client.identity, sees_all=sees_all)
            outcome = QueryRows([rows_of(query, self.storage)])
        except SqlError as error:
            outcome = str(error)
        client.deliver(messages.OneOffQueryResult(message.request_id, outcome))

    # --- calls --------------------------------------------------------------------------------------------------------

    def call_reducer(self, client: Client, name: str, args: bytes | str) -> Success | Failure:
        """Call a reducer for a client; subscribers, the client too, learn what it changed."""
        outcome = self._functions.reducer(name, args, client.caller, self.clock())
        if isinstance(outcome, Success):
            self._publish(outcome.changes)
        return outcome

    def call_procedure(self, client: Client, name: str, args: bytes | str) -> Success | Failure:
        """Call a procedure for a client, as `call_reducer` does."""
        outcome = self._functions.procedure(name, args, client.caller, self.clock())
        if isinstance(outcome, Success):
            self._publish(outcome.changes)
        return outcome

    def execute(self, client: Client, text: str) -> SqlResult:
        """Run a statement of SQL for a client; subscribers learn what it changed.

        Raises:
            SqlError: The server refuses it.
        """
        is_owner = self.is_owner(client.identity)
        with self.storage.transaction() as changes:
            result = execute(text, self.storage, client.identity, is_owner=is_owner)
        self._publish(changes)
        return result

    def _call_reducer(self, client: Client, message: messages.CallReducer) -> None:
        timestamp = self.clock()
        outcome = self._functions.reducer(message.reducer, message.args, client.caller, timestamp)
        result: messages.ReducerOutcome
        if isinstance(outcome, Success):
            update = messages.TransactionUpdate(self._publish(outcome.changes, client))
            result = messages.ReducerOk(b"", update)
        elif outcome.fault is Fault.REFUSED:
            result = messages.ReducerErr(_bsatn_text(outcome.text))
        else:
            result = messages.ReducerInternalError(outcome.text)
        client.deliver(messages.ReducerResult(message.request_id, timestamp, result))

    def _call_procedure(self, client: Client, message: messages.CallProcedure) -> None:
        timestamp = self.clock()
        outcome = self._functions.procedure(message.procedure, message.args, client.caller, timestamp)
        status: messages.ProcedureReturned | messages.ProcedureInternalError
        if isinstance(outcome, Failure):
            status = messages.ProcedureInternalError(outcome.text)
            timestamp, duration = Timestamp(0), TimeDuration(0)  # as on the real server
        else:
            status = messages.ProcedureReturned(outcome.value or b"")
            duration = self.clock() - timestamp
            self._publish(outcome.changes)
        client.deliver(messages.ProcedureResult(status, timestamp, duration, message.request_id))


def _refuse_v1(message: messages.ReplaceSubscription) -> NoReturn:
    raise LocalProtocolError(f"{type(message).__name__} belongs to v1, which is not served")


def _shown(query_set_id: int) -> str:
    return f"QuerySetId {{ id: {query_set_id} }}"


def _bsatn_text(text: str) -> bytes:
    data = text.encode("utf-8", errors="replace")
    return len(data).to_bytes(4, "little") + data
