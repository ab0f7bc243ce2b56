"""`doctor`: what it finds."""

from __future__ import annotations

import json
import time

import pytest

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_sdk.cli.checks import Status, examine
from spacetimedb_sdk.cli.target import Target
from spacetimedb_sdk.testing import serve
from spacetimedb_sdk.testing.tokens import TokenIssuer
from tests.http_server import HttpServer, reply
from tests.loopback import closed_port


def statuses(done):
    return {each["check"]: each["status"] for each in json.loads(done.out)}


def test_all_is_well(program, owner):
    done = program("doctor --json").ok()
    assert set(statuses(done).values()) == {"ok"}
    assert set(statuses(done)) == {
        *("server", "encryption", "compression", "limits", "version", "token"),
        *("database", "clock", "schema", "protocols"),
    }
    assert owner not in done.out


def test_lines_for_people(program):
    done = program("doctor").ok()
    assert [line.split()[0] for line in done.lines] == ["ok"] * 10
    assert "v3.bsatn, v2.bsatn, v1.bsatn, v1.json" in done.out


def test_no_server(alone):
    with closed_port() as nobody:
        done = alone("doctor -d chat --uri", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert done.code == 3
    assert done.lines[0].startswith("failure server")
    assert "→ is it running" in done.lines[1]


def test_no_database_is_asked_for(alone, server):
    done = alone("doctor --json --uri", server.uri).ok()
    assert "schema" not in statuses(done)


def test_no_such_database(alone, server):
    done = alone("doctor --json -d nobody --uri", server.uri)
    assert done.code == 1
    found = statuses(done)
    assert [name for name, status in found.items() if status == "failure"] == ["database", "schema", "protocols"]


def test_a_token_that_nobody_takes(program, module, monkeypatch):
    with serve(module) as other:
        monkeypatch.setenv("SPACETIMEDB_TOKEN", other.owner_token)
    done = program("doctor --json")
    assert done.code == 4
    assert statuses(done)["token"] == "failure"


@pytest.mark.parametrize("token", ["no-token", TokenIssuer(bytes(32)).issue("me", Timestamp(0), 10)])
def test_a_token_that_is_none_or_too_old(program, monkeypatch, token):
    monkeypatch.setenv("SPACETIMEDB_TOKEN", token)
    done = program("doctor --json")
    assert done.code == 4
    assert statuses(done)["token"] == "failure"
    assert token not in done.out


def test_clocks_that_differ(server):
    found = {each.check: each for each in examine(Target(server.uri, "chat"), now=lambda: time.time() - 3600)}
    assert found["clock"].status is Status.WARNING
    assert "ahead" in found["clock"].text


def test_old_and_silent_protocols(module):
    with serve(module, protocols=["v2.bsatn"]) as server:
        found = {each.check: each for each in examine(Target(server.uri, "chat"))}
    assert found["protocols"].text == "the server speaks v2.bsatn"


def versioned(version):
    def answer(request, _link):
        return reply(200, json.dumps({"version": version}).encode() if "health" in request.target else b"")

    return answer


@pytest.mark.parametrize(("version", "status"), [("2.9.3", "warning"), ("2.10.0", "ok"), ("3.0.0", "ok")])
def test_versions_with_known_holes(alone, version, status):
    with HttpServer(versioned(version)) as server:
        done = alone("doctor --json --uri", server.uri).ok()
    assert statuses(done)["version"] == status


def test_another_server(alone):
    with HttpServer(lambda _request, _link: reply(404)) as server:
        done = alone("doctor --uri", server.uri)
    assert done.code == 1
    assert "is this a SpacetimeDB server?" in done.out


def test_encryption(monkeypatch):
    with closed_port() as nobody:  # a proxy, so that no name is looked up
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        found = {each.check: each for each in examine(Target("http://spacetimedb.invalid"))}
    assert found["encryption"].status is Status.WARNING
    assert found["server"].status is Status.FAILURE


def test_bindings(program, tmp_path):
    package = tmp_path / "doctors_bindings"
    program("generate --out", package).ok()
    assert statuses(program("doctor --json --package", package).ok())["bindings"] == "ok"


def test_bindings_that_are_none(program, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text("{}")
    for package, told in ((tmp_path, "expected a schema file, or a package"), (file, "definition")):
        done = program("doctor --json --package", package)
        assert done.code == 2
        assert done.json[-1]["check"] == "bindings"
        assert done.json[-1]["text"].startswith(f"{package}: {told}")
