"""What only the host that blocks has: two threads of its own and any number of the user's, waits with an end, Ctrl-C.

What it has in common with the others is in `tests/behaviour`.
"""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spacetimedb_sdk import (
    CallCancelled,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    Inserted,
    LocalProtocolError,
    NotSent,
    ReducerError,
    ReducerEvent,
    SessionState,
    SubscriptionError,
    WaitTimeout,
    blocking_host,
)
from spacetimedb_sdk.blocking import BlockingPending, connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour
from tests.loopback import PATIENCE, endpoint_of, listener


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Neither threads nor sockets: those left open complain when they are collected, which pytest makes a failure."""
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("spacetimedb")] == []


@pytest.fixture(scope="module")
def shared():
    with serve(behaviour) as server:
        yield server


@pytest.fixture
def server(shared):
    with connect(shared.uri, shared.database, timeout=PATIENCE) as conn:
        conn.reducers.clear()
    return shared


@pytest.fixture
def conn(server):
    with connect(server.uri, server.database, timeout=PATIENCE) as conn:
        conn.subscribe("SELECT * FROM pair")
        yield conn


class Held:
    """A callback that does not return before it may."""

    def __init__(self, conn):
        self._entered, self._leave = threading.Event(), threading.Event()
        self._conn = conn
        conn.db.pair.on_insert(self._run)

    def _run(self, ctx, row):
        self._entered.set()
        assert self._leave.wait(PATIENCE)

    def __enter__(self):
        self._caller = threading.Thread(target=self._conn.reducers.add_pair, args=(99, "held", 0, 0))
        self._caller.start()
        assert self._entered.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self._leave.set()
        self._caller.join()


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_callbacks_run_on_one_thread_of_the_connections_own(conn):
    threads = set()
    conn.db.pair.on_insert(lambda ctx, row: threads.add(threading.current_thread()))
    conn.on_disconnect(lambda ctx: threads.add(threading.current_thread()))
    conn.reducers.add_pair(1, "one", 0, 0)
    conn.reducers.add_pair(2, "two", 0, 0)
    conn.close()
    [thread] = threads
    assert thread.daemon
    assert not thread.is_alive()


def test_in_a_callback_nothing_waits(conn):
    got = {}

    @conn.db.pair.on_insert
    def inserted(ctx, row):
        got["call"] = ctx.reducers.add_no_key(row.id, "answer")
        got["query"] = conn.query("SELECT * FROM pair")
        got["sub"] = conn.subscribe("SELECT * FROM no_key")
        got["stream"] = conn.db.pair.changes()
        for what, wait in {"wait": got["call"].wait, "get": got["stream"].get, "next": got["stream"].__next__}.items():
            with pytest.raises(LocalProtocolError, match="a callback cannot wait") as caught:
                wait()
            got[what] = caught.value

    conn.reducers.add_pair(1, "one", 0, 0)
    inserted.remove()
    assert isinstance(got["call"], BlockingPending)
    assert isinstance(got["call"].wait(), ReducerEvent)
    assert [row.id for row in got["query"].wait()] == [1]
    assert got["sub"].pending.wait() is got["sub"]
    assert [row.text for row in conn.db.no_key] == ["answer"]
    assert {"wait", "get", "next"} <= got.keys()


def test_a_failure_that_a_callback_does_not_claim_goes_to_on_error(conn):
    errors, told = [], threading.Event()

    def on_error(error, where):
        errors.append((str(error), where, threading.current_thread().name.split()[1]))
        told.set()

    conn.on_error(on_error)
    conn.db.pair.on_insert(lambda ctx, row: ctx.reducers.send_message(""))
    conn.reducers.add_pair(1, "one", 0, 0)
    assert told.wait(PATIENCE)
    assert errors == [("Messages must not be empty", "reducer send_message", "callbacks")]


def test_a_callback_sees_the_cache_as_of_its_event(conn):
    seen = []
    conn.db.pair.on_update(lambda ctx, old, new: seen.append({(pair.id, pair.value) for pair in ctx.db.pair}))
    conn.reducers.add_pairs(1, 2)
    for _ in range(5):
        conn.reducers.bump_pairs()
    assert seen == [{(1, n), (2, n)} for n in range(1, 6) for _ in range(2)]


def test_closing_in_a_callback(conn):
    states = conn.states()
    conn.db.pair.on_insert(lambda ctx, row: conn.close())
    conn.reducers.add_pair(1, "one", 0, 0)
    assert [change.state for change in states] == [SessionState.CLOSING, SessionState.CLOSED]
    conn.close()
    with pytest.raises(NotSent):
        conn.reducers.clear()


def test_an_exit_request_in_a_callback_is_raised_where_the_block_ends(server):
    def leave(ctx, row):
        raise SystemExit(7)

    with pytest.raises(SystemExit) as caught, connect(server.uri, server.database, timeout=PATIENCE) as conn:
        conn.subscribe("SELECT * FROM pair")
        states = conn.states()
        conn.db.pair.on_insert(leave)
        assert conn.reducers.add_pair(1, "one", 0, 0).reducer == "add_pair", "who waits is told all the same"
        assert [change.state for change in states][-1] is SessionState.CLOSED
    assert caught.value.code == 7
    conn.close()


# --- several threads --------------------------------------------------------------------------------------------------


def test_rows_that_move_together_are_never_seen_half(conn):
    conn.reducers.add_pairs(1, 300)
    done = threading.Event()

    def write():
        for _ in range(15):
            conn.reducers.bump_pairs()

    def read():
        seen = 0
        while not done.is_set():
            for rows in (conn.db.pair, conn.db.pair.filter(group=3), conn.db.pair.filter(key="k7")):
                assert len({row.value for row in rows}) == 1
            assert len(conn.db.pair) == conn.db.pair.count() == len(conn.db.pair.keys()) == 300
            assert conn.db.pair.find(id=7).key == "k7"
            assert conn.memory_report().rows >= 300
            assert conn.statistics().query_sets == 1
            seen += 1
        return seen

    with ThreadPoolExecutor(5) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            for writer in [threads.submit(write) for _ in range(3)]:
                writer.result(PATIENCE)
        finally:
            done.set()
        assert all(reader.result(PATIENCE) for reader in readers)
    assert {row.value for row in conn.db.pair} == {45}


def test_each_thread_gets_its_own_answers(conn):
    conn.reducers.add_pair(7, "seven", 0, 0)

    def remove(number):
        try:
            return conn.reducers.remove_pair(number).args.id
        except ReducerError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(remove, range(40)))
    assert answers == [n if n == 7 else f"no pair {n}" for n in range(40)]


def test_threads_listen_and_subscribe_at_once(conn):
    told = []

    def listen(number):
        listener = conn.db.no_key.on_insert(lambda ctx, row: told.append(number))
        sub = conn.subscribe("SELECT * FROM no_key")
        applied = []
        sub.on_applied(lambda ctx: applied.append(number))
        assert applied == [number]
        conn.db.pair.on_insert(lambda ctx, row: None).remove()
        sub.unsubscribe()
        return listener

    with ThreadPoolExecutor(8) as threads:
        listeners = list(threads.map(listen, range(24)))
    conn.subscribe("SELECT * FROM no_key")
    conn.reducers.add_no_key(1, "one")
    assert sorted(told) == list(range(24))
    assert len(listeners) == 24


def test_several_threads_move_one_subscription(conn):
    conn.reducers.add_pairs(1, 8)
    sub = conn.subscribe("SELECT * FROM pair WHERE id = 0")
    with ThreadPoolExecutor(8) as threads:
        moved = list(threads.map(lambda n: sub.replace(f"SELECT * FROM pair WHERE id <= {n}"), range(1, 9)))
    assert moved == [sub] * 8
    assert len(sub.queries) == 1
    sub.replace("SELECT * FROM pair WHERE id > 6")
    sub.unsubscribe()
    assert len(conn.db.pair) == 8, "another subscription holds them"


def test_several_threads_end_one_subscription(conn):
    sub = conn.subscribe("SELECT * FROM no_key")
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: sub.unsubscribe(), range(8))) == [None] * 8


# --- streams ----------------------------------------------------------------------------------------------------------


def test_streams(conn):
    with conn.db.pair.changes() as changes, conn.transactions() as transactions:
        conn.reducers.add_pairs(1, 2)
        assert isinstance(changes.get(), Inserted)
        assert isinstance(next(changes), Inserted)
        assert changes.next_nowait() is None
        assert [change.row.id for change in transactions.get().changes["pair"]] == [1, 2]
    assert list(changes) == []
    with pytest.raises(LocalProtocolError, match=r"pair.changes\(\): the stream has ended"):
        changes.get()


def test_a_stream_in_which_nothing_happens(conn):
    changes = conn.db.pair.changes()
    for _ in range(2):
        with pytest.raises(WaitTimeout, match=r"pair.changes\(\): nothing happened within 0 s"):
            changes.get(timeout=0)
    conn.reducers.add_pair(1, "one", 0, 0)
    assert changes.get(timeout=0).row.id == 1


def test_several_threads_share_a_stream(conn):
    changes = conn.db.pair.changes()
    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(list, changes) for _ in range(4)]
        conn.reducers.add_pairs(1, 50)
        conn.reducers.add_pairs(100, 50)
        conn.close()
        rows = [change.row.id for reader in readers for change in reader.result(PATIENCE)]
    assert sorted(rows) == [*range(1, 51), *range(100, 150)]


def test_closing_a_stream_ends_the_wait_for_it(conn):
    changes = conn.db.pair.changes()
    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(list, changes)
        changes.close()
        assert reader.result(PATIENCE) == []


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_an_outcome_can_be_cancelled_and_listened_to(conn):
    got = []

    def ask(ctx, row):
        got.append(ctx.reducers.add_no_key(1, "one"))
        got[0].cancel()

    conn.db.pair.on_insert(ask)
    conn.reducers.add_pair(1, "one", 0, 0)
    with pytest.raises(CallCancelled):
        got[0].wait()
    got[0].add_done_callback(got.append)
    assert got == [got[0], got[0]]


# --- timeouts ---------------------------------------------------------------------------------------------------------


def test_calls_run_out_of_time(conn):
    with pytest.raises(CallTimeout, match="no answer came in time"):
        conn.query("SELECT * FROM pair", timeout=0)
    with pytest.raises(CallTimeout, match="add_pair: no answer came in time"):
        conn.reducers.add_pair.options(timeout=0)(1, "one", 0, 0)
    with pytest.raises(CallTimeout):
        conn.procedures.add.options(timeout=0)(1, 2)
    with pytest.raises(SubscriptionError, match="in time"):
        conn.subscribe("SELECT * FROM no_key", timeout=0)
    assert conn.query("SELECT * FROM no_key", timeout=math.inf) == []
    assert conn.procedures.add(1, 2) == 3


def test_the_connections_timeout_is_the_default(server):
    with connect(server.uri, server.database, timeout=PATIENCE) as conn:
        conn._waiting.patience = 0  # no connection opens in no time
        for call in (conn.reducers.clear, lambda: conn.query("SELECT * FROM pair"), conn.procedures.count_pairs):
            with pytest.raises(CallTimeout):
                call()
        with pytest.raises(SubscriptionError):
            conn.subscribe("SELECT * FROM pair")
        with pytest.raises(WaitTimeout):
            conn.transactions().get()
        conn._waiting.patience = PATIENCE


def test_waits_end_also_while_a_callback_holds_everything_up(conn, monkeypatch):
    monkeypatch.setattr(blocking_host, "GRACE", 0.0)
    sub = conn.subscribe("SELECT * FROM no_key")
    errors = []
    conn.on_error(lambda error, where: errors.append(error))
    with Held(conn):
        with pytest.raises(CallTimeout, match="query .*: a callback has kept the answer from being told"):
            conn.query("SELECT * FROM pair", timeout=0)
        with pytest.raises(WaitTimeout, match="unsubscribe: not done within 0 s"):
            sub.unsubscribe(timeout=0)
        with pytest.raises(WaitTimeout, match="close: not closed within 0 s"):
            conn.close(timeout=0)
        with pytest.raises(ZeroDivisionError), conn:
            conn._waiting.patience = 0
            raise ZeroDivisionError
        conn._waiting.patience = PATIENCE
    conn.close()
    assert errors == []


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt], ids=["timeout", "Ctrl-C"])
def test_whatever_ends_the_wait_for_a_subscription_takes_it_back(conn, monkeypatch, ending):
    """The rows are in the cache, and their callbacks take longer than the wait."""
    conn.reducers.add_no_key(1, "one")
    entered, leave = threading.Event(), threading.Event()
    conn.db.no_key.on_insert(lambda ctx, row: (entered.set(), leave.wait(PATIENCE)))
    errors = []
    conn.on_error(lambda error, where: errors.append(error))

    def wait(_pending, _seconds):
        assert entered.wait(PATIENCE)
        if ending is not None:
            raise ending
        return False

    with monkeypatch.context() as patched:
        patched.setattr(BlockingPending, "_is_told_within", wait)
        with pytest.raises(ending or SubscriptionError, match=None if ending else "no_key: not told within 20 s"):
            conn.subscribe("SELECT * FROM no_key", timeout=20)
    leave.set()
    conn.reducers.add_no_key(2, "two")
    assert (len(conn.db.no_key), conn.statistics().query_sets) == (0, 1)
    gc.collect()
    assert errors == [], "who asked has been told"


def test_a_wait_that_ends_before_the_server_has_answered_takes_the_subscription_back(conn, monkeypatch):
    errors = []
    conn.on_error(lambda error, where: errors.append(error))
    with Held(conn), monkeypatch.context() as patched:
        patched.setattr(blocking_host, "GRACE", -PATIENCE)
        with pytest.raises(SubscriptionError, match="not told within"):
            conn.subscribe("SELECT * FROM no_key", timeout=PATIENCE)
    conn.reducers.add_no_key(1, "one")
    assert (len(conn.db.no_key), conn.statistics().query_sets) == (0, 1)
    gc.collect()
    assert errors == []


def test_a_wait_for_a_subscription_that_ends_while_the_connection_does(conn, monkeypatch):
    with Held(conn), monkeypatch.context() as patched:
        patched.setattr(blocking_host, "GRACE", -PATIENCE)
        patched.setattr(BlockingPending, "_is_told_within", lambda _pending, _seconds: conn._driver.close())
        with pytest.raises(SubscriptionError, match="not told within"):
            conn.subscribe("SELECT * FROM no_key", timeout=PATIENCE)


def test_reading_does_not_wait_for_callbacks(conn):
    with Held(conn):
        assert [pair.id for pair in conn.db.pair] == [99]
        assert conn.db.pair.find(id=99).key == "held"
        assert repr(conn.db.pair) == "<table pair: 1 rows>"


def test_connecting_runs_out_of_time():
    with listener() as silent:
        endpoint = endpoint_of(silent)
        with pytest.raises(ConnectError, match=rf"cannot connect to 127.0.0.1:{endpoint.port} within 0 s"):
            connect(f"http://127.0.0.1:{endpoint.port}", "chat", timeout=0)


def test_a_token_that_would_have_to_be_awaited(server):
    async def ask():
        raise AssertionError("nobody could wait for it")

    with pytest.raises(LocalProtocolError, match="await"):
        connect(server.uri, server.database, token=ask, timeout=PATIENCE)


# --- losing the connection --------------------------------------------------------------------------------------------


def test_whoever_waits_learns_of_the_end():
    with serve(behaviour) as server:
        conn = connect(server.uri, server.database, timeout=PATIENCE, reconnect=None)
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(next, stream) for stream in (conn.db.pair.changes(), conn.transactions())]
            server.drop_clients()
            for each in waiting:
                with pytest.raises(ConnectionLost):
                    each.result(PATIENCE)
        conn.close()


# --- the process ------------------------------------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys, threading
from spacetimedb_sdk.blocking import connect
conn = connect(sys.argv[1], sys.argv[2], timeout=20)
conn.subscribe("SELECT * FROM pair")
"""


def run(server, program):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + program, server.uri, server.database]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


INTERRUPTING = """
caught = threading.Event()

@conn.db.pair.on_insert
def interrupt(ctx, row):
    interrupt.remove()
    os.kill(os.getpid(), signal.SIGINT)
    assert caught.wait(20)  # so the main thread's wait cannot end otherwise

def add():
    conn.reducers.add_pair(1, "one", 0, 0)

try:
    WAIT
except KeyboardInterrupt:
    caught.set()
    print("interrupted")
conn.reducers.set_pair(1, "one", 0, 5)
print([pair.value for pair in conn.db.pair])
conn.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT can be sent to a process group only")
@pytest.mark.parametrize(
    "wait",
    [
        "conn.reducers.add_pair(1, 'one', 0, 0)",
        "changes = conn.db.pair.changes(); threading.Thread(target=add).start(); changes.get()",
    ],
)
def test_ctrl_c_interrupts_a_wait_and_leaves_the_connection_usable(server, wait):
    done = run(server, INTERRUPTING.replace("WAIT", wait))
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n[5]\n", "", 0)


FORKING = """
import warnings
from spacetimedb_sdk import LocalProtocolError

sub, changes, got = conn.subscribe("SELECT * FROM no_key"), conn.db.pair.changes(), []
entered, leave = threading.Event(), threading.Event()

@conn.db.pair.on_insert
def inserted(ctx, row):
    got.append(ctx.reducers.clear())  # which has no outcome before this callback returns
    entered.set()
    assert leave.wait(20)

threading.Thread(target=conn.reducers.add_pair, args=(1, "one", 0, 0), daemon=True).start()
assert entered.wait(20)
warnings.simplefilter("ignore")  # of what may happen in a child that has only one of the threads
if (child := os.fork()) == 0:
    for ask in (
        conn.reducers.clear,
        lambda: conn.procedures.add(1, 2),
        lambda: conn.query("SELECT * FROM pair"),
        lambda: conn.subscribe("SELECT * FROM pair"),
        lambda: sub.replace("SELECT * FROM pair"),
        sub.unsubscribe,
        changes.get,
        lambda: list(changes),
        got[0].wait,
        got[0].cancel,
        conn.close,
    ):
        try:
            ask()
        except LocalProtocolError as error:
            assert "in the process that opened the connection, got one in a forked child" in str(error), error
            print("refused", flush=True)
    with conn:
        sys.exit(3)
print("ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
leave.set()
print(conn.procedures.add(1, 2))
conn.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_refused_at_once(server):
    done = run(server, FORKING)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == 11 * "refused\n" + "ended with 3\n3\n"


@pytest.mark.parametrize("at_last", ["", "threading.Thread(target=lambda: None).start()", "sys.exit(0)"])
def test_a_program_ends_with_a_connection_open(server, at_last):
    done = run(server, f"print(conn.reducers.add_pair(1, 'one', 0, 0).reducer)\n{at_last}")
    assert (done.stdout, done.stderr, done.returncode) == ("add_pair\n", "", 0)


def test_a_program_ends_while_a_callback_runs(server):
    program = """
entered = threading.Event()
conn.db.pair.on_insert(lambda ctx, row: (entered.set(), threading.Event().wait()))
threading.Thread(target=lambda: conn.reducers.add_pair(1, 'one', 0, 0), daemon=True).start()
assert entered.wait(20)
"""
    done = run(server, program)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_callback_may_end_the_program(server):
    program = """
def leave(ctx, row):
    raise SystemExit(7)

with conn:
    conn.db.pair.on_insert(leave)
    changes = conn.db.pair.changes()
    conn.reducers.add_pair(1, 'one', 0, 0)
    for change in changes:
        print(change.row.id)
"""
    done = run(server, program)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 7)
