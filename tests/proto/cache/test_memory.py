"""What the cache says it holds in memory, against small tables whose parts can be counted by hand."""

from __future__ import annotations

import tracemalloc
from sys import getsizeof

import pytest

from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.wire.rowlist import RowList

from .test_cache import SCHEMA, keyed, plain, rows_of, snapshot, transact

INT, BYTES, ROW = getsizeof(10**6), getsizeof(b""), len(keyed(0))
FIRST = 10**6  # keys too large for Python to have them ready


def lazy(name):
    cache = Cache(SCHEMA)
    cache.table(name).is_lazy = True
    return cache


def grown(count):
    """The size of a dict that took its entries one by one."""
    return getsizeof({n: n for n in range(count)})


def settled(name, rows):
    cache = Cache(SCHEMA)
    snapshot(cache, 1, name, rows)
    len(cache.table(name))
    return cache.table(name)


def test_an_empty_table():
    memory = Cache(SCHEMA).table("keyed").memory()
    assert (memory.name, memory.rows, memory.row_bytes, memory.objects, memory.held, memory.keys) == ("keyed", *[0] * 5)
    assert (memory.indexes, memory.is_uncut) == ({}, False)
    assert memory.total_bytes == memory.overhead_bytes == 4 * getsizeof({})


def test_rows_under_integer_keys():
    memory = settled("keyed", [keyed(FIRST + n) for n in range(100)]).memory()
    assert (memory.rows, memory.row_bytes) == (100, 100 * ROW)
    assert memory.overhead_bytes == pytest.approx(grown(100) + 100 * (INT + BYTES) + 3 * getsizeof({}), abs=200)
    assert memory.total_bytes == memory.row_bytes + memory.overhead_bytes


def test_rows_that_are_their_own_keys_count_once():
    rows = [plain(n % 100, "x" * n) for n in range(100)]
    memory = settled("plain", rows).memory()
    assert (memory.rows, memory.row_bytes) == (100, sum(map(len, rows)))
    assert memory.overhead_bytes == pytest.approx(grown(100) + 100 * BYTES + 3 * getsizeof({}), abs=200)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("keyed", [keyed(FIRST + n) for n in range(100)]), ("plain", [plain(n % 100, "x" * n) for n in range(100)])],
)
def test_a_snapshot_that_is_not_cut_stays_so(monkeypatch, name, rows):
    cache = lazy(name)
    snapshot(cache, 1, name, rows + rows[:1])
    with monkeypatch.context() as patch:
        patch.setattr(RowList, "rows", None)
        patch.setattr(RowList, "column", None)
        memory = cache.table(name).memory()
    assert (memory.rows, memory.row_bytes, memory.is_uncut) == (101, sum(map(len, [*rows, rows[0]])), True)
    assert memory.overhead_bytes < 2500
    assert len(cache.table(name)) == 100
    assert cache.table(name).memory().is_uncut is False


def test_a_list_that_keeps_its_payload_alive_says_so():
    payload = bytes(1000)
    inside = RowList.within(payload, 100, 900, row_size=8)
    copied = RowList.within(payload, 100, 180, row_size=8)
    assert inside.overhead == getsizeof(payload) - 800 + getsizeof(())
    assert copied.overhead == BYTES + getsizeof(())


def test_objects_indexes_and_owners():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(n, group=n % 3) for n in range(30)])
    snapshot(cache, 2, "keyed", [keyed(0), keyed(1, group=1)])
    transact(cache, 2, "keyed", [keyed(50)])
    table = cache.table("keyed")
    before = table.memory()
    assert (before.rows, before.held, before.objects, before.indexes) == (31, 3, 0, {})
    list(table.select({1: 2}))
    list(table.select({1: 2, 2: 0}))
    after = table.memory()
    assert (after.objects, after.indexes) == (10, {"group": 3, "group+value": 3})
    # Two indexes of three keys, with ten rows to two of them and eleven to one; and a mapping of the ten objects.
    expected = (
        4 * grown(10) + 2 * grown(11) + 3 * getsizeof(5) + 3 * getsizeof((1, 2)) + 2 * grown(3) + grown(10) - grown(0)
    )
    assert after.overhead_bytes - before.overhead_bytes == pytest.approx(expected, abs=200)


def test_keys_without_rows():
    cache = Cache(SCHEMA)
    deltas = Deltas({1: "keys", 2: "none"})
    for query_set in (1, 2):
        deltas.insert(query_set, rows_of("keyed", [keyed(FIRST + n + 100 * query_set) for n in range(100)]))
    cache.apply(deltas)
    memory = cache.table("keyed").memory()
    assert (memory.rows, memory.row_bytes, memory.keys) == (0, 0, 100)
    assert memory.overhead_bytes == pytest.approx(grown(100) + 100 * INT, abs=200)


def test_bytes_of_many_rows_are_exact():
    rows = [plain(n % 100, "x" * (n % 7) + str(n)) for n in range(20_000)]
    assert settled("plain", rows).memory().row_bytes == sum(map(len, rows))


def test_the_estimate_is_near_what_python_says():
    rows = RowList.of([keyed(FIRST + n) for n in range(20_000)])
    cache = Cache(SCHEMA)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        snapshot(cache, 1, "keyed", rows.rows())
        assert len(cache.table("keyed")) == 20_000
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.table("keyed").memory().total_bytes == pytest.approx(after - before, rel=0.1)


def test_a_cache_names_what_was_touched():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "plain", [plain(1, "x")])
    snapshot(cache, 1, "keyed", [keyed(1)])
    assert [(memory.name, memory.rows) for memory in cache.memory()] == [("keyed", 1), ("plain", 1)]
