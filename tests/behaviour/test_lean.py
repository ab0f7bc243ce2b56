"""Subscriptions that keep keys or nothing of their rows, for whoever only follows changes."""

from __future__ import annotations

import pytest

from spacetimedb_sdk import LocalProtocolError, QuerySetState, SubscribeApplied

pytestmark = pytest.mark.anyio

LEAN = pytest.mark.parametrize("cache", ["keys", "none"])


@pytest.fixture(autouse=True)
def needs_v2(protocol):
    if protocol.startswith("v1"):
        pytest.skip("v1 does not say which rows are a subscription's")


def recorded(table):
    log = []
    table.on_insert(lambda ctx, row: log.append(("insert", row.id, row.value)))
    table.on_delete(lambda ctx, row: log.append(("delete", row.id, row.value)))
    table.on_update(lambda ctx, old, new: log.append(("update", new.id, old.value, new.value)))
    return log


@LEAN
async def test_changes_are_told_without_rows_being_kept(client, cache):
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    log, per_event = recorded(conn.db.pair), []
    conn.db.pair.on_changes(lambda ctx, changes: per_event.append(type(ctx.event).__name__))
    sub = await conn.subscribe("SELECT * FROM pair", cache=cache)
    assert (sub.cache, sub.state) == (cache, QuerySetState.LIVE)
    assert sorted(log) == [("insert", 1, 0), ("insert", 2, 0)]
    log.clear()
    await conn.reducers.add_pair(3, "three", 0, 30)
    await conn.reducers.set_pair(3, "three", 0, 31)
    await conn.reducers.remove_pair(3)
    assert log == [("insert", 3, 30), ("update", 3, 30, 31), ("delete", 3, 31)]
    assert per_event == ["SubscribeApplied", "ReducerEvent", "ReducerEvent", "ReducerEvent"]
    log.clear()
    await sub.unsubscribe()
    assert log == [], "nobody knows which rows it had"
    assert list(conn.db.pair) == []


async def test_streams_and_records_of_a_subscription_that_keeps_nothing(client):
    conn = await client()
    await conn.reducers.add_pair(1, "one", 0, 10)
    changes, transactions = conn.db.pair.changes(), conn.transactions()
    await conn.subscribe("SELECT * FROM pair", cache="none")
    await conn.reducers.set_pair(1, "one", 0, 11)
    assert (await anext(changes)).row.value == 10
    assert (await anext(changes)).new.value == 11
    first, second = await anext(transactions), await anext(transactions)
    assert isinstance(first.event, SubscribeApplied)
    assert [change.new.value for change in second.changes["pair"]] == [11]


@LEAN
async def test_reading_rows_that_are_not_kept_is_refused(client, cache):
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    pairs = conn.db.pair
    row = (await conn.query("SELECT * FROM pair WHERE id = 1"))[0]
    assert list(pairs) == [], "before any subscription there is nothing to miss"
    sub = await conn.subscribe("SELECT * FROM pair", cache=cache)
    reads = {
        ": rows": lambda: list(pairs),
        ".find()": lambda: pairs.find(id=1),
        ".filter()": lambda: pairs.filter(group=1),
    }
    for what, read in reads.items():
        with pytest.raises(LocalProtocolError) as caught:
            read()
        assert str(caught.value) == (
            f"pair{what}: expected a live subscription with cache='full', got none that keeps more than "
            f"cache={cache!r}: listen to changes, ask with query(), or subscribe with cache='full'"
        )
    with pytest.raises(LocalProtocolError, match=r"pair: rows"):
        assert row in pairs
    assert list(conn.db.no_key) == [], "other tables are read as ever"
    full = await conn.subscribe("SELECT * FROM pair WHERE id = 1")
    assert ([pair.id for pair in pairs], len(pairs), pairs.keys(), row in pairs) == ([1], 1, [1], True)
    await full.unsubscribe()
    with pytest.raises(LocalProtocolError):
        pairs.find(id=1)
    await sub.unsubscribe()
    assert (list(pairs), pairs.find(id=1), len(pairs)) == ([], None, 0)


async def test_keys_are_counted_and_listed(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    pairs = conn.db.pair
    await conn.subscribe("SELECT * FROM pair WHERE id < 3", cache="keys")
    log = recorded(pairs)
    await conn.subscribe("SELECT * FROM pair", cache="keys")
    assert log == [("insert", 3, 0)], "the others are known"
    assert (len(pairs), pairs.count(), sorted(pairs.keys())) == (3, 3, [1, 2, 3])
    await conn.reducers.remove_pair(1)
    assert sorted(pairs.keys()) == [2, 3]
    assert repr(pairs) == "<table pair: 2 rows>"


async def test_keys_are_what_the_column_holds(client):
    conn = await client()
    keys = conn.db.user.keys
    await conn.subscribe("SELECT * FROM user", cache="keys")
    assert conn.identity in keys()
    await conn.subscribe("SELECT * FROM user")
    assert conn.identity in keys()


async def test_keys_that_are_not_there(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair", "SELECT * FROM no_key", cache="none")
    for count in (lambda: len(conn.db.pair), conn.db.pair.count, conn.db.pair.keys):
        with pytest.raises(LocalProtocolError, match=r"got none that keeps more than cache='none'"):
            count()
    with pytest.raises(LocalProtocolError, match=r"no_key\.keys\(\): expected a table with a primary key"):
        conn.db.no_key.keys()
    assert repr(conn.db.pair) == "<table pair: rows are not kept>"


@LEAN
async def test_beside_a_full_subscription_each_row_is_told_once(client, cache):
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    await conn.subscribe("SELECT * FROM pair WHERE value < 50")
    log = recorded(conn.db.pair)
    await conn.subscribe("SELECT * FROM pair", cache=cache)
    assert log == []
    await conn.reducers.set_pair(1, "k1", 0, 10)
    await conn.reducers.set_pair(1, "k1", 0, 60)
    assert sorted(pair.id for pair in conn.db.pair) == [2]
    await conn.reducers.set_pair(1, "k1", 0, 61)
    await conn.reducers.set_pair(1, "k1", 0, 20)
    await conn.reducers.remove_pair(2)
    assert log == [
        ("update", 1, 0, 10),
        ("update", 1, 10, 60),
        ("update", 1, 60, 61),
        ("update", 1, 61, 20),
        ("delete", 2, 0),
    ]
    assert [pair.value for pair in conn.db.pair] == [20]


async def test_a_policy_that_there_is_not_sends_nothing(client):
    conn = await client()
    with pytest.raises(LocalProtocolError, match="cache: expected 'full', 'keys' or 'none', got 'some'"):
        await conn.subscribe("SELECT * FROM pair", cache="some")
    await conn.subscribe("SELECT * FROM pair", cache="full")


@LEAN
async def test_events_are_the_same_under_every_policy(target, client, cache):
    target.need_own("the real server is older than event tables")
    conn = await client()
    await conn.subscribe("SELECT * FROM notice", cache=cache)
    log = []
    conn.db.notice.on_insert(lambda ctx, row: log.append((row.text, len(ctx.db.notice), list(ctx.db.notice))))
    await conn.reducers.notify("fire")
    assert log == [("fire", 0, [])]
