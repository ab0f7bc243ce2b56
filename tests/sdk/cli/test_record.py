"""`record` and `replay`."""

from __future__ import annotations

import json
from subprocess import PIPE

from tests.sdk.cli.support import end, running, say


def recorded(server, path):
    """A session in a file: one message from before, one from after."""
    say(server, "before")
    with running("record", "message", "--out", path, server=server, stdout=PIPE, stderr=PIPE) as process:
        assert process.stderr.readline() == f"recording 1 queries to {path}, until Ctrl-C\n"
        say(server, "after")
        assert end(process) == (130, "")


def test_what_was_recorded_is_played(program, alone, server, tmp_path):
    path = tmp_path / "session.jsonl"
    recorded(server, path)
    server.stop()
    told = [json.loads(line) for line in alone("replay", path).ok().lines]
    assert [(each["table"], each["change"], each["row"]["text"]) for each in told] == [
        ("message", "inserted", "before"),
        ("message", "inserted", "after"),
    ]
    server.start()


def test_nothing_is_overwritten(program, tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("kept", encoding="utf-8")
    assert program("record --out", path).code == 2
    assert path.read_text(encoding="utf-8") == "kept"


def test_what_is_no_recording(alone, tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    done = alone("replay", path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {path}, line 1: expected a line of a recording, got '{{}}")


def test_a_definition_that_is_none(alone, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text("{}\n", encoding="utf-8")
    done = alone("replay", path, "--schema", path)
    assert done.code == 2
    assert done.err.startswith(f"error: {path}: definition")
