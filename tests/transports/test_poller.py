"""Driving a connection without waiting: with a stand-in for it, time given, and as a whole against the server."""

import gc
import selectors
import threading
import time
from contextlib import suppress

import pytest

from spacetimedb_proto.errors import ConnectError, ConnectionLost
from spacetimedb_proto.events import (
    NEED_DATA,
    Connected,
    Disconnected,
    ReducerEvent,
    SubscribeApplied,
    Transaction,
)
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk.testing import serve
from spacetimedb_transports.poller import DRAIN_TIME, Poller
from tests.behaviour_module import behaviour
from tests.loopback import (
    PATIENCE,
    accept,
    address_of,
    break_sending,
    closed_port,
    encrypted,
    endpoint_of,
    listener,
    ready,
    reset,
    shaken,
    tls_contexts,
)

MUCH = bytes(range(256)) * 40_000
"""More than the buffers of a loopback connection hold together."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Sockets left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


class Noted:
    """Stands in for a connection: notes what it is given, and sends what it is told to."""

    def __init__(self):
        self.received = bytearray()
        self.pieces = []
        self.ends = []
        self.output = b""
        self.is_behind = False
        self.behind_after = None
        self.deadline = None
        self.timeouts = []

    def receive_data(self, data):
        assert data
        assert self.ends == []
        self.received += data
        self.pieces.append(len(data))
        if self.behind_after is not None and len(self.received) >= self.behind_after:
            self.is_behind = True

    def receive_eof(self, reason=""):
        self.ends.append(reason)

    def data_to_send(self):
        output, self.output = self.output, b""
        return output

    def next_deadline(self):
        return self.deadline

    def handle_timeout(self, now):
        self.timeouts.append(now)
        self.deadline = None


def until(poller, condition, now=0.0, **options):
    """Poll until something holds, waiting for what the poller says only."""
    for _ in range(10_000):
        poller.poll(now, **options)
        if condition():
            return
        with selectors.DefaultSelector() as selector:
            selector.register(poller.fileno(), poller.interest())
            if poller.timeout(now) != 0:
                assert selector.select(PATIENCE), "nothing happened for too long"
    raise AssertionError("it came to no end")


class Joined:
    """A poller whose link is open, and the server's end of it."""

    def __init__(self, server, **options):
        self.connection = Noted()
        self.poller = Poller(self.connection)
        self.poller.open(endpoint_of(server), now=0, **options)
        until(self.poller, lambda: self.poller.is_open)
        self.end = accept(server)


@pytest.fixture
def server():
    with listener() as server:
        yield server


@pytest.fixture
def joined(server):
    joined = Joined(server)
    with joined.end:
        yield joined
    joined.poller.close()


# --- opening ----------------------------------------------------------------------------------------------------------


def test_nothing_is_open_at_first():
    poller = Poller(Noted())
    poller.poll(0)
    assert not poller.is_open
    assert not poller.is_opening
    assert poller.is_flushed
    assert (poller.fileno(), poller.interest(), poller.timeout(0)) == (-1, 0, None)
    assert list(poller.addresses) == []
    poller.close()


def test_nothing_is_taken_before_the_link_is_open(server):
    connection = Noted()
    connection.output = b"hello"
    poller = Poller(connection)
    poller.open(endpoint_of(server), now=0)
    assert poller.is_opening
    assert connection.output == b"hello"
    until(poller, lambda: poller.is_open)
    assert not poller.is_opening
    assert [str(address) for address in poller.addresses] == ["127.0.0.1"]
    with accept(server) as end:
        assert end.recv(5) == b"hello"
    poller.close()


def test_it_cannot_be_opened(server):
    """The connection knows nothing of it, and has lost nothing: so the next try may succeed."""
    connection = Noted()
    connection.output = b"hello"
    poller = Poller(connection)
    with closed_port() as bound:
        poller.open(endpoint_of(bound), now=0)
        with pytest.raises(ConnectError, match=r"^cannot connect to 127\.0\.0\.1:"):
            until(poller, lambda: False)
    assert not poller.is_opening
    poller.poll(0)
    assert connection.ends == []
    assert connection.output == b"hello"
    poller.open(endpoint_of(server, "db.example"), now=0, addresses=[address_of(server)])
    until(poller, lambda: poller.is_open)
    accept(server).close()
    poller.close()


def test_opening_has_a_deadline(monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: may_end.wait(PATIENCE) and [])
    poller = Poller(Noted())
    poller.open(Endpoint.parse("ws://db.example"), now=10, timeout=5)
    assert poller.timeout(10) == 0
    poller.poll(10)
    assert poller.timeout(12) == 3
    with pytest.raises(ConnectError, match="no answer to the name lookup for 5 s"):
        poller.poll(15)
    may_end.set()
    poller.close()


def test_time_is_kept_while_a_link_is_opened_and_without_one(server):
    connection = Noted()
    poller = Poller(connection)
    connection.deadline = 3
    poller.poll(3)
    poller.open(endpoint_of(server), now=4)
    connection.deadline = 4
    poller.poll(4)
    assert connection.timeouts == [3, 4]
    poller.close()


def test_another_link_replaces_the_first(server):
    joined = Joined(server)
    joined.poller.open(endpoint_of(server), now=0)
    assert joined.end.recv(1) == b""
    joined.end.close()
    until(joined.poller, lambda: joined.poller.is_open)
    with accept(server) as end:
        end.sendall(b"again")
        until(joined.poller, lambda: joined.connection.received == b"again")
    assert joined.connection.ends == []
    joined.poller.close()


def test_a_link_that_is_being_opened_is_replaced(server):
    poller = Poller(Noted())
    for _ in range(2):
        poller.open(endpoint_of(server), now=0)
        poller.poll(0)
    poller.close()
    assert not poller.is_opening


def test_settings_for_tls_are_not_ignored():
    poller = Poller(Noted())
    with pytest.raises(ConnectError, match="an SSL context was given"):
        poller.open(Endpoint.parse("ws://h"), tls_contexts()[1], now=0)


# --- moving -----------------------------------------------------------------------------------------------------------


def test_bytes_come_one_by_one(joined):
    for count in range(1, 6):
        joined.end.sendall(b"x")
        until(joined.poller, lambda wanted=count: len(joined.connection.received) == wanted)
    assert joined.connection.pieces == [1] * 5


def test_one_poll_receives_no_more_than_it_may(joined):
    joined.end.sendall(b"x" * 100_000)
    connection, taken = joined.connection, 0
    while taken < 100_000:
        ready(joined.poller)
        joined.poller.poll(0, limit=999)
        assert taken < len(connection.received) <= taken + 999
        taken = len(connection.received)


def test_much_is_sent_in_pieces(joined):
    joined.connection.output = MUCH
    joined.poller.poll(0, limit=len(MUCH))
    assert not joined.poller.is_flushed
    joined.connection.output = b"more"
    joined.poller.poll(0)
    assert joined.connection.output == b"more"  # what has not been taken does not count as sent
    taken = bytearray()
    while len(taken) < len(MUCH) + 4:
        taken += joined.end.recv(1_000_000)
        joined.poller.poll(0)
    assert taken == MUCH + b"more"
    assert joined.poller.is_flushed


def test_reading_pauses_while_the_connection_is_behind(joined):
    connection, poller = joined.connection, joined.poller
    connection.behind_after = 1000
    joined.end.sendall(b"x" * 3000)
    joined.end.close()
    until(poller, lambda: connection.is_behind, limit=700)
    held = len(connection.received)
    poller.poll(0)
    assert len(connection.received) == held
    assert poller.interest() == 0
    assert poller.timeout(0) is None
    connection.is_behind, connection.behind_after = False, None
    assert poller.interest() == READ
    until(poller, lambda: connection.ends)
    assert connection.received == b"x" * 3000


def test_the_peer_leaves(joined):
    joined.end.sendall(b"bye")
    joined.end.close()
    until(joined.poller, lambda: joined.connection.ends)
    joined.poller.poll(0)
    assert joined.connection.received == b"bye"
    assert joined.connection.ends == [""]
    assert not joined.poller.is_open
    assert joined.poller.interest() == 0


def test_the_peer_leaves_at_once(server):
    joined = Joined(server)
    joined.end.close()
    until(joined.poller, lambda: joined.connection.ends)
    assert joined.connection.ends == [""]
    joined.poller.close()


def test_the_peer_resets(joined):
    reset(joined.end)
    until(joined.poller, lambda: joined.connection.ends)
    assert len(joined.connection.ends) == 1
    assert "reset" in joined.connection.ends[0].lower()


def test_an_answer_leaves_after_the_peer_has_ended_its_side(joined):
    """So a Close frame is answered."""
    joined.end.shutdown(1)
    until(joined.poller, lambda: joined.connection.ends)
    joined.connection.output = b"goodbye"
    joined.poller.poll(0)
    assert joined.end.recv(10) == b"goodbye"


def test_what_came_before_sending_failed_is_delivered(joined):
    connection, poller = joined.connection, joined.poller
    break_sending(poller)
    connection.output = b"lost"
    poller.poll(5)
    connection.output = b"kept"
    assert poller.interest() == READ
    assert poller.timeout(5) == DRAIN_TIME
    joined.end.sendall(b"last words")
    until(poller, lambda: connection.received == b"last words", now=5)
    joined.end.close()
    until(poller, lambda: connection.ends, now=5)
    assert len(connection.ends) == 1
    assert "broken pipe" in connection.ends[0].lower()
    assert connection.output == b"kept"
    assert poller.timeout(5) is None


def test_reading_on_after_sending_failed_has_an_end(joined):
    connection, poller = joined.connection, joined.poller
    break_sending(poller)
    connection.output = b"lost"
    poller.poll(5)
    connection.is_behind = True
    joined.end.sendall(b"last words")
    poller.poll(100)
    assert poller.timeout(100) is None
    assert connection.ends == []
    connection.is_behind = False
    until(poller, lambda: connection.received, now=5 + DRAIN_TIME / 2)
    poller.poll(5 + DRAIN_TIME)
    assert connection.received == b"last words"
    assert len(connection.ends) == 1
    assert "broken pipe" in connection.ends[0].lower()


def test_what_is_due_is_done(joined):
    connection, poller = joined.connection, joined.poller
    connection.deadline = 7.5
    assert poller.timeout(5) == 2.5
    assert poller.timeout(9) == 0
    poller.poll(7.4)
    assert connection.timeouts == []
    poller.poll(7.5)
    assert connection.timeouts == [7.5]
    assert poller.timeout(8) is None


def test_nothing_is_due_at_infinity(joined):
    joined.connection.deadline = float("inf")
    assert joined.poller.timeout(0) is None


def test_hanging_up_sends_what_can_be_sent(joined):
    joined.connection.output = b"goodbye"
    joined.poller.hang_up()
    assert joined.end.recv(10) == b"goodbye"
    assert joined.end.recv(10) == b""
    assert joined.connection.ends == []
    joined.poller.hang_up()
    assert joined.poller.fileno() == -1


def test_hanging_up_does_not_wait(joined):
    joined.connection.output = MUCH
    joined.poller.hang_up()
    assert joined.poller.is_flushed


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_tls_with_a_limit_and_records_that_have_left_the_socket(server):
    """A selector knows nothing of what TLS has taken in, so the poller says that it is due."""
    server_context, client_context = tls_contexts()
    connection = Noted()
    poller = Poller(connection)
    poller.open(endpoint_of(server, "localhost", tls=True), client_context, now=0, addresses=[address_of(server)])
    poller.poll(0)
    end = encrypted(accept(server), server_context)
    is_shaken = False
    for _ in range(100):
        is_shaken = is_shaken or shaken(end)
        poller.poll(0)
    assert is_shaken
    assert poller.is_open
    end.settimeout(PATIENCE)
    end.sendall(b"x" * 100_000)
    end.close()
    until(poller, lambda: connection.ends, limit=5000)
    assert connection.received == b"x" * 100_000
    assert max(connection.pieces) == 5000
    assert connection.ends == [""]
    poller.close()


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_ends_when_bytes_come(joined):
    joined.end.sendall(b"hello")
    joined.poller.wait(None)
    joined.poller.poll(0)
    assert joined.connection.received


def test_waiting_ends_when_there_is_room(joined):
    joined.end.settimeout(0)
    joined.connection.output = MUCH
    joined.poller.poll(0, limit=len(MUCH))
    while not joined.poller.is_flushed:
        with suppress(BlockingIOError):  # a system may wait until there is much room
            while joined.end.recv(1_000_000):
                pass
        joined.poller.wait(None)
        joined.poller.poll(0, limit=len(MUCH))


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_waiting_ends_when_time_is_up(joined, seconds):
    joined.poller.wait(seconds)


def test_another_thread_ends_the_waiting(joined):
    waiting = threading.Thread(target=joined.poller.wait, args=(float("inf"),))
    waiting.start()
    joined.poller.wake()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_call_before_the_waiting_is_not_lost(joined, has_waited):
    if has_waited:
        joined.poller.wait(0)
    for _ in range(100_000):  # more than a socket would hold
        joined.poller.wake()
    joined.poller.wait(None)


def test_a_call_is_served_once(joined, monkeypatch):
    found = []

    class Noting(selectors.DefaultSelector):
        def select(self, timeout=None):
            found.append(super().select(timeout))
            return found[-1]

    monkeypatch.setattr("spacetimedb_transports.poller._Selector", Noting)
    for _ in range(2):
        joined.poller.wake()
        joined.poller.wait(None)
        joined.poller.wait(0)
    assert [len(ready_ones) for ready_ones in found] == [1, 0, 1, 0]


def test_a_lookup_ends_the_waiting(monkeypatch):
    def find(*_, **__):
        raise OSError("no such host")

    monkeypatch.setattr("socket.getaddrinfo", find)
    poller = Poller(Noted())
    poller.open(Endpoint.parse("ws://db.example"), now=0)
    with pytest.raises(ConnectError, match="no such host"):
        for _ in range(3):
            poller.poll(0)
            poller.wait(None)
    poller.close()


def test_after_closing_nobody_waits(joined):
    joined.poller.wait(0)
    for _ in range(2):
        joined.poller.close()
        joined.poller.wake()
        joined.poller.wait(None)
    assert joined.end.recv(1) == b""


# --- as a whole -------------------------------------------------------------------------------------------------------


class Client:
    """A session over a poller, as a thread that waits would drive it."""

    def __init__(self, server):
        self.endpoint = Endpoint.parse(server.uri)
        now = time.monotonic()
        self.connection = ClientConnection(behaviour.schema, self.endpoint, server.database, now=now)
        self.poller = Poller(self.connection)
        self.poller.open(self.endpoint, now=now)

    def until(self, kind):
        end = time.monotonic() + PATIENCE
        while (now := time.monotonic()) < end:
            self.poller.poll(now)
            while (event := self.connection.next_event()) is not NEED_DATA:
                if isinstance(event, kind):
                    return event
            self.poller.send(now)
            seconds = self.poller.timeout(now)
            self.poller.wait(PATIENCE if seconds is None else min(seconds, PATIENCE))
        raise AssertionError(f"no {kind} came")


def test_a_session():
    with serve(behaviour) as server:
        client = Client(server)
        client.until(Connected)
        session = client.connection.session
        session.subscribe(["SELECT * FROM pair"])
        client.until(SubscribeApplied)
        session.call_reducer("add_pairs", (1, 20_000))
        assert len(client.until((ReducerEvent, Transaction)).changes["pair"].inserts) == 20_000
        client.connection.close()
        assert client.until(Disconnected) == Disconnected(None, 1000, "")
        client.poller.close()


def test_a_session_is_cut():
    with serve(behaviour) as server:
        client = Client(server)
        client.until(Connected)
        server.drop_clients()
        assert isinstance(client.until(Disconnected).error, ConnectionLost)
        client.poller.close()


def test_the_server_says_goodbye():
    with serve(behaviour) as server:
        client = Client(server)
        client.until(Connected)
        server.close_clients(3000, "over")
        assert client.until(Disconnected).code == 3000
        client.poller.close()
