"""Lookups in a snapshot that nobody has cut apart: they find what they would find in its index."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.errors import EncodeError
from spacetimedb_proto.schema import load_schema

from .test_cache import product, rows_of, table, transact, update

SCHEMA = load_schema(
    {
        "sections": [
            {
                "Typespace": {
                    "types": [
                        product(code="U16", mark="I8", text="String", n="U8"),
                        product(text="String", n="U8"),
                        product(n="F32"),
                    ]
                }
            },
            {
                "Tables": [
                    table("coded", 0, key=[0], unique=[[0], [1], [3]]),
                    table("texts", 1, key=[0], unique=[[0]]),
                    table("floats", 2, unique=[[0]]),
                ]
            },
        ]
    }
)


def text(value):
    return struct.pack("<I", len(value)) + value.encode()


def coded(code, mark=0, words="", n=0):
    return struct.pack("<Hb", code, mark) + text(words) + bytes([n])


def cached(*, large=0, is_lazy=True):
    cache = Cache(SCHEMA)
    for name in SCHEMA.tables:
        cache.table(name).large = large
        cache.table(name).is_lazy = is_lazy
    return cache


def load(cache, name, *sets, distinct=()):
    """One message that brings each query set its rows."""
    deltas = Deltas()
    for number, rows in enumerate(sets, 1):
        deltas.insert(number, rows_of(name, rows), distinct=distinct)
    cache.apply(deltas)
    return cache.table(name)


NUMBERS = st.integers(0, 3)
WORDS = st.sampled_from(["", "a", "\0\0", "ab"])  # bytes that look like numbers, and the other way round
ROWS = {
    "coded": st.builds(coded, st.sampled_from([0, 1, 256, 257]), NUMBERS, WORDS, NUMBERS),
    "texts": st.builds(lambda words, n: text(words) + bytes([n]), WORDS, NUMBERS),
}
VALUES = {
    ("coded", 0): st.sampled_from([0, 1, 256, 257, 5]),
    ("coded", 1): st.integers(0, 4),
    ("coded", 3): st.integers(0, 4),
    ("texts", 0): WORDS,
}


@pytest.mark.parametrize(("name", "column"), VALUES)
@given(data=st.data())
@settings(max_examples=100)
def test_what_is_sought_is_what_an_index_finds(name, column, data):
    rows = st.lists(ROWS[name], max_size=6)
    sets = data.draw(st.lists(rows, min_size=1, max_size=2))
    cache, twin = load(cached(), name, *sets), load(cached(is_lazy=False), name, *sets)
    find, find_there = cache.finder(column), twin.finder(column)
    for value in data.draw(st.lists(VALUES[name, column], max_size=6)):
        found = find(value)
        assert found == find_there(value)
        assert find(value) is found
    assert sorted(map(repr, cache)) == sorted(map(repr, twin))
    assert cache.raw() == twin.raw()


def test_a_few_rows_are_sought_and_then_the_snapshot_is_cut():
    cache = load(cached(), "coded", [coded(n, n % 100) for n in range(300)])
    find = cache.finder(0)
    for n in (299, 0, 7, 500):
        found = find(n)
        assert (found and found.code) == (n if n < 300 else None)
        assert cache.memory().is_uncut
    assert find(8).code == 8
    assert not cache.memory().is_uncut
    assert find(299) is find(299)


def test_a_small_snapshot_is_cut_at_once():
    cache = load(cached(large=300), "coded", [coded(n) for n in range(300)])
    assert cache.finder(0)(299).code == 299
    assert not cache.memory().is_uncut


def test_a_row_that_was_sought_is_the_same_until_it_changes():
    cache = cached()
    rows = load(cache, "coded", [coded(1), coded(2), coded(3)])
    find = rows.finder(0)
    first, second = find(1), find(2)
    transact(cache, 1, "coded", [coded(2, n=9)], [coded(2)])
    assert find(1) is first
    assert find(2).n == 9 != second.n


def test_what_a_column_cannot_hold_is_an_error_before_the_snapshot_is_cut():
    cache = load(cached(), "coded", [coded(1)])
    for value in (2**16, "one"):
        with pytest.raises(EncodeError, match=r"coded\.code"):
            cache.finder(0)(value)
    assert cache.memory().is_uncut


def test_lookups_while_rows_without_keys_of_their_own_are_taken_in():
    cache = cached()
    rows = load(cache, "coded", [coded(1), coded(1, mark=1)])
    find = rows.finder(0)
    assert len(list(rows)) == 2, "one key does not tell them apart"
    deltas = Deltas()
    deltas.update(1, update("coded", [coded(n) for n in range(2, 6000)]))
    for _ in cache.applying(deltas):
        assert find(1) in (rows.decode(coded(1)), rows.decode(coded(1, mark=1)))
    assert find(5999).code == 5999


def test_floats_are_not_sought_by_their_bytes():
    cache = load(cached(), "floats", [struct.pack("<f", -0.0)])
    assert cache.finder(0)(0.0).n == 0


def test_a_snapshot_is_counted_as_it_came():
    cache = load(cached(), "coded", [coded(n) for n in range(300)], distinct={"coded"})
    assert len(cache) == 300
    assert cache.memory().is_uncut
