"""The messages of v2, which are also the model that every protocol is translated to.

v2.bsatn and v3.bsatn encode exactly these classes (protocol reference, 3.3 and 3.4). v1 has messages of its own, which
`v1.py` translates; what v1 alone can say stands at the end. Nothing above `wire/` knows which protocol was negotiated.
Names and field order are the server's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from ..bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from .rowlist import RowList

if TYPE_CHECKING:
    from attrs import frozen
else:
    # Frozen for type checkers only: making an object that is frozen at run time takes 2.4 times as long, and a session
    # makes several of these for each transaction.
    frozen = attrs.define

# --- client to server -------------------------------------------------------------------------------------------------


@frozen
class Subscribe:
    """Ask for the rows of some queries, now and from now on."""

    request_id: int
    query_set_id: int
    query_strings: list[str]


@frozen
class Unsubscribe:
    """End a query set. `send_dropped_rows` asks for the rows that leave with it."""

    request_id: int
    query_set_id: int
    send_dropped_rows: bool = True


@frozen
class OneOffQuery:
    """Ask for the rows of one query, once."""

    request_id: int
    query_string: str


@frozen
class CallReducer:
    """Call a reducer. `args` is BSATN (bytes), or JSON text (str) in v1.json."""

    request_id: int
    flags: int
    reducer: str
    args: bytes | str


@frozen
class CallProcedure:
    """Call a procedure. `args` is BSATN (bytes), or JSON text (str) in v1.json."""

    request_id: int
    flags: int
    procedure: str
    args: bytes | str


@frozen
class SubscribeSet:
    """One query set of a `SubscribeBatch`."""

    query_set_id: int
    query_strings: list[str]


@frozen
class SubscribeBatch:
    """Several query sets, evaluated at one moment (servers from 2.11 on)."""

    request_id: int
    sets: list[SubscribeSet]


@frozen
class ReplaceSubscription:
    """v1 only: replace all queries of the connection's one legacy query set."""

    request_id: int
    query_strings: list[str]


ClientMessage: TypeAlias = (
    Subscribe | Unsubscribe | OneOffQuery | CallReducer | CallProcedure | SubscribeBatch | ReplaceSubscription
)

# --- server to client -------------------------------------------------------------------------------------------------


@frozen
class SingleTableRows:
    """Rows of one table that one query matched. One table may occur several times: together they are a bag."""

    table: str
    rows: RowList


@frozen
class QueryRows:
    """The rows of a query set, a bag."""

    tables: list[SingleTableRows]


@frozen
class PersistentTableRows:
    """Rows that entered and left one query's result."""

    inserts: RowList
    deletes: RowList


@frozen
class EventTableRows:
    """Rows that exist only in this transaction."""

    events: RowList


@frozen
class TableUpdate:
    """What a transaction changed in one table for one query set; one entry per query."""

    table_name: str
    rows: list[PersistentTableRows | EventTableRows]


@frozen
class QuerySetUpdate:
    """What a transaction changed for one query set."""

    query_set_id: int
    tables: list[TableUpdate]


@frozen
class InitialConnection:
    """The first message: who the client is."""

    identity: Identity
    connection_id: ConnectionId
    token: str = attrs.field(repr=False)


@frozen
class SubscribeApplied:
    """The rows of a query set as of its start."""

    request_id: int
    query_set_id: int
    rows: QueryRows


@frozen
class UnsubscribeApplied:
    """A query set ended; `rows` are those it held, if they were asked for."""

    request_id: int
    query_set_id: int
    rows: QueryRows | None


@frozen
class SubscriptionError:
    """A query set was refused (`request_id` given) or died (None). No id at all, in v1 only: all of them died."""

    request_id: int | None
    query_set_id: int | None
    error: str


@frozen
class TransactionUpdate:
    """What a transaction changed."""

    query_sets: list[QuerySetUpdate]


@frozen
class OneOffQueryResult:
    """The rows of a one-off query, or the server's error text."""

    request_id: int
    result: QueryRows | str


@frozen
class ReducerOk:
    """The reducer committed; `transaction_update` is the caller's share of what it changed."""

    ret_value: bytes
    transaction_update: TransactionUpdate


@frozen
class ReducerOkEmpty:
    """The reducer committed and the caller sees no change."""


@frozen
class ReducerErr:
    """The reducer returned an error: a BSATN string inside these bytes."""

    error: bytes


@frozen
class ReducerInternalError:
    """The reducer panicked, or could not be called."""

    error: str


ReducerOutcome: TypeAlias = ReducerOk | ReducerOkEmpty | ReducerErr | ReducerInternalError


@frozen
class ReducerResult:
    """The answer to `CallReducer`."""

    request_id: int
    timestamp: Timestamp
    result: ReducerOutcome


@frozen
class ProcedureReturned:
    """The procedure's return value: BSATN, or JSON text in v1.json."""

    value: bytes | str


@frozen
class ProcedureInternalError:
    """The procedure failed."""

    error: str


@frozen
class ProcedureResult:
    """The answer to `CallProcedure`."""

    status: ProcedureReturned | ProcedureInternalError
    timestamp: Timestamp
    total_host_execution_duration: TimeDuration
    request_id: int


@frozen
class SubscribeSetResult:
    """What became of one set of a `SubscribeBatch`: its rows, or the server's error text."""

    query_set_id: int
    outcome: QueryRows | str


@frozen
class SubscribeBatchApplied:
    """The answer to `SubscribeBatch`, one result per set in the order asked."""

    request_id: int
    results: list[SubscribeSetResult]


# --- what only v1 says ------------------------------------------------------------------------------------------------


@frozen
class SubscribeSingle(Subscribe):
    """A `Subscribe` of one query, whose answer has a form of its own: `SingleApplied`."""


@frozen
class UnsubscribeSingle(Unsubscribe):
    """Ends what `SubscribeSingle` began; answered by `SingleEnded`."""


@frozen
class SingleApplied(SubscribeApplied):
    """The rows of a single query: of one table, which is named also when there are none."""


@frozen
class SingleEnded(UnsubscribeApplied):
    """The rows that leave with a single query, as in `SingleApplied`."""


@frozen
class LightUpdate(TransactionUpdate):
    """A `TransactionUpdate` that tells which request of its caller's caused it, but not who called what."""

    request_id: int = 0


@frozen
class ReplacedSubscription:
    """The answer to `ReplaceSubscription`: the rows of the new legacy query set."""

    request_id: int
    rows: QueryRows


@frozen
class ReducerCall:
    """Who called which reducer, as v1 tells every subscriber. `args` as in `CallReducer`."""

    reducer: str
    request_id: int
    args: bytes | str
    caller_identity: Identity
    caller_connection_id: ConnectionId
    timestamp: Timestamp


@frozen
class ReducerUpdate:
    """A transaction and the call that caused it; `error` is None when it committed, else why it did not."""

    call: ReducerCall
    update: TransactionUpdate
    error: str | None


ServerMessage: TypeAlias = (
    InitialConnection
    | SubscribeApplied
    | UnsubscribeApplied
    | SubscriptionError
    | TransactionUpdate
    | OneOffQueryResult
    | ReducerResult
    | ProcedureResult
    | SubscribeBatchApplied
    | ReplacedSubscription
    | ReducerUpdate
)
