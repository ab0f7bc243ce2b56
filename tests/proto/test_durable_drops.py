"""A hundred losses in a row: nothing is left of them."""

from __future__ import annotations

import gc
from collections import Counter, deque

import pytest

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.errors import NotSent
from spacetimedb_proto.events import Connected
from spacetimedb_proto.states import SessionState
from tests.fuzz.history import quickly
from tests.simulated import World, put_mark, put_pair, write_note

DROPS = 100
TOLD = ["both", "both", "client", "server"]


def busy(world, client, number):
    """Do something of everything, so that there is something to leave behind."""
    core = client.core
    world.run(lambda ctx: put_pair(ctx, number % 7, 1, f"text {number % 3}"))
    world.run(lambda ctx: write_note(ctx, 1, f"note {number % 3}"))
    world.run(lambda ctx: put_mark(ctx, number % 5, number % 3))
    query_set = client.do(core.subscribe, "SELECT * FROM pair WHERE group = 1", deadline=world.now + 1.0)
    client.do(core.call_reducer, "put", [number, 1, 1, "own"])
    client.do(core.call_procedure, "double", [number], deadline=world.now + 0.01)
    given_up = client.do(core.call_reducer, "write", [number, 1, "own"])
    world.settle(0.02)
    client.do(core.cancel_call, given_up)
    client.do(core.query, "SELECT * FROM pair")
    world.settle(0.2)
    client.do(core.unsubscribe, query_set)
    client.do(core.subscribe, "SELECT * FROM nowhere")


def without_link(world, client, number):
    core = client.core
    kept = client.do(core.call_reducer, "put", [number, 2, 1, "later"], retry=True)
    if number % 2:
        client.do(core.cancel_call, kept)
    client.do(core.unsubscribe, client.do(core.subscribe, "SELECT * FROM note"))
    with pytest.raises(NotSent):
        core.call_reducer("put", [number, 3, 1, "never"])


def until(world, condition, step):
    end = world.now + 100.0
    while not condition():
        world.settle(step)
        assert world.now < end


def sizes(core):
    """How much there is in every container that the session reaches, by where it is."""
    found = {}
    todo = deque([("core", core)])
    seen = set()
    while todo:
        name, each = todo.popleft()
        if id(each) in seen or isinstance(each, (str, bytes, int, float, type)) or callable(each):
            continue
        seen.add(id(each))
        if isinstance(each, (dict, list, set, deque, tuple)):
            found[name] = found.get(name, 0) + len(each)
        inside = each.values() if isinstance(each, dict) else each if isinstance(each, (list, deque, tuple)) else ()
        todo.extend((f"{name}[]", item) for item in inside)
        if str(type(each).__module__).startswith("spacetimedb_proto.") and ".schema" not in type(each).__module__:
            slots = [slot for kind in type(each).__mro__ for slot in getattr(kind, "__slots__", ())]
            names = {*slots, *getattr(each, "__dict__", {})}
            todo.extend((f"{name}.{slot}", getattr(each, slot, None)) for slot in sorted(names) if slot != "_codec")
    return found


def tracked():
    gc.collect()
    return Counter(type(each).__qualname__ for each in gc.get_objects())


@pytest.mark.parametrize("release", ["2.14", "2.8"])
def test_a_hundred_losses_leave_nothing_behind(release):
    world = World(1, release=release, latency=(0.0, 0.005), whole=1.0)
    with quickly():
        client = world.connected(backoff=Backoff(initial=0.1, jitter=0), direct=1.0)
        for query in ("SELECT * FROM pair", "SELECT * FROM note", "SELECT * FROM alarm"):
            client.do(client.core.subscribe, query)
        client.do(client.core.subscribe, "SELECT * FROM mark", cache="keys")
        world.settle(1.0)
        snapshots = {}
        for number in range(DROPS + 1):
            busy(world, client, number)
            client.links[-1].cut(told=TOLD[number % 4])
            until(world, lambda: client.core.state is SessionState.WAITING, 0.04)
            without_link(world, client, number)
            until(world, lambda: client.core.state is SessionState.CONNECTED, 0.5)
            world.settle(3.0)
            assert client.session.calls_waiting == 0
            assert client.core.failed_attempts == 0
            assert len(client.session.query_sets) == 4
            if number in (DROPS // 2 - 1, DROPS - 1):  # the same point of what is done in turn
                client.events.clear()
                client.links[:-1] = []
                client.attempts.clear()
                snapshots[number] = sizes(client.core), tracked()
        assert client.core.links >= DROPS
        assert client.told(Connected)
    (early, before), (late, after) = snapshots.values()
    assert {name: size for name, size in late.items() if size > early.get(name, 0) + 8} == {}
    # What has a bound may still have filled up a little; a single object that each loss leaves would be twice as many.
    grown = {name: (before[name], count) for name, count in after.items() if count > before[name] + DROPS // 4}
    assert grown == {}
