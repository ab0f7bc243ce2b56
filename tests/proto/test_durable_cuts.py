"""A session whose link is cut at every byte of it, in either direction, one after the other; and at none of them."""

from __future__ import annotations

import pytest

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.events import Connected, Resumed, SubscribeApplied, UnsubscribeApplied
from spacetimedb_proto.states import SessionState
from tests.fuzz.history import Witness, check, quickly
from tests.simulated import RUNS, World, put_pair, write_note

STEADY = Backoff(initial=0.1, jitter=0)


class Session:
    """A short session, the same each time: query sets, calls, what others write, and a query set that is taken back.

    Args:
        direction: In which bytes are counted; None cuts nothing.
        offset: How many of them get through.
        again: Whether the link that is cut is the second one, which asks for everything again.
    """

    def __init__(self, direction=None, offset=0, *, again=False):
        RUNS.clear()
        self.world = World(1, latency=(0.01, 0.01), whole=1.0)
        self.cut = {direction: offset} if direction else {}
        self.which = 1 if again else 0
        for key in range(2):
            self.world.run(lambda ctx, key=key: put_pair(ctx, key, 1, "first"))
        self.world.run(lambda ctx: write_note(ctx, 1, "first"))
        self.websockets = []
        client = self.client = self.world.client(on_link=self.on_link, direct=1.0, backoff=STEADY)
        self.witness = Witness(client)
        client.on_event = self.witness.see
        before = [
            lambda: self.subscribe("SELECT * FROM pair", "SELECT * FROM note"),
            lambda: self.call("put", 1, 7, 1, "own"),
            lambda: self.subscribe("SELECT * FROM pair WHERE group = 1"),
        ]
        after = [
            lambda: self.world.run(lambda ctx: put_pair(ctx, 0, 2, "changed")),
            lambda: self.call("write", 2, 1, "second", retry=True),
            lambda: self.unsubscribe(1),
            lambda: self.call("refuse", 3),
        ]
        self.plan(0.3, before)
        if again:
            self.world.network.call_at(0.4, self.lose)
        self.plan(0.9 if again else 0.4, after)

    def plan(self, time, steps):
        for number, step in enumerate(steps):
            self.world.network.call_at(time + 0.03 * number, lambda step=step: (step(), self.client.go()))

    def on_link(self, link):
        if self.cut and len(self.websockets) == self.which:
            link.cut_at(**self.cut)
        self.websockets.append(link)

    def lose(self):
        if self.websockets:
            self.websockets[-1].cut()

    def subscribe(self, *queries):
        if self.client.core.links:
            query_set = self.client.core.subscribe(queries)
            self.witness.asked.add(query_set)
            self.witness.sets.add(query_set)

    def unsubscribe(self, query_set):
        if query_set in self.witness.sets:
            self.client.core.unsubscribe(query_set)

    def call(self, name, number, *args, **options):
        core = self.client.core
        if core.links and (core._has_link or options):
            request_id = core.call_reducer(name, [number, *args], **options)
            self.witness.calls[request_id] = []
            self.witness.numbers[request_id] = number

    def run(self):
        """To the end, and check all."""
        with quickly():
            self.world.settle(1.0)
            while not (self.world.now > 100 or self.is_over()):
                self.world.settle(5.0)
        assert self.is_over()
        check(self.witness)
        return self

    def is_over(self):
        core = self.client.core
        if core.state is not SessionState.CONNECTED:
            return core.state is SessionState.CLOSED
        return core.session.calls_waiting == 0 and not self.websockets[-1].is_cut


@pytest.fixture(scope="module", params=[False, True], ids=["first", "second"])
def again(request):
    """Whether it is the second link that is cut."""
    return request.param


@pytest.fixture(scope="module")
def recorded(again):
    """The session with no cut but the one that there is always before a second link."""
    session = Session(again=again).run()
    assert RUNS == {1: 1, 2: 1, 3: 1}, "no call is left out, so there is one under way at most cuts"
    return session


def test_what_is_recorded_is_all_of_it(again, recorded):
    assert recorded.client.core.state is SessionState.CONNECTED
    assert len(recorded.client.told(Connected)) == len(recorded.websockets) == 1 + again
    assert len(recorded.client.told(Resumed)) == again
    assert len(recorded.client.told(SubscribeApplied)) == 2 + 2 * again
    assert len(recorded.client.told(UnsubscribeApplied)) == 1


@pytest.mark.parametrize("direction", ["client_to_server", "server_to_client"])
def test_a_cut_at_every_byte(direction, again, recorded):
    size = recorded.websockets[again].sent[direction == "server_to_client"]
    states = [Session(direction, offset, again=again).run().client.core.state for offset in range(size + 1)]
    if again:
        assert set(states) == {SessionState.CONNECTED}
    else:
        greeted = states.index(SessionState.CONNECTED)
        assert set(states[:greeted]) == {SessionState.CLOSED}, "a first connect that fails is not tried again"
        assert set(states[greeted:]) == {SessionState.CONNECTED}
        assert 100 < greeted < size
