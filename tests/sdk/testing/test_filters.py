"""Which rows of a public table a client sees, where a module says so."""

from __future__ import annotations

import pytest

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_sdk.testing import Index, Module, PrimaryKey, Row, ViewContext, u64
from tests.sdk.testing.support import Guest, database

office = Module("office")


@office.table(public=True)
class Member(Row):
    id: PrimaryKey[u64]
    identity: Index[Identity]
    room: Index[u64]


@office.table(public=True)
class Note(Row):
    id: PrimaryKey[u64]
    room: Index[u64]
    text: str


@office.table(public=True, event=True)
class Knock(Row):
    room: u64


@office.view
def all_notes(ctx: ViewContext) -> list[Note]:
    return list(ctx.db[Note])


office.client_visibility_filter("SELECT * FROM member WHERE identity = :sender")
office.client_visibility_filter("SELECT note.* FROM note JOIN member ON note.room = member.room")
office.client_visibility_filter("SELECT * FROM note WHERE text = 'for all'")
office.client_visibility_filter("SELECT knock.* FROM knock JOIN member ON knock.room = member.room")


@office.reducer
def move(ctx, room: u64):
    for row in ctx.db.member.filter(identity=ctx.sender):
        ctx.db.member.delete(row)
    ctx.db.member.insert(id=ctx.db.member.count() + 1, identity=ctx.sender, room=room)


@office.reducer
def write(ctx, room: u64, text: str):
    ctx.db.note.insert(id=ctx.db.note.count() + 1, room=room, text=text)


@office.reducer
def knock(ctx, room: u64):
    ctx.db.knock.insert(room=room)


@pytest.fixture
def alice():
    return Guest(database(office), "alice")


@pytest.fixture
def bob(alice):
    return Guest(alice.database, "bob")


def texts(guest):
    return sorted(row.text for row in guest.rows("note"))


def test_the_schema():
    assert len(office.schema.row_level_security) == 4
    assert load_schema(dump_schema(office.schema, 10)) == office.schema


def test_own_rows_only(alice, bob):
    for guest in (alice, bob):
        guest.call("move", 1)
        guest.subscribe("SELECT * FROM member")
    assert [row.identity for row in alice.rows("member")] == [alice.identity]
    bob.call("move", 2)
    assert alice.events() == []
    assert [row.room for row in bob.rows("member")] == [2]


def test_rows_come_and_go_with_those_that_show_them(alice, bob):
    alice.subscribe("SELECT * FROM note")
    bob.call("write", 1, "one")
    bob.call("write", 2, "two")
    bob.call("write", 2, "for all")
    alice.events()
    assert texts(alice) == ["for all"]
    alice.call("move", 2)
    assert texts(alice) == ["for all", "two"], "and those that two filters show are there once"
    alice.call("move", 1)
    assert texts(alice) == ["for all", "one"]


def test_whoever_sees_more(alice, bob):
    bob.call("write", 1, "one")
    alice.subscribe("SELECT * FROM all_notes")
    assert [row.text for row in alice.rows("all_notes")] == ["one"], "views see all rows"
    owner = Guest(alice.database, alice.database.owner)
    owner.subscribe("SELECT * FROM note")
    assert texts(owner) == ["one"]


def test_queries_see_no_more_than_subscriptions(alice, bob):
    bob.call("move", 1)
    bob.call("write", 1, "one")
    assert alice.query("SELECT * FROM note").tables["note"] == []
    assert alice.database.execute(alice.client, "SELECT COUNT(*) AS n FROM note").rows == [[0]]
    assert bob.database.execute(bob.client, "SELECT text FROM note").rows == [["one"]]
    assert alice.query("SELECT note.* FROM note JOIN member ON note.room = member.room").tables["note"] == []


def test_events(alice, bob):
    alice.call("move", 1)
    for guest in (alice, bob):
        guest.subscribe("SELECT * FROM knock")
    alice.call("knock", 1)
    assert alice.messages[-1].result.transaction_update.query_sets, "the answer holds it"
    assert bob.events() == []
    bob.call("knock", 2)
    assert alice.events() == []


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        (["SELEC"], "a visibility filter is no query: .*SELEC"),
        (["SELECT * FROM nope"], "no such table: `nope`"),
        (["SELECT text FROM note"], "Column projections are not supported"),
        (["SELECT * FROM all_notes"], "a visibility filter reads the view all_notes"),
        (
            [
                "SELECT note.* FROM note JOIN member ON note.room = member.room",
                "SELECT member.* FROM member JOIN note ON note.room = member.room",
            ],
            "visibility filters go round in a circle: member, note",
        ),
    ],
)
def test_what_is_no_filter(filters, text):
    module = Module("m")
    for row in (Member, Note):
        module.table(public=True)(row)
    module.view(all_notes)
    for each in filters:
        module.client_visibility_filter(each)
    with pytest.raises(TypeError, match=text):
        assert module.schema
