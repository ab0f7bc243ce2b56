"""Scheduled tables: what runs when, by a clock that the test moves, in virtual time, and on a real server."""

from __future__ import annotations

from random import Random

import attrs
import pytest

from spacetimedb_proto.bsatn.values import ScheduleAt, TimeDuration, Timestamp
from spacetimedb_proto.events import Failed
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk import blocking
from spacetimedb_sdk.testing import (
    AutoInc,
    Database,
    ManualClock,
    Module,
    PrimaryKey,
    ReducerError,
    Row,
    Service,
    Site,
    serve,
    u64,
)
from spacetimedb_transports.simulation import SimulatedNetwork
from tests.sdk.testing.support import Guest, database

SECOND = 1_000_000

alarms = Module("alarms")


@alarms.table(scheduled="ring", public=True)
class Alarm(Row):
    id: PrimaryKey[AutoInc[u64]]
    at: ScheduleAt
    text: str


@alarms.table(public=True)
class Heard(Row):
    when: Timestamp
    text: str


@alarms.table(scheduled="count")
class Chime(Row):
    id: PrimaryKey[AutoInc[u64]]
    at: ScheduleAt


@alarms.reducer
def ring(ctx, alarm: Alarm):
    assert ctx.connection_id is None
    if alarm.text == "refuse":
        raise ReducerError("refused as asked")
    if alarm.text == "fail":
        raise RuntimeError("failed as asked")
    if alarm.text == "silence others":
        for row in ctx.db.alarm:
            ctx.db.alarm.delete(row)
    if alarm.text == "again at once":
        ctx.db.alarm.insert(attrs.evolve(alarm, id=0))
    if alarm.text == "change":
        ctx.db.alarm.update(attrs.evolve(alarm, text="changed"))
    ctx.db.heard.insert(when=ctx.timestamp, text=alarm.text)


@alarms.procedure
def count(ctx, chime: Chime) -> u64:
    ctx.db.heard.insert(when=ctx.timestamp, text="chime")
    return ctx.db.heard.count()


@alarms.reducer
def set_alarm(ctx, at: ScheduleAt, text: str):
    ctx.db.alarm.insert(at=at, text=text)


@pytest.fixture
def clock():
    return ManualClock(Timestamp(0))


@pytest.fixture
def site(clock):
    return Database(alarms, clock=clock)


@pytest.fixture
def guest(site):
    guest = Guest(site, "alice")
    guest.subscribe("SELECT * FROM heard")
    return guest


def once(seconds):
    return ScheduleAt.Time(Timestamp(round(seconds * SECOND)))


def every(seconds):
    return ScheduleAt.Interval(TimeDuration(round(seconds * SECOND)))


def heard(guest):
    """What was heard when, in seconds."""
    guest.events()
    return sorted((row.when.micros / SECOND, row.text) for row in guest.rows("heard"))


def texts(database):
    return database.run(lambda ctx: [row.text for row in ctx.db.alarm])


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_the_schema():
    table, function = alarms.schema.tables["alarm"], alarms.schema.reducers["ring"]
    assert (table.schedule.name, table.schedule.column, table.schedule.function) == ("alarm_sched", 1, "ring")
    assert (function.is_scheduled, function.is_callable) == (True, False)
    assert alarms.schema.procedures["count"].is_scheduled
    assert load_schema(dump_schema(alarms.schema, 10)) == alarms.schema


def test_once(site, guest):
    guest.call("set_alarm", once(10), "ding")
    site.advance(9.999)
    assert (heard(guest), texts(site)) == ([], ["ding"])
    site.advance(0.001)
    assert (heard(guest), texts(site)) == ([(10.0, "ding")], []), "and the row is gone"
    site.advance(100)
    assert heard(guest) == [(10.0, "ding")]


def test_again_and_again(site, guest):
    guest.call("set_alarm", every(4), "tick")
    guest.call("set_alarm", once(6), "ding")
    site.advance(13)
    assert heard(guest) == [(4.0, "tick"), (6.0, "ding"), (8.0, "tick"), (12.0, "tick")]
    assert texts(site) == ["tick"]
    assert site.next_due == Timestamp(16 * SECOND)


def test_what_is_late_runs_at_once(site, guest, clock):
    clock.now = Timestamp(20 * SECOND)
    guest.call("set_alarm", once(10), "late")
    assert heard(guest) == []
    site.advance(0)
    assert heard(guest) == [(20.0, "late")]


def test_a_row_that_is_gone_or_changed(site, guest):
    for text in ("gone", "other"):
        guest.call("set_alarm", once(10), text)
    site.run(lambda ctx: ctx.db.alarm.delete(ctx.db.alarm.find(id=1)))
    site.run(lambda ctx: ctx.db.alarm.update(Alarm(2, once(5), "other")))
    site.advance(20)
    assert heard(guest) == [(5.0, "other")]


def test_one_that_takes_others_out(site, guest):
    guest.call("set_alarm", once(1), "silence others")
    guest.call("set_alarm", once(1), "never")
    guest.call("set_alarm", every(2), "never")
    site.advance(10)
    assert heard(guest) == [(1.0, "silence others")]
    assert site.next_due is None


def test_one_that_calls_itself_again(site, guest):
    guest.call("set_alarm", once(1), "again at once")
    site.advance(1.0025)
    assert [when for when, _ in heard(guest)] == [1.0, 1.001, 1.002], "but not at the same moment"


def test_intervals_of_no_time(site, guest):
    guest.call("set_alarm", every(0), "tick")
    site.advance(0.0025)
    assert [when for when, _ in heard(guest)] == [0.0, 0.001, 0.002]


def test_one_that_changes_its_own_row(site, guest):
    guest.call("set_alarm", every(1), "change")
    site.advance(3)
    assert [text for _, text in heard(guest)] == ["change", "changed", "changed"]


@pytest.mark.parametrize("text", ["refuse", "fail"])
def test_failures(site, guest, text):
    guest.call("set_alarm", once(1), text)
    guest.call("set_alarm", every(1), text)
    site.advance(2)
    assert heard(guest) == []
    assert len(texts(site)) == 1, "what runs once is gone all the same"
    assert "ed as asked" in site.log.text()


def test_procedures(site, guest):
    site.run(lambda ctx: ctx.db.chime.insert(at=every(1)))
    site.advance(2)
    assert heard(guest) == [(1.0, "chime"), (2.0, "chime")]


def test_what_sql_changes(site, guest):
    owner = Guest(site, site.owner)
    guest.call("set_alarm", once(1), "never")
    site.execute(owner.client, "DELETE FROM alarm")
    site.advance(2)
    assert heard(guest) == []


def test_clients_cannot_call_it(site, guest):
    answer = guest.call("ring", Alarm(0, once(0), "x"))
    assert answer.outcome == Failed("no such reducer")
    (done,) = guest.procedure("count", Chime(0, once(0)))
    assert str(done.error) == "No such procedure"
    owner = Guest(site, site.owner)
    owner.session.call_reducer("ring", [Alarm(0, once(0), "by hand")])


def test_rows_of_init_are_planned(clock):
    module = Module("alarms")
    for row, name in ((Alarm, "ring"), (Heard, None)):
        module.table(public=True, scheduled=name)(row)
    module.reducer(ring)

    @module.init
    def init(ctx):
        ctx.db.alarm.insert(at=every(5), text="tick")

    site = Site(Database(module, clock=clock), random_bytes=Random(1).randbytes)
    assert site.database.next_due == Timestamp(5 * SECOND)
    site.database.advance(3)
    site.republish(module)
    assert site.database.next_due == Timestamp(8 * SECOND), "begun anew with the new version"


def test_other_clocks_pass_by_themselves():
    with pytest.raises(TypeError, match="no ManualClock"):
        database(alarms).advance(1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scheduled": "nope"}, "alarm: the scheduled function 'nope' is no reducer or procedure"),
        ({"scheduled": "other"}, r"other\(\): expected one parameter, a row of `alarm`"),
        ({"event": True}, "alarm: a scheduled table has a PrimaryKey"),
        ({"row": Heard}, "heard: a scheduled table has a PrimaryKey"),
    ],
)
def test_what_cannot_be_scheduled(change, text):
    module = Module("m")
    row = change.get("row", Alarm)
    module.table(scheduled=change.get("scheduled", "take"), event=change.get("event", False))(row)

    def take(ctx, row):
        pass

    take.__annotations__ = {"row": row}
    module.reducer(take)
    module.reducer(source_name="other")(lambda ctx: None)
    with pytest.raises(TypeError, match=text):
        assert module.schema


# --- in virtual time --------------------------------------------------------------------------------------------------


def test_in_a_simulation():
    network = SimulatedNetwork(Random(7), latency=(0.01, 0.02))
    site = Site(
        Database(alarms, clock=lambda: Timestamp(round(network.now * SECOND))), random_bytes=Random(1).randbytes
    )
    site.on_due(lambda due: network.call_at(due.micros / SECOND, site.run_due))
    client = ClientConnection(alarms.schema, Endpoint.parse("ws://simulated"), "alarms", now=network.now)
    network.link(client, Service(site, now=network.now))
    site.database.run(lambda ctx: ctx.db.alarm.insert(at=every(2), text="tick"))
    network.run_until(1.0)
    client.session.subscribe(["SELECT * FROM heard"])
    network.run_until(6.5)
    assert [row.when.micros / SECOND for row in client.session.cache.table("heard")] == [2.0, 4.0, 6.0]
    site.restart()
    network.run_until(8.5)
    assert site.database.run(lambda ctx: ctx.db.heard.count()) == 4


def test_one_alarm_after_the_other_in_a_simulation():
    """When the first has run, whoever waits is told of the next."""
    network = SimulatedNetwork(Random(7), latency=(0.01, 0.02))
    site = Site(
        Database(alarms, clock=lambda: Timestamp(round(network.now * SECOND))), random_bytes=Random(1).randbytes
    )
    site.on_due(lambda due: network.call_at(due.micros / SECOND, site.run_due))
    for seconds in (5, 10):
        site.database.run(lambda ctx, seconds=seconds: ctx.db.alarm.insert(at=once(seconds), text=str(seconds)))
    network.run_until(20.0)
    heard = site.database.run(lambda ctx: [(row.when.micros / SECOND, row.text) for row in ctx.db.heard])
    assert heard == [(5.0, "5"), (10.0, "10")]


# --- on a real server -------------------------------------------------------------------------------------------------


def test_a_server_whose_time_a_test_moves():
    clock = ManualClock()
    with serve(alarms, clock=clock) as server, blocking.connect(server.uri, server.database) as conn:
        conn.subscribe("SELECT * FROM heard")
        start = clock.now
        conn.reducers.set_alarm(every(60), "tick")
        changes = conn.db.heard.changes()
        server.advance(180)
        found = [next(changes).row.when.micros - start.micros for _ in range(3)]
        assert found == [60 * SECOND, 120 * SECOND, 180 * SECOND]


def next_text(conn):
    """What is heard next, or has been heard before."""
    changes = conn.db.heard.changes()
    conn.subscribe("SELECT * FROM heard")
    return next(changes).row.text


def test_a_server_whose_time_passes():
    with serve(alarms) as server:
        with blocking.connect(server.uri, server.database) as conn:
            conn.reducers.set_alarm(every(0.001), "tick")
            assert next_text(conn) == "tick"
        server.stop()
        server.restart(keep_rows=False)
        server.run(lambda ctx: ctx.db.alarm.insert(at=once(1), text="while it was stopped"))
        server.start()
        with blocking.connect(server.uri, server.database) as conn:
            assert next_text(conn) == "while it was stopped"
