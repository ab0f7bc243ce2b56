"""Views: rows that the module computes, for everybody or for each client, kept up to date."""

from __future__ import annotations

import attrs
import pytest

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.events import SubscribeApplied, SubscriptionFailed, Transaction
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_sdk.testing import (
    AnonymousViewContext,
    Index,
    Module,
    PrimaryKey,
    Query,
    Row,
    Unique,
    ViewContext,
    u8,
    u64,
)
from tests.sdk.testing.support import Guest, database

game = Module("game")


@game.table(public=True)
class Player(Row):
    id: PrimaryKey[u64]
    owner: Unique[Identity]
    level: Index[u8]


@game.table
class Secret(Row):
    id: PrimaryKey[u64]
    word: str


@game.type
class Standing(Row):
    level: u8
    players: u64


@game.view
def me(ctx: ViewContext) -> Player | None:
    return ctx.db[Player].find(owner=ctx.sender)


@game.view(anonymous=True, primary_key="level")
def standings(ctx: AnonymousViewContext) -> list[Standing]:
    levels = [player.level for player in ctx.db[Player]]
    return [Standing(level, levels.count(level)) for level in sorted(set(levels))]


@game.view
def peers(ctx: ViewContext) -> Query[Player]:
    return Query(
        "SELECT other.* FROM player other JOIN player mine ON other.level = mine.level WHERE mine.owner = :sender"
    )


@game.view(public=False)
def words(ctx: ViewContext) -> list[Secret]:
    return list(ctx.db[Secret])


@game.view
def fragile(ctx: ViewContext) -> list[Player]:
    if ctx.db[Secret].find(id=1) is not None:
        raise RuntimeError("failed as asked")
    return list(ctx.db[Player])


@game.view
def writing(ctx: ViewContext) -> list[Secret]:
    return [ctx.db[Secret].insert(id=2, word="written by a view")]


@game.reducer
def join(ctx, level: u8):
    ctx.db.player.insert(id=ctx.db.player.count() + 1, owner=ctx.sender, level=level)


@game.reducer
def rise(ctx):
    row = ctx.db.player.find(owner=ctx.sender)
    ctx.db.player.update(attrs.evolve(row, level=row.level + 1))


@game.reducer
def whisper(ctx):
    ctx.db.secret.insert(id=1, word="psst")


@game.reducer
def forget(ctx):
    ctx.db.secret.delete(ctx.db.secret.find(id=1))


@pytest.fixture
def alice():
    return Guest(database(game), "alice")


@pytest.fixture
def bob(alice):
    return Guest(alice.database, "bob")


def levels(guest, table):
    return sorted(row.level for row in guest.rows(table))


# --- what a schema says -----------------------------------------------------------------------------------------------


def test_the_schema():
    found = {name: game.schema.tables[name] for name in game.views}
    assert {name: (table.view.shape, table.view.index, table.view.is_anonymous) for name, table in found.items()} == {
        "me": ("option", 0, False), "standings": ("array", 0, True), "peers": ("query", 1, False),
        "words": ("array", 2, False), "fragile": ("array", 3, False), "writing": ("array", 4, False),
    }  # fmt: skip
    assert {name for name, table in found.items() if table.primary_key == 0} == {"standings", "peers"}
    assert [name for name, table in found.items() if not table.is_public] == ["words"]
    assert load_schema(dump_schema(game.schema, 10)) == game.schema


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_view_of_the_caller(alice, bob):
    for guest in (alice, bob):
        assert isinstance(guest.subscribe("SELECT * FROM me"), SubscribeApplied)
        assert guest.rows("me") == []
    assert alice.call("join", 3).outcome
    assert (levels(alice, "me"), bob.events(), levels(bob, "me")) == ([3], [], [])
    bob.call("join", 4)
    assert (alice.events(), levels(bob, "me")) == ([], [4])
    alice.call("rise")
    assert levels(alice, "me") == [4]


def test_only_what_is_other_than_before_is_told(alice, bob):
    alice.subscribe("SELECT * FROM standings")
    bob.call("join", 1)
    assert [type(event) for event in alice.events()] == [Transaction]
    alice.call("join", 2)
    bob.call("whisper")
    assert alice.events() == [], "nothing that this view shows"
    count = len(alice.messages)
    bob.call("rise")
    (update,) = alice.events()
    assert len(alice.messages) == count + 1
    changes = {type(change).__name__ for change in update.changes["standings"]}
    assert changes == {"Updated", "Deleted"}, "its key makes updates of them"
    assert alice.rows("standings") == [Standing(2, 2)]


def test_a_view_that_is_a_query(alice, bob):
    alice.call("join", 1)
    bob.call("join", 2)
    alice.subscribe("SELECT * FROM peers WHERE id < 10")
    assert levels(alice, "peers") == [1]
    alice.call("rise")
    assert levels(alice, "peers") == [2, 2]


def test_views_in_joins(alice):
    alice.call("join", 1)
    assert isinstance(alice.subscribe("SELECT me.* FROM me JOIN peers ON me.id = peers.id"), SubscribeApplied)
    assert levels(alice, "me") == [1]
    alice.call("rise")
    assert levels(alice, "me") == [2]
    refused = alice.subscribe("SELECT me.* FROM me JOIN peers ON me.level = peers.level")
    assert "Subscriptions require indexes on join columns" in str(refused.error)


def test_views_in_queries_and_over_sql(alice, bob):
    alice.call("join", 5)
    (rows,) = alice.query("SELECT * FROM me").tables.values()
    assert [row.level for row in rows] == [5]
    result = alice.database.execute(alice.client, "SELECT level FROM me WHERE level > 4")
    assert result.rows == [[5]]
    assert bob.database.execute(bob.client, "SELECT COUNT(*) AS n FROM me").rows == [[0]]


def test_a_view_is_not_changed_by_sql(alice):
    owner = Guest(alice.database, alice.database.owner)
    with pytest.raises(Exception, match="`me` is a view, whose rows cannot be changed"):
        owner.database.execute(owner.client, "DELETE FROM me")


def test_private_views(alice):
    assert "no such table: `words`" in str(alice.subscribe("SELECT * FROM words").error)
    owner = Guest(alice.database, alice.database.owner)
    owner.subscribe("SELECT * FROM words")
    alice.call("whisper")
    owner.events()
    assert owner.rows("words") == [Secret(1, "psst")]


# --- what fails -------------------------------------------------------------------------------------------------------


def test_a_view_that_fails_at_first(alice):
    alice.call("whisper")
    refused = alice.subscribe("SELECT * FROM fragile")
    assert str(refused.error) == "Internal error evaluating queries"
    assert "failed as asked" in alice.database.log.text()


def test_a_view_that_fails_later(alice, bob):
    bob.call("join", 1)
    alice.subscribe("SELECT * FROM fragile")
    alice.subscribe("SELECT * FROM player")
    bob.call("whisper")
    (ended,) = alice.events()
    assert isinstance(ended, SubscriptionFailed)
    assert (str(ended.error), ended.query_set_id) == ("Internal error evaluating queries", 1)
    assert alice.rows("fragile") == []
    bob.call("rise")
    (update,) = alice.events()
    assert list(update.changes) == ["player"], "the other set lives on"
    bob.call("forget")
    alice.subscribe("SELECT * FROM fragile")
    assert levels(alice, "fragile") == [2]


def test_in_v1_rows_of_a_view_that_fails_stay():
    alice = Guest(database(game), "alice", "v1.bsatn.spacetimedb")
    alice.call("join", 1)
    alice.subscribe("SELECT * FROM fragile")
    alice.database.run(lambda ctx: ctx.db.secret.insert(id=1, word=""))
    assert alice.events() == []
    assert levels(alice, "fragile") == [1]


def test_views_only_read(alice, bob):
    refused = alice.subscribe("SELECT * FROM writing")
    assert str(refused.error) == "Internal error evaluating queries"
    assert "rows change only in a reducer" in alice.database.log.text()
    with pytest.raises(Exception, match="Internal error"):
        alice.database.execute(bob.client, "SELECT * FROM writing")
    assert alice.database.run(lambda ctx: ctx.db.secret.count()) == 0


def test_a_query_of_other_rows():
    module = Module("m")
    for name in ("one", "two"):
        module.table(name=name)(type(name.title(), (), {"__annotations__": {"x": u8}}))

    @module.view
    def wrong(ctx) -> Query[One]:  # noqa: F821 - known to the module
        return Query("SELECT * FROM two")

    guest = Guest(database(module))
    assert str(guest.subscribe("SELECT * FROM wrong").error) == "Internal error evaluating queries"
    assert "rows of `two`, which are of another class" in guest.database.log.text()


def declared(function, **options):
    module = Module("m")
    module.table(name="player")(Player)
    module.view(**options)(function)
    return module.schema


def unannotated(ctx):
    return []


def of_numbers(ctx) -> list[u8]:
    return []


def of_nothing_known(ctx) -> list[Secret]:
    return []


def with_parameter(ctx, level: u8) -> list[Player]:
    return []


def as_query(ctx) -> Query[Player]:
    return Query("")


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (unannotated, {}, r"unannotated\(\): a view returns list\[T\], T \| None or Query\[T\] of some rows T"),
        (of_numbers, {}, r"of_numbers\(\) -> : .* is no type that a column can have"),
        (of_nothing_known, {}, "Secret is no type of this module"),
        (with_parameter, {}, r"with_parameter\(\): views with parameters are not supported"),
        (as_query, {"primary_key": "id"}, "primary key 'id': that of a query is its table's"),
        (as_query, {"name": "player"}, "two tables have the name 'player'"),
        (fragile, {"primary_key": "nope"}, "primary key 'nope': there is no such column"),
    ],
)
def test_what_is_no_view(function, options, text):
    with pytest.raises(TypeError, match=text):
        declared(function, **options)
