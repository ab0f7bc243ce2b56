"""Subscriptions: applied, refused, overlapping, ended, taken back."""

from __future__ import annotations

import anyio
import pytest

from spacetimedb_sdk import (
    Deleted,
    EncodeError,
    Inserted,
    QuerySetState,
    SubscribeApplied,
    SubscriptionError,
    SubscriptionFailed,
    UnsubscribeApplied,
    Updated,
    sql,
)

pytestmark = pytest.mark.anyio


async def test_rows_are_there_once_it_is_applied(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 5)
    assert len(conn.db.pair) == 0
    sub = await conn.subscribe("SELECT * FROM pair")
    assert sub.state is QuerySetState.LIVE
    assert sub.queries == ("SELECT * FROM pair",)
    assert sorted(pair.id for pair in conn.db.pair) == [1, 2, 3, 4, 5]
    assert conn.db.pair.count() == len(conn.db.pair) == 5


async def test_an_empty_result_is_applied_too(client):
    conn = await client()
    sub = await conn.subscribe("SELECT * FROM pair WHERE id = 99", "SELECT * FROM no_key")
    assert sub.state is QuerySetState.LIVE
    assert list(conn.db.pair) == []


async def test_a_bad_query_is_its_own_subscriptions_error(client):
    conn = await client()
    good = await conn.subscribe("SELECT * FROM pair")
    with pytest.raises(SubscriptionError, match="nope"):
        await conn.subscribe("SELECT * FROM nope")
    with pytest.raises(SubscriptionError):
        await conn.subscribe("SELEC")
    assert good.state is QuerySetState.LIVE
    await conn.reducers.add_pair(1, "one", 0, 10)
    assert conn.db.pair.find(id=1).key == "one"


async def test_a_private_table_cannot_be_subscribed(client):
    conn = await client()
    with pytest.raises(SubscriptionError, match="secret"):
        await conn.subscribe("SELECT * FROM secret")


async def test_a_refused_subscription_nobody_awaits_is_reported(host, client):
    host.need("later")
    conn = await client()
    errors, ended = [], []
    conn.on_error(lambda error, where: errors.append(type(error)))
    sub = conn.subscribe("SELECT * FROM nope")
    sub.on_ended(lambda ctx: ended.append(type(ctx.event)))
    del sub
    await conn.reducers.clear()
    assert errors == [SubscriptionError]
    assert ended == [SubscriptionFailed]


async def test_overlapping_subscriptions_count(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 4)
    low = await conn.subscribe("SELECT * FROM pair WHERE id < 4")
    high = await conn.subscribe("SELECT * FROM pair WHERE id > 1")
    log = []
    conn.db.pair.on_delete(lambda ctx, row: log.append(row.id))
    assert sorted(pair.id for pair in conn.db.pair) == [1, 2, 3, 4]
    await low.unsubscribe()
    assert log == [1], "rows that the other subscription holds stay"
    await high.unsubscribe()
    assert sorted(log) == [1, 2, 3, 4]
    assert len(conn.db.pair) == 0


async def test_a_second_subscription_fires_only_for_what_is_new(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    await conn.subscribe("SELECT * FROM pair WHERE id < 3")
    log = []
    conn.db.pair.on_insert(lambda ctx, row: log.append((row.id, type(ctx.event))))
    await conn.subscribe("SELECT * FROM pair")
    assert log == [(3, SubscribeApplied)]


async def test_one_query_set_may_match_a_row_twice(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    sub = await conn.subscribe("SELECT * FROM pair WHERE id < 3", "SELECT * FROM pair WHERE id > 1")
    assert sorted(pair.id for pair in conn.db.pair) == [1, 2, 3]
    await conn.reducers.remove_pair(2)
    assert sorted(pair.id for pair in conn.db.pair) == [1, 3]
    await sub.unsubscribe()
    assert len(conn.db.pair) == 0


async def test_a_row_that_moves_between_queries(client):
    conn = await client()
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.subscribe("SELECT * FROM pair WHERE value < 50")
    await conn.subscribe("SELECT * FROM pair WHERE value > 40")
    stream = conn.db.pair.changes()
    for value in (45, 60, 10):
        await conn.reducers.set_pair(1, "one", 0, value)
        change = await anext(stream)
        assert isinstance(change, Updated)
        assert change.new.value == value
    assert conn.db.pair.find(id=1).value == 10


async def test_callbacks_of_a_subscription_come_before_its_rows(host, client):
    host.need("later")
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    log = []
    conn.db.pair.on_insert(lambda ctx, row: log.append(row.id))
    conn.db.pair.on_delete(lambda ctx, row: log.append(-row.id))
    sub = conn.subscribe("SELECT * FROM pair")
    sub.on_applied(lambda ctx: log.append((type(ctx.event), len(ctx.db.pair))))
    sub.on_ended(lambda ctx: log.append((type(ctx.event), len(ctx.db.pair))))
    await sub
    await sub.unsubscribe()
    applied, ended = log.index((SubscribeApplied, 2)), log.index((UnsubscribeApplied, 0))
    assert (applied, ended, len(log)) == (0, 3, 6)
    assert sorted(log[1:3]) == [1, 2]
    assert sorted(log[4:]) == [-2, -1]


async def test_late_subscription_listeners_are_told_at_once(client):
    conn = await client()
    sub = await conn.subscribe("SELECT * FROM pair")
    log = []
    sub.on_applied(lambda ctx: log.append("applied"))
    await sub.unsubscribe()
    sub.on_ended(lambda ctx: log.append("ended"))
    assert log == ["applied", "ended"]


async def test_unsubscribing_early_late_and_twice(host, client):
    host.need("later")
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    early = conn.subscribe("SELECT * FROM pair")
    await early.unsubscribe()
    assert early.state is QuerySetState.ENDED
    assert len(conn.db.pair) == 0
    sub = await conn.subscribe("SELECT * FROM pair")
    first, second = sub.unsubscribe(), sub.unsubscribe()
    await first
    await second
    await sub.unsubscribe()
    assert len(conn.db.pair) == 0


async def test_cancelling_a_waiting_subscribe_takes_it_back(host, client):
    host.need("cancel")
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.bump_pairs()
    await conn.query("SELECT * FROM pair")
    assert len(conn.db.pair) == 0


async def test_another_client_sees_the_changes(client):
    writer, reader = await client(), await client()
    await reader.subscribe("SELECT * FROM pair")
    stream = reader.db.pair.changes()
    await writer.reducers.add_pair(1, "one", 0, 10)
    await writer.reducers.set_pair(1, "one", 0, 11)
    await writer.reducers.remove_pair(1)
    inserted, updated, deleted = [await anext(stream) for _ in range(3)]
    assert isinstance(inserted, Inserted)
    assert isinstance(updated, Updated)
    assert isinstance(deleted, Deleted)
    assert (inserted.row.value, updated.old.value, updated.new.value, deleted.row.value) == (10, 10, 11, 11)


async def test_safe_sql_and_the_query_builder(client):
    conn = await client()
    await conn.reducers.add_pair(1, "it's", 0, 10)
    await conn.reducers.add_pair(2, "plain", 0, 20)
    await conn.subscribe(sql("SELECT * FROM pair WHERE key = {}", "it's"))
    assert [pair.id for pair in conn.db.pair] == [1]
    rows = await conn.query(conn.db.pair.where(lambda p: (p.value > 5) & ((p.key == "plain") | (p.id == 99))))
    assert [pair.id for pair in rows] == [2]


async def test_conditions_that_cannot_be_are_refused_here(client):
    conn = await client()
    for wrong, message in (
        (lambda p: p.id == "x", r"pair\.id: expected u32, got 'x'"),
        (lambda p: p.id == -1, r"pair\.id: expected u32, got -1"),
        (lambda p: p.key == None, r"pair\.key: expected a value that SQL has a literal for, got None"),  # noqa: E711
    ):
        with pytest.raises(EncodeError, match=message):
            conn.db.pair.where(wrong)


async def test_what_is_no_query_is_refused_here(client):
    conn = await client()
    with pytest.raises(EncodeError, match="query: expected a query's text, each as an argument of its own, got"):
        await conn.subscribe(["SELECT * FROM pair"])
    with pytest.raises(EncodeError, match=r"query: expected a query's text, such as table.where\(\) makes, got <table"):
        await conn.subscribe(conn.db.pair)


async def test_identities_in_queries(client):
    conn = await client()
    await conn.subscribe(conn.db.user.where(lambda user: user.identity == conn.identity))
    assert conn.db.user.find(identity=conn.identity).online is True
    assert len(conn.db.user) == 1


async def test_all_tables_at_once(client):
    conn = await client()
    await conn.reducers.add_pair(1, "one", 0, 10)
    sub = await conn.subscribe_to_all_tables()
    public = {table.name for table in conn.schema.tables.values() if table.is_public}
    if conn.protocol.startswith("v1."):
        public -= {table.name for table in conn.schema.tables.values() if table.is_event}
    assert set(sub.queries) == {f'SELECT * FROM "{name}"' for name in public}
    assert [pair.key for pair in conn.db.pair] == ["one"]
    assert conn.db.user.find(identity=conn.identity).online
