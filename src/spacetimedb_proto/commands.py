"""What a client may ask for, and what becomes of it until it is sent.

Commands check their arguments before anything is queued. What comes back is `client.py`'s.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from .bsatn.values import ConnectionId, Identity
from .cache import CACHE_POLICIES, Cache, CachePolicy, Changes
from .calls import Call, CallKind, Encoded, encode_arguments
from .errors import CallError, EncodeError, LocalProtocolError, RemoteProtocolError, SubscriptionError
from .events import CallFailed, SubscriptionFailed
from .limits import Limits
from .query_sets import QuerySet, QuerySets
from .receiver import SHARED, Receiver
from .schema.model import Function, Schema
from .states import CallInput, CallState, QuerySetState
from .wire import Protocol, messages
from .wire import protocol as protocol_named

__all__ = ["Commands"]

MAX_REQUEST: Final = 32 * 1024 * 1024
"""The server drops connections that send a larger message (protocol reference, 1.7)."""


class Commands(ABC):
    """The half of a session that asks. Its arguments and attributes are `ClientSession`'s."""

    def __init__(self, schema: Schema, protocol: str, limits: Limits, after: Commands | None) -> None:
        self.limits = limits
        self._protocol: Protocol = protocol_named(protocol, schema, limits)
        self._outbox: list[messages.ClientMessage] = []
        if after is None:
            self._received = Receiver(schema, shared_bag=self._protocol.shared_bag)
        else:
            self._received = after._received  # noqa: SLF001 - its own class
            self._received.link(shared_bag=self._protocol.shared_bag)

    @property
    def protocol_name(self) -> str:
        """The WebSocket subprotocol in use."""
        return self._protocol.name

    @property
    def schema(self) -> Schema:
        """The module's definition, which rows and arguments are read by: the first that the session was given."""
        return self._received.schema

    @property
    def cache(self) -> Cache:
        """The rows of all live query sets. Readable also after the session is over."""
        return self._received.cache

    @property
    def query_sets(self) -> QuerySets:
        """The query sets that have not ended."""
        return self._received.query_sets

    @property
    def identity(self) -> Identity | None:
        """Who the server says the client is; None before `Connected`."""
        return self._received.identity

    @property
    def connection_id(self) -> ConnectionId | None:
        """This connection's id; None before `Connected`."""
        return self._received.connection_id

    @property
    def token(self) -> str | None:
        """The token to come back with; None before `Connected`."""
        return self._received.token

    @property
    @abstractmethod
    def _is_lost(self) -> bool:
        """Whether the link is lost."""

    @abstractmethod
    def _check_alive(self, *, later: bool = False) -> None:
        """Raise `LocalProtocolError` if nothing can be asked for."""

    # --- commands -----------------------------------------------------------------------------------------------------

    # With `later=True` each of them waits for the next link, because this one is lost.

    def subscribe(
        self,
        queries: str | Sequence[str],
        *,
        cache: CachePolicy = "full",
        deadline: float = math.inf,
        later: bool = False,
    ) -> int:
        """Ask for the rows of some queries, now and from now on.

        Args:
            queries: SQL.
            cache: What to keep of the rows: all of each, its key, or nothing. Changes are told in any case.
            deadline: When to wait no longer for the first rows, on the clock that `handle_timeout` is called with. The
                query set is then taken back, and `SubscriptionFailed` says so.
            later: Ask on the next link.

        Returns:
            The query set's id, as events name it.

        Raises:
            EncodeError: A query is no text that can be sent.
            LocalProtocolError: The session is over, there is no query, or the policy is none that can be had: v1 does
                not say which rows are a query set's, so there all of them are kept.
        """
        self._check_alive(later=later)
        texts = [_query_text(query) for query in ([queries] if isinstance(queries, str) else queries)]
        if not texts:
            raise LocalProtocolError("expected at least one query, got none")
        if cache not in CACHE_POLICIES:
            raise LocalProtocolError(f"cache: expected 'full', 'keys' or 'none', got {cache!r}")
        if cache != "full" and self._protocol.shared_bag:
            raise LocalProtocolError(
                f"cache: {cache!r} needs v2.bsatn or v3.bsatn, the server chose {self.protocol_name}"
            )
        query_set_id = self._next_id()
        query_set = self.query_sets.add(query_set_id, texts, cache=cache, deadline=deadline)
        if not later:
            self._ask_for(query_set)
        return query_set_id

    def unsubscribe(self, query_set_id: int, *, later: bool = False) -> None:
        """End a query set; also one that the server has not answered yet. Without a link it is over at once.

        Raises:
            LocalProtocolError: There is no such set, or it is already leaving.
        """
        self._check_alive(later=later)
        if later:
            self._received.held.append(self._received.giving_up(self.query_sets.take_back(query_set_id)))
            return
        request_id = self._next_id()
        self.query_sets.leave(request_id, query_set_id)
        self._outbox.append(messages.Unsubscribe(request_id, query_set_id))

    def call_reducer(
        self,
        name: str,
        args: Sequence[Any] | Mapping[str, Any] = (),
        *,
        deadline: float = math.inf,
        retry: bool = False,
        later: bool = False,
    ) -> int:
        """Call a reducer; its `ReducerEvent` carries the returned request id.

        Args:
            name: Name in the server's schema.
            args: Values in declared order, or by parameter name.
            deadline: When to wait no longer, on the clock that `handle_timeout` is called with.
            retry: Keep the call for the next link if this one is lost before it was sent.
            later: Send it on the next link.

        Raises:
            EncodeError: An argument does not fit its parameter. Nothing is sent.
            TypeError: The wrong number of arguments. Nothing is sent.
            LocalProtocolError: The schema has no such reducer, or the session is over.
        """
        function = self._function(self.schema.reducers, "reducer", name)
        encoded = encode_arguments(self.schema.params_codec(function), args, text=self._protocol.text)
        return self._start_call(CallKind.REDUCER, name, encoded, deadline=deadline, retry=retry, later=later)

    def call_procedure(
        self,
        name: str,
        args: Sequence[Any] | Mapping[str, Any] = (),
        *,
        deadline: float = math.inf,
        retry: bool = False,
        later: bool = False,
    ) -> int:
        """Call a procedure; its `ProcedureReturned` carries the returned request id. Otherwise as `call_reducer`."""
        function = self._function(self.schema.procedures, "procedure", name)
        encoded = encode_arguments(self.schema.params_codec(function), args, text=self._protocol.text)
        return self._start_call(CallKind.PROCEDURE, name, encoded, deadline=deadline, retry=retry, later=later)

    def query(self, sql: str, *, deadline: float = math.inf) -> int:
        """Ask for the rows of one query, once; its `QueryReturned` carries the returned request id.

        Raises:
            EncodeError: It is no text that can be sent.
            LocalProtocolError: The session is over.
        """
        return self._start_call(CallKind.QUERY, _query_text(sql), deadline=deadline)

    def cancel_call(self, request_id: int) -> bool:
        """Wait no longer for the answer to a call or query, which `CallFailed` then says.

        If it has not been sent, it never will be; else it may still run, and its changes come as any others.

        Returns:
            Whether it was under way.
        """
        given_up = self._received.calls.cancel(request_id)
        if given_up is not None:
            self._given_up(*given_up)
        return given_up is not None

    def next_deadline(self) -> float:
        """When to call `handle_timeout`; infinite if never."""
        return min(self._received.calls.next_deadline(), self.query_sets.next_deadline())

    def handle_timeout(self, now: float) -> None:
        """Give up the calls and query sets whose deadline is past."""
        for call, failure in self._received.calls.expire(now):
            self._given_up(call, failure)
        for query_set in self.query_sets.late(now):
            error = SubscriptionError("the first rows did not come in time")
            self._received.held.append(SubscriptionFailed(query_set.id, error, Changes()))
            with suppress(LocalProtocolError):  # it is leaving already, or there is nobody left to be told
                self.unsubscribe(query_set.id, later=self._is_lost)

    def payloads_to_send(self) -> list[bytes | str]:
        """Take what must go out, one WebSocket message each. From here on the calls in it count as sent."""
        outbox, self._outbox = self._outbox, []
        for message in outbox:
            self._received.calls.taken(message)
        return self._protocol.write_client(outbox) if outbox else []

    def observe(self, payload: bytes | str) -> None:
        """Move the session as if it had sent this payload itself: recorded traffic replays through here.

        Raises:
            LocalProtocolError: No client could have sent it.
        """
        self._check_alive()
        try:
            sent = list(self._protocol.read_client(payload))
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"not a client's payload: {error}") from error
        for message in sent:
            self._observe(message)

    # --- commands, inside ---------------------------------------------------------------------------------------------

    def _ask_for(self, query_set: QuerySet) -> None:
        request_id = self._next_id()
        self.query_sets.ask(request_id, [query_set])
        self._outbox.append(messages.Subscribe(request_id, query_set.id, list(query_set.queries)))

    def _given_up(self, call: Call, error: CallError) -> None:
        if call.state is CallState.WITHDRAWN and call.message in self._outbox:  # else it waits for the next link
            self._outbox.remove(call.message)
        self._received.held.append(CallFailed(call.request_id, error))

    def _next_id(self) -> int:
        # Zero is not used: v1 answers calls that it could not start with request id 0 (protocol reference, 3.8).
        self._received.last_id = self._received.last_id % 0xFFFF_FFFF + 1
        return self._received.last_id

    def _function(self, functions: Mapping[str, Function], kind: str, name: str) -> Function:
        function = functions.get(name)
        if function is None:
            known = ", ".join(functions) or "none"
            raise LocalProtocolError(f"no {kind} {name!r} in the schema; there are: {known}")
        return function

    def _start_call(
        self,
        kind: CallKind,
        name: str,
        args: Encoded = b"",
        *,
        deadline: float = math.inf,
        retry: bool = False,
        later: bool = False,
    ) -> int:
        self._check_alive(later=later)
        if len(args) + len(name) + 64 > MAX_REQUEST:
            raise LocalProtocolError(
                f"{kind.value} {name[:40]!r}: the server takes at most {MAX_REQUEST} bytes per message, got {len(args)}"
            )
        call = Call(kind, self._next_id(), name, args, deadline, retry)
        self._received.calls.add(call)
        if not (later or self._received.is_replaying):
            self._outbox.append(call.message)
        return call.request_id

    def _observe(self, message: messages.ClientMessage) -> None:
        self._received.last_id = max(self._received.last_id, message.request_id)
        match message:
            case messages.Subscribe():
                self._observe_sets(message.request_id, [(message.query_set_id, message.query_strings)])
            case messages.SubscribeBatch():
                sets = [(part.query_set_id, part.query_strings) for part in message.sets]
                self._observe_sets(message.request_id, sets, is_all=True)
            case messages.ReplaceSubscription():
                self._observe_sets(message.request_id, [(SHARED, message.query_strings)])
            case messages.Unsubscribe():
                # Recorded clients may ask for the end of what does not exist: the answer is the server's to give.
                self.query_sets.leave(message.request_id, message.query_set_id, unknown_is_error=False)
            case messages.CallReducer():
                if message.flags == 0:  # 1 asks v1 not to answer
                    self._observe_call(CallKind.REDUCER, message.request_id, message.reducer, message.args)
            case messages.CallProcedure():
                self._observe_call(CallKind.PROCEDURE, message.request_id, message.procedure, message.args)
            case messages.OneOffQuery():
                self._observe_call(CallKind.QUERY, message.request_id, message.query_string, b"")

    def _observe_sets(self, request_id: int, sets: list[tuple[int, list[str]]], *, is_all: bool = False) -> None:
        """Query sets are asked for: new ones, and after a loss those of the lost link again, all of them in a batch."""
        self._received.last_id = max(self._received.last_id, *(query_set_id for query_set_id, _ in sets), 0)
        stale = {each.id: each for each in self.query_sets if each.state is QuerySetState.STALE}
        asked = [
            stale.pop(set_id) if set_id in stale else self.query_sets.add(set_id, queries) for set_id, queries in sets
        ]
        self.query_sets.ask(request_id, asked)
        if is_all:  # what is not asked for on the new link was taken back without one
            taken_back = [self.query_sets.take_back(set_id) for set_id in stale]
            self._received.held.extend(map(self._received.giving_up, taken_back))

    def _observe_call(self, kind: CallKind, request_id: int, name: str, args: Encoded) -> None:
        call = Call(kind, request_id, name, args)
        call.step(CallInput.TAKEN)
        self._received.calls.add(call)


def _query_text(query: object) -> str:
    """A query's text, checked before anything is queued."""
    if not isinstance(query, str):
        several = isinstance(query, list | tuple | set)
        expected = f"a query's text, {'each as an argument of its own' if several else 'such as table.where() makes'}"
        raise EncodeError(expected, f"{query!r} ({type(query).__name__})", ["query"])
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("text that is valid Unicode", f"{query[:80]!a}: {error.reason}", ["query"]) from None
    return str(query)
