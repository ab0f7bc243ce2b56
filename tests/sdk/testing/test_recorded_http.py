"""The recorded exchanges with a real server over HTTP, asked of a module in Python that does the same."""

from __future__ import annotations

import json
import random
import re

import pytest

from spacetimedb_proto.schema import load_schema
from spacetimedb_sdk.testing import Module, PrimaryKey, i32, u32, u64
from spacetimedb_sdk.testing.site import Site
from tests.sdk.testing.support import ask, database, exchanged
from tests.transcripts import load, names

OWNER = "c2005fe74a4af4dd1d52d6db8dd243ad66aad668b936466df3f6e44910c7f9c4"
"""Who published the recorded modules, and so sent most of the recorded tokens."""

NOT_SERVED = {"publish", "publish-again", "publish-bad", "publish-noauth", "delete", "public-key"}
"""Modules are served, not published; and tokens are signed with a secret, which has no public half."""

mini = Module("t-mini")


@mini.table(public=True)
class PkU64:
    n: PrimaryKey[u64]
    data: i32


@mini.table(public=True)
class OneString:
    s: str


@mini.init
def init(ctx):
    for n, data in [(0, 0), (1, 1), (2, 2), (3, 50), (5, 5), (6, 6), (7, 7), (500, 5)]:
        ctx.db.pk_u_64.insert(n=n, data=data)


@mini.reducer
def insert_pk_u_64(ctx, n: u64, data: i32):
    ctx.db.pk_u_64.insert(n=n, data=data)


events = Module("t-http")


@events.table(public=True, event=True)
class TestEvent:
    __test__ = False
    name: str
    value: u64


@events.reducer
def emit_test_event(ctx, name: str, value: u64):
    ctx.db.test_event.insert(name=name, value=value)


@events.reducer
def emit_multiple_test_events(ctx):
    pass


@events.reducer
def noop(ctx):
    pass


procedures = Module("procedure")


@procedures.procedure
def return_primitive(ctx, lhs: u32, rhs: u32) -> u32:
    return lhs + rhs


MODULES = {module.name: module for module in (mini, events, procedures)}
IN_ORDER = [
    *("ping", "identity-create", "identity-databases", "identity-verify", "websocket-token"),
    *("database-identity", "database-info", "database-missing", "database-names"),
    *("schema-missing-version", "schema-v10", "schema-v8", "schema-v9", "procedure-call"),
    *("subscribe-bad-protocol", "subscribe-bad-token", "subscribe-missing-db"),
    *("subscribe-no-protocol", "subscribe-plain-http"),
    *("call-ok", "call-fails", "call-badargs", "call-noargs"),
    *("sql", "sql-count", "sql-error", "sql-multi", "sql-insert", "logs", "logs-noauth"),
]
"""As they were recorded, where one depends on others."""

CHANGING = re.compile(r"eyJ[\w.-]+|[0-9a-f]{63,64}|(?<=duration_micros\":)[0-9]+|(?<=\"ts\":)[0-9]+")
"""Tokens, identities and hashes, durations and times."""


def recorded(case):
    return load(f"http/{case}.1")


def text(message):
    """A recorded body, whole."""
    body = message["body"]
    if ["transfer-encoding", "chunked"] not in message["headers"]:
        return body
    parts, rest = [], body.encode()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return b"".join(parts).decode()


def site_for(target):
    name = target.split("?")[0].split("/")[3:4]
    module = MODULES.get(name[0] if name else "", events)
    return Site(database(module), random_bytes=random.Random(1).randbytes)


def request(site, case):
    """What was asked, by the owner of ours instead of the owner of theirs."""
    asked = recorded(case).request
    headers = []
    for name, value in asked["headers"]:
        known = name == "Authorization" and value.startswith("Bearer eyJ")
        if name not in ("Host", "Content-Length"):
            headers.append((name, f"Bearer {site.owner.token}" if known else value))
    return asked["method"], asked["target"].replace(OWNER, site.owner.identity.hex()), headers, asked["body"].encode()


@pytest.fixture(scope="module")
def answers():
    """The answers to all cases, in order, from one server for each module."""
    sites: dict[str, Site] = {}
    found = {}
    for case in IN_ORDER:
        target = recorded(case).request["target"]
        site = site_for(target)
        site = sites.setdefault(site.database.name, site)
        found[case] = ask(site, *request(site, case))
    return found


def test_every_case_is_either_asked_or_not_served():
    cases = {name.split("/")[1].removesuffix(".1") for name in names("http")}
    assert cases == {*IN_ORDER, *NOT_SERVED, "logs-follow"}


@pytest.mark.parametrize("case", IN_ORDER)
def test_the_status_and_kind_are_the_same(answers, case):
    response = recorded(case).response
    assert answers[case].status == response["status"]
    types = [value for name, value in response["headers"] if name == "content-type"]
    assert [answers[case].header("content-type")] == (types or [None])
    telling = {"spacetime-identity", "spacetime-identity-token", "spacetime-energy-used", "cache-control"}
    telling |= {"spacetime-execution-duration-micros"}
    theirs = {name for name, _ in response["headers"]} & telling
    assert {name for name in telling if answers[case].header(name)} == theirs


OWN_WAYS = {
    "identity-databases": "whoever owned theirs had many",
    "logs": "theirs tells of Rust code that panicked",
    "schema-v9": "compared as a schema",
    "schema-v10": "compared as a schema",
}


@pytest.mark.parametrize("case", [case for case in IN_ORDER if case not in OWN_WAYS])
def test_the_body_is_the_same(answers, case):
    body = answers[case].body.decode()
    assert CHANGING.sub("#", body) == CHANGING.sub("#", text(recorded(case).response))


@pytest.mark.parametrize("case", ["schema-v9", "schema-v10"])
def test_the_schema_is_the_same(answers, case):
    assert load_schema(json.loads(answers[case].body)) == load_schema(json.loads(text(recorded(case).response)))


def test_the_owner_has_this_database(answers):
    assert json.loads(answers["identity-databases"].body).keys() == {"identities"}
    assert len(json.loads(answers["identity-databases"].body)["identities"]) == 1


def lines(body):
    return [json.loads(line) for line in body.splitlines()]


def test_the_log_tells_the_same(answers):
    ours, theirs = lines(answers["logs"].body), lines(text(recorded("logs").response))
    assert len(ours) == 5
    for line, other in zip(ours, theirs, strict=True):
        assert line.keys() == other.keys()
        if other["level"] == "Panic":
            assert (line["level"], line["function"]) == ("Panic", "insert_pk_u_64")
            assert line["trace"][0]["func_name"]
            assert "duplicate unique column" in line["message"]
        else:
            assert {**line, "ts": 0} == {**other, "ts": 0}


def test_a_log_that_is_followed():
    site = site_for("/v1/database/t-mini/logs")
    ask(site, *request(site, "call-noargs"))
    _, exchange = exchanged(site, *request(site, "logs-follow"))
    response = recorded("logs-follow").response
    assert exchange.partial.status == response["status"]
    assert [exchange.partial.header(name) for name in ("content-type", "cache-control", "transfer-encoding")] == [
        "application/x-ndjson", "no-cache", "chunked",
    ]  # fmt: skip
    chunk = response["body"].split("\r\n")[1]
    assert CHANGING.sub("#", exchange.partial.body.decode()) == CHANGING.sub("#", chunk)
