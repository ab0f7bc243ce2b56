"""Recorded connections as bytes on a link: however they are cut or joined, the events are the same."""

from __future__ import annotations

import pytest

from spacetimedb_proto import ClientConnection, Limits
from spacetimedb_proto.errors import ConnectionLost
from spacetimedb_proto.events import Connected, Disconnected
from spacetimedb_proto.uri import Endpoint
from tests.connections import events
from tests.schemas import schema
from tests.transcripts import websockets
from tests.websocket_bytes import BINARY, CLOSE, PING, PONG, TEXT, accepting, close_frame, fragments, frame, read_frames

SERVER_FRAGMENT = 4096
RECORDED = {"argvalues": websockets(), "ids": lambda each: each.name}


def wire_bytes(recorded):
    """A server's frame as the real server sends it: long messages in fragments, with a ping in between."""
    if recorded.op == "ping":
        return frame(PING)
    if recorded.op == "close":
        return close_frame(recorded.code, recorded.reason)
    opcode, payload = (BINARY, recorded.payload) if recorded.op == "binary" else (TEXT, recorded.payload.encode())
    return fragments(opcode, payload, SERVER_FRAGMENT, between=frame(PING)) if payload else frame(opcode)


def moves(transcript):
    """What the client sent, and what the server sent until the client's next word, as one run of bytes."""
    received = b""
    for recorded in transcript.frames:
        if recorded.sender == "server" and recorded.op != "pong":
            received += wire_bytes(recorded)
        elif recorded.payload is not None:
            yield received, recorded.payload
            received = b""
    yield received, None


def play(transcript, size, tail=b"", sent_by_us=None):
    """The events of a connection whose bytes come in pieces of `size` (None: as many at once as can be).

    What the connection sends is added to `sent_by_us`.
    """
    output = [] if sent_by_us is None else sent_by_us
    connection = ClientConnection(
        schema(transcript.module),
        Endpoint.parse("ws://127.0.0.1:3000"),
        "recorded",
        protocols=(transcript.protocol,),
        limits=Limits(),
    )
    data = accepting(connection.data_to_send(), transcript.protocol)
    log = []
    for received, sent in moves(transcript):
        data += received
        for at in range(0, len(data), size or max(len(data), 1)):
            connection.receive_data(data[at : at + (size or len(data))])
            output.append(connection.data_to_send())
            log += events(connection)
        data = b""
        if sent is not None:
            connection.session.observe(sent)
    if tail:
        connection.receive_data(tail)
    connection.receive_data(b"")
    return log + events(connection)


def told(log):
    """Events without identity, for comparison."""
    return [(type(event), repr(event)) for event in log]


@pytest.mark.parametrize("transcript", **RECORDED)
def test_whole_in_pieces_and_byte_by_byte(transcript):
    whole = play(transcript, None)
    assert isinstance(whole[0], Connected)
    assert isinstance(whole[-1], Disconnected)
    size = sum(len(received) for received, _ in moves(transcript))
    # Byte by byte costs microseconds a byte; the longest recordings are cut a little less finely.
    for piece in (1 if size < 20_000 else 7, 1000):
        assert told(play(transcript, piece)) == told(whole)


@pytest.mark.parametrize("transcript", [t for t in websockets() if t.close], ids=lambda each: each.name)
def test_a_tail_after_the_end_changes_nothing(transcript):
    assert told(play(transcript, None, tail=frame(BINARY, b"\0\xff") + frame(CLOSE))) == told(play(transcript, None))


@pytest.mark.parametrize("transcript", **RECORDED)
def test_pings_are_answered_and_the_end_is_told(transcript):
    output = []
    log = play(transcript, SERVER_FRAGMENT, sent_by_us=output)
    pongs = [opcode for data in output for opcode, _, _ in read_frames(data)].count(PONG)
    sent = [at for at, recorded in enumerate(transcript.frames) if recorded.sender == "client" and recorded.payload]
    # A ping just before a Close needs no answer: nothing may follow the answer to the Close.
    assert pongs > 0 or not any(recorded.op == "ping" for recorded in transcript.frames[: max(sent, default=0)])
    end = transcript.close
    assert log[-1].code == (1006 if end is None else end.code or 1005)
    assert type(log[-1].error) is ConnectionLost
