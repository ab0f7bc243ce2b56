"""Query sets that keep keys or nothing, beside those that keep rows: against a naive model, and case by case.

The model knows which rows every set sees, whatever its policy. What a message must tell follows from three questions:
which rows were stored, which were known to sets that keep keys, and which the other sets were told of.
"""

from __future__ import annotations

import sys
from collections import Counter

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacetimedb_proto.cache import CACHE_POLICIES, Cache, Deltas
from spacetimedb_proto.cache.changes import Snapshot
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.wire.messages import EventTableRows, TableUpdate
from spacetimedb_proto.wire.rowlist import RowList

from .test_cache import SCHEMA, floats, keyed, plain, rows_of, update
from .test_lazy import eager, state

KEYS = st.integers(0, 5)
VERSIONS = st.integers(0, 3)


@pytest.fixture(params=["long steps", "short steps"])
def step(request, monkeypatch):
    """Also steps of two rows, so that small messages take many."""
    for name, module in list(sys.modules.items()):
        if request.param == "short steps" and name.startswith("spacetimedb_proto") and hasattr(module, "STEP"):
            monkeypatch.setattr(module, "STEP", 2)


# --- the model --------------------------------------------------------------------------------------------------------


@attrs.define
class Told:
    """What one message must tell: rows that came and rows that went."""

    came: set
    gone: set

    def check(self, change, name):
        inserts, deletes, updates = change.inserts, change.deletes, change.updates
        assert change.counts == (len(inserts), len(deletes), len(updates))
        assert len(inserts) + len(updates) == len({*inserts, *(new for _, new in updates)}), "each row once"
        assert len(deletes) + len(updates) == len({*deletes, *(old for old, _ in updates)}), "each row once"
        assert {*inserts, *(new for _, new in updates)} == self.came
        assert {*deletes, *(old for old, _ in updates)} == self.gone
        if name == "keyed":
            assert all(old[:4] == new[:4] for old, new in updates)
            assert not {row[:4] for row in inserts} & {row[:4] for row in deletes}, "of one key it must be an update"
        else:
            assert not updates


class World:
    """One table of a database, query sets that see parts of it, and what their policies make of that.

    Rows move in and out of sets when they change, and also while they stay as they are, as joins make them do.
    """

    def __init__(self, name, policies):
        self.name, self.policies = name, policies
        self.rows: dict[int, int] = {}
        self.hidden: set[tuple[int, int]] = set()
        self.sets: dict[int, Counter[bytes]] = {}

    def row(self, key, version):
        return keyed(key, key % 3, version) if self.name == "keyed" else plain(key, "v" * version)

    def view(self, query_set):
        """Set 1 sees all, set 2 rows of an even version, sets 3 and 4 two queries that overlap."""
        seen: Counter[bytes] = Counter()
        for key, version in self.rows.items():
            if (query_set, key) not in self.hidden:
                times = (1, 1 - version % 2, (key < 4) + version % 2, (key > 1) + (version > 1))[query_set - 1]
                seen[self.row(key, version)] += times
        return +seen

    def seen(self, policy):
        return {row for query_set, rows in self.sets.items() if self.policies[query_set] == policy for row in rows}

    def held(self):
        return sum((rows for query_set, rows in self.sets.items() if self.policies[query_set] == "full"), Counter())

    def known(self):
        return {row[:4] if self.name == "keyed" else row for row in self.seen("keys")}

    def message(self, inserts, deletes, change):
        """Carry out `change`; what the caches must make of it, told these lists of rows per set."""
        stored, known = self.seen("full"), self.seen("keys")
        change()
        came = {row for query_set, rows in inserts.items() if self.policies[query_set] == "none" for row in rows}
        went = {row for query_set, rows in deletes.items() if self.policies[query_set] == "none" for row in rows}
        before, after = known | went, self.seen("keys") | came
        unheard = stored | self.seen("full")
        return Told(
            (self.seen("full") - stored) | (after - before - unheard),
            (stored - self.seen("full")) | (before - after - unheard),
        )


def subscribe(draw, world, query_set):
    rows = world.view(query_set)
    listed = draw(st.permutations(sorted(rows.elements())))
    told = world.message({query_set: listed}, {}, lambda: world.sets.update({query_set: rows}))

    def deltas():
        made = Deltas(lean(world))
        made.insert(query_set, rows_of(world.name, listed), {world.name} if max(rows.values(), default=1) == 1 else ())
        return made

    return deltas, told


def leave(draw, world, query_set):
    with_rows = world.policies[query_set] == "full" and draw(st.booleans())
    rows = list(world.sets[query_set].elements())
    stored = world.seen("full")
    del world.sets[query_set]

    def deltas():
        made = Deltas(lean(world))
        if with_rows:
            made.delete(query_set, rows_of(world.name, rows))
        else:
            made.drop(query_set, [world.name])
        return made

    return deltas, Told(set(), stored - world.seen("full"))


def write(draw, world):
    for key in draw(st.lists(KEYS, max_size=5, unique=True)):
        version = draw(VERSIONS)
        if version:
            world.rows[key] = version
        else:
            world.rows.pop(key, None)
    world.hidden ^= set(draw(st.lists(st.tuples(st.integers(1, 4), KEYS), max_size=3)))
    views = {query_set: world.view(query_set) for query_set in world.sets}
    inserts, deletes = {}, {}
    for query_set, old in world.sets.items():
        # A set that keeps nothing cannot tell a row that came and went from one that was there all the time.
        keys = st.just(9) if world.policies[query_set] == "none" else KEYS
        there_and_back = [world.row(draw(keys), draw(VERSIONS)) for _ in range(draw(st.integers(0, 1)))]
        come, go = (list((views[query_set] - old).elements()), list((old - views[query_set]).elements()))
        inserts[query_set] = draw(st.permutations(come + there_and_back))
        deletes[query_set] = draw(st.permutations(go + there_and_back))
    told = world.message(inserts, deletes, lambda: world.sets.update(views))
    order = draw(st.permutations(sorted(views)))

    def deltas():
        made = Deltas(lean(world))
        for query_set in order:
            made.update(query_set, update(world.name, inserts[query_set], deletes[query_set]))
        return made

    return deltas, told


def lean(world):
    return {query_set: policy for query_set, policy in world.policies.items() if policy != "full"}


def look(table):
    return table.raw(), table.lean_count


def apply(cache, name, deltas, draw):
    """Apply in steps, looking in between: readers find the old state or the new one."""
    table = cache.table(name)
    steps, looking = cache.applying(deltas), draw(st.booleans())
    seen = [look(table)] if looking else []
    while True:
        try:
            next(steps)
        except StopIteration as end:
            if looking:
                now = look(table)
                assert [*dict.fromkeys(map(repr, [*seen, now]))] in ([repr(now)], [repr(seen[0]), repr(now)])
            return end.value
        if looking:
            seen.append(look(table))


POLICIES = st.fixed_dictionaries(dict.fromkeys(range(1, 5), st.sampled_from(CACHE_POLICIES)))


@given(data=st.data(), name=st.sampled_from(["keyed", "plain"]), policies=POLICIES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_histories(step, data, name, policies):
    caches, world = (Cache(SCHEMA), eager()), World(name, policies)
    for _ in range(data.draw(st.integers(1, 10))):
        what, query_set = (
            data.draw(st.sampled_from(["set", "set", "write", "write", "write"])),
            data.draw(st.integers(1, 4)),
        )
        if what == "write":
            deltas, told = write(data.draw, world)
        elif query_set in world.sets:
            deltas, told = leave(data.draw, world, query_set)
        else:
            deltas, told = subscribe(data.draw, world, query_set)
        objects = []
        for cache in caches:
            change = apply(cache, name, deltas(), data.draw).get(name)
            if change is None:
                assert told == Told(set(), set())
            else:
                told.check(change, name)
                objects.append(list(map(repr, change)) if data.draw(st.booleans()) else None)
            if data.draw(st.booleans()):
                assert look(cache.table(name)) == (dict(world.held()), len(world.known()))
                if name == "keyed":
                    keys = sorted(int.from_bytes(key, "little") for key in world.known())
                    assert sorted(cache.table(name).lean_keys()) == keys
        if len(objects) == 2 and None not in objects:
            assert sorted(objects[0]) == sorted(objects[1])
    assert state(caches[0], name) == state(caches[1], name)


# --- single cases -----------------------------------------------------------------------------------------------------


def lazy():
    """A cache that puts things off also where all others are told not to."""
    cache = Cache(SCHEMA)
    cache.table("keyed").is_lazy = True
    return cache


def insert(cache, policies, query_set, name, rows):
    deltas = Deltas(policies)
    deltas.insert(query_set, rows_of(name, rows), {name})
    return cache.apply(deltas)[name]


def transact(cache, policies, *updates):
    """Updates are (query set, table, inserts, deletes)."""
    deltas = Deltas(policies)
    for query_set, name, inserts, deletes in updates:
        deltas.update(query_set, update(name, inserts, deletes))
    changes = cache.apply(deltas)
    return changes[updates[0][1]]


def test_nothing_is_kept_and_all_is_told():
    cache, policies = lazy(), {1: "none"}
    first = insert(cache, policies, 1, "keyed", [keyed(1), keyed(2)])
    assert isinstance(first, Snapshot)
    assert [row.id for row in first.inserted()] == [1, 2]
    change = transact(cache, policies, (1, "keyed", [keyed(1, value=5), keyed(3)], [keyed(1), keyed(2)]))
    assert [(old.value, new.value) for old, new in change.updated()] == [(0, 5)]
    assert ([row.id for row in change.inserted()], [row.id for row in change.deleted()]) == ([3], [2])
    assert (cache.table("keyed").raw(), cache.table("keyed").lean_count) == ({}, 0)


def test_a_first_snapshot_that_is_not_kept_is_not_even_cut(monkeypatch):
    cache = lazy()

    def cut(rows):
        raise AssertionError

    monkeypatch.setattr(RowList, "rows", cut)
    assert insert(cache, {1: "none"}, 1, "keyed", [keyed(n) for n in range(10)])


@pytest.mark.parametrize("first", CACHE_POLICIES)
@pytest.mark.parametrize("second", CACHE_POLICIES)
def test_first_rows_of_several_sets_are_told_once(first, second):
    cache = Cache(SCHEMA)
    policies = {n: policy for n, policy in enumerate((first, second)) if policy != "full"}
    deltas = Deltas(policies)
    for query_set in (0, 1):
        deltas.insert(query_set, rows_of("plain", [plain(1, "a"), plain(query_set, "b")]), {"plain"})
    change = cache.apply(deltas)["plain"]
    assert sorted(change.inserts) == sorted({plain(1, "a"), plain(0, "b"), plain(1, "b")})
    held = Counter({plain(1, "a"): 0})
    for query_set in {0, 1} - set(policies):
        held.update([plain(1, "a"), plain(query_set, "b")])
    assert cache.table("plain").raw() == +held


def test_keys_stand_for_rows():
    cache, policies = Cache(SCHEMA), {1: "keys", 2: "keys"}
    insert(cache, policies, 1, "keyed", [keyed(1), keyed(2)])
    assert insert(cache, policies, 2, "keyed", [keyed(2), keyed(3)]).inserts == [keyed(3)]
    assert sorted(cache.table("keyed").lean_keys()) == [1, 2, 3]
    assert not transact(cache, policies, (1, "keyed", [], [keyed(2)])), "the other set holds it"
    assert transact(cache, policies, (2, "keyed", [], [keyed(2)])).deletes == [keyed(2)]
    assert sorted(cache.table("keyed").lean_keys()) == [1, 3]
    assert len(cache.table("keyed")) == 0


def test_a_new_version_seen_by_several_sets_is_one_update():
    cache, policies = Cache(SCHEMA), {1: "keys", 2: "keys", 3: "none"}
    for query_set in policies:
        insert(cache, policies, query_set, "keyed", [keyed(1)])
    same = [(query_set, "keyed", [keyed(1, value=1)], [keyed(1)]) for query_set in policies]
    change = transact(cache, policies, *same)
    assert (change.inserts, change.deletes, change.updates) == ([], [], [(keyed(1), keyed(1, value=1))])


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_a_row_that_moves_between_the_store_and_a_lean_set_is_updated(policy):
    cache, policies = Cache(SCHEMA), {2: policy}
    insert(cache, policies, 1, "keyed", [keyed(1)])
    table = cache.table("keyed")
    kept = next(iter(table))
    out = transact(cache, policies, (1, "keyed", [], [keyed(1)]), (2, "keyed", [keyed(1, value=1)], []))
    assert out.updates == [(keyed(1), keyed(1, value=1))]
    ((old, new),) = out.updated()
    assert old is not new
    assert (old, table.raw()) == (kept, {})
    back = transact(cache, policies, (2, "keyed", [], [keyed(1, value=1)]), (1, "keyed", [keyed(1, value=2)], []))
    assert back.updates == [(keyed(1, value=1), keyed(1, value=2))]
    assert [row.value for row in table] == [2]


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_what_is_stored_is_told_once(policy):
    cache, policies = Cache(SCHEMA), {2: policy}
    insert(cache, policies, 1, "keyed", [keyed(1)])
    assert not insert(cache, policies, 2, "keyed", [keyed(1)])
    change = transact(cache, policies, *((i, "keyed", [keyed(1, value=1)], [keyed(1)]) for i in (2, 1)))
    assert (change.inserts, change.deletes, len(change.updates)) == ([], [], 1)
    change = transact(cache, policies, *((i, "keyed", [], [keyed(1, value=1)]) for i in (1, 2)))
    assert (change.inserts, change.deletes) == ([], [keyed(1, value=1)])


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_what_leaves_the_store_is_told_although_a_lean_set_sees_it(policy):
    cache, policies = Cache(SCHEMA), {2: policy}
    insert(cache, policies, 1, "keyed", [keyed(1)])
    insert(cache, policies, 2, "keyed", [keyed(1)])
    for query_set in (1, 2):
        change = transact(cache, policies, (query_set, "keyed", [], [keyed(1)]))
        assert change.deletes == [keyed(1)]


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_the_end_of_a_lean_set_tells_nothing(policy):
    cache, policies = Cache(SCHEMA), {1: policy, 2: "keys"}
    insert(cache, policies, 1, "keyed", [keyed(1), keyed(2)])
    insert(cache, policies, 2, "keyed", [keyed(2)])
    deltas = Deltas(policies)
    deltas.drop(1, ["keyed"])
    assert not cache.apply(deltas).get("keyed")
    assert cache.table("keyed").lean_keys() == [2]


def test_inserted_and_deleted_in_one_message_is_no_change():
    cache, policies = Cache(SCHEMA), {1: "none", 2: "none"}
    assert not transact(cache, policies, (1, "plain", [plain(1, "a")], [plain(1, "a")]))
    assert not transact(cache, policies, (1, "plain", [], [plain(1, "a")]), (2, "plain", [plain(1, "a")] * 2, []))


def test_a_key_delivered_twice_and_taken_once_is_told():
    cache, policies = Cache(SCHEMA), {1: "keys"}
    assert transact(cache, policies, (1, "plain", [plain(1, "a")] * 2, [plain(1, "a")])).inserts == [plain(1, "a")]
    assert cache.table("plain").lean_count == 1


def test_of_a_key_that_is_known_neither_before_nor_after_nothing_is_told():
    cache, policies = Cache(SCHEMA), {1: "keys"}
    assert not transact(cache, policies, (1, "keyed", [keyed(1, value=1)], [keyed(1, value=2)]))
    assert cache.table("keyed").lean_count == 0


@pytest.mark.parametrize("is_lazy", [True, False])
def test_a_key_that_is_not_held_cannot_leave(is_lazy):
    cache, policies = Cache(SCHEMA), {1: "keys", 2: "keys"}
    cache.table("keyed").is_lazy = is_lazy
    insert(cache, policies, 1, "keyed", [keyed(1)])
    for query_set, row in ((1, keyed(2)), (2, keyed(1))):
        with pytest.raises(RemoteProtocolError, match=f"query set {query_set} deletes a row that it does not hold"):
            transact(cache, policies, (query_set, "keyed", [keyed(7)], [row]))
    assert cache.table("keyed").lean_keys() == [1]


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_lean_rows_of_a_wrong_size_are_refused(policy):
    cache = Cache(SCHEMA)
    with pytest.raises(RemoteProtocolError, match="table keyed: expected rows of 6 bytes"):
        insert(cache, {1: policy}, 1, "keyed", [b"\0" * 5])
    with pytest.raises(RemoteProtocolError, match="table keyed: expected rows of 6 bytes"):
        transact(cache, {1: policy}, (1, "keyed", [], [b"\0" * 7]))


@pytest.mark.parametrize("policy", CACHE_POLICIES)
def test_events_are_the_same_under_every_policy(policy):
    cache = Cache(SCHEMA)
    deltas = Deltas({} if policy == "full" else {1: policy})
    deltas.update(1, [TableUpdate("noise", [EventTableRows(RowList.of([plain(1, "a"), plain(1, "a")]))])])
    change = cache.apply(deltas)["noise"]
    assert change.is_event
    assert [row.n for row in change.inserted()] == [1]


def test_rows_whose_keys_bytes_cannot_stand_for_are_told_apart_by_all_their_bytes():
    cache, policies = Cache(SCHEMA), {1: "keys"}
    insert(cache, policies, 1, "floats", [floats(0.0, 1), floats(-0.0, 1), floats(float("nan"), 2)])
    assert cache.table("floats").lean_count == 3
    assert transact(cache, policies, (1, "floats", [], [floats(-0.0, 1)])).deletes == [floats(-0.0, 1)]
