"""The Python client SDK for SpacetimeDB.

::

    from spacetimedb_sdk import connect

    async with connect("http://127.0.0.1:3000", "chat") as conn:
        await conn.subscribe("SELECT * FROM message")
        for message in conn.db.message:
            print(message.sender, message.text)

`connect` serves asyncio and trio, `spacetimedb_sdk.blocking.connect` programs that block, and
`spacetimedb_sdk.frame.connect` frame loops. An in-process server for tests is in `spacetimedb_sdk.testing`.
"""

from typing import TYPE_CHECKING

from spacetimedb_proto.door import door
from spacetimedb_proto.errors import (
    AuthenticationError,
    CallCancelled,
    CallError,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    DecodeError,
    EncodeError,
    IdentityChanged,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    ProcedureError,
    ProtocolError,
    QueryError,
    RecordingError,
    ReducerError,
    RemoteProtocolError,
    RequestError,
    SchemaError,
    SchemaMismatch,
    SpacetimeDBError,
    StreamOverflow,
    SubscriptionError,
    UnsupportedProtocol,
    WaitTimeout,
)

from .connecting import connect
from .sql import Query, literal, sql

if TYPE_CHECKING:
    from spacetimedb_proto.backoff import Backoff
    from spacetimedb_proto.bsatn.values import (
        ConnectionId,
        Err,
        Identity,
        Ok,
        ScheduleAt,
        Some,
        TimeDuration,
        Timestamp,
        Uuid,
    )
    from spacetimedb_proto.cache import (
        CachePolicy,
        Change,
        Changes,
        Deleted,
        Inserted,
        TableChange,
        TableMemory,
        Updated,
    )
    from spacetimedb_proto.connection import Timeouts
    from spacetimedb_proto.events import (
        Arguments,
        Committed,
        Disconnected,
        Failed,
        ReducerEvent,
        Refused,
        Resumed,
        Retry,
        StateChanged,
        SubscribeApplied,
        SubscriptionFailed,
        Transaction,
        UnsubscribeApplied,
    )
    from spacetimedb_proto.jwt import needs_refresh
    from spacetimedb_proto.limits import Limits
    from spacetimedb_proto.schema import Schema, load_schema
    from spacetimedb_proto.states import QuerySetState, SessionState

    from . import blocking as blocking
    from . import codegen as codegen
    from . import export as export
    from . import frame as frame
    from . import testing as testing
    from .async_connection import AsyncPending, AsyncStream, Connecting, Connection
    from .bindings.context import Context
    from .bindings.functions import Procedure, Reducer
    from .bindings.listeners import Listener
    from .bindings.pending import Pending
    from .bindings.records import TransactionRecord
    from .bindings.subscription import Subscription
    from .bindings.tables import TableHandle
    from .bindings.unread import Overflow
    from .http import BlockingHttpClient, HttpClient
    from .memory import MemoryReport
    from .replaying import Replay, replay
    from .statistics import Statistics
    from .tabular import Rows
    from .tokens import Token, TokenCli, TokenEnv, TokenFile, TokenSource
else:
    __getattr__, __dir__ = door(
        __name__,
        {
            "spacetimedb_proto.backoff": ("Backoff",),
            "spacetimedb_proto.bsatn.values": (
                "ConnectionId",
                "Err",
                "Identity",
                "Ok",
                "ScheduleAt",
                "Some",
                "TimeDuration",
                "Timestamp",
                "Uuid",
            ),
            "spacetimedb_proto.cache": (
                "CachePolicy",
                "Change",
                "Changes",
                "Deleted",
                "Inserted",
                "TableChange",
                "TableMemory",
                "Updated",
            ),
            "spacetimedb_proto.connection": ("Timeouts",),
            "spacetimedb_proto.events": (
                "Arguments",
                "Committed",
                "Disconnected",
                "Failed",
                "ReducerEvent",
                "Refused",
                "Resumed",
                "Retry",
                "StateChanged",
                "SubscribeApplied",
                "SubscriptionFailed",
                "Transaction",
                "UnsubscribeApplied",
            ),
            "spacetimedb_proto.jwt": ("needs_refresh",),
            "spacetimedb_proto.limits": ("Limits",),
            "spacetimedb_proto.schema": ("Schema", "load_schema"),
            "spacetimedb_proto.states": ("QuerySetState", "SessionState"),
            ".async_connection": ("AsyncPending", "AsyncStream", "Connecting", "Connection"),
            ".bindings.context": ("Context",),
            ".bindings.functions": ("Procedure", "Reducer"),
            ".bindings.listeners": ("Listener",),
            ".bindings.pending": ("Pending",),
            ".bindings.records": ("TransactionRecord",),
            ".bindings.subscription": ("Subscription",),
            ".bindings.tables": ("TableHandle",),
            ".bindings.unread": ("Overflow",),
            ".http.async_client": ("HttpClient",),
            ".http.blocking_client": ("BlockingHttpClient",),
            ".memory": ("MemoryReport",),
            ".replaying": ("Replay", "replay"),
            ".statistics": ("Statistics",),
            ".tabular": ("Rows",),
            ".tokens": ("Token", "TokenCli", "TokenEnv", "TokenFile", "TokenSource"),
        },
        modules=("blocking", "codegen", "export", "frame", "testing"),
    )

__all__ = [
    "Arguments",
    "AsyncPending",
    "AsyncStream",
    "AuthenticationError",
    "Backoff",
    "BlockingHttpClient",
    "CachePolicy",
    "CallCancelled",
    "CallError",
    "CallTimeout",
    "Change",
    "Changes",
    "Committed",
    "ConnectError",
    "Connecting",
    "Connection",
    "ConnectionId",
    "ConnectionLost",
    "ConnectionRefused",
    "Context",
    "DatabaseNotFound",
    "DecodeError",
    "Deleted",
    "Disconnected",
    "EncodeError",
    "Err",
    "Failed",
    "HttpClient",
    "Identity",
    "IdentityChanged",
    "Inserted",
    "Limits",
    "Listener",
    "LocalProtocolError",
    "MemoryReport",
    "NotSent",
    "Ok",
    "OutcomeUnknown",
    "Overflow",
    "Pending",
    "Procedure",
    "ProcedureError",
    "ProtocolError",
    "Query",
    "QueryError",
    "QuerySetState",
    "RecordingError",
    "Reducer",
    "ReducerError",
    "ReducerEvent",
    "Refused",
    "RemoteProtocolError",
    "Replay",
    "RequestError",
    "Resumed",
    "Retry",
    "Rows",
    "ScheduleAt",
    "Schema",
    "SchemaError",
    "SchemaMismatch",
    "SessionState",
    "Some",
    "SpacetimeDBError",
    "StateChanged",
    "Statistics",
    "StreamOverflow",
    "SubscribeApplied",
    "Subscription",
    "SubscriptionError",
    "SubscriptionFailed",
    "TableChange",
    "TableHandle",
    "TableMemory",
    "TimeDuration",
    "Timeouts",
    "Timestamp",
    "Token",
    "TokenCli",
    "TokenEnv",
    "TokenFile",
    "TokenSource",
    "Transaction",
    "TransactionRecord",
    "UnsubscribeApplied",
    "UnsupportedProtocol",
    "Updated",
    "Uuid",
    "WaitTimeout",
    "connect",
    "literal",
    "load_schema",
    "needs_refresh",
    "replay",
    "sql",
]
