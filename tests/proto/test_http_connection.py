"""Several exchanges on one connection, and bodies that are read while they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.http import HttpRequest, HttpServerExchange
from spacetimedb_proto.http_connection import HttpConnection

HOST = ("host", "127.0.0.1:3001")
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def asked(method="GET", target="/v1/ping", body=b"", headers=(), connection=None, size=100):
    connection = connection or HttpConnection()
    connection.send(HttpRequest(method, target, (HOST, *headers), body), size=size)
    return connection


def whole(connection):
    head, body = connection.next_head(), b""
    while piece := connection.next_piece():
        assert piece is not NEED_DATA
        body += piece
    return head.status, body


def test_one_after_the_other():
    connection = asked(method="POST", body=b"[1]")
    assert (
        connection.data_to_send() == b"POST /v1/ping HTTP/1.1\r\nhost: 127.0.0.1:3001\r\ncontent-length: 3\r\n\r\n[1]"
    )
    assert not connection.is_idle
    assert connection.next_head() is NEED_DATA
    connection.receive_data(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert whole(connection) == (200, b"abc")
    assert connection.is_idle
    asked(connection=connection)
    assert connection.data_to_send() == b"GET /v1/ping HTTP/1.1\r\nhost: 127.0.0.1:3001\r\n\r\n"
    connection.receive_data(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nA: b\r\n\r\n")
    head = connection.next_head()
    assert (head.status, head.header("a")) == (404, "b")
    assert connection.next_piece() == b""
    assert connection.is_idle


@given(st.binary(min_size=1), st.lists(st.integers(1, 40)))
def test_answers_come_in_any_pieces(body, sizes):
    connection = asked(size=len(body))
    data = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    got, head, is_over = b"", NEED_DATA, False
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        if piece:
            connection.receive_data(piece)
        if head is NEED_DATA:
            head = connection.next_head()
        while head is not NEED_DATA and not is_over and (some := connection.next_piece()) is not NEED_DATA:
            got, is_over = got + some, not some
    assert (got, is_over, connection.is_idle) == (body, True, True)


def test_a_body_is_read_while_it_comes():
    connection = asked()
    connection.receive_data(CHUNKED + b"3\r\na\nb\r\n")
    assert connection.next_head().status == 200
    assert connection.next_piece() == b"a\nb"
    assert connection.next_piece() is NEED_DATA
    assert not connection.is_idle
    connection.receive_data(b"")
    with pytest.raises(
        ConnectionLost, match=r"^GET /v1/ping: the server ended the connection before its answer was whole$"
    ):
        connection.next_piece()


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"connection: close\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
        OK + b"content-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",
    ],
)
def test_the_server_may_not_want_another(answer):
    connection = asked()
    connection.receive_data(answer)
    assert whole(connection) == (200, b"x")
    assert not connection.is_idle
    with pytest.raises(LocalProtocolError, match=r"^'GET /v1/ping': expected an idle connection$"):
        asked(connection=connection)


def test_a_connection_that_ended_while_idle():
    connection = HttpConnection()
    connection.receive_data(b"")
    assert not connection.is_idle


@pytest.mark.parametrize("data", [b"", OK[:9]])
def test_an_end_before_the_answer(data):
    connection = asked(target="/v1/x?token=secret")
    if data:
        connection.receive_data(data)
        assert connection.next_head() is NEED_DATA
    connection.receive_data(b"")
    with pytest.raises(
        ConnectionLost, match="^GET /v1/x: the server ended the connection before its answer was whole$"
    ):
        connection.next_head()


def test_what_is_not_http():
    connection = asked()
    connection.receive_data(b"SSH-2.0\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match="^GET /v1/ping: the answer is not HTTP: "):
        connection.next_head()


def test_what_is_not_http_is_shown_without_tokens():
    connection = asked()
    with pytest.raises(RemoteProtocolError) as caught:
        connection.receive_data(b"HTTP/1.1 200 OK\r\neyJhbGciOiJub25lIn0.e30.secret\x00\r\n\r\n")
        connection.next_head()
    assert "secret" not in str(caught.value)


def test_a_body_that_is_too_large():
    connection = asked(size=3)
    connection.receive_data(OK + b"content-length: 4\r\n\r\nabcd")
    connection.next_head()
    with pytest.raises(RemoteProtocolError, match="larger than allowed"):
        connection.next_piece()


def test_interim_answers_are_skipped():
    connection = asked()
    connection.receive_data(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"content-length: 0\r\n\r\n")
    assert whole(connection) == (200, b"")


@pytest.mark.parametrize("header", [("x", "a\nb: eyJsecret.x"), ("x", "€")])
def test_what_cannot_be_sent_is_refused_without_repeating_it(header):
    with pytest.raises(LocalProtocolError) as caught:
        asked(target="/v1/x?token=s", headers=[header])
    assert str(caught.value) == "'GET /v1/x': the target or a header cannot be sent over HTTP"
    assert caught.value.__cause__ is None


def test_a_server_reads_what_is_sent():
    server = HttpServerExchange()
    server.receive_data(asked("PUT", "/v1/x?a=b", b"abc", [("x-y", "é")]).data_to_send())
    request = server.next_event()
    assert (request.method, request.target, request.body, request.header("x-y")) == ("PUT", "/v1/x?a=b", b"abc", "é")
