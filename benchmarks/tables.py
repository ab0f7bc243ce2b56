"""The report's tables, as Markdown: medians, ratios beside their goals, CPU time. Numbers in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from .cases import Case, Measure, Unit, workload_of
from .runs import Found, Results

__all__ = ["cpu_table", "markdown", "medians_table", "ratio", "ratios_table", "shown"]

FACTORS: Final[Mapping[Unit, float]] = {"ms": 1e3, "us": 1e6, "MB": 1e-6}

NONE: Final = "-"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: the first column is text, all others are numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: float) -> str:
    """A number with as many digits as it deserves."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(of: float, to: float) -> float | None:
    """How many times `to` fits into `of`; None where `to` is nothing."""
    return of / to if to else None


def medians_table(cases: Iterable[Case], results: Results, clients: Sequence[str], *, quick: bool) -> str:
    """Medians of all runs, with the least and the most."""
    rows: list[list[str]] = []
    for case in cases:
        workload = workload_of(case, quick=quick)
        amount = workload.transactions * workload.updates
        for measure in case.measures:
            cells = [
                _spread(_in_unit(measure, _values(results, case, client, measure.field), amount)) for client in clients
            ]
            rows.append([measure.name, measure.unit, *cells])
    return markdown(["", "unit", *clients], rows)


def ratios_table(
    cases: Iterable[Case], results: Results, ours: Sequence[str], peers: Sequence[str], *, quick: bool
) -> str:
    """What the peers need, in multiples of what this SDK needs; bold where a goal is missed. Small sizes have none."""
    head = ["", *(f"{peer} / {host}" for peer in peers for host in ("goal", *ours))]
    rows: list[list[str]] = []
    for case in cases:
        for measure in case.measures:
            cells: list[str] = []
            for peer in peers:
                goal = None if quick else measure.goals.get(peer)
                theirs = _values(results, case, peer, measure.field)
                cells.append(NONE if goal is None else f"{goal:g}x")
                cells += [_ratio(theirs, _values(results, case, host, measure.field), goal) for host in ours]
            rows.append([measure.name, *cells])
    return markdown(head, rows)


def cpu_table(cases: Iterable[Case], results: Results, clients: Sequence[str]) -> str:
    """CPU time of the whole process, medians in milliseconds; of measures that are spans of time."""
    rows = [
        [measure.name, *(_median_ms(_values(results, case, client, f"{measure.field}_cpu")) for client in clients)]
        for case in cases
        for measure in case.measures
        if any(_values(results, case, client, f"{measure.field}_cpu") for client in clients)
    ]
    return markdown(["", *clients], rows)


def _values(results: Results, case: Case, client: str, field: str) -> list[float]:
    runs: Sequence[Found] = results.get((case.name, client), ())
    return [run[field] for run in runs if field in run]


def _in_unit(measure: Measure, values: Iterable[float], amount: int) -> list[float]:
    if measure.unit in FACTORS:
        return [value * FACTORS[measure.unit] for value in values]
    return [amount / value for value in values]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return NONE
    return f"{shown(median(values))} ({shown(min(values))}..{shown(max(values))})"


def _median_ms(values: Sequence[float]) -> str:
    return shown(median(values) * 1e3) if values else NONE


def _ratio(theirs: Sequence[float], ours: Sequence[float], goal: float | None) -> str:
    found = ratio(median(theirs), median(ours)) if theirs and ours else None
    if found is None:
        return NONE
    text = f"{shown(found)}x"
    return f"**{text}**" if goal is not None and found < goal else text
