"""Rows that are delivered anew: the cache is as a fresh one would be, and what is told is the difference.

Random contents before and after, held by several query sets of any policy, with repeated rows and rows that move
between sets; and the same with the work put off or not.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.cache import CACHE_POLICIES, Cache, Deltas
from spacetimedb_proto.cache.table import TableCache
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.steps import finish
from spacetimedb_proto.wire.messages import EventTableRows, TableUpdate
from spacetimedb_proto.wire.rowlist import RowList

from .test_cache import ROWS, SCHEMA, TEXTS, check_changes, keyed, plain, rows_of, transact, update

SETS = st.integers(1, 3)
TABLES = pytest.mark.parametrize(("name", "rows"), [("keyed", ROWS), ("plain", TEXTS)], ids=["keyed", "plain"])


@pytest.fixture(params=[True, False], ids=["lazy", "eager"], autouse=True)
def is_lazy(request, monkeypatch):
    monkeypatch.setattr(TableCache, "is_lazy", request.param)


def key_of(name):
    return (lambda row: row[:4]) if name == "keyed" else None


def contents(rows):
    """What each query set holds: rows of a database, so each key once, some of them as often as queries match them."""
    return st.dictionaries(SETS, st.lists(rows, max_size=6), max_size=3)


def valid(name, held):
    """Without rows that no database could hold beside others: two of one key."""
    if name != "keyed":
        return held
    versions = {}
    for rows in held.values():
        for row in rows:
            versions.setdefault(row[:4], row)
    return {query_set: [row for row in rows if versions[row[:4]] == row] for query_set, rows in held.items()}


def deltas_of(name, held, lean=None):
    deltas = Deltas(lean or {})
    for query_set, rows in held.items():
        deltas.insert(query_set, rows_of(name, rows))
    return deltas


def total(held, sets=None):
    return sum((Counter(rows) for query_set, rows in held.items() if sets is None or query_set in sets), Counter())


def fresh(name, held, lean=None):
    cache = Cache(SCHEMA)
    cache.apply(deltas_of(name, held, lean))
    return cache


def look(table):
    """Cut what is to be cut, make objects, build an index."""
    list(table)
    list(table.select({0: 1}))
    list(table.select({1: 1} if table.name == "keyed" else {0: 0}))


def found(table):
    rows = [table.decode(data) for data in table.raw()]
    for value in sorted({getattr(row, table.table.columns[0].name) for row in rows}):
        yield value, sorted(map(repr, table.select({0: value})))


@TABLES
@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_a_renewed_cache_is_as_a_fresh_one(name, rows, data):
    old, new = (valid(name, data.draw(contents(rows))) for _ in range(2))
    cache = fresh(name, old)
    if data.draw(st.booleans()):
        look(cache[name])
    changes = finish(cache.renewing(deltas_of(name, new)))
    other = fresh(name, new)
    assert cache[name].raw() == other[name].raw() == dict(total(new))
    change = changes.get(name)
    if change is None:
        assert not total(old)
        assert not total(new)
    else:
        check_changes(change, set(total(old)), set(total(new)), key_of(name))
    assert list(found(cache[name])) == list(found(other[name]))
    # Also all that comes later is as in a fresh one, owners and indexes included.
    for query_set, held in new.items():
        gone = data.draw(st.lists(st.sampled_from(held), max_size=2)) if held else []
        gone = list((Counter(gone) & Counter(held)).elements())
        later = [transact(each, query_set, name, [], gone)[name] for each in (cache, other)]
        assert sorted(later[0].deletes) == sorted(later[1].deletes)
        assert cache[name].raw() == other[name].raw()
        with pytest.raises(RemoteProtocolError):
            transact(cache, 9, name, [], held or [keyed(99) if name == "keyed" else plain(99, "")])


@TABLES
@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_updates_that_come_before_all_sets_are_back_count(name, rows, data):
    """An older server answers one by one, and other clients write in between."""
    old, new = (valid(name, data.draw(contents(rows))) for _ in range(2))
    cache, other = fresh(name, old), Cache(SCHEMA)
    collected = Deltas()
    live = {}
    for query_set, held in new.items():
        collected.absorb(deltas_of(name, {query_set: held}))
        other.apply(deltas_of(name, {query_set: held}))
        live[query_set] = Counter(held)
        writer = data.draw(st.sampled_from(sorted(live)))
        taken = list((Counter(data.draw(st.lists(rows, max_size=2))) & live[writer]).elements())
        live[writer] -= Counter(taken)
        step = Deltas()
        step.update(writer, update(name, [], taken))
        collected.absorb(step)
        transact(other, writer, name, [], taken)
    changes = finish(cache.renewing(collected))
    assert cache[name].raw() == other[name].raw()
    if name in changes:
        check_changes(changes[name], set(total(old)), set(other[name].raw()), key_of(name))


@TABLES
@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_whatever_the_policies_are(name, rows, data):
    old, new = (valid(name, data.draw(contents(rows))) for _ in range(2))
    policies = {each: data.draw(st.sampled_from(CACHE_POLICIES)) for each in range(1, 4)}
    lean = {each: policy for each, policy in policies.items() if policy != "full"}
    full, keys, none = ({each for each, policy in policies.items() if policy == wanted} for wanted in CACHE_POLICIES)
    key = key_of(name) or bytes
    cache = fresh(name, old, lean)
    if data.draw(st.booleans()):
        look(cache[name])
    changes = finish(cache.renewing(deltas_of(name, new, lean)))
    table, other = cache[name], fresh(name, new, lean)[name]
    assert table.raw() == other.raw() == dict(total(new, full))
    if name == "keyed":
        assert sorted(table.lean_keys()) == sorted(other.lean_keys())
    assert table.lean_count == len({key(row) for row in total(new, keys)})
    stored, stores = set(total(old, full)), set(total(new, full))
    known = {key(row) for row in total(old, keys)}
    told = {row for row in total(new, keys | none) if row not in stored | stores and key(row) not in known}
    change = changes.get(name)
    came, gone = (stores - stored) | told, stored - stores
    if change is None:
        assert not came | gone
        return
    assert {*change.inserts, *(row for _, row in change.updates)} == came
    assert {*change.deletes, *(row for row, _ in change.updates)} == gone
    assert len(change.inserts) + len(change.updates) == len(came)
    assert all(key(before) == key(after) for before, after in change.updates)


def test_tables_of_which_nothing_is_said_are_empty_then():
    cache = fresh("keyed", {1: [keyed(1), keyed(2)]})
    cache.apply(deltas_of("plain", {1: [plain(1, "a")]}))
    changes = finish(cache.renewing(Deltas()))
    assert {name: len(change.deletes) for name, change in changes.items()} == {"keyed": 2, "plain": 1}
    assert len(cache["keyed"]) == len(cache["plain"]) == 0


def test_events_that_come_meanwhile_are_told_and_not_stored():
    cache = fresh("keyed", {1: [keyed(1)]})
    deltas = deltas_of("keyed", {1: [keyed(1)]})
    deltas.update(2, [TableUpdate("noise", [EventTableRows(RowList.of([plain(1, "a")]))])])
    changes = finish(cache.renewing(deltas))
    assert changes["noise"].is_event
    assert changes["noise"].inserts == [plain(1, "a")]
    assert not changes["keyed"]
    assert cache["noise"].raw() == {}


def test_what_is_refused_changes_nothing():
    cache = fresh("keyed", {1: [keyed(1)]})
    cache.apply(deltas_of("plain", {1: [plain(1, "a")]}))
    deltas = deltas_of("plain", {1: [plain(2, "b")]})
    deltas.insert(1, rows_of("keyed", [b"\0" * 5]))
    with pytest.raises(RemoteProtocolError, match="expected rows of 6 bytes"):
        finish(cache.renewing(deltas))
    assert cache["keyed"].raw() == {keyed(1): 1}
    assert cache["plain"].raw() == {plain(1, "a"): 1}


def test_rows_without_one_per_key_and_with_it_again():
    """Views of a module may hold two rows of one key; the renewed table need not."""
    two = [keyed(1, value=1), keyed(1, value=2)]
    cache = fresh("keyed", {1: two})
    assert len(cache["keyed"]) == 2
    change = finish(cache.renewing(deltas_of("keyed", {1: two[:1]})))["keyed"]
    assert (change.inserts, change.deletes, change.updates) == ([], two[1:], [])
    assert cache["keyed"].finder(0)(1).value == 1
    change = finish(cache.renewing(deltas_of("keyed", {1: two})))["keyed"]
    assert (change.inserts, change.deletes) == (two[1:], [])
    assert cache["keyed"].raw() == dict.fromkeys(two, 1)
