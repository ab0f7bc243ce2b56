"""Driving the program: in this process for most tests, as a process of its own where that is the point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import attrs

from spacetimedb_sdk.cli import main
from tests.loopback import PATIENCE

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


@attrs.frozen
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.splitlines()

    def ok(self):
        assert self.code == 0, self.err
        return self


class Program:
    """The program in this process, with a server and database to ask if the test has them."""

    def __init__(self, capsys, server=None):
        self._capsys = capsys
        self._server = server

    def __call__(self, command, *arguments, uri=None):
        self._capsys.readouterr()
        server = uri or (self._server and self._server.uri)
        options = ["--uri", server, "--database", "chat"] if server else []
        code = main([*command.split(), *map(str, arguments), *options])
        return Done(code, *self._capsys.readouterr())


def environment(**changes):
    """The environment of a process of its own: only what the test says of servers, and no `spacetime` login."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPACETIMEDB_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **changes}


def started(*arguments, **options):
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "spacetimedb_sdk.cli", *map(str, arguments)]
    return subprocess.Popen(command, text=True, **options)


@contextmanager
def running(*arguments, server, token="", variables=None, **options):
    """A process that is killed when nothing comes of it, with more variables in its environment if need be."""
    where = {"SPACETIMEDB_URI": server.uri, "SPACETIMEDB_DATABASE": "chat", "SPACETIMEDB_TOKEN": token}
    env = environment(**where, XDG_CONFIG_HOME=os.devnull, **(variables or {}))
    process = started(*arguments, env=env, **options)
    watchdog = threading.Timer(2 * PATIENCE, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def say(server, *texts):
    def insert(ctx):
        for text in texts:
            ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)

    server.run(insert)


def end(process, signum=signal.SIGINT):
    """Interrupt it; what it says and its exit code."""
    process.send_signal(signum)
    err = process.stderr.read()
    return process.wait(), err
