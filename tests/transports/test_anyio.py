"""Connections on asyncio and trio: opening, pumping, timers, and running in the background."""

import contextvars
import gc
import itertools
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener, TLSStream

from spacetimedb_proto.errors import ConnectError, ConnectionLost, ConnectionRefused, RemoteProtocolError
from spacetimedb_proto.events import CallFailed, Connected, Disconnected, QueryReturned, Transaction
from spacetimedb_proto.http import HttpExchange, HttpRequest
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ServerConnection, Timeouts, UpgradeRequest
from spacetimedb_proto.wire import compression
from spacetimedb_proto.wire.messages import OneOffQuery, OneOffQueryResult, TransactionUpdate
from spacetimedb_transports.anyio import EVENTS_PER_LOOK, FAIR_SHARE, Pump, dial, fetch, spawn
from spacetimedb_transports.memory import pipe
from tests.connections import ENDPOINT, HELLO, client, payloads, schema
from tests.websocket_bytes import BINARY, PING, accepting, close_frame, frame

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    """Streams left open complain when they are collected, which pytest turns into a failure of this test."""
    yield
    gc.collect()


class Server:
    """Serves one connection over a stream: greets, and answers each query with `answer`."""

    def __init__(self, stream, answer="no"):
        self.connection = ServerConnection(now=anyio.current_time())
        self.pump = Pump(self.connection, stream, self.on_event)
        self.answer = answer
        self.session = None
        self.events = []

    def on_event(self, event):
        self.events.append(event)
        match event:
            case UpgradeRequest():
                self.session = ServerSession(schema(), protocol=event.protocols[0])
                self.connection.accept(self.session)
                self.session.send(HELLO)
            case HttpRequest():
                self.connection.respond(200, body=event.target.encode())
            case OneOffQuery():
                self.session.send(OneOffQueryResult(event.request_id, self.answer))


class Client:
    """A client's connection whose events are kept; `until(kind)` waits for one."""

    def __init__(self, stream, **options):
        self.connection = client(now=anyio.current_time(), **options)
        self.pump = Pump(self.connection, stream, self.on_event)
        self.events = []
        self.changed = anyio.Event()
        self.background = spawn(self.pump.run, "client")

    def on_event(self, event):
        self.events.append(event)
        changed, self.changed = self.changed, anyio.Event()
        changed.set()
        return True

    async def until(self, kind):
        while not any(isinstance(event, kind) for event in self.events):
            await self.changed.wait()
        return next(event for event in self.events if isinstance(event, kind))

    async def query(self):
        self.connection.session.query("SELECT 1")
        self.pump.wake()
        return await self.until(QueryReturned)

    async def close(self):
        self.connection.close()
        self.pump.wake()
        await self.background.wait()
        return self.events[-1]


class Scripted(ByteStream):
    """A stream that receives what a list says, which may be an error, and then nothing more."""

    def __init__(self, *received, send_error=None):
        self.received = list(received)
        self.send_error = send_error
        self.sent = b""
        self.closed = False

    async def receive(self, max_bytes=65536):
        await anyio.lowlevel.checkpoint()
        if not self.received:
            await anyio.sleep_forever()
        item = self.received.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item

    async def send(self, item):
        await anyio.lowlevel.checkpoint()
        if self.send_error is not None:
            raise self.send_error
        self.sent += item

    async def send_eof(self):
        raise NotImplementedError

    async def aclose(self):
        self.closed = True
        await anyio.lowlevel.checkpoint()


def connected_pair(**options):
    one, other = pipe()
    server = Server(other, **options)
    background = spawn(server.pump.run, "server")
    return Client(one), server, background


@asynccontextmanager
async def serving(serve, context=None):
    """Serve every connection on loopback, with TLS if there is a context; gives the port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if context is not None:
        listener = TLSListener(listener, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield port
        group.cancel_scope.cancel()


async def serve_session(stream):
    await Server(stream, answer="x" * 10_000_000).pump.run()


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_refused_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(ConnectError) as caught:
            await dial(Endpoint.parse(f"http://127.0.0.1:{port}"))
    assert str(caught.value).startswith(f"cannot connect to 127.0.0.1:{port}: ")
    assert "refused" in str(caught.value).lower() or "connect call failed" in str(caught.value).lower()
    assert isinstance(caught.value.__cause__, OSError)


async def test_unknown_host():
    with pytest.raises(ConnectError, match=r"^cannot connect to nowhere\.invalid:80: "):
        await dial(Endpoint.parse("http://nowhere.invalid"))


async def test_host_with_several_addresses(monkeypatch):
    """What went wrong with each of them is told."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{host}", port)) for host in (1, 2)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pytest.raises(ConnectError, match=rf"^cannot connect to h:{port}: .*'127\.0\.0\.1'.*'127\.0\.0\.2'"):
            await dial(Endpoint.parse(f"http://h:{port}"))


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_the_same_is_not_told_twice(monkeypatch):
    async def refuses(host, port):
        each = [OSError("refused"), OSError("refused"), OSError("no route")]
        raise OSError("All connection attempts failed") from ExceptionGroup("multiple", each)

    monkeypatch.setattr("anyio.connect_tcp", refuses)
    with pytest.raises(ConnectError, match=r"^cannot connect to h:80: refused; no route$"):
        await dial(Endpoint.parse("http://h"))


async def test_name_that_no_resolver_takes():
    with pytest.raises(ConnectError, match=r"^cannot connect to a{64}:80: "):
        await dial(Endpoint.parse("http://" + "a" * 64))


async def test_dial_does_not_wait_for_ever():
    async with serving(serve_session) as port:
        with pytest.raises(ConnectError, match=rf"^cannot connect to 127\.0\.0\.1:{port}: no answer for 0 s$"):
            await dial(Endpoint.parse(f"http://127.0.0.1:{port}"), timeout=0)


async def test_session_over_tcp():
    """Ten megabytes in the server's fragments, over a real socket."""
    async with serving(serve_session) as port:
        one = Client(await dial(Endpoint.parse(f"http://127.0.0.1:{port}")))
        await one.until(Connected)
        answer = await one.query()
        assert len(str(answer.error)) == 10_000_000
        assert await one.close() == Disconnected(None, 1000, "")


async def test_session_over_tls(server_tls, client_tls):
    async with serving(serve_session, server_tls) as port:
        one = Client(await dial(Endpoint.parse(f"wss://localhost:{port}"), ssl=client_tls))
        await one.until(Connected)
        await one.query()
        assert await one.close() == Disconnected(None, 1000, "")


async def test_certificates_are_verified(server_tls, client_tls):
    async def handshake(stream):
        async with stream:
            with suppress(ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream):
                await TLSStream.wrap(stream, server_side=True, ssl_context=server_tls)

    async with serving(handshake) as port:
        with pytest.raises(ConnectError, match="certificate verify failed: unable to get local issuer") as caught:
            await dial(Endpoint.parse(f"wss://localhost:{port}"))
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        with pytest.raises(ConnectError, match="certificate is not valid for '127.0.0.1'"):
            await dial(Endpoint.parse(f"wss://127.0.0.1:{port}"), ssl=client_tls)


async def test_tls_with_a_server_that_does_not_speak_it(client_tls):
    async def answers_plainly(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(answers_plainly) as port:
        with pytest.raises(ConnectError, match=rf"^cannot connect to localhost:{port} with TLS: "):
            await dial(Endpoint.parse(f"wss://localhost:{port}"), ssl=client_tls)


async def test_tls_with_a_server_that_hangs_up(client_tls):
    async def hangs_up(stream):
        await stream.aclose()

    async with serving(hangs_up) as port:
        with pytest.raises(ConnectError, match=rf"^cannot connect to localhost:{port}"):
            await dial(Endpoint.parse(f"wss://localhost:{port}"), ssl=client_tls)


async def test_settings_for_tls_are_not_ignored(client_tls):
    with pytest.raises(ConnectError, match=r"^an SSL context was given: expected wss:// or https://, got ws://h$"):
        await dial(Endpoint.parse("ws://h"), ssl=client_tls)


async def test_fetch():
    async with serving(serve_session) as port:
        endpoint = Endpoint.parse(f"http://127.0.0.1:{port}")
        response = await fetch(endpoint, HttpExchange("GET", endpoint, "/v1/ping"))
        assert (response.status, response.body) == (200, b"/v1/ping")


async def fetch_from(stream, **options):
    async def opened(endpoint, *, ssl=None):
        return stream

    return await fetch(ENDPOINT, HttpExchange("GET", ENDPOINT, "/v1/ping"), dial=opened, **options)


async def test_fetch_meets_ends_and_errors():
    stream = Scripted(b"HTTP/1.1 200", anyio.EndOfStream())
    with pytest.raises(ConnectError, match="before its answer was whole"):
        await fetch_from(stream)
    assert stream.closed
    with pytest.raises(ConnectError, match="before its answer was whole") as caught:
        await fetch_from(Scripted(ConnectionResetError("reset")))
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(RemoteProtocolError):
        await fetch_from(Scripted(b"garbage\r\n\r\n"))
    with pytest.raises(ConnectError, match=r"^no answer from 127\.0\.0\.1:3000 for 0 s$"):
        await fetch_from(Scripted(), timeout=0)


async def test_fetch_reads_an_answer_that_came_before_the_request_was_taken():
    answer = b"HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n"
    response = await fetch_from(Scripted(answer, send_error=anyio.BrokenResourceError()))
    assert response.status == 413


# --- pumping ----------------------------------------------------------------------------------------------------------


async def test_events_commands_and_close():
    one, server, background = connected_pair()
    await one.until(Connected)
    await one.query()
    assert await one.close() == Disconnected(None, 1000, "")
    await background.wait()
    assert [type(event) for event in server.events] == [UpgradeRequest, OneOffQuery, Disconnected]


async def test_server_says_something_by_itself():
    one, server, background = connected_pair()
    await one.until(Connected)
    server.session.send(TransactionUpdate([]))
    server.pump.wake()
    await one.until(Transaction)
    server.connection.close(1001, "module exited")
    server.pump.wake()
    end = await one.until(Disconnected)
    assert (end.code, end.reason) == (1001, "module exited")
    await one.background.wait()
    await background.wait()


async def test_server_drops_the_client():
    one, other = pipe()
    connection = ServerConnection(now=anyio.current_time())

    def refuse(event):
        if isinstance(event, UpgradeRequest):
            connection.accept(ServerSession(schema(), protocol=event.protocols[0]))
            connection.drop()

    background = spawn(Pump(connection, other, refuse).run, "server")
    a_client = Client(one)
    end = await a_client.until(Disconnected)
    assert type(end.error) is ConnectionRefused
    await a_client.background.wait()
    await background.wait()


def handshake_then(connection, *more):
    """Bytes that a server sends: it accepts, greets, and goes on."""
    [hello] = payloads(HELLO)
    return accepting(connection.data_to_send()) + frame(BINARY, hello) + b"".join(more)


def scripted_client(script, on_event=None, send_error=None, clock=lambda: 0.0, **options):
    """A client over a scripted stream; `script` makes the received items from the connection."""
    connection = client(protocols=["v2.bsatn"], now=anyio.current_time(), **options)
    stream = Scripted(*script(connection), send_error=send_error)
    found = []
    return Pump(connection, stream, on_event or found.append, clock), found, stream, connection


def ticking():
    """A clock by which everything takes long."""
    return map(float, itertools.count()).__next__


[UPDATE] = payloads(TransactionUpdate([]))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (anyio.EndOfStream(), ""),
        (anyio.BrokenResourceError(), "BrokenResourceError"),
        (ConnectionResetError(104, "Connection reset by peer"), "[Errno 104] Connection reset by peer"),
        (ssl.SSLError("bad record mac"), "('bad record mac',)"),
        (ZeroDivisionError("a bug of a stream"), "a bug of a stream"),
    ],
)
async def test_errors_of_the_stream_end_the_connection(error, reason):
    pump, found, stream, _ = scripted_client(lambda c: [handshake_then(c, frame(BINARY, UPDATE)), error])
    await pump.run()
    assert [type(event) for event in found] == [Connected, Transaction, Disconnected]
    assert type(found[-1].error) is ConnectionLost
    assert found[-1].reason == reason
    assert stream.closed


async def test_what_was_received_is_handed_out_after_writing_has_failed():
    """A killed socket may still hold the last frames (users, appendix B, 16)."""
    pieces = [frame(BINARY, UPDATE)] * 5
    pump, found, _, _ = scripted_client(
        lambda c: [handshake_then(c), *pieces, anyio.EndOfStream()], send_error=BrokenPipeError("broken pipe")
    )
    await pump.run()
    assert [type(event) for event in found] == [Connected, *[Transaction] * 5, Disconnected]


async def test_writing_has_failed_and_reading_never_ends(monkeypatch):
    monkeypatch.setattr("spacetimedb_transports.anyio.DRAIN_TIME", 0)
    pump, found, _, connection = scripted_client(lambda c: [], send_error=BrokenPipeError("broken pipe"))
    await pump.run()
    assert isinstance(found[-1], Disconnected)
    assert type(found[-1].error) is ConnectError
    assert connection.data_to_send() == b""


async def test_close_answered_before_the_link_is_closed():
    pump, found, stream, _ = scripted_client(lambda c: [handshake_then(c, close_frame(1001, "bye"))])
    await pump.run()
    assert found[-1].reason == "bye"
    assert len(stream.sent) == 8  # a masked Close frame with a code


async def test_peer_that_does_not_read_cannot_hold_the_pump():
    """Writing is blocked for good, and the end comes all the same, by time."""
    one, _ = pipe(capacity=10)
    a_client = Client(one, timeouts=Timeouts(handshake=0))
    end = await a_client.until(Disconnected)
    assert str(end.error) == "no answer to the handshake for 0 s"
    a_client.background.cancel()
    await a_client.background.wait()


@pytest.mark.parametrize(
    ("timeouts", "greeted", "text"),
    [
        (Timeouts(handshake=0), None, "no answer to the handshake for 0 s"),
        (
            Timeouts(greeting=0),
            False,
            "the server accepted the connection, but sent no first message for 0 s",
        ),
        (Timeouts(silence=0, answer=0.001), True, "no answer to a ping for 0.001 s"),
    ],
)
async def test_time_is_kept(timeouts, greeted, text):
    def script(connection):
        if greeted is None:
            return []
        return [handshake_then(connection) if greeted else accepting(connection.data_to_send())]

    pump, found, _, _ = scripted_client(script, timeouts=timeouts)
    await pump.run()
    assert str(found[-1].error) == text


async def test_close_that_is_not_answered():
    pump, found, _, connection = scripted_client(lambda c: [handshake_then(c)], timeouts=Timeouts(close=0))
    background = spawn(pump.run, "client")
    while not found:
        await anyio.lowlevel.checkpoint()
    connection.close()
    pump.wake()
    await background.wait()
    assert found[-1] == Disconnected(None, 1006, "no answer to our Close frame")


@pytest.mark.parametrize("pause", [True, False])
async def test_who_was_woken_runs_before_the_next_message(pause):
    """With True, a waiting task sees the state as of the event that woke it, not of a later one."""
    woken, seen, found = anyio.Event(), [], []

    def on_event(event):
        found.append(event)
        if len(found) == 2:
            woken.set()
            return pause
        return None

    async def waiter():
        await woken.wait()
        seen.append(len(found))

    pump, _, _, _ = scripted_client(
        lambda c: [handshake_then(c, *[frame(BINARY, UPDATE)] * 9), anyio.EndOfStream()], on_event
    )
    async with anyio.create_task_group() as group:
        group.start_soon(waiter)
        await anyio.wait_all_tasks_blocked()
        await pump.run()
    assert seen == [2] if pause else seen > [2]


@pytest.mark.parametrize(
    ("count", "clock"),
    [
        (5 * FAIR_SHARE, lambda: 0.0),
        (5 * EVENTS_PER_LOOK, ticking()),
    ],
    ids=["many", "slow"],
)
async def test_events_leave_others_their_turn(count, clock):
    turns, found = [], []

    async def other():
        while len(found) < count:
            turns.append(len(found))
            await anyio.lowlevel.checkpoint()

    pump, _, _, _ = scripted_client(
        lambda c: [handshake_then(c, *[frame(BINARY, UPDATE)] * count), anyio.EndOfStream()], found.append, clock=clock
    )
    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await pump.run()
    assert len(set(turns)) > 4


@pytest.mark.parametrize("clock", [lambda: 0.0, ticking()], ids=["quick", "slow"])
async def test_steps_of_one_event_come_before_the_next(clock):
    log = []

    def on_event(event):
        log.append(type(event).__name__)
        return steps(len(log)) if isinstance(event, Transaction) else None

    def steps(number):
        for _ in range(3):
            log.append(number)
            yield
        return True

    pump, _, _, _ = scripted_client(
        lambda c: [handshake_then(c, *[frame(BINARY, UPDATE)] * 2), anyio.EndOfStream()], on_event, clock=clock
    )
    await pump.run()
    assert log == ["Connected", "Transaction", 2, 2, 2, "Transaction", 6, 6, 6, "Disconnected"]


async def test_pings_are_answered_while_an_event_is_handled():
    """A million callbacks may take longer than a server waits for a sign of life."""
    found, waits = [], []

    def on_event(event):
        found.append(event)
        return until_answered() if isinstance(event, Transaction) else None

    def until_answered():
        while b"\x8a" not in stream.sent[mark:]:
            waits.append(len(found))
            assert len(waits) < 1000
            yield

    pump, _, stream, _ = scripted_client(
        lambda c: [handshake_then(c, frame(BINARY, UPDATE)), frame(PING), frame(BINARY, UPDATE), anyio.EndOfStream()],
        on_event,
        clock=ticking(),
    )
    mark = len(stream.sent)
    await pump.run()
    assert waits
    assert set(waits) == {2}, "the next event waits"
    assert [type(event) for event in found] == [Connected, Transaction, Transaction, Disconnected]


async def test_reading_pauses_while_the_application_is_far_behind():
    limits = Limits(queued_bytes=16 * 100)
    backlogs = []

    def on_event(event):
        return slowly() if isinstance(event, Transaction) else None

    def slowly():
        for _ in range(10):
            backlogs.append(connection.session.backlog)
            yield

    pump, _, _, connection = scripted_client(
        lambda c: [handshake_then(c), *[frame(BINARY, UPDATE) * 10] * 100, anyio.EndOfStream()],
        on_event,
        clock=ticking(),
        limits=limits,
    )
    await pump.run()
    assert len(backlogs) == 1000 * 10
    assert 100 < max(backlogs) <= 100 + 10 * len(UPDATE)


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_large_payloads_are_inflated_on_another_thread(monkeypatch, is_cut_off):
    threads, found = [], []
    inflate = compression.inflate

    def watched(*args):
        threads.append(threading.get_ident())
        return inflate(*args)

    monkeypatch.setattr(compression, "LONG", 100)
    monkeypatch.setattr(compression, "inflate", watched)
    text = "".join(map(str, range(1000)))
    session = ServerSession(schema(), protocol="v2.bsatn.spacetimedb", compression="gzip")
    session.send(OneOffQueryResult(1, text))
    [answer] = session.payloads_to_send()

    def on_event(event):
        found.append(event)
        if isinstance(event, Connected):
            assert connection.session.query("SELECT 1") == 1

    pump, _, _, connection = scripted_client(
        lambda c: [handshake_then(c), frame(BINARY, answer[:-1] if is_cut_off else answer), anyio.EndOfStream()],
        on_event,
    )
    await pump.run()
    if is_cut_off:
        assert isinstance(found[-1].error, RemoteProtocolError)
    else:
        assert str(found[1].error) == text
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_errors_in_steps_come_out_at_the_end():
    found = []

    def on_event(event):
        found.append(event)
        return fail() if isinstance(event, Transaction) else None

    def fail():
        yield
        raise ZeroDivisionError

    pump, _, _, _ = scripted_client(
        lambda c: [handshake_then(c, frame(BINARY, UPDATE)), close_frame(1000)], on_event, clock=ticking()
    )
    with pytest.raises(ZeroDivisionError):
        await pump.run()
    assert [type(event) for event in found] == [Connected, Transaction, Disconnected]


async def test_cancelling_takes_the_steps_that_are_left():
    done = []

    def on_event(event):
        return steps() if isinstance(event, Transaction) else done.append(event)

    def steps():
        scope.cancel()
        for number in range(5):
            done.append(number)
            yield

    pump, _, _, _ = scripted_client(lambda c: [handshake_then(c, frame(BINARY, UPDATE))], on_event, clock=ticking())
    with anyio.CancelScope() as scope:
        await pump.run()
    assert done[1:-1] == list(range(5))
    assert isinstance(done[-1], Disconnected)


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3)])
async def test_errors_of_the_callback_come_out_at_the_end(error):
    found = []

    def on_event(event):
        found.append(event)
        if len(found) < 3:
            raise error

    pump, _, stream, _ = scripted_client(
        lambda c: [handshake_then(c, *[frame(BINARY, UPDATE)] * 3), close_frame(1000)], on_event
    )
    with pytest.raises(type(error)) as caught:
        await pump.run()
    assert caught.value is error
    assert [type(event) for event in found] == [Connected, *[Transaction] * 3, Disconnected]
    assert found[-1] == Disconnected(None, 1000, "")
    assert stream.closed


async def test_cancelling_tells_everybody():
    one, server, background = connected_pair()
    await one.until(Connected)
    one.connection.session.query("SELECT 1")
    one.background.cancel()
    await one.background.wait()
    assert [type(event) for event in one.events] == [Connected, CallFailed, Disconnected]
    assert one.events[-1].reason == "its task was cancelled"
    await background.wait()
    assert isinstance(server.events[-1], Disconnected)


# --- in the background ------------------------------------------------------------------------------------------------


async def test_connections_close_in_any_order_and_from_any_task():
    pairs = [connected_pair() for _ in range(4)]
    for one, _, _ in pairs:
        await one.until(Connected)
    async with anyio.create_task_group() as group:
        group.start_soon(pairs[2][0].close)
        group.start_soon(pairs[0][0].close)
    await pairs[1][0].close()
    async with anyio.create_task_group() as group:
        group.start_soon(pairs[3][0].close)
    for _, _, background in pairs:
        await background.wait()


async def test_background_outlives_the_task_group_and_scope_it_was_started_in():
    done, ended = anyio.Event(), []

    async def work():
        await done.wait()
        ended.append(True)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group():
            background = spawn(work, "work")
        scope.cancel()
    done.set()
    await background.wait()
    assert ended == [True]


async def test_background_keeps_what_it_raised():
    async def fails():
        await anyio.lowlevel.checkpoint()
        raise ValueError("no")

    background = spawn(fails, "fails")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^no$"):
            await background.wait()
    spawn(fails, "nobody asks")
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("started", [True, False])
async def test_background_cancelled(started):
    reached = []

    async def sleeps():
        reached.append("start")
        try:
            await anyio.sleep_forever()
        finally:
            reached.append("end")

    background = spawn(sleeps, "sleeps")
    if started:
        await anyio.wait_all_tasks_blocked()
    background.cancel()
    await background.wait()
    background.cancel()
    assert reached == ["start", "end"]


async def test_background_sees_a_copy_of_the_callers_context():
    variable, seen = contextvars.ContextVar("variable", default=0), []

    async def looks():
        await anyio.lowlevel.checkpoint()
        seen.append(variable.get())
        variable.set(3)

    variable.set(1)
    background = spawn(looks, "looks")
    variable.set(2)
    await background.wait()
    assert (seen, variable.get()) == ([1], 2)


# --- whole programs, in an interpreter of their own -------------------------------------------------------------------


def interpreted(program):
    """Run a program with warnings as errors; returns what it wrote to both channels."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


LEFT_OPEN = """
import anyio, socket
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_transports.anyio import Pump, dial, spawn

async def fails():
    raise ValueError("nobody asks")

async def main():
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint.parse(f"http://127.0.0.1:{server.getsockname()[1]}")
        connection = ClientConnection(None, endpoint, "chat", now=anyio.current_time())
        spawn(Pump(connection, await dial(endpoint), print).run, "left open")
        spawn(fails, "left failing")
        with server.accept()[0] as accepted:
            accepted.setblocking(False)
            await anyio.wait_readable(accepted)

anyio.run(main, backend="BACKEND")
"""


def test_programs_may_end_with_work_left(anyio_backend):
    """Those who wait are told, streams are closed, and nothing complains."""
    ran = interpreted(LEFT_OPEN.replace("BACKEND", anyio_backend))
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout.startswith("Disconnected(error=ConnectError(")


def test_importing_does_not_import_trio():
    ran = interpreted("import sys, spacetimedb_transports.anyio; print('trio' in sys.modules)")
    assert (ran.stdout, ran.stderr) == ("False\n", "")


async def test_what_ends_a_background_task_comes_without_the_groups_around_it():
    async def fail():
        async with anyio.create_task_group() as outer, anyio.create_task_group():
            outer.start_soon(anyio.sleep_forever)
            raise ZeroDivisionError("it")

    with pytest.raises(ZeroDivisionError, match="^it$"):
        await spawn(fail, "fails").wait()
