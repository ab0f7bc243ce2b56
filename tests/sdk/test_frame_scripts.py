"""Coroutines in a frame loop."""

from __future__ import annotations

import asyncio
import gc

import pytest

from spacetimedb_sdk import CallCancelled, ConnectionLost, LocalProtocolError, ReducerError, SpacetimeDBError
from spacetimedb_sdk.frame import connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour

from .test_frame import ALL, outcome, until


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server


@pytest.fixture
def conn(server):
    with connect(server.uri, server.database, reconnect=None) as conn:
        until(conn, conn.opened.done)
        yield conn


def test_a_script_runs_at_once_up_to_its_first_await_and_then_in_ticks(conn):
    log = []

    async def script():
        log.append("begun")
        await conn.subscribe(ALL)
        log.append("subscribed")
        await conn.reducers.add_pair(1, "one", 0, 10)
        return [pair.key for pair in conn.db.pair]

    running = conn.start(script())
    assert log == ["begun"]
    assert outcome(conn, running) == ["one"]


def test_streams_are_read_as_they_grow(conn):
    async def watch():
        seen = []
        async for change in conn.db.pair.changes():
            seen.append(change.row.key)
            if len(seen) == 3:
                break
        return seen

    async def write():
        await conn.subscribe(ALL)
        for n, key in enumerate("abc"):
            await conn.reducers.add_pair(n, key, 0, n)

    watching = conn.start(watch())
    gc.collect()  # nobody but the script itself holds its stream
    outcome(conn, conn.start(write()))
    assert outcome(conn, watching) == ["a", "b", "c"]


def test_a_script_that_is_cancelled_is_left_where_it_waits(conn):
    log = []

    async def script():
        changes = conn.db.pair.changes()
        try:
            while True:
                log.append((await anext(changes)).row.id)
        finally:
            log.append("cleaned up")

    running = conn.start(script())
    outcome(conn, conn.subscribe(ALL).pending)
    outcome(conn, conn.reducers.add_pair(1, "one", 0, 10))
    running.cancel()
    assert log == [1, "cleaned up"]
    with pytest.raises(CallCancelled, match=r"script .*script: cancelled"):
        running.result()
    running.cancel()
    outcome(conn, conn.reducers.add_pair(2, "two", 0, 10))
    assert log == [1, "cleaned up"]


@pytest.mark.parametrize("waits", [True, False])
def test_a_script_that_cancels_itself_goes_on_until_it_waits(conn, waits):
    log = []

    async def script():
        await conn.query(ALL)
        running.cancel()
        log.append("goes on")
        if waits:
            await conn.query(ALL)
            log.append("never")
        return "done"

    running = conn.start(script())
    until(conn, running.done)
    assert log == ["goes on"]
    assert isinstance(running.exception(), CallCancelled) is waits


def test_a_script_that_fails_while_it_is_cancelled(conn):
    errors = []
    conn.on_error(lambda error, where: errors.append(error))

    async def script():
        try:
            await conn.query(ALL)
        finally:
            raise ZeroDivisionError

    running = conn.start(script())
    running.cancel()
    assert isinstance(running.exception(), CallCancelled)
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_subscription_that_somebody_has_got_is_not_taken_back_with_another_wait(conn):
    sub = conn.subscribe(ALL)

    async def one():
        got = await sub
        second.cancel()  # in the tick in which it would go on, too
        return got

    async def two():
        await sub

    first, second = conn.start(one()), conn.start(two())
    assert outcome(conn, first) is sub
    assert isinstance(second.exception(), CallCancelled)
    assert sub.state == "live"


def test_an_error_of_the_sdk_is_the_outcome(conn):
    async def script():
        await conn.reducers.set_name("")

    with pytest.raises(ReducerError):
        outcome(conn, conn.start(script()))


def test_any_other_error_is_reported_too(conn):
    errors = []
    conn.on_error(lambda error, where: errors.append((type(error), where)))

    async def script():
        await conn.query(ALL)
        raise ZeroDivisionError

    with pytest.raises(SpacetimeDBError, match="it raised ZeroDivisionError") as caught:
        outcome(conn, conn.start(script()))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    [(kind, where)] = errors
    assert (kind, where.endswith("script")) == (ZeroDivisionError, True)


def test_what_is_no_coroutine_is_refused_at_once(conn):
    async def story():
        raise AssertionError("nobody has called it")

    errors = []
    conn.on_error(lambda error, where: errors.append(error))
    with pytest.raises(TypeError, match=r"^start: expected a coroutine, as story\(\) makes it, got story itself$"):
        conn.start(story)
    for other in (None, conn.query(ALL), (number for number in [1])):
        with pytest.raises(TypeError, match="^start: expected a coroutine, got "):
            conn.start(other)
    assert errors == []


def test_what_belongs_to_an_event_loop_cannot_be_awaited(conn):
    async def script():
        await asyncio.sleep(0)

    with pytest.raises(LocalProtocolError, match="expected to await outcomes and streams, got None"):
        outcome(conn, conn.start(script()))


def test_the_end_of_the_connection_is_told_to_whoever_waits(server, conn):
    async def call():
        async for _ in conn.transactions():
            pass

    running = conn.start(call())
    server.drop_clients()
    with pytest.raises(ConnectionLost):
        until(conn, running.done)
    assert running.done()
    with pytest.raises(ConnectionLost):
        running.result()


def test_awaiting_an_outcome_twice_gives_it_twice(conn):
    async def script():
        rows = conn.query(ALL)
        return await rows, await rows

    assert outcome(conn, conn.start(script())) == ([], [])
