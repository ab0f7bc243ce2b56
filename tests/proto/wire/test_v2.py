"""v2 and v3 byte by byte: the worked examples of the references, batches, limits, and everything malformed."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import LocalProtocolError, RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol
from spacetimedb_proto.wire.compression import compress
from spacetimedb_proto.wire.rowlist import RowList
from tests.schemas import schema

SDK_TEST = schema("sdk-test")


def wire(name="v2.bsatn", **limits):
    return protocol(name, SDK_TEST, Limits(**limits))


def hexed(text):
    return bytes.fromhex(text.replace(" ", ""))


def refusal(read, payload):
    with pytest.raises(RemoteProtocolError) as caught:
        list(read(payload))
    text = str(caught.value)
    prefix = "v2.bsatn.spacetimedb: "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


# --- worked bytes (protocol reference, 3.10 and 8) -------------------------------------------------------------------

SELECT = "53454c454354202a2046524f4d2074"

CLIENT = {
    f"00 01000000 01000000 01000000 0f000000 {SELECT}": m.Subscribe(1, 1, ["SELECT * FROM t"]),
    "01 02000000 01000000 01": m.Unsubscribe(2, 1, True),
    "03 07000000 00 03000000 616464 04000000 05000000": m.CallReducer(7, 0, "add", struct.pack("<i", 5)),
    f"05 01000000 01000000 02000000 01000000 0f000000 {SELECT}": m.SubscribeBatch(
        1, [m.SubscribeSet(2, ["SELECT * FROM t"])]
    ),
}

SERVER = {
    "00 00 75a9cc35243f675a7d8eebbbf2a1c2b0dc36ccca06de02d4c742d652314800c2"
    "000102030405060708090a0b0c0d0e0f 03000000 746f6b": m.InitialConnection(
        Identity.from_hex("c200483152d642c7d402de06cacc36dcb0c2a1f2bbeb8e7d5a673f2435cca975"),
        ConnectionId.from_hex("0f0e0d0c0b0a09080706050403020100"),
        "tok",
    ),
    "00 08 01000000 02000000 02000000 00 00000000 03000000 01 02000000 6e6f": m.SubscribeBatchApplied(
        1, [m.SubscribeSetResult(2, m.QueryRows([])), m.SubscribeSetResult(3, "no")]
    ),
    # the rest from the layouts of 3.2 and 3.4
    "00 01 01000000 02000000 01000000 01000000 74 00 0200 04000000 01020304": m.SubscribeApplied(
        1, 2, m.QueryRows([m.SingleTableRows("t", RowList.of([b"\1\2", b"\3\4"]))])
    ),
    "00 02 01000000 02000000 01": m.UnsubscribeApplied(1, 2, None),
    "00 02 01000000 02000000 00 00000000": m.UnsubscribeApplied(1, 2, m.QueryRows([])),
    "00 03 01 02000000 02000000 6e6f": m.SubscriptionError(None, 2, "no"),
    "00 03 00 01000000 02000000 02000000 6e6f": m.SubscriptionError(1, 2, "no"),
    "00 04 01000000 02000000 01000000 01000000 74 01000000 00"  # inserts first (trap 2)
    "01 02000000 0000000000000000 0100000000000000 03000000 010203 01 00000000 00000000": m.TransactionUpdate(
        [
            m.QuerySetUpdate(
                2, [m.TableUpdate("t", [m.PersistentTableRows(RowList.of([b"\1", b"\2\3"]), RowList.of([]))])]
            )
        ]
    ),
    "00 04 01000000 02000000 01000000 01000000 74 01000000 01 00 0100 01000000 07": m.TransactionUpdate(
        [m.QuerySetUpdate(2, [m.TableUpdate("t", [m.EventTableRows(RowList.of([b"\7"]))])])]
    ),
    "00 05 01000000 01 02000000 6e6f": m.OneOffQueryResult(1, "no"),
    "00 06 01000000 0200000000000000 00 00000000 00000000": m.ReducerResult(
        1, Timestamp(2), m.ReducerOk(b"", m.TransactionUpdate([]))
    ),
    "00 06 01000000 0200000000000000 01": m.ReducerResult(1, Timestamp(2), m.ReducerOkEmpty()),
    "00 06 01000000 0200000000000000 02 06000000 02000000 6e6f": m.ReducerResult(
        1, Timestamp(2), m.ReducerErr(b"\2\0\0\0no")
    ),
    "00 06 01000000 0200000000000000 03 02000000 6e6f": m.ReducerResult(1, Timestamp(2), m.ReducerInternalError("no")),
    "00 07 00 01000000 05 0200000000000000 0300000000000000 01000000": m.ProcedureResult(
        m.ProcedureReturned(b"\5"), Timestamp(2), TimeDuration(3), 1
    ),
    "00 07 01 02000000 6e6f 0000000000000000 0000000000000000 01000000": m.ProcedureResult(
        m.ProcedureInternalError("no"), Timestamp(0), TimeDuration(0), 1
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), CLIENT.items(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("name", ["v2.bsatn", "v3.bsatn"])
def test_client_bytes(name, data, message):
    assert list(wire(name).read_client(hexed(data))) == [message]
    assert wire(name).write_client([message]) == [hexed(data)]


@pytest.mark.parametrize(("data", "message"), SERVER.items(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("name", ["v2.bsatn", "v3.bsatn"])
def test_server_bytes(name, data, message):
    assert list(wire(name).read_server(hexed(data))) == [message]
    assert wire(name).write_server([message]) == [hexed(data)]


@pytest.mark.parametrize(("data", "message"), SERVER.items(), ids=lambda each: type(each).__name__)
def test_every_truncation_and_every_tail(data, message):
    payload = hexed(data)
    for length in range(len(payload)):
        assert "expected" in refusal(wire().read_server, payload[:length])
    assert refusal(wire().read_server, payload + b"\0") == "expected one message per payload, got 1 bytes more"


# --- batches ----------------------------------------------------------------------------------------------------------


def query(size):
    return m.OneOffQuery(1, "x" * (size - 9))  # nine bytes around the text


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([100] * 5, [500]),
        ([262_144], [262_144]),
        ([262_143, 10], [262_143, 10]),
        ([10, 262_134], [262_144]),
        ([10, 262_135], [10, 262_135]),
        ([10, 1_000_000, 10, 10], [10, 1_000_000, 20]),
        ([100_000] * 5, [200_000, 200_000, 100_000]),
    ],
)
def test_client_batches(sizes, batches):
    sent = [query(size) for size in sizes]
    payloads = wire("v3.bsatn").write_client(sent)
    assert [len(payload) for payload in payloads] == batches
    assert [message for payload in payloads for message in wire("v3.bsatn").read_client(payload)] == sent
    assert [len(payload) for payload in wire("v2.bsatn").write_client(sent)] == sizes


def test_server_batches_are_measured_before_compression():
    sent = [m.OneOffQueryResult(n, "x" * 300_000) for n in range(4)]
    payloads = wire("v3.bsatn").write_server(sent, "gzip")
    assert [(len(payload) < 10_000, payload[0]) for payload in payloads] == [(True, 2)] * 4
    assert len(wire("v3.bsatn").write_server([m.OneOffQueryResult(n, "x" * 100_000) for n in range(6)])) == 2


def test_a_batch_is_read_message_by_message():
    good = m.SubscriptionError(None, 2, "no")
    (payload,) = wire("v3.bsatn").write_server([good, good])
    reading = wire("v3.bsatn").read_server(payload + b"\x63")
    assert [next(reading), next(reading)] == [good, good]
    with pytest.raises(RemoteProtocolError, match=r"v3.bsatn.spacetimedb: expected a message tag below 9, got 99"):
        next(reading)


@pytest.mark.parametrize("name", ["v2.bsatn", "v3.bsatn"])
def test_payloads_without_a_message(name):
    for read, payload in ((wire(name).read_server, b"\0"), (wire(name).read_client, b"")):
        with pytest.raises(RemoteProtocolError, match="expected a message, got an empty payload"):
            list(read(payload))


# --- malformed --------------------------------------------------------------------------------------------------------

UPDATE = "00 04 01000000 02000000 01000000 01000000 74 01000000 00"
NO_ROWS = "01 00000000 00000000"
ROW = "00 0100 01000000 07"
INSERTS = "TransactionUpdate at byte 2: query_sets[0].tables[0].rows[0].inserts"
DELETES = INSERTS.replace("inserts", "deletes")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("00 09", "expected a message tag below 9, got 9"),
        ("00 00 ff", "InitialConnection at byte 2: expected 32 bytes, got 1"),
        (
            "00 03 02",
            "SubscriptionError at byte 3: tag of request_id: expected at most 1, got 2",
        ),
        (
            "00 03 01 02000000 01000000 ff",
            "SubscriptionError at byte 12: expected UTF-8, got 1 other bytes",
        ),
        (
            "00 06 01000000 0200000000000000 04",
            "ReducerResult at byte 15: tag of ReducerOutcome: expected at most 3, got 4",
        ),
        ("00 04 ffffffff", "TransactionUpdate at byte 2: query_sets: expected 4294967295 elements, got 0 bytes"),
        ("00 04 01", "TransactionUpdate at byte 2: query_sets: expected a count, got the end of the message"),
        (
            "00 04 01000000 02000000 01000000",
            "TransactionUpdate at byte 2: query_sets[0].tables: expected 1 elements, got 0 bytes",
        ),
        (
            f"{UPDATE} {ROW} 02",
            f"{DELETES}: expected more bytes, got the end of the message",
        ),
        (
            f"{UPDATE} {ROW} 02 00000000",
            f"{DELETES}.size_hint: expected a tag of 0 or 1, got 2",
        ),
        (
            f"{UPDATE} 00 0000 01000000 07 {NO_ROWS}",
            f"{INSERTS}.rows_data: expected rows of 0 bytes, got 1 bytes",
        ),
        (
            f"{UPDATE} 00 0200 03000000 070707 {NO_ROWS}",
            f"{INSERTS}.rows_data: expected rows of 2 bytes, got 3 bytes",
        ),
        (
            f"{UPDATE} 00 0100 ffffffff 07",
            f"{INSERTS}.rows_data: expected 4294967295 bytes, got 1",
        ),
        (
            f"{UPDATE} 01 ffffffff 0000000000000000",
            f"{INSERTS}.size_hint: expected 4294967295 offsets, got 8 bytes",
        ),
        (
            f"{UPDATE} 01 01000000 0100000000000000 01000000 07 {NO_ROWS}",
            f"{INSERTS}.offsets: expected them to rise from 0 to at most 1, got others",
        ),
        (
            "00 01 01000000 02000000 01000000 01000000 ff 0000000000000000000000",
            "SubscribeApplied at byte 10: tables[0].table: expected UTF-8, got 1 other bytes",
        ),
        (
            "00 08 01000000 02000000 02000000 02 00000000000000000000000000",
            "SubscribeBatchApplied at byte 15: tag of result: expected at most 1, got 2",
        ),
    ],
)  # fmt: skip
def test_malformed_server_messages(data, text):
    assert refusal(wire().read_server, hexed(data)) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("06", "expected a message tag below 6, got 6"),
        ("01 02000000 01000000 02", "Unsubscribe at byte 10: tag of UnsubscribeFlags: expected at most 1, got 2"),
        ("03 07000000 01 00000000 00000000", "CallReducer at byte 14: flags: expected 0, got 1"),
        ("04 07000000 02 00000000 00000000", "CallProcedure at byte 14: flags: expected 0, got 2"),
        ("00 01000000 01000000 ffffffff", "Subscribe at byte 13: expected 4294967295 elements, got 0 bytes"),
        ("02 01000000 ffffffff", "OneOffQuery at byte 9: expected 4294967295 bytes, got 0"),
        ("02 0100", "OneOffQuery at byte 1: expected more bytes, got the end of the payload"),
    ],
)
def test_malformed_client_messages(data, text):
    assert refusal(wire().read_client, hexed(data)) == text


def test_a_known_shape_does_not_hide_what_is_wrong():
    """The beginning of an update is remembered as a whole; what follows must be refused just as before."""
    subject = wire()
    good = hexed(f"{UPDATE} {ROW} {NO_ROWS}")
    for _ in range(2):
        assert len(list(subject.read_server(good))) == 1
    for length in range(len(good)):
        assert refusal(subject.read_server, good[:length]) == refusal(wire().read_server, good[:length])
    for at in range(1, len(good)):
        for bad in (0, 1, 2, 255):
            changed = good[:at] + bytes((bad,)) + good[at + 1 :]
            outcomes = []
            for reader in (subject, wire()):
                try:
                    outcomes.append(list(reader.read_server(changed)))
                except RemoteProtocolError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1]


def test_the_memory_of_shapes_is_bounded():
    subject = wire()
    for number in range(3000):
        (payload,) = subject.write_server([update(rows(1), query_set=number)])
        assert list(subject.read_server(payload)) == [update(rows(1), query_set=number)]


# --- limits -----------------------------------------------------------------------------------------------------------


def rows(count, size=1):
    return RowList.of([bytes(size)] * count)


def update(inserts, deletes=None, query_set=1):
    deletes = RowList.of([]) if deletes is None else deletes
    return m.TransactionUpdate(
        [m.QuerySetUpdate(query_set, [m.TableUpdate("t", [m.PersistentTableRows(inserts, deletes)])])]
    )


def snapshot(*lists):
    return m.SubscribeApplied(1, 2, m.QueryRows([m.SingleTableRows("t", each) for each in lists]))


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        (snapshot(rows(5), rows(5)), snapshot(rows(5), rows(6))),
        (snapshot(rows(10, 0)), snapshot(rows(11, 0))),
        (update(rows(4), rows(6)), update(rows(4), rows(7))),
        (
            m.SubscribeBatchApplied(1, [m.SubscribeSetResult(n, snapshot(rows(5)).rows) for n in range(2)]),
            m.SubscribeBatchApplied(1, [m.SubscribeSetResult(n, snapshot(rows(5)).rows) for n in range(3)]),
        ),
    ],
)
def test_rows_of_all_lists_count_together(fits, exceeds):
    subject = wire(rows_per_message=10)
    for _ in range(2):
        (payload,) = subject.write_server([fits])
        assert list(subject.read_server(payload)) == [fits]
        (payload,) = subject.write_server([exceeds])
        assert "expected at most 10 rows in one message, got more" in refusal(subject.read_server, payload)


def test_messages_of_a_batch_are_counted_one_by_one():
    (payload,) = wire("v3.bsatn").write_server([update(rows(10))] * 5)
    assert len(list(wire("v3.bsatn", rows_per_message=10).read_server(payload))) == 5


def peak_of(act):
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_claims_in_few_bytes_cost_nothing():
    claims = [
        "00 04 ffffffff 00000000 00000000 00000000",
        f"{UPDATE} 00 0100 ffffffff 00000000",
        f"{UPDATE} 01 ffffffff 00000000 00000000",
        "00 07 00 ffffffff 00000000 00000000 00000000",
        "00 08 00000000 ffffffff 0000000000000000000",
    ]
    for claim in claims:
        payload = hexed(claim + "0" * (len(claim.replace(" ", "")) % 2))
        assert peak_of(lambda payload=payload: refusal(wire().read_server, payload)) < 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"\4" + struct.pack("<I", 2_000_000) + bytes(8) * 2_000_000,
        b"\1" + bytes(8) + struct.pack("<I", 1_500_000) + bytes(11) * 1_500_000,
        b"\4" + struct.pack("<III", 1, 1, 1_500_000) + bytes(8) * 1_500_000,
        b"\x08" + bytes(4) + struct.pack("<I", 1_500_000) + b"\0\0\0\0\1\0\0\0\0" * 1_500_000,
    ],
    ids=["query sets", "tables of a snapshot", "tables of a query set", "results of a batch"],
)
def test_many_small_things_are_refused_before_they_are_built(body):
    payload = b"\2" + compress("gzip", body)
    assert len(payload) < 200_000
    peak = peak_of(lambda: refusal(wire().read_server, payload))
    assert peak < 4 * len(body)
    assert "expected at most 1000000" in refusal(wire().read_server, payload)


def test_a_bomb_is_refused():
    payload = b"\2" + compress("gzip", bytes(50_000_000))
    text = refusal(wire(decompressed_size=1_000_000).read_server, payload)
    assert text == "expected at most 1000000 bytes after decompression, got more"


# --- what cannot be written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (m.ReplaceSubscription(1, []), "v2.bsatn.spacetimedb has no ReplaceSubscription"),
        (m.OneOffQuery(-1, ""), "v2.bsatn.spacetimedb: OneOffQuery cannot be written"),
        (m.OneOffQuery(2**32, ""), "v2.bsatn.spacetimedb: OneOffQuery cannot be written"),
        (m.OneOffQuery(1, "\ud800"), "v2.bsatn.spacetimedb: OneOffQuery cannot be written"),
        (m.CallReducer(1, 0, "add", "[5]"), "expected arguments and values as BSATN, got JSON"),
    ],
)
def test_client_messages_that_v2_cannot_carry(message, text):
    with pytest.raises(LocalProtocolError, match=f"^{text}"):
        wire().write_client([message])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (m.ReplacedSubscription(1, m.QueryRows([])), "v2.bsatn.spacetimedb has no ReplacedSubscription"),
        (m.SubscriptionError(None, None, "no"), "only v1 can end all query sets at once"),
        (snapshot(RowList(bytes(70_000), row_size=70_000)), "v2.bsatn.spacetimedb: SubscribeApplied cannot be written"),
    ],
)
def test_server_messages_that_v2_cannot_carry(message, text):
    with pytest.raises(LocalProtocolError, match=f"^{text}"):
        wire().write_server([message])


def test_unknown_names():
    with pytest.raises(LocalProtocolError, match="expected one of v3.bsatn.spacetimedb, .*, got 'v4.bsatn'"):
        wire("v4.bsatn")
    with pytest.raises(LocalProtocolError, match="unknown compression 'zip'"):
        wire().write_server([m.SubscriptionError(1, 1, "no")], "zip")
