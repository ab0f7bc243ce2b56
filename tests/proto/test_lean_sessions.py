"""Sessions whose query sets keep keys or nothing: which those are, how they end, and what can be read beside them."""

from __future__ import annotations

import pytest

from spacetimedb_proto import LocalProtocolError
from spacetimedb_proto.events import BatchApplied, SubscriptionFailed, Transaction, UnsubscribeApplied
from spacetimedb_proto.query_sets import QuerySet, QuerySets
from spacetimedb_proto.states import QuerySetInput
from spacetimedb_proto.wire import messages as m

from .test_client import Pair, cached, events, pk, pk_rows, pk_update

TABLE = "pk_u_64"


def lean(pair, cache, rows=()):
    query_set = pair.client.subscribe(f"SELECT * FROM {TABLE}", cache=cache)
    *_, request = pair.asked()
    (applied,) = pair.say(m.SubscribeApplied(request.request_id, query_set, pk_rows(rows)))
    return query_set, applied.changes[TABLE]


def known(pair):
    return sorted(pair.client.cache.table(TABLE).lean_keys())


@pytest.mark.parametrize("wrong", ["ful", "", None, 0, ["keys"]])
def test_a_policy_that_there_is_not_sends_nothing(wrong):
    pair = Pair()
    with pytest.raises(LocalProtocolError) as caught:
        pair.client.subscribe("SELECT * FROM pk_u_64", cache=wrong)
    assert str(caught.value) == f"cache: expected 'full', 'keys' or 'none', got {wrong!r}"
    assert pair.client.payloads_to_send() == []
    assert len(pair.client.query_sets) == 0


@pytest.mark.parametrize("protocol", ["v1.bsatn.spacetimedb", "v1.json.spacetimedb"])
def test_v1_keeps_all_rows(protocol):
    pair = Pair(protocol)
    for cache in ("keys", "none"):
        with pytest.raises(LocalProtocolError) as caught:
            pair.client.subscribe("SELECT * FROM pk_u_64", cache=cache)
        assert str(caught.value) == f"cache: {cache!r} needs v2.bsatn or v3.bsatn, the server chose {protocol}"
    assert pair.client.payloads_to_send() == []
    pair.client.subscribe("SELECT * FROM pk_u_64", cache="full")


@pytest.mark.parametrize(("cache", "keys"), [("keys", [1, 2]), ("none", [])])
def test_rows_are_told_and_not_stored(cache, keys):
    pair = Pair()
    query_set, first = lean(pair, cache, [pk(1), pk(2)])
    assert [row.n for row in first.inserted()] == [1, 2]
    assert (cached(pair.client), known(pair)) == ({}, keys)
    (event,) = pair.say(pk_update(query_set, [pk(1, 5)], [pk(1)]))
    assert [(old.data, new.data) for old, new in event.changes[TABLE].updated()] == [(0, 5)]
    assert (cached(pair.client), known(pair)) == ({}, keys)


@pytest.mark.parametrize("cache", ["keys", "none"])
def test_a_run_of_alike_transactions_is_told_row_by_row(cache):
    pair = Pair()
    full, _ = pair.subscribe([pk(0)])
    query_set, _ = lean(pair, cache, [pk(1)])
    pair.server.send(*(pk_update(query_set, [pk(1, n + 1)], [pk(1, n)]) for n in range(5)))
    pair.server.send(*(pk_update(full, [pk(0, n + 1)], [pk(0, n)]) for n in range(5)))
    for payload in pair.server.payloads_to_send():
        pair.client.receive(payload)
    told = [event.changes[TABLE].updates for event in events(pair.client)]
    assert told == [[(pk(row, n), pk(row, n + 1))] for row in (1, 0) for n in range(5)]
    assert cached(pair.client) == {TABLE: {pk(0, 5): 1}}


@pytest.mark.parametrize("rows", [None, [pk(1), pk(2)], [pk(77)]], ids=["no rows", "its rows", "other rows"])
@pytest.mark.parametrize(("cache", "left"), [("keys", [2, 3]), ("none", [2, 3])])
def test_an_unsubscribe_tells_nothing(cache, left, rows):
    pair = Pair()
    query_set, _ = lean(pair, cache, [pk(1), pk(2)])
    lean(pair, "keys", [pk(2), pk(3)])
    pair.client.unsubscribe(query_set)
    (request,) = pair.asked()
    (during,) = pair.say(pk_update(query_set, [pk(4)]))
    assert during.changes[TABLE].inserts == [pk(4)]
    answer = None if rows is None else pk_rows(rows)
    (ended,) = pair.say(m.UnsubscribeApplied(request.request_id, query_set, answer))
    assert isinstance(ended, UnsubscribeApplied)
    assert not any(ended.changes.values())
    assert known(pair) == left
    assert query_set not in pair.client.query_sets.lean


@pytest.mark.parametrize("cache", ["keys", "none"])
def test_a_set_that_dies_tells_nothing(cache):
    pair = Pair()
    pair.subscribe([pk(9)])
    query_set, _ = lean(pair, cache, [pk(1)])
    (died,) = pair.say(m.SubscriptionError(None, query_set, "view failed"))
    assert isinstance(died, SubscriptionFailed)
    assert not any(died.changes.values())
    assert (cached(pair.client), known(pair)) == ({TABLE: {pk(9): 1}}, [])
    (late,) = pair.say(pk_update(query_set, [pk(3)]))
    assert not any(late.changes.values())


def test_a_set_that_is_refused_is_forgotten():
    pair = Pair()
    query_set = pair.client.subscribe("SELECT * FROM nope", cache="none")
    (request,) = pair.asked()
    (failed,) = pair.say(m.SubscriptionError(request.request_id, query_set, "no such table"))
    assert isinstance(failed, SubscriptionFailed)
    assert pair.client.query_sets.lean == {}


def test_sets_of_a_batch_follow_their_policy():
    pair = Pair()
    sets = pair.client.query_sets
    sets.start(5, [(2, ["a"]), (3, ["b"])], cache="keys")
    results = [m.SubscribeSetResult(2, pk_rows([pk(1)])), m.SubscribeSetResult(3, pk_rows([pk(1), pk(2)]))]
    (event,) = pair.say(m.SubscribeBatchApplied(5, results))
    assert isinstance(event, BatchApplied)
    assert event.changes[TABLE].inserts == [pk(1), pk(2)]
    assert (cached(pair.client), known(pair), sets.kept(TABLE)) == ({}, [1, 2], "keys")


def test_what_is_kept_of_a_table():
    pair = Pair()
    kept = pair.client.query_sets.kept
    assert kept(TABLE) == "full"
    asked = pair.client.subscribe(f"SELECT * FROM {TABLE}", cache="none")
    assert kept(TABLE) == "full", "nothing is live"
    (request,) = pair.asked()
    pair.say(m.SubscribeApplied(request.request_id, asked, pk_rows([])))
    assert (kept(TABLE), kept("one_u_8")) == ("none", "full")
    keys, _ = lean(pair, "keys")
    assert kept(TABLE) == "keys"
    full, _ = pair.subscribe()
    assert kept(TABLE) == "full"
    for query_set, left in ((full, "keys"), (keys, "none"), (asked, "full")):
        pair.say(m.SubscriptionError(None, query_set, "over"))
        assert kept(TABLE) == left


def test_rows_name_tables_that_queries_do_not():
    pair = Pair()
    query_set = pair.client.subscribe("something new", cache="none")
    (request,) = pair.asked()
    pair.say(m.SubscribeApplied(request.request_id, query_set, m.QueryRows([])))
    assert pair.client.query_sets.kept(TABLE) == "full"
    (event,) = pair.say(pk_update(query_set, [pk(1)]))
    assert isinstance(event, Transaction)
    assert pair.client.query_sets.kept(TABLE) == "none"


@pytest.mark.parametrize(
    ("query", "table"),
    [
        ("SELECT * FROM a", "a"),
        ("select * from a;", "a"),
        ('SELECT * FROM "a b" WHERE x = 1', "a b"),
        ("SELECT a.* FROM a JOIN b ON a.x = b.x", "a"),
        ("SELECT b.* FROM a JOIN b ON a.x = b.x WHERE a.y AND b.z = 1", "b"),
        ("SELECT o.*\nFROM a\nJOIN b AS o ON a.x = o.x", "b"),
        ("SELECT o.* FROM a o JOIN b ON o.x = b.x", "a"),
        ('SELECT "o".* FROM "a b" AS "o" JOIN c ON o.x = c.x', "a b"),
        ("SELECT a.x FROM a", None),
        ("SELECT * FROM auth.sessions", "auth.sessions"),
        ("SELECT a.b.* FROM a.b JOIN c ON c.id = a.b.id", "a.b"),
        ('SELECT * FROM "a""b"', 'a"b'),
        ("SELECT * FROM t WHERE text = 'JOIN q t'", "t"),
        ("", None),
    ],
)
def test_the_table_that_a_query_selects_from(query, table):
    assert QuerySet(1, (query,)).tables == ({table} if table else set())


def test_a_reused_id_keeps_the_policy_of_the_live_set():
    sets = QuerySets()
    sets.start(1, [(5, ["SELECT * FROM a"])])
    sets.start(2, [(5, ["SELECT * FROM a"])], cache="none")
    assert sets.lean == {}
    query_set, how = sets.refused(2)
    assert (query_set.cache, how) == ("none", QuerySetInput.REFUSED)
    assert query_set not in sets
