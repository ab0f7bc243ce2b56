"""The recorded module of views that return rows."""

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_sdk.testing import (
    AnonymousViewContext,
    AutoInc,
    Index,
    Module,
    PrimaryKey,
    ReducerContext,
    Row,
    Unique,
    ViewContext,
    i32,
    u64,
)

view = Module("sdk-test-view", convert_names=True)


@view.table(public=True)
class Player(Row):
    entity_id: PrimaryKey[AutoInc[u64]]
    identity: Unique[Identity]


@view.table(public=True)
class PlayerLevel(Row):
    entity_id: Unique[u64]
    level: Index[u64]


@view.table
class PlayerLocation(Row):
    entity_id: Unique[u64]
    active: Index[bool]
    x: i32
    y: i32


@view.type
class PlayerAndLevel(Row):
    entity_id: u64
    identity: Identity
    level: u64


@view.reducer
def insert_player(ctx: ReducerContext, identity: Identity, level: u64) -> None:
    player = ctx.db[Player].insert(identity=identity)
    ctx.db[PlayerLevel].insert(entity_id=player.entity_id, level=level)


@view.reducer
def delete_player(ctx: ReducerContext, identity: Identity) -> None:
    player = ctx.db[Player].find(identity=identity)
    assert player is not None
    ctx.db[Player].delete(player)
    for table in (ctx.db[PlayerLevel], ctx.db[PlayerLocation]):
        row = table.find(entity_id=player.entity_id)
        if row is not None:
            table.delete(row)


@view.reducer
def move_player(ctx: ReducerContext, dx: i32, dy: i32) -> None:
    player = ctx.db[Player].find(identity=ctx.sender) or ctx.db[Player].insert(identity=ctx.sender)
    old = ctx.db[PlayerLocation].find(entity_id=player.entity_id)
    x, y = (old.x, old.y) if old is not None else (0, 0)
    if old is not None:
        ctx.db[PlayerLocation].delete(old)
    ctx.db[PlayerLocation].insert(entity_id=player.entity_id, active=True, x=x + dx, y=y + dy)


@view.view
def my_player(ctx: ViewContext) -> Player | None:
    return ctx.db[Player].find(identity=ctx.sender)


@view.view
def my_player_and_level(ctx: ViewContext) -> PlayerAndLevel | None:
    player = my_player(ctx)
    level = None if player is None else ctx.db[PlayerLevel].find(entity_id=player.entity_id)
    return None if player is None or level is None else PlayerAndLevel(player.entity_id, player.identity, level.level)


@view.view
def nearby_players(ctx: ViewContext) -> list[PlayerLocation]:
    player = my_player(ctx)
    me = None if player is None else ctx.db[PlayerLocation].find(entity_id=player.entity_id)
    others = ctx.db[PlayerLocation].filter(active=True)
    return [] if me is None else [row for row in others if abs(row.x - me.x) < 5 and abs(row.y - me.y) < 5]


@view.view(anonymous=True)
def players_at_level_0(ctx: AnonymousViewContext) -> list[Player]:
    levels = ctx.db[PlayerLevel].filter(level=0)
    players = [ctx.db[Player].find(entity_id=level.entity_id) for level in levels]
    return [player for player in players if player is not None]
