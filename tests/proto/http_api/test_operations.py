"""What is asked, what answers mean that were not recorded, and lines of logs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.types import Array, Primitive, option
from spacetimedb_proto.bsatn.values import Identity, Timestamp
from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionRefused,
    DatabaseNotFound,
    EncodeError,
    LocalProtocolError,
    OutcomeUnknown,
    ProcedureError,
    QueryError,
    ReducerError,
    RemoteProtocolError,
    RequestError,
)
from spacetimedb_proto.http import HttpResponse
from spacetimedb_proto.http_api import Api, LogLine, LogReader, PublishPlan, TraceFrame
from spacetimedb_proto.schema import Schema
from spacetimedb_proto.schema.definitions import Function, Param
from spacetimedb_proto.schema.model import by_name
from spacetimedb_proto.uri import Endpoint

API = Api(Endpoint.parse("https://example.com/base"), "my db")
SECRET = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.sig"


def function(name, returns=None, **params):
    return Function(
        name=name,
        source_name=name,
        params=tuple(Param(name=each, type=type_) for each, type_ in params.items()),
        return_type=returns,
    )


SAY = function("say", text=Primitive.STRING, to=option(Primitive.U64))
ADD = function("add", Array(Primitive.U64), a=Primitive.U64)
MODULE = Schema(reducers=by_name([SAY]), procedures=by_name([ADD]))


def answer(status, text="", headers=()):
    return HttpResponse(status, headers, text.encode())


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "method", "target"),
    [
        (API.ping(), "GET", "/base/v1/ping"),
        (API.info(), "GET", "/base/v1/database/my%20db"),
        (API.logs(), "GET", "/base/v1/database/my%20db/logs"),
        (API.sql("x", confirmed=True), "POST", "/base/v1/database/my%20db/sql?confirmed=true"),
        (API.sql("x", confirmed=False), "POST", "/base/v1/database/my%20db/sql?confirmed=false"),
        (
            API.publish(b"x", clear=True, host_type="Js", options={"num_replicas": "1"}),
            "PUT",
            "/base/v1/database/my%20db?num_replicas=1&clear=true&host_type=Js",
        ),
    ],
)
def test_targets(operation, method, target):
    assert (operation.request.method, operation.request.target) == (method, target)
    assert operation.is_repeatable == (method == "GET")
    assert ("host", "example.com") in operation.request.headers


def test_arguments_are_json_in_order():
    request = API.call(MODULE, SAY, {"to": None, "text": "ä"}).request
    assert request.body == '["ä",[1,[]]]'.encode()
    assert ("content-type", "application/json") in request.headers
    with pytest.raises(EncodeError):
        API.call(MODULE, SAY, [1, None])
    with pytest.raises(TypeError):
        API.call(MODULE, SAY, [])


@given(st.text(), st.none() | st.integers(0, 2**64 - 1))
def test_arguments_arrive(text, to):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    request = API.call(MODULE, SAY, [text, to]).request
    assert MODULE.params_codec(SAY).from_json(json.loads(request.body)) == (text, to)


def test_tokens_are_sent_and_not_shown():
    operation = API.ping()
    assert operation.with_token(None) == operation.request
    request = operation.with_token(SECRET)
    assert request.headers[-1] == ("authorization", f"Bearer {SECRET}")
    assert SECRET not in repr(request)
    with pytest.raises(AuthenticationError):
        operation.with_token("a b")


def test_a_client_of_no_database():
    nowhere = Api(API.endpoint)
    assert nowhere.ping().request.target == "/base/v1/ping"
    with pytest.raises(LocalProtocolError, match="^expected a client of a database, got one that was made without$"):
        nowhere.info()


def test_text_that_cannot_be_sent():
    with pytest.raises(LocalProtocolError, match="lone surrogates"):
        API.sql("'\ud800'")


# --- what answers mean ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (530, "no", ReducerError),
        (400, "bad", ReducerError),
        (402, "no energy", ReducerError),
        (413, "", ReducerError),
        (404, "No such procedure", ReducerError),
        (404, "`my db` not found", DatabaseNotFound),
        (404, "No such database.", DatabaseNotFound),
        (401, "Invalid token", AuthenticationError),
        (403, "client_connected said no", ConnectionRefused),
        (403, "c2 is not authorized to perform action", AuthenticationError),
        (500, "", OutcomeUnknown),
        (502, "", OutcomeUnknown),
        (504, "<html>", OutcomeUnknown),
        (503, "", RequestError),
        (302, "", ConnectError),
    ],
)
def test_answers_to_reducers(status, text, kind):
    with pytest.raises(kind) as caught:
        API.call(MODULE, SAY, ["", None]).read(answer(status, text))
    assert type(caught.value) is kind
    if kind in (ReducerError, OutcomeUnknown):
        assert caught.value.function == "say"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (500, "it failed", ProcedureError),
        (530, "no", ProcedureError),
        (400, "bad", ProcedureError),
        (404, "No such procedure", ProcedureError),
        (502, "", OutcomeUnknown),
        (401, "", AuthenticationError),
    ],
)
def test_answers_to_procedures(status, text, kind):
    with pytest.raises(kind) as caught:
        API.call(MODULE, ADD, [1]).read(answer(status, text))
    assert type(caught.value) is kind


def test_what_a_procedure_returns():
    operation = API.call(MODULE, ADD, [1])
    assert operation.read(answer(200, "[1,18446744073709551615]")) == [1, 2**64 - 1]
    for text in ("", "[1.5]", "{}", "1" * 5000):
        with pytest.raises(RemoteProtocolError, match="^add: what it returned cannot be understood: "):
            operation.read(answer(200, text))


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "no such table: `x`", QueryError),
        (403, "client_connected said no", ConnectionRefused),
        (404, "`my db` not found", DatabaseNotFound),
        (413, "too long", RequestError),
        (500, "", RequestError),
    ],
)
def test_answers_to_sql(status, text, kind):
    with pytest.raises(kind) as caught:
        API.sql("x").read(answer(status, text))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "operation",
    [
        API.ping(),
        API.create_identity(),
        API.verify_identity(Identity.from_int(1)),
        API.databases_of(Identity.from_int(1)),
        API.websocket_token(),
        API.public_key(),
    ],
)
def test_what_concerns_no_database_misses_none(operation):
    with pytest.raises(RequestError, match="^the server answered 404: nothing here; is this a SpacetimeDB server\\?$"):
        operation.read(answer(404, "nothing here"))
    with pytest.raises(AuthenticationError):
        operation.read(answer(401, "no"))


def test_errors_hold_status_and_text_and_no_token():
    with pytest.raises(RequestError, match="^the server answered 500: oh <token>$") as caught:
        API.names().read(answer(500, f"oh {SECRET}"), SECRET)
    assert (caught.value.status, caught.value.body) == (500, "oh <token>")
    with pytest.raises(RequestError, match="oh <token>"):
        API.names().read(answer(500, "oh secret"), "secret")


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (API.create_identity(), "{}"),
        (API.create_identity(), '{"identity":"c2","token":""}'),
        (API.info(), '{"database_identity":1,"owner_identity":{},"host_type":{"Wasm":[]},"initial_program":"0x"}'),
        (API.names(), '{"names":[1]}'),
        (API.names(), "nonsense"),
        (API.database_identity(), "c2"),
        (API.publish(b""), '{"PermissionDenied":{"name":"x"}}'),
        (API.websocket_token(), "[]"),
        (API.logs(), "{}"),
        (API.logs(), '{"level":"Info","ts":-1,"message":""}'),
    ],
)
def test_answers_that_cannot_be_understood(operation, text):
    with pytest.raises(RemoteProtocolError):
        operation.read(answer(200, text))


def test_a_schema_that_cannot_be_understood():
    with pytest.raises(ConnectError, match="^the server's schema cannot be understood: "):
        API.schema(10).read(answer(200, "{}"))


def test_identities_may_come_in_any_form():
    for form in ('{"__identity__":"0x2a"}', '["0x2a"]'):
        text = f'{{"database_identity":{form},"owner_identity":{form},"host_type":[1,[]],"initial_program":"0xff"}}'
        info = API.info().read(answer(200, text))
        assert (info.identity, info.host_type, info.program_hash) == (Identity.from_int(42), "Js", "ff")


# --- logs -------------------------------------------------------------------------------------------------------------

LINES = [
    b'{"level":"Info","ts":5,"target":"chat","filename":"src/lib.rs","line_number":3,"function":"say","message":"hi"}\n',
    b'{"level":"Panic","ts":6,"message":"\xc3\xa4","trace":[{"module_name":"m","func_name":"f"},{}],"new":1}\n',
    b'{"level":"Warn","ts":7,"message":"last","target":null}',
]
READ = [
    LogLine("Info", Timestamp(5), "hi", "chat", "src/lib.rs", 3, "say"),
    LogLine("Panic", Timestamp(6), "ä", trace=(TraceFrame("m", "f"), TraceFrame(None, None))),
    LogLine("Warn", Timestamp(7), "last"),
]


def test_lines():
    assert API.logs().read(HttpResponse(200, (), b"".join(LINES))) == READ
    assert API.logs().read(HttpResponse(200)) == []


@given(st.lists(st.integers(1, 120)))
def test_lines_come_in_any_pieces(sizes):
    reader, data, lines = LogReader(), b"".join(LINES), []
    for size in [*sizes, len(data)]:
        lines += reader.receive_data(data[:size]) if data[:size] else []
        data = data[size:]
    assert lines == READ[:2]
    assert reader.receive_data(b"") == READ[2:]


def test_a_line_without_end(monkeypatch):
    monkeypatch.setattr("spacetimedb_proto.http_api.logs.LINE_SIZE", 10)
    with pytest.raises(RemoteProtocolError, match="^logs: expected lines of at most 10 bytes, got a longer one$"):
        LogReader().receive_data(b"x" * 11)


# --- plans and names --------------------------------------------------------------------------------------------------


def test_a_plan_that_is_not_possible():
    text = '{"ManualMigrate":{"reason":"column removed"}}'
    plan = API.plan_publish(b"x").read(answer(200, text))
    assert plan == PublishPlan(is_possible=False, text="column removed")


@pytest.mark.parametrize("text", ["{}", '{"Other":{}}', '{"AutoMigrate":{}}', '{"AutoMigrate":{"token":1}}', "[]", "1"])
def test_plans_that_cannot_be_understood(text):
    with pytest.raises(RemoteProtocolError, match="^the plan: the answer cannot be understood: "):
        API.plan_publish(b"x").read(answer(200, text))


def test_names_that_are_refused():
    with pytest.raises(RequestError) as caught:
        API.set_names(["a"]).read(answer(400, "in use"))
    assert caught.value.status == 400
    with pytest.raises(AuthenticationError):
        API.set_names(["a"]).read(answer(401, '{"PermissionDenied":{"domain":"a"}}'))
    for operation in (API.set_names(["a"]), API.add_name("a")):
        with pytest.raises(RemoteProtocolError, match="expected a success, got PermissionDenied"):
            operation.read(answer(200, '{"PermissionDenied":{"domain":"a"}}'))
