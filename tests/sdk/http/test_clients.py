"""Both clients, on asyncio, on trio and in threads, against servers on loopback. Everything is written for those that
await; the blocking client is called in a thread.
"""

from __future__ import annotations

import inspect
import json
import socket
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

from spacetimedb_sdk import (
    AuthenticationError,
    BlockingHttpClient,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    DatabaseNotFound,
    EncodeError,
    HttpClient,
    Identity,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    QueryError,
    ReducerError,
    RemoteProtocolError,
    Timestamp,
    TokenEnv,
    TokenFile,
    sql,
)
from spacetimedb_sdk.http import CallResult, Progress, PublishPlan
from spacetimedb_sdk.testing import Module, Row, serve
from tests.http_server import HttpServer, hang_up, recorded, reply
from tests.loopback import PATIENCE, closed_port, tls_contexts
from tests.schemas import SCHEMAS, schema

from .hosts import Threaded

pytestmark = pytest.mark.anyio

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.sig"
OWNER = Identity.from_hex("c2005fe74a4af4dd1d52d6db8dd243ad66aad668b936466df3f6e44910c7f9c4")
SDK_TEST = (SCHEMAS / "sdk-test.v10.json").read_bytes()


@pytest.fixture(params=["asyncio", "trio", "threads"])
def host(request):
    return request.param


@pytest.fixture
def anyio_backend(host):
    return "asyncio" if host == "threads" else host


@pytest.fixture
def make(host):
    return Threaded if host == "threads" else HttpClient


async def patiently(event):
    """Wait for a thread's event."""
    assert await anyio.to_thread.run_sync(event.wait, PATIENCE)


def mini(request, _link):
    """The recorded database: what it answers depends on what is asked."""
    path, _, _ = request.target.partition("?")
    match request.method, path.removeprefix("/v1/database/t-mini"):
        case "GET", "/schema":
            return reply(200, SDK_TEST)
        case "POST", "/v1/identity":
            return recorded("identity-create")
        case "POST", "/sql" if b"COUNT" in request.body:
            return recorded("sql-count")
        case "POST", "/sql" if b"INSERT" in request.body:
            return recorded("sql-insert")
        case "POST", "/sql" if b"SELECT *" in request.body:
            return recorded("sql")
        case "POST", "/sql":
            return recorded("sql-error")
        case "POST", "/call/insert_pk_u_64":
            return recorded("call-ok") if request.body == b"[7,8]" else reply(200)
        case "GET", "/logs":
            return recorded("logs") if request.header("authorization") else recorded("logs-noauth")
        case _:
            return recorded("database-missing")


# --- rows and calls ---------------------------------------------------------------------------------------------------


async def test_sql(make):
    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            result = await client.sql("SELECT * FROM pk_u_64")
            assert [(row.n, row.data) for row in result][:3] == [(0, 0), (1, 1), (2, 2)]
            definition = await client.schema()
            assert definition == schema("sdk-test")
            assert type(result[0]) is definition.row_codec("pk_u_64").python_type
            count, inserted = await client.sql_all(
                "SELECT COUNT(*) AS n FROM pk_u_64", sql("INSERT INTO pk_u_64 (n, data) VALUES ({}, {})", 1000, 1)
            )
            assert (count.value, inserted.inserted) == (8, 1)
            with pytest.raises(QueryError, match="^sql parser error: "):
                await client.sql("SELEC")
        assert server.connections == 1
        assert server.targets("GET") == ["GET /v1/database/t-mini/schema?version=10"]
        assert {request.header("authorization") for request in server.requests} == {f"Bearer {TOKEN}"}


async def test_a_module_that_was_published_anew_is_read_anew(make):
    versions = [b'{"sections":[]}', SDK_TEST]

    def answer(request, link):
        if "/schema" in request.target:
            return reply(200, versions.pop(0) if len(versions) > 1 else versions[0])
        return mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            result = await client.sql("SELECT * FROM pk_u_64")
            assert (result.table, len(server.targets("GET"))) == ("pk_u_64", 2)
            await client.call("insert_pk_u_64", 1, 2)
            assert len(server.targets("GET")) == 2


async def test_rows_that_are_no_tables_are_asked_about_once(make):
    def answer(request, link):
        return reply(200, b'{"sections":[]}') if "/schema" in request.target else mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            for _ in range(3):
                result = await client.sql("SELECT * FROM pk_u_64")
                assert (result.table, result[3].data) == (None, 50)
            assert len(server.targets("GET")) == 2


async def test_calls(make):
    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            assert await client.call("insert_pk_u_64", data=2, n=1) == CallResult("insert_pk_u_64")
            with pytest.raises(ReducerError, match="^The instance encountered a fatal error.$") as caught:
                await client.call("insert_pk_u_64", 7, 8)
            assert caught.value.function == "insert_pk_u_64"
            with pytest.raises(EncodeError, match="^n: "):
                await client.call("insert_pk_u_64", "x", 2)
            with pytest.raises(TypeError, match="is missing 'data'"):
                await client.call("insert_pk_u_64", 1)
            with pytest.raises(LocalProtocolError, match="^no reducer 'nope' in the schema; there are: "):
                await client.call("nope")
            reducer = "^no procedure 'insert_pk_u_64' in the schema: it is a reducer, so use call[(][)]$"
            with pytest.raises(LocalProtocolError, match=reducer):
                await client.procedure("insert_pk_u_64", 1, 2)
        posts = [request for request in server.requests if request.method == "POST"]
        assert [request.body for request in posts] == [b"[1,2]", b"[7,8]"]


async def test_procedures(make):
    def answer(request, _link):
        if "/schema" in request.target:
            return reply(200, (SCHEMAS / "sdk-test-procedure.v10.json").read_bytes())
        return recorded("procedure-call")

    with HttpServer(answer) as server:
        async with make(server.uri, "procedure", token=TOKEN) as client:
            assert await client.procedure("return_primitive", 1, 2) == 3
            procedure = "^no reducer 'return_primitive' in the schema: it is a procedure, so use procedure[(][)]$"
            with pytest.raises(LocalProtocolError, match=procedure):
                await client.call("return_primitive", 1, 2)


async def test_a_schema_of_an_older_server(make):
    def answer(request, link):
        if "version=10" in request.target:
            return recorded("schema-v8")
        return reply(200, (SCHEMAS / "sdk-test.v9.json").read_bytes())

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini") as client:
            assert (await client.schema()).version == 9
            assert (await client.schema(refresh=True)).version == 9
    with HttpServer(lambda *_: recorded("schema-v8")) as server:
        async with make(server.uri, "t-mini") as client:
            with pytest.raises(ConnectError, match="in a layout that this SDK does not know"):
                await client.schema()


# --- the rest of the API ----------------------------------------------------------------------------------------------


async def test_names(make):
    with HttpServer(lambda request, _: reply(200, b'"Success"' if request.method == "PUT" else NAMED)) as server:
        async with make(server.uri, "t-http", token=TOKEN) as client:
            await client.set_names(["a", "ä"])
            await client.add_name("b")
        assert [(request.method, request.target, request.body) for request in server.requests] == [
            ("PUT", "/v1/database/t-http/names", '["a", "ä"]'.encode()),
            ("POST", "/v1/database/t-http/names", b"b"),
        ]


NAMED = b'{"Success":{"domain":"b","database_identity":"' + b"c2" * 32 + b'"}}'
PLAN = (
    b'{"AutoMigrate":{"migrate_plan":"- added table","break_clients":true,"token":"ab12",'
    b'"major_version_upgrade":false}}'
)


async def test_a_plan_before_it_is_carried_out(make):
    with HttpServer(
        lambda request, _: reply(200, PLAN) if request.method == "POST" else recorded("publish-again")
    ) as server:
        async with make(server.uri, "t-http", token=TOKEN) as client:
            plan = await client.plan_publish(b"x", host_type="Js")
            assert plan == PublishPlan(is_possible=True, text="- added table", breaks_clients=True, token="ab12")
            assert not (await client.publish(b"x", break_clients=plan.token)).is_new
        assert [request.target for request in server.requests] == [
            "/v1/database/t-http/pre_publish?style=NoColor&host_type=Js",
            "/v1/database/t-http?policy=BreakClients&token=ab12",
        ]


async def test_administration(make):
    answers = {
        "GET /v1/database/t-http": "database-info",
        "GET /v1/database/t-http/names": "database-names",
        "GET /v1/database/t-http/identity": "database-identity",
        f"GET /v1/identity/{OWNER}/verify": "identity-verify",
        f"GET /v1/identity/{OWNER}/databases": "identity-databases",
        "GET /v1/identity/public-key": "public-key",
        "POST /v1/identity": "identity-create",
        "PUT /v1/database/t-http?clear=true&host_type=Wasm": "publish-again",
        "PUT /v1/database/t-http": "publish",
        "DELETE /v1/database/t-http": "delete",
    }
    with HttpServer(lambda request, _: recorded(answers[f"{request.method} {request.target}"])) as server:
        async with make(server.uri, "t-http", token=TOKEN) as client:
            assert (await client.info()).owner == OWNER
            assert await client.names() == ("t-http",)
            assert await client.database_identity() == (await client.info()).identity
            assert await client.verify_identity(OWNER)
            assert len(await client.databases_of(OWNER)) == 99
            assert (await client.public_key()).startswith("-----BEGIN")
            assert (await client.create_identity()).token != TOKEN
            assert (await client.publish(b"\0asm")).is_new
            assert not (await client.publish(b"\0asm", clear=True, host_type="Wasm")).is_new
            await client.delete()
    async with make("http://127.0.0.1:1") as client:
        with pytest.raises(LocalProtocolError, match="^expected a client of a database"):
            await client.names()


async def test_no_such_database(make):
    with HttpServer(lambda *_: recorded("database-missing")) as server:
        async with make(server.uri, "nope", token=TOKEN) as client:
            for method in (client.info, client.names, client.schema, client.logs, client.delete):
                with pytest.raises(DatabaseNotFound):
                    await method()
            with pytest.raises(DatabaseNotFound):
                await client.sql("SELECT * FROM x")


module = Module("chat")


@module.table(public=True)
class Message(Row):
    text: str


async def test_the_in_process_server(make, tmp_path):
    file = tmp_path / "token"
    with serve(module) as server:
        async with make(server.uri, "chat", token=TokenFile(file)) as client:
            await client.ping()
            assert not file.exists()
            assert list((await client.schema()).tables) == ["message"]
            assert (await client.websocket_token()) != file.read_text().strip()
            new = await client.create_identity()
            assert new.token != file.read_text().strip()
        with pytest.raises(AuthenticationError):
            async with make(server.uri, "chat", token="bad") as client:
                await client.ping()


async def test_logs(make):
    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            lines = await client.logs(5)
            assert lines[0].time == Timestamp(1795472920074199)
            assert server.targets() == ["GET /v1/database/t-mini/logs?num_lines=5"]


def line_of(text):
    return json.dumps({"level": "Info", "ts": 1, "message": text}).encode() + b"\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_logs_are_followed_as_they_come(make):
    was_read = threading.Event()

    def answer(_request, link):
        first, second = line_of("one"), line_of("two")
        link.sendall(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(first + second[:9]))
        assert was_read.wait(PATIENCE)
        return chunk(second[9:]) + chunk(b"")

    with HttpServer(answer) as server:
        async with make(server.uri, "db", token=TOKEN) as client, client.follow_logs(2) as lines:
            texts = []
            async for line in lines:
                texts.append(line.message)
                was_read.set()
            assert texts == ["one", "two"]
        assert server.targets() == ["GET /v1/database/db/logs?num_lines=2&follow=true"]


async def test_a_log_that_is_cut_or_refused(make):
    def cut(_request, link):
        link.sendall(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(line_of("one")))

    with HttpServer(cut) as server:
        async with make(server.uri, "db", token=TOKEN) as client, client.follow_logs() as lines:
            assert (await anext(lines)).message == "one"
            with pytest.raises(ConnectionLost):
                await anext(lines)
    with HttpServer(lambda *_: recorded("logs-noauth")) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            with pytest.raises(AuthenticationError, match="is not authorized"):
                async with client.follow_logs():
                    pass
            with pytest.raises(AuthenticationError, match="is not authorized"):
                await anext(client.follow_logs())


async def test_a_log_is_followed_no_more(make):
    is_gone = threading.Event()

    def answer(_request, link):
        link.sendall(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        assert link.recv(1) == b""
        is_gone.set()

    with HttpServer(answer) as server:
        async with make(server.uri, "db", token=TOKEN) as client:
            async with client.follow_logs():
                pass
            await patiently(is_gone)


def test_another_thread_ends_a_log():
    def answer(_request, link):
        link.sendall(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(line_of("one")))
        link.recv(1)

    with HttpServer(answer) as server, BlockingHttpClient(server.uri, "db", token=TOKEN) as client:
        lines, seen, ended = client.follow_logs(), threading.Event(), threading.Event()

        def read():
            assert next(lines).message == "one"
            seen.set()
            with pytest.raises(ConnectionLost):
                next(lines)
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert seen.wait(PATIENCE)
        lines.close()
        assert ended.wait(PATIENCE)
        thread.join()
        assert next(lines, None) is None


# --- identities -------------------------------------------------------------------------------------------------------


async def all_of(*functions):
    async with anyio.create_task_group() as group:
        for each in functions:
            group.start_soon(each)


async def test_without_a_token_one_identity_is_made_and_kept(make, tmp_path):
    def answer(request, link):
        return recorded("identity-create") if request.target == "/v1/identity" else mini(request, link)

    file = tmp_path / "token"
    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TokenFile(file)) as client:
            await client.schema()
            assert server.targets("POST") == []
            await all_of(*[lambda: client.sql("SELECT COUNT(*) AS n FROM pk_u_64")] * 5)
            assert server.targets("POST").count("POST /v1/identity") == 1
            issued = file.read_text().strip()
            sent = {request.header("authorization") for request in server.requests if "/sql" in request.target}
            assert sent == {f"Bearer {issued}"}
            await client.schema(refresh=True)
            assert server.requests[-1].header("authorization") == f"Bearer {issued}"
        async with make(server.uri, "t-mini", token=TokenFile(file)) as client:
            await client.logs()
        assert server.targets("POST").count("POST /v1/identity") == 1


async def test_a_function_is_asked_for_another_token_once(make):
    tokens = ["old", "new", "newer"]

    def answer(request, link):
        is_old = request.header("authorization") == "Bearer old"
        return recorded("subscribe-bad-token") if is_old else mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=lambda: tokens.pop(0)) as client:
            assert len(await client.logs()) == 5
            await client.logs()
        assert [request.header("authorization") for request in server.requests] == [
            "Bearer old",
            "Bearer new",
            "Bearer new",
        ]
    with HttpServer(lambda *_: recorded("subscribe-bad-token")) as server:
        async with make(server.uri, "t-mini", token=lambda: "bad") as client:
            with pytest.raises(AuthenticationError, match="<lambda>: the server answered 401: Invalid token"):
                await client.logs()
            assert len(server.requests) == 2
        async with make(server.uri, "t-mini", token="bad") as client:
            with pytest.raises(AuthenticationError):
                await client.logs()
            assert len(server.requests) == 3


async def test_which_token_was_refused(make, tmp_path, monkeypatch):
    def answer(request, link):
        is_new = request.target == "/v1/identity"
        return mini(request, link) if is_new else recorded("subscribe-bad-token")

    async def why(token):
        async with make(server.uri, "t-mini", token=token) as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.logs()
        assert caught.value.status == 401
        assert caught.value.body.startswith("Invalid token")
        origin, _, told = str(caught.value).partition(": the server answered 401: ")
        assert told == caught.value.body
        assert TOKEN not in str(caught.value)
        return origin

    monkeypatch.setenv("CHAT_TOKEN", TOKEN)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with HttpServer(answer) as server:
        assert await why(TOKEN) == "the token that was given"
        assert await why(TokenFile(file)) == f"the token file {str(file)!r}"
        assert await why(TokenEnv("CHAT_TOKEN")) == "the environment variable CHAT_TOKEN"
        assert await why(None) == "the token that the server issued"


async def test_a_source_that_has_no_token(make):
    def fail():
        raise OSError("secret")

    async with make("http://127.0.0.1:1", "db", token=fail) as client:
        with pytest.raises(AuthenticationError, match="raised OSError$"):
            await client.ping()
    with pytest.raises(TypeError, match="^token: expected"):
        make("http://h", "db", token=3)


# --- connections ------------------------------------------------------------------------------------------------------


async def test_no_more_connections_than_allowed(make):
    both = threading.Barrier(2, timeout=PATIENCE)

    def answer(_request, _link):
        both.wait()
        return reply()

    with HttpServer(answer) as server:
        async with make(server.uri, connections=2) as client:
            await all_of(*[client.ping] * 10)
        assert (len(server.requests), server.connections) == (10, 2)


async def test_what_is_asked_on_a_link_that_ends_is_asked_again(make):
    def answer(_request, _link):
        return reply() if len(server.requests) != 2 else None

    with HttpServer(answer) as server:
        async with make(server.uri) as client:
            await client.ping()
            await client.ping()
        assert (len(server.requests), server.connections) == (3, 2)


async def test_a_link_that_ended_while_it_was_idle_is_not_used(make):
    ended = threading.Event()

    def answer(request, link):
        if request.method == "POST":
            return reply()
        link.sendall(reply(200, SDK_TEST))
        hang_up(link)
        ended.set()
        return None

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            await client.schema()
            await patiently(ended)
            assert await client.call("insert_pk_u_64", 1, 2) == CallResult("insert_pk_u_64")
        assert server.connections == 2


async def test_what_may_have_been_done_is_not_done_again(make):
    def answer(request, link):
        return None if request.method == "POST" else mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            with pytest.raises(
                OutcomeUnknown, match="^reducer insert_pk_u_64: it was sent and may have been done: "
            ) as e:
                await client.call("insert_pk_u_64", 1, 2)
            assert e.value.function == "insert_pk_u_64"
            with pytest.raises(OutcomeUnknown, match="^sql: "):
                await client.sql("DELETE FROM pk_u_64")
        assert len(server.targets("POST")) == 2


async def test_a_server_that_ends_every_connection(make):
    with HttpServer(lambda *_: None) as server:
        async with make(server.uri, "db") as client:
            with pytest.raises(ConnectError, match="^names: GET /v1/database/db/names: the server ended"):
                await client.names()
        assert len(server.requests) == 1


async def test_a_server_that_speaks_something_else(make):
    with HttpServer(lambda *_: b"SSH-2.0\r\n\r\n") as server:
        async with make(server.uri, "db", token=TOKEN) as client:
            with pytest.raises(RemoteProtocolError, match="the answer is not HTTP"):
                await client.names()
            with pytest.raises(OutcomeUnknown):
                await client.sql("DELETE FROM x")


async def test_no_server(make):
    with closed_port() as nobody:
        async with make(f"http://127.0.0.1:{nobody.getsockname()[1]}", "t-mini", token=TOKEN) as client:
            with pytest.raises(ConnectError, match="^the schema: cannot connect to 127.0.0.1:"):
                await client.schema()
    with HttpServer(lambda *_: reply(200, SDK_TEST, ("connection", "close"))) as server:
        client = make(server.uri, "t-mini", token=TOKEN)
        await client.schema()
    with pytest.raises(NotSent, match="^reducer insert_pk_u_64: not sent: cannot connect to ") as caught:
        await client.call("insert_pk_u_64", 1, 2)
    assert isinstance(caught.value.__cause__, ConnectError)


async def test_no_answer_in_time(make):
    done = threading.Event()

    def answer(request, link):
        if request.method == "POST":
            done.wait(PATIENCE)
        return mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            await client.schema()
            with pytest.raises(CallTimeout, match="for 0.1 s$"):
                await client.options(timeout=0.1).call("insert_pk_u_64", 1, 2)
            done.set()
            await client.call("insert_pk_u_64", 1, 2)


async def test_a_large_body_that_is_refused(make):
    def answer(request, link):
        link.sendall(reply(413, b"too large", ("connection", "close")))

    with HttpServer(answer) as server:
        async with make(server.uri, "db", token=TOKEN) as client:
            with pytest.raises(Exception, match="answered 413: too large"):
                await client.publish(bytes(1000))


async def test_tls(make):
    ours, theirs = tls_contexts()
    with HttpServer(lambda *_: reply(), tls=ours) as server:
        async with make(f"https://localhost:{server.port}", ssl=theirs) as client:
            await client.ping()
            await client.ping()
        assert len(server.requests) == 2
        async with make(f"https://localhost:{server.port}") as client:
            with pytest.raises(ConnectError, match=f"connect to localhost:{server.port} with TLS: .*certificate"):
                await client.ping()
    async with make("http://127.0.0.1:1", ssl=theirs) as client:
        with pytest.raises(ConnectError, match="an SSL context was given"):
            await client.ping()


# --- proxies ----------------------------------------------------------------------------------------------------------


async def test_a_proxy(make, monkeypatch):
    with HttpServer(lambda *_: reply()) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.example")
        async with make("http://db.example:3000") as client:
            await client.ping()
        async with make("http://db.example", proxy=proxy.uri) as client:
            await client.ping()
        assert proxy.targets() == ["GET http://db.example:3000/v1/ping", "GET http://db.example/v1/ping"]
        assert [request.header("proxy-authorization") for request in proxy.requests] == ["Basic bWU6c2VjcmV0", None]
    with HttpServer(lambda *_: reply()) as server:  # which is on loopback
        async with make(server.uri) as client:
            await client.ping()
        async with make(server.uri, proxy=False) as client:
            await client.ping()
    with pytest.raises(ConnectError, match="^proxy: "):
        make("http://db.example", proxy="socks5://me:secret@h")


async def test_a_tunnel(make):
    ours, theirs = tls_contexts()

    def join(request, link):
        host, port = request.target.split(":")
        far = socket.create_connection((host, int(port)), timeout=PATIENCE)
        link.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=pump, args=(far, link), daemon=True).start()
        threading.Thread(target=pump, args=(link, far), daemon=True).start()
        return b""

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        source.close()

    with HttpServer(lambda *_: reply(), tls=ours) as server, HttpServer(join) as proxy:
        async with make(f"https://localhost:{server.port}", ssl=theirs, proxy=proxy.uri) as client:
            await client.ping()
            await client.ping()
        assert proxy.targets() == [f"CONNECT localhost:{server.port}"]
        assert server.targets() == ["GET /v1/ping"] * 2
    with HttpServer(lambda *_: reply(407)) as proxy:
        async with make("https://db.example", proxy=proxy.uri) as client:
            with pytest.raises(ConnectError, match="the proxy answered 407 when asked for a tunnel to db.example:443"):
                await client.ping()


# --- many calls -------------------------------------------------------------------------------------------------------


def numbered(fails=(), close=()):
    """A server whose reducer fails for some numbers, and ends the connection for others."""

    def answer(request, link):
        if request.method != "POST":
            return mini(request, link)
        (number, _) = json.loads(request.body)
        return None if number in close else reply(530, b"no") if number in fails else reply()

    return answer


async def test_many_calls(make):
    told = []
    with HttpServer(numbered(fails={3, 5}, close={7})) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            calls = [[number, 0] for number in range(8)] + [{"data": 0, "n": 8}, ["x", 0], [1]]
            report = await client.call_many("insert_pk_u_64", calls, concurrency=3, on_progress=told.append)
        assert (report.succeeded, report.is_complete, report.stopped_by) == (6, False, None)
        assert [(each.index, type(each.error)) for each in report.failures] == [
            (3, ReducerError),
            (5, ReducerError),
            (7, OutcomeUnknown),
            (9, EncodeError),
            (10, TypeError),
        ]
        assert [each.arguments for each in report.unknown] == [[7, 0]]
        assert [each.done for each in told] == list(range(1, 12))
        assert told[-1] == Progress(11, 5, 11)
        with pytest.raises(ReducerError):
            report.check()
        assert len(server.targets("POST")) == 9
        assert server.targets("GET") == ["GET /v1/database/t-mini/schema?version=10"]


async def test_so_many_at_once(make):
    all_three = threading.Barrier(3, timeout=PATIENCE)

    def answer(request, link):
        if request.method == "POST":
            all_three.wait()
        return mini(request, link)

    with HttpServer(answer) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            calls = ([number, 0] for number in range(9))
            report = await client.call_many("insert_pk_u_64", calls, concurrency=3)
            assert report.is_complete
            report.check()
        async with make(server.uri, "t-mini", token=TOKEN, connections=3) as client:
            assert (await client.call_many("insert_pk_u_64", [[1, 0]] * 6, concurrency=100)).is_complete
        assert server.connections == 6


async def test_one_after_the_other_until_one_fails(make):
    with HttpServer(numbered(fails={2})) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            calls = [[number, 0] for number in range(5)]
            report = await client.call_many("insert_pk_u_64", calls, concurrency=1, stop_on_error=True)
            assert (report.succeeded, [each.index for each in report.failures]) == (2, [2])
            with pytest.raises(ReducerError):
                report.check()
        bodies = [request.body for request in server.requests if request.method == "POST"]
        assert bodies == [b"[0,0]", b"[1,0]", b"[2,0]"]


async def test_what_would_fail_all_ends_it(make):
    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            report = await client.call_many("nope", [[]] * 1000, concurrency=1)
            assert isinstance(report.stopped_by, LocalProtocolError)
            assert (report.succeeded, len(report.failures)) == (0, 1)


async def test_faults_of_the_callers_come_out_as_they_are(make):
    def fault(_progress):
        raise ZeroDivisionError

    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            with pytest.raises(ZeroDivisionError):
                await client.call_many("insert_pk_u_64", [[1, 0]] * 3, on_progress=fault)
            with pytest.raises(ZeroDivisionError):
                await client.call_many("insert_pk_u_64", ([1 // 0, 0] for _ in range(2)))


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_closed_client_asks_nothing_more(make):
    async def follow():
        async with client.follow_logs():
            pass

    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini", token=TOKEN) as client:
            patient = client.options(timeout=PATIENCE)
            await client.sql("SELECT * FROM pk_u_64")
        asked = list(server.requests)
        statement, call = partial(client.sql, "SELECT 1"), partial(client.call, "insert_pk_u_64", 7, 8)
        for request in (client.ping, patient.ping, statement, call, partial(client.schema, refresh=True), follow):
            with pytest.raises(LocalProtocolError, match="^the client was closed: make another one to ask more$"):
                await request()
        report = await client.call_many("insert_pk_u_64", [[1, 2], [3, 4]], concurrency=1)
        assert isinstance(report.stopped_by, LocalProtocolError)
        assert (server.requests, server.connections) == (asked, 1)


async def test_a_closed_client_makes_no_identity(make):
    with HttpServer(mini) as server:
        async with make(server.uri, "t-mini") as client:
            pass
        with pytest.raises(LocalProtocolError, match="^the client was closed"):
            await client.logs()
        assert server.requests == []


async def test_what_is_under_way_at_the_end_is_answered(make):
    asked, closed, ended = threading.Event(), threading.Event(), threading.Event()

    def answer(_request, link):
        asked.set()
        closed.wait(PATIENCE)
        link.sendall(reply())
        assert link.recv(1) == b"", "a connection that nobody asks on any more is not kept"
        ended.set()

    async def close():
        await patiently(asked)
        async with client:
            pass
        closed.set()

    with HttpServer(answer) as server:
        client = make(server.uri)
        await all_of(client.ping, close)
        await patiently(ended)


# --- cancellation, and the rest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["asyncio", "trio"])
async def test_cancelling_leaves_a_usable_client(host):
    asked, done = threading.Event(), threading.Event()

    def answer(_request, _link):
        if len(server.requests) == 1:
            asked.set()
            done.wait(PATIENCE)
        return reply()

    with HttpServer(answer) as server:
        async with HttpClient(server.uri, connections=1) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.ping)
                await patiently(asked)
                group.cancel_scope.cancel()
            await client.ping()
            done.set()
        assert server.connections == 2


@pytest.mark.parametrize("host", ["asyncio"])
async def test_tokens_may_be_awaited(host):
    async def ask():
        await anyio.lowlevel.checkpoint()
        return TOKEN

    with HttpServer(mini) as server:
        async with HttpClient(server.uri, "t-mini", token=ask) as client:
            await client.logs()
        with BlockingHttpClient(server.uri, "t-mini", token=ask) as client, pytest.raises(LocalProtocolError):
            client.logs()
        assert server.requests[0].header("authorization") == f"Bearer {TOKEN}"


async def test_it_shows_no_token(make):
    client = make("https://me.example/base", "db", token=TOKEN)
    shown = repr(client.client if isinstance(client, Threaded) else client)
    assert shown.endswith("HttpClient of db at wss://me.example/base>")
    with pytest.raises(LocalProtocolError, match="^connections: expected at least 1, got 0$"):
        make("http://h", connections=0)


def public(cls):
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def test_both_clients_are_alike():
    ours, theirs = public(HttpClient), public(BlockingHttpClient)
    ours["close"] = ours.pop("aclose")
    assert ours.keys() == theirs.keys()
    for name, method in ours.items():
        if name == "follow_logs":
            continue
        assert inspect.signature(method) == inspect.signature(theirs[name]), name
        assert method.__doc__.replace("await ", "") == theirs[name].__doc__, name
        assert inspect.iscoroutinefunction(method) == (name != "options"), name
    assert inspect.signature(HttpClient) == inspect.signature(BlockingHttpClient)
    assert HttpClient.__init__.__doc__ == BlockingHttpClient.__init__.__doc__
