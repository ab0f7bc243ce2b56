"""Numbers that JSON cannot carry: as bytes they arrive, as JSON they become null, and nobody's link is cut for them."""

from __future__ import annotations

import math

import pytest

from spacetimedb_proto.wire import messages as m
from spacetimedb_sdk import HttpClient, connect
from spacetimedb_sdk.testing import Module, PrimaryKey, f32, f64, serve, u32
from spacetimedb_sdk.testing.site import Site
from tests.sdk.testing.support import Guest, ask, database

pytestmark = pytest.mark.anyio

JSON = ("content-type", "application/json")

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


@lab.procedure
def measure_double(ctx, value: f64) -> f64:
    return value


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


# --- arguments --------------------------------------------------------------------------------------------------------


@lab.reducer
def measure_many(ctx, values: list[f32], last: f64 | None):
    raise AssertionError("nobody gets that far")


@pytest.mark.parametrize(
    ("reducer", "args", "problem"),
    [
        ("measure", "[1, null]", "[1]: invalid type: null, expected f64 at line 1 column 8"),
        ("measure", '{"number": 1, "value": null}', "value: expected a number, got null"),
        ("measure", "[1, NaN]", "expected value, got NaN"),
        ("measure", "[1, -Infinity]", "expected value, got -Infinity"),
        ("measure", "[NaN, 1]", "expected value, got NaN"),
        ("measure", "[1, 1e400]", "number out of range"),
        ("measure", "[1, -1e400]", "number out of range"),
        ("measure", f"[1, {'9' * 400}]", "number out of range"),
        ("measure", f"[1, {'9' * 5000}]", "number out of range"),
        ("measure_many", "[[1, null], null]", "values[1]: expected a number, got null"),
        ("measure_many", '[[1], {"some": null}]', "last: expected a number, got null"),
        ("measure_many", "[[1], [0, NaN]]", "expected value, got NaN"),
        ("measure_many", '[[], null, "more"]', "measure_many with 2 fields expected, got an array of 3"),
    ],
)
def test_arguments_are_numbers(reducer, args, problem):
    site = Site(database(lab), random_bytes=bytes)
    answer = ask(site, "POST", f"/v1/database/lab/call/{reducer}", [JSON], args.encode())
    assert (answer.status, answer.body.decode().endswith(f": {problem}")) == (400, True), answer.body

    told = Guest(site.database, protocol="v1.json.spacetimedb").ask(m.CallReducer(1, 0, reducer, args))
    assert told.error == answer.body.decode(), "the same over v1.json"
    assert list(site.database.storage.tables["reading"].rows) == []


@pytest.mark.parametrize("number", ["9" * 308, "1e308", "-0.0", "5"])
def test_large_arguments_are_numbers_too(number):
    site = Site(database(lab), random_bytes=bytes)
    answer = ask(site, "POST", "/v1/database/lab/call/measure_double", [JSON], f"[{number}]".encode())
    assert (answer.status, answer.body.decode()) == (200, repr(float(number)))
