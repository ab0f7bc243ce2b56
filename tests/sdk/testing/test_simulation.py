"""A site and many links to it in virtual time: what a client that comes back and back again is tested with."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.errors import SpacetimeDBError
from spacetimedb_proto.events import Connected, Disconnected, SubscribeApplied, Transaction
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk.testing import Module, PrimaryKey, Service, Site, u32
from spacetimedb_transports.simulation import SimulatedNetwork
from tests.behaviour_module import behaviour
from tests.sdk.testing.support import ENDPOINT, database, in_session

SESSION = "0123456789abcdef" * 2


class World:
    """A site, a network to it, and what has happened there."""

    def __init__(self, seed, module=behaviour):
        random = Random(seed)
        self.site = Site(database(module), random_bytes=random.randbytes)
        self.network = SimulatedNetwork(random)
        self.history = []
        self._numbers = itertools.count()

    def arrive(self, on_event=lambda _: None, **options):
        """Somebody connects; the link."""
        number = next(self._numbers)
        database, now = self.site.database, self.network.now
        options = {"endpoint": ENDPOINT, **options}
        client = ClientConnection(database.schema, options.pop("endpoint"), database.name, now=now, **options)

        def note(event):
            self.history.append((self.network.now, number, type(event).__name__))
            on_event(event)

        return self.network.link(client, Service(self.site, now=now), on_client_event=note)

    def settle(self, seconds=5.0):
        self.network.run_until(self.network.now + seconds)


def hello(link):
    return next(event for event in link.client_events if isinstance(event, Connected))


def the_end(link):
    (end,) = [event for event in link.client_events if isinstance(event, Disconnected)]
    assert link.client_events[-1] is end
    return end


@pytest.mark.parametrize("told", ["both", "client", "server"])
@settings(max_examples=30)
@given(st.integers(0, 2**32), st.none() | st.integers(0, 900), st.none() | st.integers(0, 2500))
def test_a_visit_that_is_cut_anywhere_leaves_nothing_behind(told, seed, up, down):
    world = World(seed)

    def on_event(event):
        if isinstance(event, Connected):
            link.client.session.call_reducer("add_pairs", [1, 50])
            link.client.session.subscribe(["SELECT * FROM pair"])

    link = world.arrive(on_event)
    link.cut_at(client_to_server=up, server_to_client=down, told=told)
    world.settle()
    if not link.is_cut:
        assert isinstance(link.client_events[-1], SubscribeApplied)
        link.cut(told=told)
    world.settle(100.0)
    assert link.is_over, "whoever was not told has given up"
    assert isinstance(the_end(link).error, SpacetimeDBError)
    assert world.site.links == {}
    assert repr(world.site.database) == "<Database 'behaviour' with 0 clients>"


def test_the_same_seed_is_the_same_history():
    def visits(seed):
        world = World(seed)
        for size in (400, 700, 1000):
            world.arrive().cut_at(server_to_client=size)
            world.settle(0.1)
        world.settle()
        return world.history

    assert visits(3) == visits(3)
    assert visits(3) != visits(4)


def test_many_links_one_after_the_other_while_others_write():
    """A client without any skill: after each loss it subscribes anew. What it sees last is what there is."""
    world = World(11)
    chance = Random(12)
    writer = world.arrive()
    losses, links = [], []

    def come_back():
        def on_event(event):
            if isinstance(event, Connected):
                link.client.session.subscribe(["SELECT * FROM pair"])
            if isinstance(event, Disconnected):
                losses.append(event)
                world.network.call_at(world.network.now + 0.1, come_back)

        link = world.arrive(on_event)
        links.append(link)
        if len(links) <= 40:
            link.cut_at(server_to_client=chance.randrange(6000))

    come_back()
    world.settle(1.0)
    for number in range(60):
        writer.client.session.call_reducer("add_pairs", [10 * number, 10])
        world.settle(0.3)
    world.settle()
    assert len(losses) == 40
    pairs = world.site.database.run(lambda ctx: list(ctx.db.pair))
    assert len(pairs) == 600
    cache = links[-1].client.session.cache
    assert sorted(pair.id for pair in cache.table("pair")) == [pair.id for pair in pairs]
    assert any(isinstance(event, Transaction) for link in links for event in link.client_events)
    assert len(world.site.links) == 2


def test_a_client_that_is_back_before_it_was_missed():
    module, log = Module("visits"), []

    @module.client_connected
    def came(ctx):
        log.append("came")

    @module.client_disconnected
    def left(ctx):
        log.append("left")

    world = World(5, module)
    endpoint = in_session(ENDPOINT, SESSION)
    holder = world.arrive(endpoint=endpoint)
    world.settle(1.0)
    holder.cut(told="client")
    world.settle(1.0)
    assert log == ["came"]
    visit = {"endpoint": endpoint, "token": hello(holder).token}
    early = world.arrive(**visit)
    world.settle(1.0)
    assert the_end(early).code == 4000
    assert (holder.is_over, log) == (True, ["came", "left"])
    back = world.arrive(**visit)
    world.settle(1.0)
    assert hello(back).identity == hello(holder).identity
    assert log == ["came", "left", "came"]


def test_a_restart_in_the_middle():
    world = World(8)
    link = world.arrive()
    world.network.call_at(1.0, lambda: world.site.restart(keep_rows=False))
    world.settle(2.0)
    assert the_end(link).code == 1001
    back = world.arrive(token=hello(link).token)
    world.settle(1.0)
    assert hello(back).identity == hello(link).identity


def test_a_new_version_meets_new_links_only():
    first, second = Module("grows"), Module("grows")

    @second.table(public=True)
    class Thing:
        id: PrimaryKey[u32]

    world = World(9, first)
    link = world.arrive()
    world.settle(1.0)
    world.site.republish(second)
    world.settle(1.0)
    assert the_end(link).code == 1001
    back = world.arrive()
    world.settle(1.0)
    back.client.session.subscribe(["SELECT * FROM thing"])
    world.settle(1.0)
    assert isinstance(back.client_events[-1], SubscribeApplied)
