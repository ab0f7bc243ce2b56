"""Subscriptions that move to other queries."""

from __future__ import annotations

import gc

import pytest

from spacetimedb_sdk import LocalProtocolError, SubscriptionError

pytestmark = pytest.mark.anyio

LOW, HIGH, ALL = (f"SELECT * FROM pair WHERE value {where}" for where in ("< 30", ">= 20", ">= 0"))


@pytest.fixture
async def conn(client):
    conn = await client()
    for n in range(1, 6):
        await conn.reducers.add_pair(n, str(n), 0, 10 * n)
    return conn


@pytest.fixture
def told(conn):
    """What row callbacks were told, in order."""
    told = []
    conn.db.pair.on_insert(lambda ctx, row: told.append(f"+{row.key}"))
    conn.db.pair.on_delete(lambda ctx, row: told.append(f"-{row.key}"))
    return told


def keys(conn):
    return sorted(pair.key for pair in conn.db.pair)


async def test_only_the_difference_is_told(conn, told):
    sub = await conn.subscribe(LOW)
    assert keys(conn) == ["1", "2"]
    told.clear()
    assert await sub.replace(HIGH) is sub
    assert sorted(told[:3]) == ["+3", "+4", "+5"]
    assert told[3:] == ["-1"], "the new rows come before the old ones leave, and of row 2 nobody hears"
    assert keys(conn) == ["2", "3", "4", "5"]
    assert (sub.state, sub.queries) == ("live", (HIGH,))
    await sub.unsubscribe()
    assert keys(conn) == []


async def test_nobody_hears_of_an_error(conn):
    errors = []
    conn.on_error(lambda error, where: errors.append((error, where)))
    sub = await conn.subscribe(LOW)
    await sub.replace(HIGH)
    await sub.replace(ALL)
    await sub.unsubscribe()
    gc.collect()
    assert errors == []


async def test_listeners_and_the_handle_stay(conn):
    sub = await conn.subscribe(LOW)
    applied, ended = [], []
    sub.on_applied(lambda ctx: applied.append(sub.queries))
    sub.on_ended(ended.append)
    await sub.replace(HIGH)
    assert len(applied) == 2
    assert ended == []
    await sub.unsubscribe()
    assert len(ended) == 1


async def test_a_refusal_changes_nothing(conn, told):
    sub = await conn.subscribe(LOW)
    told.clear()
    with pytest.raises(SubscriptionError):
        await sub.replace("SELECT * FROM nothing_of_the_kind")
    assert (sub.state, sub.queries, told) == ("live", (LOW,), [])
    await sub.replace(HIGH)
    assert keys(conn) == ["2", "3", "4", "5"]


async def test_only_the_latest_queries_count(host, conn):
    host.need("later")
    sub = await conn.subscribe(LOW)
    first, second, third = sub.replace(HIGH), sub.replace(ALL), sub.replace(LOW, HIGH)
    assert await third is sub
    assert await first is sub
    assert await second is sub
    assert sub.queries == (LOW, HIGH)
    assert keys(conn) == ["1", "2", "3", "4", "5"]
    await sub.unsubscribe()
    assert keys(conn) == []


async def test_before_it_is_applied(host, conn):
    host.need("later")
    sub = conn.subscribe(LOW)
    await sub.replace(HIGH)
    assert await sub is sub
    assert keys(conn) == ["2", "3", "4", "5"]


async def test_unsubscribed_meanwhile(host, conn):
    host.need("later")
    sub = await conn.subscribe(LOW)
    replacing = sub.replace(HIGH)
    await sub.unsubscribe()
    with pytest.raises(SubscriptionError, match="unsubscribed before it was replaced"):
        await replacing
    await conn.reducers.add_pair(9, "9", 0, 90)
    assert keys(conn) == []
    with pytest.raises(LocalProtocolError, match="expected a subscription that goes on"):
        sub.replace(HIGH)


async def test_the_policy_stays(conn, protocol):
    if protocol.startswith("v1"):
        pytest.skip("v1 does not say which rows are a subscription's")
    sub = await conn.subscribe(LOW, cache="keys")
    await sub.replace(HIGH)
    assert sub.cache == "keys"
    assert sorted(conn.db.pair.keys()) == [2, 3, 4, 5]
