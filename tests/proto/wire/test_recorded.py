"""Recorded payloads of all protocols, both directions: what is decoded encodes to the same again."""

from __future__ import annotations

import json

import pytest

from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import PROTOCOLS, protocol
from spacetimedb_proto.wire.compression import seal, unseal
from tests.proto.wire.recorded import wire_of as wire
from tests.schemas import schema
from tests.transcripts import websockets

RECORDED = {"argvalues": websockets(), "ids": lambda each: each.name}


def plain(payload):
    """The payload without compression, whose output depends on who compressed."""
    body, start = unseal(payload, 10**9, "test")
    return b"\0" + body[start:]


@pytest.mark.parametrize("transcript", **RECORDED)
def test_server_payloads(transcript):
    subject = wire(transcript)
    for payload in transcript.payloads("server"):
        if transcript.protocol.startswith("v1.json"):
            assert json.loads(subject.encode_server(subject.decode_server(payload))) == json.loads(payload)
        elif transcript.protocol.startswith("v1"):
            assert subject.encode_server(subject.decode_server(payload)) == plain(payload)
        else:
            assert subject.write_server(list(subject.read_server(payload))) == [plain(payload)]


@pytest.mark.parametrize("transcript", **RECORDED)
def test_client_payloads(transcript):
    subject = wire(transcript)
    for payload in transcript.payloads("client"):
        if transcript.protocol.startswith("v1.json"):
            again = json.loads(subject.encode_client(subject.decode_client(payload)))
            sent = json.loads(payload)
            (message,) = sent.values()
            if type(message.get("query_id")) is int:  # the server refused this one; it is read all the same
                message["query_id"] = {"id": message["query_id"]}
            assert again == sent
        elif transcript.protocol.startswith("v1"):
            assert subject.encode_client(subject.decode_client(payload)) == payload
        else:
            assert subject.write_client(list(subject.read_client(payload))) == [payload]


@pytest.mark.parametrize("transcript", **RECORDED)
def test_every_payload_cut_short_is_refused(transcript):
    """Whatever is missing at the end, however little, is noticed; and so is anything too much."""
    subject = wire(transcript)
    for payload in transcript.payloads("server")[:6]:
        damaged = payload if isinstance(payload, str) else plain(payload)
        step = max(1, len(damaged) // 40)
        whole = list(subject.read_server(damaged))
        for cut in range(0, len(damaged), step):
            try:
                read = list(subject.read_server(damaged[:cut]))
            except RemoteProtocolError:
                continue
            assert subject.batches, "only a batch may end earlier, between two messages"
            assert read == whole[: len(read)]
        with pytest.raises(RemoteProtocolError):
            list(subject.read_server(damaged + ("}" if isinstance(damaged, str) else b"\xff")))


@pytest.mark.parametrize("transcript", [t for t in websockets() if "v1" not in t.protocol], ids=lambda each: each.name)
def test_messages_of_one_generation_pass_through_the_other(transcript):
    """v2 and v3 differ in batching alone: each message of one, alone, is a payload of the other."""
    other = protocol("v2.bsatn", schema(transcript.module), Limits())
    subject = wire(transcript)
    for payload in transcript.payloads("server"):
        for message in subject.read_server(payload):
            (alone,) = other.write_server([message])
            assert list(other.read_server(alone)) == [message]


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if "bsatn" in name])  # v1.json has no envelope
@pytest.mark.parametrize("compression", ["none", "gzip", "brotli"])
def test_compressed_payloads_are_the_same_messages(name, compression):
    transcript = next(t for t in websockets() if t.protocol == name)
    subject = wire(transcript)
    for payload in transcript.payloads("server"):
        body = plain(payload)[1:]
        sealed = seal(body, compression)
        assert (sealed[0] == 0) == (compression == "none" or len(body) <= 1024)
        assert list(subject.read_server(sealed)) == list(subject.read_server(payload))


def test_the_recordings_hold_every_compression_and_batches():
    """What the tests above stand on; and the server's threshold of 1024 bytes."""
    payloads = [payload for t in websockets() for payload in t.payloads("server") if isinstance(payload, bytes)]
    assert {payload[0] for payload in payloads} == {0, 1, 2}
    assert all(len(plain(payload)) - 1 > 1024 for payload in payloads if payload[0])
    batched = [t for t in websockets() if t.protocol.startswith("v3")]
    assert max(len(list(wire(t).read_server(payload))) for t in batched for payload in t.payloads("server")) == 39
