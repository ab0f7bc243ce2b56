"""What is measured, as data: a case is one kind of run, a measure is one number of it with the goals for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from .workloads import WORKLOADS, Workload

__all__ = ["CASES", "Case", "Measure", "Unit", "workload_of"]

Unit = Literal["ms", "us", "MB", "tx/s", "rows/s"]
Then = Literal["find", "scan", "stream"]
Callback = Literal["row", "once", "none"]


@attrs.frozen
class Measure:
    """One number of a run. Clients give seconds or bytes, of which less is better; rates are made for readers.

    Attributes:
        name: What reports call it.
        field: What the clients call it.
        unit: What reports show.
        goals: By client, how many times what this SDK needs that client should need at least.
    """

    name: str
    field: str
    unit: Unit
    goals: Mapping[str, float] = attrs.field(factory=dict[str, float])


@attrs.frozen
class Case:
    """One kind of run.

    Attributes:
        name: Its own among all cases.
        workload: What the server sends.
        then: What the client does when the snapshot is applied: look keys up, add up all rows, or take transactions.
        measures: What is taken from it.
        callback: Called for each row of a transaction, or once for all; where a client has no such thing, none is.
        protocol: What the server speaks.
        compression: What the server compresses with.
    """

    name: str
    workload: str
    then: Then
    measures: tuple[Measure, ...]
    callback: Callback = "none"
    protocol: Literal["v2", "v3"] = "v2"
    compression: Literal["none", "gzip", "brotli"] = "none"

    @property
    def served_by(self) -> tuple[str, str, str]:
        """Cases in which this is equal can be served by one server."""
        return self.workload, self.protocol, self.compression


def workload_of(case: Case, *, quick: bool) -> Workload:
    """How much the server sends."""
    workload = WORKLOADS[case.workload]
    return workload.quick() if quick else workload


CASES: Final = (
    Case(
        "W1 find",
        "W1",
        "find",
        (
            Measure("W1 applied", "applied", "ms", {"rust": 20, "typescript": 50}),
            Measure("W1 find-ready", "find", "ms", {"rust": 2.5, "typescript": 7}),
            Measure("W1 20 finds", "find_some", "ms", {"rust": 2.5, "typescript": 7}),
            Measure("W1 one find", "find_each", "us", {"rust": 0.5}),
            Measure("W1 memory at applied", "applied_memory", "MB", {"rust": 8}),
            Measure("W1 memory at find-ready", "find_memory", "MB", {"rust": 2}),
            Measure("W1 memory after 20 finds", "find_some_memory", "MB", {"rust": 2}),
        ),
    ),
    Case("W1 scan", "W1", "scan", (Measure("W1 applied+scan", "scan", "ms", {"rust": 3, "typescript": 8}),)),
    Case(
        "W1 gzip",
        "W1",
        "find",
        (
            Measure("W1 gzip applied", "applied", "ms"),
            Measure("W1 gzip find-ready", "find", "ms"),
            Measure("W1 gzip 20 finds", "find_some", "ms"),
        ),
        compression="gzip",
    ),
    Case(
        "W1 brotli",
        "W1",
        "find",
        (
            Measure("W1 brotli applied", "applied", "ms"),
            Measure("W1 brotli find-ready", "find", "ms"),
            Measure("W1 brotli 20 finds", "find_some", "ms"),
        ),
        compression="brotli",
    ),
    Case(
        "W2 find",
        "W2",
        "find",
        (
            Measure("W2 applied", "applied", "ms", {"rust": 5, "typescript": 12}),
            Measure("W2 find-ready", "find", "ms", {"rust": 2, "typescript": 5}),
            Measure("W2 20 finds", "find_some", "ms", {"rust": 2, "typescript": 5}),
            Measure("W2 memory at applied", "applied_memory", "MB"),
            Measure("W2 memory at find-ready", "find_memory", "MB"),
            Measure("W2 memory after 20 finds", "find_some_memory", "MB"),
        ),
    ),
    Case("W2 scan", "W2", "scan", (Measure("W2 applied+scan", "scan", "ms", {"rust": 1.4, "typescript": 3.5}),)),
    Case("W3", "W3", "stream", (Measure("W3", "stream", "tx/s", {"rust": 2, "typescript": 5}),), callback="row"),
    Case("W3 v3", "W3", "stream", (Measure("W3 v3", "stream", "tx/s"),), callback="row", protocol="v3"),
    Case("W4", "W4", "stream", (Measure("W4", "stream", "rows/s", {"rust": 0.65, "typescript": 2.5}),), callback="row"),
    Case(
        "W4 once",
        "W4",
        "stream",
        (Measure("W4 once", "stream", "rows/s", {"rust": 1.3, "typescript": 5}),),
        callback="once",
    ),
)
