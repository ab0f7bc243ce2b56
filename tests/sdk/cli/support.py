"""Driving the program: in this process for most tests, as a process of its own where that is the point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs

from spacetimedb_sdk.cli import main

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
