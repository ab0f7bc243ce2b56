"""Streams whose consumer is too slow."""

from __future__ import annotations

import attrs
import pytest

from spacetimedb_sdk import Deleted, Inserted, LocalProtocolError, ReducerEvent, StreamOverflow, Updated

pytestmark = pytest.mark.anyio


def unread(stream):
    items = []
    while (item := stream.next_nowait()) is not None:
        items.append(item)
    return items


async def test_a_stream_that_overflows_ends_after_what_it_recorded(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    streams = conn.db.pair.changes(buffer=2), conn.transactions(buffer=2)
    for n in range(3):
        await conn.reducers.add_pair(n, f"k{n}", 0, 0)
    for stream, what in zip(streams, ("pair.changes", "transactions"), strict=True):
        assert len([await anext(stream) for _ in range(2)]) == 2
        with pytest.raises(StreamOverflow, match=rf"{what}\(\): the consumer is more than 2 items behind"):
            await anext(stream)
    await conn.reducers.add_pair(3, "k3", 0, 0)


async def test_dropping_keeps_the_newest(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    changes = conn.db.pair.changes(buffer=2, overflow="drop_old")
    transactions = conn.transactions(buffer=1, overflow="drop_old")
    for n in range(4):
        await conn.reducers.add_pair(n, f"k{n}", 0, 0)
    assert repr(changes) == "<pair.changes(): 2 unread, overflow='drop_old', 2 dropped>"
    assert [(await anext(changes)).row.id for _ in range(2)] == [2, 3]
    assert [change.row.id for change in (await anext(transactions)).changes["pair"]] == [3]
    assert (changes.dropped, transactions.dropped) == (2, 3)
    await conn.reducers.remove_pair(3)
    assert isinstance(await anext(changes), Deleted)


async def test_changes_of_one_key_are_coalesced(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    await conn.subscribe("SELECT * FROM pair")
    one, two, three = (conn.db.pair.find(id=n) for n in (1, 2, 3))
    stream = conn.db.pair.changes(buffer=1, overflow="coalesce")
    await conn.reducers.set_pair(1, "k1", 1, 10)
    await conn.reducers.set_pair(1, "k1", 1, 11)
    await conn.reducers.remove_pair(2)
    await conn.reducers.set_pair(3, "k3", 3, 1)
    await conn.reducers.add_pair(4, "k4", 4, 0)
    await conn.reducers.set_pair(3, "k3", 3, 0)
    await conn.reducers.add_pair(2, "k2", 2, 5)
    await conn.reducers.remove_pair(4)
    assert repr(stream) == "<pair.changes(): 2 unread, overflow='coalesce', 6 coalesced>"
    assert unread(stream) == [Updated(one, attrs.evolve(one, value=11)), Updated(two, attrs.evolve(two, value=5))]
    await conn.reducers.set_pair(3, "k3", 3, 2)
    assert await anext(stream) == Updated(three, attrs.evolve(three, value=2))


async def test_changes_of_one_row_are_coalesced_where_there_is_no_key(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM no_key")
    stream = conn.db.no_key.changes(buffer=1, overflow="coalesce")
    for n, text in ((1, "x"), (1, "y"), (2, "x")):
        await conn.reducers.add_no_key(n, text)
    await conn.reducers.remove_no_key(1)
    (change,) = unread(stream)
    assert isinstance(change, Inserted)
    assert (change.row.n, change.row.text) == (2, "x")


async def test_transactions_are_coalesced(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair", "SELECT * FROM no_key")
    stream = conn.transactions(buffer=2, overflow="coalesce")
    await conn.reducers.add_pairs(1, 3)
    await conn.reducers.bump_pairs()
    await conn.reducers.add_no_key(1, "x")
    await conn.reducers.remove_pair(2)
    (record,) = unread(stream)
    assert record.merged == 4
    assert isinstance(record.event, ReducerEvent)
    assert record.event.reducer == "remove_pair"
    assert list(record.changes) == ["no_key", "pair"]
    pairs = record.changes["pair"]
    assert all(isinstance(change, Inserted) for change in pairs)
    assert {change.row for change in pairs} == set(conn.db.pair)
    await conn.reducers.set_pair(1, "k1", 1, 7)
    record = await anext(stream)
    assert (record.merged, [type(change) for change in record.changes["pair"]]) == (1, [Updated])


async def test_events_are_never_merged(target, client, protocol):
    if protocol.startswith("v1"):
        pytest.skip("v1 has no event tables")
    target.need_own("the real server is older than event tables")
    conn = await client()
    await conn.subscribe("SELECT * FROM notice")
    with pytest.raises(LocalProtocolError, match=r"notice is an event table .*: use 'error' or 'drop_old'"):
        conn.db.notice.changes(overflow="coalesce")
    changes = conn.db.notice.changes(buffer=2, overflow="drop_old")
    transactions = conn.transactions(buffer=1, overflow="coalesce")
    for text in ("ready", "fire", "fire"):
        await conn.reducers.notify(text)
    assert [change.row.text for change in unread(changes)] == ["fire", "fire"]
    (record,) = unread(transactions)
    assert [change.row.text for change in record.changes["notice"]] == ["ready", "fire", "fire"]


async def test_what_no_stream_can_be_is_said_at_the_call(client):
    conn = await client()
    for record, what in ((conn.db.pair.changes, "pair.changes()"), (conn.transactions, "transactions()")):
        with pytest.raises(LocalProtocolError) as caught:
            record(buffer=0)
        assert str(caught.value) == f"{what}: expected a buffer of at least 1 item, got 0"
        with pytest.raises(LocalProtocolError, match="expected 'error', 'coalesce' or 'drop_old', got 'block'"):
            record(overflow="block")
