"""The messages of v1, exactly as they are on the wire (protocol reference, 3.7). `v1.py` translates them.

Each class stands with its layout: field names are those of v1.json, their order is that of v1.bsatn. What differs
between the two formats is a custom of `LAYOUT`: rows are a `RowList` in BSATN and JSON texts in JSON, arguments and
return values are bytes and a JSON text.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from ..bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    TIME_DURATION,
    TIMESTAMP,
    UNIT,
    AlgebraicType,
    Array,
    Primitive,
    option,
)
from ..bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from .declare import Declarations
from .rowlist import RowList

LAYOUT: Final = Declarations()

STRING, U8, U32, U64, U128 = (Primitive[name] for name in ("STRING", "U8", "U32", "U64", "U128"))
STRINGS = Array(STRING)

TABLE_ID = LAYOUT.custom("table_id")  # a u32; one per table of a message, which is why tables are counted by it
ARGS = LAYOUT.custom("args")
ROWS = LAYOUT.custom("rows")
QUERY_UPDATE = LAYOUT.custom("query_update")
QUERY_ID = LAYOUT.custom("query_id")

Args: TypeAlias = bytes | str
Rows: TypeAlias = RowList | list[str]

# --- parts ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class QueryUpdate:
    """Rows that left and entered one query's result. `packed` is the compressed form that it came in, if it did."""

    deletes: Rows
    inserts: Rows
    packed: bytes | None = None


@attrs.frozen
class TableUpdate:
    """What changed in one table, one entry per query."""

    table_id: int
    table_name: str
    num_rows: int
    updates: list[QueryUpdate]


TABLE_UPDATE = LAYOUT.record(
    TableUpdate, table_id=TABLE_ID, table_name=STRING, num_rows=U64, updates=Array(QUERY_UPDATE)
)


@attrs.frozen
class DatabaseUpdate:
    """What changed."""

    tables: list[TableUpdate]


DATABASE_UPDATE = LAYOUT.record(DatabaseUpdate, tables=Array(TABLE_UPDATE))


@attrs.frozen
class SubscribeRows:
    """The rows of a single query."""

    table_id: int
    table_name: str
    table_rows: TableUpdate


SUBSCRIBE_ROWS = LAYOUT.record(SubscribeRows, table_id=U32, table_name=STRING, table_rows=TABLE_UPDATE)


@attrs.frozen
class OneOffTable:
    """Rows of a one-off query."""

    table_name: str
    rows: Rows


ONE_OFF_TABLE = LAYOUT.record(OneOffTable, table_name=STRING, rows=ROWS)


@attrs.frozen
class ReducerCallInfo:
    """Which reducer was called how. `request_id` is 0 where the server could not start the call."""

    reducer_name: str
    reducer_id: int
    args: Args
    request_id: int


REDUCER_CALL = LAYOUT.record(ReducerCallInfo, reducer_name=STRING, reducer_id=U32, args=ARGS, request_id=U32)


@attrs.frozen
class EnergyQuanta:
    """A CPU budget number."""

    quanta: int


ENERGY = LAYOUT.record(EnergyQuanta, quanta=U128)


@attrs.frozen
class Failed:
    """Why a reducer or procedure did not succeed."""

    error: str


@attrs.frozen
class OutOfEnergy:
    """It ran out of its budget."""


@attrs.frozen
class Returned:
    """A procedure's return value."""

    value: Args


UPDATE_STATUS = LAYOUT.union(
    "UpdateStatus",
    Committed=(DatabaseUpdate, DATABASE_UPDATE),
    Failed=(Failed, STRING),
    OutOfEnergy=(OutOfEnergy, UNIT),
)
PROCEDURE_STATUS = LAYOUT.union(
    "ProcedureStatus",
    Returned=(Returned, ARGS),
    OutOfEnergy=(OutOfEnergy, UNIT),
    InternalError=(Failed, STRING),
)

# --- client to server -------------------------------------------------------------------------------------------------


@attrs.frozen
class CallReducer:
    """Call a reducer. `flags` 1 asks for no answer."""

    reducer: str
    args: Args
    request_id: int
    flags: int


@attrs.frozen
class Subscribe:
    """Replace the legacy query set."""

    query_strings: list[str]
    request_id: int


@attrs.frozen
class OneOffQuery:
    """Ask once."""

    message_id: bytes
    query_string: str


@attrs.frozen
class SubscribeSingle:
    """Add a query."""

    query: str
    request_id: int
    query_id: int


@attrs.frozen
class SubscribeMulti:
    """Add a set of queries."""

    query_strings: list[str]
    request_id: int
    query_id: int


@attrs.frozen
class Unsubscribe:
    """End a query that `SubscribeSingle` added."""

    request_id: int
    query_id: int


@attrs.frozen
class UnsubscribeMulti:
    """End a set that `SubscribeMulti` added."""

    request_id: int
    query_id: int


@attrs.frozen
class CallProcedure:
    """Call a procedure."""

    procedure: str
    args: Args
    request_id: int
    flags: int


ClientMessage: TypeAlias = (
    CallReducer
    | Subscribe
    | OneOffQuery
    | SubscribeSingle
    | SubscribeMulti
    | Unsubscribe
    | UnsubscribeMulti
    | CallProcedure
)

CLIENT_MESSAGE = LAYOUT.union(
    "ClientMessage",
    CallReducer=(CallReducer, LAYOUT.record(CallReducer, reducer=STRING, args=ARGS, request_id=U32, flags=U8)),
    Subscribe=(Subscribe, LAYOUT.record(Subscribe, query_strings=STRINGS, request_id=U32)),
    OneOffQuery=(OneOffQuery, LAYOUT.record(OneOffQuery, message_id=BYTES, query_string=STRING)),
    SubscribeSingle=(SubscribeSingle, LAYOUT.record(SubscribeSingle, query=STRING, request_id=U32, query_id=QUERY_ID)),
    SubscribeMulti=(
        SubscribeMulti,
        LAYOUT.record(SubscribeMulti, query_strings=STRINGS, request_id=U32, query_id=QUERY_ID),
    ),
    Unsubscribe=(Unsubscribe, LAYOUT.record(Unsubscribe, request_id=U32, query_id=QUERY_ID)),
    UnsubscribeMulti=(UnsubscribeMulti, LAYOUT.record(UnsubscribeMulti, request_id=U32, query_id=QUERY_ID)),
    CallProcedure=(CallProcedure, LAYOUT.record(CallProcedure, procedure=STRING, args=ARGS, request_id=U32, flags=U8)),
)

# --- server to client -------------------------------------------------------------------------------------------------


@attrs.frozen
class InitialSubscription:
    """The rows of the new legacy query set."""

    database_update: DatabaseUpdate
    request_id: int
    total_host_execution_duration: TimeDuration


@attrs.frozen
class TransactionUpdate:
    """A reducer ran, for everybody who is told who called it."""

    status: DatabaseUpdate | Failed | OutOfEnergy
    timestamp: Timestamp
    caller_identity: Identity
    caller_connection_id: ConnectionId
    reducer_call: ReducerCallInfo
    energy_quanta_used: EnergyQuanta
    total_host_execution_duration: TimeDuration


@attrs.frozen
class TransactionUpdateLight:
    """A transaction; `request_id` is the caller's, not the receiver's."""

    request_id: int
    update: DatabaseUpdate


@attrs.frozen
class IdentityToken:
    """Who the client is."""

    identity: Identity
    token: str = attrs.field(repr=False)
    connection_id: ConnectionId


@attrs.frozen
class OneOffQueryResponse:
    """The answer to `OneOffQuery`."""

    message_id: bytes
    error: str | None
    tables: list[OneOffTable]
    total_host_execution_duration: TimeDuration


@attrs.frozen
class SubscribeApplied:
    """The rows of a new query."""

    request_id: int
    total_host_execution_duration_micros: int
    query_id: int
    rows: SubscribeRows


@attrs.frozen
class UnsubscribeApplied(SubscribeApplied):
    """The rows that leave with a query."""


@attrs.frozen
class SubscriptionError:
    """A subscription failed; without any id, all of them did."""

    total_host_execution_duration_micros: int
    request_id: int | None
    query_id: int | None
    table_id: int | None
    error: str


@attrs.frozen
class SubscribeMultiApplied:
    """The rows of those queries of a new set that the client did not have yet."""

    request_id: int
    total_host_execution_duration_micros: int
    query_id: int
    update: DatabaseUpdate


@attrs.frozen
class UnsubscribeMultiApplied(SubscribeMultiApplied):
    """The rows of those queries of a set that the client does not have any more."""


@attrs.frozen
class ProcedureResult:
    """The answer to `CallProcedure`."""

    status: Returned | OutOfEnergy | Failed
    timestamp: Timestamp
    total_host_execution_duration: TimeDuration
    request_id: int


ServerMessage: TypeAlias = (
    InitialSubscription
    | TransactionUpdate
    | TransactionUpdateLight
    | IdentityToken
    | OneOffQueryResponse
    | SubscribeApplied
    | UnsubscribeApplied
    | SubscriptionError
    | SubscribeMultiApplied
    | UnsubscribeMultiApplied
    | ProcedureResult
)

_SINGLE: Final[dict[str, AlgebraicType]] = {
    "request_id": U32,
    "total_host_execution_duration_micros": U64,
    "query_id": QUERY_ID,
    "rows": SUBSCRIBE_ROWS,
}
_MULTI: Final[dict[str, AlgebraicType]] = {
    "request_id": U32,
    "total_host_execution_duration_micros": U64,
    "query_id": QUERY_ID,
    "update": DATABASE_UPDATE,
}

SERVER_MESSAGE = LAYOUT.union(
    "ServerMessage",
    InitialSubscription=(
        InitialSubscription,
        LAYOUT.record(
            InitialSubscription,
            database_update=DATABASE_UPDATE,
            request_id=U32,
            total_host_execution_duration=TIME_DURATION,
        ),
    ),
    TransactionUpdate=(
        TransactionUpdate,
        LAYOUT.record(
            TransactionUpdate,
            status=UPDATE_STATUS,
            timestamp=TIMESTAMP,
            caller_identity=IDENTITY,
            caller_connection_id=CONNECTION_ID,
            reducer_call=REDUCER_CALL,
            energy_quanta_used=ENERGY,
            total_host_execution_duration=TIME_DURATION,
        ),
    ),
    TransactionUpdateLight=(
        TransactionUpdateLight,
        LAYOUT.record(TransactionUpdateLight, request_id=U32, update=DATABASE_UPDATE),
    ),
    IdentityToken=(
        IdentityToken,
        LAYOUT.record(IdentityToken, identity=IDENTITY, token=STRING, connection_id=CONNECTION_ID),
    ),
    OneOffQueryResponse=(
        OneOffQueryResponse,
        LAYOUT.record(
            OneOffQueryResponse,
            message_id=BYTES,
            error=option(STRING),
            tables=Array(ONE_OFF_TABLE),
            total_host_execution_duration=TIME_DURATION,
        ),
    ),
    SubscribeApplied=(SubscribeApplied, LAYOUT.record(SubscribeApplied, **_SINGLE)),
    UnsubscribeApplied=(UnsubscribeApplied, LAYOUT.record(UnsubscribeApplied, **_SINGLE)),
    SubscriptionError=(
        SubscriptionError,
        LAYOUT.record(
            SubscriptionError,
            total_host_execution_duration_micros=U64,
            request_id=option(U32),
            query_id=option(U32),
            table_id=option(U32),
            error=STRING,
        ),
    ),
    SubscribeMultiApplied=(SubscribeMultiApplied, LAYOUT.record(SubscribeMultiApplied, **_MULTI)),
    UnsubscribeMultiApplied=(UnsubscribeMultiApplied, LAYOUT.record(UnsubscribeMultiApplied, **_MULTI)),
    ProcedureResult=(
        ProcedureResult,
        LAYOUT.record(
            ProcedureResult,
            status=PROCEDURE_STATUS,
            timestamp=TIMESTAMP,
            total_host_execution_duration=TIME_DURATION,
            request_id=U32,
        ),
    ),
)
