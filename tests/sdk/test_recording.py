"""Recording: what passes is written, whoever drives the connection, and no token is."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
from pathlib import Path

import anyio
import pytest

import spacetimedb_sdk
import spacetimedb_sdk.blocking
import spacetimedb_sdk.frame
from spacetimedb_proto import ServerSession
from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.http import HttpRequest, HttpResponse
from spacetimedb_proto.schema import dump_schema
from spacetimedb_proto.wire import PROTOCOLS, messages
from spacetimedb_sdk import Backoff, ConnectError, replay
from spacetimedb_sdk.recording import Recorder
from spacetimedb_sdk.testing import Module, PrimaryKey, serve, u32
from tests.behaviour_module import Pair, behaviour

TOKEN = "eyJhbGciOiJFUzI1NiJ9.not-to-be-told." + "x" * 3000
SOON = Backoff(initial=0.01, maximum=0.02)


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server


def lines(path):
    return [json.loads(line) for line in Path(path).read_text("ascii").splitlines()]


def replayed(path):
    """The rows after all, and what was told on the way."""
    with replay(path) as session:
        told = session.transactions()
        session.run()
        return sorted(session.db.pair, key=lambda row: row.id), [item.event for item in told]


# --- hosts ------------------------------------------------------------------------------------------------------------


async def story(conn):
    """What every host does; returns the rows as it saw them."""
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pairs(1, 3)
    await conn.reducers.set_pair(2, "two", 0, 5)
    await conn.reducers.remove_pair(3)
    return sorted(conn.db.pair, key=lambda row: row.id)


def on_asyncio(server, path):
    async def main():
        async with spacetimedb_sdk.connect(server.uri, server.database, record=path) as conn:
            return conn.token, await story(conn)

    return anyio.run(main)


def on_trio(server, path):
    async def main():
        async with spacetimedb_sdk.connect(server.uri, server.database, record=path) as conn:
            return conn.token, await story(conn)

    return anyio.run(main, backend="trio")


def on_a_thread(server, path):
    with spacetimedb_sdk.blocking.connect(server.uri, server.database, record=path) as conn:
        conn.subscribe("SELECT * FROM pair")
        conn.reducers.add_pairs(1, 3)
        conn.reducers.set_pair(2, "two", 0, 5)
        conn.reducers.remove_pair(3)
        return conn.token, sorted(conn.db.pair, key=lambda row: row.id)


def in_frames(server, path):
    with spacetimedb_sdk.frame.connect(server.uri, server.database, record=path) as conn:
        while conn.identity is None:
            conn.frame_tick()
        rows = conn.start(story(conn))
        while not rows.done():
            conn.frame_tick()
        return conn.token, rows.result()


@pytest.mark.parametrize("host", [on_asyncio, on_trio, on_a_thread, in_frames])
def test_every_host_records(server, tmp_path, host):
    path = tmp_path / "session.jsonl"
    token, rows = host(server, path)
    again, told = replayed(path)
    assert [(row.id, row.key, row.value) for row in again] == [(row.id, row.key, row.value) for row in rows]
    assert [event.reducer for event in told] == ["add_pairs", "set_pair", "remove_pair"]
    first, *frames = lines(path)
    assert first["module"] == "behaviour"
    assert first["schema"] == json.loads(json.dumps(dump_schema(behaviour.schema)))
    assert [frame["t"] for frame in frames] == sorted(frame["t"] for frame in frames)
    assert {frame["from"] for frame in frames} == {"client", "server"}
    assert [frame["op"] for frame in frames][-2:] == ["close", "close"]
    assert token not in path.read_text("ascii")
    assert not any(token.encode() in base64.b64decode(frame.get("data", "")) for frame in frames)


@pytest.mark.skipif(os.name != "posix", reason="rights are kept elsewhere")
def test_a_recording_is_its_owners(server, tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("older\n" * 1000, "ascii")
    path.unlink()
    on_a_thread(server, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="rights are kept elsewhere")
def test_a_file_that_others_could_read_is_its_owners_from_then_on(server, tmp_path):
    path = tmp_path / "session.jsonl"
    path.touch(0o644)
    on_a_thread(server, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recording_replaces_an_older_one(server, tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("older\n" * 1000, "ascii")
    on_a_thread(server, path)
    assert "older" not in path.read_text("ascii")


# --- several links ----------------------------------------------------------------------------------------------------


class Watched:
    """A connection on a thread that is recorded, and whose states can be waited for."""

    def __init__(self, server, path):
        self.conn = spacetimedb_sdk.blocking.connect(server.uri, server.database, record=path, reconnect=SOON)
        self._states = self.conn.states()

    def until(self, state):
        while next(self._states).state.value != state:
            pass

    def until_back(self):
        self.until("waiting")
        self.until("connected")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()


def test_several_links_are_one_session(server, tmp_path):
    path = tmp_path / "session.jsonl"
    with Watched(server, path) as watched:
        watched.conn.subscribe("SELECT * FROM pair")
        watched.conn.reducers.add_pairs(1, 3)
        server.restart()
        watched.until_back()
        watched.conn.reducers.remove_pair(1)
        rows = sorted(watched.conn.db.pair, key=lambda row: row.id)
    again, told = replayed(path)
    assert [row.id for row in again] == [row.id for row in rows] == [2, 3]
    handshakes = [line for line in lines(path) if "response" in line]
    assert [each["connection"] for each in handshakes] == [1, 2]
    assert "schema" not in handshakes[1], "it was the same"
    assert [type(event).__name__ for event in told] == ["ReducerEvent", "Resumed", "ReducerEvent"]


def test_what_changed_between_two_links_is_in_it(server, tmp_path):
    """Subscriptions that end and begin while there is no link, and rows that come and go."""
    path = tmp_path / "session.jsonl"
    with Watched(server, path) as watched:
        server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 0)))
        kept = watched.conn.subscribe("SELECT * FROM pair WHERE group = 0")
        gone = watched.conn.subscribe("SELECT * FROM user")
        server.stop()
        watched.until("waiting")
        gone.unsubscribe()
        server.run(lambda ctx: ctx.db.pair.insert(Pair(2, "b", 0, 0)))
        server.start()
        watched.until("connected")
        assert sorted(row.id for row in watched.conn.db.pair) == [1, 2]
        assert kept.state.value == "live"
    with replay(path) as session:
        session.run()
        assert sorted(row.id for row in session.db.pair) == [1, 2]
        assert len(session.db.user) == 0


def small(*, wide):
    module = Module("small")

    if wide:

        @module.table(public=True)
        class Pair:
            id: PrimaryKey[u32]
            level: u32 = 7

        @module.table(public=True)
        class Extra:
            n: u32

    else:

        @module.table(public=True)
        class Pair:
            id: PrimaryKey[u32]

    @module.reducer
    def add(ctx, id: u32) -> None:  # noqa: A002
        ctx.db.pair.insert(id=id)

    return module


def test_another_definition_is_written_where_it_comes(tmp_path):
    path = tmp_path / "session.jsonl"
    with serve(small(wide=False)) as server:
        with Watched(server, path) as watched:
            watched.conn.subscribe("SELECT * FROM pair")
            watched.conn.reducers.add(1)
            server.republish(small(wide=True))
            watched.until_back()
            watched.conn.reducers.add(2)
            rows = sorted(watched.conn.db.pair, key=lambda row: row.id)
        first, second = [line for line in lines(path) if "response" in line]
    assert first["schema"] == json.loads(json.dumps(dump_schema(small(wide=False).schema)))
    assert second["schema"] == json.loads(json.dumps(dump_schema(small(wide=True).schema)))
    again, _ = replayed(path)
    assert repr(again) == repr(rows) == "[Pair(id=1), Pair(id=2)]"


# --- tokens -----------------------------------------------------------------------------------------------------------


def shown(recorder, protocol, payload):
    recorder.schema_read(behaviour.schema, json.dumps(dump_schema(behaviour.schema)).encode())
    request = HttpRequest("GET", "/v1/database/behaviour/subscribe", (("authorization", f"Bearer {TOKEN}"),))
    headers = (("sec-websocket-protocol", protocol), ("spacetime-identity-token", TOKEN))
    recorder.answered(request, HttpResponse(101, headers, b""))
    recorder.passed("server", "text" if isinstance(payload, str) else "binary", payload)
    recorder.ended()


@pytest.mark.parametrize("compression", ["none", "gzip", "brotli"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_token_of_the_greeting_is_removed(tmp_path, protocol, compression):
    server = ServerSession(behaviour.schema, protocol=protocol, compression=compression)
    server.send(messages.InitialConnection(Identity.from_int(7), ConnectionId.from_int(8), TOKEN))
    (payload,) = server.payloads_to_send()
    path = tmp_path / "session.jsonl"
    recorder = Recorder(path, "behaviour", clock=lambda: 5.0)
    recorder.open()
    shown(recorder, protocol, payload)
    assert "not-to-be-told" not in path.read_text("ascii")
    with replay(path) as session:
        assert session.identity == Identity.from_int(7)
        assert session.token == "removed"


@pytest.mark.parametrize("payload", [b"\0\1" + TOKEN.encode(), b"\7", b""])
def test_a_greeting_that_cannot_be_read_is_not_written(tmp_path, payload):
    path = tmp_path / "session.jsonl"
    recorder = Recorder(path, "behaviour")
    recorder.open()
    shown(recorder, "v2.bsatn.spacetimedb", payload)
    assert lines(path)[1]["data"] == ""


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written(server, tmp_path):
    path = tmp_path / "nowhere" / "session.jsonl"
    with pytest.raises(ConnectError, match=r"record: cannot write '.*session.jsonl': No such file"):
        spacetimedb_sdk.blocking.connect(server.uri, server.database, record=path)
    with pytest.raises(ConnectError, match="record: cannot write"):
        spacetimedb_sdk.frame.connect(server.uri, server.database, record=path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_ends_the_recording_and_not_the_session(server, caplog):
    with caplog.at_level(logging.WARNING, "spacetimedb_sdk"):
        _, rows = on_a_thread(server, "/dev/full")
    assert len(rows) == 2
    assert [record.message for record in caplog.records] == [
        "the recording '/dev/full' ends before the session: No space left on device"
    ]
