"""`identity`, `publish`, `delete`, `serve` and `demo`."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

from spacetimedb_sdk import TokenFile
from spacetimedb_sdk.cli import serve
from spacetimedb_sdk.cli.serve import load_module
from tests.http_server import HttpServer, recorded, reply
from tests.sdk.cli.support import EXAMPLES


class Terminal(io.StringIO):
    def isatty(self):
        return True


# --- identities -------------------------------------------------------------------------------------------------------


def test_a_new_identity_in_a_file(program, tmp_path):
    file = tmp_path / "token"
    told = program("identity create --json --out", file).ok().json
    assert file.stat().st_mode & 0o777 == 0o600
    assert TokenFile(file).fetch() not in json.dumps(told)
    shown = program("identity show --json --token-file", file).ok().json
    assert shown["identity"] == told["identity"]
    assert program("identity verify", told["identity"], "--token-file", file).ok()
    assert program("identity create --out", file).code == 2


def test_a_new_identity_to_be_seen(program):
    told = program("identity create --json --show-token").ok().json
    assert told.keys() == {"identity", "token"}


def test_a_token_is_not_thrown_away(program):
    done = program("identity create")
    assert (done.code, done.out) == (2, "")


def test_whose_token_it_is(program, owner, server):
    mine = program("identity show --json").ok().json
    assert mine["source"] == "the environment variable SPACETIMEDB_TOKEN"
    assert program("identity databases --json", mine["identity"]).ok().json
    done = program("identity verify --json", "0" * 64)
    assert done.code == 5
    assert done.json["is_yours"] is False
    assert program("identity verify", "12").code == 2
    assert program("identity show --anonymous").code == 4


# --- publishing -------------------------------------------------------------------------------------------------------


def published(request, _link):
    return recorded({"PUT": "publish", "DELETE": "delete"}.get(request.method, "identity-create"))


@pytest.fixture
def host():
    with HttpServer(published) as server:
        yield server


def test_publish(program, host, tmp_path):
    code = tmp_path / "module.wasm"
    code.write_bytes(b"\0asm")
    told = program("publish --json", code, uri=host.uri).ok().json
    assert told.keys() == {"name", "identity", "is_new"}
    (request,) = (each for each in host.requests if each.method == "PUT")
    assert request.body == b"\0asm"
    assert "clear" not in request.target


def test_rows_are_dropped_only_if_somebody_agrees(program, host, tmp_path, monkeypatch):
    code = tmp_path / "module.js"
    code.write_bytes(b"x")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert program("publish --delete-data", code, uri=host.uri).code == 2
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert program("publish --clear", code, uri=host.uri).code == 1
    assert host.requests == []
    program("publish --clear --yes", code, uri=host.uri).ok()
    (target,) = host.targets("PUT")
    assert "clear=true" in target
    assert "host_type=Js" in target


PLAN = {"migrate_plan": "- a table is added", "token": "ab12", "major_version_upgrade": False}


@pytest.mark.parametrize("breaks", [False, True])
def test_a_plan(program, tmp_path, breaks):
    code = tmp_path / "module.wasm"
    code.write_bytes(b"\0asm")
    plan = json.dumps({"AutoMigrate": {**PLAN, "break_clients": breaks}}).encode()

    def answer(request, link):
        return reply(200, plan) if "pre_publish" in request.target else published(request, link)

    with HttpServer(answer) as server:
        done = program("publish --plan", code, uri=server.uri)
        assert (done.code, done.lines[0]) == (5 if breaks else 0, "- a table is added")
        assert server.targets("PUT") == []
        program("publish --break-clients", code, uri=server.uri).ok()
        (target,) = server.targets("PUT")
    assert ("token=ab12" in target) is breaks


def test_a_plan_that_loses_rows(program, tmp_path):
    code = tmp_path / "module.wasm"
    code.write_bytes(b"\0asm")
    plan = json.dumps({"ManualMigrate": {"reason": "a column is gone", "major_version_upgrade": False}}).encode()

    def answer(request, link):
        return reply(200, plan) if "pre_publish" in request.target else published(request, link)

    with HttpServer(answer) as server:
        done = program("publish --plan --json", code, uri=server.uri)
    assert (done.code, done.json["is_possible"], done.json["text"]) == (5, False, "a column is gone")


def test_delete(program, host, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert program("delete", uri=host.uri).ok().out.strip() == "deleted chat"
    assert host.targets("DELETE") == ["DELETE /v1/database/chat"]


def test_a_program_that_is_not_there(program, host):
    assert program("publish", "/nowhere.wasm", uri=host.uri).code == 2


# --- the server and the demo ------------------------------------------------------------------------------------------


def test_the_demo(alone):
    done = alone("demo").ok()
    assert "sees a message of Alice: hello, Bob" in done.out
    assert done.lines[-1].endswith("both connections are closed")


def test_serving_and_reloading(alone, tmp_path, monkeypatch):
    file, token = tmp_path / "my_module.py", tmp_path / "owner"
    text = (EXAMPLES / "chat_module.py").read_text()
    file.write_text(text)
    changes = iter([text.replace("class Message", "class Letter"), "broken =", None])

    def pause(_seconds):
        change = next(changes)
        if change is None:
            raise KeyboardInterrupt
        file.write_text(change)

    monkeypatch.setattr(serve, "time", SimpleNamespace(sleep=pause))
    done = alone("serve --port 0 --reload", file, "--owner-token", token)
    assert done.code == 130
    assert done.out.startswith("serving chat on http://127.0.0.1:")
    assert "for tests and demos" in done.err
    assert "serving the new version of chat" in done.err
    assert "kept the old version" in done.err
    assert token.stat().st_mode & 0o777 == 0o600


def test_which_module(tmp_path, alone):
    file = tmp_path / "modules.py"
    head = "from spacetimedb_sdk.testing import Module\n"
    file.write_text(f"{head}a = Module('one')\nb = Module('two')\n")
    assert load_module(file, "two").name == "two"
    done = alone("serve", file)
    assert done.code == 2
    assert "one, two" in done.err
    file.write_text("1 / 0\n")
    assert "ZeroDivisionError" in alone("serve", file).err
