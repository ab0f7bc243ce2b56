"""`ClientSession`: the client at message level. Payloads and commands in, payloads and events out.

It knows queries, calls and the cache. It does not know WebSocket frames (`websocket.py`), which protocol was negotiated
(`wire/`), sockets, clocks or callbacks. One server message becomes one event, and the cache moves with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain

from .alike import Alike
from .bursts import Advance, Burst, next_of
from .commands import Commands
from .errors import (
    DecodeError,
    IdentityChanged,
    LocalProtocolError,
    RemoteProtocolError,
    SchemaError,
    SpacetimeDBError,
)
from .events import (
    NEED_DATA,
    WORKING,
    CallFailed,
    Disconnected,
    Event,
    NeedData,
    Working,
)
from .limits import Limits
from .schema.model import Schema
from .steps import Steps
from .wire import Inbox, Run, Sealed, is_long_to_open, messages

__all__ = ["ClientSession"]


class ClientSession(Commands):
    """One client's session over one link.

    Args:
        schema: The module's definition, as it is served over this link. Rows and arguments are those of the definition
            that the first link began with.
        protocol: The WebSocket subprotocol in use.
        limits: What an untrusted server may cost.
        after: The session whose link was lost, if this one is to go on where it ended: with its rows, its query sets,
            and the calls that it kept. The older one is of no use any more.

    Attributes:
        limits: What an untrusted server may cost.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        protocol: str = "v3.bsatn.spacetimedb",
        limits: Limits | None = None,
        after: ClientSession | None = None,
    ) -> None:
        super().__init__(schema, protocol, limits or Limits(), after)
        self._inbox = Inbox()
        self._reading: Iterator[messages.ServerMessage | Run] = iter(())
        self._applying: Steps[Event | None] | None = None
        self._burst: Burst | None = None
        self._dead: SpacetimeDBError | None = None
        self._lost: Disconnected | None = None

    @property
    def backlog(self) -> int:
        """Bytes that were received and that `next_event()` has not begun to read."""
        return self._inbox.size

    @property
    def calls_waiting(self) -> int:
        """Calls and queries that have no answer yet."""
        return len(self._received.calls)

    # --- receiving ----------------------------------------------------------------------------------------------------

    def receive(self, payload: bytes | str) -> None:
        """Take in one WebSocket message. What it holds comes out of `next_event()`, as do complaints about it."""
        if self._dead or self._lost:
            return
        if not self._has_room(len(payload)):
            self._die(RemoteProtocolError(f"more than {self.limits.queued_bytes} bytes are waiting for next_event()"))
            return
        self._inbox.add(payload)

    def receive_many(self, payloads: Sequence[bytes | str] | Alike) -> None:
        """Take in several WebSocket messages, as `receive` does one by one."""
        size = payloads.size if isinstance(payloads, Alike) else sum(map(len, payloads))
        if self._dead or self._lost or not self._has_room(size):
            for payload in payloads:
                self.receive(payload)
        else:
            self._inbox.add_many(payloads, size)

    def _has_room(self, size: int) -> bool:
        return self._inbox.size + size <= self.limits.queued_bytes

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
            An event, or `NEED_DATA`; `Working` when there is more to do before the next event: call again. A `Burst` of
            the next few transactions, where they are small and alike.
        """
        if self._dead is None:
            try:
                event = self._advance()
                if event is not None:
                    return event
            except (RemoteProtocolError, IdentityChanged) as error:
                self._die(error)
            except (DecodeError, SchemaError) as error:  # also of a definition that turns out to be none
                self._die(RemoteProtocolError(str(error)))
        if self._received.held:
            return self._next_held()
        if self._dead is not None and self._lost is None:
            raise self._dead
        return NEED_DATA

    def replay(self, *, batch: bool) -> None:
        """Ask for all query sets of the lost link again. `Resumed` tells of the answer.

        Until then calls wait: they would be lost on a link whose server does not understand the question.

        Args:
            batch: Ask for all sets in one message, which servers before 2.11 do not know. v1 has no such message.
        """
        self._check_alive()
        sets = self._received.replay()
        if not sets:
            self._applying = self._received.resuming()
        elif batch and not self._protocol.shared_bag:
            request_id = self._next_id()
            self.query_sets.ask(request_id, sets)
            asked = [messages.SubscribeSet(each.id, list(each.queries)) for each in sets]
            self._outbox.append(messages.SubscribeBatch(request_id, asked))
        else:
            for query_set in sets:
                self._ask_for(query_set)

    def connection_lost(self, error: SpacetimeDBError | None, code: int = 1006, reason: str = "") -> None:
        """Say that the connection is over; `error` is None when this side wanted it so.

        Messages received before are still handed out; then each call under way ends, then comes `Disconnected`.
        """
        if self._lost is None:
            self._lost = Disconnected(error, code, reason)
            if self._dead is not None:
                self._end_everything()

    def _next_held(self) -> Event | Working:
        """One of the things that there are to tell beside messages, or a step towards it."""
        event = self._received.held.popleft()
        if not isinstance(event, Generator):
            return event
        try:
            next(event)
        except StopIteration as end:
            told: Event = end.value
            return told
        self._received.held.appendleft(event)
        return WORKING

    def end(self) -> None:
        """Say that there will be no other link: calls that waited for one fail."""
        self._lose_calls(for_good=True)

    def _advance(self) -> Event | Working | Burst | None:
        """Advance by a step, or by a message if that is short; None if there is nothing to do."""
        burst = self._burst
        if burst is not None and not burst.is_over:
            return burst
        self._end_burst()
        while True:
            if self._applying is not None:
                return self._apply_on(self._applying)
            if self._received.held:
                return self._next_held()
            for item in self._reading:
                self._begin(item)
                if self._burst is not None:
                    return self._burst
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

    def _end_burst(self) -> None:
        """Go on after a burst: with the message that it could not apply, if there is one, and then with the rest."""
        burst, self._burst = self._burst, None
        if burst is not None and burst.odd is not None:
            self._begin_first(burst.rest())

    def _begin(self, item: messages.ServerMessage | Run) -> None:
        if not isinstance(item, Run):
            self._applying = self._received.applying(item)
            return
        table = self._received.replaceable(item)
        if table is None:
            self._begin_first(item)
        else:
            self._burst = Burst(item, table)

    def _begin_first(self, run: Run) -> None:
        """Begin with the first message of a run as with any other; the rest of the run comes after it."""
        first, *run.rows = run.rows
        self._applying = self._received.applying(run.template.message(first))
        if run.rows:
            self._reading = chain((run,), self._reading)

    def _apply_on(self, steps: Steps[Event | None]) -> Event | Working:
        was_replaying = self._received.is_replaying
        try:
            next(steps)
        except StopIteration as end:
            self._applying = None
            if was_replaying and not self._received.is_replaying:
                self._outbox += [call.message for call in self._received.calls.waiting()]
            event: Event | None = end.value
            return event or WORKING
        return WORKING

    def _open_next(self) -> Working | None:
        """Begin to read the next payload, or offer to inflate it elsewhere if that takes long."""
        payload = self._inbox.first
        if isinstance(payload, bytes) and is_long_to_open(payload):
            sealed = Sealed(payload, self.limits.decompressed_size, self._protocol.name)
            self._inbox.seal(sealed)
            return Working(sealed.open)
        self._reading = self._protocol.read_waiting(self._inbox)
        return None

    def _die(self, error: SpacetimeDBError) -> None:
        """Nothing more is sent or applied. Waiting payloads are dropped: after a broken message they mean nothing."""
        self._dead = error
        self._inbox.clear()
        self._reading = iter(())
        if self._burst is not None:
            self._burst.stop()
            self._burst = None
        self._applying = None
        if self._lost is not None:
            self._end_everything()

    def _end_everything(self) -> None:
        self._outbox.clear()
        leaving = self._received.lose_link()
        self._lose_calls(for_good=False)
        self._received.held.extend(map(self._received.giving_up, leaving))
        assert self._lost is not None
        self._received.held.append(self._lost)

    def _lose_calls(self, *, for_good: bool) -> None:
        lost = self._received.calls.lose_all(for_good=for_good)
        self._received.held.extend(CallFailed(call.request_id, error) for call, error in lost)

    @property
    def lost(self) -> Disconnected | None:
        """How the link ended, also if not all of that has been told yet; None while there is one."""
        return self._lost

    @property
    def _is_lost(self) -> bool:
        return self._lost is not None

    def _check_alive(self, *, later: bool = False) -> None:
        if later:
            if self._lost is None:
                raise LocalProtocolError("expected a link that is lost, so that something can wait for the next one")
        elif self._dead is not None or self._lost is not None:
            raise LocalProtocolError(f"the session is over: {self._dead or 'the connection was closed'}")
