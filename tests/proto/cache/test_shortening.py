"""Rows that come with more columns than are known: the cache is as if those columns did not exist."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.cache.table import TableCache
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.steps import STEP, finish
from spacetimedb_proto.wire.messages import EventTableRows, TableUpdate
from spacetimedb_proto.wire.rowlist import RowList

from .test_cache import HISTORIES, SCHEMA, check_history, keyed, plain, rows_of, snapshot, transact, update


@pytest.fixture(params=[True, False], ids=["lazy", "eager"], autouse=True)
def is_lazy(request, monkeypatch):
    monkeypatch.setattr(TableCache, "is_lazy", request.param)


@pytest.fixture
def cache():
    return shortening("keyed", "plain", "noise")


def shortening(*names):
    cache = Cache(SCHEMA)
    cache.shorten(names)
    return cache


@HISTORIES
@pytest.mark.parametrize("size", [3, None], ids=["fixed", "of any length"])
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_is_in_other_columns(name, rows, key, size, data):
    """Versions of a row that differ there alone are one row, which the model has twice, or replaces by itself."""
    tails = st.binary(min_size=size or 0, max_size=size or 5)
    check_history(shortening(name), name, rows, key, data, sent=lambda rows: [row + data.draw(tails) for row in rows])


def test_another_value_in_another_column_is_no_change(cache):
    snapshot(cache, 1, "keyed", [keyed(1, 2, 3) + b"old", keyed(2, 2, 3) + b"old"])
    changes = transact(cache, 1, "keyed", [keyed(1, 2, 3) + b"new"], [keyed(1, 2, 3) + b"old"])
    assert not changes["keyed"]
    changes = transact(cache, 1, "keyed", [keyed(1, 2, 4) + b"new"], [keyed(1, 2, 3) + b"new"])
    assert changes["keyed"].updates == [(keyed(1, 2, 3), keyed(1, 2, 4))]


def test_rows_that_are_alike_but_for_another_column_are_counted(cache):
    deltas = Deltas()
    deltas.insert(1, rows_of("plain", [plain(1, "a") + b"x", plain(1, "a") + b"y"]), {"plain"})
    assert cache.apply(deltas)["plain"].inserts == [plain(1, "a")]
    assert len(cache["plain"]) == 1
    assert cache["plain"].raw() == {plain(1, "a"): 2}
    assert not transact(cache, 1, "plain", [], [plain(1, "a") + b"y"])["plain"]
    assert transact(cache, 1, "plain", [], [plain(1, "a") + b"x"])["plain"].deletes == [plain(1, "a")]


def test_a_list_longer_than_a_step(cache):
    count = 2 * STEP + 1
    snapshot(cache, 1, "keyed", [keyed(n) + b"\1" for n in range(count)])
    snapshot(cache, 1, "plain", [plain(n % 100, str(n)) + b"\1" for n in range(count)])
    assert cache["keyed"].raw() == dict.fromkeys(map(keyed, range(count)), 1)
    assert cache["plain"].raw() == {plain(n % 100, str(n)): 1 for n in range(count)}


def test_events(cache):
    deltas = Deltas()
    deltas.update(1, [TableUpdate("noise", [EventTableRows(RowList.of([plain(1, "a") + b"xyz"]))])])
    assert cache.apply(deltas)["noise"].inserts == [plain(1, "a")]


@pytest.mark.parametrize("policy", ["keys", "none"])
def test_rows_that_are_not_stored(cache, policy):
    def deltas(inserts, deletes=()):
        made = Deltas({1: policy})
        made.update(1, update("keyed", inserts, deletes))
        return made

    first = Deltas({1: policy})
    first.insert(1, rows_of("keyed", [keyed(1) + b"old"]))
    assert cache.apply(first)["keyed"].inserts == [keyed(1)]
    assert not cache.apply(deltas([keyed(1) + b"new"], [keyed(1) + b"old"]))["keyed"]
    change = cache.apply(deltas([keyed(1, 5) + b"new"], [keyed(1) + b"new"]))["keyed"]
    assert change.updates == [(keyed(1), keyed(1, 5))]


def test_what_is_kept_is_compared_with_what_comes_back(cache):
    kept = Cache(SCHEMA)
    snapshot(kept, 1, "keyed", [keyed(1), keyed(2)])
    kept.shorten(["keyed"])
    deltas = Deltas()
    deltas.insert(1, rows_of("keyed", [keyed(1) + b"\7", keyed(3) + b"\7"]))
    change = finish(kept.renewing(deltas))["keyed"]
    assert (change.inserts, change.deletes) == ([keyed(3)], [keyed(2)])


def test_only_these_tables(cache):
    cache.shorten(["plain"])
    assert set(cache.grown) == {"plain"}
    with pytest.raises(RemoteProtocolError, match="table keyed: expected rows of 6 bytes"):
        snapshot(cache, 1, "keyed", [keyed(1) + b"x"])


@pytest.mark.parametrize(
    ("name", "row"), [("keyed", keyed(1)[:5]), ("plain", plain(1, "abc")[:-1]), ("plain", plain(1, "abc")[:3])]
)
def test_a_row_that_ends_before_the_known_columns_do(cache, name, row):
    snapshot(cache, 1, name, [])
    with pytest.raises(RemoteProtocolError, match=f"table {name}: .*expected"):
        transact(cache, 1, name, [row])
    assert Counter(cache[name].raw()) == Counter()
