"""Programs made of the other SDKs, which tell what they see of our server. How they are built is in `peers`."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from functools import partial

import pytest

from peers.builds import LANGUAGES, NotThere, build, is_built
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour

PATIENCE = 30.0
"""Seconds for an answer that takes milliseconds; then something is broken."""


class Judge:
    """A running program: orders go in, and what it has seen comes out, both as JSON."""

    def __init__(self, language, command):
        self.language = language
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self._seen = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith("{"):  # the TypeScript SDK prints a word of its own when it connects
                    self._seen.put(json.loads(line))
        self._seen.put({"saw": "its end"})

    def do(self, what, **order):
        self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self._process.stdin.flush()

    def next(self):
        return self._seen.get(timeout=PATIENCE)

    def sees(self, *expected):
        """Check what it sees next, which must be this and nothing else; the SDKs differ in what they tell first."""
        seen = [self.next() for _ in expected]
        key = partial(json.dumps, sort_keys=True)
        assert sorted(seen, key=key) == sorted(expected, key=key)

    def connect(self, server, **options):
        """Connect, and return what it was told: its identity and token."""
        self.do("connect", uri=server.uri, database=server.database, **options)
        seen = self.next()
        assert seen["saw"] == "connected", seen
        return seen

    def call(self, reducer, *args):
        self.do("call", reducer=reducer, args=args)

    def end(self):
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()


@pytest.fixture(params=LANGUAGES)
def judge(request):
    language = request.param
    if not request.config.getoption("--build-judges") and not is_built(language, "judge"):
        pytest.skip(f"the {language} judge is not built here (make judges builds it)")
    try:
        command = build(language, "judge")
    except NotThere as reason:
        pytest.skip(f"the {language} judge cannot be built: {reason}")
    judge = Judge(language, command)
    yield judge
    judge.end()


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server
