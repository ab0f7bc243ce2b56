"""Two threads around a durable connection: with a stand-in for it and a socket, and as a whole against the server."""

import gc
import threading
from collections import deque

import pytest

from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import AuthenticationError, ConnectError
from spacetimedb_proto.events import (
    NEED_DATA,
    WORKING,
    Connected,
    Disconnected,
    LinkEnded,
    StateChanged,
    SubscribeApplied,
    Transaction,
    Working,
)
from spacetimedb_proto.options import Options
from spacetimedb_proto.uri import Endpoint
from spacetimedb_sdk.testing import serve
from spacetimedb_transports import blocking
from spacetimedb_transports.blocking import BlockingDriver, Signal
from tests.behaviour_module import behaviour
from tests.bursts import BurstOf
from tests.loopback import PATIENCE, accept, closed_port, endpoint_of, listener


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Neither threads nor sockets: those left open complain when they are collected, which pytest makes a failure."""
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("spacetimedb")] == []


class Scripted:
    """Stands in for a durable connection: bytes are events, `ping` is answered, `next` asks for another link."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.need = Need.TOKEN
        self.told = deque()
        self.output = b""
        self.goodbye = b""
        self.tokens = []
        self.errors = []
        self.links = 0
        self.deadline = None
        self.behind_after = 10**9
        self.steppers = set()
        self.in_step = lambda: None

    def token_is(self, token):
        if self.need is Need.TOKEN:
            self.tokens.append(token)
            self.need = Need.LINK

    def token_failed(self, error):
        self.errors.append(error)
        self.abandon()

    def link_opened(self, now):
        if self.need is Need.LINK:
            self.need, self.goodbye = Need.BYTES, b""
            self.links += 1

    def link_failed(self, error):
        self.errors.append(error)
        self.abandon()

    def receive_data(self, data):
        assert self.need is Need.BYTES
        if data == b"ping":
            self.output += b"pong"
        else:
            self.told.append(LinkEnded() if data == b"next" else data.decode())

    def receive_eof(self, reason=""):
        assert self.need is Need.BYTES
        self.told.append(Disconnected(None, reason=reason))

    def data_to_send(self):
        if self.need is not Need.BYTES:
            output, self.goodbye = self.goodbye, b""
        else:
            output, self.output = self.output, b""
        return output

    def next_deadline(self):
        return self.deadline

    def handle_timeout(self, now):
        assert now >= self.deadline
        self.deadline = None
        self.told.append("due")

    @property
    def is_behind(self):
        return len(self.told) >= self.behind_after

    def close(self, code=1000, reason=""):
        if self.need is not Need.NOTHING:
            self.abandon()

    def abandon(self, reason=""):
        if self.need is not Need.NOTHING:
            self.need = Need.NOTHING
            self.told.append(Disconnected(None, reason=reason))

    def advance(self):
        self.steppers.add(threading.current_thread().name)
        self.in_step()
        if not self.told:
            return NEED_DATA
        event = self.told.popleft()
        if isinstance(event, Disconnected):
            self.need = Need.NOTHING
        elif isinstance(event, LinkEnded):
            self.need, self.goodbye = Need.LINK, b"bye"
        return event


class Noted:
    """What is handed out, for a test to wait for."""

    def __init__(self):
        self.events = []
        self._changed = threading.Condition()

    def __call__(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def until(self, *events):
        with self._changed:
            assert self._changed.wait_for(lambda: all(event in self.events for event in events), PATIENCE), self.events


class Driven:
    """A driver of a stand-in, and what came of it."""

    def __init__(self, endpoint, *, ask_token=lambda: "token", on_event=None):
        self.core = Scripted(endpoint)
        self.noted = Noted()
        self.driver = BlockingDriver(self.core, ask_token=ask_token, on_event=on_event or self.noted)

    def finish(self):
        self.driver.close()
        assert self.driver.join(PATIENCE)


@pytest.fixture
def server():
    with listener() as server:
        yield server


@pytest.fixture
def driven(server):
    driven = Driven(endpoint_of(server))
    yield driven
    driven.driver.close()
    driven.driver.join(PATIENCE)


# --- links ------------------------------------------------------------------------------------------------------------


def test_bytes_go_both_ways(driven, server):
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"hello")
        driven.noted.until("hello")
        driven.driver.locked(setattr, driven.core, "output", b"world")
        driven.driver.wake()
        assert end.recv(16) == b"world"
        assert driven.driver.last_received <= driven.driver.now()
        driven.finish()
        assert end.recv(16) == b""
    assert driven.core.tokens == ["token"]
    assert len(driven.core.steppers) == 1


def test_pings_are_answered_while_a_callback_runs(server):
    entered, leave = threading.Event(), threading.Event()

    def callback(event):
        entered.set()
        assert leave.wait(PATIENCE)

    driven = Driven(endpoint_of(server), on_event=callback)
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"slow")
        assert entered.wait(PATIENCE)
        for _ in range(3):
            end.sendall(b"ping")
            assert end.recv(16) == b"pong"
        leave.set()
        driven.finish()


def test_one_link_after_the_other(driven, server):
    driven.driver.start()
    with accept(server) as first:
        first.sendall(b"next")
        with accept(server) as second:
            assert first.recv(16) == b"bye"
            assert first.recv(16) == b"", "the old one is closed"
            second.sendall(b"ping")
            assert second.recv(16) == b"pong", "and its goodbye is not sent over the new one"
            second.sendall(b"hello")
            driven.noted.until("hello")
            driven.finish()
    assert driven.core.links == 2


def test_the_servers_end_is_told(driven, server):
    driven.driver.start()
    accept(server).close()
    assert driven.driver.join(PATIENCE)
    assert driven.noted.events == [Disconnected(None)]


def test_a_link_that_cannot_be_opened():
    with closed_port() as nobody:
        driven = Driven(endpoint_of(nobody))
        driven.driver.start()
        assert driven.driver.join(PATIENCE)
    [error] = driven.core.errors
    assert isinstance(error, ConnectError)


def test_a_token_that_there_is_not(server):
    def ask():
        raise AuthenticationError("no token")

    driven = Driven(endpoint_of(server), ask_token=ask)
    driven.driver.start()
    assert driven.driver.join(PATIENCE)
    assert [str(error) for error in driven.core.errors] == ["no token"]


def test_what_is_due_is_done(driven, server):
    driven.driver.start()
    with accept(server):
        driven.driver.locked(setattr, driven.core, "deadline", driven.driver.now())
        driven.driver.wake()
        driven.noted.until("due")
        driven.finish()


def test_reading_pauses_while_too_much_waits(server):
    entered, leave, noted = threading.Event(), threading.Event(), Noted()

    def callback(event):
        noted(event)
        entered.set()
        assert leave.wait(PATIENCE)

    driven = Driven(endpoint_of(server), on_event=callback)
    driven.core.behind_after = 1
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"a")
        assert entered.wait(PATIENCE)
        end.sendall(b"b")
        end.shutdown(1)
        leave.set()
        assert driven.driver.join(PATIENCE)
    assert "".join(event for event in noted.events if isinstance(event, str)) == "ab"


# --- events -----------------------------------------------------------------------------------------------------------


def test_steps_are_taken_and_work_is_done(driven, server):
    taken = []

    def steps():
        taken.append("first")
        yield
        taken.append("second")
        yield

    def on_event(event):
        driven.noted(event)
        return steps()

    driven.driver.on_event = on_event
    driven.core.told.extend([Working(lambda: taken.append("job")), WORKING, "last"])
    driven.driver.start()
    with accept(server):
        driven.driver.wake()
        driven.noted.until("last")
        driven.finish()
    assert taken == ["job", *["first", "second"] * len(driven.noted.events)]


def test_a_fault_of_the_callback_thread_is_told_to_all_who_wait(driven):
    """Nothing raises there but what nobody thought of; a thread that is gone would leave them waiting for ever."""

    def broken():
        driven.core.in_step = lambda: None
        raise ZeroDivisionError("not thought of")

    driven.core.in_step = broken
    driven.driver.start()
    driven.driver.wake()
    with pytest.raises(ZeroDivisionError):
        driven.driver.join(PATIENCE)
    assert "not thought of" in str(driven.noted.events[-1].error)


def test_a_burst_is_taken_in_turns(driven, server):
    """While one of it is taken, others wait for the core; while it is handled, they need not."""
    order, others = [], []

    def transactions():
        for number in range(3):
            others.append(threading.Thread(target=driven.driver.locked, args=(order.append, "other")))
            others[-1].start()
            order.append(f"taken {number}")
            yield Transaction(number)

    def on_event(event):
        if isinstance(event, BurstOf):
            for transaction in driven.driver.each_in_turn(event):
                others[-1].join(PATIENCE)
                order.append(f"handled {transaction.did}")
        driven.noted(event)

    driven.driver.on_event = on_event
    driven.core.told.extend([BurstOf(transactions()), "last"])
    driven.driver.start()
    with accept(server):
        driven.driver.wake()
        driven.noted.until("last")
        driven.finish()
    assert order == [text for number in range(3) for text in (f"taken {number}", "other", f"handled {number}")]


def test_what_is_posted_runs_between_events(driven, server):
    ran, here = [], threading.current_thread()
    driven.driver.start()
    with accept(server):
        done = Signal()
        driven.driver.post(lambda: ran.append(driven.driver.is_callback_thread))
        driven.driver.post(done.give)
        assert done.wait(PATIENCE)
        assert not driven.driver.is_callback_thread
        driven.finish()
    driven.driver.post(lambda: ran.append(threading.current_thread() is here))
    assert ran == [True, True]


def test_a_destructor_in_the_middle_of_a_step_may_look(driven, server):
    looked = []
    driven.core.in_step = lambda: looked.append(driven.driver.locked(len, driven.core.told))
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"hello")
        driven.noted.until("hello")
        driven.finish()
    assert looked


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ZeroDivisionError()])
def test_what_a_callback_raises_ends_it_and_is_told_to_who_waits(server, error):
    noted = Noted()

    def callback(event):
        noted(event)
        if event == "bad":
            raise error

    driven = Driven(endpoint_of(server), on_event=callback)
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"bad")
        with pytest.raises(type(error)) as caught:
            driven.driver.join(PATIENCE)
    assert caught.value is error
    assert noted.events == ["bad", Disconnected(None)]
    assert driven.driver.join(PATIENCE), "it is raised once"


def test_what_is_posted_and_raises_ends_it_too(driven, server):
    def fail():
        raise SystemExit

    driven.driver.start()
    with accept(server):
        driven.driver.post(fail)
        with pytest.raises(SystemExit):
            driven.driver.join(PATIENCE)


def test_a_fault_while_asking_for_a_token(server):
    def ask():
        raise SystemExit(4)

    driven = Driven(endpoint_of(server), ask_token=ask)
    driven.driver.start()
    with pytest.raises(SystemExit):
        driven.driver.join(PATIENCE)
    [event] = driven.noted.events
    assert "SystemExit(4)" in event.reason


def test_closing_in_a_callback(server):
    noted = Noted()

    def callback(event):
        noted(event)
        driven.driver.close()

    driven = Driven(endpoint_of(server), on_event=callback)
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"enough")
        assert driven.driver.join(PATIENCE)
    assert noted.events == ["enough", Disconnected(None)]


def test_waiting_for_the_end_has_an_end(server):
    entered, leave = threading.Event(), threading.Event()

    def callback(event):
        entered.set()
        assert leave.wait(PATIENCE)

    driven = Driven(endpoint_of(server), on_event=callback)
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"slow")
        assert entered.wait(PATIENCE)
        driven.driver.close()
        assert not driven.driver.join(0)
        leave.set()
        assert driven.driver.join(PATIENCE)


def test_nobody_waits_for_a_token_that_never_comes(server):
    asked, give, given = threading.Event(), threading.Event(), threading.Event()

    def ask():
        asked.set()
        give.wait(PATIENCE)
        given.set()
        return "late"

    driven = Driven(endpoint_of(server), ask_token=ask)
    driven.driver.start()
    assert asked.wait(PATIENCE)
    driven.finish()
    assert not given.is_set()
    give.set()
    for thread in threading.enumerate():
        if thread.name.startswith("spacetimedb"):
            thread.join(PATIENCE)
    assert driven.core.tokens == []


def test_abandoning(driven, server):
    driven.driver.start()
    with accept(server) as end:
        end.sendall(b"hello")
        driven.noted.until("hello")
        driven.driver.abandon("enough")
        assert driven.driver.join(PATIENCE)
        assert end.recv(16) == b""
    assert driven.noted.events[-1] == Disconnected(None, reason="enough")


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [0.05, 0.0005])
def test_a_signal(piece, monkeypatch):
    monkeypatch.setattr(blocking, "SLICE", piece)
    never, later = Signal(), Signal()
    assert not never.wait(0)
    assert not never.wait(0.002)
    thread = threading.Thread(target=later.give)
    thread.start()
    assert later.wait(PATIENCE)
    thread.join()
    given = Signal()
    given.give("whatever")
    assert given.wait(None)


def test_ends_are_looked_for_in_pieces(driven, server, monkeypatch):
    monkeypatch.setattr(blocking, "SLICE", 0.0005)
    driven.driver.start()
    with accept(server):
        assert not driven.driver.join(0.002)
        driven.finish()


# --- as a whole -------------------------------------------------------------------------------------------------------


def test_a_session_from_beginning_to_end():
    with serve(behaviour) as server:
        noted, kinds = Noted(), []

        def on_event(event):
            kinds.append(type(event))
            noted(type(event))

        core = DurableConnection(Endpoint.parse(server.uri), server.database, Options(), chance=lambda: 0.5)
        driver = BlockingDriver(core, ask_token=lambda: None, on_event=on_event, clock=lambda: 0.0)
        driver.start()
        noted.until(Connected)
        driver.locked(core.subscribe, "SELECT * FROM pair")
        driver.wake()
        noted.until(SubscribeApplied)
        driver.close()
        assert driver.join(PATIENCE)
    assert kinds[-2:] == [Disconnected, StateChanged]
    assert core.ending.error is None
