"""What a session tells the layer above: past-tense facts, the same for every protocol.

One server message becomes one event. `changes` is what the message did to the cache, already applied when the event is
handed out; row callbacks and change streams are fed from it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import attrs

from .bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from .errors import CallError, QueryError, SpacetimeDBError, SubscriptionError
from .states import SessionState

if TYPE_CHECKING:
    from .cache.changes import Changes, TableChange

__all__ = [
    "NEED_DATA",
    "WORKING",
    "Arguments",
    "BatchApplied",
    "CallFailed",
    "Committed",
    "Connected",
    "Disconnected",
    "Event",
    "Failed",
    "LinkEnded",
    "NeedData",
    "Outcome",
    "ProcedureReturned",
    "QueryReturned",
    "ReducerEvent",
    "Refused",
    "Resumed",
    "Retry",
    "StateChanged",
    "SubscribeApplied",
    "SubscriptionFailed",
    "Transaction",
    "UnsubscribeApplied",
    "Working",
]


class NeedData(enum.Enum):
    """The type of `NEED_DATA`."""

    NEED_DATA = enum.auto()

    def __repr__(self) -> str:
        return "NEED_DATA"


NEED_DATA: Final = NeedData.NEED_DATA
"""What `next_event()` returns when nothing more can happen before more bytes arrive."""


@attrs.frozen
class Working:
    """What `advance()` returns when the next message needs more steps.

    Attributes:
        job: Work that may be done on any thread before the next call, and saves it time. It neither raises nor changes
            anything that somebody sees. None if there is none.
    """

    job: Callable[[], object] | None = None


WORKING: Final = Working()
"""More steps are needed, all of them here."""


class Arguments(tuple[Any, ...]):
    """A call's arguments in declared order, also by parameter name: `args[0]`, `args["text"]`, `args.text`."""

    names: tuple[str, ...]

    def __new__(cls, values: tuple[Any, ...], names: tuple[str, ...]) -> Self:
        """Pair values with the parameters' names."""
        self = super().__new__(cls, values)
        self.names = names
        return self

    def __getnewargs__(self) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        return tuple(self), self.names  # for copies and pickles

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(key)
            key = self.names.index(key)
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("names", ()):
            return self[name]
        raise AttributeError(f"no parameter {name!r}; there are {', '.join(self.__dict__.get('names', ())) or 'none'}")

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values, in declared order."""
        return zip(self.names, self, strict=True)

    def __repr__(self) -> str:
        return f"({', '.join(f'{name}={value!r}' for name, value in self.items())})"


@attrs.frozen
class Committed:
    """The reducer committed."""


@attrs.frozen
class Refused:
    """The reducer returned an error, which rolled it back; the text is the module's."""

    message: str


@attrs.frozen
class Failed:
    """The reducer panicked, ran out of energy, or could not be called; the text is the server's."""

    message: str


Outcome: TypeAlias = Committed | Refused | Failed


@attrs.frozen
class Connected:
    """The server accepted the client and said who it is."""

    identity: Identity
    connection_id: ConnectionId
    token: str = attrs.field(repr=False)


@attrs.frozen
class SubscribeApplied:
    """A query set is live and its rows are in the cache."""

    query_set_id: int
    changes: Changes


@attrs.frozen
class BatchApplied:
    """The answer to several subscriptions asked for at once: those that are live now, and the errors of the others."""

    applied: tuple[int, ...]
    errors: dict[int, SubscriptionError]
    changes: Changes


@attrs.frozen
class UnsubscribeApplied:
    """A query set ended as asked and its rows have left the cache."""

    query_set_id: int
    changes: Changes


@attrs.frozen
class SubscriptionFailed:
    """A query set was refused or died; what it held has left the cache.

    `query_set_id` is None, in v1 only, when every set of the connection died. An unsubscribe that the server refuses
    ends here too, with an id that no live set has.
    """

    query_set_id: int | None
    error: SubscriptionError
    changes: Changes


@attrs.frozen
class Resumed:
    """A lost link was replaced: all query sets have been answered again, and the cache is up to date.

    `changes` is what is different from before: what has been missed, as net differences. Before this event comes a
    `SubscribeApplied` for each query set that is live again, after it a `SubscriptionFailed` for each that is not.
    """

    changes: Changes


class Transaction:
    """Somebody's transaction changed rows of live query sets; the protocol does not say whose.

    Attributes:
        did: What it did to the cache: the change of the one table that it touched, or all changes.
    """

    # Made by hand, since there may be hundreds of thousands in a second: most touch one table, and nobody asks which.
    __slots__ = ("did",)
    __match_args__ = ("changes",)

    def __init__(self, did: Changes | TableChange) -> None:
        """Note what it did."""
        self.did = did

    @property
    def changes(self) -> Changes:
        """What it did to the cache, by table."""
        return self.did.all_changes()

    def __repr__(self) -> str:
        return f"Transaction(changes={self.changes!r})"


@attrs.frozen
class ReducerEvent:
    """A reducer call of which the server told the outcome.

    Attributes:
        request_id: Id of this connection's own call; None for a call of somebody else (told by v1 only).
        reducer: The reducer's name.
        args: Its arguments. v2 never sends them back, so for own calls they are the client's own copy.
        timestamp: When the server ran it.
        outcome: Whether it committed.
        caller_identity: Who called, or None where the protocol does not tell.
        caller_connection_id: From which connection, or None where the protocol does not tell.
        changes: The caller's share of what it changed.
    """

    request_id: int | None
    reducer: str
    args: Arguments
    timestamp: Timestamp
    outcome: Outcome
    caller_identity: Identity | None
    caller_connection_id: ConnectionId | None
    changes: Changes = attrs.field(repr=False)


@attrs.frozen
class ProcedureReturned:
    """A procedure ended: with a value, or with `error`."""

    request_id: int
    procedure: str
    value: Any
    error: CallError | None
    timestamp: Timestamp
    duration: TimeDuration


@attrs.frozen
class QueryReturned:
    """A one-off query was answered: rows by table name, or `error`. It never touches the cache."""

    request_id: int
    tables: dict[str, list[Any]]
    error: QueryError | None


@attrs.frozen
class CallFailed:
    """A call ended without its answer: the link was lost first, it took too long, or this side gave it up."""

    request_id: int
    error: CallError | QueryError


@attrs.frozen
class Retry:
    """The next attempt to connect.

    Attributes:
        attempt: Its number since the link was lost, from 1.
        delay: Seconds until it is made.
    """

    attempt: int
    delay: float


class LinkEnded:
    """A link is over: no byte passes over it any more, and nothing that came over it is left to hand out."""

    __slots__ = ()


@attrs.frozen
class Disconnected(LinkEnded):
    """The connection is over. `error` is None when this side closed it.

    Attributes:
        error: Why.
        code: The WebSocket close code.
        reason: The text of the Close frame, or what the transport reported.
        retry: The attempt to connect again that follows; None when there will be none, so that this is the end.
    """

    error: SpacetimeDBError | None
    code: int = 1006
    reason: str = ""
    retry: Retry | None = None


@attrs.frozen
class StateChanged:
    """A session that outlives its links stands elsewhere now.

    Attributes:
        state: Where.
        ending: How the last link ended, or the last attempt to open one; its `retry` says when the next one is made.
            None before any did.
    """

    state: SessionState
    ending: Disconnected | None


Event: TypeAlias = (
    Connected
    | SubscribeApplied
    | BatchApplied
    | Resumed
    | UnsubscribeApplied
    | SubscriptionFailed
    | Transaction
    | ReducerEvent
    | ProcedureReturned
    | QueryReturned
    | CallFailed
    | LinkEnded
    | Disconnected
    | StateChanged
)
