"""A network in virtual time: nothing is lost or swapped unless a link is cut, and chance is an argument."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.events import NEED_DATA, Disconnected
from spacetimedb_transports.simulation import SimulatedNetwork

END = Disconnected(None)
seeds = st.integers(0, 2**32)
sayings = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


class Tube:
    """A side without a protocol: says what it is told to say, and tells what it hears, as events."""

    def __init__(self, *sayings, deadlines=()):
        self.sayings = list(sayings)
        self.deadlines = list(deadlines)
        self.waiting = []
        self.heard = b""
        self.ends = 0
        self.woken = []

    def receive_data(self, data):
        assert data
        assert not self.ends
        self.heard += data
        self.waiting.append(data)

    def receive_eof(self, reason=""):
        self.ends += 1
        self.waiting.append(END)

    def data_to_send(self):
        return self.sayings.pop(0) if self.sayings else b""

    def next_event(self):
        return self.waiting.pop(0) if self.waiting else NEED_DATA

    def next_deadline(self):
        return self.deadlines[0] if self.deadlines else None

    def handle_timeout(self, now):
        self.woken.append(now)
        self.deadlines.pop(0)

    def hang_up(self):
        self.waiting.append(END)


def network(seed=1, **options):
    return SimulatedNetwork(Random(seed), **options)


# --- carrying ---------------------------------------------------------------------------------------------------------


@given(seeds, sayings, sayings, st.integers(1, 50), st.floats(0, 2))
def test_bytes_arrive_in_order_and_none_is_lost(seed, ours, theirs, largest_piece, latency):
    net = network(seed, latency=(0.0, latency), largest_piece=largest_piece)
    client, server = Tube(*ours), Tube(*theirs)
    link = net.link(client, server)
    net.run_until(2 * latency + 1)
    assert (client.heard, server.heard) == (b"".join(theirs), b"".join(ours))
    assert all(len(piece) <= largest_piece for piece in link.client_events + link.server_events)
    assert (client.ends, server.ends, link.is_over) == (0, 0, False)
    assert link.sent == (len(server.heard), len(client.heard))


def test_pieces_are_cut_anywhere_and_delayed():
    net = network(latency=(0.5, 1.5), largest_piece=64)
    times = []
    net.link(Tube(bytes(200)), Tube(), on_server_event=lambda piece: times.append((net.now, len(piece))))
    net.run_until(0.4)
    assert times == []
    net.run_until(2.0)
    assert sum(size for _, size in times) == 200
    assert len(times) > 3
    assert all(0.5 <= time <= 1.5 for time, _ in times)
    assert times == sorted(times, key=lambda each: each[0])
    assert len({time for time, _ in times}) > 1
    assert net.now == 2.0


def test_the_same_seed_is_the_same_history():
    def visit(seed):
        net, told = network(seed), []
        for name in ("first", "second"):
            link = net.link(
                Tube(b"request" * 20),
                Tube(b"answer" * 20),
                on_client_event=lambda event, name=name: told.append((net.now, name, "client", event)),
                on_server_event=lambda event, name=name: told.append((net.now, name, "server", event)),
            )
            link.cut_at(client_to_server=100)
        net.run_until(1.0)
        return told

    assert visit(1) == visit(1)
    assert visit(1) != visit(2)


def test_what_a_test_does_meanwhile_is_carried_too():
    net = network()
    client, server = Tube(), Tube()
    net.link(client, server)
    net.run_until(1.0)
    client.sayings.append(b"later")
    net.run_until(1.0)
    assert server.heard == b"", "it is on its way"
    net.run_until(1.1)
    assert server.heard == b"later"


def test_links_concern_each_other():
    """What one side does when it hears something may be for another link's side to send."""
    net = network(latency=(0.0, 0.0))
    speaker, far = Tube(), Tube()
    net.link(far, speaker)
    net.link(Tube(b"news"), Tube(), on_server_event=speaker.sayings.append)
    net.run_until(0.0)
    assert far.heard == b"news"


def test_a_link_made_by_an_event_is_carried_at_once():
    net = network(latency=(0.0, 0.0))
    second = Tube()

    def again(event):
        if isinstance(event, Disconnected):
            net.link(Tube(b"me again"), second)

    first = net.link(Tube(), Tube(), on_client_event=again)
    first.cut()
    net.run_until(0.0)
    assert second.heard == b"me again"


# --- ends -------------------------------------------------------------------------------------------------------------


@given(seeds, sayings, sayings, st.none() | st.integers(0, 200), st.none() | st.integers(0, 200))
def test_a_cut_loses_the_rest_and_nothing_else(seed, ours, theirs, up, down):
    net = network(seed)
    client, server = Tube(*ours), Tube(*theirs)
    link = net.link(client, server)
    link.cut_at(client_to_server=up, server_to_client=down)
    net.run_until(10.0)
    said, answered = b"".join(ours), b"".join(theirs)
    assert said.startswith(server.heard)
    assert answered.startswith(client.heard)
    assert link.sent == (len(server.heard), len(client.heard)), "what was sent has arrived"
    is_cut = (up is not None and len(server.heard) >= up) or (down is not None and len(client.heard) >= down)
    assert link.is_cut == link.is_over == is_cut
    assert (client.ends, server.ends) == (is_cut, is_cut)
    if is_cut:
        assert (len(server.heard) == up) or (len(client.heard) == down)
    else:
        assert (server.heard, client.heard) == (said, answered)


def test_a_cut_after_a_byte_that_is_never_sent_does_not_happen():
    net = network()
    link = net.link(Tube(b"12345"), Tube())
    link.cut_at(client_to_server=6)
    net.run_until(1.0)
    assert not link.is_cut
    link.cut_at(client_to_server=5)
    assert link.is_cut
    net.run_until(2.0)
    assert link.is_over


def test_cut_now_loses_what_is_on_its_way():
    net = network(latency=(0.5, 0.5))
    client, server = Tube(b"lost"), Tube(b"lost too")
    link = net.link(client, server)
    net.run_until(0.4)
    link.cut()
    client.sayings.append(b"into the void")
    net.run_until(0.8)
    assert (client.ends, server.ends) == (0, 0)
    net.run_until(0.9)
    assert (client.heard, server.heard) == (b"", b"")
    assert (client.ends, server.ends) == (1, 1)
    assert link.sent == (4, 8)


@pytest.mark.parametrize(
    ("told", "ends"), [("both", (1, 1)), ("client", (1, 0)), ("server", (0, 1)), ("nobody", (0, 0))]
)
def test_who_is_told_of_a_cut(told, ends):
    net = network()
    sides = []
    for how in ("now", "later"):
        client, server = Tube(b"x"), Tube()
        link = net.link(client, server)
        if how == "now":
            link.cut(told=told)
        else:
            link.cut_at(client_to_server=1, told=told)
        sides.append((client, server))
    net.run_until(1.0)
    assert [(client.ends, server.ends) for client, server in sides] == [ends, ends]


def test_a_side_that_does_not_know_may_be_cut_off_for_good():
    net = network()
    client, server = Tube(), Tube()
    link = net.link(client, server)
    link.cut(told="client")
    net.run_until(1.0)
    assert [link.client_events, link.server_events] == [[END], []]
    server.hang_up()
    net.run_until(2.0)
    assert link.is_over
    assert client.ends == 1


def test_a_side_that_ends_hangs_up_after_its_last_bytes():
    net = network(latency=(0.1, 0.2))
    client, server = Tube(), Tube(b"first")
    link = net.link(client, server)
    net.run_until(1.0)
    server.sayings.append(b"goodbye")
    server.hang_up()
    net.run_until(1.05)
    assert client.ends == 0
    client.sayings.append(b"too late")
    net.run_until(2.0)
    assert (client.heard, client.ends) == (b"firstgoodbye", 1)
    assert (server.heard, server.ends) == (b"", 0)
    assert link.is_over
    assert not link.is_cut


def test_a_hang_up_that_is_on_its_way_can_be_lost():
    net = network(latency=(0.5, 0.5))
    client, server = Tube(), Tube()
    link = net.link(client, server)
    server.hang_up()
    net.run_until(0.1)
    link.cut(told="nobody")
    net.run_until(5.0)
    assert client.ends == 0


# --- time -------------------------------------------------------------------------------------------------------------


def test_deadlines_are_kept_to_the_moment():
    net = network(now=10.0)
    client, server = Tube(deadlines=[12.0, 12.0, 15.0]), Tube(deadlines=[3.0, math.inf])
    link = net.link(client, server)
    assert (link.client, link.server) == (client, server)
    net.run_until(12.0)
    assert client.woken == [12.0, 12.0]
    assert server.woken == [10.0], "what is past is due now"
    net.run_until(14.9)
    assert len(client.woken) == 2
    net.run_until(20.0)
    assert client.woken == [12.0, 12.0, 15.0]
    assert net.now == 20.0


def test_a_side_that_is_over_keeps_no_time():
    net = network(latency=(0.0, 0.0))
    client = Tube(deadlines=[5.0])
    net.link(client, Tube()).cut()
    net.run_until(9.0)
    assert client.woken == []


def test_what_is_planned_happens_in_order_of_time():
    net = network(now=1.0)
    done = []
    net.call_at(3.0, lambda: done.append(("three", net.now)))
    net.call_at(2.0, lambda: net.call_at(0.0, lambda: done.append(("at once", net.now))))
    net.call_at(3.0, lambda: done.append(("three again", net.now)))
    net.call_at(3.1, lambda: done.append(("too late", net.now)))
    net.run_until(3.0)
    assert done == [("at once", 2.0), ("three", 3.0), ("three again", 3.0)]
    net.run_until(2.5)
    assert net.now == 3.0, "time does not go back"
