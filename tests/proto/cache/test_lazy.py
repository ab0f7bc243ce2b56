"""The lazy cache against its eager twin: what is put off, and short ways, change nothing but speed.

The eager one takes the general way for everything, which `test_cache.py` compares with a naive model. Histories here
are those that a server can cause: a database with one row per key, and query sets that see parts of it.
"""

from __future__ import annotations

import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.wire.messages import EventTableRows, PersistentTableRows, TableUpdate
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_proto.wire.runs import Run, Template

from .test_cache import SCHEMA, drop, keyed, plain, rows_of, snapshot, transact

TABLES = {"keyed": 3, "plain": 2}  # the columns that lookups are tried on


def cached(*, is_lazy: bool) -> Cache:
    cache = Cache(SCHEMA)
    for name in SCHEMA.tables:
        cache.table(name).is_lazy = is_lazy
    return cache


def lazy(few: int | None = None) -> Cache:
    """A cache that takes short ways: for messages of at most `few` rows one of them, for longer ones another."""
    cache = cached(is_lazy=True)
    for name in SCHEMA.tables if few is not None else ():
        cache.table(name).few = few
    return cache


def eager() -> Cache:
    return cached(is_lazy=False)


def told(changes):
    return {
        name: (change.inserts, change.deletes, change.updates, change.is_event)
        for name, change in changes.items()
        if change
    }


def objects(changes):
    return {name: list(map(repr, change)) for name, change in changes.items() if change}


def state(cache, name):
    table = cache.table(name)
    fields = [column.name for column in table.table.columns]
    found = {
        (column, getattr(row, fields[column])): sorted(map(repr, table.select({column: getattr(row, fields[column])})))
        for row in table
        for column in range(TABLES[name])
    }
    return table.raw(), len(table), sorted(map(repr, table)), found


class Server:
    """One table of a database and the query sets that look at it: each sees the rows that its condition takes."""

    def __init__(self, name, overlap):
        self.name, self.overlap = name, overlap
        self.rows: dict[int, bytes] = {}
        self.sets: dict[int, Counter[bytes]] = {}

    def row(self, key, version):
        return keyed(key, key % 3, version) if self.name == "keyed" else plain(key, "v" * version)

    def sees(self, query_set, key):
        return self.overlap or key % 3 == query_set % 3

    def view(self, query_set):
        return Counter(row for key, row in self.rows.items() if self.sees(query_set, key))


def steps(draw, server, caches):
    what = draw(st.sampled_from(["subscribe", "write", "write", "write", "leave", "drop"]))
    query_set = draw(st.integers(1, 3))
    if what == "subscribe" and query_set not in server.sets:
        server.sets[query_set] = server.view(query_set)
        rows = list(server.sets[query_set].elements())
        return [snapshot(cache, query_set, server.name, rows) for cache in caches]
    if what == "leave" and query_set in server.sets:
        rows = list(server.sets.pop(query_set).elements())
        out = []
        for cache in caches:
            deltas = Deltas()
            deltas.delete(query_set, rows_of(server.name, rows))
            out.append(cache.apply(deltas))
        return out
    if what == "drop" and query_set in server.sets:
        del server.sets[query_set]
        return [drop(cache, query_set) for cache in caches]
    for key in draw(st.lists(st.integers(0, 11), max_size=6, unique=True)):
        version = draw(st.integers(0, 3))
        if version:
            server.rows[key] = server.row(key, version)
        else:
            server.rows.pop(key, None)
    deltas = [Deltas() for _ in caches]
    for query_set, old in server.sets.items():
        new = server.sets[query_set] = server.view(query_set)
        deletes = draw(st.permutations(list((old - new).elements())))
        inserts = draw(st.permutations(list((new - old).elements())))
        if inserts or deletes or draw(st.booleans()):  # servers leave out what has not changed
            for delta in deltas:
                delta.update(query_set, transact_part(server.name, inserts, deletes))
    return [cache.apply(delta) for cache, delta in zip(caches, deltas, strict=True)]


def transact_part(name, inserts, deletes):
    return [TableUpdate(name, [PersistentTableRows(RowList.of(inserts), RowList.of(deletes))])]


@given(data=st.data(), name=st.sampled_from(list(TABLES)), overlap=st.booleans(), few=st.sampled_from([0, 3, 64]))
@settings(max_examples=300)
def test_both_tell_and_hold_the_same(data, name, overlap, few):
    cache, twin, server = lazy(few), eager(), Server(name, overlap)
    for _ in range(data.draw(st.integers(1, 10))):
        first, second = steps(data.draw, server, (cache, twin))
        assert told(first) == told(second)
        if data.draw(st.booleans()):
            assert objects(first) == objects(second)
        if data.draw(st.booleans()):
            assert state(cache, name) == state(twin, name)
    assert state(cache, name) == state(twin, name)


def replace(cache, query_set, *pairs):
    """Transactions that replace rows by others, given as (new, old): those that could be applied in the short way."""
    sizes = [len(new) for new, _ in pairs]
    run = Run(Template(b"", query_set, "keyed"), pairs, size=0, shortest=min(sizes), longest=max(sizes))
    return list(Burst(run, cache.table("keyed").replaceable(query_set)))


@given(data=st.data(), query_set=st.integers(1, 2))
def test_one_row_alone_is_updated_as_in_a_crowd(data, query_set):
    cache, twin = lazy(), eager()
    for each in (cache, twin):
        snapshot(each, 1, "keyed", [keyed(key) for key in range(0, 8, 2)])
        snapshot(each, 2, "keyed", [keyed(key) for key in range(1, 8, 2)])
    for _ in range(data.draw(st.integers(1, 5))):
        held = [row for row in twin.table("keyed").raw() if struct.unpack("<I", row[:4])[0] % 2 == query_set - 1]
        old = data.draw(st.sampled_from(held))
        new = old[:5] + bytes([data.draw(st.integers(0, 9))])
        (transaction,) = replace(cache, query_set, (new, old)) or [None]
        expected = transact(twin, query_set, "keyed", [new], [old])["keyed"]
        if transaction is None:
            assert old == new
        else:
            change = transaction.changes["keyed"]
            assert (change.inserts, change.deletes, change.updates) == ([], [], expected.updates)
            assert bool(change) == bool(expected)
            assert list(map(repr, change)) == list(map(repr, expected))
        assert state(cache, "keyed") == state(twin, "keyed")


A, B, C = keyed(1), keyed(1, value=1), keyed(2)


@pytest.mark.parametrize(
    "messages",
    [
        [(1, [], [A]), (2, [], [A])],
        [(2, [], [A])],
        [(1, [B], [A])],
        [(1, [A], []), (1, [], [A]), (1, [], [A])],
        [(2, [C], []), (2, [], [C]), (1, [C], []), (1, [], [C])],
        [(2, [C], []), (1, [], [C])],
        [(1, [], [A, A])],
        [(1, [], [B])],
        [(1, [B], []), (1, [C, keyed(3)], [B, A]), (1, [keyed(3, value=1)], [keyed(3)])],
        [(1, [keyed(3), keyed(3)], []), (1, [], [keyed(3)])],
        [(1, [keyed(3), keyed(3, value=1)], [])],
        [(1, [A], [A])],
    ],
)
@pytest.mark.parametrize("other", [(), (A,)], ids=["held once", "held twice"])
def test_few_rows_that_are_held_in_any_way(messages, other):
    cache, twin = lazy(), eager()
    for each in (cache, twin):
        snapshot(each, 1, "keyed", [A, keyed(4)])
        snapshot(each, 2, "keyed", [*other, keyed(5)])
        assert len(each.table("keyed")) == 3, "no work is left"
    for query_set, inserts, deletes in messages:
        outcomes = []
        for each in (cache, twin):
            try:
                outcomes.append(told(transact(each, query_set, "keyed", inserts, deletes)))
            except RemoteProtocolError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
        assert cache.table("keyed").raw() == twin.table("keyed").raw()
    assert state(cache, "keyed") == state(twin, "keyed")


def test_one_row_of_somebody_else_is_not_updated():
    cache = lazy()
    snapshot(cache, 1, "keyed", [keyed(1), keyed(2)])
    snapshot(cache, 2, "keyed", [keyed(2)])
    table = cache.table("keyed")
    assert len(table) == 2
    assert replace(cache, 2, (keyed(1, value=1), keyed(1))) == []
    assert replace(cache, 1, (keyed(2, value=1), keyed(2))) == [], "it is held twice"
    assert replace(cache, 1, (keyed(3, value=1), keyed(3))) == []
    assert replace(cache, 1, (keyed(3, value=1), keyed(1))) == []
    assert table.raw() == {keyed(1): 1, keyed(2): 2}


def test_events_leave_a_snapshot_alone_that_nobody_has_looked_at():
    cache, deltas = lazy(), Deltas()
    snapshot(cache, 1, "keyed", [keyed(1), keyed(2)])
    deltas.update(1, [TableUpdate("keyed", [EventTableRows(RowList.of([keyed(3)]))])])
    assert cache.apply(deltas)["keyed"].inserts == [keyed(3)]
    assert cache.table("keyed").raw() == {keyed(1): 1, keyed(2): 1}
