"""The engine: clients, subscriptions and calls, as messages through both sides' sessions, without a socket."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import ConnectionId, TimeDuration, Timestamp
from spacetimedb_proto.cache import Deleted, Inserted, Updated
from spacetimedb_proto.errors import ConnectionRefused, LocalProtocolError
from spacetimedb_proto.events import (
    BatchApplied,
    Committed,
    Connected,
    Failed,
    ProcedureReturned,
    QueryReturned,
    ReducerEvent,
    Refused,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk.testing import Database, Module, PrimaryKey, ReducerError, Row, i32, u32
from spacetimedb_sdk.testing.tokens import derive_identity
from tests.behaviour_module import Pair, User, behaviour
from tests.sdk.testing.support import Clock, Guest, database

FATAL = "The instance encountered a fatal error."
PROCEDURE_FATAL = "The module instance encountered a fatal error: see the log of the database"
PAIRS = "SELECT * FROM pair"


@pytest.fixture(params=["v2.bsatn.spacetimedb", "v3.bsatn.spacetimedb"])
def protocol(request):
    return request.param


@pytest.fixture
def db():
    return database(behaviour)


@pytest.fixture
def guest(db, protocol):
    return Guest(db, protocol=protocol)


@pytest.fixture
def other(db, protocol):
    return Guest(db, protocol=protocol)


def changes(event, table="pair"):
    return list(event.changes[table])


# --- coming and going -------------------------------------------------------------------------------------------------


def test_a_client_is_greeted_first(guest):
    assert isinstance(guest.hello, Connected)
    assert (guest.hello.identity, guest.hello.token) == (guest.identity, "a-token")
    assert guest.client.caller.connection_id == guest.hello.connection_id


def test_others_learn_of_its_coming_and_going(db, guest):
    guest.subscribe("SELECT * FROM user")
    late = Guest(db, "late")
    late.leave()
    late.leave()
    came, left = guest.events()
    assert changes(came, "user") == [Inserted(User(late.identity, None, True))]
    assert changes(left, "user") == [Updated(User(late.identity, None, True), User(late.identity, None, False))]


def test_a_client_may_be_refused(db, guest, caplog):
    guest.subscribe("SELECT * FROM user")
    guest.call("ban_me")
    with pytest.raises(ConnectionRefused, match="you are banned"):
        db.connect(guest.identity, ConnectionId.from_int(1), "", lambda message: pytest.fail("something was sent"))
    assert guest.events() == []
    assert not caplog.records


def test_lifecycles_run_once_each_and_failures_are_undone(caplog):
    module = Module("m")

    @module.table(public=True)
    class Note(Row):
        id: PrimaryKey[u32]

    @module.init
    def setup(ctx):
        assert ctx.connection_id is None
        ctx.db.note.insert(Note(1))

    @module.client_connected
    def come(ctx):
        assert ctx.connection_id is not None
        ctx.db.note.insert(Note(2))

    @module.client_disconnected
    def go(ctx):
        ctx.db.note.insert(Note(3))
        raise ZeroDivisionError

    db = database(module)
    guest, other = Guest(db), Guest(db)
    guest.subscribe("SELECT * FROM note")
    other.leave()
    assert sorted(note.id for note in guest.rows("note")) == [1, 2]
    assert guest.events() == []
    assert "client_disconnected failed" in caplog.text


def test_a_fault_in_client_connected_refuses_and_is_logged(caplog):
    module = Module("m")

    @module.client_connected
    def come(ctx):
        raise ZeroDivisionError("oops")

    with pytest.raises(ConnectionRefused, match="oops"):
        Guest(database(module))
    assert "client_connected failed" in caplog.text


def test_init_may_fail():
    module = Module("m")

    @module.init
    def setup(ctx):
        raise ReducerError("not today")

    with pytest.raises(ReducerError, match="not today"):
        database(module)


def test_each_database_has_rows_of_its_own():
    one, two = Guest(database(behaviour)), Guest(database(behaviour))
    one.call("add_pair", 1, "one", 0, 10)
    assert one.query(PAIRS).tables == {"pair": [Pair(1, "one", 0, 10)]}
    assert two.query(PAIRS).tables == {"pair": []}


# --- reducers ---------------------------------------------------------------------------------------------------------


def test_the_caller_gets_its_share_with_the_answer_and_others_an_update(guest, other):
    guest.subscribe(PAIRS)
    other.subscribe(PAIRS)
    done = guest.call("add_pair", 1, "one", 0, 10)
    assert isinstance(done, ReducerEvent)
    assert (done.reducer, done.outcome, changes(done)) == ("add_pair", Committed(), [Inserted(Pair(1, "one", 0, 10))])
    (seen,) = other.events()
    assert isinstance(seen, Transaction)
    assert changes(seen) == changes(done)
    assert guest.events() == []


def test_whom_it_does_not_concern_hears_nothing(guest, other):
    guest.subscribe("SELECT * FROM pair WHERE id > 5")
    other.subscribe("SELECT * FROM no_key")
    done = guest.call("add_pair", 1, "one", 0, 10)
    assert (done.outcome, list(done.changes)) == (Committed(), [])
    assert other.events() == []


def test_timestamps_are_the_clocks(db, guest):
    guest.subscribe("SELECT * FROM message")
    before = db.clock.now
    done = guest.call("send_message", "hello")
    assert done.timestamp == before + TimeDuration(1_000_000)
    (message,) = guest.rows("message")
    assert (message.id, message.sender, message.sent, message.text) == (1, guest.identity, done.timestamp, "hello")


def test_a_refusal_undoes_and_says_why(guest, other):
    guest.subscribe(PAIRS)
    other.subscribe(PAIRS)
    guest.call("add_pair", 1, "one", 0, 10)
    other.events()
    refused = guest.call("add_pair", 2, "one", 0, 20)
    assert refused.outcome == Refused("insertion error on table `pair`: duplicate unique column `key`")
    assert guest.call("remove_pair", 9).outcome == Refused("no pair 9")
    assert guest.rows("pair") == [Pair(1, "one", 0, 10)]
    assert other.events() == []


def test_a_fault_undoes_and_is_logged(guest, caplog):
    assert guest.call("panic_now").outcome == Failed(FATAL)
    assert "panicked as asked" in caplog.text
    assert "the reducer panic_now failed" in caplog.text


def test_half_done_work_is_undone(caplog):
    module = Module("m")

    @module.table(public=True)
    class Thing:
        id: PrimaryKey[u32]
        n: i32

    @module.reducer
    def add(ctx, number: u32, n: i32):
        ctx.db.thing.insert(id=number, n=n)

    @module.reducer
    def ruin(ctx):
        for thing in ctx.db.thing:
            ctx.db.thing.delete(thing)
        ctx.db.thing.insert(id=7, n=7)
        ctx.db.thing.insert(id=8, n="eight")

    guest = Guest(database(module))
    guest.subscribe("SELECT * FROM thing")
    guest.call("add", 1, 1)
    assert guest.call("ruin").outcome == Failed(FATAL)
    assert "expected i32, got 'eight'" in caplog.text
    assert [(thing.id, thing.n) for thing in guest.query("SELECT * FROM thing").tables["thing"]] == [(1, 1)]
    assert guest.call("add", 7, 1).outcome == Committed()


@pytest.mark.parametrize(
    ("reducer", "args", "text"),
    [
        ("launch", b"", "no such reducer"),
        ("add", b"", "no such reducer"),
        ("client_connected", b"", "can't directly call special OnConnect lifecycle reducer"),
        ("client_disconnected", b"", "can't directly call special OnDisconnect lifecycle reducer"),
    ],
)
def test_what_cannot_be_called(guest, reducer, args, text):
    answer = guest.ask(m.CallReducer(7, 0, reducer, args))
    assert (answer.request_id, answer.result) == (7, m.ReducerInternalError(text))


@pytest.mark.parametrize(
    "args", [b"", b"\x01\x00", b"\x01\x00\x00\x00\x01\x00\x00\x00\xff", b"\x07" * 40, "[1]", "{", "[" * 9999]
)
def test_arguments_that_are_none(guest, args):
    answer = guest.ask(m.CallReducer(7, 0, "add_pair", args))
    assert answer.result.error.startswith("invalid arguments for reducer add_pair: ")


def test_arguments_as_json(guest):
    answer = guest.ask(m.CallReducer(7, 0, "add_pair", '[1, "one", 0, 10]'))
    assert isinstance(answer.result, m.ReducerOk)


def test_an_event_is_told_and_gone(guest, other):
    guest.subscribe("SELECT * FROM notice")
    other.subscribe("SELECT * FROM notice", "SELECT * FROM notice WHERE text = 'fire'")
    done = guest.call("notify", "fire")
    assert [change.row.text for change in changes(done, "notice")] == ["fire"]
    assert isinstance(guest.messages[-1].result.transaction_update.query_sets[0].tables[0].rows[0], m.EventTableRows)
    (seen,) = other.events()
    assert [change.row.text for change in changes(seen, "notice")] == ["fire"]
    ((table,),) = [query_set.tables for query_set in other.messages[-1].query_sets]
    assert [len(rows.events) for rows in table.rows] == [1, 1], "once for each query"
    assert guest.query("SELECT * FROM notice").tables == {"notice": []}
    assert list(Guest(guest.database).subscribe("SELECT * FROM notice").changes) == []


# --- procedures -------------------------------------------------------------------------------------------------------


def test_a_procedure_returns_a_value(guest):
    (done,) = guest.procedure("add", 1, 2)
    assert isinstance(done, ProcedureReturned)
    assert (done.value, done.error, done.duration) == (3, None, TimeDuration(1_000_000))


def test_its_transaction_comes_before_its_value(guest, other):
    guest.subscribe(PAIRS)
    other.subscribe(PAIRS)
    update, done = guest.procedure("add_pair_procedure", 1, "one", 0, 10)
    assert isinstance(update, Transaction)
    assert changes(update) == [Inserted(Pair(1, "one", 0, 10))]
    assert done.value is True
    (seen,) = other.events()
    assert changes(seen) == changes(update)
    (counted,) = guest.procedure("count_pairs")
    assert counted.value == 1
    (again,) = guest.procedure("add_pair_procedure", 2, "one", 0, 10)
    assert again.value is False


def test_a_failing_procedure(guest, caplog):
    (done,) = guest.procedure("fail_procedure")
    assert (str(done.error), done.timestamp, done.duration) == (PROCEDURE_FATAL, Timestamp(0), TimeDuration(0))
    assert "the procedure fail_procedure failed" in caplog.text


def test_a_procedure_that_refuses_or_returns_nonsense(caplog):
    module = Module("m")

    @module.table(public=True)
    class Thing:
        id: PrimaryKey[u32]

    @module.procedure
    def refuse(ctx) -> u32:
        ctx.db.thing.insert(id=1)
        raise ReducerError("not today")

    @module.procedure
    def nonsense(ctx) -> u32:
        ctx.db.thing.insert(id=1)
        return -1

    guest = Guest(database(module))
    guest.subscribe("SELECT * FROM thing")
    (refused,) = guest.procedure("refuse")
    assert str(refused.error) == "not today"
    assert not caplog.records
    (failed,) = guest.procedure("nonsense")
    assert str(failed.error) == PROCEDURE_FATAL
    assert guest.query("SELECT * FROM thing").tables == {"thing": []}


def test_procedures_that_cannot_be_called(guest):
    answer = guest.ask(m.CallProcedure(7, 0, "launch", b""))
    assert answer.status == m.ProcedureInternalError("No such procedure")
    answer = guest.ask(m.CallProcedure(7, 0, "add", b"\x01"))
    assert answer.status.error.startswith("invalid arguments for procedure add: ")


# --- subscriptions ----------------------------------------------------------------------------------------------------


def test_rows_come_with_the_answer(guest):
    guest.call("add_pairs", 1, 3)
    applied = guest.subscribe("SELECT * FROM pair WHERE id < 3")
    assert isinstance(applied, SubscribeApplied)
    assert [change.row.id for change in changes(applied)] == [1, 2]


def test_empty_tables_have_no_entry(guest):
    guest.subscribe(PAIRS, "SELECT * FROM user WHERE online = FALSE")
    (table,) = guest.messages[-1].rows.tables
    assert (table.table, len(table.rows)) == ("user", 0)


def test_equal_queries_of_a_set_count_once_and_others_each(guest):
    guest.call("add_pairs", 1, 3)
    guest.subscribe(PAIRS, PAIRS, "SELECT * FROM pair WHERE id = 2")
    assert [len(table.rows) for table in guest.messages[-1].rows.tables] == [3, 1]
    done = guest.call("set_pair", 2, "k2", 5, 5)
    (query_set,) = guest.messages[-1].result.transaction_update.query_sets
    (table,) = query_set.tables
    assert [(len(rows.inserts), len(rows.deletes)) for rows in table.rows] == [(1, 1), (1, 1)]
    assert changes(done) == [Updated(Pair(2, "k2", 2, 0), Pair(2, "k2", 5, 5))]


def test_each_overlapping_set_is_told(guest):
    first, second = guest.subscribe(PAIRS), guest.subscribe("SELECT * FROM pair WHERE value > 5")
    done = guest.call("add_pair", 1, "one", 0, 10)
    sets = guest.messages[-1].result.transaction_update.query_sets
    assert [query_set.query_set_id for query_set in sets] == [first.query_set_id, second.query_set_id]
    assert changes(done) == [Inserted(Pair(1, "one", 0, 10))]
    guest.session.unsubscribe(first.query_set_id)
    (ended,) = guest.events()
    assert isinstance(ended, UnsubscribeApplied)
    assert changes(ended) == []
    assert guest.call("set_pair", 1, "one", 0, 1).changes["pair"].deletes
    assert guest.rows("pair") == []


def test_a_row_that_moves_between_queries(guest):
    guest.subscribe("SELECT * FROM pair WHERE value < 50")
    guest.subscribe("SELECT * FROM pair WHERE value > 40")
    guest.call("add_pair", 1, "one", 0, 10)
    for old, new in ((10, 45), (45, 60), (60, 10)):
        done = guest.call("set_pair", 1, "one", 0, new)
        assert changes(done) == [Updated(Pair(1, "one", 0, old), Pair(1, "one", 0, new))]


def test_inserting_and_deleting_in_one_transaction_is_nothing(guest):
    guest.subscribe("SELECT * FROM no_key")
    guest.call("add_no_key", 1, "x")
    assert guest.call("add_no_key", 1, "x").changes == {}
    assert changes(guest.call("remove_no_key", 1), "no_key")[0].__class__ is Deleted


def test_unsubscribing_drops_rows_if_asked(guest):
    guest.call("add_pairs", 1, 2)
    guest.subscribe(PAIRS)
    set_id = guest.messages[-1].query_set_id
    dropped = guest.ask(m.Unsubscribe(9, set_id, send_dropped_rows=True))
    assert [len(table.rows) for table in dropped.rows.tables] == [2]
    assert guest.ask(m.Subscribe(10, set_id, [PAIRS])).query_set_id == set_id
    assert guest.ask(m.Unsubscribe(11, set_id, send_dropped_rows=False)).rows is None


def test_a_live_id_is_not_taken_twice(guest):
    live = guest.subscribe(PAIRS)
    answer = guest.ask(m.Subscribe(99, live.query_set_id, ["SELECT * FROM user"]))
    text = (
        f"Subscription with id QuerySetId {{ id: {live.query_set_id} }} already exists for client: "
        f"(Identity({guest.identity}), ConnectionId({guest.client.caller.connection_id}))"
    )
    assert answer == m.SubscriptionError(99, live.query_set_id, text)
    assert guest.call("add_pair", 1, "one", 0, 10).changes


def test_an_unknown_id_cannot_be_ended(guest):
    answer = guest.ask(m.Unsubscribe(9, 99))
    text = (
        f"Subscription not found: ((Identity({guest.identity}), ConnectionId({guest.client.caller.connection_id})), "
        "QuerySetId { id: 99 })"
    )
    assert answer == m.SubscriptionError(9, 99, text)


def test_one_bad_query_refuses_the_set(guest):
    refused = guest.subscribe(PAIRS, "SELECT * FROM secret")
    assert isinstance(refused, SubscriptionFailed)
    text = "no such table: `secret`. If the table exists, it may be marked private., executing: `SELECT * FROM secret`"
    assert str(refused.error) == text
    assert guest.call("add_pair", 1, "one", 0, 10).changes == {}
    assert isinstance(guest.ask(m.Subscribe(99, refused.query_set_id, [PAIRS])), m.SubscribeApplied)


def test_all_tables_at_once(guest):
    guest.call("add_pairs", 1, 2)
    applied = guest.subscribe("SELECT * FROM *")
    assert sorted(applied.changes) == ["pair", "user"]
    guest.call("add_no_key", 1, "x")
    assert len(guest.rows("no_key")) == 1


def test_the_sender_is_whoever_asks(guest, other):
    for each in (guest, other):
        each.subscribe("SELECT * FROM user WHERE identity = :sender")
        assert [user.identity for user in each.rows("user")] == [each.identity]


def test_a_batch_is_answered_set_by_set(guest):
    live = guest.subscribe("SELECT * FROM user")
    guest.call("add_pairs", 1, 2)
    sets = [
        m.SubscribeSet(50, [PAIRS]),
        m.SubscribeSet(51, ["SELEC"]),
        m.SubscribeSet(50, [PAIRS]),
        m.SubscribeSet(live.query_set_id, [PAIRS]),
        m.SubscribeSet(52, []),
    ]
    answer = guest.ask(m.SubscribeBatch(9, sets))
    assert [result.query_set_id for result in answer.results] == [50, 51, 50, live.query_set_id, 52]
    first, second, third, fourth, fifth = [result.outcome for result in answer.results]
    assert [len(table.rows) for table in first.tables] == [2]
    assert second.startswith("sql parser error")
    assert third.startswith("Subscription with id QuerySetId { id: 50 } already exists")
    assert fourth.startswith(f"Subscription with id QuerySetId {{ id: {live.query_set_id} }} already exists")
    assert fifth == m.QueryRows([])
    assert guest.ask(m.SubscribeBatch(10, [])).results == []


def test_a_client_understands_the_answer_to_a_batch(db):
    guest = Guest(db)
    request = m.SubscribeBatch(1, [m.SubscribeSet(2, [PAIRS]), m.SubscribeSet(3, ["SELEC"])])
    guest.session.observe(guest.server._protocol.write_client([request])[0])
    db.handle(guest.client, request)
    (applied,) = guest.events()
    assert isinstance(applied, BatchApplied)
    assert (applied.applied, list(applied.errors)) == ((2,), [3])


def test_v1_is_not_served(guest):
    with pytest.raises(LocalProtocolError, match="ReplaceSubscription belongs to v1"):
        guest.database.handle(guest.client, m.ReplaceSubscription(1, []))


def test_a_client_that_has_left_hears_nothing(guest, other):
    other.subscribe(PAIRS)
    other.leave()
    guest.call("add_pair", 1, "one", 0, 10)
    assert other.events() == []


# --- one-off queries --------------------------------------------------------------------------------------------------


def test_one_off_queries(guest):
    guest.call("add_pairs", 1, 3)
    found = guest.query("SELECT * FROM pair WHERE id > 1")
    assert isinstance(found, QueryReturned)
    assert [pair.id for pair in found.tables["pair"]] == [2, 3]
    assert guest.messages[-1].result.tables == [
        m.SingleTableRows(
            "pair", RowList.of([behaviour.schema.row_codec("pair").encode(p) for p in found.tables["pair"]])
        )
    ]
    empty = guest.query("SELECT * FROM message")
    assert empty.tables == {"message": []}, "exactly one entry, also for an empty table"


def test_a_refused_query(guest):
    refused = guest.query("SELECT * FROM nope")
    assert str(refused.error) == "no such table: `nope`. If the table exists, it may be marked private."
    assert str(guest.query("SELECT * FROM *").error).startswith("sql parser error")


# --- the same calls do the same again ---------------------------------------------------------------------------------


def conversation():
    db = Database(behaviour, clock=Clock())
    told: list[object] = []
    client = db.connect(derive_identity("me"), ConnectionId.from_int(1), "", told.append)
    db.handle(client, m.Subscribe(1, 1, ["SELECT * FROM *"]))
    for text in ("a", "b"):
        db.handle(client, m.CallReducer(2, 0, "send_message", b"\x01\x00\x00\x00" + text.encode()))
    db.disconnect(client)
    return told


def test_it_is_deterministic():
    assert conversation() == conversation()


def test_it_says_what_it_is(db, guest):
    assert repr(db) == "<Database 'behaviour' with 1 clients>"
    assert db.identity.hex().startswith("c200")


# --- every client's cache is what its queries say ---------------------------------------------------------------------

QUERIES = [
    PAIRS, "SELECT * FROM pair WHERE id < 3", "SELECT * FROM pair WHERE value > 0", "SELECT * FROM no_key",
    "SELECT * FROM no_key WHERE text = 'x' OR n = 1", "SELECT * FROM *",
]  # fmt: skip
small = st.integers(0, 4)
key = st.sampled_from("abc")
calls = st.one_of(
    st.tuples(st.just("add_pair"), small, key, small, small),
    st.tuples(st.just("set_pair"), small, key, small, small),
    st.tuples(st.just("remove_pair"), small),
    st.tuples(st.just("add_pairs"), small, small),
    st.tuples(st.just("bump_pairs")),
    st.tuples(st.just("add_no_key"), small, st.sampled_from("xy")),
    st.tuples(st.just("remove_no_key"), small),
    st.tuples(st.just("clear")),
)
actions = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["call", "subscribe", "unsubscribe"]),
        calls,
        st.sets(st.sampled_from(QUERIES)),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(actions)
def test_caches_hold_what_the_queries_say(script):
    logging.getLogger("spacetimedb_sdk.testing").disabled = True  # panics by constraint are part of the script
    try:
        db = database(behaviour)
        guests = [Guest(db), Guest(db)]
        live: list[dict[int, set[str]]] = [{}, {}]
        for who, action, call, queries in script:
            guest = guests[who]
            if action == "call":
                guest.session.call_reducer(call[0], call[1:])
            elif action == "subscribe" and queries:
                live[who][guest.session.subscribe(sorted(queries))] = queries
            elif action == "unsubscribe" and live[who]:
                set_id = next(iter(live[who]))
                del live[who][set_id]
                guest.session.unsubscribe(set_id)
            for each in (guest, *guests):
                each.events()
        for guest, sets in zip(guests, live, strict=True):
            expected: dict[str, set[object]] = {"pair": set(), "no_key": set()}
            for query in {query for queries in sets.values() for query in queries} - {"SELECT * FROM *"}:
                for table, rows in Guest(db, "witness").query(query).tables.items():
                    expected[table].update(rows)
            if any("SELECT * FROM *" in queries for queries in sets.values()):
                for table, rows in expected.items():
                    rows.update(Guest(db, "witness").query(f"SELECT * FROM {table}").tables[table])
            assert {table: set(guest.rows(table)) for table in expected} == expected
    finally:
        logging.getLogger("spacetimedb_sdk.testing").disabled = False
