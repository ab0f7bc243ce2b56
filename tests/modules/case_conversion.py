"""The recorded module whose names are of all sorts."""

# ruff: noqa: N803, N815 - that they are

import attrs

from spacetimedb_sdk.testing import (
    AnonymousViewContext,
    AutoInc,
    Index,
    Module,
    PrimaryKey,
    Query,
    ReducerContext,
    Row,
    u8,
    u32,
)

case_conversion = Module("sdk-test-case-conversion", convert_names=True)


@case_conversion.sum
class Player2Status:
    Active1: None
    BannedUntil: u32


@case_conversion.type
class Person3Info(Row):
    AgeValue1: u8
    ScoreTotal: u32


@case_conversion.table(public=True, name="Player1Canonical", source_name="player1")
class Player1(Row):
    Player1Id: PrimaryKey[AutoInc[u32]]
    player_name: str
    currentLevel2: u32
    status3Field: Player2Status


@case_conversion.table(public=True, source_name="person2")
class Person2(Row):
    Person2Id: PrimaryKey[AutoInc[u32]]
    FirstName: str
    playerRef: Index[u32]
    personInfo: Person3Info


@case_conversion.reducer
def CreatePlayer1(ctx: ReducerContext, Player1Name: str, Start2Level: u32) -> None:
    status = Player2Status.Active1()
    ctx.db.player1.insert(player_name=Player1Name, currentLevel2=Start2Level, status3Field=status)


@case_conversion.reducer
def AddPerson2(ctx: ReducerContext, First3Name: str, playerRef: u32, AgeValue: u8, ScoreTotal: u32) -> None:
    ctx.db.person2.insert(FirstName=First3Name, playerRef=playerRef, personInfo=Person3Info(AgeValue, ScoreTotal))


@case_conversion.reducer(name="banPlayer1")
def BanPlayer1(ctx: ReducerContext, Player1Id: u32, BanUntil6: u32) -> None:
    player = ctx.db[Player1].find(Player1Id=Player1Id)
    assert player is not None
    ctx.db[Player1].update(attrs.evolve(player, status3Field=Player2Status.BannedUntil(BanUntil6)))


@case_conversion.view(anonymous=True, name="Level2Person")
def person_at_level_2(ctx: AnonymousViewContext) -> Query[Person2]:
    return Query(
        "SELECT person_2.* FROM person_2 JOIN Player1Canonical ON person_2.player_ref = Player1Canonical.player_1_id "
        "WHERE Player1Canonical.current_level_2 = 2"
    )
