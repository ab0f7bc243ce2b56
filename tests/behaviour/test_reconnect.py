"""A connection that is lost and comes back, with a server of our own to lose it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from collections import Counter

import anyio
import pytest

from spacetimedb_sdk import (
    AuthenticationError,
    Backoff,
    ConnectionLost,
    Deleted,
    Inserted,
    NotSent,
    OutcomeUnknown,
    SchemaMismatch,
    SessionState,
    SubscribeApplied,
    TokenFile,
)
from spacetimedb_sdk.testing import Index, Module, PrimaryKey, Unique, i32, u32
from tests.behaviour_module import behaviour

pytestmark = pytest.mark.anyio

SOON = Backoff(initial=0.01, maximum=0.05)


@pytest.fixture
def server(target):
    return target.need_own("the link is cut")


@pytest.fixture
async def conn(client):
    return await client(reconnect=SOON)


@pytest.fixture
async def other(client):
    """Somebody else, who changes rows while `conn` is away."""
    return await client(reconnect=SOON)


async def state(conn, wanted):
    """Wait until the connection stands there."""
    async with conn.states() as states:
        if conn.state is not wanted:
            async for change in states:
                if change.state is wanted:
                    return


async def test_what_was_missed_is_told_as_net_differences(server, conn, other):
    sub = await conn.subscribe("SELECT * FROM pair")
    for n, key in enumerate(("one", "two", "three")):
        await conn.reducers.add_pair(n, key, 0, n)
    told, stream = [], conn.db.pair.changes()
    conn.db.pair.on_insert(lambda ctx, row: told.append(ctx.event))
    applied = []
    sub.on_applied(lambda ctx: applied.append(type(ctx.event)))
    before = conn.connection_id, conn.identity
    server.drop_clients()
    await state(conn, SessionState.WAITING)
    assert conn.is_stale
    assert sub.state == "stale"
    assert {pair.key for pair in conn.db.pair} == {"one", "two", "three"}, "stale rows stay readable"
    await state(conn, SessionState.CONNECTED)
    assert not conn.is_stale
    assert sub.state == "live"
    assert (conn.connection_id != before[0], conn.identity) == (True, before[1])
    assert applied == [SubscribeApplied, SubscribeApplied], "once at once, and once when it came back"
    assert told == []
    await conn.reducers.add_pair(9, "nine", 0, 9)
    assert isinstance(await anext(stream), Inserted), "streams survive, and nothing unchanged was told"


async def test_the_last_ending_and_the_next_attempt_can_be_seen(server, conn):
    seen = []
    conn.on_disconnect(lambda ctx: seen.append(ctx.event))
    server.close_clients(1001, "module exited")
    await state(conn, SessionState.WAITING)
    await state(conn, SessionState.CONNECTED)
    [event] = seen
    assert (event.code, event.reason, event.retry.attempt) == (1001, "module exited", 1)
    assert isinstance(event.error, ConnectionLost)
    assert conn.last_ending == event
    assert conn.statistics().links == 2


async def test_calls_without_a_link(server, conn):
    sent = conn.reducers.add_pair(1, "one", 0, 10)
    server.drop_clients()
    with pytest.raises((OutcomeUnknown, NotSent)):
        await sent
        await conn.reducers.clear()
    await state(conn, SessionState.CONNECTED)
    server.drop_clients()
    await state(conn, SessionState.WAITING)
    with pytest.raises(NotSent, match="no connection at the moment"):
        await conn.reducers.add_pair(2, "two", 0, 20)
    with pytest.raises(ConnectionLost, match="no connection at the moment"):
        await conn.query("SELECT * FROM pair")
    kept = conn.reducers.add_pair.options(retry=True)(3, "three", 0, 30)
    sub = await conn.subscribe("SELECT * FROM pair")
    await kept
    assert "three" in {pair.key for pair in conn.db.pair}
    assert sub.state == "live"


async def test_unsubscribing_without_a_link_is_over_at_once(server, conn):
    sub = await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    deleted = []
    conn.db.pair.on_delete(lambda ctx, row: deleted.append(row.key))
    server.drop_clients()
    await state(conn, SessionState.WAITING)
    await sub.unsubscribe()
    assert deleted == ["one"]
    assert len(conn.db.pair) == 0
    await state(conn, SessionState.CONNECTED)
    await conn.reducers.add_pair(2, "two", 0, 20)
    assert len(conn.db.pair) == 0


def footprint():
    """What could leak: this SDK's objects by type, tasks, this SDK's threads, open files."""
    gc.collect()
    kinds = Counter(
        type(each).__qualname__ for each in gc.get_objects() if str(type(each).__module__).startswith("spacetimedb")
    )
    loop_tasks = 0 if "trio" in sys.modules and not asyncio._get_running_loop() else len(asyncio.all_tasks())
    files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    ours = [thread.name for thread in threading.enumerate() if thread.name.startswith(("spacetimedb", "look up"))]
    return kinds, loop_tasks, ours, files


async def test_a_hundred_losses_in_a_row_leave_nothing_behind(server, conn, caplog):
    caplog.set_level(logging.CRITICAL)  # pytest keeps what is logged
    sub = await conn.subscribe("SELECT * FROM pair")
    seen = []
    conn.db.pair.on_insert(lambda ctx, row: seen.append(row.id))

    async def lose(n):
        server.drop_clients()
        await state(conn, SessionState.WAITING)
        await state(conn, SessionState.CONNECTED)
        await conn.reducers.add_pair(n, str(n), 0, n)

    for n in range(50):
        await lose(n)
    await conn.reducers.clear()
    before = footprint()
    for n in range(50, 100):
        await lose(n)
    await conn.reducers.clear()
    after = footprint()
    grown = {kind: count - before[0][kind] for kind, count in after[0].items() if count > before[0][kind] + 5}
    assert (grown, after[1:]) == ({}, before[1:])
    assert seen == list(range(100)), "listeners survive, and hear of each row once"
    assert sub.state == "live"
    assert conn.statistics().links == 101


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_token_source_is_asked_for_each_connection(host, server, client, kind):
    first = await client(reconnect=SOON)
    asked = []

    def plain():
        asked.append(first.token)
        return first.token

    async def awaited():
        return plain()

    if kind == "async":
        host.need("async token")
    conn = await client(token=plain if kind == "plain" else awaited, reconnect=SOON)
    server.drop_clients()
    await state(conn, SessionState.WAITING)
    await state(conn, SessionState.CONNECTED)
    assert asked == [first.token] * 2
    assert conn.identity == first.identity


async def test_the_token_of_a_new_identity_is_stored(client, tmp_path):
    conn = await client(token=TokenFile(tmp_path / "token"))
    again = await client(token=TokenFile(tmp_path / "token"))
    assert again.identity == conn.identity


async def test_a_token_that_is_refused_ends_the_session(server, conn):
    ends = []
    conn.on_disconnect(lambda ctx: ends.append(ctx.event))
    server.restart(keep_tokens=False)
    await state(conn, SessionState.CLOSED)
    assert isinstance(ends[-1].error, AuthenticationError)
    assert ends[-1].retry is None
    assert conn.token not in str(ends[-1].error)


async def test_other_data_is_told_as_differences(server, conn):
    await conn.subscribe("SELECT * FROM pair")
    for n in range(3):
        await conn.reducers.add_pair(n, str(n), 0, n)
    stream = conn.db.pair.changes()
    server.restart(keep_rows=False)
    await state(conn, SessionState.CONNECTED)
    assert [type(await anext(stream)) for _ in range(3)] == [Deleted] * 3
    assert len(conn.db.pair) == 0


async def test_a_module_that_no_longer_fits_ends_the_session(server, conn):
    await conn.subscribe("SELECT * FROM pair")
    other = Module("behaviour")

    @other.table(public=True)
    class pair:  # noqa: N801 - the table's name
        id: u32

    server.republish(other, keep_rows=False)
    await state(conn, SessionState.CLOSED)
    assert isinstance(conn.last_ending.error, SchemaMismatch)
    assert "pair" in str(conn.last_ending.error)


async def test_a_module_that_has_grown_is_read_as_before(server, conn, caplog):
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "a", 1, 1)
    grown = Module("behaviour")

    @grown.table(public=True)
    class pair:  # noqa: N801 - the table's name
        id: PrimaryKey[u32]
        key: Unique[str]
        group: Index[i32]
        value: i32
        note: str = "new"

    grown.tables["user"] = behaviour.tables["user"]  # which has rows
    server.republish(grown)
    async with conn.db.pair.changes() as changes:
        await state(conn, SessionState.CONNECTED)
        server.run(lambda ctx: ctx.db.pair.insert(id=2, key="b", group=1, value=2))
        change = await anext(changes)
    assert isinstance(change, Inserted), "nothing has happened to the row that was there"
    assert (change.row.key, change.row.value) == ("b", 2)
    assert sorted(row.id for row in conn.db.pair.filter(group=1)) == [1, 2]
    assert conn.db.pair.find(id=1).value == 1
    assert sorted(row.key for row in await conn.query("SELECT * FROM pair")) == ["a", "b"]
    assert "column pair.note added: String, at the end" in str(conn.drift)
    server.drop_clients()
    await state(conn, SessionState.CONNECTED)
    (told,) = [each.getMessage() for each in caplog.records if "published anew" in each.getMessage()]
    assert told.startswith(f"the connection to behaviour at ws://{server.uri.removeprefix('http://')}: the module was")
    assert "column pair.note added: String, at the end" in told


async def test_closing_while_there_is_no_link(server, client):
    conn = await client(reconnect=Backoff(initial=1000))
    ends = []
    conn.on_disconnect(lambda ctx: ends.append((ctx.event.retry is None, ctx.event.error is None)))
    server.drop_clients()
    await state(conn, SessionState.WAITING)
    with anyio.fail_after(5):
        await conn.aclose()
    assert conn.state is SessionState.CLOSED
    assert ends == [(False, False), (True, True)]
