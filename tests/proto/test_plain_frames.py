"""Plain frames are read as wsproto would read them: the same events from any bytes, after every piece of them."""

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.frames import Broken, Frames, PeerClosed
from tests.transcripts import websockets
from tests.websocket_bytes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    close_frame,
    fragments,
    frame,
    read_frames,
)

from .test_recorded_connections import moves


class Judge(Frames):
    """wsproto alone."""

    PLAIN_FIRST = False


def replay(kind, pieces, limit, close_before=None):
    """What comes out of each piece of a stream: events, and the frames to be sent because of them.

    This side sends a Close frame before the piece of that number.
    """
    frames, log = kind(is_client=True, limit=limit), []
    for at, piece in enumerate(pieces):
        closing = frames.close(1000) if at == close_before else b""
        came = []
        for item in frames.receive(piece):
            some = [item] if isinstance(item, PeerClosed | Broken) else list(item)
            assert some
            came += some
        log.append((came, read_frames(closing + frames.take_pong())))
    return log, read_frames(frames.close(1001))


def same(data, cuts, limit=1000, close_before=None):
    """Check that both agree about these bytes, cut at these positions; returns what comes out of them all."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    pieces = [data[start:stop] for start, stop in itertools.pairwise(edges)]
    log, end = replay(Frames, pieces, limit, close_before)
    assert (log, end) == replay(Judge, pieces, limit, close_before)
    return [event for came, _ in log for event in came]


def everywhere(data, limit=1000):
    """Check the bytes whole, in two pieces at any position, and byte by byte."""
    for at in range(len(data)):
        same(data, [at], limit)
    same(data, range(len(data)), limit)
    return same(data, [], limit)


# --- streams of frames, right and wrong -------------------------------------------------------------------------------

SIZES = st.sampled_from([0, 1, 2, 5, 40, 124, 125, 126, 127, 200]) | st.integers(0, 400)
CONTROLS = st.builds(frame, st.sampled_from([PING, PING, PONG]), st.binary(max_size=3) | st.just(b"x" * 125))
CLOSES = st.builds(
    lambda code, reason: frame(CLOSE, code + reason),
    st.sampled_from([b"", b"\x03"]) | st.integers(990, 5010).map(lambda code: struct.pack("!H", code)),
    st.sampled_from([b"", b"bye", "ä".encode(), b"\xff"]),
)


def made(head, size, form, *, mask=False, length=None):
    """A frame of this many bytes; `form` says in how many its length stands, `length` lies about it."""
    told = size if length is None else length
    payload = (bytes(range(128)) * 4)[:size]
    if form == 0 and told <= 125:
        return bytes([head, mask << 7 | told]) + MASK * mask + payload
    if form <= 2 and told <= 0xFFFF:
        return bytes([head, mask << 7 | 126]) + struct.pack("!H", told) + MASK * mask + payload
    return bytes([head, mask << 7 | 127]) + struct.pack("!Q", told) + MASK * mask + payload


@st.composite
def odd_frames(draw, is_open):
    """A frame that would be right here, had it not one fault; some are none."""
    head = draw(st.sampled_from([0x00, 0x80] if is_open else [0x02, 0x82]))
    size = draw(SIZES)
    form = 0 if size <= 125 else 2
    match draw(st.sampled_from(["head", "control", "bits", "form", "mask", "length"])):
        case "head":
            return made(draw(st.sampled_from([0, 1, 2, 0x80, 0x81, 0x82]) | st.integers(0, 255)), size, form)
        case "control":
            return made(
                draw(st.sampled_from([0x08, 0x09, 0x0A, 0x8B, 0x89, 0x99])), draw(st.sampled_from([2, 126])), form
            )
        case "bits":
            return made(head ^ draw(st.sampled_from([0x10, 0x20, 0x40])), size, form)
        case "form":
            return made(head, size, draw(st.sampled_from([2, 8])))
        case "mask":
            return made(head, size, form, mask=True)
        case _:
            lie = draw(st.sampled_from([max(0, size - 1), size + 1, 2**16, 2**40, 2**63]))
            return made(head, size, form, length=lie)


@st.composite
def streams(draw):
    """Frames as a server sends them, perhaps with a fault or an end among them; each with what it adds to a message."""
    frames, is_open = [], False
    kinds = ["part", "part", "part", "last", "last", "last", "many", "control", "fault"]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=9)):
        size, head = 0, 0 if is_open else draw(st.sampled_from([BINARY] * 12 + [TEXT]))
        match kind:
            case "part" | "last":
                size, is_open = draw(SIZES), kind == "part"
                frames.append((made(head if is_open else 0x80 | head, size, 0 if size <= 125 else 2), size))
            case "many":
                count, size = draw(st.sampled_from([(9, 126), (12, 5), (20, 1), (30, 0), (260, 0)]))
                frames += [(made(0 if is_open else 0x82, size, 0 if size <= 125 else 2), size)] * count
            case "control":
                frames.append((draw(CONTROLS), 0))
            case "fault":
                fault = draw(odd_frames(is_open) | odd_frames(is_open) | CLOSES | st.binary(max_size=6))
                frames += [(fault, 0)] * draw(st.sampled_from([1, 1, 10]))
    return frames


@st.composite
def scenarios(draw):
    """Bytes, where they are cut, how large a message may be, and before which piece this side says goodbye.

    Bytes are cut most often in and around headers, and a limit is most often just reached or just missed.
    """
    frames = draw(streams())
    data, sums = b"".join(part for part, _ in frames), [*itertools.accumulate(size for _, size in frames), 0]
    starts = [*itertools.accumulate((len(part) for part, _ in frames), initial=0)]
    offsets = st.sampled_from([-1, -1, 0, 1, 2, 3, 4]) | st.integers(-6, 12)
    around = st.builds(lambda start, by: max(0, start + by), st.sampled_from(starts), offsets)
    cuts = draw(st.lists(around, max_size=3) | st.just(range(0, len(data), 1 + len(data) // 800)))
    limit = draw(st.sampled_from(sums)) - draw(st.sampled_from([0, *sums])) + draw(st.integers(-1, 1))
    limit = draw(st.sampled_from([max(0, limit), 10_000]))
    return data, cuts, limit, draw(st.sampled_from([None] * 6 + [0, 1, 3]))


@settings(max_examples=600)
@given(scenarios())
def test_any_bytes_cut_anywhere_mean_the_same(scenario):
    found = same(*scenario)
    assert not any(isinstance(each, Broken | PeerClosed) for each in found[:-1])


# --- one by one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 125, 126, 0xFFFF, 0x10000])
def test_each_form_of_a_length(size):
    data, limit = frame(BINARY, b"a" * size) * 2, 0x10000
    heads = [*range(12), *range(len(data) // 2, len(data) // 2 + 12), len(data) - 1]
    for at in heads:
        assert same(data, [at], limit) == [b"a" * size] * 2
        assert same(data, [at], limit=size) == [b"a" * size] * 2
        assert isinstance(same(data, [at], limit=max(size - 1, 0))[-1], Broken) is (size > 0)


BEGUN = frame(BINARY, b"begun", fin=False)


@pytest.mark.parametrize(
    "before", [b"", frame(BINARY, b"one"), BEGUN, BEGUN + frame(CONTINUATION, b"x" * 300, fin=False)]
)
def test_each_first_byte(before):
    """Alone, in the middle of a message, and with a ping or another frame after it."""
    after = frame(PING, b"?") + frame(CONTINUATION, b"end") + frame(BINARY, b"two")
    lengths = [b"\x00", b"\x02\x03\xe8", b"\x82" + MASK + b"ab", b"\x7e\x00\x80" + b"x" * 128]
    for head, length in itertools.product(range(256), lengths):
        data = before + bytes([head]) + length + after
        same(data, [])
        same(data, range(len(before), len(data)))


@pytest.mark.parametrize(
    "data",
    [
        BEGUN + frame(TEXT, b"text"),
        BEGUN + frame(BINARY, b"again"),
        BEGUN + frame(PING, b"?") + frame(CONTINUATION, b"more", fin=False) + b"\xc0\x00",
        BEGUN + frame(CONTINUATION, b"a", masked=True),
        BEGUN + frame(PING, b"?", fin=False),
        BEGUN + close_frame(1000) + frame(CONTINUATION, b"end"),
        BEGUN + b"\x80\x7e\x00\x05hello",
        b"\x82\x7e\x00\x7d" + b"x" * 125,
        b"\x82\x7f" + struct.pack("!Q", 0xFFFF) + b"x" * 20,
        BEGUN + b"\x80\x7f" + struct.pack("!Q", 300) + b"x" * 300,
        BEGUN + b"\x80\x7f" + struct.pack("!Q", 2**63),
        BEGUN + frame(CONTINUATION, b"x" * 996),
        frame(BINARY, b"whole") + frame(CONTINUATION, b"of nothing"),
        frame(BINARY, b"one") + frame(TEXT, "zwei, gröber".encode()) + frame(BINARY, b"three"),
        frame(TEXT, "ä".encode()[:1], fin=False) + frame(PING, b"?") + frame(CONTINUATION, "ä".encode()[1:]),
        frame(BINARY, b"x" * 995) + frame(BINARY, b"x" * 1001, length=2**40),
        frame(PING, b"x" * 125) + frame(PING, b"x" * 126),
    ],
)
def test_frames_that_wsproto_has_to_judge(data):
    everywhere(frame(BINARY, b"good") + data)


@pytest.mark.parametrize("begun", [b"", BEGUN])
@pytest.mark.parametrize(
    "header",
    [
        b"\x7e\x00\x7d",  # a length in more bytes than needed
        b"\x7f" + struct.pack("!Q", 119),
        b"\x7f" + struct.pack("!Q", 2**40),
        b"\x85",  # masked
        b"\x7e\x00\x80",  # right
        b"\x05",
        b"\x00",
    ],
)
@pytest.mark.parametrize("head", [b"\x82", b"\x02", b"\x80", b"\x00"])
def test_many_frames_alike(begun, head, header):
    size = header[2] if header[0] == 126 else header[0]
    one = head + header + b"x" * (size + 1 - len(header) if header[0] == 127 else size)
    for count in (8, 9, 10, 513, 1100):
        data = begun + one * count
        for tail in (b"", one[:-1], one[:3], frame(PING), frame(CONTINUATION, b"end"), frame(BINARY, b"two")):
            same(data + tail, [], limit=10**6)
        for cut in (len(begun), len(data) // 2):
            same(data, [cut], limit=10**6)
        largest = len(b"begun") + count * size if begun else size
        for limit in (largest - 1, largest, largest + 1):
            same(data, [], max(0, limit))


def test_messages_in_fragments_one_after_the_other():
    for first, second in itertools.product((1, 3, 9), repeat=2):
        data = fragments(BINARY, b"0123456789", first) + fragments(BINARY, b"abcdefghij", second)
        assert everywhere(data) == [b"0123456789", b"abcdefghij"]


def test_messages_own_their_bytes():
    """A transport may use the memory of what it handed over again."""
    frames, data = Frames(is_client=True, limit=1000), bytearray(frame(BINARY, b"a" * 40) * 3 + BEGUN)
    [messages] = frames.receive(data)
    data[:] = bytes(len(data))
    [ended] = frames.receive(frame(CONTINUATION, b"!"))
    assert [*messages, *ended] == [*[b"a" * 40] * 3, b"begun!"]
    assert all(type(message) is bytes for message in messages)


@pytest.mark.parametrize("transcript", websockets(), ids=lambda each: each.name)
def test_recorded_traffic(transcript):
    data = b"".join(received for received, _ in moves(transcript))
    sizes = [1000, len(data) + 1] + ([1] if len(data) < 20_000 else [7])
    whole = [same(data, range(0, len(data), size), limit=len(data)) for size in sizes]
    assert whole[0] == whole[1] == whole[2]
