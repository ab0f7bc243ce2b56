"""One link from the first byte to the last, joined to a client's connection in memory."""

from __future__ import annotations

import base64
import gzip
import json
import random
import struct

import pytest

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    LocalProtocolError,
    UnsupportedProtocol,
)
from spacetimedb_proto.events import (
    NEED_DATA,
    BatchApplied,
    Disconnected,
    QueryReturned,
    ReducerEvent,
    SubscribeApplied,
)
from spacetimedb_proto.http import HttpExchange
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol as protocol_named
from spacetimedb_sdk.testing import Module
from spacetimedb_sdk.testing.service import Service
from spacetimedb_sdk.testing.site import Site
from spacetimedb_sdk.testing.tokens import TokenIssuer
from tests.behaviour_module import Pair, behaviour
from tests.sdk.testing.support import ENDPOINT, Clock, Visitor, ask, connected, database, refused
from tests.websocket_bytes import BINARY, CLOSE, PING, frame, read_frames


@pytest.fixture
def site():
    return Site(database(behaviour), random_bytes=random.Random(1).randbytes)


# --- a whole visit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 1, 7])
@pytest.mark.parametrize("protocol", ["v2.bsatn", "v3.bsatn", "v1.bsatn", "v1.json"])
@pytest.mark.parametrize("compression", ["none", "gzip", "brotli"])
def test_a_visit(site, chunk, protocol, compression):
    visitor = connected(site, chunk=chunk, protocols=[protocol], compression=compression)
    assert visitor.service.is_connected
    visitor.session.call_reducer("add_pairs", [1, 500])
    visitor.session.subscribe("SELECT * FROM pair")
    visitor.session.query("SELECT * FROM pair WHERE id = 7")
    done, applied, found = visitor.events()
    assert isinstance(done, ReducerEvent)
    assert isinstance(applied, SubscribeApplied)
    assert isinstance(found, QueryReturned)
    assert len(applied.changes["pair"].inserts) == 500
    assert found.tables["pair"] == [Pair(7, "k7", 7, 0)]
    visitor.connection.close()
    (end,) = visitor.events()
    assert end.error is None
    assert repr(site.database) == "<Database 'behaviour' with 0 clients>"


def test_others_are_woken(site):
    woken = []
    first, second = connected(site), connected(site)
    second.service.on_output(lambda: woken.append("second"))
    second.session.subscribe("SELECT * FROM pair")
    second.events()
    woken.clear()
    first.session.call_reducer("add_pair", [1, "one", 0, 10])
    first.events()
    assert woken == ["second"]
    (update,) = second.events()
    assert update.changes["pair"].inserts


def test_the_newest_protocol_is_taken(site):
    assert (
        connected(site, protocols=["v1.bsatn", "v2.bsatn", "v3.bsatn"]).session.protocol_name == "v3.bsatn.spacetimedb"
    )
    old = Site(site.database, random_bytes=random.Random(2).randbytes, protocols=["v2.bsatn"])
    assert connected(old).session.protocol_name == "v2.bsatn.spacetimedb"


def test_protocols_that_are_not_served(site):
    newer = Site(site.database, random_bytes=random.Random(2).randbytes, protocols=["v2.bsatn", "v3.bsatn"])
    error = refused(newer, protocols=["v1.bsatn", "v1.json"])
    assert isinstance(error, UnsupportedProtocol)
    assert (error.status, error.body) == (400, "no valid protocol selected")
    with pytest.raises(LocalProtocolError, match="protocols"):
        Site(site.database, random_bytes=random.Random(2).randbytes, protocols=["v9"])


# --- releases ---------------------------------------------------------------------------------------------------------

BATCH = m.SubscribeBatch(1, [m.SubscribeSet(2, ["SELECT * FROM pair"]), m.SubscribeSet(3, ["SELEC"])])


def old_site():
    return Site(database(behaviour), random_bytes=random.Random(1).randbytes, release="2.8")


def sent(visitor, *messages):
    """What a client learns after it has sent messages that no session of ours sends by itself."""
    wire = protocol_named(visitor.session.protocol_name, behaviour.schema, Limits())
    for payload in wire.write_client(messages):
        visitor.session.observe(payload)
        visitor.service.receive_data(frame(BINARY, payload, masked=True))
    return visitor.events()


@pytest.mark.parametrize("protocol", ["v2.bsatn", "v3.bsatn"])
def test_a_batch_has_one_answer_of_one_moment(site, protocol):
    writer, visitor = connected(site), connected(site, protocols=[protocol])
    writer.session.call_reducer("add_pairs", [1, 2])
    writer.events()
    (answer,) = sent(visitor, BATCH)
    assert isinstance(answer, BatchApplied)
    assert (answer.applied, list(answer.errors), len(answer.changes["pair"].inserts)) == ((2,), [3], 2)
    writer.session.call_reducer("add_pairs", [3, 1])
    writer.events()
    (update,) = visitor.events()
    assert [change.row.id for change in update.changes["pair"]] == [3]


@pytest.mark.parametrize("batch", [BATCH, m.SubscribeBatch(1, [])])
@pytest.mark.parametrize("protocol", ["v2.bsatn", "v3.bsatn"])
def test_an_old_server_knows_no_batches(protocol, batch):
    visitor = connected(old_site(), protocols=[protocol])
    *_, end = sent(visitor, batch)
    assert isinstance(end, Disconnected)
    assert (end.code, end.reason) == (1011, "unknown tag 0x5 for sum type ClientMessage")


def test_an_old_server_has_done_what_came_before_a_batch():
    site = old_site()
    reader, visitor = connected(site), connected(site, protocols=["v3.bsatn"])
    reader.session.subscribe("SELECT * FROM pair")
    reader.events()
    call = m.CallReducer(9, 0, "add_pairs", struct.pack("<II", 1, 1))
    late = m.CallReducer(10, 0, "add_pairs", struct.pack("<II", 2, 1))
    assert visitor.session.protocol_name == "v3.bsatn.spacetimedb"
    *_, end = sent(visitor, call, BATCH, late)
    assert end.code == 1011
    (update,) = reader.events()
    assert [change.row.id for change in update.changes["pair"]] == [1]


@pytest.mark.parametrize(("release", "claims"), [("2.8", {"exp": None}), ("2.14", {})])
def test_how_tokens_say_that_they_have_no_end(release, claims):
    site = Site(database(behaviour), random_bytes=random.Random(1).randbytes, release=release)
    for _ in range(2):
        payload = connected(site).seen[0].token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert {name: found[name] for name in found if name == "exp"} == claims
        site.restart(keep_tokens=False)


def test_a_release_that_nobody_serves():
    with pytest.raises(ValueError, match=r"release: expected one of 2.8, 2.14, got '2.9'"):
        Site(database(behaviour), random_bytes=random.Random(1).randbytes, release="2.9")


# --- who one is -------------------------------------------------------------------------------------------------------


def test_a_token_brings_the_identity_back(site):
    first, second = connected(site), connected(site)
    (hello,), (stranger,) = first.seen, second.seen
    assert hello.identity != stranger.identity
    (again,) = connected(site, token=hello.token).seen
    assert (again.identity, again.token) == (hello.identity, hello.token)
    assert again.connection_id != hello.connection_id


def test_chance_is_an_argument():
    def first_visit():
        site = Site(database(behaviour), random_bytes=random.Random(1).randbytes)
        return connected(site).seen

    assert first_visit() == first_visit()


@pytest.mark.parametrize("token", ["abc", "a.b.c", TokenIssuer(b"other").issue("alice", Clock()())])
def test_a_token_of_somebody_else(site, token):
    error = refused(site, token=token)
    assert isinstance(error, AuthenticationError)
    assert (error.status, error.body) == (401, "Invalid token: InvalidToken")


# --- the handshake ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "status", "body"),
    [
        ({"name": "nope"}, DatabaseNotFound, 404, "`nope` not found"),
        ({"name": "No_Name"}, ConnectError, 400, "`No_Name` is no database name"),
        ({"name": "c2" + "00" * 31}, ConnectError, 500, "No such database."),
    ],
)
def test_refused_handshakes(site, options, kind, status, body):
    error = refused(site, **options)
    assert type(error) is kind
    assert (error.status, error.body) == (status, body)


def test_a_database_is_also_found_by_its_identity(site):
    assert connected(site, name=site.database.identity.hex())
    assert connected(site, name=f"0x{site.database.identity.hex()}")


def test_client_connected_refuses_without_a_word(site):
    visitor = connected(site)
    visitor.session.call_reducer("ban_me")
    visitor.events()
    (hello,) = visitor.seen[:1]
    error = refused(site, token=hello.token)
    assert isinstance(error, ConnectionRefused)


# --- sessions ---------------------------------------------------------------------------------------------------------

SESSION = "0123456789abcdef" * 2
OTHER_SESSION = "0123456789abcdee" * 2


@pytest.fixture
def log():
    return []


@pytest.fixture
def logged(log):
    """A site whose module writes down who comes and goes."""
    module = Module("visits")

    @module.client_connected
    def hello(ctx):
        log.append(("came", ctx.connection_id))

    @module.client_disconnected
    def goodbye(ctx):
        log.append(("left", ctx.connection_id))

    return Site(database(module), random_bytes=random.Random(1).randbytes)


def test_a_session_has_one_link_at_a_time(logged, log):
    holder = connected(logged, name="visits", session_id=SESSION)
    (hello,) = holder.seen
    visit = {"name": "visits", "token": hello.token, "session_id": SESSION}

    newcomer = Visitor(logged, **visit)
    (end,) = newcomer.events()
    assert isinstance(end.error, ConnectionRefused), "there was no first message"
    assert (end.code, end.reason) == (4000, "session busy")
    (again,) = Visitor(logged, **{**visit, "session_id": SESSION.upper()}).events()
    assert again.code == 4000, "the old client has not been seen off yet"
    assert log == [("came", hello.connection_id)]

    (lost,) = holder.events()
    assert lost.code == 1006, "without a Close frame"
    (back,) = connected(logged, **visit).seen
    assert back.identity == hello.identity
    assert log == [("came", hello.connection_id), ("left", hello.connection_id), ("came", back.connection_id)]


def test_a_refused_newcomer_asks_in_vain(logged, log):
    (hello,) = connected(logged, name="visits", session_id=SESSION).seen
    newcomer = Visitor(logged, name="visits", token=hello.token, session_id=SESSION)
    newcomer.link.server_events()
    newcomer.service.receive_data(frame(BINARY, b"\x02" + bytes(4) + b"\x01\0\0\0;", masked=True))
    assert [end.code for end in newcomer.events()] == [4000]
    newcomer.connection.receive_eof()
    assert newcomer.events() == []
    assert len(log) == 1


def test_what_is_no_conflict(logged):
    (hello,) = connected(logged, name="visits", session_id=SESSION).seen
    assert connected(logged, name="visits", session_id=SESSION), "another identity"
    assert connected(logged, name="visits", token=hello.token, session_id=OTHER_SESSION), "another session"
    assert connected(logged, name="visits", token=hello.token), "none"


def test_a_session_is_free_when_its_client_has_left_by_itself(logged):
    holder = connected(logged, name="visits", session_id=SESSION)
    holder.connection.close()
    holder.events()
    assert connected(logged, name="visits", token=holder.seen[0].token, session_id=SESSION)


def test_a_session_of_a_client_that_the_module_refuses(site):
    visitor = connected(site, session_id=SESSION)
    visitor.session.call_reducer("ban_me")
    visitor.connection.close()
    visitor.events()
    for _ in range(2):
        (end,) = Visitor(site, token=visitor.seen[0].token, session_id=SESSION).events()
        assert end.code == 1006, "refused by the module, not because the session is held"


@pytest.mark.parametrize("session_id", [SESSION, "xyz", "", "0" * 32])
def test_an_old_server_knows_no_sessions(session_id):
    site = old_site()
    first = connected(site, session_id=session_id)
    assert connected(site, token=first.seen[0].token, session_id=session_id)
    assert first.events() == []


UPGRADE = [
    ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-protocol", "v2.bsatn.spacetimedb"),
]  # fmt: skip
FAILED = "Failed to deserialize query string"
SUBSCRIBE = "/v1/database/behaviour/subscribe"


def without(name):
    return [header for header in UPGRADE if header[0] != name]


@pytest.mark.parametrize(
    ("target", "headers", "status", "body"),
    [
        (f"{SUBSCRIBE}?compression=x", UPGRADE, 400, f"{FAILED}: compression: expected None, Brotli, Gzip, got `x`"),
        (f"{SUBSCRIBE}?light=yes", UPGRADE, 400, f"{FAILED}: light: expected true, false, got `yes`"),
        (f"{SUBSCRIBE}?connection_id={'0' * 32}", UPGRADE, 400, "Invalid connection ID"),
        (f"{SUBSCRIBE}?session_id={'0' * 32}", UPGRADE, 400, "Invalid session ID"),
        (f"{SUBSCRIBE}?session_id=abc", UPGRADE, 400, f"{FAILED}: session_id: expected [0-9a-fA-F]{{32}}, got `abc`"),
        (SUBSCRIBE, without("sec-websocket-protocol"), 400, "no valid protocol selected"),
        (SUBSCRIBE, [], 426, "This service requires use of the websocket protocol"),
        (SUBSCRIBE, without("sec-websocket-version"), 400, "malformed WebSocket handshake"),
        ("/v1/database/behaviour/elsewhere", UPGRADE, 404, ""),
        (f"{SUBSCRIBE}?token=abc", UPGRADE, 401, "Invalid token: InvalidToken"),
        (SUBSCRIBE, [*UPGRADE, ("authorization", "Basic abc")], 400, "Authorization is invalid: malformed token"),
        (SUBSCRIBE, [*UPGRADE, ("authorization", "Bearer")], 400, "Authorization is invalid: malformed token"),
        ("//[/v1", UPGRADE, 400, "the target is no URL"),
    ],
)  # fmt: skip
def test_handshakes_that_no_client_of_ours_sends(site, target, headers, status, body):
    answer = ask(site, "GET", target, headers)
    assert (answer.status, answer.body.decode()) == (status, body)


def test_the_header_wins_over_the_parameter(site):
    token = json.loads(ask(site, "POST", "/v1/identity").body)["token"]
    accepted = ask(site, "GET", f"{SUBSCRIBE}?token=abc", [*UPGRADE, ("authorization", f"bearer {token}")])
    assert (accepted.status, accepted.header("spacetime-identity-token")) == (101, token)
    by_parameter = ask(site, "GET", f"{SUBSCRIBE}?token={token}", UPGRADE)
    assert by_parameter.header("spacetime-identity-token") == token


def upgraded(site, target=SUBSCRIBE):
    """A service after the 101, and the frames it has sent."""
    service = Service(site)
    exchange = HttpExchange("GET", ENDPOINT, target, UPGRADE)
    service.receive_data(exchange.data_to_send())
    service.next_event()
    exchange.receive_data(service.data_to_send())
    assert exchange.next_event().status == 101
    return service, read_frames(exchange.trailing_data)


def test_the_greeting_comes_before_the_first_ping(site):
    _, (greeting, ping) = upgraded(site)
    assert (greeting[0], greeting[2][:2], ping) == (BINARY, b"\0\0", (PING, True, b""))


def test_a_chosen_connection_id(site):
    chosen = "0123456789abcdef" * 2
    _, (greeting, _) = upgraded(site, f"{SUBSCRIBE}?connection_id={chosen}")
    assert ConnectionId.from_wire(greeting[2][34:50]).hex() == chosen


def test_large_messages_are_compressed_and_cut(site):
    service, _ = upgraded(site, f"{SUBSCRIBE}?compression=Gzip")
    noise = random.Random(1).randbytes(9000).hex().encode()
    text = len(noise).to_bytes(4, "little") + noise
    args = (len(text) + 4).to_bytes(4, "little") + b"\1\0\0\0" + text
    call = b"\x03" + bytes(4) + b"\0" + b"\x0a\0\0\0add_no_key" + args
    query = b"\x02" + bytes(4) + b"\x15\0\0\0SELECT * FROM no_key;"
    service.receive_data(frame(BINARY, call, masked=True) + frame(BINARY, query, masked=True))
    while service.next_event() is not NEED_DATA:
        pass
    frames = read_frames(service.data_to_send())
    assert max(len(payload) for _, _, payload in frames) == 4096
    (_, is_whole, small), *parts = frames
    large = b"".join(payload for _, _, payload in parts)
    assert (is_whole, small[0], large[0]) == (True, 0, 2), "only what is large is compressed"
    assert noise in gzip.decompress(large[1:])


def test_nonsense_closes_with_1011(site):
    service, _ = upgraded(site)
    service.receive_data(frame(BINARY, b"\xff", masked=True))
    while not isinstance(event := service.next_event(), Disconnected):
        assert event is not NEED_DATA
    ((opcode, _, payload),) = read_frames(service.data_to_send())
    assert (opcode, payload[:2]) == (CLOSE, (1011).to_bytes(2, "big"))
    assert repr(site.database) == "<Database 'behaviour' with 0 clients>"


def test_the_server_closes_and_drops(site):
    first, second = connected(site), connected(site)
    first.service.close(1001, "module exited")
    second.service.drop()
    (closed,), (dropped,) = first.events(), second.events()
    assert isinstance(closed.error, ConnectionLost)
    assert (closed.code, closed.reason, dropped.code) == (1001, "module exited", 1006)


def test_a_silent_client_is_given_up(site):
    visitor = connected(site)
    visitor.session.query("SELECT * FROM user")
    visitor.events()
    service, now = visitor.service, 0.0
    while not isinstance(service.next_event(), Disconnected):
        now = max(now, service.next_deadline())
        service.handle_timeout(now)
    assert now == 30.0
    assert repr(site.database) == "<Database 'behaviour' with 0 clients>"


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_ping(site):
    answer = ask(site, "GET", "/v1/ping")
    assert (answer.status, answer.body) == (200, b"")
    assert ask(site, "GET", "/v1/ping", [("authorization", "Bearer abc")]).status == 401


def test_identity(site):
    answer = ask(site, "POST", "/v1/identity")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    made = json.loads(answer.body)
    assert Identity.from_hex(made["identity"])
    assert connected(site, token=made["token"]).seen[0].identity.hex() == made["identity"]


def test_short_tokens_for_clients_without_headers(site):
    """What the TypeScript SDK does with every token before it connects."""
    made = json.loads(ask(site, "POST", "/v1/identity").body)
    answer = ask(site, "POST", "/v1/identity/websocket-token", [("authorization", f"Bearer {made['token']}")])
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    short = json.loads(answer.body)["token"]
    assert short != made["token"]
    assert connected(site, token=short).seen[0].identity.hex() == made["identity"]
    for headers in ([], [("authorization", "Bearer abc")]):
        assert ask(site, "POST", "/v1/identity/websocket-token", headers).status == 401


@pytest.mark.parametrize("version", [9, 10])
def test_schema(site, version):
    answer = ask(site, "GET", f"/v1/database/behaviour/schema?version={version}")
    assert answer.status == 200
    assert json.loads(answer.body) == dump_schema(behaviour.schema, version)
    assert load_schema(answer.body).tables.keys() == behaviour.schema.tables.keys()
    assert len(answer.header("spacetime-identity")) == 64


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/v1/database/behaviour/schema", 400, f"{FAILED}: missing field `version`"),
        ("GET", "/v1/database/behaviour/schema?version=8", 400, f"{FAILED}: unknown variant `8`, expected `9` or `10`"),
        ("GET", "/v1/database/nope/schema?version=9", 404, "`nope` not found"),
        ("GET", f"/v1/database/c2{'00' * 31}/schema?version=9", 404, "No such database."),
        ("GET", "/v1/database/a%20b/schema?version=9", 400, "`a b` is no database name"),
        ("POST", "/v1/database/behaviour/schema?version=9", 405, ""),
        ("POST", "/v1/ping", 405, ""),
        ("GET", "/v1/identity", 405, ""),
        ("GET", "/", 404, ""),
        ("GET", "/v1/database/behaviour/schema/", 404, ""),
    ],
)  # fmt: skip
def test_what_else_is_asked(site, method, target, status, body):
    answer = ask(site, method, target)
    assert (answer.status, answer.body.decode()) == (status, body)


def test_an_empty_module_is_served_too():
    site = Site(database(Module("empty")), random_bytes=random.Random(1).randbytes)
    assert connected(site, name="empty")
    assert load_schema(ask(site, "GET", "/v1/database/empty/schema?version=10").body).tables == {}


def test_bytes_that_are_no_http(site):
    service = Service(site)
    service.receive_data(b"\x16\x03\x01\r\n\r\n")
    assert isinstance(service.next_event(), Disconnected)
    assert service.data_to_send().startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_before_it_asks(site):
    service = Service(site)
    service.receive_eof()
    assert isinstance(service.next_event(), Disconnected)
    assert service.next_event() is NEED_DATA
