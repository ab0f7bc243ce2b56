"""Drawn messages of every protocol, both directions: what is written reads the same again."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import PROTOCOLS, messages, protocol
from spacetimedb_proto.wire.rowlist import RowList
from tests.proto.wire import drawn
from tests.schemas import schema

SDK_TEST = schema("sdk-test")
LIMITS = Limits()
COMPRESSIONS = st.sampled_from(["none", "gzip", "brotli"])
GENERATIONS = ["v2.bsatn", "v3.bsatn"]

any_rows = st.builds(RowList.of, st.lists(st.binary(max_size=6), max_size=3))
json_texts = st.builds(json.dumps, st.lists(st.integers() | st.text(max_size=5), max_size=3))

# Any bytes of the right length are a row of these tables, in JSON too.
_SIZES = {"pk_u_64": 12, "one_i_256": 32, "one_u_128": 16, "one_identity": 32, "one_uuid": 16, "one_timestamp": 8}
_FIXED = st.integers(0, 2**256 - 1).map(lambda number: number.to_bytes(32, "little"))
_TEXT = st.text(max_size=5).map(lambda text: struct.pack("<I", len(text.encode())) + text.encode())


def read_all(read, payloads):
    return [message for payload in payloads for message in read(payload)]


@given(st.lists(drawn.v2_client, max_size=4), st.sampled_from(GENERATIONS))
def test_v2_clients(sent, name):
    wire = protocol(name, SDK_TEST, LIMITS)
    payloads = wire.write_client(sent)
    assert len(payloads) == (min(1, len(sent)) if wire.batches else len(sent))
    assert read_all(wire.read_client, payloads) == sent


@given(st.lists(drawn.v2_server, max_size=4), st.sampled_from(GENERATIONS), COMPRESSIONS)
def test_v2_servers(sent, name, compression):
    wire = protocol(name, SDK_TEST, LIMITS)
    payloads = wire.write_server(sent, compression)
    assert len(payloads) == (min(1, len(sent)) if wire.batches else len(sent))
    for _ in range(2):  # the second time some of it comes out of the memory of shapes
        assert read_all(wire.read_server, payloads) == sent


@given(st.lists(drawn.v1_client(st.binary(max_size=8)), max_size=3))
def test_v1_clients(sent):
    wire = protocol("v1.bsatn", SDK_TEST, LIMITS)
    assert read_all(wire.read_client, wire.write_client(sent)) == sent


@given(st.lists(drawn.v1_server(st.binary(max_size=8), st.text(max_size=8), any_rows), max_size=3), COMPRESSIONS)
def test_v1_servers(sent, compression):
    wire = protocol("v1.bsatn", SDK_TEST, LIMITS)
    assert read_all(wire.read_server, wire.write_server(sent, compression)) == sent


@given(st.lists(drawn.v1_client(json_texts), max_size=3))
def test_json_clients(sent):
    wire = protocol("v1.json", SDK_TEST, LIMITS)
    assert read_all(wire.read_client, wire.write_client(sent)) == sent


@given(st.data())
def test_json_servers(data):
    table = data.draw(st.sampled_from([*_SIZES, "one_string"]))
    row = _TEXT if table == "one_string" else _FIXED.map(lambda whole: whole[: _SIZES[table]])
    rows = st.builds(RowList.of, st.lists(row, max_size=3))
    sent = data.draw(st.lists(drawn.v1_server(json_texts, st.just(table), rows), max_size=3))
    wire = protocol("v1.json", SDK_TEST, LIMITS)
    assert read_all(wire.read_server, wire.write_server(sent)) == sent


@pytest.mark.parametrize("name", PROTOCOLS)
def test_nothing_to_write(name):
    wire = protocol(name, SDK_TEST, LIMITS)
    assert wire.name == name
    assert wire.write_client([]) == wire.write_server([]) == []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_other_kind_of_payload(name):
    wire = protocol(name, SDK_TEST, LIMITS)
    wrong, text = (b"{}", "expected a text message, got a binary message") if wire.text else (
        "{}", "expected a binary message, got a text message",
    )  # fmt: skip
    for read in (wire.read_server, wire.read_client):
        with pytest.raises(RemoteProtocolError) as caught:
            list(read(wrong))
        assert str(caught.value) == f"{name}: {text}"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_messages_over_the_size_limit(name):
    wire = protocol(name, SDK_TEST, Limits(message_size=10))
    payload = "x" * 11 if wire.text else bytes(11)
    for read in (wire.read_server, wire.read_client):
        with pytest.raises(RemoteProtocolError) as caught:
            list(read(payload))
        assert str(caught.value) == f"{name}: expected a message of at most 10 bytes, got 11"


def test_traits():
    made = {name: protocol(name.removesuffix(".spacetimedb"), SDK_TEST, LIMITS) for name in PROTOCOLS}
    assert {name: (wire.text, wire.batches, wire.shared_bag) for name, wire in made.items()} == {
        "v3.bsatn.spacetimedb": (False, True, False),
        "v2.bsatn.spacetimedb": (False, False, False),
        "v1.bsatn.spacetimedb": (False, False, True),
        "v1.json.spacetimedb": (True, False, True),
    }


def test_tokens_are_not_shown():
    (greeting,) = protocol("v2.bsatn", SDK_TEST, LIMITS).read_server(bytes(50) + b"\x06\0\0\0secret")
    assert isinstance(greeting, messages.InitialConnection)
    assert greeting.token == "secret"
    assert "secret" not in repr(greeting)
