"""`ClientSession` against recorded traffic, against hostile traffic, and against itself."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto import NEED_DATA, ClientSession, Limits, LocalProtocolError, RemoteProtocolError, ServerSession
from spacetimedb_proto.alike import Alike
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import EncodeError, NotSent, OutcomeUnknown, QueryError
from spacetimedb_proto.events import (
    BatchApplied,
    CallFailed,
    Committed,
    Connected,
    Disconnected,
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
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.states import QuerySetState
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol
from spacetimedb_proto.wire.rowlist import RowList
from tests.oracle import Oracle, identity_of
from tests.schemas import schema
from tests.transcripts import websockets

RECORDED = websockets()
BINARY = [each for each in RECORDED if each.protocol in ("v2.bsatn.spacetimedb", "v3.bsatn.spacetimedb")]
BY_NAME = {"argvalues": RECORDED, "ids": lambda each: each.name}


def events(session):
    found = []
    while (event := session.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def replay(transcript, session=None, seen=None):
    """Play a connection into a session as it was recorded; the events, each with the cache's state right after it."""
    session = session or ClientSession(schema(transcript.module), protocol=transcript.protocol)
    log = []
    for frame in transcript.frames:
        if frame.payload is None:
            continue
        if frame.sender == "client":
            session.observe(frame.payload)
            continue
        session.receive(frame.payload)
        log += events(session)
        if seen:
            seen(session, frame.payload)
    return session, log


def cached(session):
    return {name: raw for name in session.schema.tables if (raw := session.cache.table(name).raw())}


# --- recorded traffic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transcript", BINARY, ids=lambda each: each.name)
def test_the_cache_equals_the_oracles_after_each_payload(transcript):
    oracle = Oracle()

    def compare(session, payload):
        oracle.receive(payload)
        assert cached(session) == oracle.tables()

    session, log = replay(transcript, seen=compare)
    assert isinstance(log[0], Connected)
    assert session.identity.hex() == identity_of(transcript.payloads("server")[0])


@pytest.mark.parametrize("transcript", **BY_NAME)
def test_rows_read_as_the_module_says(transcript):
    """Each row decodes through its module's schema, and encodes to the bytes that came."""
    session, log = replay(transcript)
    for event in log:
        for name, change in getattr(event, "changes", {}).items():
            codec = session.schema.row_codec(name)
            for data in (*change.inserts, *change.deletes, *(row for pair in change.updates for row in pair)):
                row = codec.decode_exact(data)
                assert codec.encode(row) == data
                assert len(attrs.fields(type(row))) == len(session.schema.tables[name].columns)


@pytest.mark.parametrize("transcript", [t for t in BINARY if t.module == "sdk-test"][:12], ids=lambda each: each.name)
def test_v9_and_v10_schemas_give_the_same_rows(transcript):
    new, _ = replay(transcript)
    old, _ = replay(transcript, ClientSession(schema(transcript.module, 9), protocol=transcript.protocol))
    names = set(cached(new)) & set(old.schema.tables)
    assert {name: cached(new)[name] for name in names} == cached(old)


@pytest.mark.parametrize("transcript", **BY_NAME)
def test_every_recorded_request_is_answered_once(transcript):
    session, log = replay(transcript)
    own = [e for e in log if isinstance(e, ReducerEvent | ProcedureReturned | QueryReturned)]
    ids = [(type(e), e.request_id) for e in own if e.request_id is not None]
    assert len(ids) == len(set(ids))
    session.connection_lost(None)
    assert isinstance(events(session)[-1], Disconnected)


def test_the_walk_through_v3_tells_each_outcome():
    _, log = replay(next(t for t in RECORDED if t.name == "protocol-v3/None.2"))
    outcomes = {e.request_id: e.outcome for e in log if isinstance(e, ReducerEvent)}
    assert outcomes[0x28] == Failed("The instance encountered a fatal error.")
    assert outcomes[0x29] == Committed()
    assert outcomes[0x2A] == Failed("no such reducer")
    assert outcomes[0x2B].message.startswith("invalid arguments for reducer insert_pk_u_64")


@pytest.mark.parametrize("folder", ["protocol-v1", "protocol-v2", "protocol-v3"])
def test_all_protocols_walk_to_the_same_place(folder):
    """The same session was recorded over each protocol, with and without compression."""
    ends = {}
    for transcript in websockets(folder):
        session, log = replay(transcript)
        kinds = Counter(
            type(e).__name__ for e in log if isinstance(e, SubscriptionFailed | QueryReturned | SubscribeApplied)
        )
        ends.setdefault(transcript.connection, []).append((cached(session), kinds))
    for same in ends.values():
        assert all(cache == same[0][0] for cache, _ in same if len(cache) == len(same[0][0]))


def test_json_rows_equal_bsatn_rows():
    """v1.json delivers one row in three shapes; in the cache they are one row, and equal to v1.bsatn's."""
    text = next(t for t in RECORDED if t.name == "protocol-v1json/None.3")
    binary = next(t for t in RECORDED if t.name == "protocol-v1/None.1")

    def seen(transcript):
        _, log = replay(transcript)
        changes = [change for event in log for change in getattr(event, "changes", {}).values()]
        return {row for change in changes for row in (*change.inserts, *change.deletes, *sum(change.updates, ()))}

    assert seen(text) == seen(binary)
    assert len(seen(text)) > 10


WIRE = protocol("v3.bsatn.spacetimedb", schema("sdk-test"), Limits())


# --- a server in the test ---------------------------------------------------------------------------------------------


class Pair:
    """A client session, and the other side's hands."""

    def __init__(self, protocol="v3.bsatn.spacetimedb", limits=None, module="sdk-test"):
        self.client = ClientSession(schema(module), protocol=protocol, limits=limits)
        self.server = ServerSession(schema(module), protocol=protocol)
        self.say(m.InitialConnection(Identity.from_int(7), ConnectionId.from_int(8), "token"))

    def say(self, *replies):
        """The server's messages as events."""
        self.server.send(*replies)
        for payload in self.server.payloads_to_send():
            self.client.receive(payload)
        return events(self.client)

    def asked(self):
        for payload in self.client.payloads_to_send():
            self.server.receive(payload)
        found = []
        while (message := self.server.next_event()) is not NEED_DATA:
            found.append(message)
        return found

    def subscribe(self, rows=()):
        query_set = self.client.subscribe(["SELECT * FROM pk_u_64"])
        (request,) = self.asked()
        return query_set, self.say(m.SubscribeApplied(request.request_id, query_set, pk_rows(rows)))


def pk(n, data=0):
    return n.to_bytes(8, "little") + data.to_bytes(4, "little", signed=True)


def pk_rows(rows):
    return m.QueryRows([m.SingleTableRows("pk_u_64", RowList.of(list(rows)))])


def pk_update(query_set, inserts=(), deletes=()):
    rows = m.PersistentTableRows(RowList.of(list(inserts)), RowList.of(list(deletes)))
    return m.TransactionUpdate([m.QuerySetUpdate(query_set, [m.TableUpdate("pk_u_64", [rows])])])


def test_one_message_one_event_even_in_one_payload():
    pair = Pair()
    query_set, _ = pair.subscribe()
    pair.server.send(*(pk_update(query_set, [pk(n)]) for n in range(5)))
    (payload,) = pair.server.payloads_to_send()
    pair.client.receive(payload)
    for n in range(5):
        assert isinstance(pair.client.next_event(), Transaction)
        assert len(pair.client.cache.table("pk_u_64")) == n + 1
    assert pair.client.next_event() is NEED_DATA


def test_the_first_message_must_introduce():
    session = ClientSession(schema("sdk-test"))
    server = ServerSession(schema("sdk-test"))
    server.send(m.TransactionUpdate([]))
    session.receive(server.payloads_to_send()[0])
    with pytest.raises(RemoteProtocolError, match="expected InitialConnection first, got TransactionUpdate"):
        session.next_event()


def test_a_dead_session_says_why_and_keeps_its_rows():
    pair = Pair()
    pair.subscribe([pk(1)])
    pair.client.receive(b"\0\xff")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            pair.client.next_event()
    with pytest.raises(LocalProtocolError, match="the session is over"):
        pair.client.subscribe(["SELECT * FROM pk_u_64"])
    with pytest.raises(LocalProtocolError, match="the session is over"):
        pair.client.call_reducer("insert_pk_u_64", [1, 2])
    pair.client.receive(b"\0\0")
    assert len(pair.client.cache.table("pk_u_64")) == 1
    pair.client.connection_lost(caught.value)
    assert [type(e) for e in events(pair.client)] == [Disconnected]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (m.SubscribeApplied(99, 1, m.QueryRows([])), "request 99, which did not ask for that"),
        (m.UnsubscribeApplied(99, 1, None), "request 99, which did not ask for that"),
        (m.SubscriptionError(99, 1, "x"), "request 99, which is not under way"),
        (m.ReducerResult(99, Timestamp(0), m.ReducerOkEmpty()), "reducer call 99, which is not under way"),
        (
            m.ProcedureResult(m.ProcedureReturned(b""), Timestamp(0), TimeDuration(0), 99),
            "procedure call 99, which is not under way",
        ),
        (m.OneOffQueryResult(99, "x"), "query call 99, which is not under way"),
        (m.InitialConnection(Identity.from_int(7), ConnectionId.from_int(8), "t"), "expected one InitialConnection"),
        (pk_update(77, [pk(1)]), "update for query set 77, which was never asked for"),
        (m.SubscribeBatchApplied(99, []), "request 99, which did not ask for that"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_answers_to_nothing_are_the_servers_error(message, complaint):
    pair = Pair()
    with pytest.raises(RemoteProtocolError) as caught:
        pair.say(message)
    assert complaint in str(caught.value)


def test_an_answer_about_another_set_is_the_servers_error():
    pair = Pair()
    pair.client.subscribe(["SELECT * FROM pk_u_64"])
    (request,) = pair.asked()
    with pytest.raises(RemoteProtocolError, match="its answer is about 999"):
        pair.say(m.SubscribeApplied(request.request_id, 999, m.QueryRows([])))


def test_an_update_before_applied_is_the_servers_error():
    pair = Pair()
    query_set = pair.client.subscribe(["SELECT * FROM pk_u_64"])
    pair.asked()
    with pytest.raises(RemoteProtocolError, match="is not applied yet"):
        pair.say(pk_update(query_set, [pk(1)]))


def test_a_set_from_beginning_to_end():
    pair = Pair()
    query_set, (applied,) = pair.subscribe([pk(1), pk(2)])
    assert isinstance(applied, SubscribeApplied)
    assert [row.n for row in applied.changes["pk_u_64"].inserted()] == [1, 2]
    live = pair.client.query_sets.get(query_set)
    assert live.state is QuerySetState.LIVE
    pair.client.unsubscribe(query_set)
    with pytest.raises(LocalProtocolError, match="is leaving: expected unsubscribed, died, lost, got unsubscribe"):
        pair.client.unsubscribe(query_set)
    (request,) = pair.asked()
    assert request == m.Unsubscribe(request.request_id, query_set, send_dropped_rows=True)
    (ended,) = pair.say(m.UnsubscribeApplied(request.request_id, query_set, pk_rows([pk(1), pk(2)])))
    assert isinstance(ended, UnsubscribeApplied)
    assert cached(pair.client) == {}
    assert pair.client.query_sets.get(query_set) is None
    (late,) = pair.say(pk_update(query_set, [pk(3)]))
    assert not late.changes, "the server may keep a set whose view failed"
    with pytest.raises(LocalProtocolError, match="has not ended"):
        pair.client.unsubscribe(query_set)


def test_an_unsubscribe_without_rows_is_exact():
    pair = Pair()
    first, _ = pair.subscribe([pk(1), pk(2)])
    pair.subscribe([pk(2), pk(3)])
    pair.client.unsubscribe(first)
    (request,) = pair.asked()
    (ended,) = pair.say(m.UnsubscribeApplied(request.request_id, first, None))
    assert ended.changes["pk_u_64"].deletes == [pk(1)]
    assert cached(pair.client) == {"pk_u_64": {pk(2): 1, pk(3): 1}}


def test_a_set_that_dies_takes_exactly_its_rows():
    pair = Pair()
    first, _ = pair.subscribe([pk(1), pk(2)])
    second, _ = pair.subscribe([pk(2)])
    (died,) = pair.say(m.SubscriptionError(None, first, "view failed"))
    assert (died.query_set_id, str(died.error)) == (first, "view failed")
    assert died.changes["pk_u_64"].deletes == [pk(1)]
    assert cached(pair.client) == {"pk_u_64": {pk(2): 1}}
    assert pair.client.query_sets.get(second).state is QuerySetState.LIVE


def test_taken_back_before_the_answer():
    pair = Pair()
    query_set = pair.client.subscribe(["SELECT * FROM pk_u_64"])
    pair.client.unsubscribe(query_set)
    subscribe, unsubscribe = pair.asked()
    applied, ended = pair.say(
        m.SubscribeApplied(subscribe.request_id, query_set, pk_rows([pk(1)])),
        m.UnsubscribeApplied(unsubscribe.request_id, query_set, pk_rows([pk(1)])),
    )
    assert isinstance(applied, SubscribeApplied)
    assert isinstance(ended, UnsubscribeApplied)
    assert cached(pair.client) == {}


def test_taken_back_and_refused():
    pair = Pair()
    query_set = pair.client.subscribe(["SELECT * FROM nope"])
    pair.client.unsubscribe(query_set)
    subscribe, unsubscribe = pair.asked()
    failed, unknown = pair.say(
        m.SubscriptionError(subscribe.request_id, query_set, "no such table"),
        m.SubscriptionError(unsubscribe.request_id, query_set, "not found"),
    )
    assert isinstance(failed, SubscriptionFailed)
    assert isinstance(unknown, SubscriptionFailed)
    assert len(pair.client.query_sets) == 0


def test_an_error_about_a_reused_id_leaves_the_live_set_alone():
    pair = Pair()
    query_set, _ = pair.subscribe([pk(1)])
    pair.client.observe(WIRE.write_client([m.Subscribe(500, query_set, ["SELECT * FROM pk_u_64"])])[0])
    (failed,) = pair.say(m.SubscriptionError(500, query_set, "already exists"))
    assert isinstance(failed, SubscriptionFailed)
    assert cached(pair.client) == {"pk_u_64": {pk(1): 1}}
    assert pair.client.query_sets.get(query_set).state is QuerySetState.LIVE


def test_a_batch_is_one_event():
    pair = Pair()
    client = pair.client
    batch = m.SubscribeBatch(5, [m.SubscribeSet(2, ["a"]), m.SubscribeSet(3, ["b"])])
    client.observe(WIRE.write_client([batch])[0])
    results = [m.SubscribeSetResult(2, pk_rows([pk(1)])), m.SubscribeSetResult(3, "no")]
    (event,) = pair.say(m.SubscribeBatchApplied(5, results))
    assert isinstance(event, BatchApplied)
    assert (event.applied, {k: str(v) for k, v in event.errors.items()}) == ((2,), {3: "no"})
    assert cached(client) == {"pk_u_64": {pk(1): 1}}


def test_calls_and_their_outcomes():
    pair = Pair()
    query_set, _ = pair.subscribe()
    first = pair.client.call_reducer("insert_pk_u_64", [1, 2])
    second = pair.client.call_reducer("insert_pk_u_64", {"n": 3, "data": 4})
    third = pair.client.call_reducer("insert_pk_u_64", [5, 6])
    assert [message.args for message in pair.asked()] == [pk(1, 2), pk(3, 4), pk(5, 6)]
    error = b"\x02\0\0\0no"
    log = pair.say(
        m.ReducerResult(third, Timestamp(3), m.ReducerInternalError("boom")),
        m.ReducerResult(first, Timestamp(1), m.ReducerOk(b"", pk_update(query_set, [pk(1, 2)]))),
        m.ReducerResult(second, Timestamp(2), m.ReducerErr(error)),
    )
    assert [e.request_id for e in log] == [third, first, second]
    assert [e.outcome for e in log] == [Failed("boom"), Committed(), Refused("no")]
    assert [tuple(e.args) for e in log] == [(5, 6), (1, 2), (3, 4)]
    assert log[1].args.n == log[1].args["n"] == 1
    assert log[1].caller_identity == Identity.from_int(7)
    assert [row.n for row in log[1].changes["pk_u_64"].inserted()] == [1]


def test_wrong_arguments_send_nothing():
    pair = Pair()
    with pytest.raises(EncodeError, match=r"data: expected i32, got 'x'"):
        pair.client.call_reducer("insert_pk_u_64", [1, "x"])
    with pytest.raises(TypeError):
        pair.client.call_reducer("insert_pk_u_64", [1])
    with pytest.raises(LocalProtocolError, match="no reducer 'nope' in the schema"):
        pair.client.call_reducer("nope")
    with pytest.raises(LocalProtocolError, match="at least one query"):
        pair.client.subscribe([])
    assert pair.client.payloads_to_send() == []


@pytest.mark.parametrize("query", ["\ud800", 5, None, b"SELECT"])
def test_a_query_that_is_no_text_sends_nothing(query):
    pair = Pair()
    for ask in (lambda: pair.client.subscribe(["SELECT * FROM pk_u_64", query]), lambda: pair.client.query(query)):
        with pytest.raises(EncodeError, match="^query: expected"):
            ask()
    assert pair.client.payloads_to_send() == []
    assert len(pair.client.query_sets) == 0


def test_an_answer_that_is_refused_ends_no_call():
    """The call is told apart from its broken answer: it ends with the connection, and is not forgotten."""
    pair = Pair(module="sdk-test-procedure")
    call = pair.client.call_procedure("return_primitive", [1, 2])
    pair.asked()
    with pytest.raises(RemoteProtocolError):
        pair.say(m.ProcedureResult(m.ProcedureReturned(b"\1"), Timestamp(0), TimeDuration(0), call))
    pair.client.connection_lost(None)
    failed, _ = events(pair.client)
    assert (failed.request_id, type(failed.error)) == (call, OutcomeUnknown)


def test_an_answer_before_the_call_is_the_servers_error():
    pair = Pair()
    call = pair.client.query("SELECT * FROM pk_u_64")
    with pytest.raises(RemoteProtocolError, match="which is not under way"):
        pair.say(m.OneOffQueryResult(call, "too early"))


def test_every_call_ends_when_the_connection_does():
    pair = Pair()
    sent = pair.client.call_reducer("insert_pk_u_64", [1, 2])
    asked = pair.client.query("SELECT * FROM pk_u_64")
    pair.asked()
    queued = pair.client.call_reducer("insert_pk_u_64", [3, 4])
    pair.client.connection_lost(None, 1000, "bye")
    *failed, over = events(pair.client)
    assert {e.request_id: type(e.error) for e in failed} == {sent: OutcomeUnknown, asked: QueryError, queued: NotSent}
    assert all(isinstance(e, CallFailed) for e in failed)
    assert over == Disconnected(None, 1000, "bye")
    assert pair.client.next_event() is NEED_DATA
    assert pair.client.payloads_to_send() == []


@pytest.mark.parametrize("protocol_name", ["v1.bsatn.spacetimedb", "v1.json.spacetimedb"])
def test_v1_answers_failed_calls_without_their_id(protocol_name):
    pair = Pair(protocol_name)
    ids = [pair.client.call_reducer("insert_pk_u_64", [n, 0]) for n in (1, 2, 3)]
    other = pair.client.call_reducer("delete_pk_u_64", [1])
    sent = pair.asked()

    def failed(args, where=8, name="insert_pk_u_64"):
        who = Identity.from_int(7), ConnectionId.from_int(where)
        call = m.ReducerCall(name, 0, args, *who, Timestamp(0))
        (event,) = pair.say(m.ReducerUpdate(call, m.TransactionUpdate([]), "no"))
        return event.request_id

    nothing = "[]" if protocol_name.startswith("v1.json") else b""
    assert failed(sent[1].args) == ids[1], "the call with these arguments"
    assert failed(sent[0].args, where=9) is None, "another connection's"
    assert failed(nothing, name="<none>") is None, "no call at all"
    assert failed(nothing) == ids[0], "unreadable arguments are not sent back: the oldest call of that name"
    assert failed(sent[2].args) == ids[2]
    assert failed(nothing) is None, "no call of that name is left"
    pair.client.connection_lost(None)
    assert events(pair.client)[0].request_id == other


def test_what_was_received_comes_before_the_end():
    pair = Pair()
    query_set, _ = pair.subscribe()
    pair.server.send(pk_update(query_set, [pk(1)]))
    pair.client.receive(pair.server.payloads_to_send()[0])
    pair.client.connection_lost(None)
    assert [type(e) for e in events(pair.client)] == [Transaction, Disconnected]


# --- hostile traffic --------------------------------------------------------------------------------------------------

ALL_PROTOCOLS = ["v1.bsatn.spacetimedb", "v1.json.spacetimedb", "v2.bsatn.spacetimedb", "v3.bsatn.spacetimedb"]
SMALL = Limits(message_size=10_000, decompressed_size=50_000, rows_per_message=1_000, queued_bytes=20_000)
PAYLOADS = {
    p: [x for t in RECORDED if t.protocol == p for x in t.payloads("server") if len(x) < 4000] for p in ALL_PROTOCOLS
}


def feed(session, payload):
    """Anything at all may come in; only events and one documented error may come out."""
    session.receive(payload)
    try:
        events(session)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            session.next_event()
        return False
    return True


@pytest.mark.parametrize("protocol", ALL_PROTOCOLS)
@given(data=st.data())
@settings(max_examples=150)
def test_any_payload_gives_events_or_one_error(protocol, data):
    session = ClientSession(schema("sdk-test"), protocol=protocol, limits=SMALL)
    kind = st.text() if protocol.startswith("v1.json") else st.binary()
    for payload in data.draw(st.lists(kind | st.binary() | st.text(), max_size=4)):
        if not feed(session, payload):
            break


@pytest.mark.parametrize("protocol", ALL_PROTOCOLS)
@given(data=st.data())
@settings(max_examples=150)
def test_damaged_traffic_gives_events_or_one_error(protocol, data):
    session = ClientSession(schema("sdk-test"), protocol=protocol, limits=SMALL)
    feed(session, PAYLOADS[protocol][0])
    for payload in data.draw(st.lists(st.sampled_from(PAYLOADS[protocol]), max_size=5)):
        cut = data.draw(st.integers(0, len(payload)))
        junk = data.draw(st.text(max_size=4) if isinstance(payload, str) else st.binary(max_size=4))
        skip = data.draw(st.integers(0, 3))
        if not feed(session, payload[:cut] + junk + payload[cut + skip :]):
            break


@pytest.mark.parametrize("protocol", ALL_PROTOCOLS[::2])
def test_a_huge_claim_costs_nothing(protocol):
    session = ClientSession(schema("sdk-test"), protocol=protocol)
    for tag in range(12):
        fresh = ClientSession(schema("sdk-test"), protocol=protocol)
        assert not feed(fresh, bytes([0, tag]) + b"\xff" * 18)
    assert session.next_event() is NEED_DATA


@pytest.mark.parametrize("together", [False, True])
def test_too_much_waiting_is_an_error(together):
    pair = Pair(limits=Limits(queued_bytes=100))
    if together:
        pair.client.receive_many(Alike((b"\x82\x1e" + b"\0" * 30) * 10, header=2, step=32))
    else:
        for _ in range(10):
            pair.client.receive(b"\0" * 30)
    with pytest.raises(RemoteProtocolError, match="more than 100 bytes are waiting"):
        events(pair.client)


def test_schemas_of_all_recorded_modules_are_here():
    assert all(schema(t.module).tables for t in RECORDED)


VIEWS_WITH_KEYS = [t for t in BINARY if t.name.startswith(("view-pk-client", "procedural-view-pk-client"))]


def test_views_with_a_primary_key_have_updates():
    """Declared for procedural views, inferred for query views: either way a new version of a row is one update."""
    updated = set()
    for transcript in VIEWS_WITH_KEYS:
        session, log = replay(transcript)
        for event in log:
            for name, change in getattr(event, "changes", {}).items():
                if change.updates and session.schema.tables[name].is_view:
                    updated.add(transcript.name.split("/")[0])
    assert updated == {t.name.split("/")[0] for t in VIEWS_WITH_KEYS}


def element(name, slot):
    return {"name": {"some": name}, "algebraic_type": {"Ref": slot}}


def test_rows_of_a_type_that_turns_out_to_be_none_end_the_session():
    inner = [{"Product": {"elements": [element("a", n + 1), element("b", n + 1)]}} for n in range(30)]
    slots = [*inner, {"Product": {"elements": []}}, {"Product": {"elements": [element("deep", 0)]}}]
    table = {"name": "t", "product_type_ref": 31, "primary_key": [], "indexes": [], "constraints": [], "sequences": []}
    table |= {"schedule": {"none": []}, "table_type": {"User": []}, "table_access": {"Public": []}}
    made = load_schema({"typespace": {"types": slots}, "tables": [table], "reducers": [], "types": []})
    client, server = ClientSession(made), ServerSession(made)
    server.send(m.InitialConnection(Identity.from_int(1), ConnectionId.from_int(2), "token"))
    query_set = client.subscribe(["SELECT * FROM t"])
    rows = m.QueryRows([m.SingleTableRows("t", RowList.of([b""]))])
    for payload in client.payloads_to_send():
        server.receive(payload)
    server.send(m.SubscribeApplied(server.next_event().request_id, query_set, rows))
    for payload in server.payloads_to_send():
        client.receive(payload)
    assert isinstance(client.next_event(), Connected)
    with pytest.raises(RemoteProtocolError, match="type 31: expected at most 64 fields of products without bytes"):
        client.next_event()
