"""The module of the chat example, for the in-process server."""

from __future__ import annotations

from spacetimedb_sdk import Identity, ReducerError, Timestamp
from spacetimedb_sdk.testing import AutoInc, Index, Module, PrimaryKey, ReducerContext, u64

chat = Module("chat")


@chat.table(public=True)
class User:
    identity: PrimaryKey[Identity]
    name: str | None
    online: bool


@chat.table(public=True)
class Message:
    id: PrimaryKey[AutoInc[u64]]
    sender: Index[Identity]
    sent: Timestamp
    text: str


@chat.client_connected
def client_connected(ctx: ReducerContext) -> None:
    known = ctx.db.user.find(identity=ctx.sender)
    name = known.name if known else None
    if known:
        ctx.db.user.delete(known)
    ctx.db.user.insert(identity=ctx.sender, name=name, online=True)


@chat.client_disconnected
def client_disconnected(ctx: ReducerContext) -> None:
    known = ctx.db.user.find(identity=ctx.sender)
    if known:
        ctx.db.user.delete(known)
        ctx.db.user.insert(identity=ctx.sender, name=known.name, online=False)


@chat.reducer
def set_name(ctx: ReducerContext, name: str) -> None:
    if not name:
        raise ReducerError("Names must not be empty")
    ctx.db.user.update(User(identity=ctx.sender, name=name, online=True))


@chat.reducer
def send_message(ctx: ReducerContext, text: str) -> None:
    if not text:
        raise ReducerError("Messages must not be empty")
    ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)
