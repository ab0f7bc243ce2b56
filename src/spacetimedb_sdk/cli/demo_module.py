"""The module that `spacetimedb-sdk demo` serves."""

from __future__ import annotations

import attrs

from spacetimedb_proto.bsatn.values import Identity, Timestamp

from ..testing import AutoInc, Index, Module, PrimaryKey, ReducerContext, ReducerError, u64

__all__ = ["chat"]

chat = Module("chat")


@chat.table(public=True)
class User:
    """Who has been here."""

    identity: PrimaryKey[Identity]
    name: str | None
    online: bool


@chat.table(public=True)
class Message:
    """What was said."""

    id: PrimaryKey[AutoInc[u64]]
    sender: Index[Identity]
    sent: Timestamp
    text: str


@chat.client_connected
def client_connected(ctx: ReducerContext) -> None:
    """Somebody is there."""
    known = ctx.db.user.find(identity=ctx.sender)
    name = known.name if known else None
    if known:
        ctx.db.user.delete(known)
    ctx.db.user.insert(identity=ctx.sender, name=name, online=True)


@chat.client_disconnected
def client_disconnected(ctx: ReducerContext) -> None:
    """Somebody has left."""
    known = ctx.db.user.find(identity=ctx.sender)
    if known:
        ctx.db.user.delete(known)
        ctx.db.user.insert(identity=ctx.sender, name=known.name, online=False)


@chat.reducer
def set_name(ctx: ReducerContext, name: str) -> None:
    """Take a name."""
    if not name:
        raise ReducerError("Names must not be empty")
    known = ctx.db.user.find(identity=ctx.sender)
    if known:
        ctx.db.user.update(attrs.evolve(known, name=name))


@chat.reducer
def send_message(ctx: ReducerContext, text: str) -> None:
    """Say something."""
    if not text:
        raise ReducerError("Messages must not be empty")
    ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)
