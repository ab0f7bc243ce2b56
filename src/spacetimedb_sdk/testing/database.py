"""A database: a module's rows, the clients that are connected, and what each of their messages does.

It takes messages and delivers messages; bytes, protocols and sockets are other modules'. Everything happens in the
order of the calls, one thing after the other, and clock and ids come from outside: the same calls do the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import ConnectionRefused, ReducerError
from spacetimedb_proto.wire import messages
from spacetimedb_proto.wire.messages import ClientMessage, QueryRows, ServerMessage

from .chance import Chance
from .clocks import ManualClock
from .context import ReducerContext
from .conversations import Conversation, ConversationV1, ConversationV2
from .declarations import Lifecycle
from .execution import SqlResult, execute
from .functions import Caller, Failure, Functions, Success
from .logs import Log
from .migration import carry_rows
from .module import Module, check_module
from .perspective import Perspective, compile_filters
from .queries import compile_query
from .schedule import Schedule
from .sql import SqlError
from .storage import Changes, Storage
from .subscriptions import Subscriber, rows_of
from .tokens import derive_identity

__all__ = ["Client", "Database"]

logger = logging.getLogger("spacetimedb_sdk.testing")

T = TypeVar("T")


@attrs.define(eq=False)
class Client:
    """One connected client.

    Attributes:
        caller: On whose behalf functions run that it calls.
        conversation: What it is told, and how.
        sees: What it may read.
    """

    caller: Caller
    conversation: Conversation
    sees: Perspective

    def learn(self, changes: Mapping[str, Changes]) -> Mapping[str, Changes]:
        """What a transaction changed in what the client sees; subscriptions to a view that fails now are over."""
        seen = self.sees.changes(changes)
        for name, error in self.sees.failures().items():
            self.conversation.give_up(name, error)
        return seen


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
        owner_identity: Whose it is, by identity.
        storage: Its rows.
        log: What happened in the module.
        chance: What its functions have random numbers from.

    Raises:
        TypeError: The module is none, or something in it is declared wrongly.
        ValueError: The tables of the other database do not fit.
        ConstraintError: Its rows do not.
        Exception: What `init` raised.
    """

    def __init__(self, module: Module, *, clock: Callable[[], Timestamp], rows_of: Database | None = None) -> None:
        check_module(module)
        self.module = module
        self.name = module.name
        self.identity = derive_identity(f"database {module.name}")
        self.owner = f"owner of {module.name}"
        self.owner_identity = derive_identity(self.owner)
        self.schema = module.schema
        self.clock = clock
        self.storage = Storage(module.schema)
        self.log: Log = Log(clock) if rows_of is None else rows_of.log
        self.chance: Chance = Chance(module.name) if rows_of is None else rows_of.chance
        self._functions = Functions(module, self.storage, self.log, self.chance)
        self._clients: list[Client] = []
        self._heir = self
        if rows_of is not None:
            carry_rows(rows_of.storage, self.storage)
        else:
            self._functions.lifecycle(Lifecycle.INIT, self._itself, clock())
        self._schedule = Schedule(self.storage, clock)

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

    # --- what is scheduled --------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> Timestamp | None:
        """When something scheduled is to run next, if anything is."""
        return self._schedule.next_due

    def on_due(self, wake: Callable[[Timestamp], None]) -> None:
        """Set what to call with the time when `run_due` is to be called, now and whenever that becomes another."""
        self._schedule.on_due(wake)

    def run_due(self) -> None:
        """Run the scheduled functions whose time has come by the clock, each once, in the order of their times."""
        for job, now in self._schedule.take_due():
            name, data = job
            last = not self._schedule.is_repeated(job)
            success = self._functions.scheduled(self.storage.tables[name], data, self._itself, now, last=last)
            self._publish(success.changes, is_scheduled=True)
            self._schedule.again(job)

    def advance(self, seconds: float) -> None:
        """Let time pass on a manual clock: everything scheduled runs at its very moment, one after the other.

        Args:
            seconds: How much.

        Raises:
            TypeError: The clock is not a `ManualClock`.
        """
        clock = self.clock
        if not isinstance(clock, ManualClock):
            raise TypeError("time passes by itself, since the server's clock is no ManualClock")
        end = Timestamp(clock.now.micros + round(seconds * 1_000_000))
        while (due := self.next_due) is not None and due.micros <= end.micros:
            clock.now = Timestamp(max(due.micros, clock.now.micros))
            self.run_due()
        clock.now = end

    @property
    def _itself(self) -> Caller:
        return Caller(self.identity, None)

    def is_owner(self, identity: Identity) -> bool:
        """Whether somebody owns the database, and so may see all tables, change rows by SQL, and read the log."""
        return identity == self.owner_identity

    # --- clients ------------------------------------------------------------------------------------------------------

    def connect(
        self,
        identity: Identity,
        connection_id: ConnectionId,
        token: str,
        deliver: Callable[[ServerMessage], None],
        *,
        protocol: str = "v3.bsatn.spacetimedb",
    ) -> Client:
        """Let a client in; its first message is delivered before this returns.

        Args:
            identity: Who it is.
            connection_id: Which of its connections.
            token: What it shows.
            deliver: Takes what it is to be told.
            protocol: What it speaks.

        Raises:
            ConnectionRefused: The module's `client_connected` raised. What it did is undone.
        """
        client = self._client(Caller(identity, connection_id, self.is_owner(identity)), deliver, protocol)
        try:
            success = self._functions.lifecycle(Lifecycle.CLIENT_CONNECTED, client.caller, self.clock())
        except Exception as error:
            if not isinstance(error, ReducerError):
                logger.exception("%s: client_connected failed", self.name)
            raise ConnectionRefused(str(error)) from error
        self._clients.append(client)
        deliver(messages.InitialConnection(identity, connection_id, token))
        self._publish(success.changes)
        return client

    def _client(self, caller: Caller, deliver: Callable[[ServerMessage], None], protocol: str) -> Client:
        # As the real server names a client in its errors.
        name = f"(Identity({caller.identity}), ConnectionId({caller.connection_id}))"
        subscriber = Subscriber(name, caller.identity, sees_all=caller.is_owner)
        sees = self._perspective(caller)
        if not protocol.startswith("v1."):
            return Client(caller, ConversationV2(caller, subscriber, deliver), sees)
        is_json = protocol.startswith("v1.json")
        return Client(caller, ConversationV1(caller, subscriber, deliver, is_json=is_json), sees)

    def _perspective(self, caller: Caller) -> Perspective:
        views = {name: partial(self._functions.view, name, caller.identity) for name in self.module.views}
        filters = {} if caller.is_owner else compile_filters(self.schema, caller.identity)
        return Perspective(self.storage, views, filters)

    def disconnect(self, client: Client) -> None:
        """A client has left. Once is enough, more often does nothing."""
        if client not in self._clients:
            return
        self._clients.remove(client)
        self._heir.see_off(client.caller)

    def bequeath(self, heir: Database) -> None:
        """Have another database, which took this one's rows over, see off the clients that leave from here on."""
        self._heir = heir

    def see_off(self, caller: Caller) -> None:
        """Tell the module that a client has left, here or in the database whose rows this one took over."""
        try:
            success = self._functions.lifecycle(Lifecycle.CLIENT_DISCONNECTED, caller, self.clock())
        except Exception:
            logger.exception("%s: client_disconnected failed", self.name)
        else:
            self._publish(success.changes)

    def _publish(
        self,
        changes: Mapping[str, Changes],
        *,
        request_id: int = 0,
        caller: Client | None = None,
        is_scheduled: bool = False,
    ) -> None:
        """Plan what is to be called, and tell clients what concerns them, but the caller, who has it in the answer."""
        self._schedule.note(changes, is_scheduled=is_scheduled)
        for client in self._clients if changes else ():
            if client is not caller:
                client.conversation.tell(client.sees, client.learn(changes), request_id)

    # --- messages -----------------------------------------------------------------------------------------------------

    def handle(self, client: Client, message: ClientMessage) -> None:
        """Do what a client asks. Answers, and what others learn of it, are delivered before this returns.

        Raises:
            LocalProtocolError: The client speaks a protocol without such a message.
        """
        match message:
            case messages.Subscribe():
                client.conversation.subscribe(message, client.sees)
            case messages.SubscribeBatch():
                client.conversation.subscribe_batch(message, client.sees)
            case messages.Unsubscribe():
                client.conversation.unsubscribe(message, client.sees)
            case messages.ReplaceSubscription():
                client.conversation.replace(message, client.sees, self.clock())
            case messages.OneOffQuery():
                self._one_off_query(client, message)
            case messages.CallReducer():
                self._call_reducer(client, message)
            case messages.CallProcedure():
                self._call_procedure(client, message)

    def _one_off_query(self, client: Client, message: messages.OneOffQuery) -> None:
        outcome: QueryRows | str
        caller = client.caller
        try:
            query = compile_query(message.query_string, self.schema, caller.identity, sees_all=caller.is_owner)
            outcome = QueryRows([rows_of(query, client.sees)])
        except SqlError as error:
            outcome = str(error)
        client.conversation.deliver(messages.OneOffQueryResult(message.request_id, outcome))

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
        caller = client.caller
        with self.storage.transaction() as changes:
            result = execute(text, self.storage, client.sees, caller.identity, is_owner=caller.is_owner)
        self._publish(changes)
        return result

    def _call_reducer(self, client: Client, message: messages.CallReducer) -> None:
        timestamp = self.clock()
        outcome = self._functions.reducer(message.reducer, message.args, client.caller, timestamp)
        if isinstance(outcome, Success):
            self._publish(outcome.changes, request_id=message.request_id, caller=client)
            outcome = attrs.evolve(outcome, changes=client.learn(outcome.changes))
        client.conversation.answer(message, outcome, client.sees, timestamp)

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
        client.conversation.deliver(messages.ProcedureResult(status, timestamp, duration, message.request_id))
