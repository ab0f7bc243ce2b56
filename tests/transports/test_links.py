"""The bytes of open connections, with TLS and without, with both ends in one thread."""

import gc
import selectors
import socket
import ssl
from contextlib import suppress

import pytest

from spacetimedb_transports.sockets import Opening
from tests.loopback import (
    PATIENCE,
    accept,
    address_of,
    break_sending,
    encrypted,
    endpoint_of,
    listener,
    opened,
    opened_with_tls,
    ready,
    received,
    reset,
    shaken,
    the_end,
    tls_contexts,
)

MUCH = bytes(range(256)) * 40_000
"""More than the buffers of a loopback connection hold together."""


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Sockets left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def contexts():
    return tls_contexts()


@pytest.fixture(params=["tcp", "tls"])
def ends(request, contexts):
    """A link, and the server's end of it."""
    with listener() as server:
        if request.param == "tls":
            opening = Opening(
                endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
            )
            link, end = opened_with_tls(opening, server, contexts[0])
            end.settimeout(PATIENCE)
        else:
            link = opened(Opening(endpoint_of(server), now=0))
            end = accept(server)
        with end:
            yield link, end
        link.close()


def test_bytes_pass_both_ways(ends):
    link, end = ends
    assert link.receive(10) is None
    assert link.interest(reading=True) == selectors.EVENT_READ
    assert link.interest(reading=False) == 0
    link.send(b"hello")
    assert link.is_flushed
    assert end.recv(5) == b"hello"
    end.sendall(b"world")
    assert received(link, 3) == b"wor"
    assert received(link, 2) == b"ld"


def test_what_does_not_fit_is_kept_in_order(ends):
    """The peer gets every byte, whatever the system takes at once."""
    link, end = ends
    end.settimeout(0)
    link.send(MUCH, limit=len(MUCH))
    assert not link.is_flushed
    assert link.interest(reading=True) == selectors.EVENT_READ | selectors.EVENT_WRITE
    link.send(b"the rest")
    taken = bytearray()
    while len(taken) < len(MUCH) + 8:
        ready(end, writable=() if link.is_flushed else (link,))
        try:
            while data := end.recv(100_000):
                taken += data
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        link.send()
    assert taken == MUCH + b"the rest"
    assert link.is_flushed


def test_sending_has_a_limit(ends):
    link, end = ends
    link.send(b"x" * 1_000_000, limit=1)
    assert not link.is_flushed
    taken = end.recv(1_000_000)
    assert taken
    assert not link.is_flushed


def test_the_peer_leaves(ends):
    """With TLS too: without its goodbye."""
    link, end = ends
    end.sendall(b"bye")
    end.close()
    assert the_end(link) == b"bye"
    assert link.reason == ""
    assert link.receive(10) == b""
    assert link.interest(reading=True) == 0


def test_the_peer_says_goodbye_in_tls(contexts):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        link, end = opened_with_tls(opening, server, contexts[0])
        with pytest.raises(ssl.SSLWantReadError):
            end.unwrap()
        assert the_end(link) == b""
        assert link.reason == ""
        end.close()
        link.close()


def test_the_peer_resets(ends):
    link, end = ends
    reset(end)
    ready(link)
    assert link.receive(10) == b""
    assert link.is_ended
    assert "reset" in link.reason.lower()


def test_what_came_before_sending_failed_is_received(ends):
    link, end = ends
    end.sendall(b"last words")
    break_sending(link)
    link.send(MUCH)
    assert not link.may_send
    assert link.is_flushed
    reason = link.reason
    assert "broken pipe" in reason.lower()
    link.send(b"more")
    assert link.interest(reading=True) == selectors.EVENT_READ
    assert received(link, 10) == b"last words"
    end.close()
    assert the_end(link) == b""
    assert link.reason == reason


def test_closing_is_idempotent(ends):
    link, end = ends
    link.send(b"x" * 100)
    for _ in range(2):
        link.close()
        assert link.fileno() == -1
        assert link.interest(reading=True) == 0
    assert end.recv(100) == b"x" * 100
    with suppress(ConnectionResetError):  # which is what the system makes of it where tickets of TLS were not read
        assert end.recv(100) == b""


def test_pending_bytes_are_told(contexts):
    """A selector does not know what TLS has already read."""
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        link, end = opened_with_tls(opening, server, contexts[0])
        with end:
            end.sendall(b"hello")
            assert received(link, 2) == b"he"
            assert link.has_pending
            assert link.receive(10) == b"llo"
            assert not link.has_pending
        link.close()
        assert not link.has_pending


def test_bytes_that_are_not_tls(contexts):
    """What came before them is delivered."""
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        link, end = opened_with_tls(opening, server, contexts[0])
        with end:
            end.sendall(b"hello")
            socket.socket.sendall(end, b"no record of TLS")
            assert the_end(link) == b"hello"
            assert "SSL" in link.reason
            assert link.receive(10) == b""
        link.close()


def test_a_record_that_is_cut_off(contexts):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        link, end = opened_with_tls(opening, server, contexts[0])
        with end:
            end.sendall(b"hello")
            socket.socket.sendall(end, b"\x17\x03\x03\x00\x20half")
        assert the_end(link) == b"hello"
        assert link.reason == ""
        link.close()


def test_bytes_that_come_together_with_the_handshake():
    """In TLS 1.2 the server has the last word, and may go on at once."""
    server_context, client_context = tls_contexts()
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), client_context, now=0, addresses=[address_of(server)]
        )
        assert opening.poll(0) is None
        with encrypted(accept(server), server_context) as end:
            while not shaken(end):
                assert opening.poll(0) is None
            end.sendall(b"hello")
            link = opened(opening)
            assert link.has_pending
            assert received(link, 5) == b"hello"
        link.close()
