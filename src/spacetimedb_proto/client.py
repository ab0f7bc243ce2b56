"""`ClientSession`: the client at message level. Payloads and commands in, payloads and events out.

It knows queries, calls and the cache. It does not know WebSocket frames (`websocket.py`), which protocol was negotiated
(`wire/`), sockets, clocks or callbacks. One server message becomes one event, and the cache moves with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from .bsatn.values import ConnectionId, Identity
from .cache import CACHE_POLICIES, Cache, CachePolicy
from .calls import Call, CallKind, Encoded, encode_arguments
from .errors import DecodeError, EncodeError, LocalProtocolError, RemoteProtocolError, SpacetimeDBError
from .events import (
    NEED_DATA,
    WORKING,
    Advance,
    Burst,
    CallFailed,
    Disconnected,
    Event,
    NeedData,
    Working,
    next_of,
)
from .limits import Limits
from .query_sets import QuerySets
from .receiver import SHARED, Receiver
from .schema.model import Function, Schema
from .states import CallInput
from .steps import Steps
from .wire import Protocol, Run, Sealed, Waiting, is_long_to_open, messages
from .wire import protocol as protocol_named

__all__ = ["ClientSession"]

MAX_REQUEST: Final = 32 * 1024 * 1024
"""The server drops connections that send a larger message (protocol reference, 1.7)."""


class ClientSession:
    """One client's session over one connection.

    Attributes:
        limits: What an untrusted server may cost.
    """

    def __init__(self, schema: Schema, *, protocol: str = "v3.bsatn.spacetimedb", limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._protocol: Protocol = protocol_named(protocol, schema, self.limits)
        self._received = Receiver(schema, shared_bag=self._protocol.shared_bag)
        self._last_id = 0
        self._outbox: list[messages.ClientMessage] = []
        self._inbox: deque[Waiting] = deque()
        self._inbox_bytes = 0
        self._reading: Iterator[messages.ServerMessage | Run] = iter(())
        self._applying: Steps[Event] | None = None
        self._burst: Burst | None = None
        self._final_events: deque[Event] = deque()
        self._dead: SpacetimeDBError | None = None
        self._lost: Disconnected | None = None

    @property
    def protocol_name(self) -> str:
        """The WebSocket subprotocol in use."""
        return self._protocol.name

    @property
    def schema(self) -> Schema:
        """The module's definition, which rows and arguments are read by."""
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
    def backlog(self) -> int:
        """Bytes that were received and that `next_event()` has not begun to read."""
        return self._inbox_bytes

    # --- commands -----------------------------------------------------------------------------------------------------

    def subscribe(self, queries: str | Sequence[str], *, cache: CachePolicy = "full") -> int:
        """Ask for the rows of some queries, now and from now on.

        Args:
            queries: SQL.
            cache: What to keep of the rows: all of each, its key, or nothing. Changes are told in any case.

        Returns:
            The query set's id, as events name it.

        Raises:
            EncodeError: A query is no text that can be sent.
            LocalProtocolError: The session is over, there is no query, or the policy is none that can be had: v1 does
                not say which rows are a query set's, so there all of them are kept.
        """
        self._check_alive()
        texts = [_query_text(query) for query in ([queries] if isinstance(queries, str) else queries)]
        if not texts:
            raise LocalProtocolError("expected at least one query, got none")
        if cache not in CACHE_POLICIES:
            raise LocalProtocolError(f"cache: expected 'full', 'keys' or 'none', got {cache!r}")
        if cache != "full" and self._protocol.shared_bag:
            raise LocalProtocolError(
                f"cache: {cache!r} needs v2.bsatn or v3.bsatn, the server chose {self.protocol_name}"
            )
        query_set_id, request_id = self._next_id(), self._next_id()
        self.query_sets.start(request_id, [(query_set_id, texts)], cache=cache)
        self._outbox.append(messages.Subscribe(request_id, query_set_id, texts))
        return query_set_id

    def unsubscribe(self, query_set_id: int) -> None:
        """End a query set; also one that the server has not answered yet.

        Raises:
            LocalProtocolError: There is no such set, or it is already leaving.
        """
        self._check_alive()
        request_id = self._next_id()
        self.query_sets.leave(request_id, query_set_id)
        self._outbox.append(messages.Unsubscribe(request_id, query_set_id))

    def call_reducer(self, name: str, args: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Call a reducer; its `ReducerEvent` carries the returned request id.

        Args:
            name: Name in the server's schema.
            args: Values in declared order, or by parameter name.

        Raises:
            EncodeError: An argument does not fit its parameter. Nothing is sent.
            TypeError: The wrong number of arguments. Nothing is sent.
            LocalProtocolError: The schema has no such reducer, or the session is over.
        """
        function = self._function(self.schema.reducers, "reducer", name)
        encoded = encode_arguments(self.schema.params_codec(function), args, text=self._protocol.text)
        call = self._start_call(CallKind.REDUCER, name, encoded)
        self._outbox.append(messages.CallReducer(call.request_id, 0, name, encoded))
        return call.request_id

    def call_procedure(self, name: str, args: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Call a procedure; its `ProcedureReturned` carries the returned request id. Otherwise as `call_reducer`."""
        function = self._function(self.schema.procedures, "procedure", name)
        encoded = encode_arguments(self.schema.params_codec(function), args, text=self._protocol.text)
        call = self._start_call(CallKind.PROCEDURE, name, encoded)
        self._outbox.append(messages.CallProcedure(call.request_id, 0, name, encoded))
        return call.request_id

    def query(self, sql: str) -> int:
        """Ask for the rows of one query, once; its `QueryReturned` carries the returned request id.

        Raises:
            EncodeError: It is no text that can be sent.
            LocalProtocolError: The session is over.
        """
        call = self._start_call(CallKind.QUERY, _query_text(sql))
        self._outbox.append(messages.OneOffQuery(call.request_id, call.name))
        return call.request_id

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

    # --- receiving ----------------------------------------------------------------------------------------------------

    def receive(self, payload: bytes | str) -> None:
        """Take in one WebSocket message. What it holds comes out of `next_event()`, as do complaints about it."""
        if self._dead or self._lost:
            return
        if self._inbox_bytes + len(payload) > self.limits.queued_bytes:
            self._die(RemoteProtocolError(f"more than {self.limits.queued_bytes} bytes are waiting for next_event()"))
            return
        self._inbox.append(payload)
        self._inbox_bytes += len(payload)

    def receive_many(self, payloads: Iterable[bytes | str]) -> None:
        """Take in several WebSocket messages, as `receive` does one by one."""
        payloads = list(payloads)
        size = sum(map(len, payloads))
        if self._dead or self._lost or self._inbox_bytes + size > self.limits.queued_bytes:
            for payload in payloads:
                self.receive(payload)
        else:
            self._inbox.extend(payloads)
            self._inbox_bytes += size

    def next_event(self) -> Event | NeedData:
        """Advance by exactly one server message. Think of it like `next()`: the cache moves here and nowhere else.

        Returns:
            What happened, or `NEED_DATA` when more must be received first.

        Raises:
            RemoteProtocolError: The server broke the protocol or a limit. The session is dead for good: every later
                call says why, and the cache stays readable as of the last good message.
        """
        return next_of(self.advance)

    def advance(self) -> Advance:
        """As `next_event`, but do no more than some thousand rows' work, so that an event loop is not held up.

        Until a message is done, the cache is as it was before it.

        Returns:
            An event, or `NEED_DATA`; `Working` when there is more to do before the next event: call again. A generator
            of the next few transactions, where they are small and alike; it need not be used up, for what is left of it
            comes again.
        """
        if self._dead is None:
            try:
                event = self._advance()
                if event is not None:
                    return event
            except RemoteProtocolError as error:
                self._die(error)
            except DecodeError as error:
                self._die(RemoteProtocolError(str(error)))
        if self._final_events:
            return self._final_events.popleft()
        if self._dead is not None and self._lost is None:
            raise self._dead
        return NEED_DATA

    def connection_lost(self, error: SpacetimeDBError | None, code: int = 1006, reason: str = "") -> None:
        """Say that the connection is over; `error` is None when this side wanted it so.

        Messages received before are still handed out; then each call under way ends, then comes `Disconnected`.
        """
        if self._lost is None:
            self._lost = Disconnected(error, code, reason)
            if self._dead is not None:
                self._end_everything()

    def _advance(self) -> Event | Working | Burst | None:
        """Advance by a step, or by a message if that is short; None if there is nothing to do."""
        if self._burst is not None:
            return self._burst
        while True:
            if self._applying is not None:
                return self._apply_on(self._applying)
            for item in self._reading:
                if isinstance(item, Run):
                    self._burst = self._replace_rows(item)
                    return self._burst
                self._begin(item)
                break
            else:
                if not self._inbox:
                    break
                waiting = self._open_next()
                if waiting is not None:
                    return waiting
        if self._lost is not None:
            self._die(self._lost.error or LocalProtocolError("the connection was closed"))
        return None

    def _replace_rows(self, run: Run) -> Burst:
        """Apply the messages of a run as they are asked for, as long as nothing but a row is replaced."""
        replace = self._received.replacing(run.template)
        for came, left in run.rows:
            if self._dead is not None:
                return
            event = replace(came, left)
            if event is None:
                self._begin(run.template.message((came, left)))
                self._reading = chain((run,), self._reading)
                break
            yield event
        self._burst = None

    def _begin(self, message: messages.ServerMessage) -> None:
        self._applying = self._received.applying(message)

    def _apply_on(self, steps: Steps[Event]) -> Event | Working:
        try:
            next(steps)
        except StopIteration as end:
            self._applying = None
            event: Event = end.value
            return event
        return WORKING

    def _open_next(self) -> Working | None:
        """Begin to read the next payload, or offer to inflate it elsewhere if that takes long."""
        payload = self._inbox[0]
        if isinstance(payload, bytes) and is_long_to_open(payload):
            self._inbox[0] = sealed = Sealed(payload, self.limits.decompressed_size, self._protocol.name)
            return Working(sealed.open)
        self._reading, size = self._protocol.read_waiting(self._inbox)
        self._inbox_bytes -= size
        return None

    def _die(self, error: SpacetimeDBError) -> None:
        """Nothing more is sent or applied. Waiting payloads are dropped: after a broken message they mean nothing."""
        self._dead = error
        self._inbox.clear()
        self._reading = iter(())
        self._burst = None
        self._applying = None
        if self._lost is not None:
            self._end_everything()

    def _end_everything(self) -> None:
        self._outbox.clear()
        for call, error in self._received.calls.lose_all():
            self._final_events.append(CallFailed(call.request_id, error))
        assert self._lost is not None
        self._final_events.append(self._lost)

    # --- commands, inside ---------------------------------------------------------------------------------------------

    def _check_alive(self) -> None:
        if self._dead is not None or self._lost is not None:
            raise LocalProtocolError(f"the session is over: {self._dead or 'the connection was closed'}")

    def _next_id(self) -> int:
        # Zero is not used: v1 answers calls that it could not start with request id 0 (protocol reference, 3.8).
        self._last_id = self._last_id % 0xFFFF_FFFF + 1
        return self._last_id

    def _function(self, functions: Mapping[str, Function], kind: str, name: str) -> Function:
        self._check_alive()
        function = functions.get(name)
        if function is None:
            known = ", ".join(functions) or "none"
            raise LocalProtocolError(f"no {kind} {name!r} in the schema; there are: {known}")
        return function

    def _start_call(self, kind: CallKind, name: str, args: Encoded = b"") -> Call:
        self._check_alive()
        if len(args) + len(name) + 64 > MAX_REQUEST:
            raise LocalProtocolError(
                f"{kind.value} {name[:40]!r}: the server takes at most {MAX_REQUEST} bytes per message, got {len(args)}"
            )
        call = Call(kind, self._next_id(), name, args)
        self._received.calls.add(call)
        return call

    def _observe(self, message: messages.ClientMessage) -> None:
        self._last_id = max(self._last_id, message.request_id)
        match message:
            case messages.Subscribe():
                self._observe_sets(message.request_id, [(message.query_set_id, message.query_strings)])
            case messages.SubscribeBatch():
                sets = [(part.query_set_id, part.query_strings) for part in message.sets]
                self._observe_sets(message.request_id, sets)
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

    def _observe_sets(self, request_id: int, sets: list[tuple[int, list[str]]]) -> None:
        self._last_id = max(self._last_id, *(query_set_id for query_set_id, _ in sets), 0)
        self.query_sets.start(request_id, sets)

    def _observe_call(self, kind: CallKind, request_id: int, name: str, args: Encoded) -> None:
        call = Call(kind, request_id, name, args)
        call.step(CallInput.TAKEN)
        self._received.calls.add(call)


def _query_text(query: object) -> str:
    """A query's text, checked before anything is queued."""
    if not isinstance(query, str):
        raise EncodeError("a query's text", f"{query!r} ({type(query).__name__})", ["query"])
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("text that is valid Unicode", f"{query[:80]!a}: {error.reason}", ["query"]) from None
    return str(query)
