"""Which transitions are legal, as data: the life of a session, of a query set, and of a call.

A missing entry is the error. The diagrams in the documentation are drawn from these tables; the connection's own table
stands with the code that moves it. Nothing here knows what an input means, only when it may come.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeVar

from .errors import LocalProtocolError, ProtocolError, RemoteProtocolError

__all__ = [
    "CALL",
    "QUERY_SET",
    "SESSION",
    "CallInput",
    "CallState",
    "QuerySetInput",
    "QuerySetState",
    "SessionInput",
    "SessionState",
    "step",
]


class SessionState(enum.StrEnum):
    """Where a session stands that outlives its links."""

    CONNECTING = "connecting"  #: the first link is on its way
    CONNECTED = "connected"  #: there is a link, and the cache is kept up to date
    WAITING = "waiting"  #: the link is lost, the cache is stale, and it is not yet time for the next attempt
    RECONNECTING = "reconnecting"  #: the next link is on its way
    RESUMING = "resuming"  #: there is a link again, and not all query sets have been answered yet
    CLOSING = "closing"  #: this side has asked for the end
    CLOSED = "closed"  #: over for good


class SessionInput(enum.Enum):
    """What can happen to a session."""

    GREETED = "greeted"  #: the server said who the client is
    RESUMED = "resumed"  #: all query sets of the lost link have been answered
    LOST = "lost"  #: the link, or the attempt to open one, ended, and there will be another attempt
    DUE = "due"  #: it is time for the next attempt
    CLOSE = "close"  #: this side asks for the end
    ENDED = "ended"  #: the link, or the attempt to open one, ended, and there will be no other


class QuerySetState(enum.StrEnum):
    """Where a query set stands."""

    REQUESTED = "requested"  #: asked for, not answered
    LIVE = "live"  #: its rows are in the cache and kept up to date
    STALE = "stale"  #: its rows are in the cache as they were when the link was lost; it is asked for again
    LEAVING_EARLY = "leaving early"  #: taken back before the server answered
    LEAVING = "leaving"  #: asked to end, rows still in the cache
    ENDED = "ended"  #: over; its id is never used again


class QuerySetInput(enum.Enum):
    """What can happen to a query set."""

    UNSUBSCRIBE = "unsubscribe"  #: this side asks for its end
    APPLIED = "applied"  #: the server sent its first rows
    REFUSED = "refused"  #: the server refused the subscription
    UNSUBSCRIBED = "unsubscribed"  #: the server confirmed its end, or knows no such set
    DIED = "died"  #: the server ended it by itself
    LOST = "lost"  #: the link ended; what is still wanted is asked for again on the next one


class CallState(enum.StrEnum):
    """Where a call of a reducer, a procedure or a one-off query stands."""

    QUEUED = "queued"  #: encoded, not yet taken by the transport
    SENT = "sent"  #: taken by the transport: it may run
    ANSWERED = "answered"  #: the server told its outcome
    UNSENT = "unsent"  #: the connection ended before it was taken
    UNKNOWN = "unknown"  #: the connection ended before the answer
    WITHDRAWN = "withdrawn"  #: given up before it was taken: it will not run
    ABANDONED = "abandoned"  #: given up after it was taken: it may run, and its answer may come


class CallInput(enum.Enum):
    """What can happen to a call."""

    TAKEN = "taken"  #: the transport took its bytes
    ANSWER = "answer"  #: the server answered
    LOST = "lost"  #: the connection ended
    GIVE_UP = "give up"  #: this side waits no longer


SESSION: Final[Mapping[SessionState, Mapping[SessionInput, SessionState]]] = {
    SessionState.CONNECTING: {
        SessionInput.GREETED: SessionState.CONNECTED,
        SessionInput.CLOSE: SessionState.CLOSING,
        SessionInput.ENDED: SessionState.CLOSED,
    },
    SessionState.CONNECTED: {
        SessionInput.LOST: SessionState.WAITING,
        SessionInput.CLOSE: SessionState.CLOSING,
        SessionInput.ENDED: SessionState.CLOSED,
    },
    SessionState.WAITING: {
        SessionInput.DUE: SessionState.RECONNECTING,
        SessionInput.CLOSE: SessionState.CLOSING,
    },
    SessionState.RECONNECTING: {
        SessionInput.GREETED: SessionState.RESUMING,
        SessionInput.LOST: SessionState.WAITING,
        SessionInput.CLOSE: SessionState.CLOSING,
        SessionInput.ENDED: SessionState.CLOSED,
    },
    SessionState.RESUMING: {
        SessionInput.RESUMED: SessionState.CONNECTED,
        SessionInput.LOST: SessionState.WAITING,
        SessionInput.CLOSE: SessionState.CLOSING,
        SessionInput.ENDED: SessionState.CLOSED,
    },
    # What the server sent before it saw our Close frame still counts.
    SessionState.CLOSING: {
        SessionInput.GREETED: SessionState.CLOSING,
        SessionInput.RESUMED: SessionState.CLOSING,
        SessionInput.CLOSE: SessionState.CLOSING,
        SessionInput.ENDED: SessionState.CLOSED,
    },
    SessionState.CLOSED: {
        SessionInput.CLOSE: SessionState.CLOSED,
    },
}

QUERY_SET: Final[Mapping[QuerySetState, Mapping[QuerySetInput, QuerySetState]]] = {
    QuerySetState.REQUESTED: {
        QuerySetInput.APPLIED: QuerySetState.LIVE,
        QuerySetInput.REFUSED: QuerySetState.ENDED,
        QuerySetInput.UNSUBSCRIBE: QuerySetState.LEAVING_EARLY,
        QuerySetInput.LOST: QuerySetState.REQUESTED,
    },
    QuerySetState.LIVE: {
        QuerySetInput.UNSUBSCRIBE: QuerySetState.LEAVING,
        QuerySetInput.DIED: QuerySetState.ENDED,
        QuerySetInput.LOST: QuerySetState.STALE,
    },
    # Without a link nobody answers, so a set that is taken back then is over by what is lost.
    QuerySetState.STALE: {
        QuerySetInput.APPLIED: QuerySetState.LIVE,
        QuerySetInput.REFUSED: QuerySetState.ENDED,
        QuerySetInput.UNSUBSCRIBE: QuerySetState.LEAVING_EARLY,
        QuerySetInput.LOST: QuerySetState.STALE,
    },
    # Both requests are under way and are answered in order (protocol reference, 1.8).
    QuerySetState.LEAVING_EARLY: {
        QuerySetInput.APPLIED: QuerySetState.LEAVING,
        QuerySetInput.REFUSED: QuerySetState.ENDED,
        QuerySetInput.LOST: QuerySetState.ENDED,
    },
    QuerySetState.LEAVING: {
        QuerySetInput.UNSUBSCRIBED: QuerySetState.ENDED,
        QuerySetInput.DIED: QuerySetState.ENDED,
        QuerySetInput.LOST: QuerySetState.ENDED,
    },
    # The unsubscribe of a set that was refused or died meanwhile is still answered.
    QuerySetState.ENDED: {
        QuerySetInput.UNSUBSCRIBED: QuerySetState.ENDED,
        QuerySetInput.DIED: QuerySetState.ENDED,
    },
}

CALL: Final[Mapping[CallState, Mapping[CallInput, CallState]]] = {
    CallState.QUEUED: {
        CallInput.TAKEN: CallState.SENT,
        CallInput.LOST: CallState.UNSENT,
        CallInput.GIVE_UP: CallState.WITHDRAWN,
    },
    CallState.SENT: {
        CallInput.ANSWER: CallState.ANSWERED,
        CallInput.LOST: CallState.UNKNOWN,
        CallInput.GIVE_UP: CallState.ABANDONED,
    },
    CallState.ABANDONED: {
        CallInput.ANSWER: CallState.ANSWERED,
        CallInput.LOST: CallState.UNKNOWN,
    },
    CallState.ANSWERED: {},
    CallState.UNSENT: {},
    CallState.UNKNOWN: {},
    CallState.WITHDRAWN: {},
}

_LOCAL: Final = {SessionInput.CLOSE, QuerySetInput.UNSUBSCRIBE, CallInput.TAKEN, CallInput.GIVE_UP}

S = TypeVar("S", bound=enum.Enum)
I = TypeVar("I", bound=enum.Enum)  # noqa: E741


def step(table: Mapping[S, Mapping[I, S]], state: S, event: I, what: str) -> S:
    """The state after `event`.

    Raises:
        LocalProtocolError: The table has no entry and this side caused the event.
        RemoteProtocolError: The table has no entry and the peer caused it.
    """
    following = table[state].get(event)
    if following is None:
        blame: type[ProtocolError] = LocalProtocolError if event in _LOCAL else RemoteProtocolError
        legal = ", ".join(str(e.value) for e in table[state]) or "nothing"
        raise blame(f"{what} is {state.value}: expected {legal}, got {event.value}")
    return following
