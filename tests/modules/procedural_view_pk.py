"""The recorded module of views that return rows with a key of their own."""

# ruff: noqa: A002 - names of parameters are the recorded module's

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_sdk.testing import Index, Module, PrimaryKey, ReducerContext, Row, ViewContext, u64

procedural_view_pk = Module("sdk-test-procedural-view-pk", convert_names=True)


@procedural_view_pk.table(public=True)
class LeftSource(Row):
    id: PrimaryKey[u64]
    sender: Index[Identity]
    filter: u64


@procedural_view_pk.table(public=True)
class RightSource(Row):
    id: PrimaryKey[u64]
    sender: Index[Identity]
    filter: u64


@procedural_view_pk.reducer
def insert_left(ctx: ReducerContext, id: u64, filter: u64) -> None:
    ctx.db[LeftSource].insert(id=id, sender=ctx.sender, filter=filter)


@procedural_view_pk.reducer
def update_left(ctx: ReducerContext, id: u64, filter: u64) -> None:
    ctx.db[LeftSource].update(LeftSource(id, ctx.sender, filter))


@procedural_view_pk.reducer
def insert_right(ctx: ReducerContext, id: u64, filter: u64) -> None:
    ctx.db[RightSource].insert(id=id, sender=ctx.sender, filter=filter)


@procedural_view_pk.view(primary_key="id")
def sender_left_view(ctx: ViewContext) -> list[LeftSource]:
    return list(ctx.db[LeftSource].filter(sender=ctx.sender))


@procedural_view_pk.view(primary_key="id")
def sender_right_view(ctx: ViewContext) -> list[RightSource]:
    return list(ctx.db[RightSource].filter(sender=ctx.sender))
