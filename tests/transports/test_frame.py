"""Driving a durable connection by ticks: what one tick may do, told by a clock that the test holds."""

import gc
import threading
from types import SimpleNamespace

import attrs
import pytest

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import AuthenticationError, ConnectError, LocalProtocolError
from spacetimedb_proto.events import NEED_DATA, Connected, Disconnected, LinkEnded, SubscribeApplied, Working
from spacetimedb_proto.options import Options
from spacetimedb_proto.states import SessionState
from spacetimedb_proto.uri import Endpoint
from spacetimedb_sdk.testing import serve
from spacetimedb_transports.frame import SHARE, FrameDriver
from tests.behaviour_module import behaviour
from tests.loopback import accept, closed_port, endpoint_of, listener

PATIENCE = 2000
"""Ticks after which a test that waits for something has failed."""

STEP = 0.001
"""Seconds that a step takes on the test's clock."""


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Sockets left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


class Clock:
    """Time that the test makes pass, and that counts how often somebody looks."""

    def __init__(self):
        self.now = 1000.0
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self.now


class Client:
    """A durable connection, its driver, and the events that came."""

    def __init__(self, endpoint, database="behaviour", *, token=None, **options):
        self.clock = Clock()
        self.told = []
        self.core = DurableConnection(endpoint, database, Options(**options), chance=lambda: 0.5, now=self.clock.now)
        self.driver = FrameDriver(
            self.core, ask_token=token or (lambda: None), on_event=self.told.append, clock=self.clock
        )

    def until(self, condition, budget=1.0):
        """Tick until something holds; where nothing can be done, wait for the link only."""
        for _ in range(PATIENCE):
            if condition():
                return
            if not self.driver.tick(budget):
                self.driver._poller.wait(0.01)
        raise AssertionError("it came to no end")

    def until_told(self, kind):
        self.until(lambda: any(isinstance(event, kind) for event in self.told))
        return next(event for event in self.told if isinstance(event, kind))

    def end(self):
        self.core.close()
        self.until(lambda: self.driver.is_over)


def by_hand(*tolds, sent=()):
    """A driver of a core that says these things, and the events that come of it."""
    left, out, told = list(tolds), list(sent), []
    core = SimpleNamespace(
        need=Need.NOTHING,
        bytes_received=0,
        advance=lambda: left.pop(0) if left else NEED_DATA,
        data_to_send=lambda: out.pop(0) if out else b"",
    )
    return FrameDriver(core, ask_token=lambda: None, on_event=told.append, clock=Clock()), told, out


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server


@pytest.fixture
def client(server):
    client = Client(Endpoint.parse(server.uri), backoff=Backoff())
    client.until_told(Connected)
    client.told.clear()
    yield client
    client.driver.finish(0)


# --- the budget -------------------------------------------------------------------------------------------------------


def test_events_are_handed_out_until_the_time_is_up(server, client):
    client.core.subscribe("SELECT * FROM pair")
    client.until_told(SubscribeApplied)
    told = []

    def costly(event):
        for one in event if isinstance(event, Burst) else [event]:
            told.append(one)
            client.clock.now += STEP
            yield

    client.driver.on_event = costly
    server.run(lambda ctx: ctx.db.pair.insert(id=1, key="k1", group=0, value=0))
    for n in range(1, 101):  # of one shape, so that they may come out in bursts
        server.run(lambda ctx, n=n: ctx.db.pair.update(attrs.evolve(ctx.db.pair.find(id=1), value=n)))
    counts = []

    def tick():
        before = len(told)
        is_more = client.driver.tick(7.5 * STEP)
        counts.append(len(told) - before)
        return is_more

    while len(told) < 101:
        if not tick():
            client.driver._poller.wait(0.01)
    assert max(counts) == 8, "the eighth is the one that ends after the time is up"
    rows = [getattr(change, "new", None) or change.row for event in told for change in event.changes["pair"]]
    assert [(row.key, row.value) for row in rows] == [("k1", n) for n in range(101)]


def test_the_steps_of_an_event_may_take_many_ticks(client):
    steps = []

    def slow(_event):
        for n in range(10):
            steps.append(n)
            client.clock.now += STEP
            yield

    client.core.subscribe("SELECT * FROM pair")
    client.driver.on_event = slow
    client.until(lambda: steps, budget=0)
    assert len(steps) == 1
    assert client.driver.tick(3.5 * STEP)
    assert len(steps) == 5
    assert client.driver.tick(0)
    assert len(steps) == 6
    client.until(lambda: len(steps) == 10)
    client.driver.on_event = client.told.append


def test_somebody_looks_at_the_clock_between_any_two_steps(server, client, monkeypatch):
    """Then no tick can take longer than its budget by more than a step."""
    server.run(lambda ctx: [ctx.db.pair.insert(id=n, key=f"k{n}", group=0, value=0) for n in range(20_000)])
    looks, advance = [], client.core.advance

    def noted():
        looks.append(client.clock.looks)
        return advance()

    monkeypatch.setattr(client.core, "advance", noted)
    client.core.subscribe("SELECT * FROM pair")
    client.until_told(SubscribeApplied)
    assert len(looks) > 20
    assert len(set(looks)) == len(looks)


def test_a_tick_without_a_budget_takes_a_step_all_the_same(server):
    client = Client(Endpoint.parse(server.uri))
    client.until(lambda: client.told, budget=0)
    client.core.close()
    client.until(lambda: client.driver.is_over, budget=-1.0)


def test_the_last_tick_says_that_nothing_is_left(client):
    assert client.driver.tick(1.0) is False
    client.end()
    assert [client.driver.tick(1.0) for _ in range(3)] == [False, False, False]
    assert client.driver.is_over


def test_a_message_to_inflate_is_a_step_on_this_thread():
    threads = []
    driver, told, _ = by_hand(Working(lambda: threads.append(threading.current_thread())), "inflated")
    assert driver.tick(0)
    assert (threads, told) == ([threading.current_thread()], [])
    assert driver.tick(0)
    assert told == ["inflated"]


def test_a_large_message_is_received_in_shares(server, client):
    server.run(lambda ctx: [ctx.db.pair.insert(id=n, key=f"{n:500}", group=0, value=0) for n in range(2000)])
    client.core.subscribe("SELECT * FROM pair")
    sizes = []

    def tick():
        before = client.core.bytes_received
        is_more = client.driver.tick(0)
        sizes.append(client.core.bytes_received - before)
        return is_more

    while not client.told:
        if not tick():
            client.driver._poller.wait(0.01)
    assert max(sizes) <= 2 * SHARE, "once when the tick begins, and once as its step"


def test_what_a_handler_asks_for_leaves_in_the_same_tick(client):
    sent = []

    def answer(event):
        if isinstance(event, SubscribeApplied):
            client.core.call_reducer("clear")
            sent.append(client.core.bytes_sent)

    client.driver.on_event = answer
    client.core.subscribe("SELECT * FROM pair")
    client.until(lambda: sent, budget=0)
    assert client.core.bytes_sent > sent[0]


def test_bytes_are_moved_while_an_event_takes_its_time(server, client):
    """So pings are answered, however long callbacks take."""

    begun = []

    def endless(event):
        begun.append(event)
        while True:
            yield

    client.core.subscribe("SELECT * FROM pair")
    client.driver.on_event = endless
    client.until(lambda: begun, budget=0)
    start = client.core.bytes_received
    server.run(lambda ctx: [ctx.db.pair.insert(id=n, key=f"{n:500}", group=0, value=0) for n in range(1000)])
    client.clock.now += STEP
    sizes = []
    while client.core.bytes_received < start + 500_000:
        before = client.core.bytes_received
        client.driver.tick(0)
        sizes.append(client.core.bytes_received - before)
        client.driver._poller.wait(0.01)
    assert max(sizes) <= SHARE
    assert client.driver.last_received == client.clock.now
    assert len(begun) == 1


# --- what is needed next ----------------------------------------------------------------------------------------------


def test_no_thread_on_loopback(server):
    before = threading.enumerate()
    client = Client(Endpoint.parse(server.uri))
    client.until_told(Connected)
    assert threading.enumerate() == before
    client.end()


def test_no_token():
    def ask():
        raise AuthenticationError("nobody is at home")

    client = Client(Endpoint.parse("ws://127.0.0.1:1"), token=ask)
    client.until(lambda: client.driver.is_over)
    assert str(client.core.ending.error) == "nobody is at home"


def test_nobody_listens():
    with closed_port() as closed:
        client = Client(endpoint_of(closed))
        client.until(lambda: client.driver.is_over)
    assert isinstance(client.core.ending.error, ConnectError)
    assert isinstance(client.told[-2], Disconnected)


def test_a_server_that_hangs_up_at_once_is_not_waited_for(monkeypatch):
    with listener() as server:
        client = Client(endpoint_of(server))
        monkeypatch.setattr("spacetimedb_transports.sockets._is_connected", lambda _: False)
        client.until(lambda: client.driver._poller.is_opening, budget=0)
        accept(server).close()
        monkeypatch.undo()
        client.until(lambda: client.driver.is_over)
    assert isinstance(client.core.ending.error, ConnectError)


def test_tls_settings_without_tls():
    client = Client(Endpoint.parse("ws://127.0.0.1:1"))
    client.driver._ssl = object()
    client.until(lambda: client.driver.is_over)
    assert "an SSL context was given" in str(client.core.ending.error)


def test_closing_while_a_link_is_being_opened():
    with listener() as server:
        client = Client(endpoint_of(server))
        client.until(lambda: client.core.need is Need.LINK, budget=0)
        client.end()
    assert client.core.ending.error is None


def test_a_lost_link_is_replaced_when_it_is_time(server, client, monkeypatch):
    looked_up = []
    monkeypatch.setattr("spacetimedb_transports.sockets.look_up", lambda *host: looked_up.append(host))
    server.drop_clients()
    client.until(lambda: client.core.state is SessionState.WAITING)
    for _ in range(3):
        while client.driver.tick(1.0):
            pass
    assert client.core.state is SessionState.WAITING
    assert client.driver._poller.fileno() == -1, "nothing is opened before it is time"
    client.clock.now += 0.99
    assert client.driver.tick(1.0) is False
    client.clock.now += 0.02
    client.until(lambda: client.core.state is SessionState.CONNECTED)
    assert looked_up == []


def test_a_host_that_may_have_moved_is_looked_up_again(server, client, monkeypatch):
    looked_up = []

    def look_up(host, port):
        looked_up.append((host, port))
        raise OSError("no such host")

    endpoint = client.core.endpoint
    server.stop()
    client.until(lambda: client.core.state is SessionState.WAITING)
    for attempt in (1, 2):
        client.until(lambda: client.core.need is Need.TIME)
        monkeypatch.setattr("spacetimedb_transports.sockets.look_up", look_up)
        client.driver.tick(1.0)
        client.clock.now += 100
        client.until(lambda attempt=attempt: client.core.failed_attempts == attempt)
    assert looked_up == [(endpoint.host, endpoint.port)]


def test_what_could_not_leave_is_not_sent_over_the_next_link():
    driver, _, out = by_hand(LinkEnded(), sent=[b"goodbye"])
    driver.tick(0)
    assert out == []


# --- misuse, and the end ----------------------------------------------------------------------------------------------


def test_no_tick_inside_a_tick(client):
    caught = []

    def reenter(_event):
        for again in (lambda: client.driver.tick(0), lambda: client.driver.finish(1.0)):
            try:
                again()
            except LocalProtocolError as error:
                caught.append(str(error))

    client.driver.on_event = reenter
    client.core.subscribe("SELECT * FROM pair")
    client.until(lambda: caught)
    assert caught == ["expected a tick from the frame loop, got one inside a callback of another tick"] * 2
    client.end()


def test_what_a_handler_raises_leaves_the_tick_and_the_next_one_goes_on(client):
    def interrupted(_event):
        client.driver.on_event = client.told.append
        raise KeyboardInterrupt

    client.core.subscribe("SELECT * FROM pair")
    client.core.subscribe("SELECT * FROM no_key")
    client.driver.on_event = interrupted
    with pytest.raises(KeyboardInterrupt):
        client.until_told(SubscribeApplied)
    client.until_told(SubscribeApplied)
    assert len(client.told) == 1


def test_finishing_waits_for_the_goodbye(server, client):
    client.core.close()
    client.driver.finish(60.0)
    assert client.driver.is_over
    assert (client.told[-2].code, client.told[-2].error) == (1000, None)


def test_a_goodbye_that_takes_too_long_is_cut(server, client):
    client.core.close()
    client.driver.finish(0)
    assert client.driver._poller.fileno() == -1
    assert not client.driver.is_over
    client.until(lambda: client.driver.is_over)
    assert isinstance(client.told[-2], Disconnected)
    assert client.told[-2].error is None
