"""Streams that are closed, full, or cannot say everything."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from subprocess import DEVNULL, PIPE

import pytest

from tests.loopback import closed_port
from tests.sdk.cli.support import end, running, say

HARD = "ö ☃"
ESCAPED = r"\xf6 \u2603"
QUERY = "SELECT text FROM message"


@pytest.fixture
def in_ascii(monkeypatch):
    """Calls something with a stdout in ASCII, as there is one in the C locale, and returns what was written."""

    def call(work):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            work()
        assert stream.errors == "strict"  # it is left as it was
        return stream.buffer.getvalue()

    return call


def test_a_table_has_escapes(program, server, in_ascii):
    say(server, HARD)
    assert ESCAPED.encode() in in_ascii(lambda: program("sql", QUERY).ok())


def test_json_stays_json(program, server, in_ascii):
    say(server, HARD)
    written = in_ascii(lambda: program("sql --json", QUERY).ok())
    assert json.loads(written.decode("ascii")) == [{"text": HARD}]


def test_csv_loses_nothing(program, server, in_ascii):
    say(server, HARD, ESCAPED)
    written = in_ascii(lambda: program("sql -f csv", QUERY).ok())
    assert list(csv.reader(io.StringIO(written.decode()))) == [["text"], [HARD], [ESCAPED]]


def test_words_of_the_program_itself(alone, in_ascii):
    with closed_port() as nobody:
        uri = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        written = in_ascii(lambda: alone("doctor --uri", uri))
    assert rb"\u2192 is it running" in written


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locales of this kind")
def test_in_the_c_locale(server):
    say(server, HARD)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with running("sql", "-f", "csv", QUERY, server=server, variables=locale, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate() == (f"text\n{HARD}\n", "")
    with running("subscribe", "message", server=server, variables=locale, stdout=PIPE, stderr=PIPE) as process:
        assert json.loads(process.stdout.readline())["row"]["text"] == HARD
        assert end(process) == (130, "")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_closed_stdout(program, monkeypatch, form):
    monkeypatch.setattr(sys, "stdout", None)
    program("sql --format", form, QUERY).ok()
    assert sys.stdout is None


def test_a_closed_stderr_and_stdin(program, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "nobody is there to be asked" in program("delete").err
    monkeypatch.setattr(sys, "stderr", None)
    done = program("sql nonsense")
    assert (done.code, done.out) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to be had")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sql", QUERY], ["sql", "-f", "csv", QUERY]], ids=str)
def test_a_full_disk(server, arguments):
    with open("/dev/full", "w") as full:
        options = {"stdin": DEVNULL, "stdout": full, "stderr": PIPE}
        with running(*arguments, server=server, variables={"PYTHONUNBUFFERED": ""}, **options) as process:
            err = process.stderr.read()
            assert process.wait() == 2
    assert err == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to be had")
def test_nowhere_to_tell_of_an_error(server):
    with open("/dev/full", "w") as full, running("sql", "nonsense", server=server, stderr=full) as process:
        assert process.wait() == 1
