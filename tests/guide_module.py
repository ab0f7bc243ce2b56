"""The module that the code in the documentation is run against: a chat, and what else pages speak of."""

from __future__ import annotations

from spacetimedb_sdk import Identity, ReducerError, Timestamp
from spacetimedb_sdk.testing import AutoInc, Index, Module, PrimaryKey, ReducerContext, Unique, u32, u64

guide = Module("chat")


@guide.table(public=True)
class User:
    identity: PrimaryKey[Identity]
    name: Unique[str]
    online: bool
    age: u32


@guide.table(public=True)
class Message:
    id: PrimaryKey[AutoInc[u64]]
    sender: Index[Identity]
    sent: Timestamp
    text: str


@guide.table(public=True)
class Player:
    id: PrimaryKey[u64]
    name: str
    guild: u32
    level: u32


@guide.table(public=True)
class Entity:
    id: PrimaryKey[u64]
    chunk: u32


@guide.table(public=True)
class Sale:
    item: PrimaryKey[u32]
    price: u32


@guide.table(public=True)
class Item:
    id: PrimaryKey[u32]
    name: str


@guide.client_connected
def client_connected(ctx: ReducerContext) -> None:
    if ctx.db.user.find(identity=ctx.sender) is None:
        ctx.db.user.insert(identity=ctx.sender, name=ctx.sender.hex(), online=True, age=0)


@guide.reducer
def send_message(ctx: ReducerContext, text: str) -> None:
    if not text:
        raise ReducerError("Messages must not be empty")
    ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)


@guide.reducer
def add_user(ctx: ReducerContext, name: str, age: u32) -> None:
    ctx.db.user.insert(identity=Identity.from_hex(f"{age:064x}"), name=name, online=False, age=age)


@guide.procedure
def add(ctx: ReducerContext, a: u64, b: u64) -> u64:
    return a + b
