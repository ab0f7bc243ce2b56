from __future__ import annotations

import contextlib
import gzip
import tracemalloc

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import LocalProtocolError, RemoteProtocolError
from spacetimedb_proto.wire import compression
from spacetimedb_proto.wire.compression import available, compress, inflate, seal, unseal

LIMIT = 10_000_000
BODY = b"spam and eggs " * 500
TAGS = {"brotli": 1, "gzip": 2}


@pytest.fixture(params=["brotli", "gzip"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(tag: int, data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        inflate(tag, data, limit, "a body")
    return str(caught.value)


def test_available_names_the_best_first() -> None:
    assert available() == ("brotli", "gzip", "none")


@given(st.binary(max_size=5000), st.sampled_from(["brotli", "gzip"]))
def test_round_trip(body: bytes, name: str) -> None:
    assert inflate(TAGS[name], compress(name, body), len(body), "a body") == body


def test_pieces_and_slices_larger_than_the_steps(name: str) -> None:
    body = bytes(range(256)) * 20_000 + compress("gzip", bytes(range(256)) * 3000)
    assert inflate(TAGS[name], compress(name, body), len(body), "a body") == body


def test_incompressible_data_spanning_many_slices(name: str) -> None:
    body = b"".join((n * 2654435761 % 2**32).to_bytes(4, "little") for n in range(100_000))
    assert inflate(TAGS[name], compress(name, body), len(body), "a body") == body


def test_one_byte_over_the_limit(name: str) -> None:
    data = compress(name, BODY)
    assert inflate(TAGS[name], data, len(BODY), "a body") == BODY
    text = refused(TAGS[name], data, len(BODY) - 1)
    assert text == f"a body: expected at most {len(BODY) - 1} bytes after decompression, got more"


def test_every_truncation_is_refused(name: str) -> None:
    data = compress(name, BODY)
    for length in range(len(data)):
        assert f"expected a whole {name} stream, got only its beginning" in refused(TAGS[name], data[:length])


@pytest.mark.parametrize("tail", [b"\0", b"garbage", bytes(200_000)], ids=len)
def test_bytes_after_the_end_are_refused(name: str, tail: bytes) -> None:
    assert "bytes after its end" in refused(TAGS[name], compress(name, BODY) + tail)


def test_bytes_after_an_end_at_a_slice_border_are_refused() -> None:
    sizes = (gzip.compress(bytes(n), 0, mtime=0) for n in range(65_490, 65_520))
    padded = next(stream for stream in sizes if len(stream) == 65_536)
    assert "bytes after its end" in refused(2, padded + b"x")


def test_a_second_gzip_member_is_refused() -> None:
    assert "one member" in refused(2, gzip.compress(BODY) + gzip.compress(BODY))


def test_corrupt_data_is_refused(name: str) -> None:
    data = bytearray(compress(name, BODY))
    for at in range(len(data)):
        data[at] ^= 0x41
        with contextlib.suppress(RemoteProtocolError):
            assert len(inflate(TAGS[name], bytes(data), LIMIT, "a body")) <= LIMIT
        data[at] ^= 0x41
    assert "corrupt data" in refused(TAGS[name], b"\xff" * 50)


def test_a_bomb_costs_little_more_than_the_limit(name: str) -> None:
    bomb = compress(name, bytes(200_000_000))
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    try:
        assert "got more" in refused(TAGS[name], bomb, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["none", "brotli", "gzip"])
def test_only_bodies_over_the_threshold_are_compressed(name: str) -> None:
    short, long = bytes(1024), bytes(1025)
    assert seal(short, name) == b"\0" + short
    assert seal(long, name)[0] == compression.NAMES.index(name)
    for body in (short, long):
        data, start = unseal(seal(body, name), LIMIT, "a payload")
        assert data[start:] == body


def test_a_plain_body_is_not_copied() -> None:
    payload = b"\0" + BODY
    assert unseal(payload, LIMIT, "a payload") == (payload, 1)
    assert unseal(payload, LIMIT, "a payload")[0] is payload


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "a payload: expected a compression tag, got an empty payload"),
        (b"\x03abc", "a payload: expected a compression tag of 0, 1 or 2, got 3"),
        (bytes(12), "a payload: expected at most 10 bytes, got 11"),
    ],
)
def test_payloads_without_a_body(payload: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        unseal(payload, 10, "a payload")
    assert str(caught.value) == message


def test_without_brotli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_brotli", lambda: None)
    advice = "brotli data needs the brotli package, version 1.2 or later: install spacetimedb-sdk[brotli]"
    assert available() == ("gzip", "none")
    assert refused(1, brotli.compress(BODY)) == advice
    with pytest.raises(LocalProtocolError, match="install spacetimedb-sdk"):
        compress("brotli", BODY)


def test_unknown_names() -> None:
    for act in (compress, lambda name, body: seal(body, name)):
        with pytest.raises(LocalProtocolError, match="unknown compression 'zip'; there are none, brotli, gzip"):
            act("zip", BODY)
