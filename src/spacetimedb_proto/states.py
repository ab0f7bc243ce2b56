"""Which transitions are legal, as data: the life of a query set and the life of a call.

A missing entry is the error. The diagrams in the documentation are drawn from these tables; the connection's own table
stands with the code that moves it. Nothing here knows what an input means, only when it may come.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeVar

from .errors import LocalProtocolError, ProtocolError, RemoteProtocolError

__all__ = ["CALL", "QUERY_SET", "CallInput", "CallState", "QuerySetInput", "QuerySetState", "step"]


class QuerySetState(enum.StrEnum):
    """Where a query set stands."""

    REQUESTED = "requested"  #: asked for, not answered
    LIVE = "live"  #: its rows are in the cache and kept up to date
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


class CallState(enum.StrEnum):
    """Where a call of a reducer, a procedure or a one-off query stands."""

    QUEUED = "queued"  #: encoded, not yet taken by the transport
    SENT = "sent"  #: taken by the transport: it may run
    ANSWERED = "answered"  #: the server told its outcome
    UNSENT = "unsent"  #: the connection ended before it was taken
    UNKNOWN = "unknown"  #: the connection ended before the answer


class CallInput(enum.Enum):
    """What can happen to a call."""

    TAKEN = "taken"  #: the transport took its bytes
    ANSWER = "answer"  #: the server answered
    LOST = "lost"  #: the connection ended


QUERY_SET: Final[Mapping[QuerySetState, Mapping[QuerySetInput, QuerySetState]]] = {
    QuerySetState.REQUESTED: {
        QuerySetInput.APPLIED: QuerySetState.LIVE,
        QuerySetInput.REFUSED: QuerySetState.ENDED,
        QuerySetInput.UNSUBSCRIBE: QuerySetState.LEAVING_EARLY,
    },
    QuerySetState.LIVE: {
        QuerySetInput.UNSUBSCRIBE: QuerySetState.LEAVING,
        QuerySetInput.DIED: QuerySetState.ENDED,
    },
    # Both requests are under way and are answered in order (protocol reference, 1.8).
    QuerySetState.LEAVING_EARLY: {
        QuerySetInput.APPLIED: QuerySetState.LEAVING,
        QuerySetInput.REFUSED: QuerySetState.ENDED,
    },
    QuerySetState.LEAVING: {
        QuerySetInput.UNSUBSCRIBED: QuerySetState.ENDED,
        QuerySetInput.DIED: QuerySetState.ENDED,
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
    },
    CallState.SENT: {
        CallInput.ANSWER: CallState.ANSWERED,
        CallInput.LOST: CallState.UNKNOWN,
    },
    CallState.ANSWERED: {},
    CallState.UNSENT: {},
    CallState.UNKNOWN: {},
}

_LOCAL: Final = {QuerySetInput.UNSUBSCRIBE, CallInput.TAKEN}

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
