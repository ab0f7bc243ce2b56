"""The connection for frame loops: what moves in a tick, and that nothing moves between two."""

import gc
import math
import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import anyio
import anyio.abc
import pytest
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSListener

from spacetimedb_sdk import (
    Backoff,
    CallCancelled,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    Inserted,
    LocalProtocolError,
    Pending,
    SessionState,
    SubscribeApplied,
)
from spacetimedb_sdk.frame import connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour
from tests.loopback import PATIENCE, closed_port, tls_contexts

SOON = Backoff(initial=0.001, maximum=0.01)
ALL = "SELECT * FROM pair"
MANY = 100_000


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Sockets left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server


@pytest.fixture
def conn(server):
    with connect(server.uri, server.database, reconnect=SOON) as conn:
        until(conn, conn.opened.done)
        yield conn


def until(conn, condition, tick=None):
    """Tick until something holds, waiting for the link where there is nothing to do."""
    tick = tick or conn.frame_tick
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it came to no end"
        if not tick():
            conn._driver._poller.wait(0.01)


def outcome(conn, pending):
    until(conn, pending.done)
    return pending.result()


def subscribed(conn, *queries):
    subscription = conn.subscribe(*queries)
    assert outcome(conn, subscription.pending) is subscription
    return subscription


def add_pairs(server, first, count):
    server.run(
        lambda ctx: [ctx.db.pair.insert(id=n, key=f"k{n}", group=0, value=0) for n in range(first, first + count)]
    )


# --- opening ----------------------------------------------------------------------------------------------------------


def test_connecting_returns_at_once_and_ticks_do_the_rest(server):
    before = threading.enumerate()
    with connect(server.uri, server.database) as conn:
        assert (conn.identity, conn.connection_id, conn.token, conn.state) == (None, None, "", SessionState.CONNECTING)
        for ask in (lambda: conn.db, lambda: conn.reducers, lambda: conn.subscribe(ALL), lambda: conn.query(ALL)):
            with pytest.raises(LocalProtocolError, match="the connection is connecting: expected an open one"):
                ask()
        seen = []
        removed = conn.on_connect(lambda conn: seen.append("never"))
        removed.remove()
        conn.on_connect(lambda conn: seen.append(conn.identity))
        conn.opened.add_done_callback(lambda opened: seen.append(opened.result()))
        assert outcome(conn, conn.opened) is conn
        assert seen == [conn.identity, conn]
        conn.on_connect(lambda conn: seen.append("at once"))
        assert seen[2:] == ["at once"]
        assert threading.enumerate() == before


def test_a_listener_that_raises_is_reported(server):
    with connect(server.uri, server.database) as conn:
        errors = []
        conn.on_error(lambda error, where: errors.append((type(error), where.rpartition(".")[2])))
        conn.on_connect(lambda conn: 1 / 0)
        conn.opened.add_done_callback(lambda opened: 1 / 0)
        until(conn, conn.opened.done)
        assert errors == [(ZeroDivisionError, "<lambda>")] * 2


def test_what_is_wrong_with_an_address_is_said_at_the_call():
    with pytest.raises(ConnectError, match="expected http://"):
        connect("ftp://127.0.0.1", "behaviour")


def test_ticks_raise_what_ended_the_session_and_go_on_doing_so():
    with closed_port() as closed:
        conn = connect(f"ws://127.0.0.1:{closed.getsockname()[1]}", "behaviour")
        connected = []
        conn.on_connect(connected.append)
        for _ in range(3):
            with pytest.raises(ConnectError, match="cannot connect"):
                until(conn, lambda: False)
    assert conn.is_closed
    assert connected == []
    assert isinstance(conn.opened.exception(), ConnectError)
    conn.close()
    assert conn.frame_tick() is False, "whoever has closed it is told nothing"


def test_a_token_that_would_have_to_be_awaited_ends_it(server):
    async def ask():
        return "token"

    conn = connect(server.uri, server.database, token=ask)
    with pytest.raises(LocalProtocolError, match="await"):
        until(conn, lambda: False)


def test_tls_settings_are_made_once_and_the_certificate_is_checked(server, monkeypatch):
    server_context, client_context = tls_contexts()
    made = []
    monkeypatch.setattr("ssl.create_default_context", lambda: made.append(1) or client_context)
    with (
        encrypting(server, server_context) as port,
        connect(f"wss://localhost:{port}", server.database, compression="none") as conn,
    ):
        until(conn, conn.opened.done)
        subscribed(conn, ALL)
        outcome(conn, conn.reducers.add_pairs(1, 20_000))
        assert len(conn.db.pair) == 20_000
    assert made == [1]


@contextmanager
def encrypting(server, context):
    """A front of a server that speaks TLS; its port."""
    port = int(server.uri.rpartition(":")[2])

    async def copy(source, target):
        try:
            async for data in source:
                await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async def relay(client):
        async with client, await anyio.connect_tcp("127.0.0.1", port) as behind, anyio.create_task_group() as tasks:
            tasks.start_soon(copy, client, behind)
            await copy(behind, client)
            tasks.cancel_scope.cancel()

    async def listen(*, task_status):
        tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
        task_status.started(tcp.listeners[0].extra(anyio.abc.SocketAttribute.local_port))
        async with TLSListener(tcp, context, standard_compatible=False) as listener:
            await listener.serve(relay)

    with start_blocking_portal() as portal:
        future, found = portal.start_task(listen)
        yield found
        future.cancel()


# --- ticks ------------------------------------------------------------------------------------------------------------


def test_nothing_changes_between_ticks(server, conn):
    subscribed(conn, ALL)
    log = []
    conn.db.pair.on_insert(lambda ctx, row: log.append(row.id))
    stream = conn.transactions()
    add_pairs(server, 1, 3)
    select.select([conn._driver._poller], [], [], PATIENCE)
    assert (len(conn.db.pair), log, len(stream)) == (0, [], 0)
    until(conn, lambda: len(stream))  # they are told after callbacks, perhaps a tick later
    assert (len(conn.db.pair), log, len(stream)) == (3, [1, 2, 3], 1)


def test_calls_are_sent_by_ticks_and_return_what_is_to_come(server, conn):
    call = conn.reducers.add_pair(1, "one", 0, 10)
    assert isinstance(call, Pending)
    with pytest.raises(LocalProtocolError, match="not done yet"):
        call.result()
    assert server.run(lambda ctx: ctx.db.pair.count()) == 0
    seen = []
    call.add_done_callback(seen.append)
    assert outcome(conn, call).reducer == "add_pair"
    assert seen == [call]
    assert call.exception() is None
    assert [row.key for row in outcome(conn, conn.query(ALL))] == ["one"]
    assert outcome(conn, conn.procedures.add(1, 2)) == 3


def test_a_call_can_be_given_up_before_it_is_sent(server, conn):
    call = conn.reducers.add_pair(1, "one", 0, 10)
    call.cancel()
    with pytest.raises(CallCancelled):
        outcome(conn, call)
    outcome(conn, conn.reducers.add_pair(2, "two", 0, 20))
    assert server.run(lambda ctx: [row.id for row in ctx.db.pair]) == [2]


def test_no_tick_inside_a_callback(conn):
    caught = []

    def tick_again(_pending):
        try:
            conn.frame_tick()
        except LocalProtocolError as error:
            caught.append(error)

    conn.reducers.clear().add_done_callback(tick_again)
    until(conn, lambda: caught)


def in_another_thread(ask):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result(PATIENCE)


def test_the_thread_that_calls_first_is_the_only_one(conn):
    subscription = subscribed(conn, ALL)
    waiting = conn.reducers.clear()

    async def story():
        raise AssertionError("it has not begun")

    stories = [story()]
    for ask in (
        conn.frame_tick,
        conn.close,
        lambda: conn.close(wait=0),
        conn.reducers.clear,
        lambda: conn.query(ALL),
        lambda: conn.subscribe(ALL),
        subscription.unsubscribe,
        waiting.cancel,
        lambda: conn.start(stories[0]),
    ):
        with pytest.raises(LocalProtocolError, match="expected a caller in the thread that ticks, got one in another"):
            in_another_thread(ask)
    stories[0].close()
    assert outcome(conn, waiting).reducer == "clear"


def test_a_forked_child_is_refused(conn, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: 0)
        for ask in (conn.frame_tick, conn.close, conn.reducers.clear, lambda: conn.subscribe(ALL)):
            with pytest.raises(LocalProtocolError, match="opened the connection, got one in a forked child"):
                ask()
    outcome(conn, conn.reducers.clear())


def test_a_connection_may_be_opened_for_another_thread(server):
    conn = connect(server.uri, server.database)

    def play():
        with conn:
            until(conn, conn.opened.done)
            return outcome(conn, conn.procedures.add(1, 2))

    assert in_another_thread(play) == 3


@pytest.mark.parametrize("raised", [None, ZeroDivisionError])
def test_a_block_that_is_left_in_another_thread_hides_no_error(conn, raised):
    def leave():
        with conn:
            if raised is not None:
                raise raised

    with pytest.raises(raised or LocalProtocolError):
        in_another_thread(leave)
    outcome(conn, conn.reducers.clear())


# --- the budget -------------------------------------------------------------------------------------------------------


class Time:
    """A clock on which only the rows that a callback is called with take time."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.rows = []
        monkeypatch.setattr("spacetimedb_sdk.frame.time", self)

    def monotonic(self):
        return self.now

    def called(self, ctx, row):
        assert len(ctx.db.pair) == MANY, "the cache has changed as a whole"
        self.rows.append(row.id)
        self.now += 1e-6


@pytest.mark.parametrize("is_snapshot", [True, False], ids=["first rows", "transaction"])
def test_a_hundred_thousand_rows_are_told_within_the_budget_of_each_frame(server, monkeypatch, is_snapshot):
    clock, budget, worst = Time(monkeypatch), 1000, []
    with connect(server.uri, server.database) as conn:
        until(conn, conn.opened.done)
        conn.db.pair.on_insert(clock.called)
        if is_snapshot:
            add_pairs(server, 0, MANY)
            conn.subscribe(ALL)
        else:
            subscribed(conn, ALL)
            add_pairs(server, 0, MANY)

        def tick():
            before = len(clock.rows)
            is_more = conn.frame_tick(budget * 1e-6)
            worst.append(len(clock.rows) - before)
            return is_more

        until(conn, lambda: len(clock.rows) == MANY, tick)
    assert sorted(clock.rows) == list(range(MANY))
    assert budget <= max(worst) <= budget + 256


def test_a_hundred_thousand_rows_in_small_transactions(server, monkeypatch):
    clock, rows, worst = Time(monkeypatch), [], []

    def called(_ctx, row):
        rows.append(row.id)
        clock.now += 1e-6

    with connect(server.uri, server.database) as conn:
        until(conn, conn.opened.done)
        subscribed(conn, ALL)
        conn.db.pair.on_insert(called)
        for first in range(0, MANY, 1000):
            conn.reducers.add_pairs(first, 1000)

        def tick():
            before = len(rows)
            is_more = conn.frame_tick(1e-3)
            worst.append(len(rows) - before)
            return is_more

        until(conn, lambda: len(rows) == MANY, tick)
    assert sorted(rows) == list(range(MANY))
    assert 1000 <= max(worst) <= 1000 + 256


@pytest.mark.parametrize(
    ("budget", "error", "message"),
    [
        (-0.001, ValueError, r"budget: expected seconds from 0 on, got -0\.001"),
        (math.nan, ValueError, "budget: expected seconds from 0 on, got nan"),
        ("1", TypeError, r"budget: expected seconds, got '1' \(str\)"),
        (None, TypeError, r"budget: expected seconds, got None"),
        (True, TypeError, r"budget: expected seconds, got True"),
    ],
)
def test_budgets_that_are_none(conn, budget, error, message):
    with pytest.raises(error, match=f"^{message}"):
        conn.frame_tick(budget)
    conn.frame_tick(0)
    conn.frame_tick(math.inf)


def test_timeouts_come_out_in_ticks(server, monkeypatch):
    clock = Time(monkeypatch)
    with connect(server.uri, server.database) as conn:
        until(conn, conn.opened.done)
        query, call = conn.query(ALL, timeout=2), conn.reducers.clear.options(timeout=3)()
        clock.now += 2.5
        conn.frame_tick(0)
        until(conn, query.done)
        assert isinstance(query.exception(), CallTimeout)
        outcome(conn, call)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_read_as_far_as_it_goes(server, conn):
    subscribed(conn, ALL)
    changes, states = conn.db.pair.changes(), conn.states()
    assert list(changes) == []
    assert changes.next_nowait() is None
    outcome(conn, conn.reducers.add_pairs(1, 2))
    assert [type(change) for change in changes] == [Inserted, Inserted]
    assert list(changes) == []
    outcome(conn, conn.reducers.add_pairs(3, 1))
    assert changes.next_nowait().row.id == 3
    with conn.transactions() as transactions:
        outcome(conn, conn.reducers.add_pairs(4, 1))
        assert [transaction.event.reducer for transaction in transactions] == ["add_pairs"]
    outcome(conn, conn.reducers.add_pairs(5, 1))
    assert list(transactions) == []
    conn.close()
    until(conn, lambda: conn.is_closed)
    assert [change.state for change in states] == [SessionState.CLOSING, SessionState.CLOSED]
    with pytest.raises(StopIteration):
        states.next_nowait()


def test_a_stream_ends_with_what_ended_the_connection(server):
    conn = connect(server.uri, server.database, reconnect=None)
    until(conn, conn.opened.done)
    stream = conn.transactions()
    server.drop_clients()
    with pytest.raises(ConnectionLost):
        until(conn, lambda: False)
    with pytest.raises(ConnectionLost):
        list(stream)
    assert list(stream) == []


# --- losses and the end -----------------------------------------------------------------------------------------------


def test_a_lost_connection_comes_back_by_ticks(server, conn):
    subscription = subscribed(conn, ALL)
    applied = []
    subscription.on_applied(lambda ctx: applied.append(type(ctx.event)))
    before = conn.connection_id
    server.drop_clients()
    assert conn.state is SessionState.CONNECTED, "nothing is known before the next tick"
    until(conn, lambda: conn.state is SessionState.WAITING)
    add_pairs(server, 1, 2)
    until(conn, lambda: conn.state is SessionState.CONNECTED and len(applied) == 2)
    assert len(conn.db.pair) == 2
    assert conn.connection_id != before
    assert applied == [SubscribeApplied, SubscribeApplied]


def test_closing_is_done_by_the_ticks_that_follow(server):
    conn = connect(server.uri, server.database)
    until(conn, conn.opened.done)
    subscribed(conn, ALL)
    outcome(conn, conn.reducers.add_pairs(1, 2))
    last = conn.reducers.add_pairs(3, 1)
    ends = []
    conn.on_disconnect(lambda ctx: ends.append(ctx.event.error))
    conn.close()
    conn.close()
    assert not conn.is_closed
    until(conn, lambda: conn.is_closed)
    assert ends == [None]
    assert last.done()
    assert conn.frame_tick() is False
    assert len(conn.db.pair) >= 2, "what was cached stays readable"


def test_a_block_is_left_with_the_goodbye_said(server):
    with connect(server.uri, server.database) as conn:
        until(conn, conn.opened.done)
    assert (conn.is_closed, conn.last_ending.code) == (True, 1000)
    with connect(server.uri, server.database) as conn:
        conn.frame_tick()
    assert conn.is_closed


def test_closing_with_no_time_cuts_the_link(server):
    conn = connect(server.uri, server.database)
    until(conn, conn.opened.done)
    conn.close(wait=0)
    gc.collect()
    assert conn._driver._poller.fileno() == -1


def test_when_something_came_last(conn):
    assert conn.last_message_at is not None
    assert connect("ws://127.0.0.1:1", "behaviour").last_message_at is None
