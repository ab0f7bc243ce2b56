"""The stream that `dial` opens on asyncio: large reads, back-pressure, ends and errors, with TLS and without."""

import gc
import socket
import ssl
import struct
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener

from spacetimedb_proto.uri import Endpoint
from spacetimedb_transports.anyio import dial
from spacetimedb_transports.asyncio_stream import BUFFER, AsyncioStream, connect

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

MUCH = bytes(range(256)) * 160_000
"""More than all buffers of a loopback connection hold together."""


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Transports left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def contexts():
    """TLS settings of the server and of the client."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture(params=["tcp", "tls"])
async def ends(request, contexts, anyio_backend):
    """The stream, and the server's end of it, which is anyio's."""
    async with connected(*(contexts if request.param == "tls" else (None, None))) as both:
        yield both


@asynccontextmanager
async def connected(server_context=None, client_context=None):
    accepted = []
    has_accepted, is_over = anyio.Event(), anyio.Event()

    async def serve(stream):
        accepted.append(stream)
        has_accepted.set()
        await is_over.wait()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if server_context is not None:
        listener = TLSListener(listener, server_context, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        stream = await connect("localhost" if client_context else "127.0.0.1", port, client_context)
        await has_accepted.wait()
        async with stream, accepted[0]:
            yield stream, accepted[0]
        is_over.set()
        group.cancel_scope.cancel()


async def take(stream, size):
    """So many bytes."""
    taken = bytearray()
    while len(taken) < size:
        taken += await stream.receive(size - len(taken))
    return taken


async def test_dial_opens_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = await dial(Endpoint.parse(f"http://127.0.0.1:{server.getsockname()[1]}"))
        assert type(stream) is AsyncioStream
        await stream.aclose()


async def test_dial_leaves_loops_alone_that_only_look_like_asyncio(monkeypatch):
    monkeypatch.setattr("asyncio.BaseEventLoop", type("Another", (), {}))
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = await dial(Endpoint.parse(f"http://127.0.0.1:{server.getsockname()[1]}"))
        assert not isinstance(stream, AsyncioStream)
        await stream.aclose()


async def test_bytes_pass_both_ways(ends):
    stream, server = ends
    await stream.send(b"hello")
    assert await server.receive() == b"hello"
    await server.send(b"world")
    assert await stream.receive(3) == b"wor"
    assert await stream.receive() == b"ld"


async def test_what_came_meanwhile_is_one_read():
    async with connected() as (stream, server):
        for _ in range(3):
            await server.send(b"x" * 1000)
        await anyio.wait_all_tasks_blocked()
        assert await stream.receive() == b"x" * 3000


async def test_it_tells_whether_something_has_come(ends):
    stream, server = ends
    assert not stream.has_news
    await server.send(b"x")
    while not stream.has_news:
        await anyio.lowlevel.checkpoint()
    assert await stream.receive() == b"x"
    assert not stream.has_news


async def test_reading_ahead_has_a_limit(ends):
    """Who sends more than anybody reads has to wait, and nothing is lost."""
    stream, server = ends
    is_sent = anyio.Event()

    async def send():
        await server.send(MUCH)
        is_sent.set()

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        first = await stream.receive(10)
        await anyio.wait_all_tasks_blocked()
        assert not is_sent.is_set()
        second = await stream.receive(2 * BUFFER)
        assert len(second) <= BUFFER
        rest = await take(stream, len(MUCH) - len(first) - len(second))
    assert first + second + rest == MUCH


async def test_sending_waits_for_the_reader():
    sent, received = anyio.Event(), bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await connect(*listener.getsockname())
        peer, _ = listener.accept()

    async def send():
        await stream.send(MUCH)
        sent.set()

    def receive():
        while len(received) < len(MUCH):
            received.extend(peer.recv(BUFFER))

    async with stream, anyio.create_task_group() as group:
        with peer:
            group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert not sent.is_set()
            await anyio.to_thread.run_sync(receive)
            await sent.wait()
    assert received == MUCH


async def test_a_cancelled_receive_loses_nothing(ends):
    stream, server = ends
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.receive()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    await server.send(b"all of it")
    assert await take(stream, 9) == b"all of it"


async def test_the_peer_ends(ends):
    stream, server = ends
    await server.send(b"last")
    await server.aclose()
    assert await take(stream, 4) == b"last"
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_one_may_send_after_the_peer_has_ended():
    async with connected() as (stream, server):
        await server.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await stream.send(b"still")
        await stream.send_eof()
        assert await take(server, 5) == b"still"
        with pytest.raises(anyio.EndOfStream):
            await server.receive()


async def test_tls_ends_both_ways_at_once(contexts):
    async with connected(*contexts) as (stream, server):
        with pytest.raises(NotImplementedError):
            await stream.send_eof()
        await server.aclose()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"too late")


async def test_the_peer_resets(ends):
    stream, server = ends
    raw = server.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await server.aclose()
    for call in (stream.receive, stream.receive, lambda: stream.send(b"more")):
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await call()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert "reset by peer" in str(caught.value.__cause__)


async def test_the_peer_resets_while_we_send(ends):
    stream, server = ends
    raw = server.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    errors = []

    async def send():
        with pytest.raises(anyio.BrokenResourceError) as caught:
            while True:
                await stream.send(MUCH)
        errors.append(caught.value.__cause__)

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await server.aclose()
    assert isinstance(errors[0], OSError)


async def test_closing(ends):
    """Both calls that wait are told, later ones too, and twice is harmless."""
    stream, _ = ends
    told = []

    async def calls(call, *args):
        with pytest.raises(anyio.ClosedResourceError):
            while True:
                await call(*args)
        told.append(call)

    async with anyio.create_task_group() as group:
        group.start_soon(calls, stream.receive)
        group.start_soon(calls, stream.send, MUCH)
        await anyio.wait_all_tasks_blocked()
        await stream.aclose()
    await stream.aclose()
    await calls(stream.receive)
    await calls(stream.send, b"more")
    assert len(told) == 4


async def test_closing_when_cancelled(ends):
    stream, server = ends
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await server.receive()
