"""Sessions whose module is published anew: with more, less, or other things than they began with."""

from __future__ import annotations

import attrs
import pytest

from spacetimedb_proto.errors import SchemaMismatch
from spacetimedb_proto.events import Failed, QueryReturned, ReducerEvent, Resumed, SubscribeApplied, Transaction
from spacetimedb_proto.states import SessionState
from spacetimedb_sdk.testing import Module, PrimaryKey, u8, u32
from tests.simulated import World

S = SessionState
EACH = pytest.mark.parametrize("protocol", ["v1.json", "v1.bsatn", "v2.bsatn", "v3.bsatn"])


def module(*, columns=2, more=False, reducer=False):
    """A version of the module: `Thing` with one, two or three columns, and perhaps more than that."""
    made = Module("grows")

    if columns == 1:

        @made.table(public=True)
        class Thing:
            id: PrimaryKey[u32]

    elif columns == 2:

        @made.table(public=True)
        class Thing:
            id: PrimaryKey[u32]
            text: str

    else:

        @made.table(public=True)
        class Thing:
            id: PrimaryKey[u32]
            text: str
            level: u32 = 7

    if more:

        @made.table(public=True)
        class More:
            id: PrimaryKey[u32]

    if reducer:

        @made.reducer
        def unused(ctx):
            pass

    return made


def world_of(made, *queries, protocol="v3.bsatn", **options):
    """A client that is subscribed to the one thing there is."""
    world = World(7, module=made)
    client = world.connected(database="grows", protocols=[protocol])
    world.run(lambda ctx: ctx.db.thing.insert(id=1, text="a"))
    subscribe(world, client, *(queries or ["SELECT * FROM thing"]), **options)
    return world, client


def subscribe(world, client, *queries, **options):
    client.do(client.core.subscribe, queries, **options)
    world.settle()


def replace(world, **row):
    def change(ctx):
        ctx.db.thing.delete(ctx.db.thing.find(id=row["id"]))
        ctx.db.thing.insert(**row)

    world.run(change)


def things(client):
    return {row.id: row.text for row in client.session.cache["thing"]}


def ended(client):
    """The error that the session has ended with."""
    end = client.endings()[-1]
    assert (end.retry, client.core.state) == (None, S.CLOSED)
    assert isinstance(end.error, SchemaMismatch)
    return str(end.error)


# --- more than before -------------------------------------------------------------------------------------------------


def test_other_tables_are_not_seen():
    world, client = world_of(module())
    world.site.republish(module(more=True))
    world.settle()
    assert client.core.state is S.CONNECTED
    world.run(lambda ctx: ctx.db.thing.insert(id=2, text="b"))
    world.settle()
    assert things(client) == {1: "a", 2: "b"}
    assert "more" not in client.core.schema.tables, "codecs are made once"


@EACH
def test_other_columns_are_cut_off(protocol):
    world, client = world_of(module(), protocol=protocol)
    world.site.republish(module(columns=3))
    world.settle()
    (resumed,) = client.told(Resumed)
    assert not resumed.changes["thing"], "the row is the one that was there"
    assert client.core.state is S.CONNECTED

    world.run(lambda ctx: ctx.db.thing.insert(id=2, text="b", level=1))
    world.settle()
    assert things(client) == {1: "a", 2: "b"}
    replace(world, id=2, text="other", level=1)
    world.settle()
    (update,) = client.told(Transaction)[-1].changes["thing"].updated()
    assert [row.text for row in update] == ["b", "other"]
    replace(world, id=2, text="other", level=2)
    world.settle()
    assert not client.told(Transaction)[-1].changes["thing"], "what is different about it is not known"

    subscribe(world, client, "SELECT * FROM thing WHERE id = 1")
    assert not client.told(SubscribeApplied)[-1].changes["thing"]
    client.do(client.core.query, "SELECT * FROM thing")
    world.settle()
    (answer,) = client.told(QueryReturned)
    assert {row.id: row.text for row in answer.tables["thing"]} == {1: "a", 2: "other"}
    world.run(lambda ctx: ctx.db.thing.delete(ctx.db.thing.find(id=2)))
    world.settle()
    assert things(client) == {1: "a"}


@EACH
def test_transactions_that_come_together(protocol):
    world, client = world_of(module(), protocol=protocol)
    world.site.republish(module(columns=3))
    world.settle()
    for number in range(40):
        replace(world, id=1, text=str(number % 4), level=number)
    world.settle()
    texts = [new.text for event in client.told(Transaction) for _, new in event.changes["thing"].updated()]
    assert texts == [str(number % 4) for number in range(40)]


def test_columns_that_go_again():
    world, client = world_of(module())
    for columns in (3, 2, 3):
        world.site.republish(module(columns=columns), keep_rows=False)
        world.settle()
        world.run(lambda ctx: ctx.db.thing.insert(id=5, text="c"))
        world.settle()
        assert things(client) == {5: "c"}


def test_columns_of_a_table_that_is_read_later():
    world, client = world_of(module(more=True), "SELECT * FROM more")
    world.site.republish(module(columns=3, more=True))
    world.settle()
    subscribe(world, client, "SELECT * FROM thing")
    assert things(client) == {1: "a"}


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_columns_of_rows_that_are_not_stored(policy):
    world, client = world_of(module(), cache=policy)
    world.site.republish(module(columns=3))
    world.settle()
    replace(world, id=1, text="other", level=1)
    world.settle()
    (update,) = client.told(Transaction)[-1].changes["thing"].updated()
    assert [row.text for row in update] == ["a", "other"]


# --- less than before, or other things --------------------------------------------------------------------------------


def test_what_would_be_misread_ends_the_session():
    world, client = world_of(module())
    world.site.republish(module(columns=1), keep_rows=False)
    world.settle()
    error = ended(client)
    assert "published anew" in error
    assert "- column thing.text removed" in error
    assert things(client) == {1: "a"}, "what was there stays readable"


def test_a_column_that_has_come_and_is_another_one_now():
    """What the last answer had beside the known columns does not matter, what it has instead of them does."""
    world, client = world_of(module())
    world.site.republish(module(columns=3))
    world.settle()
    other = Module("grows")

    @other.table(public=True)
    class Thing:
        id: PrimaryKey[u32]
        text: u8
        level: u32

    world.site.republish(other, keep_rows=False)
    world.settle()
    assert "- column thing.text changed" in ended(client)


def test_what_is_not_in_use_may_go():
    world, client = world_of(module(more=True, reducer=True))
    world.site.republish(module())
    world.settle()
    assert client.core.state is S.CONNECTED
    world.run(lambda ctx: ctx.db.thing.insert(id=2, text="b"))
    client.do(client.core.call_reducer, "unused", ())
    world.settle()
    assert things(client) == {1: "a", 2: "b"}
    (called,) = client.told(ReducerEvent)
    assert called.outcome == Failed("no such reducer")


def test_a_table_that_is_read_may_not_go():
    world, client = world_of(module())
    world.site.republish(Module("grows"), keep_rows=False)
    world.settle()
    assert "- table thing removed" in ended(client)


def test_a_table_that_is_read_may_not_be_hidden():
    world, client = world_of(module())
    hidden = module()
    hidden.tables["thing"] = attrs.evolve(hidden.tables["thing"], is_public=False)
    world.site.republish(hidden)
    world.settle()
    assert "- table thing changed from public to private" in ended(client)
