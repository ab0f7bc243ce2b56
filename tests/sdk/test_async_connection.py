"""What only connections on event loops have to see to."""

from __future__ import annotations

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from spacetimedb_sdk import LocalProtocolError, connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour

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
    ):
        with pytest.raises(LocalProtocolError, match=r"in another thread: go there by anyio\.from_thread\.run_sync"):
            await anyio.to_thread.run_sync(ask)
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(conn.reducers.add_pair, 3, "three", 0, 10))
    await conn.reducers.add_pair(4, "four", 0, 10)
    assert sorted(row.id for row in conn.db.pair) == [1, 3, 4]
    await sub.unsubscribe()
    assert len(conn.db.pair) == 0


async def test_a_subscription_that_others_wait_for_is_not_taken_back_with_one(conn):
    sub = conn.subscribe("SELECT * FROM pair")
    got = []

    async def wait():
        got.append(await sub)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            scope.cancel()
            group.start_soon(wait)
            await anyio.lowlevel.cancel_shielded_checkpoint()
            await sub
    assert scope.cancelled_caught
    assert (got, sub.state) == ([sub], "live")
