"""Connections as a server sees them: HTTP requests and WebSockets on one listener."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.connection import ConnectionState
from spacetimedb_proto.errors import (
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    LocalProtocolError,
    RemoteProtocolError,
)
from spacetimedb_proto.events import NEED_DATA, Disconnected, Transaction
from spacetimedb_proto.http import HttpExchange, HttpRequest
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.websocket import ServerConnection, UpgradeRequest
from spacetimedb_proto.wire.messages import OneOffQuery, TransactionUpdate
from spacetimedb_transports.memory import Link
from tests.connections import ENDPOINT, V2, client, events, joined, schema, the_end
from tests.websocket_bytes import BINARY, PING, close_frame, frame


def asked(method="GET", headers=(), body=b""):
    """A server's connection that has received an HTTP request."""
    server = ServerConnection()
    server.receive_data(HttpExchange(method, ENDPOINT, "/v1/ping", headers, body).data_to_send())
    return server


def test_server_hands_out_http_requests():
    server = asked("POST", body=b"[]")
    [request] = events(server)
    assert isinstance(request, HttpRequest)
    assert (request.method, request.target, request.body) == ("POST", "/v1/ping", b"[]")
    server.respond(200, [("content-type", "text/plain")], b"hello")
    assert server.data_to_send().endswith(b"\r\n\r\nhello")
    assert the_end(server) == Disconnected(None, 1000, "")


def test_server_answers_in_parts():
    server = asked()
    exchange = HttpExchange("GET", ENDPOINT, "/v1/ping")
    [_] = events(server)
    with pytest.raises(LocalProtocolError, match=r"^there is no answer to go on with$"):
        server.add_to_response(b"early")
    server.respond(200, [("content-type", "text/plain")], b"one,", is_whole=False)
    server.add_to_response(b"two")
    exchange.receive_data(server.data_to_send())
    assert (exchange.partial.header("transfer-encoding"), exchange.partial.body) == ("chunked", b"one,two")
    assert exchange.next_event() is NEED_DATA
    assert events(server) == []
    server.close()
    exchange.receive_data(server.data_to_send())
    assert exchange.next_event().body == b"one,two"
    assert isinstance(the_end(server), Disconnected)
    server.add_to_response(b"late")
    server.close()
    assert server.data_to_send() == b""


def test_a_client_that_leaves_in_the_middle_of_an_answer():
    server = asked()
    [_] = events(server)
    server.respond(200, body=b"one", is_whole=False)
    server.receive_eof()
    assert isinstance(the_end(server), Disconnected)
    server.add_to_response(b"two")


@pytest.mark.parametrize(
    "headers",
    [
        [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "AAAA")],
        [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")],
    ],
)
def test_server_hands_out_wrong_upgrades_as_http(headers):
    [request] = events(asked(headers=headers))
    assert isinstance(request, HttpRequest)


def test_server_refuses_an_upgrade():
    connection, server = client(token="t"), ServerConnection()
    link = Link(connection, server)
    [request] = link.server_events()
    assert isinstance(request, UpgradeRequest)
    assert request.target == "/v1/database/chat/subscribe?compression=None"
    assert request.protocols == ("v3.bsatn.spacetimedb", V2, "v1.bsatn.spacetimedb")
    assert dict(request.headers)["authorization"] == "Bearer t"
    assert "Bearer" not in repr(request)
    server.respond(404, body=b"`chat` not found")
    [end] = link.client_events()
    assert type(end.error) is DatabaseNotFound
    assert the_end(server) == Disconnected(None, 1000, "")


def test_server_accepts_with_headers_and_reads_what_came_along():
    server, connection = ServerConnection(), client(protocols=["v2.bsatn"])
    server.receive_data(connection.data_to_send())
    server.receive_data(close_frame(1000, masked=True))
    [request] = events(server)
    session = ServerSession(schema(), protocol=request.protocols[0])
    server.accept(session, [("spacetime-identity", "c200")])
    sent = server.data_to_send()
    assert b"spacetime-identity: c200\r\n" in sent
    [end] = events(server)
    assert type(end.error) is ConnectionLost


def test_server_accepts_only_upgrades():
    server = asked()
    with pytest.raises(LocalProtocolError, match=r"^there is no upgrade request to accept$"):
        server.accept(ServerSession(schema(), protocol=V2))
    server.respond(426, [("connection", "upgrade"), ("upgrade", "websocket")])
    assert b"Connection: upgrade\r\n" in server.data_to_send()
    with pytest.raises(LocalProtocolError, match=r"^there is no request to respond to$"):
        server.respond(426)


@pytest.mark.parametrize("chunk", [None, 1])
def test_server_closes(chunk):
    link, connection, server, _ = joined(chunk=chunk)
    server.close(1001, "module exited")
    [end] = link.client_events()
    assert (end.code, end.reason) == (1001, "module exited")
    assert link.server_events() == [Disconnected(None, 1001, "")]
    assert connection.state is server.state is ConnectionState.CLOSED


def test_server_drops():
    """What waits is sent, and then the link ends without a word."""
    link, _, server, session = joined()
    session.send(TransactionUpdate([]))
    server.drop()
    assert link.server_events() == [Disconnected(None, 1006, "")]
    first, last = link.client_events()
    assert isinstance(first, Transaction)
    assert type(last.error) is ConnectionLost
    server.drop()


def test_server_drops_before_the_greeting():
    connection, server = client(protocols=["v2.bsatn"]), ServerConnection()
    link = Link(connection, server)
    [request] = link.server_events()
    server.accept(ServerSession(schema(), protocol=request.protocols[0]))
    server.drop()
    link.server_events()
    [end] = link.client_events()
    assert type(end.error) is ConnectionRefused


def test_client_closes():
    link, connection, _, _ = joined()
    connection.session.query("SELECT 1")
    connection.close(3000, "bye")
    query, end = link.server_events()
    assert isinstance(query, OneOffQuery)
    assert (type(end.error), end.code, end.reason) == (ConnectionLost, 3000, "bye")
    assert isinstance(link.client_events()[-1], Disconnected)


def test_server_closes_on_broken_messages():
    link, connection, server, _ = joined()
    connection.data_to_send()
    server.receive_data(frame(BINARY, b"\xff\xff", masked=True))
    [end] = link.server_events()
    assert type(end.error) is RemoteProtocolError
    [end] = link.client_events()
    assert end.code == 1011


def test_server_pings_and_gives_up():
    """After 15 s of silence, and after 30 s: the real server's numbers (protocol reference, 1.7)."""
    link, connection, server, _ = joined()
    server.handle_timeout(100.0)
    assert server.next_deadline() == 115.0
    server.handle_timeout(115.0)
    link.move()
    server.handle_timeout(130.0)
    assert server.next_deadline() == 145.0
    server.handle_timeout(145.0)
    server.handle_timeout(160.0)
    assert server.state is ConnectionState.CLOSED
    assert connection.state is ConnectionState.OPEN


def test_server_pings_when_told():
    server = ServerConnection()
    server.ping()
    assert server.data_to_send() == b""
    link, connection, server, _ = joined()
    server.ping()
    assert server.data_to_send() == frame(PING)
    connection.receive_data(frame(PING))
    assert link.server_events() == []


def test_server_waits_for_a_request_but_not_for_its_answer():
    server = ServerConnection(now=1.0)
    server.handle_timeout(11.0)
    assert str(the_end(server).error) == "no request came in time"
    server = asked()
    server.handle_timeout(10.0)
    assert server.next_deadline() is None
    assert len(events(server)) == 1


@pytest.mark.parametrize("data", [b"", b"GET", b"\xff\xff\r\n\r\n"])
def test_server_meets_what_is_no_request(data):
    server = ServerConnection()
    server.receive_data(data)
    server.receive_data(b"")
    assert type(the_end(server).error) is RemoteProtocolError


def test_client_leaves_before_the_answer():
    server = asked()
    server.receive_data(b"")
    request, end = events(server)
    assert isinstance(request, HttpRequest)
    assert str(end.error) == "the client left before its request was answered"


@given(st.lists(st.binary(max_size=30) | st.just(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"), max_size=8))
def test_any_bytes_to_a_server_give_events(pieces):
    server = ServerConnection()
    for piece in pieces:
        server.receive_data(piece)
        server.data_to_send()
    server.receive_data(b"")
    assert isinstance(events(server)[-1], Disconnected)


@given(
    st.lists(st.binary(max_size=30) | st.binary(max_size=9).map(lambda b: frame(BINARY, b, masked=True)), max_size=8)
)
def test_any_frames_to_a_server_give_events(pieces):
    _, _, server, _ = joined()
    for piece in pieces:
        server.receive_data(piece)
        server.data_to_send()
    server.receive_data(b"")
    assert isinstance(events(server)[-1], Disconnected)
