"""Any bytes and any text whatever: messages, or one `RemoteProtocolError`, and nothing else."""

from __future__ import annotations

import contextlib
import json
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import PROTOCOLS, protocol
from spacetimedb_proto.wire.compression import compress, unseal
from tests.schemas import schema
from tests.transcripts import websockets

SDK_TEST = schema("sdk-test")
TIGHT = Limits(message_size=100_000, decompressed_size=200_000, rows_per_message=1000)
BINARY = [name for name in PROTOCOLS if "bsatn" in name]
SENDERS = ["client", "server"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=4)
    | st.sampled_from(["id", "some", "none", "[1,2]", '{"n":1,"data":2}', "[" * 2000, 2**64, -1, 1e400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@cache
def recorded(name, sender):
    """What was recorded of one protocol, each kind of message a few times, without compression."""
    sent = [payload for t in websockets() if t.protocol == name for payload in t.payloads(sender)]
    if sender == "server" and name in BINARY:
        sent = [b"\0" + body[start:] for body, start in (unseal(payload, 10**7, "test") for payload in sent)]
    kinds = {(payload[: 2 if name in BINARY else 20], len(payload)): payload for payload in sent if len(payload) < 3000}
    return sorted(kinds.values(), key=len)


def feed(name, sender, payload):
    """Read a payload and look at all that comes out, as somebody above would."""
    wire = protocol(name, SDK_TEST, TIGHT)
    read = wire.read_server if sender == "server" else wire.read_client
    with contextlib.suppress(RemoteProtocolError):
        for message in read(payload):
            repr(message)
            for part in walk(message):
                assert len(part.rows()) == len(part) <= TIGHT.rows_per_message


def walk(message):
    if hasattr(message, "offsets"):
        yield message
    for name in getattr(message, "__slots__", ()):
        value = getattr(message, name, None)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | bytes | int):
                yield from walk(item)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", BINARY)
@given(data=st.binary(max_size=200), tag=st.integers(0, 12), sealed=st.integers(0, 3))
def test_any_bytes(name, sender, data, tag, sealed):
    body = bytes((tag,)) + data
    if sender == "server":
        body = bytes((sealed,)) + (compress("gzip", body) if sealed == 2 else body)
    feed(name, sender, body)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_changed_bytes(name, sender, data):
    payload = bytearray(data.draw(st.sampled_from(recorded(name, sender))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload)))
        length = data.draw(st.integers(0, 8))
        payload[at : at + length] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, bytes(4), bytes(8)])
        )
    feed(name, sender, bytes(payload))


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_spliced_bytes(name, sender, data):
    first, second = (data.draw(st.sampled_from(recorded(name, sender))) for _ in range(2))
    cut, resume = data.draw(st.integers(0, len(first))), data.draw(st.integers(0, len(second)))
    feed(name, sender, first[:cut] + second[resume:])


@pytest.mark.parametrize("sender", SENDERS)
@given(text=st.text(st.characters(codec=None), max_size=60))
@example(text="[" * 100_000)
@example(text='{"a":' * 50_000)
@example(text="9" * 5000)
@example(text='"\\ud800"')
@example(text="NaN")
def test_any_text(sender, text):
    feed("v1.json.spacetimedb", sender, text)


@pytest.mark.parametrize("sender", SENDERS)
@given(value=json_values)
def test_any_json(sender, value):
    feed("v1.json.spacetimedb", sender, json.dumps(value))


@pytest.mark.parametrize("sender", SENDERS)
@given(data=st.data())
@settings(max_examples=300)
def test_changed_json(sender, data):
    payload = data.draw(st.sampled_from(recorded("v1.json.spacetimedb", sender)))
    feed("v1.json.spacetimedb", sender, json.dumps(changed(json.loads(payload), data)))


def changed(value, data):
    """Replace one thing somewhere inside, also inside of JSON in strings."""
    choice = data.draw(st.integers(0, 9))
    if choice == 0:
        return data.draw(json_values)
    if isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: changed(value[key], data)}
    if isinstance(value, list) and value:
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(value[at], data), *value[at + 1 :]]
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.dumps(changed(json.loads(value), data))
    return data.draw(json_values)
