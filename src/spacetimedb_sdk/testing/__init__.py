"""A SpacetimeDB server in this process, for tests and demos: write a module in Python and serve it on loopback.

::

    chat = Module("chat")

    @chat.table(public=True)
    class Message:
        id: AutoInc[u64]
        sender: Identity
        text: str

    @chat.reducer
    def send_message(ctx: ReducerContext, text: str) -> None:
        if not text:
            raise ReducerError("empty message")  # rolls the transaction back
        ctx.db.message.insert(sender=ctx.sender, text=text)

    with serve(chat) as server:
        ...  # connect to server.uri and server.database

It speaks the real server's protocols, v3, v2 and v1, and the part of its HTTP API that is about one database. It is no
server to rely on: nothing is stored, nobody is kept out, and it listens on loopback only.
"""

from __future__ import annotations

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
from spacetimedb_proto.errors import ReducerError

from .clocks import ManualClock
from .columns import (
    AutoInc,
    Index,
    PrimaryKey,
    Row,
    Unique,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    i128,
    i256,
    u8,
    u16,
    u32,
    u64,
    u128,
    u256,
)
from .context import ReducerContext, TableHandle, Tables
from .database import Database
from .module import Module
from .server import Server, serve
from .service import Service
from .site import Site
from .storage import ConstraintError
from .views import AnonymousViewContext, Query, ViewContext

__all__ = [
    "AnonymousViewContext",
    "AutoInc",
    "ConnectionId",
    "ConstraintError",
    "Database",
    "Err",
    "Identity",
    "Index",
    "ManualClock",
    "Module",
    "Ok",
    "PrimaryKey",
    "Query",
    "ReducerContext",
    "ReducerError",
    "Row",
    "ScheduleAt",
    "Server",
    "Service",
    "Site",
    "Some",
    "TableHandle",
    "Tables",
    "TimeDuration",
    "Timestamp",
    "Unique",
    "Uuid",
    "ViewContext",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "i256",
    "serve",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "u256",
]
