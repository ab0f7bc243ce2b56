"""HTTP exchanges from both sides, and what refusals mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    DatabaseNotFound,
    LocalProtocolError,
    RemoteProtocolError,
    UnsupportedProtocol,
)
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.http import HttpExchange, HttpRequest, HttpResponse, HttpServerExchange, refusal
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.uri import Endpoint
from tests.transcripts import all_transcripts, load

ENDPOINT = Endpoint.parse("http://127.0.0.1:3001")
OK = b"HTTP/1.1 200 OK\r\n"
RECORDED = [each.name for each in all_transcripts("http") if "logs-follow" not in each.name]


def get(target="/v1/ping", **options):
    exchange = HttpExchange("GET", ENDPOINT, target, **options)
    exchange.data_to_send()
    return exchange


def answered(exchange, *pieces):
    for piece in pieces:
        exchange.receive_data(piece)
    return exchange.next_event()


def on_the_wire(response):
    """A recorded answer as the server sent it; the recorder kept chunked bodies as they were."""
    head = "".join(f"{name}: {value}\r\n" for name, value in response["headers"])
    return f"HTTP/1.1 {response['status']} \r\n{head}\r\n{response['body']}".encode()


# --- asking -----------------------------------------------------------------------------------------------------------


def test_request_without_body():
    exchange = HttpExchange("GET", ENDPOINT, "/v1/ping", [("authorization", "Bearer abc")])
    assert exchange.data_to_send() == (
        b"GET /v1/ping HTTP/1.1\r\nhost: 127.0.0.1:3001\r\nauthorization: Bearer abc\r\nconnection: close\r\n\r\n"
    )
    assert exchange.data_to_send() == b""
    assert exchange.next_event() is NEED_DATA


def test_request_with_body():
    exchange = HttpExchange("POST", ENDPOINT, "/v1/x", body=b"[1]")
    assert exchange.data_to_send().endswith(b"connection: close\r\ncontent-length: 3\r\n\r\n[1]")


def test_post_without_body_says_so():
    assert b"content-length: 0\r\n" in HttpExchange("POST", ENDPOINT, "/v1/identity").data_to_send()


@pytest.mark.parametrize("options", [{"headers": [("x", "a\nb: eyJsecret.x")]}, {"headers": [("x", "€")]}])
def test_what_cannot_be_sent_is_refused_without_repeating_it(options):
    with pytest.raises(LocalProtocolError) as caught:
        HttpExchange("GET", ENDPOINT, "/v1/x?token=s", **options)
    assert str(caught.value) == "'GET /v1/x': the target or a header cannot be sent over HTTP"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers_are_read_whole_and_byte_by_byte(name):
    recorded = load(name).response
    data = on_the_wire(recorded)
    whole = answered(get(), data)
    assert whole.status == recorded["status"]
    assert whole.header("content-type") == dict(recorded["headers"]).get("content-type")
    if whole.header("transfer-encoding") is None:
        assert whole.body == recorded["body"].encode()
    else:
        assert whole.body.decode() in recorded["body"]
    assert answered(get(), *(data[at : at + 1] for at in range(len(data)))) == whole


def test_body_until_the_end_of_the_connection():
    exchange = get()
    assert answered(exchange, OK + b"\r\nab", b"c") is NEED_DATA
    assert exchange.partial == HttpResponse(200, (), b"abc")
    assert answered(exchange, b"") == HttpResponse(200, (), b"abc")
    assert answered(exchange, b"") == HttpResponse(200, (), b"abc")


def test_interim_answers_are_skipped():
    assert answered(get(), b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"content-length: 0\r\n\r\n").status == 200


def test_repeated_headers_are_joined():
    response = answered(get(), OK + b"A: 1\r\na: 2\r\ncontent-length: 0\r\n\r\n")
    assert (response.header("a"), response.header("b")) == ("1, 2", None)


def test_head_and_bytes_of_an_answer_are_not_shown():
    response = answered(get(), OK + b"spacetime-identity-token: secret\r\ncontent-length: 6\r\n\r\nsecret")
    assert repr(response) == "HttpResponse(status=200)"
    assert repr(HttpRequest("GET", "/", (("authorization", "secret"),))) == "HttpRequest(method='GET', target='/')"


@pytest.mark.parametrize("received", [b"", b"HTTP/1.1 200", OK, OK + b"content-length: 5\r\n\r\n1234"])
def test_early_end(received):
    exchange = get("/v1/x?token=secret")
    pieces = [received, b""] if received else [b""]
    with pytest.raises(ConnectError, match=r"^GET /v1/x: the server ended the connection before its answer was whole$"):
        answered(exchange, *pieces)
    exchange.receive_data(b"more")
    with pytest.raises(ConnectError):
        exchange.next_event()


@pytest.mark.parametrize(
    "received",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16" * 9,
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        OK + b"content-length: x\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_malformed_answers(received):
    with pytest.raises(RemoteProtocolError, match=r"^GET /v1/ping: the answer is not HTTP: "):
        answered(get(), received)


def test_complaints_hold_no_token():
    with pytest.raises(RemoteProtocolError) as caught:
        answered(get(), b"HTTP/1.1 200 OK\r\nspacetime-identity-token eyJhbGci.eyJpc3M.c2ln\r\n\r\n")
    assert "eyJ" not in str(caught.value)


def test_body_limit():
    limits = Limits(message_size=10)
    assert answered(get(limits=limits), OK + b"content-length: 10\r\n\r\n0123456789").body == b"0123456789"
    for head in (b"content-length: 11\r\n\r\n", b"\r\n"):
        exchange = get(limits=limits)
        with pytest.raises(RemoteProtocolError, match="its body is larger than 10 bytes"):
            answered(exchange, OK + head + b"0123456789a")
        assert exchange.partial is not None
        assert exchange.partial.body == b"0123456789"


@given(st.lists(st.binary(max_size=60) | st.sampled_from([OK, b"\r\n\r\n", b"content-length: 3\r\n", b""]), max_size=8))
def test_any_bytes_are_an_answer_or_a_documented_error(pieces):
    exchange = get()
    try:
        response = answered(exchange, *pieces, b"")
    except (ConnectError, RemoteProtocolError):
        return
    assert isinstance(response, HttpResponse)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"Invalid token: InvalidToken", AuthenticationError),
        (403, b"not permitted", AuthenticationError),
        (400, b"Authorization is invalid: malformed token", AuthenticationError),
        (404, b"`nope` not found", DatabaseNotFound),
        (400, b"no valid protocol selected", UnsupportedProtocol),
        (400, b"Failed to deserialize query string", ConnectError),
        (405, b"", ConnectError),
        (426, b"This service requires use of the websocket protocol", ConnectError),
        (500, b"internal error", ConnectError),
        (200, b"<html>", ConnectError),
    ],
)
def test_refusals(status, body, kind):
    error = refusal(status, body)
    assert type(error) is kind
    assert (error.status, error.body) == (status, body.decode())
    tail = f": {body.decode()}" if body else ", without a reason"
    assert str(error) == f"the server answered {status}{tail}"


def test_redirects_say_what_to_do():
    assert str(refusal(301, "<a>moved</a>")) == (
        "the server answered 301: it redirects to another address, which is not followed; "
        "give that one, perhaps with https. <a>moved</a>"
    )


def test_refusals_are_short_printable_and_hold_no_token():
    token = "eyJ0eXAi.eyJoZXgi.c2lnbmF0dXJl"
    error = refusal(500, f"got {token}\x1b[31m and opaque-token:\n\n" + "x" * 100_000, token="opaque-token")
    assert str(error).startswith("the server answered 500: got <token> [31m and <token>: xxx")
    assert len(error.body) == 501
    assert refusal(500, b"\xff\xfe").body == "��"


# --- answering --------------------------------------------------------------------------------------------------------


def test_server_reads_a_request_and_answers():
    client, server = HttpExchange("POST", ENDPOINT, "/v1/x?a=b", [("X-Y", "é")], b"[1]"), HttpServerExchange()
    assert server.next_event() is NEED_DATA
    for byte in client.data_to_send():
        server.receive_data(bytes([byte]))
    request = server.next_event()
    assert request == HttpRequest("POST", "/v1/x?a=b", request.headers, b"[1]")
    assert request.header("x-y") == "é"
    server.respond(530, [("content-type", "text/plain")], b"no")
    client.receive_data(server.data_to_send())
    response = client.next_event()
    assert (response.status, response.body, response.header("connection")) == (530, b"no", "close")


def test_server_answers_what_is_no_request():
    server = HttpServerExchange()
    server.receive_data(b"hello\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match=r"^the request is not HTTP: "):
        server.next_event()
    assert server.data_to_send().startswith(b"HTTP/1.1 400 ")


def test_server_limits_bodies():
    server = HttpServerExchange(Limits(message_size=2))
    server.receive_data(HttpExchange("POST", ENDPOINT, "/", body=b"abc").data_to_send())
    with pytest.raises(RemoteProtocolError, match="its body is larger than 2 bytes"):
        server.next_event()
    assert server.data_to_send().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("received", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na"])
def test_server_sees_early_ends(received):
    server = HttpServerExchange()
    server.receive_data(received)
    server.receive_data(b"")
    with pytest.raises(RemoteProtocolError, match=r"^the request is not HTTP: "):
        server.next_event()
    assert server.data_to_send() == b""


def test_server_lets_a_waiting_client_continue():
    server = HttpServerExchange()
    server.receive_data(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
    assert server.data_to_send() == b"HTTP/1.1 100 Continue\r\n\r\n"
    server.receive_data(b"a")
    assert server.next_event().body == b"a"


@pytest.mark.parametrize(("status", "headers"), [(200, [("x", "eyJ\n")]), (200, [("x", "€")]), (99, [])])
def test_server_cannot_send_every_answer(status, headers):
    server = HttpServerExchange()
    server.receive_data(HttpExchange("GET", ENDPOINT, "/").data_to_send())
    with pytest.raises(LocalProtocolError) as caught:
        server.respond(status, headers, b"no")
    assert str(caught.value) == f"an answer with status {status} or these headers cannot be sent over HTTP"
    server.respond(204)
    assert server.data_to_send().startswith(b"HTTP/1.1 204 ")


def test_server_cannot_answer_what_was_not_asked():
    with pytest.raises(LocalProtocolError, match=r"^no such answer is possible now: "):
        HttpServerExchange().switch([])


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"GET / HTTP/1.1\r\nhost: h\r\n", b"\r\n"]), max_size=8))
def test_any_bytes_are_a_request_or_a_documented_error(pieces):
    server = HttpServerExchange()
    for piece in pieces:
        server.receive_data(piece)
    try:
        server.next_event()
    except RemoteProtocolError:
        return


@pytest.mark.parametrize(("status", "line"), [(404, b"HTTP/1.1 404 Not Found\r\n"), (530, b"HTTP/1.1 530 \r\n")])
def test_answers_carry_the_phrase_of_their_status(status, line):
    exchange = HttpServerExchange()
    exchange.receive_data(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert isinstance(exchange.next_event(), HttpRequest)
    exchange.respond(status)
    assert exchange.data_to_send().startswith(line)
