"""Long messages are applied in steps: whoever reads between them finds the old state or the new one."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacetimedb_proto import NEED_DATA, ClientSession, Limits
from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.cache import Cache, Deltas
from spacetimedb_proto.cache.table import TableCache
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.events import Connected, SubscribeApplied, Transaction, Working
from spacetimedb_proto.steps import finish
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol

from .test_cache import ROWS, SCHEMA, TEXTS, keyed, plain, rows_of, snapshot, update
from .test_lazy import objects, state, told

V2 = "v2.bsatn.spacetimedb"


@pytest.fixture(autouse=True)
def short_steps(monkeypatch):
    """Steps of two rows, so that small messages take many, and no way around them."""
    monkeypatch.setattr(TableCache, "few", 0)
    for name, module in list(sys.modules.items()):
        if name.startswith("spacetimedb_proto") and hasattr(module, "STEP"):
            monkeypatch.setattr(module, "STEP", 2)


def messages(draw, cache, name):
    """Any message about one table, as long as it fits what is there."""
    deltas = Deltas()
    for query_set in draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)):
        come = draw(st.lists(ROWS if name == "keyed" else TEXTS, max_size=9))
        go = (
            draw(st.lists(st.sampled_from(sorted(cache.table(name).raw())), max_size=9))
            if len(cache.table(name))
            else []
        )
        deltas.update(query_set, update(name, come, go))
    if draw(st.booleans()):
        deltas.drop(draw(st.integers(1, 2)), [name])
    return deltas


@given(data=st.data(), name=st.sampled_from(["keyed", "plain"]), is_lazy=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_readers_in_between_find_the_old_state_or_the_new(data, name, is_lazy):
    cache, twin = Cache(SCHEMA), Cache(SCHEMA)
    cache.table(name).is_lazy = is_lazy
    for _ in range(data.draw(st.integers(1, 4))):
        deltas = messages(data.draw, twin, name)
        before, expected = state(twin, name), None
        try:
            expected = twin.apply(deltas)
        except RemoteProtocolError:
            with pytest.raises(RemoteProtocolError, match="deletes a row"):
                finish(cache.applying(deltas))
            assert state(cache, name) == before
            return
        after, seen = state(twin, name), before
        steps, changes = cache.applying(deltas), None
        while changes is None:
            try:
                next(steps)
            except StopIteration as end:
                changes = end.value
            if data.draw(st.booleans()):
                now = state(cache, name)
                assert now in (seen, after)
                seen = now
        assert state(cache, name) == after
        assert told(changes) == told(expected)
        assert objects(changes) == objects(expected)


@pytest.mark.parametrize("when", range(20))
def test_an_index_built_in_between_is_right_afterwards(when):
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(n, group=n % 2) for n in range(6)])
    table = cache.table("keyed")
    deltas = Deltas()
    deltas.update(1, update("keyed", [keyed(n, group=1, value=9) for n in range(6)], list(table.raw())))
    for number, _ in enumerate(cache.applying(deltas)):
        if number == when:
            found = {row.id: row.value for row in table.select({1: 1})}
            assert found in ({1: 0, 3: 0, 5: 0}, dict.fromkeys(range(6), 9))
    assert {row.id: row.value for row in table.select({1: 1})} == dict.fromkeys(range(6), 9)


def test_an_object_made_in_between_does_not_outlive_its_row():
    cache = Cache(SCHEMA)
    snapshot(cache, 1, "keyed", [keyed(n) for n in range(6)])
    table = cache.table("keyed")
    deltas = Deltas()
    deltas.update(1, update("keyed", [keyed(n, value=9) for n in range(6)], list(table.raw())))
    for _ in cache.applying(deltas):
        assert table.finder(0)(5).value in (0, 9)
    assert table.finder(0)(5).value == 9


def payload(message, compression="none"):
    (data,) = protocol(V2, SCHEMA, Limits()).write_server([message], compression)
    return data


def change(name, inserts, deletes):
    return m.TransactionUpdate([m.QuerySetUpdate(1, update(name, inserts, deletes))])


def connected():
    session = ClientSession(SCHEMA, protocol=V2)
    session.receive(payload(m.InitialConnection(Identity(bytes(32)), ConnectionId(bytes(16)), "")))
    assert isinstance(session.next_event(), Connected)
    assert session.subscribe("SELECT * FROM plain") == 1
    return session


def test_a_session_advances_in_steps():
    session = connected()
    rows = [plain(n, "x" * n) for n in range(20)]
    session.receive(payload(m.SubscribeApplied(2, 1, rows_of("plain", rows))))
    assert isinstance(session.next_event(), SubscribeApplied)
    session.receive(payload(change("plain", [plain(n, "new") for n in range(20)], rows[:10])))
    waits = 0
    while (event := session.advance()) is not NEED_DATA and isinstance(event, Working):
        assert event.job is None
        waits += 1
    assert isinstance(event, Transaction)
    assert waits > 10
    assert len(session.cache.table("plain")) == 30


def test_a_large_compressed_payload_may_be_opened_elsewhere(monkeypatch):
    monkeypatch.setattr("spacetimedb_proto.wire.compression.LONG", 100)
    session = connected()
    rows = [plain(n % 100, str(n * n)) for n in range(1000)]
    session.receive(payload(m.SubscribeApplied(2, 1, rows_of("plain", rows)), "gzip"))
    working = session.advance()
    assert isinstance(working, Working)
    assert working.job is not None
    working.job()
    working.job()
    assert isinstance(session.next_event(), SubscribeApplied)
    assert len(session.cache.table("plain")) == 1000


def test_what_is_wrong_with_a_payload_opened_elsewhere_is_said_when_it_is_read(monkeypatch):
    monkeypatch.setattr("spacetimedb_proto.wire.compression.LONG", 100)
    session = connected()
    session.receive(b"\2" + bytes(200))
    working = session.advance()
    assert isinstance(working, Working)
    assert working.job is not None
    working.job()
    with pytest.raises(RemoteProtocolError, match="expected a gzip stream"):
        session.next_event()
