"""The engine that all hosts share, driven by hand: what a real server does too seldom to wait for."""

from __future__ import annotations

import gc
import itertools
import struct
from collections.abc import Generator

import pytest

from spacetimedb_proto import NEED_DATA, ClientSession, ServerSession
from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.events import Connected
from spacetimedb_proto.steps import finish
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk import (
    ConnectionLost,
    DecodeError,
    SubscriptionError,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from spacetimedb_sdk.bindings.engine import Engine
from spacetimedb_sdk.bindings.pending import Pending
from spacetimedb_sdk.bindings.streams import Stream
from spacetimedb_sdk.bindings.tables import TableHandle
from tests.schemas import schema

SCHEMA = schema("sdk-test")


class HandPending(Pending):
    """An outcome that can be waited for by hand."""

    def __await__(self):
        yield
        return self.result()


class HandHost:
    """A host that is driven by hand."""

    few = 8

    def now(self):
        return 0.0

    def check_caller(self):
        pass

    def outcome(self, pending, timeout):
        return pending

    def table(self, engine, name):
        return TableHandle(engine, name)

    def pending(self, what, report):
        return HandPending(what, report)

    def stream(self, what, unregister, unread):
        return Stream(what, unregister, unread)

    def wake(self):
        pass


class OneLink:
    """A session that does not outlive its link."""

    def __init__(self, session):
        self.session = session

    def __getattr__(self, command):
        return getattr(self.session, command)


class Bench:
    """An engine, and a server's hands at the other end."""

    def __init__(self):
        self.session = ClientSession(SCHEMA)
        self.server = ServerSession(SCHEMA)
        self.server.send(m.InitialConnection(Identity.from_int(7), ConnectionId.from_int(8), "token"))
        self.session.receive(self.server.payloads_to_send()[0])
        assert isinstance(self.session.next_event(), Connected)
        self.engine = Engine(OneLink(self.session), HandHost())
        self.errors = []
        self.engine.hooks.errors.add(lambda error, where: self.errors.append((error, where)))

    def say(self, *replies):
        self.server.send(*replies)
        for payload in self.server.payloads_to_send():
            self.session.receive(payload)
        self.drain()

    def drain(self):
        while (event := self.session.next_event()) is not NEED_DATA:
            steps = self.engine.handle(event)
            if isinstance(steps, Generator):
                finish(steps)

    def asked(self):
        for payload in self.session.payloads_to_send():
            self.server.receive(payload)
        found = []
        while (message := self.server.next_event()) is not NEED_DATA:
            found.append(message)
        return found

    def subscribe(self, table="one_string", rows=()):
        sub = self.engine.subscribe([f"SELECT * FROM {table}"])
        *_, request = self.asked()
        part = m.SingleTableRows(table, RowList.of(list(rows)))
        self.say(m.SubscribeApplied(request.request_id, request.query_set_id, m.QueryRows([part])))
        return sub, request.query_set_id

    def lose(self, error):
        self.session.connection_lost(error)
        self.drain()


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<I", len(data)) + data


def update(query_set, table, inserts=(), deletes=()):
    rows = m.PersistentTableRows(RowList.of(list(inserts)), RowList.of(list(deletes)))
    return m.TransactionUpdate([m.QuerySetUpdate(query_set, [m.TableUpdate(table, [rows])])])


@pytest.fixture
def bench():
    return Bench()


def test_a_row_that_does_not_decode_is_reported_and_the_others_are_served(bench):
    _, query_set = bench.subscribe()
    seen = []
    bench.engine.db.one_string.on_insert(lambda ctx, row: seen.append(row.s))
    bench.say(update(query_set, "one_string", [text("a"), text(b"\xff"), text("b")]))
    assert seen == ["a", "b"]
    ((error, where),) = bench.errors
    assert isinstance(error, DecodeError)
    assert where == "a row of one_string"
    with pytest.raises(DecodeError):
        list(bench.engine.db.one_string)


def test_a_row_that_does_not_decode_ends_the_stream_that_should_hold_it(bench):
    _, query_set = bench.subscribe()
    stream = bench.engine.db.one_string.changes()
    bench.say(update(query_set, "one_string", [text("a"), text(b"\xff")]))
    assert stream.next_nowait().row.s == "a"
    with pytest.raises(DecodeError):
        stream.next_nowait()


def test_rows_of_an_unknown_table_are_logged_once(bench, caplog):
    sub, query_set = bench.subscribe()
    for _ in range(3):
        bench.say(update(query_set, "brand_new", [b"?"]))
    assert caplog.text.count("'brand_new'") == 1
    assert bench.errors == []
    assert sub.state == "live"


def test_a_subscription_that_dies_tells_its_listener(bench):
    sub, query_set = bench.subscribe(rows=[text("a")])
    log = []
    bench.engine.db.one_string.on_delete(lambda ctx, row: log.append(row.s))
    sub.on_ended(lambda ctx: log.append((type(ctx.event), str(ctx.event.error), len(ctx.db.one_string))))
    bench.say(m.SubscriptionError(None, query_set, "view failed"))
    assert log == [(SubscriptionFailed, "view failed", 0), "a"]
    assert bench.errors == []
    assert sub.unsubscribe().done()


def test_a_subscription_that_dies_with_nobody_listening_is_reported(bench):
    _, query_set = bench.subscribe()
    bench.say(m.SubscriptionError(None, query_set, "view failed"))
    ((error, where),) = bench.errors
    assert isinstance(error, SubscriptionError)
    assert where == "subscription SELECT * FROM one_string"


def test_a_subscription_that_was_lost_says_so(bench):
    waiting = bench.engine.subscribe(["SELECT * FROM one_string"])
    live, _ = bench.subscribe("one_u_8")
    ended = live.unsubscribe()
    bench.lose(ConnectionLost("gone", code=1006))
    with pytest.raises(ConnectionLost, match="gone"):
        waiting.pending.result()
    assert ended.result() is None
    assert live.unsubscribe() is ended
    assert [sub.state for sub in (waiting, live)] == ["ended", "ended"]


def test_an_end_that_nobody_listens_to_is_an_error(bench, caplog):
    bench.lose(lost := ConnectionLost("gone", code=1006))
    assert bench.errors == [(lost, "the connection is over")]
    assert "the connection is over: gone" in caplog.text


def test_an_end_that_somebody_listens_to_is_logged(bench, caplog):
    bench.engine.hooks.disconnects.add(lambda ctx: None)
    bench.lose(ConnectionLost("gone", code=1006))
    assert bench.errors == []
    assert "the connection is over: gone" in caplog.text


def test_the_end_that_this_side_wants_is_no_error(bench, caplog):
    bench.lose(None)
    assert bench.errors == []
    assert caplog.records == []


def test_a_refusal_is_reported_at_once_though_the_handle_is_kept(bench):
    kept = bench.engine.subscribe(["SELECT * FROM one_string"])
    *_, request = bench.asked()
    bench.say(m.SubscriptionError(request.request_id, request.query_set_id, "no such thing"))
    ((error, where),) = bench.errors
    assert isinstance(error, SubscriptionError)
    assert where == "subscribe SELECT * FROM one_string"
    with pytest.raises(SubscriptionError, match="no such thing"):
        kept.pending.result()
    del kept
    gc.collect()
    assert len(bench.errors) == 1, "once"


def test_listeners_see_all_tables_changed(bench):
    bench.subscribe("one_u_8")
    _, query_set = bench.subscribe("one_string")
    log = []
    bench.engine.db.one_string.on_insert(lambda ctx, row: log.append((len(ctx.db.one_u_8), len(ctx.db.one_string))))
    both = [
        m.TableUpdate(name, [m.PersistentTableRows(RowList.of([row]), RowList.of([]))])
        for name, row in (("one_string", text("a")), ("one_u_8", b"\1"))
    ]
    bench.say(m.TransactionUpdate([m.QuerySetUpdate(query_set, both)]))
    assert log == [(1, 1)]


def test_tables_are_told_by_name_and_listeners_of_one_event_are_fixed(bench):
    _, query_set = bench.subscribe("one_string")
    log = []
    db = bench.engine.db

    def first(ctx, row):
        log.append("one_i_8")
        db.one_u_8.on_insert(lambda ctx, row: log.append("late"))

    db.one_u_8.on_insert(lambda ctx, row: log.append("one_u_8"))
    db.one_i_8.on_insert(first)
    tables = [
        m.TableUpdate(name, [m.PersistentTableRows(RowList.of([b"\1"]), RowList.of([]))])
        for name in ("one_u_8", "one_i_8")
    ]
    bench.say(m.TransactionUpdate([m.QuerySetUpdate(query_set, tables)]))
    assert log == ["one_i_8", "one_u_8"], "by name, not by arrival; what a callback adds counts from the next event on"


def test_an_on_error_listener_that_fails_is_logged(bench, caplog):
    def broken(error, where):
        raise ZeroDivisionError

    bench.engine.hooks.errors.add(broken)
    bench.engine.report(ValueError("x"), "somewhere")
    assert len(bench.errors) == 1
    assert "broken" in caplog.text


def test_late_listeners_of_an_ended_subscription(bench):
    sub, query_set = bench.subscribe(rows=[text("a")])
    sub.unsubscribe()
    (request,) = bench.asked()
    rows = m.QueryRows([m.SingleTableRows("one_string", RowList.of([text("a")]))])
    bench.say(m.UnsubscribeApplied(request.request_id, query_set, rows))
    log = []
    sub.on_ended(lambda ctx: log.append(type(ctx.event)))
    assert log == [UnsubscribeApplied]
    assert "ended" in repr(sub)


def test_late_listeners_of_a_failed_subscription_hear_of_the_failure(bench):
    sub, query_set = bench.subscribe(rows=[text("a")])
    bench.say(m.SubscriptionError(None, query_set, "view failed"))
    log = []
    sub.on_ended(lambda ctx: log.append((type(ctx.event), str(ctx.event.error), dict(ctx.event.changes))))
    assert log == [(SubscriptionFailed, "view failed", {})]


def test_all_streams_of_a_table_get_every_change(bench):
    _, query_set = bench.subscribe()
    streams = [bench.engine.db.one_string.changes() for _ in range(2)]
    bench.say(update(query_set, "one_string", [text("a"), text(b"\xff")]))
    for stream in streams:
        assert stream.next_nowait().row.s == "a"
        with pytest.raises(DecodeError):
            stream.next_nowait()


def test_records_hold_what_happened(bench):
    _, query_set = bench.subscribe()
    stream = bench.engine.record()
    bench.say(update(query_set, "one_string", [text("a")]), update(query_set, "one_string", [], [text("a")]))
    first, second = stream.next_nowait(), stream.next_nowait()
    assert isinstance(first.event, Transaction)
    assert [type(change).__name__ for change in (*first.changes["one_string"], *second.changes["one_string"])] == [
        "Inserted",
        "Deleted",
    ]
    assert "one_string" in repr(first)
    assert list(first.changes) == ["one_string"]


@pytest.mark.parametrize("kind", ["insert", "delete"])
def test_many_callbacks_run_in_steps(bench, kind):
    rows = [text(str(n)) for n in range(1000)]
    _, query_set = bench.subscribe(rows=rows if kind == "delete" else ())
    table, seen = bench.engine.db.one_string, []
    stream = table.changes()
    table.on_insert(lambda ctx, row: seen.append(row.s))
    table.on_delete(lambda ctx, row: seen.append(row.s))
    bench.server.send(update(query_set, "one_string", *((), rows) if kind == "delete" else (rows,)))
    for payload in bench.server.payloads_to_send():
        bench.session.receive(payload)
    steps, told = bench.engine.handle(bench.session.next_event()), [0]
    while next(steps, "end") != "end":
        told.append(len(seen))
    assert max(after - before for before, after in itertools.pairwise(told)) <= 256
    assert sorted(map(int, seen)) == list(range(1000))
    recorded = []
    while (item := stream.next_nowait()) is not None:
        recorded.append(item.row.s)
    assert recorded == seen


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_wait_that_is_cancelled_as_the_rows_come_takes_the_subscription_back(bench, when):
    """The scheduler may run whoever was cancelled after the answer has come in."""
    sub = bench.engine.subscribe(["SELECT * FROM one_string"])
    (request,) = bench.asked()
    waiting = sub.__await__()
    next(waiting)
    applied = m.SubscribeApplied(request.request_id, request.query_set_id, m.QueryRows([]))
    if when == "before":
        bench.say(applied)
    with pytest.raises(KeyboardInterrupt):
        waiting.throw(KeyboardInterrupt())
    if when == "after":
        bench.say(applied)
    (leave,) = bench.asked()
    assert leave.query_set_id == request.query_set_id


def test_a_wait_for_what_has_come_changes_nothing_when_it_is_cancelled(bench):
    sub, _ = bench.subscribe()
    waiting = sub.__await__()
    next(waiting)
    with pytest.raises(KeyboardInterrupt):
        waiting.throw(KeyboardInterrupt())
    assert bench.asked() == []


def test_a_callback_that_ends_the_program_leaves_nobody_waiting(bench):
    sub = bench.engine.subscribe(["SELECT * FROM one_string"])
    (request,) = bench.asked()

    def leave(ctx, row):
        raise SystemExit

    bench.engine.db.one_string.on_insert(leave)
    part = m.SingleTableRows("one_string", RowList.of([text("a")]))
    with pytest.raises(SystemExit):
        bench.say(m.SubscribeApplied(request.request_id, request.query_set_id, m.QueryRows([part])))
    assert sub.pending.result() is sub


@pytest.mark.parametrize("is_told", [False, True])
def test_a_listener_added_while_it_is_told_that_it_is_applied_is_called_once(bench, is_told):
    """Between the moment in which it is live and the one in which listeners are told, another thread may come."""
    sub = bench.engine.subscribe(["SELECT * FROM one_string"])
    (request,) = bench.asked()
    bench.server.send(m.SubscribeApplied(request.request_id, request.query_set_id, m.QueryRows([])))
    for payload in bench.server.payloads_to_send():
        bench.session.receive(payload)
    event = bench.session.next_event()
    told = []
    if is_told:
        steps = bench.engine.handle(event)
        sub.on_applied(told.append)
    else:
        sub.on_applied(told.append)
        steps = bench.engine.handle(event)
    finish(steps)
    assert len(told) == 1


def test_unsubscribing_while_the_end_is_told(bench):
    sub, query_set = bench.subscribe()
    bench.server.send(m.SubscriptionError(None, query_set, "it died"))
    for payload in bench.server.payloads_to_send():
        bench.session.receive(payload)
    event = bench.session.next_event()
    ended = sub.unsubscribe()
    assert not ended.done()
    finish(bench.engine.handle(event))
    assert ended.result() is None
    assert bench.asked() == []
