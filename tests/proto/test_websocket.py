"""Connections as a whole: the life of a link, seen from both sides, fed by hand and with a clock in hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.connection import TRANSITIONS, ConnectionInput, ConnectionState
from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    LocalProtocolError,
    RemoteProtocolError,
    UnsupportedProtocol,
)
from spacetimedb_proto.events import CallFailed, Connected, Disconnected, QueryReturned, Transaction
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.websocket import ClientConnection, Timeouts
from spacetimedb_proto.wire.messages import OneOffQuery, OneOffQueryResult, TransactionUpdate
from tests.connections import ENDPOINT, HELLO, V2, client, events, joined, payloads, schema, the_end, upgraded
from tests.websocket_bytes import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    accepting,
    close_frame,
    fragments,
    frame,
    read_frames,
    request_headers,
)

[GREETING] = payloads(HELLO)
[UPDATE] = payloads(TransactionUpdate([]))


def opened(**options):
    """A client's connection after its `Connected`."""
    connection = upgraded(**options)
    connection.receive_data(frame(BINARY, GREETING))
    [event] = events(connection)
    assert isinstance(event, Connected)
    return connection


# --- the handshake ----------------------------------------------------------------------------------------------------


def test_handshake_asks_with_all_options():
    connection = ClientConnection(
        schema(), ENDPOINT, "my chat", token="abc", compression="gzip", light=True, confirmed=False
    )
    headers = request_headers(connection.data_to_send())
    assert headers[""] == "/v1/database/my%20chat/subscribe?compression=Gzip&light=true&confirmed=false"
    assert headers["authorization"] == "Bearer abc"
    assert headers["sec-websocket-protocol"] == "v3.bsatn.spacetimedb, v2.bsatn.spacetimedb, v1.bsatn.spacetimedb"
    assert connection.data_to_send() == b""
    assert connection.state is ConnectionState.CONNECTING


def test_there_is_no_session_before_the_upgrade():
    connection = client()
    with pytest.raises(LocalProtocolError) as caught:
        _ = connection.session
    assert str(caught.value) == "the connection is connecting: there is no session before the upgrade"


def test_life_of_a_connection():
    connection = client(protocols=["v3.bsatn", "v2.bsatn"])
    connection.receive_data(accepting(connection.data_to_send()) + frame(BINARY, GREETING)[:5])
    assert connection.state is ConnectionState.UPGRADED
    assert connection.session.protocol_name == V2
    connection.receive_data(frame(BINARY, GREETING)[5:])
    assert connection.state is ConnectionState.OPEN
    [event] = events(connection)
    assert event == Connected(HELLO.identity, HELLO.connection_id, "a-token")
    connection.close(1000, "bye")
    assert connection.state is ConnectionState.CLOSING
    assert read_frames(connection.data_to_send()) == [(CLOSE, True, b"\x03\xe8bye")]
    connection.receive_data(close_frame(1000))
    assert the_end(connection) == Disconnected(None, 1000, "")


def test_everything_in_one_piece():
    """The 101, the greeting, a transaction and the end may come in one read."""
    connection = client(protocols=["v2.bsatn"])
    head = accepting(connection.data_to_send())
    connection.receive_data(head + frame(BINARY, GREETING) + frame(BINARY, UPDATE) + close_frame(1001, "module exited"))
    assert connection.state is ConnectionState.CLOSED
    first, second, last = events(connection)
    assert (type(first), type(second)) == (Connected, Transaction)
    assert str(last.error) == "the peer closed the connection: 1001 module exited"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 401 X\r\ncontent-length: 2\r\n\r\nno", AuthenticationError),
        (b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", DatabaseNotFound),
        (b"HTTP/1.1 400 X\r\ncontent-length: 26\r\n\r\nno valid protocol selected", UnsupportedProtocol),
        (b"HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\nno", ConnectError),
        (b"garbage\r\n\r\n", RemoteProtocolError),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_refused_handshakes(answer, kind, size):
    connection = client()
    connection.data_to_send()
    for at in range(0, len(answer), size):
        connection.receive_data(answer[at : at + size])
    end = the_end(connection)
    assert type(end.error) is kind
    assert end.code == 1006


def test_links_that_end_anywhere_in_the_handshake():
    size = len(accepting(client().data_to_send()))
    for cut in range(size):
        connection = client()
        answer = accepting(connection.data_to_send())[:cut]
        if answer:
            connection.receive_data(answer)
        connection.receive_data(b"")
        end = the_end(connection)
        assert type(end.error) is ConnectError
        assert "the server ended the connection before its answer was whole" in str(end.error)


def test_no_answer_to_the_handshake():
    connection = client(now=100.0)
    assert connection.next_deadline() == 110.0
    connection.handle_timeout(109.9)
    assert connection.state is ConnectionState.CONNECTING
    connection.handle_timeout(110.0)
    end = the_end(connection)
    assert (type(end.error), str(end.error)) == (ConnectError, "no answer to the handshake for 10 s")


def test_refusal_whose_body_does_not_end():
    connection = client()
    connection.receive_data(b"HTTP/1.1 401 X\r\n\r\nno")
    assert events(connection) == []
    connection.handle_timeout(10.0)
    assert str(the_end(connection).error) == "the server answered 401: no"


def test_closing_during_the_handshake():
    connection = client()
    connection.close(reason="changed my mind")
    assert the_end(connection) == Disconnected(None, 1006, "changed my mind")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"token": "a b"}, AuthenticationError),
        ({"protocols": ["v4"]}, LocalProtocolError),
        ({"compression": "zstd"}, LocalProtocolError),
    ],
)
def test_options_that_cannot_be(options, kind):
    with pytest.raises(kind):
        client(**options)


# --- after the 101, before the first message --------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["", "connection reset by peer"])
@pytest.mark.parametrize("received", [b"", frame(PING), frame(BINARY, GREETING)[:-1]])
def test_dropped_before_the_first_message(reason, received):
    """What the real server does to clients that `client_connected` refuses (protocol reference, 1.6)."""
    connection = upgraded()
    if received:
        connection.receive_data(received)
    connection.receive_eof(reason)
    end = the_end(connection)
    assert type(end.error) is ConnectionRefused
    said = f": {reason}" if reason else ""
    assert str(end.error) == (
        f"the connection was lost{said}, before its first message: "
        "the module's client_connected refused the client, or failed"
    )
    assert (end.code, end.reason, end.error.status) == (1006, reason, 101)


def test_closed_before_the_first_message():
    connection = upgraded()
    connection.receive_data(close_frame(4000, "session busy"))
    assert read_frames(connection.data_to_send()) == [(CLOSE, True, b"\x0f\xa0")]
    end = the_end(connection)
    assert type(end.error) is ConnectionRefused
    assert str(end.error) == "the peer closed the connection: 4000 session busy"
    assert (end.code, end.reason, end.error.body) == (4000, "session busy", "session busy")


def test_no_first_message():
    connection = upgraded(now=5.0)
    assert connection.next_deadline() == 5.0  # due at once: nobody said when the 101 came
    connection.handle_timeout(6.0)
    assert connection.next_deadline() == 36.0
    connection.receive_data(frame(PING))
    connection.handle_timeout(36.0)
    assert read_frames(connection.data_to_send())[-1][0] == CLOSE
    end = the_end(connection)
    assert type(end.error) is ConnectError
    assert str(end.error) == "the server accepted the connection, but sent no first message for 30 s"


def test_commands_need_not_wait_for_the_first_message():
    connection = upgraded()
    connection.session.query("SELECT 1")
    assert [opcode for opcode, _, _ in read_frames(connection.data_to_send())] == [BINARY]


# --- open -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["v1.bsatn", "v1.json", "v2.bsatn", "v3.bsatn"])
@pytest.mark.parametrize("chunk", [None, 1])
def test_messages_pass_both_ways(protocol, chunk):
    link, connection, _, session = joined(protocol=f"{protocol}.spacetimedb", chunk=chunk)
    connection.session.query("SELECT * FROM a")
    [query] = link.server_events()
    assert isinstance(query, OneOffQuery)
    session.send(OneOffQueryResult(query.request_id, "no such table" + "ä" * 5000))
    [answer] = link.client_events()
    assert isinstance(answer, QueryReturned)
    assert str(answer.error) == "no such table" + "ä" * 5000


def test_ten_megabytes_in_the_servers_fragments():
    link, connection, server, session = joined()
    connection.session.query("SELECT * FROM a")
    [query] = link.server_events()
    session.send(OneOffQueryResult(query.request_id, "x" * 10_000_000))
    data = server.data_to_send()
    assert len(read_frames(data)) == 10_000_000 // 4096 + 1
    for at in range(0, len(data), 65536):
        connection.receive_data(data[at : at + 65536])
    [answer] = events(connection)
    assert len(str(answer.error)) == 10_000_000


def test_pings_are_answered_at_once_also_between_fragments():
    """However many messages wait to be taken: the server counts on an answer (protocol reference, trap 25)."""
    connection = opened()
    first, second = frame(BINARY, UPDATE[:1], fin=False), frame(0, UPDATE[1:])
    connection.receive_data(frame(BINARY, UPDATE) * 3 + first + frame(PING, b"1"))
    assert read_frames(connection.data_to_send()) == [(PONG, True, b"1")]
    connection.receive_data(frame(PING, b"2") + second)
    assert read_frames(connection.data_to_send()) == [(PONG, True, b"2")]
    assert len(events(connection)) == 4


def test_pings_that_are_never_taken_cost_no_memory():
    connection = opened()
    for _ in range(100):
        connection.receive_data(frame(PING, b"x" * 125) * 100)
    assert len(connection.data_to_send()) < 200


def test_one_message_at_a_time():
    connection = opened()
    connection.receive_data(frame(BINARY, UPDATE) * 2)
    assert isinstance(connection.next_event(), Transaction)
    assert isinstance(connection.next_event(), Transaction)
    assert events(connection) == []


@pytest.mark.parametrize(
    ("code", "reason"), [(1001, "module exited"), (1011, "unknown tag 0x5"), (1013, "too many requests"), (None, "")]
)
def test_closed_by_the_server(code, reason):
    connection = opened()
    connection.receive_data(frame(BINARY, UPDATE) + close_frame(code, reason))
    assert read_frames(connection.data_to_send()) == [(CLOSE, True, code.to_bytes(2, "big") if code else b"")]
    assert isinstance(connection.next_event(), Transaction)
    end = the_end(connection)
    assert type(end.error) is ConnectionLost
    assert (end.code, end.reason) == (end.error.code, end.error.reason) == (code or 1005, reason)
    assert str(end.error) == f"the peer closed the connection: {code or 1005} {reason}".rstrip()


@pytest.mark.parametrize(
    ("reason", "text"), [("", "the connection was lost"), ("reset", "the connection was lost: reset")]
)
def test_lost(reason, text):
    connection = opened()
    connection.receive_data(frame(BINARY, UPDATE) + frame(BINARY, UPDATE)[:-1])
    connection.receive_eof(reason)
    assert isinstance(connection.next_event(), Transaction)
    end = the_end(connection)
    assert (type(end.error), str(end.error), end.error.code, end.error.reason) == (ConnectionLost, text, 1006, reason)


def test_calls_end_before_the_connection_does():
    connection = opened()
    connection.session.query("SELECT 1")
    connection.data_to_send()
    connection.receive_data(b"")
    first, last = events(connection)
    assert isinstance(first, CallFailed)
    assert isinstance(last, Disconnected)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff", 1002),
        (frame(BINARY, b"", masked=True), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"{}"), 1003),
        (frame(BINARY, b"x" * 4097), 1009),
        (fragments(BINARY, b"x" * 4097, 1000), 1009),
        (frame(BINARY, b"\x00\xff no message"), 1002),
        (frame(BINARY, b""), 1002),
    ],
)
def test_broken_by_the_server(data, code):
    connection = opened(limits=Limits(message_size=4096))
    connection.receive_data(frame(BINARY, UPDATE) + data + frame(BINARY, UPDATE))
    assert isinstance(connection.next_event(), Transaction)
    last = events(connection)[-1]
    assert isinstance(last, Disconnected)
    assert type(last.error) is RemoteProtocolError
    assert last.code == code
    [(opcode, _, payload)] = read_frames(connection.data_to_send())
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
    assert connection.state is ConnectionState.CLOSED


def test_binary_on_a_text_protocol():
    connection = client(protocols=["v1.json"])
    connection.receive_data(accepting(connection.data_to_send(), "v1.json.spacetimedb") + frame(BINARY, b"{}"))
    end = the_end(connection)
    assert (str(end.error), end.code) == ("expected text messages, got a binary one", 1003)


def test_a_broken_message_before_the_end_is_the_reason():
    connection = opened()
    connection.receive_data(frame(BINARY, b"\x00\xff") + close_frame(1000))
    connection.data_to_send()
    end = the_end(connection)
    assert type(end.error) is RemoteProtocolError


# --- closing ----------------------------------------------------------------------------------------------------------


def test_what_is_queued_goes_out_before_the_close():
    connection = opened()
    connection.receive_data(frame(PING, b"p"))
    connection.session.query("SELECT 1")
    connection.close()
    connection.close(4001, "again")
    assert [opcode for opcode, _, _ in read_frames(connection.data_to_send())] == [PONG, BINARY, CLOSE]


def test_what_comes_before_the_peers_close_still_counts():
    connection = opened()
    connection.session.query("SELECT 1")
    connection.close()
    connection.receive_data(frame(BINARY, payloads(OneOffQueryResult(1, "no"))[0]) + close_frame(1000))
    first, last = events(connection)
    assert isinstance(first, QueryReturned)
    assert last == Disconnected(None, 1000, "")


def test_what_is_queued_after_the_close_is_never_sent():
    connection = opened()
    connection.close()
    connection.data_to_send()
    connection.session.query("SELECT 1")
    assert connection.data_to_send() == b""
    connection.receive_data(b"")
    first, last = events(connection)
    assert isinstance(first, CallFailed)
    assert last == Disconnected(None, 1006, "")


def test_no_answer_to_our_close():
    connection = opened()
    connection.close()
    assert connection.next_deadline() == 0.0
    connection.handle_timeout(50.0)
    assert connection.next_deadline() == 55.0
    connection.receive_data(frame(PING))
    connection.handle_timeout(55.0)
    assert the_end(connection) == Disconnected(None, 1006, "no answer to our Close frame")


def test_broken_while_closing():
    connection = opened()
    connection.close()
    connection.data_to_send()
    connection.receive_data(b"\xff\xff")
    assert connection.data_to_send() == b""
    assert type(the_end(connection).error) is RemoteProtocolError


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent(code):
    connection = opened()
    with pytest.raises(LocalProtocolError, match=f"got {code}$"):
        connection.close(code)
    assert connection.state is ConnectionState.OPEN


# --- time -------------------------------------------------------------------------------------------------------------


def started(**options):
    """An open connection whose clock runs from 0."""
    connection = opened(**options)
    connection.handle_timeout(0.0)
    return connection


def pinged(connection):
    return [opcode for opcode, _, _ in read_frames(connection.data_to_send())] == [PING]


def test_silence():
    connection = started()
    assert connection.next_deadline() == 30.0
    connection.handle_timeout(29.9)
    assert not pinged(connection)
    connection.handle_timeout(30.0)
    assert pinged(connection)
    assert connection.next_deadline() == 60.0
    connection.handle_timeout(60.0)
    end = the_end(connection)
    assert type(end.error) is ConnectionLost
    assert str(end.error) == end.reason == end.error.reason == "no answer to a ping for 30 s"
    assert end.code == 1006


@pytest.mark.parametrize("sign", [frame(PONG), frame(PING), frame(BINARY, UPDATE), frame(BINARY, UPDATE)[:1]])
def test_any_byte_is_a_sign_of_life(sign):
    connection = started()
    connection.handle_timeout(30.0)
    connection.receive_data(sign)
    connection.data_to_send()
    connection.handle_timeout(60.0)
    assert connection.next_deadline() == 90.0
    assert connection.data_to_send() == b""
    connection.handle_timeout(90.0)
    assert pinged(connection)
    connection.handle_timeout(120.0)
    assert connection.state is ConnectionState.CLOSED


def test_talk_keeps_quiet():
    connection = started()
    for minute in range(1, 5):
        connection.receive_data(frame(PING))
        connection.data_to_send()
        connection.handle_timeout(minute * 30.0)
        assert connection.data_to_send() == b""


def test_a_process_that_slept_asks_again():
    connection = started()
    connection.handle_timeout(30.0)
    assert pinged(connection)
    connection.handle_timeout(10_000.0)
    assert pinged(connection)
    assert connection.next_deadline() == 10_030.0
    connection.handle_timeout(10_030.0)
    assert connection.state is ConnectionState.CLOSED


def test_no_timeouts():
    never = Timeouts(handshake=math.inf, greeting=math.inf, silence=math.inf, answer=math.inf, close=math.inf)
    assert client(timeouts=never).next_deadline() is None
    assert started(timeouts=never).next_deadline() is None


# --- every state and input --------------------------------------------------------------------------------------------


def test_transitions_are_complete():
    assert set(TRANSITIONS) == set(ConnectionState)
    reachable = {after for table in TRANSITIONS.values() for after in table.values()}
    assert reachable == set(ConnectionState) - {ConnectionState.CONNECTING}
    assert {event for table in TRANSITIONS.values() for event in table} == set(ConnectionInput)


PIECES = st.sampled_from(
    [
        frame(BINARY, GREETING),
        frame(BINARY, UPDATE),
        frame(BINARY, UPDATE[:1], fin=False),
        frame(0, UPDATE[1:]),
        frame(PING, b"p"),
        frame(TEXT, b"{}"),
        close_frame(1000),
        close_frame(1011, "no"),
    ]
)


def run(data, pieces):
    """Feed a client's connection with data cut into pieces, take events in between, and end the link."""
    connection = client(protocols=["v2.bsatn"])
    data = accepting(connection.data_to_send()) + data
    found = []
    size = max(1, -(-len(data) // pieces))
    for at in range(0, len(data), size):
        connection.receive_data(data[at : at + size])
        connection.data_to_send()
        found += events(connection)
    connection.receive_data(b"")
    return found + events(connection)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=10))
def test_any_bytes_give_events_however_they_are_cut(pieces):
    data = b"".join(pieces)
    whole = run(data, 1)
    assert [isinstance(event, Disconnected) for event in whole] == [False] * (len(whole) - 1) + [True]
    for cuts in (2, 7, 10**9):
        assert repr(run(data, cuts)) == repr(whole)


@given(st.binary(max_size=200), st.integers(1, 200))
def test_any_answer_to_the_handshake_gives_one_end(data, size):
    connection = client()
    for at in range(0, len(data), size):
        connection.receive_data(data[at : at + size])
    connection.receive_data(b"")
    assert isinstance(the_end(connection), Disconnected)


ACTIONS = st.sampled_from(["receive", "eof", "send", "close", "time", "next", "query"])


@given(st.lists(st.tuples(ACTIONS, PIECES), max_size=30), st.booleans())
def test_any_order_of_calls_ends_in_one_disconnected(actions, accepted):
    connection = client(protocols=["v2.bsatn"])
    head, now, found = accepting(connection.data_to_send()), 0.0, []
    if accepted:
        connection.receive_data(head)
    for action, data in actions:
        match action:
            case "receive":
                connection.receive_data(data)
            case "eof":
                connection.receive_eof("gone")
            case "send":
                connection.data_to_send()
            case "close":
                connection.close()
            case "time":
                now += 31.0
                connection.handle_timeout(now)
            case "next":
                found += events(connection)
            case "query" if accepted and not any(isinstance(each, Disconnected) for each in found):
                connection.session.query("SELECT 1")
    connection.receive_data(b"")
    found += events(connection)
    assert [type(event) for event in found].count(Disconnected) == 1
    assert isinstance(found[-1], Disconnected)
