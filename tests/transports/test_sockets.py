"""Opening connections and moving bytes without waiting, with both ends in one thread and the time given."""

import errno
import gc
import re
import selectors
import socket
import ssl
import sys
import threading

import pytest

from spacetimedb_proto.errors import ConnectError
from spacetimedb_proto.uri import Endpoint
from spacetimedb_transports.sockets import Address, Opening, look_up
from tests.loopback import (
    FAMILIES,
    PATIENCE,
    accept,
    address_of,
    closed_port,
    encrypted,
    endpoint_of,
    has_ipv6,
    listener,
    opened,
    received,
    reset,
    shaken,
    silent,
    tls_contexts,
)

MUCH = bytes(range(256)) * 40_000
"""More than the buffers of a loopback connection hold together."""

lets_nobody_in = pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses where others keep silent")


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Sockets left open complain when they are collected, which pytest turns into a failure of this test."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def contexts():
    return tls_contexts()


def refused_with_tls(opening, server, context):
    """The error of the client."""
    plain = accept_polled(opening, server)
    with encrypted(plain, context) as end, pytest.raises(ConnectError) as caught:
        for _ in range(100):
            shaken(end)
            assert opening.poll(0) is None
    return caught.value


def accept_polled(opening, server):
    assert opening.poll(0) is None
    return accept(server)


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_is_opened_without_a_thread(family):
    if family == "IPv6" and not has_ipv6():
        pytest.skip("no IPv6 here")
    threads = threading.enumerate()
    with listener(*FAMILIES[family]) as server:
        opening = Opening(endpoint_of(server), now=0)
        link = opened(opening)
        with accept(server) as end:
            end.sendall(b"hello")
            assert received(link, 5) == b"hello"
        assert [str(address) for address in opening.addresses] == [FAMILIES[family][1]]
        link.close()
    assert threading.enumerate() == threads


def test_small_pieces_are_not_held_back(monkeypatch):
    made = []
    monkeypatch.setattr(
        socket, "socket", type("Noted", (socket.socket,), {"connect": lambda self, to: made.append(self)})
    )
    opening = Opening(Endpoint.parse("ws://127.0.0.1"), now=0)
    assert opening.poll(0) is None
    assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert not made[0].getblocking()
    opening.close()
    assert made[0].fileno() == -1


@pytest.mark.parametrize("host", ["localhost", "LocalHost"])
def test_localhost_is_opened_without_a_thread(host, monkeypatch):
    callers = []
    find = socket.getaddrinfo

    def noted(*args, **options):
        callers.append(threading.current_thread())
        return find(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    with listener() as server:
        link = opened(Opening(endpoint_of(server, host), now=0))
        assert callers == [threading.current_thread()]
        accept(server).close()
        link.close()


def test_a_name_is_looked_up_aside(monkeypatch):
    may_answer, is_told, callers = threading.Event(), threading.Event(), []

    with listener() as server:
        port = server.getsockname()[1]

        def find(host, wanted, **options):
            assert (host, wanted, options) == ("db.example", port, {"type": socket.SOCK_STREAM})
            callers.append(threading.current_thread())
            assert may_answer.wait(PATIENCE)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", find)
        opening = Opening(endpoint_of(server, "db.example"), now=0, on_found=is_told.set)
        assert [opening.poll(now) for now in (0, 1, 2)] == [None] * 3
        assert (opening.fileno(), opening.interest, opening.due) == (-1, 0, 10.0)
        assert not is_told.is_set()
        may_answer.set()
        assert is_told.wait(PATIENCE)
        link = opened(opening, now=3)
        assert len(callers) == 1
        assert callers[0].daemon
        accept(server).close()
        link.close()


def test_addresses_that_are_known_are_not_looked_up(monkeypatch):
    with listener() as server:
        first = Opening(endpoint_of(server), now=0)
        opened(first).close()
        monkeypatch.setattr(socket, "getaddrinfo", None)
        link = opened(Opening(endpoint_of(server, "db.example"), now=0, addresses=first.addresses))
        link.close()


def test_the_lookup_fails(monkeypatch):
    is_told = threading.Event()

    def find(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find)
    opening = Opening(Endpoint.parse("ws://nowhere.invalid"), now=0, on_found=is_told.set)
    expected = r"^cannot connect to nowhere\.invalid:80: .*Name or service not known$"
    with pytest.raises(ConnectError, match=expected) as caught:
        opening.poll(0)
        assert is_told.wait(PATIENCE)
        opening.poll(0)
    assert isinstance(caught.value.__cause__, socket.gaierror)


def test_a_name_that_no_resolver_takes():
    is_told = threading.Event()
    opening = Opening(Endpoint.parse("ws://" + "a" * 64), now=0, on_found=is_told.set)
    with pytest.raises(ConnectError, match=r"^cannot connect to a{64}:80: "):
        opening.poll(0)
        assert is_told.wait(PATIENCE)
        opening.poll(0)


def test_the_lookup_takes_too_long(monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: may_end.wait(PATIENCE) and [])
    opening = Opening(Endpoint.parse("ws://db.example:3000"), now=100, timeout=5)
    assert opening.poll(104.9) is None
    with pytest.raises(
        ConnectError, match=r"^cannot connect to db\.example:3000: no answer to the name lookup for 5 s$"
    ):
        opening.poll(105)
    may_end.set()


def test_there_is_no_thread_left(monkeypatch):
    def no_thread(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(ConnectError, match=r"^cannot connect to db\.example:80: can't start new thread$"):
        Opening(Endpoint.parse("ws://db.example"), now=0).poll(0)


def test_refused():
    with closed_port() as bound:
        port = bound.getsockname()[1]
        with pytest.raises(ConnectError) as caught:
            opened(Opening(Endpoint.parse(f"ws://127.0.0.1:{port}"), now=0))
    error = caught.value.__cause__
    assert isinstance(error, ConnectionRefusedError)
    assert error.errno == errno.ECONNREFUSED
    assert str(caught.value) == f"cannot connect to 127.0.0.1:{port}: {error}"


def test_the_next_address_is_tried():
    with closed_port() as bound, listener() as server:
        bad, good = address_of(bound), address_of(server)
        opening = Opening(endpoint_of(server, "db.example"), now=0, addresses=[bad, good, bad])
        link = opened(opening)
        accept(server).close()
        assert opening.addresses == [good, bad, bad]
        link.close()


def test_an_address_of_a_kind_that_is_not_there():
    with listener() as server:
        addresses = [Address(-7, ("nowhere", 1)), address_of(server)]
        link = opened(Opening(endpoint_of(server, "db.example"), now=0, addresses=addresses))
        link.close()


def test_each_address_is_told_that_fails():
    with closed_port() as bound:
        port = bound.getsockname()[1]
        addresses = [Address(socket.AF_INET, (host, port)) for host in ("127.0.0.1", "127.0.0.2")]
        refused = r"\[Errno \d+\] [^;]*"
        expected = rf"^cannot connect to h:{port}: {refused} \(127\.0\.0\.1\); {refused} \(127\.0\.0\.2\)$"
        with pytest.raises(ConnectError, match=expected) as caught:
            opened(Opening(Endpoint.parse(f"ws://h:{port}"), now=0, addresses=addresses))
    assert isinstance(caught.value.__cause__, OSError)


@lets_nobody_in
def test_no_answer():
    server, filler = silent()
    with server, filler:
        opening = Opening(endpoint_of(server), now=50, timeout=10)
        assert opening.poll(50) is None
        assert opening.interest == selectors.EVENT_WRITE
        assert opening.due == 60
        assert opening.poll(59.9) is None
        with pytest.raises(ConnectError, match=r"^cannot connect to 127\.0\.0\.1:\d+: no answer for 10 s$") as caught:
            opening.poll(60)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert opening.fileno() == -1


@lets_nobody_in
def test_an_address_that_does_not_answer_leaves_time_for_the_next():
    server, filler = silent()
    with server, filler, listener() as good:
        opening = Opening(endpoint_of(good, "h"), now=0, addresses=[address_of(server), address_of(good)])
        assert opening.poll(0) is None
        assert opening.due == 5
        assert opening.poll(4.9) is None
        link = opening.poll(5) or opened(opening, now=5)
        accept(good).close()
        link.close()


@lets_nobody_in
def test_no_address_answers():
    server, filler = silent()
    with server, filler:
        opening = Opening(endpoint_of(server, "h"), now=0.1, timeout=0.3, addresses=[address_of(server)] * 3)
        with pytest.raises(ConnectError) as caught:
            for now in (0.1, 0.2, 0.3, 0.4, 0.5):
                opening.poll(now)
        assert str(caught.value).count("no answer for ") == 3


@lets_nobody_in
def test_giving_up():
    server, filler = silent()
    with server, filler:
        opening = Opening(endpoint_of(server), now=0)
        opening.poll(0)
        assert opening.fileno() != -1
        for _ in range(2):
            opening.close()
            assert (opening.fileno(), opening.interest) == (-1, 0)


def test_giving_up_before_the_start():
    Opening(Endpoint.parse("ws://db.example"), now=0).close()


def test_look_up():
    assert look_up("127.0.0.1", 3000) == [Address(socket.AF_INET, ("127.0.0.1", 3000))]


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_the_name_in_the_certificate_counts(contexts):
    with listener() as server:
        error = refused_with_tls(Opening(endpoint_of(server, tls=True), contexts[1], now=0), server, contexts[0])
    expected = r"cannot connect to 127\.0\.0\.1:\d+ with TLS: .*certificate is not valid for '127\.0\.0\.1'"
    assert re.match(expected, str(error))
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_an_unknown_authority_is_not_trusted(contexts):
    """Nor is any by default that the system does not know."""
    with listener() as server:
        opening = Opening(endpoint_of(server, "localhost", tls=True), now=0, addresses=[address_of(server)])
        error = refused_with_tls(opening, server, contexts[0])
    assert "with TLS: " in str(error)
    assert "certificate verify failed: unable to get local issuer" in str(error)


def test_a_server_that_does_not_speak_tls(contexts):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        with accept_polled(opening, server) as end:
            end.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ConnectError, match=r"^cannot connect to localhost:\d+ with TLS: "):
                opened(opening)


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_a_server_that_leaves_during_the_handshake(contexts, leave):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        end = accept_polled(opening, server)
        assert opening.poll(0) is None
        assert end.recv(1)
        leave(end)
        with pytest.raises(ConnectError, match=r"^cannot connect to localhost:\d+"):
            opened(opening)


def test_the_handshake_takes_too_long(contexts):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, timeout=3, addresses=[address_of(server)]
        )
        with accept_polled(opening, server):
            assert opening.poll(2.9) is None
            assert (opening.interest, opening.due) == (selectors.EVENT_READ, 3)
            with pytest.raises(ConnectError, match="no answer to the TLS handshake for 3 s$"):
                opening.poll(3)


def test_giving_up_during_the_handshake(contexts):
    with listener() as server:
        opening = Opening(
            endpoint_of(server, "localhost", tls=True), contexts[1], now=0, addresses=[address_of(server)]
        )
        with accept_polled(opening, server) as end:
            assert opening.poll(0) is None
            opening.close()
            the_hello = end.recv(65536)
            assert the_hello
            assert end.recv(1) == b""


def test_a_host_that_tls_has_no_words_for(contexts):
    """What the TLS library refuses is a failure to connect, and leaves nothing open."""
    with listener() as server:
        endpoint = Endpoint("." + "localhost", server.getsockname()[1], is_tls=True)
        with pytest.raises(ConnectError, match=r"^cannot connect to \.localhost:\d+: "):
            opened(Opening(endpoint, contexts[1], now=0, addresses=[address_of(server)]))


def test_settings_for_tls_are_not_ignored(contexts):
    with pytest.raises(ConnectError, match=r"an SSL context was given: expected wss:// or https://, got ws://h"):
        Opening(Endpoint.parse("ws://h"), contexts[1], now=0)
