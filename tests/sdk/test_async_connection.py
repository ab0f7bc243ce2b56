"""What only connections on event loops have to see to."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import warnings

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio

from spacetimedb_sdk import ConnectError, LocalProtocolError, ReducerError, connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour
from tests.loopback import closed_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def conn():
    with serve(behaviour) as server:
        async with connect(server.uri, "behaviour") as conn:
            yield conn


async def test_other_threads_are_refused_and_sent_where_they_may_go(conn):
    sub = await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    for ask in (
        lambda: conn.reducers.add_pair(2, "two", 0, 10),
        lambda: conn.subscribe("SELECT * FROM message"),
        lambda: conn.query("SELECT * FROM pair"),
        sub.unsubscribe,
        lambda: anyio.run(conn.aclose),
    ):
        with pytest.raises(LocalProtocolError, match=r"in another thread: go there by anyio\.from_thread\.run_sync"):
            await anyio.to_thread.run_sync(ask)
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(conn.reducers.add_pair, 3, "three", 0, 10))
    await conn.reducers.add_pair(4, "four", 0, 10)
    assert sorted(row.id for row in conn.db.pair) == [1, 3, 4]
    await sub.unsubscribe()
    assert len(conn.db.pair) == 0


async def test_several_tasks_may_read_one_stream(conn):
    await conn.subscribe("SELECT * FROM pair")
    stream, taken = conn.db.pair.changes(), []

    async def read():
        taken.append((await anext(stream)).row.id)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await conn.reducers.add_pair(1, "one", 0, 10)
        await conn.reducers.add_pairs(2, 2)
    assert sorted(taken) == [1, 2, 3]


async def test_whoever_forgets_to_wait_for_the_connection_is_told_how(anyio_backend):
    opening = connect("http://127.0.0.1:1", "behaviour")
    how = r"write `async with connect\(\.\.\.\) as conn:` or `conn = await connect\(\.\.\.\)`"
    with pytest.raises(AttributeError, match=f"^'Connecting' object has no attribute 'subscribe'; {how}$"):
        opening.subscribe("SELECT * FROM pair")
    with pytest.raises(AttributeError):
        _ = opening.__missing__
    assert not hasattr(opening, "db")
    with pytest.warns(RuntimeWarning, match=r"^connect\(\) was never awaited: write `async with"):
        del opening


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_a_connection_that_was_waited_for_warns_of_nothing(is_awaited):
    with closed_port() as closed:
        opening = connect(f"http://127.0.0.1:{closed.getsockname()[1]}", "behaviour")
        with pytest.raises(ConnectError):
            if is_awaited:
                await opening
            else:
                await opening.__aenter__()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            del opening
            gc.collect()
    assert warned == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_end_of_the_program_warns_of_nothing(anyio_backend):
    program = "import spacetimedb_sdk; opening = spacetimedb_sdk.connect('http://127.0.0.1:1', 'behaviour')"
    done = await anyio.run_process([sys.executable, "-W", "always", "-c", program])
    assert done.stderr == b""


async def test_a_forked_child_is_refused(conn, monkeypatch):
    """Told by a process number that has changed: an event loop does not survive a fork that could be tested."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: 0)
        for ask in (conn.reducers.clear, lambda: conn.query("SELECT * FROM pair"), conn.subscribe_to_all_tables):
            with pytest.raises(LocalProtocolError, match="opened the connection, got one in a forked child"):
                ask()
        with pytest.raises(LocalProtocolError, match="got one in a forked child"):
            await conn.aclose()
    await conn.reducers.clear()


@pytest.mark.parametrize("raised", [None, ZeroDivisionError])
async def test_a_block_that_is_left_in_another_thread_hides_no_error(conn, raised):
    async def leave():
        async with conn:
            if raised is not None:
                raise raised

    with pytest.raises(raised or LocalProtocolError):
        await anyio.to_thread.run_sync(anyio.run, leave)
    await conn.reducers.clear()


async def test_a_subscription_that_others_wait_for_is_not_taken_back_with_one(conn):
    sub = conn.subscribe("SELECT * FROM pair")
    got, begun = [], anyio.Event()

    async def wait():
        begun.set()
        got.append(await sub)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            scope.cancel()
            group.start_soon(wait)
            with anyio.CancelScope(shield=True):
                await begun.wait()
            await sub
    assert scope.cancelled_caught
    assert (got, sub.state) == ([sub], "live")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_is_a_coroutine_to_asyncio(conn):
    await conn.subscribe("SELECT * FROM pair")
    first = asyncio.create_task(conn.reducers.add_pair(1, "one", 0, 10))
    async with asyncio.TaskGroup() as group:
        second = group.create_task(conn.reducers.add_pair(2, "two", 0, 20))
        third = group.create_task(conn.procedures.add(1, 2))
    assert ((await first).args.id, second.result().args.id) == (1, 2)
    assert third.result() == 3
    assert sorted(row.id for row in conn.db.pair) == [1, 2]
    with pytest.raises(ReducerError, match="no pair 7"):
        await asyncio.create_task(conn.reducers.remove_pair(7))


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_call_is_a_coroutine_to_trio(conn):
    await conn.subscribe("SELECT * FROM pair")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conn.reducers.add_pair, 1, "one", 0, 10)
        nursery.start_soon(conn.reducers.add_pair, 2, "two", 0, 20)
    assert sorted(row.id for row in conn.db.pair) == [1, 2]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_cancelling_the_task_of_a_call_ends_the_wait_and_not_the_call(conn, has_begun):
    await conn.subscribe("SELECT * FROM pair")
    errors = []
    conn.on_error(lambda error, where: errors.append(where))
    call, refused = conn.reducers.add_pair(1, "one", 0, 10), conn.reducers.remove_pair(7)
    tasks = [asyncio.create_task(call), asyncio.create_task(refused)]
    if has_begun:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
    await conn.reducers.add_pair(2, "two", 0, 20)
    assert sorted(row.id for row in conn.db.pair) == [1, 2]
    assert (await call).args.id == 1
    del refused, tasks, task
    gc.collect()
    assert errors == ["reducer remove_pair"]


async def test_a_call_may_be_closed_as_a_coroutine_is(conn):
    call = conn.procedures.add(1, 2)
    call.close()
    assert await call == 3
