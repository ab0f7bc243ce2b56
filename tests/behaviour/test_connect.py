"""Connecting, being refused, and ending."""

from __future__ import annotations

import socket

import anyio
import pytest

from spacetimedb_sdk import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    Disconnected,
    Limits,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    SpacetimeDBError,
    UnsupportedProtocol,
)
from tests.http_server import HttpServer, reply

pytestmark = pytest.mark.anyio


async def test_a_connection_knows_who_it_is(client, protocol):
    conn = await client()
    assert conn.identity.hex().startswith("c200")
    assert not conn.connection_id.is_zero
    assert conn.token.count(".") == 2
    assert conn.protocol == f"{protocol}.spacetimedb"


async def test_the_token_brings_the_same_identity_back(client):
    first = await client()
    second = await client(token=first.token)
    assert second.identity == first.identity
    assert second.connection_id != first.connection_id


async def test_without_a_token_everybody_is_new(client):
    first, second = await client(), await client()
    assert first.identity != second.identity


async def test_the_best_protocol_on_offer_is_chosen(target, client, protocol):
    conn = await client(protocols=("v1.json", "v1.bsatn", "v2.bsatn", "v3.bsatn"))
    known = ("v3.bsatn", "v2.bsatn", "v1.bsatn", "v1.json")
    assert known.index(conn.protocol.removesuffix(".spacetimedb")) <= known.index(protocol)


async def test_no_secret_in_a_repr(client):
    conn = await client()
    assert conn.token not in repr(conn)


@pytest.mark.parametrize("token", ["forged.token.indeed", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"])
async def test_a_bad_token_is_refused(target, client, token):
    with pytest.raises(AuthenticationError) as caught:
        await client(token=token)
    assert caught.value.status == 401
    assert token not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nbreak", "na\u00efve"])
async def test_a_token_that_cannot_be_sent_is_refused_here(target, token, connect):
    with pytest.raises(AuthenticationError, match="expected visible ASCII characters"):
        await connect(target.uri, target.database, token=token)


async def test_an_unknown_database_is_not_found(target, connect):
    with pytest.raises(DatabaseNotFound) as caught:
        await connect(target.uri, "no-such-database")
    assert caught.value.status == 404


async def test_no_common_protocol(target, not_offered, connect):
    uri, protocol = not_offered
    with pytest.raises(UnsupportedProtocol) as caught:
        await connect(uri, target.database, protocols=(protocol,))
    assert caught.value.status == 400


async def test_a_protocol_that_there_is_none_of(target, connect):
    with pytest.raises(LocalProtocolError, match="expected some of v3.bsatn, .* got v9.smoke"):
        await connect(target.uri, target.database, protocols=("v9.smoke",))


async def test_nobody_listens(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectError, match=str(port)) as caught:
        await connect(f"http://127.0.0.1:{port}", "behaviour")
    assert caught.value.status is None


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: zz\r\n\r\n", reply(200, b"[" * 9)]
)
async def test_who_answers_is_no_server(connect, answer):
    with HttpServer(lambda _request, _link: answer) as server, pytest.raises(ConnectError):
        await connect(server.uri, "behaviour")


async def test_a_schema_that_is_too_large(connect):
    large = reply(200, b" " * 2000)
    with HttpServer(lambda _request, _link: large) as server, pytest.raises(ConnectError, match="1000"):
        await connect(server.uri, "behaviour", limits=Limits(message_size=1000))


async def test_no_such_host(connect):
    with pytest.raises(ConnectError, match=r"no-such-host\.invalid"):
        await connect("http://no-such-host.invalid:3000", "behaviour")


async def test_an_address_that_is_none(connect):
    with pytest.raises(ConnectError, match="expected http://"):
        await connect("ftp://127.0.0.1", "behaviour")


async def test_client_connected_may_refuse(client):
    conn = await client()
    await conn.reducers.ban_me()
    with pytest.raises(ConnectionRefused):
        await client(token=conn.token)


async def test_it_closes_cleanly_and_twice(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    seen = []
    conn.on_disconnect(seen.append)
    await conn.aclose()
    await conn.aclose()
    assert [type(ctx.event) for ctx in seen] == [Disconnected]
    assert seen[0].event.error is None
    assert [pair.key for pair in conn.db.pair] == ["one"], "what was cached stays readable"


async def test_after_the_end_every_call_fails(client):
    conn = await client()
    await conn.aclose()
    with pytest.raises(NotSent):
        await conn.reducers.clear()
    with pytest.raises(ConnectionLost):
        await conn.subscribe("SELECT * FROM pair")
    with pytest.raises(ConnectionLost):
        await conn.query("SELECT * FROM pair")
    with pytest.raises(SpacetimeDBError):
        conn.db.pair.changes()


async def test_connections_close_in_any_order(client):
    first, second, third = await client(), await client(), await client()
    await second.aclose()
    await first.aclose()
    await third.reducers.add_pair(1, "one", 0, 10)


async def test_it_is_a_context_manager(target, protocol, client, connect):
    async with connect(target.uri, target.database, protocols=(protocol,)) as conn:
        await conn.reducers.add_pair(1, "one", 0, 10)
    with pytest.raises(NotSent):
        await conn.reducers.clear()


async def test_an_error_in_the_block_is_not_hidden(target, protocol, client, connect):
    with pytest.raises(ZeroDivisionError):
        async with connect(target.uri, target.database, protocols=(protocol,)):
            raise ZeroDivisionError


async def test_a_cancelled_block_still_closes(target, protocol, client, connect):
    with anyio.CancelScope() as scope:
        async with connect(target.uri, target.database, protocols=(protocol,)) as conn:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(NotSent):
        await conn.reducers.clear()


async def test_the_server_goes_away(target, client):
    server = target.need_own("the link is cut")
    conn = await client(reconnect=None)
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    ends, errors = [], []
    conn.on_disconnect(ends.append)
    conn.on_error(lambda error, where: errors.append(error))
    stream = conn.db.pair.changes()
    server.drop_clients()
    with pytest.raises(ConnectionLost):
        await anext(stream)
    assert [(type(ctx.event.error), ctx.event.retry) for ctx in ends] == [(ConnectionLost, None)]
    assert [pair.value for pair in conn.db.pair] == [10]
    with pytest.raises(NotSent):
        await conn.reducers.add_pair(2, "two", 0, 20)
    assert errors == []


async def test_a_call_under_way_when_the_server_goes_away(target, client):
    server = target.need_own("the link is cut")
    conn = await client(reconnect=None)
    call = conn.reducers.add_pair(1, "one", 0, 10)
    server.drop_clients()
    with pytest.raises((OutcomeUnknown, NotSent)):
        await call
        await conn.reducers.clear()


async def test_the_server_closes_with_a_reason(target, client):
    server = target.need_own("the server closes the connection")
    conn = await client(reconnect=None)
    stream = conn.transactions()
    server.close_clients(1001, "module exited")
    with pytest.raises(ConnectionLost, match="module exited") as caught:
        await anext(stream)
    assert (caught.value.code, caught.value.reason) == (1001, "module exited")
