"""The server on real sockets: one thread, loopback, and nothing left when it has stopped."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from urllib.parse import urlsplit

import anyio
import pytest

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.errors import AuthenticationError, ConnectError, ConnectionLost, ConnectionRefused
from spacetimedb_proto.events import Connected, Disconnected, ReducerEvent, SubscribeApplied, Transaction
from spacetimedb_proto.http import HttpExchange
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk.testing import Module, ReducerError, serve
from spacetimedb_transports.anyio import Pump, dial, fetch, spawn
from tests.behaviour_module import Pair, behaviour
from tests.sdk.testing.support import in_session


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and "worker" not in thread.name.lower()]
    assert [thread for thread in left if not thread.name.startswith("Trio")] == []


class Client:
    """A client over a socket whose events are kept; `until(kind)` waits for one."""

    def __init__(self, server, stream, session_id=None, schema=behaviour.schema, **options):
        endpoint = Endpoint.parse(server.uri)
        if session_id is not None:
            endpoint = in_session(endpoint, session_id)
        self.connection = ClientConnection(schema, endpoint, server.database, now=anyio.current_time(), **options)
        self.pump = Pump(self.connection, stream, self._on_event)
        self.events = []
        self._changed = anyio.Event()
        self.background = spawn(self.pump.run, "client")

    @classmethod
    async def of(cls, server, **options):
        return cls(server, await dial(Endpoint.parse(server.uri)), **options)

    def _on_event(self, event):
        self.events.append(event)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def until(self, kind):
        with anyio.fail_after(10):  # the server would ask for a sign of life after 15 s, and notice all sorts of things
            while not any(isinstance(event, kind) for event in self.events):
                await self._changed.wait()
        found = next(event for event in self.events if isinstance(event, kind))
        self.events.remove(found)
        return found

    async def call(self, name, *args):
        self.connection.session.call_reducer(name, args)
        self.pump.wake()
        return await self.until(ReducerEvent)

    async def subscribe(self, *queries):
        self.connection.session.subscribe(queries)
        self.pump.wake()
        return await self.until(SubscribeApplied)

    async def leave(self):
        self.connection.close()
        self.pump.wake()
        with anyio.fail_after(20):
            await self.background.wait()


async def arrived(server, **options):
    client = await Client.of(server, **options)
    client.hello = await client.until(Connected)
    return client


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("compression", ["none", "gzip", "brotli"])
@pytest.mark.parametrize("protocol", ["v2.bsatn", "v3.bsatn"])
async def test_two_clients(protocol, compression):
    async with serve(behaviour) as server:
        writer = await arrived(server, protocols=[protocol], compression=compression)
        reader = await arrived(server, protocols=[protocol], compression=compression)
        await reader.subscribe("SELECT * FROM pair")
        await writer.call("add_pairs", 1, 300)
        update = await reader.until(Transaction)
        assert len(update.changes["pair"].inserts) == 300
        late = await writer.subscribe("SELECT * FROM pair WHERE id = 7")
        assert [change.row for change in late.changes["pair"]] == [Pair(7, "k7", 7, 0)]
        await writer.leave()
        await reader.leave()


@pytest.mark.anyio
async def test_refused_by_the_module():
    async with serve(behaviour) as server:
        client = await arrived(server)
        await client.call("ban_me")
        again = await Client.of(server, token=client.hello.token)
        assert isinstance((await again.until(Disconnected)).error, ConnectionRefused)
        await client.leave()


@pytest.mark.anyio
async def test_a_client_that_is_back_before_it_was_missed():
    async with serve(behaviour) as server:
        holder = await arrived(server, session_id="1" * 32)
        visit = {"token": holder.hello.token, "session_id": "1" * 32}
        early = await Client.of(server, **visit)
        assert (await early.until(Disconnected)).code == 4000
        assert (await holder.until(Disconnected)).code == 1006
        back = await arrived(server, **visit)
        assert back.hello.identity == holder.hello.identity
        await back.leave()


@pytest.mark.anyio
async def test_links_are_cut():
    async with serve(behaviour) as server:
        first, second = await arrived(server), await arrived(server)
        await anyio.to_thread.run_sync(server.drop_clients)
        for client in (first, second):
            end = await client.until(Disconnected)
            assert isinstance(end.error, ConnectionLost)
            assert end.code == 1006
        third = await arrived(server)
        applied = await third.subscribe("SELECT * FROM user WHERE online = FALSE")
        assert len(applied.changes["user"].inserts) == 2, "who was dropped has been seen off"
        await third.leave()


@pytest.mark.anyio
async def test_connections_are_closed():
    async with serve(behaviour) as server:
        client = await arrived(server)
        server.close_clients(4001, "have a break")
        end = await client.until(Disconnected)
        assert (end.code, end.reason) == (4001, "have a break")


@pytest.mark.anyio
async def test_the_end_of_the_server_is_told():
    async with serve(behaviour) as server:
        client = await arrived(server)
    end = await client.until(Disconnected)
    assert (end.code, end.reason) == (1001, "module exited")


@pytest.mark.anyio
async def test_the_schema_over_http():
    async with serve(behaviour) as server:
        endpoint = Endpoint.parse(server.uri)
        answer = await fetch(endpoint, HttpExchange("GET", endpoint, endpoint.schema_target(server.database, 10)))
        assert load_schema(answer.body) == behaviour.schema


# --- what happens to servers ------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(("crash", "code"), [(False, 1001), (True, 1006)])
async def test_a_restart(crash, code):
    async with serve(behaviour) as server:
        uri, client = server.uri, await arrived(server)
        await client.call("add_pairs", 1, 2)
        server.restart(crash=crash)
        assert (await client.until(Disconnected)).code == code
        assert server.uri == uri
        back = await arrived(server, token=client.hello.token)
        assert back.hello.identity == client.hello.identity
        assert len((await back.subscribe("SELECT * FROM pair")).changes["pair"].inserts) == 2
        await back.leave()


@pytest.mark.anyio
async def test_a_restart_with_other_data_while_it_is_down():
    server = serve(behaviour)
    async with server:
        client = await arrived(server)
        await client.call("add_pairs", 1, 2)
    await client.until(Disconnected)
    server.restart(keep_rows=False)
    server.run(lambda ctx: ctx.db.pair.insert(Pair(9, "nine", 0, 0)))
    async with server:
        back = await arrived(server, token=client.hello.token)
        applied = await back.subscribe("SELECT * FROM pair")
        assert [change.row.id for change in applied.changes["pair"]] == [9]
        await back.leave()


@pytest.mark.anyio
async def test_a_restart_without_tokens():
    async with serve(behaviour) as server:
        client = await arrived(server)
        server.restart(keep_tokens=False)
        await client.until(Disconnected)
        again = await Client.of(server, token=client.hello.token)
        assert isinstance((await again.until(Disconnected)).error, AuthenticationError)


@pytest.mark.anyio
async def test_a_new_version_of_the_module():
    first, second = Module("notes"), Module("notes")
    for module in (first, second):
        module.table(public=True, name="note")(type("Note", (), {"__annotations__": {"text": str}}))

    @second.reducer
    def add(ctx, text: str):
        ctx.db.note.insert(text=text)

    async with serve(first) as server:
        server.run(lambda ctx: ctx.db.note.insert(text="old"))
        client = await arrived(server, schema=first.schema)
        server.republish(second)
        end = await client.until(Disconnected)
        assert (end.code, end.reason) == (1001, "module exited")
        back = await arrived(server, schema=second.schema)
        await back.call("add", "new")
        applied = await back.subscribe("SELECT * FROM note")
        assert [change.row.text for change in applied.changes["note"]] == ["old", "new"]
        await back.leave()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("refused", "error", "text"),
    [
        (Module("behaviour"), ValueError, "table `pair` has rows, but is not in the new module"),
        (Module("other"), ValueError, "expected another version of `behaviour`, got `other`"),
        (5, TypeError, "module: expected a Module of spacetimedb_sdk.testing, got 5"),
    ],
)
async def test_a_refused_version_disturbs_nobody(refused, error, text):
    async with serve(behaviour) as server:
        client = await arrived(server)
        await client.subscribe("SELECT * FROM pair")
        server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "one", 0, 0)))
        with pytest.raises(error, match=text):
            server.republish(refused)
        server.run(lambda ctx: ctx.db.pair.insert(Pair(2, "two", 0, 0)))
        for _ in range(2):
            assert len((await client.until(Transaction)).changes["pair"].inserts) == 1
        await client.leave()


@pytest.mark.anyio
async def test_handshakes_are_refused():
    async with serve(behaviour) as server:
        server.refuse_next(1, 502, "bad gateway")
        client = await Client.of(server)
        error = (await client.until(Disconnected)).error
        assert isinstance(error, ConnectError)
        assert (error.status, error.body) == (502, "bad gateway")
        await (await arrived(server)).leave()


@pytest.mark.anyio
async def test_what_the_server_does_by_itself():
    async with serve(behaviour) as server:
        client = await arrived(server)
        await client.subscribe("SELECT * FROM pair")
        server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "one", 0, 0)))
        assert len((await client.until(Transaction)).changes["pair"].inserts) == 1
        with pytest.raises(ReducerError, match="no"):
            server.run(refuse)
        await client.leave()


def refuse(ctx):
    raise ReducerError("no")


# --- the server by itself, and standard tools as clients --------------------------------------------------------------


def ask(server, method, path):
    connection = http.client.HTTPConnection(urlsplit(server.uri).netloc, timeout=20)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_it_answers_http():
    with serve(behaviour) as server:
        assert server.database == "behaviour"
        assert ask(server, "GET", "/v1/ping") == (200, b"")
        status, body = ask(server, "POST", "/v1/identity")
        assert (status, sorted(json.loads(body))) == (200, ["identity", "token"])
        assert ask(server, "GET", "/v1/database/other/schema?version=9") == (404, b"`other` not found")


def test_it_listens_on_loopback_only():
    with serve(behaviour) as server:
        assert urlsplit(server.uri).hostname == "127.0.0.1"
        assert repr(server) == f"<Server of 'behaviour' at {server.uri}>"


def test_stopped_and_started_again_it_is_the_same_server():
    server = serve(behaviour)
    with server:
        uri = server.uri
        _, body = ask(server, "POST", "/v1/identity")
        token = json.loads(body)["token"]
    assert repr(server) == "<Server of 'behaviour' at no address yet>"
    with server:
        assert server.uri == uri
        assert ask(server, "GET", f"/v1/ping?token={token}")[0] == 200
    with serve(behaviour) as other:
        assert ask(other, "GET", f"/v1/ping?token={token}")[0] == 401


def test_it_runs_once_and_stops_twice():
    with serve(behaviour) as server, pytest.raises(RuntimeError, match="runs already"):
        server.start()
    server.stop()
    with pytest.raises(RuntimeError, match="does not run"):
        server.drop_clients()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "GET", "/v1/ping")


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = serve(behaviour, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="[Aa]ddress already in use"):
            server.start()
    with server:
        assert ask(server, "GET", "/v1/ping")[0] == 200


def test_one_module_is_served_twice_at_once():
    with serve(behaviour) as one, serve(behaviour) as two:
        assert one.uri != two.uri
        assert ask(one, "GET", "/v1/ping") == ask(two, "GET", "/v1/ping")


@pytest.mark.parametrize(("given", "kind"), [("chat:chat", "str"), (None, "NoneType"), (Module, "type")])
def test_only_modules_are_served(given, kind):
    with pytest.raises(TypeError, match=rf"^module: expected a Module of spacetimedb_sdk\.testing, got .* \({kind}\)$"):
        serve(given)


def test_a_broken_module_is_not_served():
    module = Module("broken")

    @module.reducer
    def broken(ctx, n: int): ...

    with pytest.raises(TypeError, match="int has no size"):
        serve(module)


def test_init_may_refuse():
    module = Module("unwilling")

    @module.init
    def setup(ctx):
        raise ReducerError("not today")

    with pytest.raises(ReducerError, match="not today"):
        serve(module)


def test_the_clock_is_the_systems_unless_another_is_given():
    seen = []
    module = Module("clocks")

    @module.init
    def setup(ctx):
        seen.append(ctx.timestamp)

    serve(module, clock=lambda: Timestamp(5))
    serve(module)
    assert seen[0] == Timestamp(5)
    assert seen[1] > Timestamp(1_700_000_000_000_000)


def test_silent_links_do_not_hold_it_up():
    with serve(behaviour) as server, socket.create_connection(("127.0.0.1", urlsplit(server.uri).port)) as silent:
        ask(server, "GET", "/v1/ping")
        server.stop()
        assert silent.recv(1) == b""


def test_a_fault_of_ours_takes_one_link_only(monkeypatch, caplog):
    with serve(behaviour) as server:
        monkeypatch.setattr("spacetimedb_sdk.testing.service.answer", lambda *_: 1 / 0)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(server, "GET", "/v1/ping")
        monkeypatch.undo()
        assert ask(server, "GET", "/v1/ping")[0] == 200
    assert "a link failed" in caplog.text
