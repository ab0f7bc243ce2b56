"""The WebSocket handshake: what is asked, and what every answer means (protocol reference, 1.2 to 1.5)."""

import json

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
from spacetimedb_proto.handshake import (
    Accepted,
    ClientHandshake,
    accept_headers,
    bearer,
    is_upgrade,
    offered_protocols,
    query_parameters,
    requested_protocols,
)
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.wire import PROTOCOLS, compression
from tests.transcripts import load, websockets
from tests.websocket_bytes import accepting, request_headers

ENDPOINT = Endpoint.parse("ws://127.0.0.1:3001")
V2 = "v2.bsatn.spacetimedb"


def handshake(protocols=(V2,), token=None, target="/v1/database/chat/subscribe?compression=None"):
    made = ClientHandshake(ENDPOINT, target, protocols, token=token, limits=Limits())
    return made, made.data_to_send()


def answer(made, *pieces):
    for piece in pieces:
        made.receive_data(piece)
    return made.next_event()


# --- asking -----------------------------------------------------------------------------------------------------------


def test_request():
    _, sent = handshake(("v3.bsatn.spacetimedb", V2), token="abc.def")
    headers = request_headers(sent)
    assert len(headers.pop("sec-websocket-key")) == 24
    assert headers == {
        "": "/v1/database/chat/subscribe?compression=None",
        "host": "127.0.0.1:3001",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "v3.bsatn.spacetimedb, v2.bsatn.spacetimedb",
        "authorization": "Bearer abc.def",
    }


def test_every_request_has_a_nonce_of_its_own():
    assert request_headers(handshake()[1])["sec-websocket-key"] != request_headers(handshake()[1])["sec-websocket-key"]


def test_anonymous_requests_send_no_credentials():
    assert "authorization" not in request_headers(handshake()[1])


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "tökén", "abc\n"])
def test_tokens_that_cannot_be_sent(token):
    with pytest.raises(AuthenticationError, match=r"^token: expected visible ASCII characters, got none or others$"):
        bearer(token)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("none", False, None), {"compression": "None"}),
        (("gzip", False, None), {"compression": "Gzip"}),
        (("brotli", True, None), {"compression": "Brotli", "light": "true"}),
        (("none", False, True), {"compression": "None", "confirmed": "true"}),
        (("none", False, False), {"compression": "None", "confirmed": "false"}),
    ],
)
def test_query_parameters(options, expected):
    name, light, confirmed = options
    assert query_parameters(name, light=light, confirmed=confirmed) == expected


def test_unknown_and_missing_compression(monkeypatch):
    with pytest.raises(LocalProtocolError, match=r"^compression: expected one of brotli, gzip, none, got 'Gzip'$"):
        query_parameters("Gzip", light=False, confirmed=None)
    monkeypatch.setattr(compression, "available", lambda: ("gzip", "none"))
    with pytest.raises(LocalProtocolError, match=r"^compression: expected one of gzip, none, got 'brotli'$"):
        query_parameters("brotli", light=False, confirmed=None)


def test_protocols_may_be_given_short_or_twice():
    assert offered_protocols(["v3.bsatn", V2, "v2.bsatn", "v1.json"]) == (
        "v3.bsatn.spacetimedb",
        V2,
        "v1.json.spacetimedb",
    )
    assert offered_protocols(PROTOCOLS) == PROTOCOLS


@pytest.mark.parametrize("names", [[], ["v9.bsatn"], ["v2.bsatn", "v2"]])
def test_unknown_protocols(names):
    got = ", ".join(names) or "none"
    with pytest.raises(LocalProtocolError) as caught:
        offered_protocols(names)
    assert str(caught.value) == f"protocols: expected some of v3.bsatn, v2.bsatn, v1.bsatn, v1.json, got {got}"


# --- answers ----------------------------------------------------------------------------------------------------------


def test_accepted():
    made, sent = handshake()
    data = accepting(sent)
    assert answer(made, data[:-1]) is NEED_DATA
    assert answer(made, data[-1:] + b"frames") == Accepted(V2, b"frames")


@pytest.mark.parametrize("name", [each.name for each in websockets()][::7])
def test_recorded_acceptances_fit_their_requests(name):
    """The recorded server's own headers are accepted, with the key that it was asked with."""
    recorded = load(name)
    asked = dict(recorded.request["headers"])
    key = asked["Sec-WebSocket-Key"]
    request = HttpRequest("GET", recorded.request["target"], tuple((n.lower(), v) for n, v in asked.items()))
    assert is_upgrade(request)
    assert requested_protocols(request) == (recorded.protocol,)
    ours, theirs = dict(accept_headers(request, recorded.protocol)), dict(recorded.response["headers"])
    assert ours["sec-websocket-accept"] == theirs["sec-websocket-accept"]
    assert key not in json.dumps(ours)


@pytest.mark.parametrize(
    ("name", "kind", "status", "text"),
    [
        ("subscribe-bad-token", AuthenticationError, 401, "Invalid token: InvalidToken"),
        ("subscribe-missing-db", DatabaseNotFound, 404, "`nope` not found"),
        ("subscribe-bad-protocol", UnsupportedProtocol, 400, "no valid protocol selected"),
        ("subscribe-no-protocol", UnsupportedProtocol, 400, "no valid protocol selected"),
        ("subscribe-plain-http", ConnectError, 426, "This service requires use of the websocket protocol"),
    ],
)
def test_recorded_refusals(name, kind, status, text):
    recorded = load(f"http/{name}.1").response
    head = "".join(f"{name}: {value}\r\n" for name, value in recorded["headers"])
    data = f"HTTP/1.1 {recorded['status']} X\r\n{head}\r\n{recorded['body']}".encode()
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(ConnectError) as caught:
            answer(handshake()[0], *pieces)
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.body) == (status, text)
        assert str(caught.value) == f"the server answered {status}: {text}"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, "Authorization is invalid: malformed token", AuthenticationError),  # row 1
        (400, "Invalid URL: invalid database name", ConnectError),  # rows 3, 4 and 6
        (405, "", ConnectError),  # row 5
        (500, "no such database", ConnectError),  # row 8
        (403, "not permitted", AuthenticationError),  # row 9
        (404, "", DatabaseNotFound),  # row 11
        (502, "<html>bad gateway</html>", ConnectError),  # a proxy's
    ],
)
def test_other_refusals(status, body, kind):
    data = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    with pytest.raises(ConnectError) as caught:
        answer(handshake()[0], data)
    assert (type(caught.value), caught.value.status, caught.value.body) == (kind, status, body)


@pytest.mark.parametrize("rest", [b"content-length: 99\r\n\r\nInvalid", b"\r\nInvalid"])
def test_refusals_that_are_cut_short(rest):
    made, _ = handshake()
    assert answer(made, b"HTTP/1.1 401 X\r\n" + rest) is NEED_DATA
    assert made.is_answered
    with pytest.raises(AuthenticationError, match=r"^the server answered 401: Invalid$"):
        answer(made, b"")


def test_refusals_that_do_not_end():
    made, _ = handshake()
    with pytest.raises(AuthenticationError) as caught:
        answer(made, b"HTTP/1.1 401 X\r\n\r\n", *([b"x" * 30_000] * 3))
    assert len(caught.value.body) == 501


def test_refusals_do_not_repeat_the_token():
    made, _ = handshake(token="opaque-secret")
    with pytest.raises(AuthenticationError, match=r"^the server answered 401: bad <token>$"):
        answer(made, b"HTTP/1.1 401 X\r\ncontent-length: 17\r\n\r\nbad opaque-secret")


@pytest.mark.parametrize("cut", [0, 1, 12, -1])
def test_links_that_end_during_the_handshake(cut):
    made, sent = handshake()
    data = accepting(sent)[:cut]
    with pytest.raises(ConnectError, match=r"the server ended the connection before its answer was whole$"):
        answer(made, *([data] if data else []), b"")


@pytest.mark.parametrize(
    ("changed", "kind", "text"),
    [
        ({"upgrade": "h2c"}, RemoteProtocolError, "the server answered 101 without upgrading to WebSocket"),
        ({"upgrade": None}, RemoteProtocolError, "the server answered 101 without upgrading to WebSocket"),
        ({"connection": "close"}, RemoteProtocolError, "the server answered 101 without upgrading to WebSocket"),
        (
            {"sec_websocket_accept": "AAAA"},
            RemoteProtocolError,
            "the server answered 101 with a wrong Sec-WebSocket-Accept",
        ),
        (
            {"sec_websocket_accept": None},
            RemoteProtocolError,
            "the server answered 101 with a wrong Sec-WebSocket-Accept",
        ),
        (
            {"sec_websocket_extensions": "permessage-deflate"},
            RemoteProtocolError,
            "the server answered 101 with a WebSocket extension that was not offered",
        ),
        ({"protocol": None}, UnsupportedProtocol, f"the server chose no subprotocol; offered were {V2}"),
        (
            {"protocol": "v3.bsatn.spacetimedb"},
            RemoteProtocolError,
            f"the server chose the subprotocol 'v3.bsatn.spacetimedb'; offered were {V2}",
        ),
        (
            {"protocol": "\xff"},
            RemoteProtocolError,
            f"the server chose the subprotocol 'Ã¿'; offered were {V2}",
        ),
    ],
)
def test_acceptances_of_what_was_not_asked(changed, kind, text):
    made, sent = handshake()
    with pytest.raises((ConnectError, RemoteProtocolError)) as caught:
        answer(made, accepting(sent, **changed))
    assert type(caught.value) is kind
    assert str(caught.value) == text


def test_upgrade_spelled_otherwise():
    made, sent = handshake()
    assert answer(made, accepting(sent, connection="keep-alive, UPGRADE", upgrade="WebSocket")) == Accepted(V2, b"")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"HTTP/1.1 101 X\r\n", b"HTTP/1.1 404 X\r\n", b"\r\n"])))
def test_any_bytes_are_an_answer_or_a_documented_error(pieces):
    made, _ = handshake()
    with pytest.raises((ConnectError, RemoteProtocolError)):
        answer(made, *pieces, b"")


# --- the server's side ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "changed", "expected"),
    [
        ("GET", {}, True),
        ("GET", {"connection": "keep-alive, upgrade"}, True),
        ("POST", {}, False),
        ("GET", {"upgrade": "h2c"}, False),
        ("GET", {"connection": "close"}, False),
        ("GET", {"sec-websocket-version": "8"}, False),
        ("GET", {"sec-websocket-key": ""}, False),
    ],
)
def test_upgrade_requests(method, changed, expected):
    headers = request_headers(handshake()[1]) | changed
    assert is_upgrade(HttpRequest(method, "/", tuple(headers.items()))) is expected


def test_requested_protocols():
    assert requested_protocols(HttpRequest("GET", "/", (("sec-websocket-protocol", "a, b ,,c"),))) == ("a", "b", "c")
    assert requested_protocols(HttpRequest("GET", "/")) == ()
