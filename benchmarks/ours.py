"""Our client under measurement: connects, subscribes, measures, and prints one line of JSON.

What is measured is the same on every host and stands in `Measurement`; a host adds how to wait. The clients of the
other SDKs, in `peers/`, take the same options and print the same fields.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio

from spacetimedb_sdk import Subscription, TableChange, TableHandle, blocking, connect

from .meter import Clock, Memory
from .workloads import PK_U64, PLAYER, TableShape

__all__ = ["HOSTS", "main"]

T = TypeVar("T")

SHAPES: Final = {shape.name: shape for shape in (PK_U64, PLAYER)}


def _find_numbers(table: TableHandle, keys: Sequence[int]) -> list[Any]:
    find = table.find
    return [find(n=key) for key in keys]


def _find_players(table: TableHandle, keys: Sequence[int]) -> list[Any]:
    find = table.find
    return [find(id=key) for key in keys]


FIND: Final[Mapping[TableShape, Callable[[TableHandle, Sequence[int]], list[Any]]]] = {
    PK_U64: _find_numbers,
    PLAYER: _find_players,
}
"""Lookups as a program has them, with the column's name written out."""


SOME: Final = 20
"""Lookups after which every client has what it needs for many."""


class Tables(Protocol):
    """Tables by name."""

    def __getitem__(self, name: str, /) -> TableHandle:
        """The table of that name."""
        ...


class Client(Protocol):
    """What all hosts' connections have, as far as it is needed here."""

    @property
    def db(self) -> Tables:
        """The tables."""
        ...

    def subscribe(self, *queries: str) -> Subscription:
        """Ask for rows."""
        ...


class Measurement:
    """One run over one connection: its clocks, callbacks and sums."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.shape: TableShape = SHAPES[options.table]
        self.keys = [int(line) for line in options.keys.read_text("ascii").split()][: options.finds]
        self.found: dict[str, float | int | None] = {}
        self.updates = 0
        self.updates_sum = 0
        self._value = attrgetter(self.shape.value)
        self._memory = Memory()

    def load(self, client: Client) -> Subscription:
        """Subscribe to all rows; the subscription is applied when everything about them has been measured."""
        self._client = client
        self._table = client.db[self.shape.name]
        self._listen()
        self._start = Clock()
        subscription = client.subscribe(f"SELECT * FROM {self.shape.name}")
        subscription.on_applied(self._loaded)
        return subscription

    def _loaded(self, _ctx: object) -> None:
        self._note("applied", self._start)
        self.found["applied_memory"] = self._memory.growth()
        if self.options.then == "find":
            self._find_all()
        elif self.options.then == "scan":
            scanned = sum(map(self._value, self._table))
            self._note("scan", self._start)
            self.found["scan_sum"] = scanned

    def _find_all(self) -> None:
        find_all = FIND[self.shape]
        find_all(self._table, self.keys[:1])
        self._note("find", self._start)
        self.found["find_memory"] = self._memory.growth()
        find_all(self._table, self.keys[1:SOME])
        self._note("find_some", self._start)
        self.found["find_some_memory"] = self._memory.growth()
        start = Clock()
        rows = find_all(self._table, self.keys)
        self.found["find_each"] = start.since()[0] / len(rows)
        self.found["finds"] = len(rows)
        self.found["finds_sum"] = sum(map(self._value, rows))

    def stream(self) -> Subscription:
        """Ask for the transactions; the subscription is applied after the last of them."""
        self._start = Clock()
        subscription = self._client.subscribe(f"SELECT * FROM {self.shape.name} WHERE {self.shape.key} = 0")
        subscription.on_applied(lambda _ctx: self._note("stream", self._start))
        return subscription

    def _listen(self) -> None:
        def on_update(_ctx: object, _old: object, new: Any) -> None:
            self.updates += 1
            self.updates_sum += new.data  # transactions are on the table that has this column

        def on_changes(_ctx: object, changes: TableChange) -> None:
            self.updates += changes.counts.updated

        if self.options.callback == "row":
            self._table.on_update(on_update)
        elif self.options.callback == "once":
            self._table.on_changes(on_changes)

    def _note(self, name: str, start: Clock) -> None:
        self.found[name], self.found[f"{name}_cpu"] = start.since()

    def result(self) -> str:
        """What was measured and found, as one line of JSON."""
        rows = list(self._table)
        self.found |= {
            "rows": len(self._table),
            "keys_sum": sum(getattr(row, self.shape.key) for row in rows) % 2**64,
            "values_sum": sum(map(self._value, rows)),
            "updates": self.updates,
            "updates_sum": self.updates_sum,
        }
        return json.dumps(self.found)


def _connected(connect: Callable[..., T], options: argparse.Namespace) -> T:
    return connect(
        f"http://127.0.0.1:{options.port}",
        "bench",
        protocols=[f"{options.protocol}.bsatn"],
        compression=options.compression,
    )


def _on_loop(backend: str) -> Callable[[Measurement], None]:
    async def run(measurement: Measurement) -> None:
        options = measurement.options
        async with _connected(connect, options) as client:
            await measurement.load(client)
            if options.then == "stream":
                await measurement.stream()

    return lambda measurement: anyio.run(run, measurement, backend=backend)


def _on_threads(measurement: Measurement) -> None:
    options = measurement.options
    with _connected(blocking.connect, options) as client:
        measurement.load(client)
        if options.then == "stream":
            measurement.stream()


HOSTS: Final[Mapping[str, Callable[[Measurement], None]]] = {
    "asyncio": _on_loop("asyncio"),
    "trio": _on_loop("trio"),
    "blocking": _on_threads,
}
"""How each host runs a measurement: connect, wait for `load()` to be applied, and for `stream()` if it is asked for."""


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", choices=HOSTS, default="asyncio")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--table", choices=SHAPES, required=True)
    parser.add_argument("--protocol", choices=["v2", "v3"], default="v2")
    parser.add_argument("--compression", choices=["none", "gzip", "brotli"], default="none")
    parser.add_argument("--then", choices=["find", "scan", "stream"], required=True, help="what follows the snapshot")
    parser.add_argument(
        "--callback", choices=["row", "once", "none"], default="none", help="for each row, or each event"
    )
    parser.add_argument("--keys", type=Path, required=True, help="a file of keys to look up, one a line")
    parser.add_argument("--finds", type=int, default=10_000, help="how many of them")
    measurement = Measurement(parser.parse_args())
    HOSTS[measurement.options.host](measurement)
    print(measurement.result())


if __name__ == "__main__":
    main()
