"""What joins hold, and that what a transaction is said to change in them is what it changes."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_sdk.testing import ConstraintError, Index, Module, PrimaryKey, u8
from spacetimedb_sdk.testing.queries import compile_query
from spacetimedb_sdk.testing.storage import Storage
from tests.sdk.testing.support import Guest, database

ME = Identity.from_hex("c2" + "07" * 31)

shop = Module("shop")


@shop.table(public=True)
class Person:
    name: PrimaryKey[str]
    town: Index[str]


@shop.table(public=True)
class Shop:
    number: PrimaryKey[u8]
    town: Index[str]
    size: u8


@shop.table(public=True, event=True)
class News:
    town: str
    text: str


@shop.reducer
def announce(ctx, town: str, text: str):
    ctx.db.news.insert(town=town, text=text)


def add(storage, table, *rows):
    with storage.transaction() as changes:
        for row in rows:
            storage.tables[table].insert(row)
    return changes


def names(storage, sql):
    query = compile_query(sql, shop.schema, ME)
    codec = storage.tables[query.table.name].codec
    return [getattr(codec.decode_exact(row), codec.field_names[0]) for row in query.rows(storage)]


@pytest.fixture
def storage():
    storage = Storage(shop.schema)
    add(storage, "person", Person("ann", "york"), Person("bob", "york"), Person("cy", "bath"), Person("di", "rome"))
    add(storage, "shop", Shop(1, "york", 5), Shop(2, "york", 9), Shop(3, "bath", 5))
    return storage


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT p.* FROM person p JOIN shop s ON p.town = s.town", ["ann", "ann", "bob", "bob", "cy"]),
        ("SELECT s.* FROM person p JOIN shop s ON p.town = s.town", [1, 1, 2, 2, 3]),
        ("SELECT s.* FROM person p JOIN shop s ON s.town = p.town", [1, 1, 2, 2, 3]),
        ("SELECT p.* FROM person p JOIN shop s ON p.town = s.town WHERE s.size = 9", ["ann", "bob"]),
        ("SELECT p.* FROM person p JOIN shop s ON p.town = s.town WHERE s.size = 9 OR p.name = 'cy'", ["ann", "bob", "cy"]),  # noqa: E501
        ("SELECT p.* FROM shop s JOIN person p ON p.town = s.town WHERE s.town > p.name AND p.name < 'b'", ["ann", "ann"]),  # noqa: E501
        ("SELECT a.* FROM person a JOIN person b ON a.town = b.town", ["ann", "ann", "bob", "bob", "cy", "di"]),
        ("SELECT p.* FROM person p JOIN shop s WHERE s.number = 1", ["ann", "bob", "cy", "di"]),
    ],
)  # fmt: skip
def test_a_row_is_there_once_for_each_row_that_it_meets(storage, sql, expected):
    assert names(storage, sql) == expected


QUERIES = [
    "SELECT p.* FROM person p JOIN shop s ON p.town = s.town",
    "SELECT s.* FROM person p JOIN shop s ON p.town = s.town WHERE s.size > 1 OR p.name = 'a'",
    "SELECT a.* FROM person a JOIN person b ON a.town = b.town WHERE a.name <> b.name",
    "SELECT p.* FROM person p JOIN shop s WHERE p.town < s.town",
    "SELECT p.* FROM person p WHERE p.town = 'x'",
]
people = st.builds(Person, st.sampled_from("abc"), st.sampled_from("xy"))
shops = st.builds(Shop, st.integers(1, 3), st.sampled_from("xy"), st.integers(0, 2))
transactions = st.lists(st.lists(st.tuples(st.booleans(), people | shops), max_size=6), max_size=6)


@settings(deadline=None)
@given(transactions)
def test_changes_are_the_difference_of_what_was_and_what_is(transactions):
    storage = Storage(shop.schema)
    queries = [compile_query(sql, shop.schema, ME) for sql in QUERIES]
    for transaction in transactions:
        before = [Counter(query.rows(storage)) for query in queries]
        with storage.transaction() as changes:
            for is_insert, row in transaction:
                table = storage.tables["person" if isinstance(row, Person) else "shop"]
                with suppress(ConstraintError):
                    (table.insert if is_insert else table.delete)(row)
        for query, was in zip(queries, before, strict=True):
            inserts, deletes = map(Counter, query.changed(storage, changes))
            now = Counter(query.rows(storage))
            assert (inserts, deletes) == (now - was, was - now), query.text


def test_clients_follow_a_join():
    site = database(shop)
    guest = Guest(site)
    site.run(lambda ctx: ctx.db.person.insert(name="ann", town="york"))
    guest.subscribe("SELECT p.* FROM person p JOIN shop s ON p.town = s.town")
    assert guest.rows("person") == []
    site.run(lambda ctx: [ctx.db.shop.insert(number=n, town="york", size=n) for n in (1, 2)])
    guest.events()
    assert [person.name for person in guest.rows("person")] == ["ann"]
    site.run(lambda ctx: ctx.db.shop.delete(ctx.db.shop.find(number=1)))
    guest.events()
    assert [person.name for person in guest.rows("person")] == ["ann"], "she still meets the other shop"
    site.run(lambda ctx: ctx.db.shop.delete(ctx.db.shop.find(number=2)))
    guest.events()
    assert guest.rows("person") == []


def test_a_join_with_an_empty_table_has_no_entry():
    site = database(shop)
    site.run(lambda ctx: ctx.db.person.insert(name="ann", town="york"))
    guest = Guest(site)
    guest.subscribe("SELECT p.* FROM person p JOIN shop s ON p.town = s.town")
    assert guest.messages[-1].rows.tables == []
    site.run(lambda ctx: ctx.db.shop.insert(number=1, town="bath", size=1))
    guest.subscribe("SELECT p.* FROM person p JOIN shop s ON p.town = s.town")
    assert [part.table for part in guest.messages[-1].rows.tables] == ["person"]


def test_events_that_meet_rows():
    site = database(shop)
    site.run(lambda ctx: [ctx.db.shop.insert(number=n, town="york", size=n) for n in (1, 2)])
    guest = Guest(site)
    guest.subscribe("SELECT n.* FROM news n JOIN shop s ON n.town = s.town")
    site.run(lambda ctx: ctx.db.news.insert(town="bath", text="nobody is told"))
    assert guest.session.next_event() is NEED_DATA
    assert guest.events() == []
    site.run(lambda ctx: ctx.db.news.insert(town="york", text="fair"))
    ((query_set,),) = [message.query_sets for message in guest.messages[-1:]]
    assert [len(rows.events) for rows in query_set.tables[0].rows] == [2], "once for each shop"
    (update,) = guest.events()
    assert [change.row.text for change in update.changes["news"]] == ["fair"]
    site.run(lambda ctx: ctx.db.shop.insert(number=3, town="york", size=3))
    assert guest.events() == [], "events are gone when a shop comes"
