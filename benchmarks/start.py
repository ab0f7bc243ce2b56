"""What generated packages cost before they do anything: `python -m benchmarks --only start`.

Each line is a program of its own, in an interpreter of its own. They take turns, and an empty program is one of them,
so that what Python itself takes can be taken off.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from spacetimedb_proto.schema import Schema, load_schema
from spacetimedb_sdk import codegen
from spacetimedb_sdk.codegen import legacy

from .report import machine
from .tables import markdown, shown

__all__ = ["PROGRAMS", "measure_start", "start_report", "start_table"]

DEFINITION: Final = Path(__file__).parents[1] / "tests" / "data" / "schemas" / "sdk-test.v10.json"
"""A large module: 107 public tables and views, 289 reducers."""

PROGRAMS: Final[Mapping[str, str]] = {
    "an empty program": "",
    "import spacetimedb_sdk": "import spacetimedb_sdk",
    "import large": "import large",
    "import large, and use a class": "import large; large.OneU8",
    "import large, and all its modules": "import large.connection, large.procedures, large.reducers, large.tables, "
    "large.types",
    "import spacetimedb_sdk, and connect": "import spacetimedb_sdk\nspacetimedb_sdk.connect('http://127.0.0.1', 'x')",
    "import large, and connect": "import large\nlarge.connect('http://127.0.0.1', 'x')",
}
"""Programs by what they do; `large` is the package of that module."""

BASE: Final = "import spacetimedb_sdk"


def _schema() -> Schema:
    return load_schema(DEFINITION.read_text("utf-8"))


def measure_start(programs: Mapping[str, str], *, runs: int, say: Callable[[str], object]) -> dict[str, float]:
    """Seconds that each program takes, the least of so many runs: what else the machine does can only add to them."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        codegen.write(Path(folder) / "large", codegen.generate(_schema(), package_name="large"))
        for turn in range(runs + 1):
            say(f"start: run {turn} of {runs}")
            for name, program in programs.items():
                seconds = _seconds(folder, program)
                if turn:  # the first one writes bytecode
                    found[name].append(seconds)
    return {name: min(seconds) for name, seconds in found.items()}


def _seconds(folder: str, program: str) -> float:
    text = f"import sys; sys.path.insert(0, {folder!r})\n{program}"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", text], check=True)
    return time.perf_counter() - start


def _generating(runs: int) -> Sequence[tuple[str, float]]:
    """Seconds that each layout takes to be generated, its definition read included; the median."""

    def of(generate: Callable[[Schema], object]) -> float:
        times: list[float] = []
        for _ in range(runs):
            start = time.perf_counter()
            generate(_schema())
            times.append(time.perf_counter() - start)
        return median(times)

    layouts: Mapping[str, Callable[[Schema], object]] = {
        "generate": lambda schema: codegen.generate(schema, package_name="large"),
        "legacy.generate": legacy.generate,
    }
    return [(name, of(generate)) for name, generate in layouts.items()]


def start_table(found: Mapping[str, float]) -> str:
    """Milliseconds beyond what an empty program takes, and in multiples of importing the SDK."""
    empty = min(found.values())
    base = found[BASE] - empty
    rows = [
        [name, shown((seconds - empty) * 1e3), f"{shown((seconds - empty) / base)}x"] for name, seconds in found.items()
    ]
    return markdown(["program", "ms beyond an empty one", "times importing the SDK"], rows)


def start_report(*, runs: int, say: Callable[[str], object]) -> str:
    """Everything, with what it needs to be understood."""
    table = start_table(measure_start(PROGRAMS, runs=runs, say=say))
    words = f"Programs with the generated package of a large module, sdk-test; the least of {runs} runs."
    generating = "\n".join(f"- `codegen.{name}`: {seconds:.2f} s" for name, seconds in _generating(runs))
    return "\n\n".join([machine(), words, table, f"To generate it, the median of {runs}:", generating])
