"""The recorded module of views that are queries, with the keys of their tables."""

# ruff: noqa: A002 - names of parameters are the recorded module's

from spacetimedb_sdk.testing import Index, Module, PrimaryKey, Query, ReducerContext, Row, ViewContext, u64

view_pk = Module("sdk-test-view-pk", convert_names=True)


@view_pk.table(public=True)
class ViewPkPlayer(Row):
    id: PrimaryKey[u64]
    name: str


@view_pk.table(public=True)
class ViewPkMembership(Row):
    id: PrimaryKey[u64]
    player_id: Index[u64]


@view_pk.table(public=True)
class ViewPkMembershipSecondary(Row):
    id: PrimaryKey[u64]
    player_id: Index[u64]


@view_pk.reducer
def insert_view_pk_player(ctx: ReducerContext, id: u64, name: str) -> None:
    ctx.db[ViewPkPlayer].insert(id=id, name=name)


@view_pk.reducer
def update_view_pk_player(ctx: ReducerContext, id: u64, name: str) -> None:
    ctx.db[ViewPkPlayer].update(ViewPkPlayer(id, name))


@view_pk.reducer
def insert_view_pk_membership(ctx: ReducerContext, id: u64, player_id: u64) -> None:
    ctx.db[ViewPkMembership].insert(id=id, player_id=player_id)


@view_pk.reducer
def insert_view_pk_membership_secondary(ctx: ReducerContext, id: u64, player_id: u64) -> None:
    ctx.db[ViewPkMembershipSecondary].insert(id=id, player_id=player_id)


@view_pk.view
def all_view_pk_players(ctx: ViewContext) -> Query[ViewPkPlayer]:
    return Query("SELECT * FROM view_pk_player")


@view_pk.view
def sender_view_pk_players_a(ctx: ViewContext) -> Query[ViewPkPlayer]:
    return Query("SELECT p.* FROM view_pk_player p JOIN view_pk_membership m ON m.player_id = p.id")


@view_pk.view
def sender_view_pk_players_b(ctx: ViewContext) -> Query[ViewPkPlayer]:
    return Query("SELECT p.* FROM view_pk_player p JOIN view_pk_membership_secondary m ON m.player_id = p.id")
