"""Frames of one side: assembling, limits, pings, closes, and broken input."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.frames import Broken, Frames, PeerClosed
from tests.websocket_bytes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    fragments,
    frame,
    read_frames,
)

LIMIT = 1000


def client(limit=LIMIT):
    return Frames(is_client=True, limit=limit)


def given_to(frames, data):
    """What comes out of bytes, one message at a time."""
    items = frames.receive(data)
    return [each for item in items for each in ([item] if isinstance(item, Broken | PeerClosed) else item)]


def received(data, limit=LIMIT):
    """What comes out of bytes given whole, which must be the same as given one by one."""
    whole = given_to(client(limit), data)
    frames, single = client(limit), []
    for at in range(len(data)):
        if single and isinstance(single[-1], Broken | PeerClosed):
            break
        single.extend(given_to(frames, data[at : at + 1]))
    assert single == whole
    return whole


@pytest.mark.parametrize("payload", [b"", b"a", b"x" * 125, b"x" * 126, b"x" * 1000])
def test_messages_in_one_frame(payload):
    assert received(frame(BINARY, payload) * 2) == [payload, payload]


def test_text():
    assert received(frame(TEXT, "grüße €".encode())) == ["grüße €"]
    assert received(fragments(TEXT, "grüße €".encode(), 1)) == ["grüße €"]


def test_fragments_with_control_frames_and_empty_frames_between():
    between = frame(PING, b"hi") + frame(PONG, b"?") + frame(CONTINUATION, fin=False)
    assert received(fragments(BINARY, b"0123456789", 3, between)) == [b"0123456789"]


def test_large_fragmented_message():
    payload = bytes(range(256)) * 40_000
    frames, found = client(len(payload)), []
    data = fragments(BINARY, payload, 4096)
    for at in range(0, len(data), 65536):
        found.extend(given_to(frames, data[at : at + 65536]))
    assert found == [payload]


def test_large_frame():
    payload = bytes(range(256)) * 4_000
    assert given_to(client(len(payload)), frame(BINARY, payload)) == [payload]


def test_the_newest_ping_is_answered_once():
    frames = client()
    assert list(frames.receive(frame(PING, b"one") + frame(BINARY, b"part", fin=False) + frame(PING, b"two"))) == []
    assert read_frames(frames.take_pong()) == [(PONG, True, b"two")]
    assert frames.take_pong() == b""


@pytest.mark.parametrize(
    "data",
    [
        frame(BINARY, b"x" * 1001),
        frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401, fin=False),
        frame(BINARY, b"x" * 1001, length=2**40),
        frame(TEXT, "ä".encode() * 501),
    ],
)
def test_messages_over_the_limit(data):
    assert received(data) == [Broken(1009, "expected a message of at most 1000 bytes, got more")]


def test_the_limit_is_per_message():
    assert received(frame(BINARY, b"x" * 1000) * 2) == [b"x" * 1000] * 2
    assert received(fragments(BINARY, b"x" * 1000, 7) * 2) == [b"x" * 1000] * 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (close_frame(), PeerClosed(1005, "")),
        (close_frame(1000), PeerClosed(1000, "")),
        (close_frame(1001, "module exited"), PeerClosed(1001, "module exited")),
        (close_frame(1011, "ä" * 61), PeerClosed(1011, "ä" * 61)),
        (close_frame(1013, "too many requests"), PeerClosed(1013, "too many requests")),
        (close_frame(4000), PeerClosed(4000, "")),
    ],
)
def test_closes(data, expected):
    assert received(frame(BINARY, b"last") + data + frame(BINARY, b"ignored")) == [b"last", expected]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(3), 1002),  # reserved opcode
        (frame(11), 1002),
        (b"\xc2\x00", 1002),  # reserved bit, as compression would set it
        (frame(BINARY, b"a", masked=True), 1002),
        (frame(PING, b"a", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, struct.pack("!H", 1011) + b"x" * 124), 1002),  # protocol reference, 1.7
        (frame(CLOSE, b"x"), 1002),
        (close_frame(999), 1002),
        (close_frame(1005), 1002),
        (close_frame(1006), 1002),
        (close_frame(5000), 1002),
        (frame(CONTINUATION, b"a"), 1002),
        (frame(BINARY, b"a", fin=False) + frame(BINARY, b"b"), 1002),
        (b"\x82\x7e\x00\x05hello", 1002),  # a length in more bytes than needed
        (b"\x82\x7f" + struct.pack("!Q", 2**63), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"a"), 1007),
        (frame(TEXT, b"\xc3"), 1007),
        (frame(TEXT, b"\x00\x80"), 1007),  # the complaint is the same wherever the text is cut
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    ],
)
def test_broken_frames(data, code):
    good = frame(BINARY, b"good")
    *before, last = received(good + data)
    assert before == [b"good"]
    assert isinstance(last, Broken)
    assert last.code == code
    assert last.why.startswith("broken WebSocket frame: ")


@given(st.lists(st.binary(max_size=40) | st.binary(max_size=20).map(lambda b: frame(BINARY, b)), max_size=12))
def test_any_bytes_give_messages_or_one_end(pieces):
    found = received(b"".join(pieces))
    assert not any(isinstance(each, Broken | PeerClosed) for each in found[:-1])


# --- sending ----------------------------------------------------------------------------------------------------------


def test_clients_mask_and_servers_do_not():
    assert client().message(b"abc")[1] & 0x80
    server = Frames(is_client=False, limit=LIMIT)
    assert server.message(b"abc") == frame(BINARY, b"abc")
    assert given_to(server, frame(BINARY, b"a", masked=True)) == [b"a"]
    assert isinstance(given_to(server, frame(BINARY, b"a"))[0], Broken)


@pytest.mark.parametrize("payload", [b"", b"a" * 4096, b"a" * 4097, b"a" * 10_000, "", "a" * 4097, "ä€" * 3000])
def test_fragments_sent(payload):
    sent = Frames(is_client=False, limit=LIMIT, fragment=4096).message(payload)
    assert all(len(piece) <= 4096 for _, _, piece in read_frames(sent))
    assert [fin for _, fin, _ in read_frames(sent)][-1]
    assert given_to(client(100_000), sent) == [payload]
    if isinstance(payload, bytes):
        assert sent == (fragments(BINARY, payload, 4096) or frame(BINARY))


def test_close_sent_once_and_cut():
    frames = client()
    [(opcode, _, payload)] = read_frames(frames.close(1011, "€" * 100 + "\ud800"))
    assert (opcode, payload) == (CLOSE, struct.pack("!H", 1011) + "€".encode() * 41)
    assert frames.close(1000) == b""


@pytest.mark.parametrize(("code", "payload"), [(1000, struct.pack("!H", 1000)), (1005, b"")])
def test_close_echoed(code, payload):
    frames = client()
    list(frames.receive(close_frame(None if code == 1005 else code)))
    assert read_frames(frames.close(code)) == [(CLOSE, True, payload)]


def test_no_pong_after_our_close():
    frames = client()
    frames.close(1000)
    assert list(frames.receive(frame(PING, b"a"))) == []
    assert frames.take_pong() == b""


def test_ping():
    assert read_frames(client().ping()) == [(PING, True, b"")]
