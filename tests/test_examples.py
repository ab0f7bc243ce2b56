"""The examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *options: str) -> str:
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_frame_loop():
    assert re.fullmatch(r"30 frames, \d+ rows, longest tick \d+\.\d ms\n", run("frame_loop.py", "--frames", "30"))


TOUR = """\
Ada: hello
refused: Messages must not be empty
Ada: goodbye
2 messages on the server, 2 in the cache
0 in the cache after unsubscribing
"""


@pytest.mark.parametrize("host", ["asyncio", "trio", "frame"])
def test_one_program_on_every_host_that_awaits(host):
    assert run("tour.py", host) == TOUR


def test_the_same_program_for_those_who_block():
    assert run("tour_blocking.py") == TOUR


def test_they_differ_by_await_alone():
    start, end = "tour(conn: Any)", "# --- how it is started"
    programs = [(EXAMPLES / name).read_text(encoding="utf-8") for name in ("tour.py", "tour_blocking.py")]
    awaiting, blocking = (text[text.index(start) : text.index(end)] for text in programs)
    assert awaiting.replace("await ", "") == blocking
