"""Each recorded exchange: we ask what was asked there, and understand what was answered."""

import pytest

from spacetimedb_proto.bsatn.types import Primitive
from spacetimedb_proto.bsatn.values import Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import (
    AuthenticationError,
    DatabaseNotFound,
    QueryError,
    ReducerError,
    RequestError,
)
from spacetimedb_proto.http import HttpResponse, HttpServerExchange
from spacetimedb_proto.http_api import (
    Api,
    CallResult,
    DatabaseInfo,
    LogReader,
    Published,
    ResultColumn,
    TraceFrame,
    table_of,
)
from spacetimedb_proto.http_connection import HttpConnection
from spacetimedb_proto.uri import Endpoint
from tests.schemas import schema
from tests.transcripts import load

ENDPOINT = Endpoint.parse("http://127.0.0.1:3001")
OWNER = Identity.from_hex("c2005fe74a4af4dd1d52d6db8dd243ad66aad668b936466df3f6e44910c7f9c4")
DATABASE = Identity.from_hex("c20041ce4bba5268b1a45bc3d7173a183390170424ccfaab622fad7efbe5c813")
OURS = ("user-agent", "accept", "content-length", "content-type")
"""Headers in which clients differ without any consequence; the content type is one for calls, and looked at there."""

HTTP, MINI = Api(ENDPOINT, "t-http"), Api(ENDPOINT, "t-mini")


def call(name, *args, module="sdk-test", database="t-mini"):
    definition = schema(module)
    function = definition.resolve_reducer(name) or definition.resolve_procedure(name)
    return Api(ENDPOINT, database).call(definition, function, args)


def headers_of(request):
    return {name.lower(): value for name, value in request["headers"] if name.lower() not in OURS}


def exchanged(case, operation):
    """Send an operation's request over a connection, compare it with the recorded one, and read the recorded answer."""
    recorded = load(f"http/{case}.1")
    token = headers_of(recorded.request).get("authorization", "").removeprefix("Bearer ") or None
    request = operation.with_token(token)
    assert (request.method, request.target) == (recorded.request["method"], recorded.request["target"])
    assert headers_of({"headers": request.headers}) == headers_of(recorded.request)
    if not recorded.request["body"].startswith("<"):  # programs were not recorded
        assert request.body.decode() == recorded.request["body"]
    return answered(recorded, request, operation, token)


def answered(recorded, request, operation, token):
    connection, server = HttpConnection(), HttpServerExchange()
    connection.send(request, size=1 << 20)
    server.receive_data(connection.data_to_send())
    assert server.next_event().target == request.target
    head = "".join(f"{name}: {value}\r\n" for name, value in recorded.response["headers"])
    data = f"HTTP/1.1 {recorded.response['status']} \r\n{head}\r\n{recorded.response['body']}".encode()
    connection.receive_data(data)
    response, body = connection.next_head(), b""
    while piece := connection.next_piece():
        body += piece
    assert connection.is_idle
    return operation.read(HttpResponse(response.status, response.headers, body), token)


def refused(kind, case, operation):
    with pytest.raises(kind) as caught:
        exchanged(case, operation)
    assert type(caught.value) is kind
    assert "eyJ" not in str(caught.value)
    return caught.value


# --- the server and identities ----------------------------------------------------------------------------------------


def test_ping():
    assert exchanged("ping", HTTP.ping()) is None


def test_a_new_identity():
    new = exchanged("identity-create", HTTP.create_identity())
    assert new.identity == Identity.from_hex("c20065b5318891d07f3b610f102e1f8d82c56bbb8a901328be6e04ceed9dc0f5")
    assert new.token.startswith("eyJ")
    assert new.token not in repr(new)


def test_verification():
    assert exchanged("identity-verify", HTTP.verify_identity(OWNER)) is True
    assert HTTP.verify_identity(OWNER).read(HttpResponse(400)) is False
    with pytest.raises(AuthenticationError):
        HTTP.verify_identity(OWNER).read(HttpResponse(401, (), b"Authorization required"))


def test_databases():
    found = exchanged("identity-databases", HTTP.databases_of(OWNER))
    assert len(found) == 99
    assert found[0] == Identity.from_hex("c200a748bb2e716cd4721a8d1282338bd727d518e65236535cbcf24445778717")


def test_a_websocket_token():
    assert exchanged("websocket-token", HTTP.websocket_token()).startswith("eyJ")


def test_the_public_key():
    assert exchanged("public-key", HTTP.public_key()).startswith("-----BEGIN PUBLIC KEY-----\n")


# --- the database -----------------------------------------------------------------------------------------------------


def test_what_a_database_is():
    assert exchanged("database-info", HTTP.info()) == DatabaseInfo(
        identity=DATABASE,
        owner=OWNER,
        host_type="Wasm",
        program_hash="66efbe958ba1194fb38396ffd21e6358bb920b6f1d603e7ce63838464d306668",
    )
    assert exchanged("database-identity", HTTP.database_identity()) == DATABASE
    assert exchanged("database-names", HTTP.names()) == ("t-http",)


def test_no_such_database():
    error = refused(DatabaseNotFound, "database-missing", Api(ENDPOINT, "nope").info())
    assert (error.status, str(error)) == (404, "the server answered 404: `nope` not found")


@pytest.mark.parametrize("version", [9, 10])
def test_the_schema(version):
    assert exchanged(f"schema-v{version}", HTTP.schema(version)) == schema("sdk-test-event-table", version)


def test_an_unknown_layout():
    assert exchanged("schema-v8", HTTP.schema(8)) is None


def test_publishing():
    assert exchanged("publish", HTTP.publish(b"program")) == Published("t-http", DATABASE, is_new=True)
    assert exchanged("publish-again", HTTP.publish(b"program")) == Published("t-http", DATABASE, is_new=False)
    error = refused(RequestError, "publish-bad", Api(ENDPOINT, "t-http-bad").publish(b"not wasm"))
    assert error.status == 500
    assert str(error).startswith("the server answered 500: failed to parse WebAssembly module: magic header not")
    error = refused(AuthenticationError, "publish-noauth", HTTP.publish(b"program"))
    assert (error.status, "is not authorized to perform action" in str(error)) == (403, True)


def test_deleting():
    assert exchanged("delete", HTTP.delete()) is None


# --- logs -------------------------------------------------------------------------------------------------------------


def test_logs():
    lines = exchanged("logs", MINI.logs(5))
    assert [line.level for line in lines] == ["Panic", "Panic", "Error", "Error", "Error"]
    panic = lines[0]
    assert panic.time == Timestamp(1795472920074199)
    assert panic.message == "insertion error on table `pk_u64`:duplicate unique column"
    assert (panic.filename, panic.line_number) == ("crates/bindings/src/table.rs", 65)
    assert panic.function == "insert_pk_u_64"
    assert panic.trace[1] == TraceFrame(None, "std[d32b95a48b52415c]::panicking::panic_with_hook")


def test_logs_that_are_followed():
    recorded = load("http/logs-follow.1")
    operation = MINI.logs(2, follow=True)
    assert operation.request.target == recorded.request["target"]
    connection, reader = HttpConnection(), LogReader()
    connection.send(operation.request, size=1 << 20)
    head = "".join(f"{name}: {value}\r\n" for name, value in recorded.response["headers"])
    connection.receive_data(f"HTTP/1.1 200 \r\n{head}\r\n{recorded.response['body']}".encode())
    assert connection.next_head().status == 200
    lines = reader.receive_data(connection.next_piece())
    assert [(line.level, line.target, line.function) for line in lines] == [("Error", "__spacetimedb__", "nope")] * 2
    assert not isinstance(connection.next_piece(), bytes)


def test_logs_are_the_owners():
    assert refused(AuthenticationError, "logs-noauth", MINI.logs(5)).status == 403


# --- SQL --------------------------------------------------------------------------------------------------------------


def test_rows():
    query = "SELECT * FROM pk_u_64"
    answer = exchanged("sql", MINI.sql(query))
    definition = schema("sdk-test")
    assert table_of(query) == "pk_u_64"
    assert answer.fits(definition, "pk_u_64")
    assert not answer.fits(definition, "pk_u_32")
    assert not answer.fits(definition, "nobody")
    result = answer.result(definition, "pk_u_64")
    row = definition.row_codec("pk_u_64").python_type
    expected = [(0, 0), (1, 1), (2, 2), (3, 50), (5, 5), (6, 6), (7, 7), (500, 5)]
    assert result.rows == [row(n=n, data=data) for n, data in expected]
    assert result.table == "pk_u_64"
    assert result.columns == (ResultColumn("n", Primitive.U64), ResultColumn("data", Primitive.I32))
    assert result.duration == TimeDuration(273)
    assert [(each.n, each.data) for each in answer.result()] == expected


def test_one_value():
    result = exchanged("sql-count", MINI.sql("SELECT COUNT(*) AS n FROM pk_u_64")).result()
    assert result.value == 8
    assert result[0].n == 8


def test_changes_are_counted():
    result = exchanged("sql-insert", MINI.sql("INSERT INTO pk_u_64 (n, data) VALUES (1000, 1)")).result()
    assert (result.inserted, result.deleted, result.updated, len(result)) == (1, 0, 0, 0)
    with pytest.raises(ValueError, match="^expected one row of one column, got 0 rows of 0 columns$"):
        _ = result.value


def test_refused_statements():
    error = refused(QueryError, "sql-error", MINI.sql("SELEC"))
    assert str(error) == "sql parser error: Expected an SQL statement, found: SELEC at Line: 1, Column 1"
    error = refused(QueryError, "sql-multi", MINI.sql("SELECT * FROM pk_u_64; SELECT * FROM one_string"))
    assert str(error) == "Multiple SQL statements are not supported"


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["call-ok", "call-fails"])
def test_a_reducer_that_fails(case):
    error = refused(ReducerError, case, call("insert_pk_u_64", 7, 8))
    assert (str(error), error.function) == ("The instance encountered a fatal error.", "insert_pk_u_64")


def test_a_reducer_that_has_run():
    headers = (("spacetime-energy-used", "3792"), ("spacetime-execution-duration-micros", "737"))
    result = call("insert_pk_u_64", 7, 8).read(HttpResponse(200, headers))
    assert result == CallResult("insert_pk_u_64", 3792, TimeDuration(737))
    assert call("insert_pk_u_64", 7, 8).read(HttpResponse(200)) == CallResult("insert_pk_u_64")


def test_arguments_that_do_not_fit():
    recorded = load("http/call-badargs.1")
    operation = call("insert_pk_u_64", 7, 8)
    with pytest.raises(ReducerError, match="^invalid arguments for reducer insert_pk_u_64: "):
        answered(recorded, operation.request, operation, None)


def test_a_function_that_is_not_there():
    recorded = load("http/call-noargs.1")
    operation = call("insert_pk_u_64", 7, 8)
    with pytest.raises(ReducerError, match="^No such procedure$"):
        answered(recorded, operation.request, operation, None)


def test_a_procedure():
    operation = call("return_primitive", 1, 2, module="sdk-test-procedure", database="procedure")
    assert dict(operation.request.headers)["content-type"] == "application/json"
    assert exchanged("procedure-call", operation) == 3
