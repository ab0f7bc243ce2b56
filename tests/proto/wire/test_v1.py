"""v1 in both formats: what it says differently, and what it cannot say."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import LocalProtocolError, RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol
from spacetimedb_proto.wire import v1_messages as v1
from spacetimedb_proto.wire.compression import compress
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_proto.wire.rows import write_row_list
from tests.schemas import schema
from tests.transcripts import load, websockets

SDK_TEST = schema("sdk-test")
IDENTITY = Identity.from_int(7)
CONNECTION = ConnectionId.from_int(8)
NO_ROWS = RowList.of([])


def wire(name="v1.bsatn", **limits):
    return protocol(name, SDK_TEST, Limits(**limits))


def pk_rows(*numbers):
    return RowList.of([struct.pack("<QI", number, number) for number in numbers])


def through(subject, message):
    """What a client makes of what a server says, or the reverse, by what the message is."""
    if isinstance(message, m.ClientMessage):
        (payload,) = subject.write_client([message])
        return list(subject.read_client(payload))
    (payload,) = subject.write_server([message])
    return list(subject.read_server(payload))


def refusal(subject, payload):
    with pytest.raises(RemoteProtocolError) as caught:
        list(subject.read_server(payload))
    assert str(caught.value).startswith(f"{subject.name}: ")
    return str(caught.value).removeprefix(f"{subject.name}: ")


# --- commands down ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (m.Subscribe(1, 2, ["a", "b"]), v1.SubscribeMulti(["a", "b"], 1, 2)),
        (m.Unsubscribe(1, 2), v1.UnsubscribeMulti(1, 2)),
        (m.OneOffQuery(0x01020304, "a"), v1.OneOffQuery(b"\4\3\2\1", "a")),
        (m.CallReducer(1, 0, "f", b"x"), v1.CallReducer("f", b"x", 1, 0)),
        (m.CallProcedure(1, 0, "f", b"x"), v1.CallProcedure("f", b"x", 1, 0)),
        (m.ReplaceSubscription(1, ["a"]), v1.Subscribe(["a"], 1)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_commands(message, sent):
    subject = wire()
    (payload,) = subject.write_client([message])
    assert subject.decode_client(payload) == sent
    assert list(subject.read_client(payload)) == [message]


def test_commands_that_v1_lacks():
    with pytest.raises(LocalProtocolError, match="v1 has no SubscribeBatch: subscribe one by one"):
        wire().write_client([m.SubscribeBatch(1, [])])


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (v1.SubscribeSingle("a", 1, 2), m.SubscribeSingle(1, 2, ["a"])),
        (v1.Unsubscribe(1, 2), m.UnsubscribeSingle(1, 2)),
        (v1.CallReducer("f", b"x", 1, 1), m.CallReducer(1, 1, "f", b"x")),
        (v1.OneOffQuery(b"\2\1", "a"), m.OneOffQuery(0x0102, "a")),
    ],
    ids=lambda each: type(each).__name__,
)
def test_forms_that_this_side_never_sends(sent, message):
    subject = wire()
    assert list(subject.read_client(subject.encode_client(sent))) == [message]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (v1.CallReducer("f", b"", 1, 2), "flags: expected at most 1, got 2"),
        (v1.CallProcedure("f", b"", 1, 1), "flags: expected at most 0, got 1"),
        (v1.OneOffQuery(bytes(17), "a"), "message_id: expected at most 16 bytes, got 17"),
    ],
)
def test_commands_that_servers_refuse(sent, text):
    subject = wire()
    with pytest.raises(RemoteProtocolError) as caught:
        list(subject.read_client(subject.encode_client(sent)))
    assert str(caught.value) == f"v1.bsatn.spacetimedb: {text}"


# --- answers up -------------------------------------------------------------------------------------------------------

DURATION = TimeDuration(5)


def table(name, *updates):
    return v1.TableUpdate(9, name, 1, [v1.QueryUpdate(*update) for update in updates])


def transaction(status):
    info = v1.ReducerCallInfo("f", 3, b"x", 4)
    return v1.TransactionUpdate(status, Timestamp(6), IDENTITY, CONNECTION, info, v1.EnergyQuanta(1), DURATION)


CALL = m.ReducerCall("f", 4, b"x", IDENTITY, CONNECTION, Timestamp(6))
A, B = pk_rows(1), pk_rows(2)
BOTH = v1.DatabaseUpdate([table("t", (A, B), (NO_ROWS, A)), table("u", (B, NO_ROWS))])
CHANGES = m.TransactionUpdate(
    [
        m.QuerySetUpdate(
            0,
            [
                m.TableUpdate("t", [m.PersistentTableRows(B, A), m.PersistentTableRows(A, NO_ROWS)]),
                m.TableUpdate("u", [m.PersistentTableRows(NO_ROWS, B)]),
            ],
        )
    ]
)
ENTERING = v1.DatabaseUpdate([table("t", (NO_ROWS, A), (NO_ROWS, B))])
LEAVING = v1.DatabaseUpdate([table("t", (A, NO_ROWS), (B, NO_ROWS))])
ROWS = m.QueryRows([m.SingleTableRows("t", A), m.SingleTableRows("t", B)])


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (v1.IdentityToken(IDENTITY, "tok", CONNECTION), m.InitialConnection(IDENTITY, CONNECTION, "tok")),
        (v1.InitialSubscription(ENTERING, 1, DURATION), m.ReplacedSubscription(1, ROWS)),
        (v1.SubscribeMultiApplied(1, 5, 2, ENTERING), m.SubscribeApplied(1, 2, ROWS)),
        (v1.UnsubscribeMultiApplied(1, 5, 2, LEAVING), m.UnsubscribeApplied(1, 2, ROWS)),
        (v1.SubscribeApplied(1, 5, 2, v1.SubscribeRows(9, "t", ENTERING.tables[0])), m.SubscribeApplied(1, 2, ROWS)),
        (v1.UnsubscribeApplied(1, 5, 2, v1.SubscribeRows(9, "t", LEAVING.tables[0])), m.UnsubscribeApplied(1, 2, ROWS)),
        (v1.SubscriptionError(5, 1, 2, None, "no"), m.SubscriptionError(1, 2, "no")),
        (v1.SubscriptionError(5, None, None, 9, "no"), m.SubscriptionError(None, None, "no")),
        (transaction(BOTH), m.ReducerUpdate(CALL, CHANGES, None)),
        (transaction(v1.Failed("no")), m.ReducerUpdate(CALL, m.TransactionUpdate([]), "no")),
        (
            transaction(v1.OutOfEnergy()),
            m.ReducerUpdate(CALL, m.TransactionUpdate([]), "reducer ran out of energy"),
        ),
        (v1.TransactionUpdateLight(77, BOTH), CHANGES),
        (
            v1.OneOffQueryResponse(b"\1\0\0\0", None, [v1.OneOffTable("t", A)], DURATION),
            m.OneOffQueryResult(1, m.QueryRows([m.SingleTableRows("t", A)])),
        ),
        (v1.OneOffQueryResponse(b"\1\0\0\0", "no", [], DURATION), m.OneOffQueryResult(1, "no")),
        (
            v1.ProcedureResult(v1.Returned(b"x"), Timestamp(6), DURATION, 1),
            m.ProcedureResult(m.ProcedureReturned(b"x"), Timestamp(6), DURATION, 1),
        ),
        (
            v1.ProcedureResult(v1.Failed("no"), Timestamp(6), DURATION, 1),
            m.ProcedureResult(m.ProcedureInternalError("no"), Timestamp(6), DURATION, 1),
        ),
        (
            v1.ProcedureResult(v1.OutOfEnergy(), Timestamp(6), DURATION, 1),
            m.ProcedureResult(m.ProcedureInternalError("procedure ran out of energy"), Timestamp(6), DURATION, 1),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_answers(sent, message):
    subject = wire()
    assert list(subject.read_server(subject.encode_server(sent))) == [message]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (v1.SubscribeMultiApplied(1, 5, 2, BOTH), "rows of a subscription: expected no deletes, got 1"),
        (v1.UnsubscribeMultiApplied(1, 5, 2, BOTH), "rows of a subscription: expected no inserts, got 1"),
        (v1.OneOffQueryResponse(bytes(17), "no", [], DURATION), "message_id: expected at most 16 bytes, got 17"),
    ],
)
def test_answers_that_make_no_sense(sent, text):
    subject = wire()
    assert refusal(subject, subject.encode_server(sent)) == text


def test_bytes_after_a_message():
    subject = wire()
    payload = subject.encode_server(v1.TransactionUpdateLight(1, v1.DatabaseUpdate([])))
    assert refusal(subject, payload + b"\0") == "expected one message per payload, got 1 bytes more"
    with pytest.raises(RemoteProtocolError, match="expected one message per payload, got 1 bytes more"):
        list(subject.read_client(subject.encode_client(v1.Unsubscribe(1, 2)) + b"\0"))


# --- compressed parts -------------------------------------------------------------------------------------------------


def packed(name, body):
    data = compress(name, body)
    return bytes((("", "brotli", "gzip").index(name),)) + struct.pack("<I", len(data)) + data


def with_updates(*parts):
    """A light update of one table with these query updates, as bytes."""
    return v1.TransactionUpdateLight(1, v1.DatabaseUpdate([
        v1.TableUpdate(9, "t", 1, [v1.QueryUpdate(NO_ROWS, NO_ROWS, packed=part) for part in parts])
    ]))  # fmt: skip


@pytest.mark.parametrize("name", ["gzip", "brotli"])
def test_compressed_updates(name):
    body = write_row_list(A) + write_row_list(B)
    subject = wire()
    payload = subject.encode_server(with_updates(packed(name, body)))
    update = m.TableUpdate("t", [m.PersistentTableRows(B, A)])
    assert list(subject.read_server(payload)) == [m.TransactionUpdate([m.QuerySetUpdate(0, [update])])]
    assert subject.encode_server(subject.decode_server(payload)) == payload


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (b"\3" + bytes(4), "tag of CompressableQueryUpdate: expected 0, 1 or 2, got 3"),
        (b"\2\xff\xff\xff\xff", "expected 4294967295 bytes, got 0"),
        (b"\2\1\0\0\0x", "expected a whole gzip stream, got only its beginning"),
        (packed("gzip", write_row_list(A) * 2 + b"x"), "CompressableQueryUpdate: 1 bytes after its end"),
        (packed("gzip", write_row_list(A) + b"\0"), "inserts: expected more bytes, got the end of the message"),
    ],
)
def test_compressed_updates_that_are_none(part, text):
    subject = wire()
    assert text in refusal(subject, subject.encode_server(with_updates(part)))


def test_compressed_updates_count_together():
    subject = wire(decompressed_size=5_000_000)
    bomb = packed("gzip", write_row_list(RowList(bytes(3_000_000), row_size=3000)) + write_row_list(NO_ROWS))
    assert len(bomb) < 20_000
    assert len(list(subject.read_server(subject.encode_server(with_updates(bomb))))) == 1
    payload = subject.encode_server(with_updates(*[bomb] * 100))
    tracemalloc.start()
    try:
        assert "after decompression, got more" in refusal(subject, payload)
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
    assert len(list(subject.read_server(subject.encode_server(with_updates(bomb))))) == 1


@pytest.mark.parametrize("name", ["v1.bsatn", "v1.json"])
def test_rows_of_all_lists_count_together(name):
    subject = wire(name, rows_per_message=10)
    fits = m.SubscribeApplied(1, 2, m.QueryRows([m.SingleTableRows("pk_u_64", pk_rows(*range(5)))] * 2))
    exceeds = m.SubscribeApplied(1, 2, m.QueryRows([m.SingleTableRows("pk_u_64", pk_rows(*range(4)))] * 3))
    for _ in range(2):
        assert through(subject, fits) == [fits]
        (payload,) = subject.write_server([exceeds])
        assert "in one message, got more" in refusal(subject, payload)


@pytest.mark.parametrize(
    "body",
    [
        b"\2" + struct.pack("<II", 1, 1_100_000) + bytes(20) * 1_100_000,
        b"\2" + struct.pack("<III", 1, 1, 9) + b"\0\0\0\0" + bytes(8) + struct.pack("<I", 1_100_000)
        + (b"\0" + b"\1" + bytes(8) + b"\1" + bytes(8)) * 1_100_000,
    ],
    ids=["tables", "updates"],
)  # fmt: skip
def test_many_small_things_are_refused(body):
    assert "expected at most 1000000 tables and query sets in one message, got more" in refusal(
        wire(), b"\2" + compress("gzip", body)
    )


# --- answers down -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v1.bsatn", "v1.json"])
def test_a_server_answers_a_call_with_the_call(name):
    subject = wire(name)
    args = "[1]" if subject.text else b"\1"
    call = m.CallReducer(4, 0, "insert_pk_u_64", args)
    results = [
        (m.ReducerInternalError("panic"), "panic"),
        (m.ReducerErr(b"\2\0\0\0no"), "no"),
        (m.ReducerOkEmpty(), None),
        (m.ReducerOk(b"", m.TransactionUpdate([])), None),
    ]
    subject.write_server([m.InitialConnection(IDENTITY, CONNECTION, "tok")])
    for result, error in results:
        assert through(subject, call) == [call]
        (update,) = through(subject, m.ReducerResult(4, Timestamp(6), result))
        assert update.error == error
        assert update.call == m.ReducerCall("insert_pk_u_64", 4, args, IDENTITY, CONNECTION, Timestamp(6))


def test_a_server_answers_no_call_twice():
    subject = wire()
    subject.write_server([m.InitialConnection(IDENTITY, CONNECTION, "tok")])
    result = m.ReducerResult(4, Timestamp(6), m.ReducerOkEmpty())
    assert through(subject, m.CallReducer(4, 0, "f", b""))
    assert through(subject, result)
    with pytest.raises(LocalProtocolError, match="the client made no call 4"):
        subject.write_server([result])


@pytest.mark.parametrize("message_id", [b"", b"\1", b"\2\1", b"\0\0\0\0\0", bytes(range(16))])
def test_a_server_repeats_the_message_id(message_id):
    subject = wire()
    (query,) = subject.read_client(subject.encode_client(v1.OneOffQuery(message_id, "a")))
    (payload,) = subject.write_server([m.OneOffQueryResult(query.request_id, "no")])
    assert subject.decode_server(payload).message_id == message_id


def test_tables_of_several_query_sets_become_one():
    update = m.TableUpdate("t", [m.PersistentTableRows(A, NO_ROWS)])
    other = m.TableUpdate("t", [m.PersistentTableRows(NO_ROWS, B)])
    sent = m.TransactionUpdate([m.QuerySetUpdate(1, [update]), m.QuerySetUpdate(2, [other])])
    subject = wire()
    (payload,) = subject.write_server([sent])
    (found,) = subject.decode_server(payload).update.tables
    assert (found.table_name, found.num_rows, len(found.updates)) == ("t", 2, 2)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (m.SubscribeBatchApplied(1, []), "v1 has no SubscribeBatchApplied"),
        (
            m.TransactionUpdate([m.QuerySetUpdate(1, [m.TableUpdate("t", [m.EventTableRows(A)])])]),
            "v1 cannot carry the rows of event tables",
        ),
        (m.OneOffQueryResult(-1, "no"), "v1.bsatn.spacetimedb: a message cannot be written: "),
        (m.SubscriptionError(1, 2**32, "no"), "v1.bsatn.spacetimedb: a message cannot be written: "),
        (m.SubscriptionError(1, 2, "\ud800"), "v1.bsatn.spacetimedb: a message cannot be written: "),
    ],
)
def test_messages_that_v1_cannot_carry(message, text):
    with pytest.raises(LocalProtocolError, match=f"^{text}"):
        wire().write_server([message])


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_recorded_rows_are_the_same_bytes_in_all_protocols():
    """The same calls were recorded over every protocol: their rows must be the same."""

    def rows(transcript):
        subject = protocol(transcript.protocol, SDK_TEST, Limits())
        found = set()
        for payload in transcript.payloads("server"):
            for message in subject.read_server(payload):
                if isinstance(message, m.OneOffQueryResult) and isinstance(message.result, m.QueryRows):
                    found.update(row for part in message.result.tables for row in part.rows)
        return found

    recorded = [rows(load(name)) for name in ("protocol-v1json/None.3", "protocol-v1/None.1", "protocol-v2/None.1")]
    numbers = [(0, 0), (1, 1), (2, 2), (3, 50), (5, 5), (6, 6), (7, 7), (500, 5)]
    for found in recorded:
        assert found >= {struct.pack("<QI", *pair) for pair in numbers}


def light(name, *rows):
    update = {"table_id": 1, "table_name": name, "num_rows": 1, "updates": [{"deletes": [], "inserts": list(rows)}]}
    return json.dumps({"TransactionUpdateLight": {"request_id": 1, "update": {"tables": [update]}}})


def inserted(payload):
    (message,) = wire("v1.json").read_server(payload)
    return [row for part in message.query_sets[0].tables for update in part.rows for row in update.inserts]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("pk_u_64", ['{"n":3,"data":50}', "[3,50]", ' {"data": 50, "n": 3} ']),
        ("one_string", ['{"s":"h\\u00e9"}', '["hé"]']),
        ("option_i_32", ['{"n":[0,5]}', "[[0,5]]", '{"n":{"some":5}}']),
        ("option_i_32", ['{"n":[1,[]]}', "[[1,[]]]", '{"n":{"none":[]}}', "[null]"]),
        ("one_simple_enum", ['{"e":[1,[]]}', "[[1,[]]]", '{"e":{"One":[]}}', '{"e":{"one":[]}}']),
        (
            "one_identity",
            ['{"i":{"__identity__":"0x2a"}}', '[["0x2a"]]', '{"i":["0x2a"]}'],
        ),
        ("vec_option_i_32" if "vec_option_i_32" in SDK_TEST.tables else "vec_i_32", ['{"n":[1]}', "[[1]]"]),
        ("one_f_32", ['{"f":null}', "[null]"]),
    ],
)
def test_one_row_in_all_its_shapes(name, shapes):
    if name == "one_simple_enum":  # the variant's name is as the module's policy made it
        shapes = [shape for shape in shapes if '"One"' not in shape and '"one"' not in shape]
    rows = {row for shape in shapes for row in inserted(light(name, shape))}
    assert len(rows) == 1
    assert inserted(light(name, *shapes)) == [*rows] * len(shapes)


def test_rows_of_tables_that_the_schema_does_not_know():
    """They cannot be read; the table is named all the same, so that the loss can be told."""
    (message,) = wire("v1.json").read_server(light("nonesuch", "[1,2]"))
    assert message.query_sets[0].tables == [m.TableUpdate("nonesuch", [m.PersistentTableRows(NO_ROWS, NO_ROWS)])]
    with pytest.raises(LocalProtocolError, match="nonesuch"):
        wire("v1.json").write_server([m.SubscribeApplied(1, 2, m.QueryRows([m.SingleTableRows("nonesuch", A)]))])


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("", "message: expected JSON, got something else: Expecting value"),
        ("{", "message: expected JSON, got something else: Expecting property name"),
        ("[" * 100_000, "message: expected JSON, got something else: "),
        ("1" * 5000, "message: expected JSON, got something else: Exceeds the limit"),
        ("null", "ServerMessage"),
        ("[]", "ServerMessage"),
        ('{"Nonesuch":{}}', "ServerMessage has no such variant"),
        ('{"TransactionUpdateLight":{"request_id":1}}', "without 'update'"),
        (light("pk_u_64", "[1"), "a row of pk_u_64: expected JSON, got something else: Expecting ',' delimiter"),
        (light("pk_u_64", "[1]"), "with 2 fields expected, got an array of 1"),
        (light("pk_u_64", "[-1,1]"), "u64 expected, got a number out of range"),
        (light("pk_u_64", "[1.5,1]"), "u64 expected, got a fraction"),
        (light("one_string", '["\\ud800"]'), "a string without lone surrogates expected"),
        (light("one_f_32", "[1e39]"), "f32 expected, got a number out of range"),
        (light("\ud800", "[1]"), "a string without lone surrogates expected"),
        (light("pk_u_64").replace("[]", "[1]", 1), "updates[0]: rows: expected an array of JSON texts, got an array"),
        (light("pk_u_64").replace("[]", "{}", 1), "updates[0]: rows: expected an array of JSON texts, got an object"),
        (light("pk_u_64").replace('"deletes"', '"x"'), "expected an object of deletes and inserts, got an object"),
        (light("pk_u_64").replace('"table_id": 1', '"table_id": -1'), "table_id: expected a u32, got a number"),
        (light("pk_u_64").replace('"table_id": 1', '"table_id": true'), "table_id: expected a u32, got a bool"),
    ],
)
def test_malformed_json(payload, text):
    assert text in refusal(wire("v1.json"), payload)


def test_errors_do_not_repeat_rows():
    for row in ('["secret', '{"s":"secret","t":1}', '["secret",1]', "secret"):
        assert "secret" not in refusal(wire("v1.json"), light("one_string", row))


def test_the_client_payload_that_the_server_refused():
    """A bare number for a query id ended that connection; it is read here so that the recording can be replayed."""
    refused = [t for t in websockets() if t.close is not None and t.close.code == 1011]
    assert [(t.name, t.close.reason) for t in refused] == [
        (
            "protocol-v1json/None.1",
            "invalid type: integer `1`, expected a QuerySetId tuple at line 1 column 122",
        )
    ]
    (payload,) = refused[0].payloads("client")
    (message,) = wire("v1.json").read_client(payload)
    assert message == m.Subscribe(1, 1, ["SELECT * FROM pk_u_64", "SELECT * FROM one_string"])
    (again,) = wire("v1.json").write_client([message])
    assert json.loads(again)["SubscribeMulti"]["query_id"] == {"id": 1}
