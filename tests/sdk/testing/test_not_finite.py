"""Numbers that JSON cannot carry: as bytes they arrive, as JSON they become null, and nobody's link is cut for them."""

from __future__ import annotations

import math

import pytest

from spacetimedb_sdk import HttpClient, Timestamp, connect
from spacetimedb_sdk.testing import Database, Module, PrimaryKey, f32, f64, serve, u32
from spacetimedb_sdk.testing.site import Site
from tests.sdk.testing.support import ask

pytestmark = pytest.mark.anyio

lab = Module("lab")


@lab.table(public=True)
class Reading:
    id: PrimaryKey[u32]
    single: f32
    double: f64 | None


@lab.reducer
def measure(ctx, number: u32, value: f64):
    ctx.db.reading.insert(id=number, single=value, double=value)


@lab.procedure
def infinity(ctx) -> f64:
    return math.inf


@pytest.fixture(params=["v1.json", "v1.bsatn", "v2.bsatn", "v3.bsatn"])
def protocol(request):
    return request.param


def shown(row):
    return repr((row.single, row.double))


async def test_rows_and_results_arrive_whatever_the_numbers(protocol):
    values = [math.nan, math.inf, -math.inf]
    with serve(lab) as server:
        async with connect(server.uri, "lab", protocols=(protocol,)) as client, connect(server.uri, "lab") as other:
            await other.reducers.measure(1, math.nan)
            await client.subscribe("SELECT * FROM reading")
            for number, value in enumerate(values[1:], 2):
                await other.reducers.measure(number, value)
            await client.reducers.measure(4, 0.5)
            expected = [math.nan] * 3 if protocol == "v1.json" else values
            rows = sorted(client.db.reading, key=lambda row: row.id)
            assert list(map(shown, rows)) == [repr((value, value)) for value in (*expected, 0.5)]
            assert repr(await client.procedures.infinity()) == repr(expected[1])
            assert shown((await client.query("SELECT * FROM reading WHERE id = 3"))[0]) == repr((expected[2],) * 2)


async def test_http_answers_with_null():
    with serve(lab) as server:
        server.run(lambda ctx: measure(ctx, 1, math.inf))
        async with HttpClient(server.uri, "lab") as client:
            (row,) = (await client.sql("SELECT * FROM reading")).rows
            assert shown(row) == "(nan, nan)"
            assert math.isnan(await client.procedure("infinity"))


@pytest.mark.parametrize("number", ["null", "NaN", "Infinity", "-Infinity", "1e400"])
def test_arguments_are_numbers(number):
    site = Site(Database(lab, clock=lambda: Timestamp(0)), random_bytes=bytes)
    headers = [("content-type", "application/json")]
    answer = ask(site, "POST", "/v1/database/lab/call/measure", headers, f"[1, {number}]".encode())
    assert answer.status == 400
    assert "invalid arguments for reducer measure" in answer.body.decode()
    assert list(site.database.storage.tables["reading"].rows) == []
