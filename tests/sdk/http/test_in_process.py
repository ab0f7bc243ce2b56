"""The same from a real server, recorded, and from our own; and the same over HTTP and over the socket."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacetimedb_sdk import BlockingHttpClient, EncodeError, HttpClient, QueryError, ReducerError, blocking, sql
from spacetimedb_sdk.testing import ConstraintError, Module, PrimaryKey, i32, serve, u64
from tests.behaviour_module import behaviour
from tests.http_server import HttpServer
from tests.modules.sdk_test import sdk_test
from tests.strategies import values_of

from .hosts import Threaded
from .test_clients import TOKEN, mini

MINI = Module("t-mini")


@MINI.table(public=True)
class PkU64:
    n: PrimaryKey[u64]
    data: i32


@MINI.init
def fill(ctx):
    for n, data in [(0, 0), (1, 1), (2, 2), (3, 50), (5, 5), (6, 6), (7, 7), (500, 5)]:
        ctx.db.pk_u_64.insert(n=n, data=data)


@MINI.reducer
def insert_pk_u_64(ctx, n: u64, data: i32):
    if n == 7:
        raise RuntimeError("duplicate unique column")
    ctx.db.pk_u_64.insert(n=n, data=data)


@pytest.fixture(params=["asyncio", "trio", "threads"])
def host(request):
    return request.param


@pytest.fixture
def anyio_backend(host):
    return "asyncio" if host == "threads" else host


@pytest.fixture
def make(host):
    return Threaded if host == "threads" else HttpClient


async def answers_of(client):
    """What the client makes of the answers to some questions, but for what differs from day to day."""
    rows = await client.sql("SELECT * FROM pk_u_64")
    found = [
        sorted((row.n, row.data) for row in rows),
        (rows.table, rows.columns),
        (await client.sql("SELECT COUNT(*) AS n FROM pk_u_64")).value,
        (await client.sql(sql("INSERT INTO pk_u_64 (n, data) VALUES ({}, {})", 1000, 1))).inserted,
        (await client.call("insert_pk_u_64", 1001, 8)).function,
    ]
    for error, ask in ((QueryError, client.sql("SELEC")), (ReducerError, client.call("insert_pk_u_64", 7, 8))):
        with pytest.raises(error) as caught:
            await ask
        found.append(type(caught.value))
    return found


@pytest.mark.anyio
async def test_our_own_server_answers_as_the_real_one(make):
    with HttpServer(mini) as real, serve(MINI) as ours:
        async with make(real.uri, "t-mini", token=TOKEN) as client:
            expected = await answers_of(client)
        async with make(ours.uri, ours.database, token=ours.owner_token) as client:
            assert await answers_of(client) == expected
            assert await client.ping() is None
            assert ours.database in await client.names()
            assert (await client.info()).identity == await client.database_identity()
            new = await client.create_identity()
            assert new.identity != (await client.info()).owner
            lines = await client.logs()
            assert {type(line.message) for line in lines} == {str}
            async with client.follow_logs(1) as followed:
                assert await anext(aiter(followed)) == lines[-1]


@pytest.fixture(scope="module")
def behaving():
    with serve(behaviour) as server:
        yield server


@pytest.fixture(scope="module")
def every_type():
    with serve(sdk_test) as server:
        yield server


FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

OF_ITS_OWN = {
    "users": "whoever asks sees other rows",
    "scheduled_table": "rows are calls that are due",
}


@pytest.mark.parametrize("protocol", ["v3.bsatn", "v1.json"])
@pytest.mark.parametrize("table", ["message", "pair", "no_key", "every_type"])
@given(data=st.data())
@FEW
def test_rows_are_equal_over_http_and_over_the_socket(behaving, protocol, table, data):
    check_that_rows_are_equal(behaving, behaviour.schema, protocol, table, data)


@pytest.mark.parametrize("table", sorted({*sdk_test.schema.tables} - {*OF_ITS_OWN}))
@given(data=st.data())
@settings(FEW, max_examples=2)
def test_rows_of_every_type_are_equal(every_type, table, data):
    check_that_rows_are_equal(every_type, sdk_test.schema, "v3.bsatn", table, data)


def check_that_rows_are_equal(server, definition, protocol, table, data):
    type_, codec = definition.tables[table].row, definition.row_codec(table)
    values = values_of(definition.types, definition.typespace, type_).filter(lambda r: has_json(codec, r))
    rows = data.draw(st.lists(values, min_size=1, max_size=3))

    def store(ctx):
        for row in list(ctx.db[table]):
            ctx.db[table].delete(row)
        for row in rows:
            with suppress(ConstraintError):
                ctx.db[table].insert(row)
        return len(list(ctx.db[table]))

    stored = server.run(store)
    statement = f"SELECT * FROM {table}"
    with BlockingHttpClient(server.uri, server.database, token=server.owner_token) as client:
        over_http = encoded(client.schema(), table, client.sql(statement))
    with blocking.connect(server.uri, server.database, protocols=(protocol,), token=server.owner_token) as conn:
        over_socket = encoded(conn.schema, table, conn.query(statement))
    assert over_http == over_socket
    assert len(over_http) == stored


def encoded(schema, table, rows):
    """Rows by the classes that whoever read them has for the table; others cannot be written."""
    return sorted(map(schema.row_codec(table).encode, rows))


def has_json(codec, row):
    """JSON has no infinity, so the server cannot send one over HTTP."""
    try:
        codec.to_json(row)
    except EncodeError:
        return False
    return True
