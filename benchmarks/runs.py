"""Runs: one client after the other against one server, each in a process of its own, each checked.

The clients take turns, so what else the machine does meets all of them alike. A first turn is not counted: in it the
server learns which ids a client uses, and makes the bytes for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from .cases import Case
from .clients import Client
from .workloads import WORKLOADS

__all__ = ["Found", "Results", "RunError", "Server", "can_run", "check", "measure", "serving"]

ROOT: Final = Path(__file__).parents[1]

TIMEOUT: Final = 300.0
"""Seconds for one run; the slowest takes a few."""

Found = Mapping[str, Any]
"""What a client printed: numbers by name."""

Results = dict[tuple[str, str], list[Found]]
"""All counted runs, by name of the case and of the client."""


class RunError(Exception):
    """A run failed, or its result is wrong: nothing that was measured counts."""


@attrs.frozen
class Server:
    """A running server.

    Attributes:
        port: Where it listens.
        keys: The file of keys to look up.
        expected: What clients must find; the fields of `workloads.Expected`.
    """

    port: int
    keys: Path
    expected: Mapping[str, Any]


@contextmanager
def serving(case: Case, *, quick: bool) -> Generator[Server]:
    """Have the server for a case up inside the block."""
    with tempfile.TemporaryDirectory(prefix="spacetimedb-benchmarks-") as folder:
        keys = Path(folder, "keys")
        command = [sys.executable, "-m", "benchmarks.blaster", "--workload", case.workload, "--keys", str(keys)]
        command += ["--protocol", case.protocol, "--compression", case.compression, *(["--quick"] if quick else [])]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            line = process.stdout.readline()
            if not line:
                raise RunError(f"the server for {case.name} ended before it was ready; what it said stands above")
            ready = json.loads(line)
            try:
                yield Server(ready["port"], keys, ready["expected"])
            finally:
                process.stdin.close()  # which ends it


def can_run(client: Client, case: Case) -> bool:
    """Tell whether a client knows what a case needs. Every client can do without a callback for a whole transaction."""
    return case.protocol in client.protocols and case.compression in client.compressions


def run(client: Client, case: Case, server: Server) -> Found:
    """Run once and check the result.

    Raises:
        RunError: The client failed, or found something else than what was sent.
    """
    callback = case.callback if case.callback in client.callbacks else "none"
    options = {
        "port": str(server.port),
        "table": WORKLOADS[case.workload].table.name,
        "protocol": case.protocol,
        "compression": case.compression,
        "then": case.then,
        "callback": callback,
        "keys": str(server.keys),
    }
    command = [*client.command, *(part for name, value in options.items() for part in (f"--{name}", value))]
    where = f"{client.name} in {case.name}"
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"{where} was not done after {TIMEOUT:.0f} seconds") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RunError(f"{where} failed with exit code {done.returncode} and said:\n{done.stderr or done.stdout}")
    found: Found = json.loads(lines[-1])
    wrong = check(case, server.expected, found, callback)
    if wrong:
        raise RunError(f"{where} has a wrong result: {'; '.join(wrong)}")
    return found


def check(case: Case, expected: Mapping[str, Any], found: Found, callback: str) -> list[str]:
    """Say what is wrong with a result, field by field; nothing if all is right."""
    wanted: dict[str, Any] = {name: expected[name] for name in ("rows", "keys_sum", "values_sum")}
    if callback != "none":
        wanted["updates"] = expected["updates"]
    if callback == "row":
        wanted["updates_sum"] = expected["updates_sum"]
    if case.then == "find":
        wanted["finds_sum"] = sum(expected["find_values"][: found.get("finds", 0)])
    if case.then == "scan":
        wanted["scan_sum"] = expected["values_sum"]
    wrong = [
        f"{name}: expected {value}, got {found.get(name)}" for name, value in wanted.items() if found.get(name) != value
    ]
    return wrong + [f"{measure.field} is missing" for measure in case.measures if measure.field not in found]


def measure(
    cases: Iterable[Case], clients: Sequence[Client], *, runs: int, quick: bool, say: Callable[[str], object]
) -> Results:
    """Run everything.

    Args:
        cases: What to run.
        clients: Who takes turns.
        runs: How often each is run and counted.
        quick: With few rows and transactions.
        say: Is told what is being done.

    Raises:
        RunError: The first failure or wrong result.
    """
    results: Results = {}
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault(case.served_by, []).append(case)
    for served in groups.values():
        with serving(served[0], quick=quick) as server:
            for case in served:
                able = [client for client in clients if can_run(client, case)]
                for turn in range(runs + 1):
                    say(f"{case.name}: {f'run {turn} of {runs}' if turn else 'warming up'}")
                    for client in able:
                        found = run(client, case, server)
                        if turn:
                            results.setdefault((case.name, client.name), []).append(found)
    return results
