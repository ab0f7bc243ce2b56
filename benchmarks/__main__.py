"""Runs everything in turn and prints what came of it: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

from .cases import CASES
from .clients import NAMES, Absent, Client, prepare
from .columns import columns_report
from .growth import growth_report
from .report import comparison, keep
from .runs import RunError, measure
from .start import start_report
from .workloads import WORKLOADS

__all__ = ["main"]

GROWTH: Final = "growth"
COLUMNS: Final = "columns"
START: Final = "start"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {unknown[0]}")
        return names

    return parse


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parts = [*WORKLOADS, GROWTH, COLUMNS, START]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_some_of(parts), default=parts, help=f"some of {','.join(parts)}")
    parser.add_argument("--clients", type=_some_of(NAMES), default=[*NAMES], help=f"some of {','.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=5, help="how often each is run (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see whether all works")
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    options.workloads = [name for name in WORKLOADS if name in options.only]
    if options.runs < 1:
        parser.error(f"--runs: expected 1 or more, got {options.runs}")
    is_whole = not options.workloads or (options.workloads == [*WORKLOADS] and {*options.clients} == {*NAMES})
    if options.write and (options.quick or not is_whole):
        parser.error(
            f"--write: only whole reports are kept: {','.join(WORKLOADS)} with all clients, "
            f"{GROWTH}, {COLUMNS}, {START}"
        )
    return options


def _compare(options: argparse.Namespace) -> str:
    _say("building what is missing; the Rust client takes minutes the first time")
    clients = prepare(options.clients)
    for client in clients:
        if isinstance(client, Absent):
            _say(f"{client.name} is left out: {client.reason}")
    cases = [case for case in CASES if case.workload in options.workloads]
    there = [client for client in clients if isinstance(client, Client)]
    results = measure(cases, there, runs=options.runs, quick=options.quick, say=_say)
    return comparison(cases, results, clients, runs=options.runs, quick=options.quick)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; returns what the process ends with."""
    options = _options(arguments)
    reports: dict[str, str] = {}
    try:
        if options.workloads:
            reports["clients"] = _compare(options)
    except RunError as error:
        _say(f"error: {error}")
        return 1
    if GROWTH in options.only:
        reports[GROWTH] = growth_report(runs=options.runs, quick=options.quick, say=_say)
    if COLUMNS in options.only:
        reports[COLUMNS] = columns_report(runs=options.runs, quick=options.quick, say=_say)
    if START in options.only:
        reports[START] = start_report(runs=options.runs, say=_say)
    for section, report in reports.items():
        print(report, end="\n\n")
        if options.write:
            keep(section, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
