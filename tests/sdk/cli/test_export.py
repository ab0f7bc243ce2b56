"""`export` and `feed`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from subprocess import PIPE

import pytest

from tests.sdk.cli.support import end, running, say


def texts_in(path):
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_table_into_a_file(program, server, tmp_path):
    say(server, "one", "two")
    done = program("export message --out", tmp_path / "said.jsonl").ok()
    assert done.out == f"{tmp_path / 'said.jsonl'}: 2 rows\n"
    assert texts_in(tmp_path / "said.jsonl") == ["one", "two"]


def test_a_query_into_a_file(program, server, tmp_path):
    say(server, "one", "two")
    query = "SELECT * FROM message WHERE text = 'two'"
    done = program("export --json --out", tmp_path / "said.jsonl", query).ok()
    assert done.json == {"file": str(tmp_path / "said.jsonl"), "rows": 1}
    assert texts_in(tmp_path / "said.jsonl") == ["two"]


def test_all_tables_into_one_database(program, server, tmp_path):
    say(server, "one")
    program("export --out", tmp_path / "all.sqlite").ok()
    with closing(sqlite3.connect(tmp_path / "all.sqlite")) as database:
        assert database.execute("SELECT text FROM message").fetchall() == [("one",)]
        assert database.execute("SELECT COUNT(*) FROM user").fetchone() == (1,)  # the program itself


def test_a_file_for_each_table(program, server, tmp_path):
    say(server, "one")
    program("export --format csv --out", tmp_path / "made" / "here").ok()
    assert sorted(path.name for path in (tmp_path / "made" / "here").iterdir()) == ["message.csv", "user.csv"]


@pytest.mark.parametrize(
    ("arguments", "name", "says"),
    [
        (["message"], "said.xls", "ends in .parquet, .csv"),
        ([], "said.csv", "a .csv file holds one table, and these are 2"),
        (["--format", "xls"], "folder", "expected one of parquet, csv, jsonl"),
        (["--format", "db"], "folder", "expected one of parquet, csv, jsonl"),
    ],
)
def test_what_has_nowhere_to_go(program, tmp_path, arguments, name, says):
    done = program("export", "--out", tmp_path / name, *arguments)
    assert done.code == 2
    assert says in done.err
    assert list(tmp_path.glob("*said*")) == []


def test_a_folder_that_is_not_there(program, tmp_path):
    folder = tmp_path / "nowhere"
    done = program("export message --out", folder / "said.csv")
    assert (done.code, done.err) == (2, f"error: [Errno 2] the folder does not exist: {str(folder)!r}\n")
    assert program("feed --once --out", folder / "changes.jsonl").code == 2


def test_a_feed_into_what_is_no_database(program, tmp_path):
    path = tmp_path / "changes.sqlite"
    path.write_text("something else, and longer than the head of a database is\n" * 10)
    done = program("feed --once --out", path)
    assert (done.code, done.err) == (2, f"error: {path}: file is not a database\n")
    assert program("feed --once --out", tmp_path / "nowhere" / "changes.sqlite").err.count("\n") == 1


def test_a_feed_into_lines_that_are_none(program, tmp_path):
    path = tmp_path / "changes.jsonl"
    path.write_text("something else\n")
    done = program("feed --once --out", path)
    assert done.code == 2
    assert done.err.startswith("error: changes.jsonl: no transaction behind position 0: ")
    assert path.read_text() == "something else\n"


def test_an_unknown_table(program, tmp_path):
    done = program("export nothing --out", tmp_path / "nothing.csv")
    assert done.code == 1
    assert not (tmp_path / "nothing.csv").exists()


def test_a_feed_goes_on_where_it_was(program, server, tmp_path):
    path = tmp_path / "changes.jsonl"
    say(server, "one")
    assert program("feed message --once --json --out", path).ok().json == {"position": 1}
    assert program("feed message --once --json --out", path).ok().json == {"position": 1}
    say(server, "two")
    assert program("feed message --once --json --out", path).ok().json == {"position": 2}
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [[change["new"]["text"] for change in entry["changes"]] for entry in entries] == [["one"], ["two"]]


def test_a_feed_follows(server, tmp_path):
    path = tmp_path / "changes.sqlite"
    with running("feed", "message", "--json", "--out", path, server=server, stdout=PIPE, stderr=PIPE) as process:
        assert json.loads(process.stdout.readline()) == {"position": 0}
        say(server, "one")
        assert json.loads(process.stdout.readline()) == {"position": 1}
        assert end(process) == (130, "")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT event, position FROM transactions").fetchall() == [("transaction", 1)]


def test_a_feed_is_no_spreadsheet(program, tmp_path):
    assert program("feed --out", tmp_path / "changes.xls").code == 2
