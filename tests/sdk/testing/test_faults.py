"""Faults on demand: each happens at the message that was named, in memory and on real sockets."""

from __future__ import annotations

from random import Random

import pytest

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.errors import ConnectionLost, RemoteProtocolError
from spacetimedb_proto.events import Connected, Disconnected, ReducerEvent, SubscribeApplied, Transaction
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk import Backoff, SessionState
from spacetimedb_sdk.blocking import connect
from spacetimedb_sdk.testing import Database, Service, Site, serve
from spacetimedb_transports.memory import Link
from tests.behaviour_module import Pair, behaviour

SOON = Backoff(initial=0.01, maximum=0.02)


class Chunks:
    """A client that is told where the bytes it gets were cut."""

    def __init__(self, connection):
        self.connection = connection
        self.pieces = []

    def receive_data(self, data):
        self.pieces.append(data)
        self.connection.receive_data(data)

    def __getattr__(self, name):
        return getattr(self.connection, name)


class World:
    """A server in memory, and clients that are subscribed to all pairs."""

    def __init__(self):
        self.database = Database(behaviour, clock=lambda: Timestamp(0))
        self.site = Site(self.database, random_bytes=Random(1).randbytes)
        self.faults = self.site.faults

    def join(self):
        # v3 would put what is sent at one time into one message.
        options = {"protocols": ["v2.bsatn"], "compression": "none"}
        client = Chunks(ClientConnection(behaviour.schema, Endpoint.parse("ws://memory"), "behaviour", **options))
        service = Service(self.site)
        link = Link(client, service)
        service.on_drop(link.server_events)
        return link

    def client(self):
        link = self.join()
        turn(link)
        link.client.session.subscribe(["SELECT * FROM pair"])
        assert kinds(turn(link)) == [SubscribeApplied]
        return link

    def insert(self, *ids):
        for number in ids:
            self.database.run(lambda ctx, number=number: ctx.db.pair.insert(Pair(number, f"k{number}", 0, 0)))


@pytest.fixture
def world():
    return World()


def turn(link):
    """Carry everything both ways, and return what the client was told."""
    told = []
    while True:
        fresh = link.client_events()
        done = link.server_events()
        told += fresh
        if not fresh and not done:
            return told


def kinds(events):
    return [type(event) for event in events]


def ids(events):
    return [change.row.id for event in events if isinstance(event, Transaction) for change in event.changes["pair"]]


# --- one by one, in memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_link_is_cut_at_a_message(world, size):
    link = world.client()
    world.faults.cut(after=2, size=size)
    world.insert(1, 2, 3, 4)
    events = turn(link)
    assert ids(events) == [1, 2]
    assert events[-1].code == 1006
    assert isinstance(events[-1].error, ConnectionLost)
    assert world.faults.waiting == 0


def test_the_greeting_is_a_message(world):
    world.faults.cut()
    assert kinds(turn(world.join())) == [Disconnected]
    world.faults.close(4321, "not today", after=1)
    link = world.join()
    assert kinds(turn(link)) == [Connected]
    link.client.session.subscribe(["SELECT * FROM pair"])
    (end,) = turn(link)
    assert (end.code, end.reason) == (4321, "not today")


def test_a_connection_is_closed_in_place_of_a_message(world):
    link = world.client()
    world.faults.close(1013, "try again", after=1)
    world.insert(1, 2, 3)
    *before, end = turn(link)
    assert ids(before) == [1]
    assert (end.code, end.reason) == (1013, "try again")


def test_messages_vanish(world):
    link = world.client()
    world.faults.lose(2, after=1)
    world.insert(1, 2, 3, 4)
    assert ids(turn(link)) == [1, 4]
    assert world.faults.waiting == 0


def test_messages_are_garbled(world):
    link = world.client()
    world.faults.garble(after=1)
    world.insert(1, 2, 3)
    *before, end = turn(link)
    assert ids(before) == [1]
    assert isinstance(end.error, RemoteProtocolError)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_messages_are_split_and_mean_the_same(world, size):
    link = world.client()
    world.faults.split(size, 2)
    link.client.pieces.clear()
    world.insert(1, 2)
    link.client.session.call_reducer("add_pairs", (10, 300))
    first, second, own = turn(link)
    assert ids([first, second]) == [1, 2]
    assert isinstance(own, ReducerEvent)
    assert max(map(len, link.client.pieces[:2])) <= size + 10


def test_a_stalled_link_is_late_and_loses_nothing(world):
    link, other = world.client(), world.client()
    world.faults.stall(after=1, to=link.client.session.identity)
    world.insert(1, 2, 3)
    assert ids(turn(link)) == [1]
    assert ids(turn(other)) == [1, 2, 3], "others are served"
    link.client.session.call_reducer("add_pairs", (4, 1))
    assert turn(link) == []
    assert ids(turn(other)) == [4], "it hears, and does not answer"
    world.faults.resume()
    events = turn(link)
    assert ids(events) == [2, 3]
    assert isinstance(events[-1], ReducerEvent)


def test_a_deaf_link_does_later_what_it_was_asked(world):
    link, other = world.client(), world.client()
    world.faults.stall(deaf=True, to=link.client.session.identity)
    world.insert(1)
    assert turn(link) == []
    link.client.session.call_reducer("add_pairs", (4, 1))
    turn(link)
    assert ids(turn(other)) == [1]
    world.faults.clear()
    assert kinds(turn(link)) == [Transaction, ReducerEvent]
    assert ids(turn(other)) == [4]


def test_faults_are_for_whom_they_are_meant(world):
    first, second = world.client(), world.client()
    world.faults.lose(to=second.client.session.identity)
    world.insert(1, 2)
    assert ids(turn(first)) == [1, 2]
    assert ids(turn(second)) == [2]


def test_faults_add_up_in_their_order(world):
    link = world.client()
    world.faults.lose(after=1)
    world.faults.split(3, after=1)
    world.faults.cut(after=4)
    assert world.faults.waiting == 3
    world.insert(1, 2, 3, 4, 5, 6)
    events = turn(link)
    assert ids(events) == [1, 3, 4]
    assert kinds(events)[-1] is Disconnected


def test_what_was_not_wanted_any_more_does_not_happen(world):
    link = world.client()
    world.faults.cut(after=1)
    world.faults.clear()
    world.insert(1, 2)
    assert ids(turn(link)) == [1, 2]


def test_what_makes_no_sense(world):
    with pytest.raises(ValueError, match="after=-1"):
        world.faults.cut(after=-1)
    with pytest.raises(ValueError, match="count=0"):
        world.faults.lose(0)
    with pytest.raises(ValueError, match="size: expected 1 or more, got 0"):
        world.faults.split(0)


# --- on real sockets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "cut inside", "close", "garble"])
def test_a_client_recovers_or_says_why(fault):
    with serve(behaviour) as server, connect(server.uri, server.database, reconnect=SOON, timeout=20) as conn:
        conn.subscribe("SELECT * FROM pair")
        states = conn.states()
        match fault:
            case "cut":
                server.faults.cut()
            case "cut inside":
                server.faults.cut(size=9)
            case "close":
                server.faults.close(1011, "sorry")
            case "garble":
                server.faults.garble()
        server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 0)))
        seen = []
        while SessionState.CONNECTED not in seen[1:] and SessionState.CLOSED not in seen:
            seen.append(next(states).state)
        if fault == "garble":
            assert isinstance(conn.last_ending.error, RemoteProtocolError), "the SDK does not ask again for nonsense"
        else:
            assert [row.id for row in conn.db.pair] == [1]
        assert server.faults.waiting == 0


def test_a_stalled_server_answers_later():
    with serve(behaviour) as server, connect(server.uri, server.database, timeout=20) as conn:
        conn.subscribe("SELECT * FROM pair")
        inserted = conn.db.pair.changes()
        server.faults.stall()
        for number in range(3):
            server.run(lambda ctx, number=number: ctx.db.pair.insert(Pair(number, f"k{number}", 0, 0)))
        assert len(conn.db.pair) == 0
        server.faults.resume()
        assert [next(inserted).row.id for _ in range(3)] == [0, 1, 2]


def test_split_messages_arrive_whole():
    with serve(behaviour) as server, connect(server.uri, server.database, timeout=20) as conn:
        server.faults.split(1, 4)
        conn.subscribe("SELECT * FROM pair")
        conn.reducers.add_pairs(1, 20)
        assert len(conn.db.pair) == 20
        conn.reducers.add_pairs(100, 20)
        assert len(conn.db.pair) == 40
