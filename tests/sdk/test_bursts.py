"""Many transactions at once: callbacks must not be able to tell them from single ones."""

from __future__ import annotations

import struct
from collections.abc import Generator
from itertools import pairwise

import pytest

from spacetimedb_proto import NEED_DATA
from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.cache import TableCache
from spacetimedb_proto.events import Transaction
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList

from .test_engine import Bench

TABLE = "pk_u_64"
COUNT = 300


def row(key, data):
    return struct.pack("<Qi", key, data)


class BurstBench(Bench):
    """Hands bursts to the engine as they are, or their events one by one."""

    def __init__(self, *, is_whole):
        super().__init__()
        self.is_whole = is_whole
        self.bursts = 0
        _, self.query_set_id = self.subscribe(TABLE, [row(key, 0) for key in range(3)])
        self.table = self.engine.db[TABLE]
        self.told = []

    def drain(self):
        if not self.is_whole:
            super().drain()
            return
        while (event := self.session.advance()) is not NEED_DATA:
            self.bursts += isinstance(event, Burst)
            steps = self.engine.handle(event)
            if isinstance(steps, Generator):
                for _ in steps:
                    self.between()

    def between(self):
        """What others do while the engine is not at work."""

    def update(self, count=COUNT):
        """The transaction numbered `n` sets row `n % 3` to `n`."""
        replies = []
        for n in range(1, count + 1):
            left = 0 if n <= 3 else n - 3
            part = m.PersistentTableRows(RowList.of([row(n % 3, n)]), RowList.of([row(n % 3, left)]))
            replies.append(m.TransactionUpdate([m.QuerySetUpdate(self.query_set_id, [m.TableUpdate(TABLE, [part])])]))
        self.say(*replies)
        if self.is_whole:
            assert self.bursts > 0

    def note(self, ctx, old, new):
        self.told.append((old.data, new.data))


@pytest.fixture(autouse=True)
def short_ways(monkeypatch):
    """Where none are taken there are no bursts."""
    monkeypatch.setattr(TableCache, "is_lazy", True)


@pytest.fixture(params=[True, False], ids=["whole", "one by one"])
def bench(request):
    return BurstBench(is_whole=request.param)


EXPECTED = [(max(0, n - 3), n) for n in range(1, COUNT + 1)]


def test_each_is_told_once_with_the_cache_as_it_left_it(bench):
    seen = []
    bench.table.on_update(bench.note)
    bench.table.on_update(lambda ctx, _old, new: seen.append(max(row.data for row in ctx.db[TABLE]) == new.data))
    bench.update()
    assert bench.told == EXPECTED
    assert seen == [True] * COUNT


def test_the_event_is_there_for_those_who_ask(bench):
    events = []
    bench.table.on_update(lambda ctx, _old, _new: events.append((ctx.event, ctx.event is ctx.event)))
    bench.update()
    assert all(isinstance(event, Transaction) and is_one for event, is_one in events)
    changed = [event.changes[TABLE].updates for event, _ in events]
    assert changed == [[(row(n % 3, max(0, n - 3)), row(n % 3, n))] for n in range(1, COUNT + 1)]


def test_a_context_answers_as_others_do(bench):
    found = []
    bench.table.on_update(lambda ctx, _old, _new: found.append((ctx.identity, ctx.connection_id, ctx.db, ctx.reducers)))
    bench.update()
    session, engine = bench.session, bench.engine
    assert found == [(session.identity, session.connection_id, engine.db, engine.reducers)] * COUNT


def test_listeners_that_callbacks_add_and_remove_count_from_the_next_one_on(bench):
    later = []

    def first(_ctx, _old, new):
        if new.data == 50:
            listeners.append(bench.table.on_update(lambda _ctx, _old, new: later.append(new.data)))
        if new.data == 200:
            listeners[0].remove()
            listeners[1].remove()

    listeners = [bench.table.on_update(first)]
    bench.table.on_update(bench.note)
    bench.update()
    assert later == list(range(51, 201))
    assert bench.told == EXPECTED


def test_whoever_else_listens_from_some_moment_on_hears_everything_after_it(bench):
    once, streams = [], []

    def start(_ctx, _old, new):
        if new.data == 100:
            bench.table.on_changes(lambda _ctx, changes: once.append(len(changes.updates)))
            streams.extend([bench.table.changes(), bench.engine.record()])

    bench.table.on_update(start)
    bench.table.on_update(bench.note)
    bench.update()
    assert bench.told == EXPECTED
    assert once == [1] * (COUNT - 100)
    assert [len(stream) for stream in streams] == [COUNT - 100] * 2


def test_what_raises_is_reported_and_keeps_nobody_from_hearing(bench):
    def fails(_ctx, _old, new):
        if new.data % 100 == 0:
            raise ValueError(new.data)

    bench.table.on_update(fails)
    bench.table.on_update(bench.note)
    bench.update()
    assert bench.told == EXPECTED
    assert [error.args for error, _ in bench.errors] == [(100,), (200,), (300,)]


def test_an_exit_loses_one_callback_and_no_row(bench):
    def leaves(_ctx, _old, new):
        if new.data == 77:
            raise SystemExit

    bench.table.on_update(bench.note)
    bench.table.on_update(leaves)
    with pytest.raises(SystemExit):
        bench.update()
    bench.drain()
    assert bench.told == EXPECTED


def test_nobody_needs_to_listen(bench):
    bench.update()
    assert {(row.n, row.data) for row in bench.table} == {(0, 300), (1, 298), (2, 299)}


@pytest.mark.parametrize("few", [1, 8])
def test_a_step_tells_of_so_many_transactions_as_the_host_allows(few):
    bench = BurstBench(is_whole=True)
    bench.engine.host.few = few
    told = [0]
    bench.between = lambda: told.append(len(bench.told))
    bench.table.on_update(bench.note)
    bench.update()
    assert max(after - before for before, after in pairwise(told)) == few
    assert bench.told == EXPECTED


@pytest.mark.parametrize("few", [1, 8])
def test_a_step_applies_so_many_transactions_that_nobody_hears_of(few):
    bench = BurstBench(is_whole=True)
    bench.engine.host.few = few
    newest = []
    bench.between = lambda: newest.append(max(row.data for row in bench.table))
    bench.update()
    assert max(after - before for before, after in pairwise(newest)) == few
    assert newest[-1] == COUNT


def test_others_may_listen_between_two_steps():
    bench = BurstBench(is_whole=True)
    heard = []

    def between():
        if len(bench.told) >= 40 and not heard:
            heard.append(len(bench.told))
            bench.table.on_update(lambda _ctx, _old, new: heard.append(new.data))

    bench.between = between
    bench.table.on_update(bench.note)
    bench.update()
    first, *others = heard
    assert others == list(range(first + 1, COUNT + 1))
    assert bench.told == EXPECTED


def test_the_link_may_be_lost_in_the_middle(bench):
    def loses(_ctx, _old, new):
        if new.data == 20:
            bench.session.connection_lost(None)

    bench.table.on_update(bench.note)
    bench.table.on_update(loses)
    bench.update()
    assert bench.told == EXPECTED, "what had come before is still told"
