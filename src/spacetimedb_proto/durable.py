"""`DurableConnection`: one session over as many links as it takes. Still bytes in, bytes and events out.

A link is a byte stream that a host opens when asked to: one to read the module's definition, then one for the
WebSocket, and after a loss the same again. What a link carries and what its end means is decided here; opening it,
asking for a token and waiting are the host's, which `need` tells what to do next. Time and chance are arguments.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from .bursts import Advance, next_of
from .cache import CachePolicy
from .client import ClientSession
from .errors import ConnectionLost, LocalProtocolError, NotSent, SpacetimeDBError
from .events import (
    NEED_DATA,
    Connected,
    Disconnected,
    Event,
    LinkEnded,
    NeedData,
    Resumed,
    StateChanged,
)
from .options import Options
from .reconnect import Attempts, not_opened
from .republished import go_on_with
from .schema import Drift, Schema
from .schema_link import SchemaLink
from .states import SESSION, SessionInput, SessionState, step
from .uri import Endpoint
from .websocket import ClientConnection

__all__ = ["DurableConnection", "Need"]


class Need(enum.Enum):
    """What a durable connection needs of its host."""

    TOKEN = "token"  #: the token to connect with: `token_is` or `token_failed`  # noqa: S105
    LINK = "link"  #: a new stream to the endpoint: `link_opened` or `link_failed`
    BYTES = "bytes"  #: that the link's bytes are moved, until a `LinkEnded` event
    TIME = "time"  #: that time passes, until `next_deadline()`
    NOTHING = "nothing"  #: it is over


class DurableConnection:
    """A session that outlives its links.

    It is driven as a `ClientConnection` is while it needs bytes: `receive_data`, `data_to_send`, `advance`. Between
    links events are to be taken from it as well. The last ones are a `Disconnected` without a retry and the last state.

    Args:
        endpoint: The server.
        database: Name or identity of the database.
        options: What stays the same over all links.
        chance: Returns a random number from 0 to 1.
        now: The time, on the clock that `handle_timeout` will be called with.

    Attributes:
        endpoint: The server.
        database: Name or identity of the database.
        links: WebSocket links that were greeted so far.
        bytes_received: Bytes received over all links.
        bytes_sent: Bytes taken to be sent over all links.
        drift: How the module that is served differs from `schema`, since it was published anew.

    Raises:
        ConnectError: No database can have that name.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        database: str,
        options: Options,
        *,
        chance: Callable[[], float],
        now: float = 0.0,
    ) -> None:
        self.endpoint = endpoint
        self.links = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.drift = Drift()
        self.database = database
        self._options = options
        self._protocols = tuple(options.protocols)
        self._attempts = Attempts(options.backoff, chance)
        self._now = now
        self._state = SessionState.CONNECTING
        self._need = Need.TOKEN
        self._link: ClientConnection | SchemaLink | None = None
        self._next_link: ClientConnection | SchemaLink | None = None
        self._goodbye = b""
        self._session: ClientSession | None = None
        self._schema: Schema | None = None
        self._token: str | None = None
        self._ending: Disconnected | None = None
        self._told: deque[Event] = deque()
        self._due = math.inf
        self._wait: float | None = None
        self._is_greeted = False
        endpoint.subscribe_target(database)  # raises if there can be no such database

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def need(self) -> Need:
        """What the host is to do next. Events may be waiting beside it."""
        return self._need

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._state

    @property
    def ending(self) -> Disconnected | None:
        """How the last link ended, or the last attempt to open one; None before any did."""
        return self._ending

    @property
    def session(self) -> ClientSession:
        """The rows, query sets and calls. It is another object after each loss, with the same rows and query sets.

        Raises:
            LocalProtocolError: No link has been accepted yet.
        """
        if self._session is None:
            raise LocalProtocolError(f"the connection is {self._state.value}: there is no session yet")
        return self._session

    @property
    def schema(self) -> Schema:
        """The module's definition; known once the session is."""
        assert self._schema is not None
        return self._schema

    @property
    def is_stale(self) -> bool:
        """Whether the cache may lag behind the server: there is no link, or its first rows are not all there yet."""
        return self._state is not SessionState.CONNECTED

    @property
    def failed_attempts(self) -> int:
        """Attempts in a row that have failed since the last link was lost."""
        return self._attempts.failed

    @property
    def token_was_refused(self) -> bool:
        """Whether the server has refused the token that was given last."""
        return self._attempts.token_was_refused

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for `advance()` that no more should be received for a while."""
        return self._link is not None and self._link.is_behind

    @property
    def _resting(self) -> ClientSession | None:
        """The session, as long as no link goes on with it: it keeps its own time then, and tells what comes of that."""
        return None if self._is_greeted else self._session

    @property
    def _has_link(self) -> bool:
        """Whether commands can go out, or count as sent, over a link that has greeted."""
        return self._state in (SessionState.CONNECTED, SessionState.RESUMING) and self.session.lost is None

    # --- commands -----------------------------------------------------------------------------------------------------

    def subscribe(
        self, queries: str | Sequence[str], *, cache: CachePolicy = "full", deadline: float = math.inf
    ) -> int:
        """As `ClientSession.subscribe`; without a link the next one is asked.

        Raises:
            ConnectionLost: The session is over.
        """
        self._check_going("subscribe")
        return self.session.subscribe(queries, cache=cache, deadline=deadline, later=not self._has_link)

    def unsubscribe(self, query_set_id: int) -> None:
        """As `ClientSession.unsubscribe`; without a link the query set is over at once."""
        self._check_going("unsubscribe")
        self.session.unsubscribe(query_set_id, later=not self._has_link)

    def call_reducer(
        self,
        name: str,
        args: Sequence[Any] | Mapping[str, Any] = (),
        *,
        deadline: float = math.inf,
        retry: bool = False,
    ) -> int:
        """As `ClientSession.call_reducer`; without a link a call with `retry` waits for the next one.

        Raises:
            NotSent: There is no link, or the session is over.
        """
        later = self._later(name, retry=retry)
        return self.session.call_reducer(name, args, deadline=deadline, retry=retry, later=later)

    def call_procedure(
        self,
        name: str,
        args: Sequence[Any] | Mapping[str, Any] = (),
        *,
        deadline: float = math.inf,
        retry: bool = False,
    ) -> int:
        """As `ClientSession.call_procedure`. Otherwise as `call_reducer`."""
        later = self._later(name, retry=retry)
        return self.session.call_procedure(name, args, deadline=deadline, retry=retry, later=later)

    def query(self, sql: str, *, deadline: float = math.inf) -> int:
        """As `ClientSession.query`.

        Raises:
            ConnectionLost: There is no link, or the session is over.
        """
        self._check_going("query", needs_link=True)
        return self.session.query(sql, deadline=deadline)

    def cancel_call(self, request_id: int) -> bool:
        """As `ClientSession.cancel_call`."""
        return self.session.cancel_call(request_id)

    def _later(self, function: str, *, retry: bool) -> bool:
        if self._has_link:
            return False
        if retry and self._state not in (SessionState.CONNECTING, SessionState.CLOSING, SessionState.CLOSED):
            return True
        raise NotSent(f"{function}: not sent, {self._why_not()}", function=function)

    def _check_going(self, what: str, *, needs_link: bool = False) -> None:
        if self._state in (SessionState.CLOSING, SessionState.CLOSED) or (needs_link and not self._has_link):
            ending = self._last_ending or Disconnected(None)
            error = ConnectionLost(f"{what}: {self._why_not()}", code=ending.code, reason=ending.reason)
            raise error from ending.error

    @property
    def _last_ending(self) -> Disconnected | None:
        """As `ending`, also if the present link has ended and that is yet to be told."""
        return self._session.lost if self._session is not None and self._is_greeted else self._ending

    def _why_not(self) -> str:
        ending = self._last_ending
        cause = "it was closed by this side" if ending is None or ending.error is None else str(ending.error)
        match self._state:
            case SessionState.CLOSING:
                return "the connection is being closed"
            case SessionState.CLOSED:
                return f"the connection is over: {cause}"
            case _:
                return f"there is no connection at the moment: {cause}"

    # --- what a host does ---------------------------------------------------------------------------------------------

    def token_is(self, token: str | None) -> None:
        """Connect with this token; without one the server makes a new identity."""
        if self._need is not Need.TOKEN:
            return
        if token is not None:
            self._token = token
        try:
            self._next_link = self._new_schema_link(10)
        except SpacetimeDBError as error:
            self._over(Disconnected(error))
        else:
            self._need = Need.LINK

    def token_failed(self, error: SpacetimeDBError) -> None:
        """There is no token to connect with, so there will be no attempt."""
        if self._need is Need.TOKEN:
            self._over(Disconnected(error))

    def link_opened(self, now: float) -> None:
        """The stream that was asked for is there."""
        if self._need is Need.LINK:
            self._now = now
            self._link, self._next_link, self._goodbye = self._next_link, None, b""
            assert self._link is not None
            self._link.start(now)
            self._need = Need.BYTES

    def link_failed(self, error: SpacetimeDBError) -> None:
        """There is no way to open the stream that was asked for."""
        if self._need is Need.LINK:
            self._next_link = None
            self._ended(Disconnected(error))

    def receive_data(self, data: bytes) -> None:
        """Take in bytes as they come; an empty string says that no more will come."""
        if self._link is not None:
            self.bytes_received += len(data)
            self._link.receive_data(data)

    def receive_eof(self, reason: str = "") -> None:
        """Say that no more bytes will come over this link, and what the transport says about it, if anything."""
        if self._link is not None:
            self._link.receive_eof(reason)

    def data_to_send(self) -> bytes:
        """Take what must go out over this link."""
        if self._link is None:
            data, self._goodbye = self._goodbye, b""
        else:
            data = self._link.data_to_send()
        self.bytes_sent += len(data)
        return data

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`: at once if it is past, never if None. To be asked again after other calls."""
        # A wait begins when an event is told, and then nobody says what time it is: so it is due at once.
        deadline = self._due if self._wait is None else self._now
        if self._link is not None:
            deadline = min(deadline, math.inf if (due := self._link.next_deadline()) is None else due)
        if self._resting is not None:
            deadline = min(deadline, self._resting.next_deadline())
        return None if deadline == math.inf else deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due. Early and repeated calls are harmless."""
        self._now = now
        if self._wait is not None:
            self._due, self._wait = now + self._wait, None
        if now >= self._due:
            self._due = math.inf
            self._move(SessionInput.DUE)
            self._need = Need.TOKEN
        if self._resting is not None:
            self._resting.handle_timeout(now)
        if self._link is not None:
            self._link.handle_timeout(now)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session; what is queued goes out before. Without effect when it is ending already."""
        if isinstance(self._link, ClientConnection):
            self._link.close(code, reason)
            self._move(SessionInput.CLOSE)
        else:
            self.abandon()

    def abandon(self, reason: str = "") -> None:
        """End the session at once, because nobody drives it any more."""
        self._move(SessionInput.CLOSE)
        if isinstance(self._link, ClientConnection):
            self._link.receive_eof(reason)
        elif self._state is not SessionState.CLOSED:
            self._over(Disconnected(None, reason=reason))

    # --- events -------------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | NeedData:
        """What happened next, or `NEED_DATA`."""
        return next_of(self.advance)

    def advance(self) -> Advance:
        """As `next_event`, but in short steps, and several small transactions at once: see `ClientSession.advance`."""
        if self._told:
            return self._told.popleft()
        event: Advance = NEED_DATA if self._resting is None else self._resting.advance()
        if event is NEED_DATA and self._link is not None:
            event = self._link.advance()
        handler = self._handlers.get(type(event))
        return event if handler is None else handler(self, event)

    def _greeted(self, event: Connected) -> Connected:
        assert isinstance(self._link, ClientConnection)
        session = self._link.session
        self.links += 1
        self._attempts.greeted()
        is_back = self._session is not None and self._state is not SessionState.CLOSING
        self._session, self._is_greeted = session, True
        # Arguments and policies are bound to a kind of protocol, so a new link has to speak the same.
        self._protocols = tuple(name for name in self._protocols if _kind(name) == _kind(session.protocol_name))
        if self._token is None:
            self._token = event.token
        self._move(SessionInput.GREETED)
        if is_back:  # before anybody hears of it: what is asked for from then on comes on top
            session.replay(batch=self._attempts.batches)
        return event

    def _resumed(self, event: Resumed) -> Resumed:
        self._attempts.resumed()
        self._move(SessionInput.RESUMED)
        return event

    def _link_over(self, event: Disconnected) -> Event:
        assert self._link is not None
        self._goodbye = self._link.data_to_send()
        self._link, self._is_greeted = None, False
        self._ended(event)
        return self._told.popleft()

    def _schema_read(self, event: LinkEnded) -> Event:
        """The definition has come, or why it has not."""
        link, self._link = self._link, None
        assert isinstance(link, SchemaLink)
        if link.is_unknown_version and link.version == 10:
            self._next_link, self._need = self._new_schema_link(9), Need.LINK
            return event
        try:
            schema = link.schema()
            if self._options.tap is not None:
                self._options.tap.schema_read(schema, link.text)
            if self._schema is None:
                if self._options.prepare is not None:
                    self._options.prepare(schema)
                self._schema = schema
            else:
                schema, self.drift = go_on_with(schema, self.session)
            self._next_link = self._new_connection(schema)
        except SpacetimeDBError as error:
            self._ended(Disconnected(error))
            return self._told.popleft()
        self._need = Need.LINK
        return event

    _handlers: ClassVar[Mapping[type, Callable[[Any, Any], Event]]] = {
        Connected: _greeted,
        Resumed: _resumed,
        Disconnected: _link_over,
        LinkEnded: _schema_read,
    }

    # --- links --------------------------------------------------------------------------------------------------------

    def _new_schema_link(self, version: int) -> SchemaLink:
        return SchemaLink(self.endpoint, self.database, version, token=self._token, limits=self._options.limits)

    def _new_connection(self, schema: Schema) -> ClientConnection:
        options = self._options
        return ClientConnection(
            schema,
            self.endpoint,
            self.database,
            token=self._token,
            protocols=self._protocols,
            compression=options.compression,
            light=options.light,
            confirmed=options.confirmed,
            session_id=options.session_id,
            after=self._session,
            limits=options.limits,
            timeouts=options.timeouts,
            tap=options.tap,
        )

    def _ended(self, ending: Disconnected) -> None:
        """A link has ended, or could not be opened: decide what comes next, and tell."""
        retry = None
        if self._state is SessionState.CONNECTING:
            ending = not_opened(ending)
        elif self._state is not SessionState.CLOSING:
            retry = self._attempts.after(ending, is_resuming=self._state is SessionState.RESUMING)
        if retry is None:
            self._over(ending)
            return
        self._ending = attrs.evolve(ending, retry=retry)
        self._wait, self._need = retry.delay, Need.TIME
        self._told.append(self._ending)
        self._move(SessionInput.LOST)

    def _over(self, ending: Disconnected) -> None:
        """The session is over: tell what comes of the rest, and why."""
        self._ending = ending
        self._link = self._next_link = None
        self._due, self._wait, self._need = math.inf, None, Need.NOTHING
        if self._session is not None:
            self._session.end()
            while (event := self._session.next_event()) is not NEED_DATA:
                self._told.append(event)
        self._told.append(ending)
        self._move(SessionInput.ENDED)
        if self._options.tap is not None:
            self._options.tap.ended()

    def _move(self, event: SessionInput) -> None:
        before, self._state = self._state, step(SESSION, self._state, event, "the session")
        if self._state is not before:
            self._told.append(StateChanged(self._state, self._ending))


def _kind(protocol: str) -> str:
    """What links of one session must have in common: v3 carries the messages of v2."""
    return protocol.removesuffix(".spacetimedb").replace("v3", "v2")
