"""The report of a comparison, and `RESULTS.md`, which keeps the last ones that were meant to be kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .cases import Case, workload_of
from .clients import OURS, Absent, Client
from .runs import Results
from .tables import cpu_table, medians_table, ratios_table
from .workloads import Workload

__all__ = ["RESULTS", "comparison", "keep", "machine", "replaced"]

RESULTS: Final = Path(__file__).with_name("RESULTS.md")

ROW_SIZES: Final = {"pk_u_64": "12 bytes", "player": "42 bytes on average, with a string"}


def machine() -> str:
    """What this runs on, and when."""
    day = datetime.now(UTC).date().isoformat()
    system = f"{platform.system()} {platform.release()}"
    return f"Measured on {day}: {_cpu()}, {os.cpu_count()} cores, {system}."


def _cpu() -> str:
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        for line in cpus.read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def comparison(
    cases: Sequence[Case], results: Results, clients: Sequence[Client | Absent], *, runs: int, quick: bool
) -> str:
    """All tables, with what they need to be understood."""
    there = [client for client in clients if isinstance(client, Client)]
    names = [client.name for client in there]
    ours = [name for name in names if name in OURS]
    peers = [name for name in names if name not in OURS]
    workloads = {case.workload: workload_of(case, quick=quick) for case in cases}
    parts = [
        machine(),
        "\n".join(f"- {client.name}: {client.made_of}" for client in there),
        "\n".join(_left_out(client) for client in clients if isinstance(client, Absent)),
        "\n".join(f"- {_described(workload)}" for workload in workloads.values()),
        f"Medians of {runs} runs (least..most). `-`: the client does not know that protocol or compression.",
        medians_table(cases, results, names, quick=quick),
    ]
    if ours and peers:
        parts += [
            "What the others need, in multiples of what this SDK needs, from the same runs. **Bold** misses its goal.",
            ratios_table(cases, results, ours, peers, quick=quick),
        ]
    parts += ["CPU time of the whole process, all threads, in ms.", cpu_table(cases, results, names)]
    return "\n\n".join(part for part in parts if part)


def _left_out(client: Absent) -> str:
    return f"**{client.name} is left out: {client.reason}.**"


def _described(workload: Workload) -> str:
    rows = f"{workload.name}: {workload.rows:,} rows of {ROW_SIZES[workload.table.name]}"
    if not workload.transactions:
        return f"{rows}."
    each = "one row" if workload.updates == 1 else f"{workload.updates:,} rows"
    return f"{rows}, then {workload.transactions:,} transactions that update {each} each."


def keep(section: str, body: str) -> None:
    """Put a report in its place in `RESULTS.md`."""
    text = RESULTS.read_text("utf-8")
    RESULTS.write_text(replaced(text, section, body), "utf-8")


def replaced(text: str, section: str, body: str) -> str:
    """A text in which what stands between a section's two marks is another.

    Raises:
        ValueError: The marks are missing.
    """
    first, last = f"<!-- {section} -->", f"<!-- /{section} -->"
    before, found, rest = text.partition(first)
    _, found_too, after = rest.partition(last)
    if not found or not found_too:
        raise ValueError(f"expected the marks {first} and {last} in the text")
    return f"{before}{first}\n\n{body}\n\n{last}{after}"
