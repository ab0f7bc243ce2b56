"""Two hundred clients at one server: each hears of all that concerns it, once and in order, and of nothing else."""

from __future__ import annotations

from random import Random

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.cache import Inserted
from spacetimedb_proto.events import Connected, ReducerEvent, SubscribeApplied, Transaction
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk.testing import Database, Service, Site
from spacetimedb_transports.memory import Link
from tests.behaviour_module import Pair, behaviour

CLIENTS = 200
TRANSACTIONS = 10_000
ROUND = 250
"""Transactions between two looks of a client at what came."""


class Member:
    """A client that follows the row of its group, whose value counts up, and calls now and then by itself."""

    def __init__(self, site, group):
        self.group = group
        self.count = 0
        self.seen = []
        protocol = ("v3.bsatn", "v2.bsatn", "v1.bsatn")[group % 3]
        client = ClientConnection(behaviour.schema, Endpoint.parse("ws://memory"), "behaviour", protocols=[protocol])
        self.link = Link(client, Service(site))
        assert [type(event) for event in self.turn()] == [Connected]
        self.session.subscribe([f"SELECT * FROM pair WHERE group = {group}"])
        assert [type(event) for event in self.turn()] == [SubscribeApplied]

    @property
    def session(self):
        return self.link.client.session

    def turn(self):
        told = []
        while True:
            fresh = self.link.client_events()
            done = self.link.server_events()
            told += fresh
            if not fresh and not done:
                return told

    def look(self):
        for event in self.turn():
            assert isinstance(event, Transaction | ReducerEvent), event
            assert list(event.changes) == ["pair"], "nobody hears of what is nothing to him"
            self.seen += event.changes["pair"]

    def next_row(self):
        self.count += 1
        return Pair(self.group, f"k{self.group}", self.group, self.count)

    def call(self):
        """Have the client make the next change itself."""
        row = self.next_row()
        name = "add_pair" if self.count == 1 else "set_pair"
        self.session.call_reducer(name, (row.id, row.key, row.group, row.value))
        self.look()


def test_nothing_is_lost_and_nothing_out_of_order():
    random = Random(11)
    database = Database(behaviour, clock=lambda: Timestamp(0))
    site = Site(database, random_bytes=random.randbytes)
    members = [Member(site, group) for group in range(CLIENTS)]
    for number in range(1, TRANSACTIONS + 1):
        member = random.choice(members)
        if random.random() < 0.05:
            member.call()
        else:
            row = member.next_row()
            database.run(lambda ctx, row=row: put(ctx, row))
        if number % ROUND == 0 or number == TRANSACTIONS:
            for each in members:
                each.look()
    assert sum(member.count for member in members) == TRANSACTIONS
    for member in members:
        told = [change.row if isinstance(change, Inserted) else change.new for change in member.seen]
        assert {row.group for row in told} == {member.group}
        assert [row.value for row in told] == list(range(1, member.count + 1))
        (held,) = member.session.cache.table("pair")
        assert held.value == member.count


def put(ctx, row):
    if row.value == 1:
        ctx.db.pair.insert(row)
    else:
        ctx.db.pair.update(row)
