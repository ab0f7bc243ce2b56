"""Recorded traffic of official clients and a real server, as frames through a connection."""

import json

import pytest

from spacetimedb_proto.errors import ConnectionLost
from spacetimedb_proto.events import Connected
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.websocket import ClientConnection
from tests.connections import ENDPOINT, SCHEMAS, events
from tests.transcripts import load, websockets
from tests.websocket_bytes import BINARY, PING, PONG, TEXT, accepting, close_frame, fragments, frame, read_frames

REPLAYED = [each.name for each in websockets("protocol-*") + websockets("test-client")[::4]]


@pytest.mark.parametrize("name", REPLAYED)
def test_recorded_frames_replay(name):
    """The real server's payloads, pings and closes, in the frames that it sends."""
    recorded = load(name)
    schema = load_schema(json.loads((SCHEMAS / f"{recorded.module}.v9.json").read_text("utf-8")))
    connection = ClientConnection(schema, ENDPOINT, "chat", protocols=[recorded.protocol])
    connection.receive_data(accepting(connection.data_to_send(), recorded.protocol))
    opcodes = {"binary": BINARY, "text": TEXT, "ping": PING, "pong": PONG}
    found, pings, pongs = [], 0, 0
    for each in recorded.frames:
        if each.sender == "client":
            if each.payload is not None:
                connection.session.observe(each.payload)
            continue
        payload = each.payload.encode() if isinstance(each.payload, str) else each.payload or b""
        if each.op == "close":
            connection.receive_data(close_frame(each.code, each.reason))
        else:
            connection.receive_data(fragments(opcodes[each.op], payload, 4096) or frame(opcodes[each.op]))
        pings += each.op == "ping"
        pongs += [opcode for opcode, _, _ in read_frames(connection.data_to_send())].count(PONG)
        found += events(connection)
    connection.receive_eof("end of the recording")
    found += events(connection)
    assert isinstance(found[0], Connected)
    assert pongs == pings
    end = recorded.close
    assert found[-1].code == (1006 if end is None else end.code or 1005)
    assert type(found[-1].error) is ConnectionLost
