"""Whatever happens, what a client has been told of views and filtered tables is what they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_sdk.testing import Index, Module, PrimaryKey, Query, Row, ViewContext, u8
from tests.sdk.testing.support import Guest, database

club = Module("club")


@club.table(public=True)
class Member(Row):
    id: PrimaryKey[u8]
    owner: Index[Identity]
    room: Index[u8]


@club.table(public=True)
class Chair(Row):
    id: PrimaryKey[u8]
    room: Index[u8]


@club.view(primary_key="id")
def mine(ctx: ViewContext) -> list[Member]:
    return list(ctx.db[Member].filter(owner=ctx.sender))


@club.view
def seats(ctx: ViewContext) -> Query[Chair]:
    return Query("SELECT c.* FROM chair c JOIN member m ON c.room = m.room WHERE m.owner = :sender AND c.id > 1")


club.client_visibility_filter("SELECT c.* FROM chair c JOIN member m ON c.room = m.room")
club.client_visibility_filter("SELECT * FROM chair WHERE room = 3")
club.client_visibility_filter("SELECT * FROM member WHERE owner = :sender")

QUERIES = [
    "SELECT * FROM mine",
    "SELECT * FROM seats WHERE room < 3",
    "SELECT * FROM chair",
    "SELECT * FROM member",
    "SELECT mine.* FROM mine JOIN chair ON mine.id = chair.id",
]
SMALL = st.integers(0, 3)
STEPS = st.lists(st.tuples(st.sampled_from(["member", "chair", "both"]), st.booleans(), SMALL, SMALL), max_size=12)


@given(STEPS, st.integers(0, 12))
def test_subscribers_know_what_newcomers_are_told(steps, start):
    site = database(club)
    guests = [Guest(site, "alice"), Guest(site, "bob")]
    for at, step in enumerate(steps):
        if at == start:
            for guest in guests:
                guest.subscribe(*QUERIES)
        site.run(lambda ctx, at=at, step=step: change(ctx, guests[at % 2].identity, *step))
    if start >= len(steps):
        return
    for guest, name in zip(guests, ("alice", "bob"), strict=True):
        guest.events()
        newcomer = Guest(site, name)
        newcomer.subscribe(*QUERIES)
        for table in club.schema.tables:
            assert guest.session.cache.table(table).raw() == newcomer.session.cache.table(table).raw()


def change(ctx, owner, what, is_there, number, room):
    """Put in, change, or take out a member, a chair, or one of each."""
    for table, row in ((ctx.db[Member], Member(number, owner, room)), (ctx.db[Chair], Chair(number, room))):
        if what in ("both", type(row).__name__.lower()):
            old = table.find(id=number)
            if old is not None:
                table.delete(old)
            if is_there:
                table.insert(row)
