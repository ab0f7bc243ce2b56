"""The program as a process of its own: pipes, signals, a terminal. Waits are for output, never for time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.sdk.cli.support import end, running, say

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals are others there")

PIPE = subprocess.PIPE


def test_changes_in_a_pipe(server):
    say(server, "before")
    with running("subscribe", "message", server=server, stdout=PIPE, stderr=PIPE) as process:
        first = json.loads(process.stdout.readline())
        say(server, "after")
        second = json.loads(process.stdout.readline())
        assert [(each["table"], each["change"], each["row"]["text"]) for each in (first, second)] == [
            ("message", "inserted", "before"),
            ("message", "inserted", "after"),
        ]
        assert end(process) == (130, "")


def test_a_reader_that_leaves(server):
    say(server, "one")
    with running("subscribe", "message", server=server, stdout=PIPE, stderr=PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        say(server, "nobody reads this")
        assert (process.stderr.read(), process.wait()) == ("", 141)
        process.stdout = None


def test_watching_a_query_that_can_be_subscribed_to(server):
    arguments = ["sql", "--watch", "--json", "SELECT * FROM message"]
    with running(*arguments, server=server, stdout=PIPE, stderr=PIPE) as process:
        assert json.loads(process.stdout.readline()) == []
        say(server, "hello")
        (row,) = json.loads(process.stdout.readline())
        assert row["text"] == "hello"
        assert end(process) == (130, "")


def test_watching_one_that_cannot(server):
    arguments = ["sql", "--watch", "--interval", "0.01", "-f", "csv", "SELECT COUNT(*) AS n FROM message"]
    with running(*arguments, server=server, stdout=PIPE, stderr=PIPE) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["n\n", "0\n"]
        say(server, "hello")
        assert [process.stdout.readline() for _ in range(2)] == ["n\n", "1\n"]
        assert end(process) == (130, "")


def test_following_the_log(server):
    server.run(lambda ctx: ctx.log("before"))
    options = {"stdout": PIPE, "stderr": PIPE, "token": server.owner_token}
    with running("logs", "--follow", "--json", "--lines", "1", server=server, **options) as process:
        assert json.loads(process.stdout.readline())["message"] == "before"
        server.run(lambda ctx: ctx.log("after"))
        assert json.loads(process.stdout.readline())["message"] == "after"
        assert end(process) == (130, "")


# --- a terminal -------------------------------------------------------------------------------------------------------


class Terminal:
    """What a process shows on a pseudo-terminal."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self.shown = ""

    def until(self, pattern):
        """Read until this is shown."""
        while not re.search(pattern, self.shown):
            data = os.read(self._descriptor, 65536)
            assert data, self.shown
            self.shown += data.decode("utf-8", "replace")


@contextmanager
def at_terminal(*arguments, server, **options):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    try:
        with running(*arguments, server=server, stdin=theirs, stdout=theirs, stderr=PIPE, **options) as process:
            os.close(theirs)
            theirs = None
            yield process, Terminal(ours)
    finally:
        os.close(ours)
        if theirs is not None:
            os.close(theirs)


def test_a_live_table(server):
    say(server, "before")
    with at_terminal("subscribe", "message", server=server) as (process, terminal):
        terminal.until("before")
        assert "message" in terminal.shown
        assert "\x1b[1;32mbefore" not in terminal.shown
        say(server, "news")
        terminal.until(r"\x1b\[1;32mnews")
        server.stop()
        try:
            terminal.until("out of date")
        finally:
            server.start()
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (130, "")


def test_a_watched_table_at_a_terminal(server):
    with at_terminal("sql", "--watch", "SELECT * FROM message", server=server) as (process, terminal):
        terminal.until("sender")
        say(server, "hello")
        terminal.until("hello")
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (130, "")
