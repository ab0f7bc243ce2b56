"""Bursts: messages that replace one row each, taken in turns and in several ways, against what each of them says."""

from __future__ import annotations

import struct
from itertools import islice

from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import Cache
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.wire.runs import Run, Template

from .test_cache import product, snapshot, table, transact

KEYS = 6
ELSEWHERE = 99  # the key of a row that another query set holds
ROW = struct.Struct("<IBB")
FINE, BROKEN = 1, 7  # the last byte is a bool

SCHEMA = load_schema(
    {
        "sections": [
            {"Typespace": {"types": [product(id="U32", value="U8", ok="Bool")]}},
            {"Tables": [table("keyed", 0, key=[0], indexes=[[1]], unique=[[0]])]},
        ]
    }
)
"""One table, of which not all bytes are rows."""

KINDS = ["plain"] * 8 + ["broken", "same", "unknown"]
WAYS = ["events", "applied", "updates"]


def messages(wanted):
    """Rows (new, old) as a server might send them; those of the kinds "same" and "unknown" replace nothing."""
    now = {key: ROW.pack(key, 0, FINE) for key in range(KEYS)}
    pairs = []
    for number, (key, kind) in enumerate(wanted):
        old = ROW.pack(key, 255, FINE) if kind == "unknown" else now[key]
        new = old if kind == "same" else ROW.pack(key, number % 200 + 1, BROKEN if kind == "broken" else FINE)
        pairs.append((new, old))
        if kind in ("plain", "broken"):
            now[key] = new
    return pairs


def lazy():
    """A cache that takes short ways, also where tests are told to take none."""
    cache = Cache(SCHEMA)
    cache.table("keyed").is_lazy = True
    return cache


def is_readable(pair):
    return all(row[-1] == FINE for row in pair)


class Taker:
    """Takes from bursts and notes what it is told: pairs, or None for one whose rows are none."""

    def __init__(self, cache):
        self.keyed = cache.table("keyed")
        self.told = []

    def events(self, burst):
        for event in burst:
            ((old, new),) = event.changes["keyed"].updates
            yield new, old

    def applied(self, burst):
        return burst.applied()

    def updates(self, burst):
        def skip(error):
            assert isinstance(error, DecodeError)
            self.told.append(None)

        for old, new, pair in burst.updates(skip):
            assert (new.value, old.value) == (pair[0][4], pair[1][4])
            yield pair

    def take(self, burst, way, count):
        for pair in islice(getattr(self, way)(burst), count):
            new, _ = pair
            assert new in self.keyed.raw(), "it is applied when it is told"
            self.told.append(pair)


@given(
    wanted=st.lists(st.tuples(st.integers(0, KEYS - 1), st.sampled_from(KINDS)), max_size=300),
    turns=st.lists(st.tuples(st.sampled_from(WAYS), st.integers(1, 60)), max_size=40),
    query_set=st.integers(1, 2),
    is_indexed=st.booleans(),
)
@example([(0, "plain")] * 300, [("updates", 3), ("events", 200), ("updates", 90)], 1, False)
@example([(0, "broken")] * 20, [("updates", 1)], 1, True)
@settings(max_examples=300)
def test_messages_are_told_once_and_in_order(wanted, turns, query_set, is_indexed):
    cache = lazy()
    first = [ROW.pack(key, 0, FINE) for key in range(KEYS)]
    snapshot(cache, 1, "keyed", first if query_set == 1 else [ROW.pack(ELSEWHERE, 0, FINE)])
    snapshot(cache, 2, "keyed", first if query_set == 2 else [ROW.pack(ELSEWHERE, 0, FINE)])
    taker, pairs = Taker(cache), messages(wanted)
    if is_indexed:
        list(taker.keyed.select({1: 0}))
    run = Run(Template(b"", query_set, "keyed"), pairs, size=0, shortest=ROW.size, longest=ROW.size)
    turn = iter(turns)
    len(taker.keyed)
    while run.rows:
        burst = Burst(run, taker.keyed.replaceable(query_set))
        while not burst.is_over:
            taker.take(burst, *next(turn, ("updates", 1000)))
        odd, run = burst.odd, burst.rest()
        if odd is not None:
            assert run.rows[0] == odd
            taker.told.append(odd)
            del run.rows[0]
    assert len(taker.told) == len(pairs)
    assert all(
        told == pair or (told is None and not is_readable(pair)) for told, pair in zip(taker.told, pairs, strict=True)
    )
    now = {row[:4]: row for row in first}
    for (new, _), (_, kind) in zip(pairs, wanted, strict=True):
        if kind in ("plain", "broken"):
            now[new[:4]] = new
    assert set(taker.keyed.raw()) == {*now.values(), ROW.pack(ELSEWHERE, 0, FINE)}
    for value in {row[4] for row in now.values() if is_readable([row])} if is_indexed else ():
        held = {row for row in now.values() if row[4] == value}
        if all(map(is_readable, ([row] for row in held))):
            found = {ROW.pack(row.id, row.value, row.ok) for row in taker.keyed.select({1: value})}
            assert found - {ROW.pack(ELSEWHERE, 0, FINE)} == held


@given(st.integers(0, 20), st.sampled_from(WAYS))
def test_nothing_is_applied_after_a_stop(before, way):
    cache = lazy()
    snapshot(cache, 1, "keyed", [ROW.pack(0, 0, FINE)])
    taker, pairs = Taker(cache), messages([(0, "plain")] * 30)
    len(taker.keyed)
    run = Run(Template(b"", 1, "keyed"), pairs, size=0, shortest=ROW.size, longest=ROW.size)
    burst = Burst(run, taker.keyed.replaceable(1))
    taking = getattr(taker, way)(burst)
    assert list(islice(taking, before)) == pairs[:before]
    burst.stop()
    assert list(taking) == []
    assert set(taker.keyed.raw()) == {pairs[before][1]}
    assert burst.rest().rows == []


def test_what_is_odd_is_applied_in_the_general_way_and_the_rest_goes_on():
    cache = lazy()
    snapshot(cache, 1, "keyed", [ROW.pack(key, 0, FINE) for key in range(KEYS)])
    taker = Taker(cache)
    len(taker.keyed)
    pairs = messages([(0, "plain"), (1, "plain")])
    moved = ROW.pack(KEYS, 1, FINE), ROW.pack(2, 0, FINE)
    run = Run(Template(b"", 1, "keyed"), [pairs[0], moved, pairs[1]], size=0, shortest=ROW.size, longest=ROW.size)
    burst = Burst(run, taker.keyed.replaceable(1))
    taker.take(burst, "updates", 10)
    assert (taker.told, burst.odd, burst.is_over) == ([pairs[0]], moved, True)
    transact(cache, 1, "keyed", [moved[0]], [moved[1]])
    rest = burst.rest()
    assert rest.rows.pop(0) == moved
    burst = Burst(rest, taker.keyed.replaceable(1))
    taker.take(burst, "updates", 10)
    assert taker.told == pairs
    assert taker.keyed.raw().keys() >= {moved[0], pairs[0][0], pairs[1][0]}
