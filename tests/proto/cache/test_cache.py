"""The cache against a naive model: bags of rows per query set, compared after every message.

The model knows nothing of snapshots, plans, owners or indexes. Random histories overlap subscriptions, repeat rows,
move rows between sets, replace rows under one key, and end sets with and without their rows.
"""

from __future__ import annotations

import struct
from collections import Counter

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.errors import EncodeError, RemoteProtocolError
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.wire.messages import (
    EventTableRows,
    PersistentTableRows,
    QueryRows,
    SingleTableRows,
    TableUpdate,
)
from spacetimedb_proto.wire.rowlist import RowList


def product(**columns):
    elements = [{"name": {"some": name}, "algebraic_type": {kind: []}} for name, kind in columns.items()]
    return {"Product": {"elements": elements}}


def table(name, slot, key=(), indexes=(), unique=(), event=False):
    return {
        "source_name": name,
        "product_type_ref": slot,
        "primary_key": list(key),
        "indexes": [
            {"source_name": {"none": []}, "accessor_name": {"none": []}, "algorithm": {"BTree": list(columns)}}
            for columns in indexes
        ],
        "constraints": [
            {"source_name": {"none": []}, "data": {"Unique": {"columns": list(columns)}}} for columns in unique
        ],
        "sequences": [],
        "table_type": {"User": []},
        "table_access": {"Public": []},
        "default_values": [],
        "is_event": event,
    }


SCHEMA = load_schema(
    {
        "sections": [
            {
                "Typespace": {
                    "types": [
                        product(id="U32", group="I8", value="I8"),
                        product(n="I8", text="String"),
                        product(key="F32", n="U8"),
                    ]
                }
            },
            {
                "Tables": [
                    table("keyed", 0, key=[0], indexes=[[1], [1, 2]], unique=[[0]]),
                    table("plain", 1, indexes=[[0]]),
                    table("floats", 2, indexes=[[0], [0, 1]]),
                    table("noise", 1, event=True),
                ]
            },
        ]
    }
)


def keyed(id_, group=0, value=0):
    return struct.pack("<Ibb", id_, group, value)


def plain(n, text):
    data = text.encode()
    return struct.pack("<bI", n, len(data)) + data


def rows_of(name, rows):
    return QueryRows([SingleTableRows(name, RowList.of(rows))])


def update(name, inserts=(), deletes=()):
    return [TableUpdate(name, [PersistentTableRows(RowList.of(list(inserts)), RowList.of(list(deletes)))])]


def snapshot(cache, query_set, name, rows):
    deltas = Deltas()
    deltas.insert(query_set, rows_of(name, rows))
    return cache.apply(deltas)


def transact(cache, query_set, name, inserts=(), deletes=()):
    deltas = Deltas()
    deltas.update(query_set, update(name, inserts, deletes))
    return cache.apply(deltas)


def drop(cache, query_set):
    deltas = Deltas()
    deltas.drop(query_set, cache.touched())
    return cache.apply(deltas)


# --- the model --------------------------------------------------------------------------------------------------------


@attrs.define
class Model:
    """Bags per query set for one table; the database is what a server would hold, one row per key."""

    sets: dict[int, Counter] = attrs.Factory(dict)

    def total(self):
        return sum(self.sets.values(), Counter())

    def visible(self):
        return set(self.total())


ROWS = st.builds(keyed, st.integers(0, 5), st.integers(-1, 1), st.integers(-2, 2))
TEXTS = st.builds(plain, st.integers(-2, 2), st.sampled_from(["", "a", "bb"]))


def check_changes(change, before, after, key=None):
    inserts, deletes = set(change.inserts), set(change.deletes)
    updates = change.updates
    gone, came = before - after, after - before
    assert inserts | {new for _, new in updates} == came
    assert deletes | {old for old, _ in updates} == gone
    assert len(change.inserts) == len(inserts)
    assert len(change.deletes) == len(deletes)
    assert change.counts == (len(inserts), len(deletes), len(updates))
    if key is None:
        assert not updates
    else:
        assert all(key(old) == key(new) for old, new in updates)
        paired = {key(row) for row in inserts} & {key(row) for row in deletes}
        possible = all(len(rows) == len(set(map(key, rows))) for rows in (before, after))
        assert not paired or not possible, "a delete and an insert of one key must be an update"


HISTORIES = pytest.mark.parametrize(
    ("name", "rows", "key"), [("keyed", ROWS, lambda row: row[:4]), ("plain", TEXTS, None)], ids=["keyed", "plain"]
)


@HISTORIES
@given(data=st.data())
@settings(max_examples=150)
def test_random_histories(name, rows, key, data):
    check_history(Cache(SCHEMA), name, rows, key, data)


def check_history(cache, name, rows, key, data, sent=list):
    """Let a random history happen; `sent` makes of rows what the server sends of them."""
    model = Model()
    for _ in range(data.draw(st.integers(1, 12))):
        before = model.visible()
        step = data.draw(
            st.sampled_from(["snapshot", "snapshot", "transact", "transact", "transact", "leave", "drop", "look"])
        )
        query_set = data.draw(st.integers(1, 3))
        bag = model.sets.setdefault(query_set, Counter())
        changes = {}
        if step == "snapshot":
            new = data.draw(st.lists(rows, max_size=6))
            changes = snapshot(cache, query_set, name, sent(new))
            bag.update(new)
        elif step == "transact":
            inserts = data.draw(st.lists(rows, max_size=4))
            held = sorted((bag + Counter(inserts)).elements())
            deletes = data.draw(st.lists(st.sampled_from(held), max_size=4, unique_by=id)) if held else []
            deletes = list((Counter(deletes) & (bag + Counter(inserts))).elements())
            changes = transact(cache, query_set, name, sent(inserts), sent(deletes))
            bag.update(inserts)
            bag.subtract(deletes)
            model.sets[query_set] = +bag
        elif step == "leave":
            deltas = Deltas()
            deltas.delete(query_set, rows_of(name, sent(list(bag.elements()))))
            changes = cache.apply(deltas)
            bag.clear()
        elif step == "drop":
            changes = drop(cache, query_set)
            bag.clear()
        else:
            list(cache.table(name).select({0: data.draw(st.integers(-2, 5))})) if name == "plain" else None
        if name in changes:
            check_changes(changes[name], before, model.visible(), key)
        else:
            assert before == model.visible()
        check_table(cache.table(name), model, data.draw(st.booleans()))


def check_table(table, model, look):
    """Looking is itself an event: it cuts snapshots and builds indexes, so some histories never look."""
    if not look:
        return
    assert table.raw() == dict(model.total())
    assert len(table) == len(model.visible())
    rows = [table.row(data) for data in model.visible()]
    assert sorted(map(repr, table)) == sorted(map(repr, rows))
    first = table.table.columns[0].name
    for value in {getattr(row, first) for row in rows}:
        expected = sorted(repr(row) for row in rows if getattr(row, first) == value)
        assert sorted(map(repr, table.select({0: value}))) == expected
    second = table.table.columns[1].name
    for value in {getattr(row, second) for row in rows}:
        expected = sorted(repr(row) for row in rows if getattr(row, second) == value)
        assert sorted(map(repr, table.select({1: value}))) == expected


@given(st.lists(ROWS, max_size=5), st.lists(ROWS, min_size=1, max_size=5), st.integers(1, 2))
def test_what_is_refused_changes_nothing(held, wrong, query_set):
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", held)
    list(cache.table("keyed").select({1: 0}))
    before = cache.table("keyed").raw()
    deltas = Deltas()
    deltas.update(3, update("plain", [plain(1, "x")]))
    deltas.update(query_set, update("keyed", [keyed(9)], wrong))
    missing = Counter(wrong) - (Counter(held) if query_set == 1 else Counter()) - Counter([keyed(9)])
    if not missing:
        return
    with pytest.raises(RemoteProtocolError, match="table keyed: query set . deletes a row that it does not hold"):
        cache.apply(deltas)
    assert cache.table("keyed").raw() == before
    assert cache.table("plain").raw() == {}
    assert list(cache.table("keyed").select({0: 9})) == []


# --- single cases -----------------------------------------------------------------------------------------------------


def test_a_row_moving_between_sets_of_one_message_is_silent():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1)])
    deltas = Deltas()
    deltas.update(1, update("keyed", deletes=[keyed(1)]))
    deltas.update(2, update("keyed", [keyed(1)]))
    assert not cache.apply(deltas)["keyed"]
    assert cache.table("keyed").raw() == {keyed(1): 1}


def test_an_update_may_come_from_two_sets():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1, value=1)])
    deltas = Deltas()
    deltas.update(1, update("keyed", deletes=[keyed(1, value=1)]))
    deltas.update(2, update("keyed", [keyed(1, value=2)]))
    assert cache.apply(deltas)["keyed"].updates == [(keyed(1, value=1), keyed(1, value=2))]


def test_deleted_and_inserted_unchanged_is_silent():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1)])
    assert not transact(cache, 1, "keyed", [keyed(1)], [keyed(1)])["keyed"]


def test_overlapping_queries_of_one_snapshot_insert_once():
    cache = Cache(SCHEMA)
    change = snapshot(cache, 1, "keyed", [keyed(1), keyed(2), keyed(1)])["keyed"]
    assert change.inserts == [keyed(1), keyed(2)]
    assert cache.table("keyed").raw() == {keyed(1): 2, keyed(2): 1}
    assert transact(cache, 1, "keyed", deletes=[keyed(1)])["keyed"].deletes == []
    assert transact(cache, 1, "keyed", deletes=[keyed(1)])["keyed"].deletes == [keyed(1)]


def test_event_rows_fire_once_per_distinct_row_and_are_not_stored():
    cache = Cache(SCHEMA)
    deltas = Deltas()
    for query_set in (1, 2):
        deltas.update(query_set, [TableUpdate("noise", [EventTableRows(RowList.of([plain(1, "a"), plain(2, "b")]))])])
    change = cache.apply(deltas)["noise"]
    assert change.is_event
    assert [row.n for row in change.inserted()] == [1, 2]
    assert cache.table("noise").raw() == {}


def test_rows_of_unknown_tables_are_left_out_and_named():
    cache = Cache(SCHEMA)
    deltas = Deltas()
    deltas.update(1, update("keyed", [keyed(1)]) + update("unheard_of", [b"?"]))
    changes = cache.apply(deltas)
    assert changes.skipped == ("unheard_of",)
    assert list(changes) == ["keyed"]


@pytest.mark.parametrize("rows", [[b"\0" * 5], [b"\0" * 7], [b"\0" * 6, b"\0" * 8]])
def test_rows_of_a_wrong_size_are_refused(rows):
    cache = Cache(SCHEMA)
    with pytest.raises(RemoteProtocolError, match="table keyed: expected rows of 6 bytes"):
        snapshot(cache, 1, "keyed", rows)


def test_rows_that_were_looked_up_are_decoded_once():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1, value=1)])
    (found,) = cache.table("keyed").select({0: 1})
    assert next(iter(cache.table("keyed"))) is found
    change = transact(cache, 1, "keyed", [keyed(1, value=2)], [keyed(1, value=1)])["keyed"]
    ((old, new),) = change.updated()
    assert (old.value, new.value) == (1, 2)
    assert cache.table("keyed").finder(0)(1) == new
    assert cache.table("keyed").finder(0)(1) is next(iter(cache.table("keyed")))


def test_iteration_is_a_snapshot():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1), keyed(2)])
    rows = iter(cache.table("keyed"))
    first = next(rows)
    transact(cache, 1, "keyed", [keyed(3)], [keyed(1), keyed(2)])
    assert [first.id, *(row.id for row in rows)] == [1, 2]


def test_neither_an_iteration_nor_a_selection_notices_what_is_looked_up_meanwhile():
    cache = Cache(SCHEMA)
    rows = [keyed(n, value=1) for n in range(300)]
    snapshot(cache, 1, "keyed", rows)
    table = cache.table("keyed")
    first = table.finder(0)(299)
    kept, selected = iter(table), table.select({0: 299})
    transact(cache, 1, "keyed", [keyed(299, value=2)], [rows[299]])
    assert table.finder(0)(299).value == 2
    assert [row.value for row in kept] == [1] * 300
    assert list(selected) == [first]


def floats(key, n):
    return struct.pack("<fB", key, n)


def test_float_keys_follow_the_server():
    cache = Cache(SCHEMA)
    nan = float("nan")
    snapshot(cache, 1, "floats", [floats(-0.0, 1), floats(0.0, 2), floats(nan, 3), floats(0.1, 4)])
    table = cache.table("floats")
    assert sorted(row.n for row in table.select({0: 0.0})) == [1, 2]
    assert sorted(row.n for row in table.select({0: -0.0})) == [1, 2]
    assert [row.n for row in table.select({0: 0.1})] == [4], "compared as the column holds it"
    assert list(table.select({0: nan})) == []
    assert list(table.select({0: nan, 1: 3})) == []
    transact(cache, 1, "floats", deletes=[floats(nan, 3), floats(0.0, 2)])
    assert [row.n for row in table.select({0: 0.0})] == [1]
    assert len(table) == 2


@pytest.mark.parametrize("value", [-1, 2**32, "1", 1.0, None])
def test_a_lookup_of_what_the_column_cannot_hold_is_refused(value):
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(1)])
    with pytest.raises(EncodeError, match="keyed.id: "):
        cache.table("keyed").finder(0)(value)
    assert cache.table("keyed").finder(0)(2) is None
