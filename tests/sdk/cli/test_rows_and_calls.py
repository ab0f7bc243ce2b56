"""`sql`, `call`, `logs`, `schema`: what is asked once."""

from __future__ import annotations

import io
import json
import sys

import pytest

from spacetimedb_sdk import load_schema
from tests.schemas import SCHEMAS
from tests.sdk.cli.support import say


def test_rows_as_a_table(program, server):
    say(server, "hello", "[bold]no markup\x1b[2J")
    out = program("sql", "SELECT * FROM message").ok().out
    assert "sender" in out
    assert "hello" in out
    assert "[bold]no markup\\x1b[2J" in out


def test_rows_as_json_and_csv(program, server):
    say(server, "a, b", "c")
    query = "SELECT id, text FROM message"
    assert program("sql --json", query).ok().json == [{"id": 1, "text": "a, b"}, {"id": 2, "text": "c"}]
    assert program("sql --format csv", query).ok().out == 'id,text\n1,"a, b"\n2,c\n'


def test_identities_times_and_options_are_plain(program):
    (row,) = program("sql --json", "SELECT * FROM user").ok().json
    assert len(row["identity"]) == 64
    assert row["name"] is None
    assert row["online"] is True


def test_a_statement_from_stdin(program, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT COUNT(*) AS n FROM message"))
    assert program("sql --json", "-").ok().json == [{"n": 0}]


def test_what_a_statement_changes_is_told_beside_the_result(program, owner):
    done = program("sql", "INSERT INTO user (identity, name, online) VALUES (0x" + "01" * 32 + ", NULL, true)")
    assert done.code == 1  # the test server has no NULL: its words are shown
    assert done.err.startswith("error: ")
    done = program("sql", "DELETE FROM user").ok()
    assert done.out == ""
    assert "deleted" in done.err


def test_a_query_that_is_refused(program):
    done = program("sql", "SELECT * FROM nothing")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: no such table: `nothing`")


# --- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_with_words(program):
    assert program("call", "send_message", "hello").ok().out.startswith("send_message: committed")
    told = program("call --json", "send_message", "42").ok().json
    assert told["function"] == "send_message"
    texts = [row["text"] for row in program("sql --json", "SELECT text FROM message").ok().json]
    assert texts == ["hello", "42"]


@pytest.mark.parametrize("args", ['["in order"]', '{"text": "by name"}'])
def test_a_call_with_json(program, args):
    program("call", "send_message", "--args", args).ok()
    (row,) = program("sql --json", "SELECT text FROM message").ok().json
    assert row["text"] == (json.loads(args)["text"] if args[0] == "{" else "in order")


def test_a_reducer_that_refuses(program):
    done = program("call", "send_message", "")
    assert (done.code, done.out, done.err) == (1, "", "error: Messages must not be empty\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nobody"],
        ["client_connected"],
        ["send_message"],
        ["send_message", "a", "b"],
        ["send_message", "--args", "[1"],
        ["send_message", "a", "--args", '["b"]'],
        ["send_message", "--args", "[1]"],
        ["send_message", "--args", '{"nobody": 1}'],
    ],
)
def test_calls_that_cannot_be_meant(program, arguments):
    done = program("call", *arguments)
    assert done.code == 2
    assert done.out == ""


def test_arguments_are_shown(program):
    assert "got '[1'" in program("call send_message --args", "[1").err
    assert "got 1 for text: string expected, got a number" in program("call send_message --args", "[1]").err


# --- logs and schema --------------------------------------------------------------------------------------------------


def test_the_log(program, server, owner):
    server.run(lambda ctx: ctx.log("one", level="Info"))
    server.run(lambda ctx: ctx.log("two", level="Warn"))
    assert "two" in program("logs --lines 1").ok().out
    assert "one" not in program("logs --lines 1").ok().out
    line = json.loads(program("logs --lines 1 --json").ok().lines[-1])
    assert (line["level"], line["message"]) == ("Warn", "two")


def test_the_log_is_the_owners(program):
    done = program("logs")
    assert done.code == 4
    assert done.err.startswith("error: ")


def test_the_schema_as_a_tree(program):
    out = program("schema").ok().out
    assert "id: U64 [primary key, auto increment]" in out
    assert "send_message(text: String)" in out
    assert "client_connected() [OnConnect]" in out


def test_the_schema_raw_can_be_read_again(program, server, tmp_path):
    raw = program("schema --json").ok().out
    assert load_schema(raw).tables.keys() == {"user", "message"}
    file = tmp_path / "chat.json"
    file.write_text(raw)
    assert program("schema --json --schema", file).ok().out == raw


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_schema_can_be_drawn(alone, path):
    schema = load_schema(path.read_bytes())
    out = alone("schema --schema", path).ok().out
    for name in (*schema.tables, *schema.reducers, *schema.procedures):
        assert name in out
