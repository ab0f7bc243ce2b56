"""Whether a transaction costs what it touches and not what is stored: `python -m benchmarks --only growth`.

Each series lets one thing grow and sends the same transactions to all sizes: they update 1,000 rows, one at a time,
with a callback on each.
"""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import anyio
import attrs

from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk import Connection
from spacetimedb_sdk.testing import Module, PrimaryKey, i32, u64

from .fake import FakeServer, connected
from .report import machine
from .script import transaction
from .tables import markdown, shown
from .workloads import Update

__all__ = ["SERIES", "Setting", "growth_report", "growth_table", "measure_growth"]

TOUCHED: Final = "t0"
"""The table that transactions change. The others are `t1` and so on."""

TOUCHED_ROWS: Final = 1_000
"""Rows that transactions change, in turn."""

IDLE_ROWS: Final = 10
"""Rows of each subscription and table that no transaction touches."""

PASSES: Final = 5
"""Spans of time measured in one run, after one that is not."""

CALLS: Final = 200_000
"""Callbacks called in one of them, about, where a transaction calls many."""

QUICK_SIZE: Final = 1_000
"""Up to here things grow where only a look is wanted."""

_ROW: Final = struct.Struct("<Qi")


@attrs.frozen
class Setting:
    """How large everything is.

    Attributes:
        rows: Stored in the table that transactions touch.
        subscriptions: Live ones on that table, each with rows of its own.
        tables: Subscribed to.
        idle_callbacks: On the tables that transactions do not touch, one after the other.
        callbacks: On the table that they touch.
    """

    rows: int = TOUCHED_ROWS
    subscriptions: int = 1
    tables: int = 1
    idle_callbacks: int = 0
    callbacks: int = 1

    @property
    def transactions(self) -> int:
        """Of one pass: fewer where each of them calls many callbacks."""
        return min(2 * TOUCHED_ROWS, max(20, CALLS // self.callbacks))


SERIES: Final[Mapping[str, Sequence[tuple[int, Setting]]]] = {
    "rows stored": [(10**n, Setting(rows=10**n)) for n in range(3, 7)],
    "subscriptions": [(10**n, Setting(subscriptions=10**n)) for n in range(4)],
    "tables": [(10**n, Setting(tables=10**n)) for n in range(4)],
    "callbacks on other tables": [(10**n, Setting(tables=11, idle_callbacks=10**n)) for n in range(5)],
    "callbacks on the touched table": [(10**n, Setting(callbacks=10**n)) for n in range(5)],
}
"""What grows, and how."""


class _Row:
    n: PrimaryKey[u64]
    data: i32


def _module(tables: int) -> Module:
    module = Module("bench")
    row = _Row
    for number in range(tables):
        row = module.table(name=f"t{number}", public=True)(row)  # the first time it becomes another class
    return module


class _Rig:
    """One setting, connected."""

    def __init__(self, setting: Setting, client: Connection, server: FakeServer) -> None:
        self._setting = setting
        self._client = client
        self._server = server
        self._left = 0
        self._ended = 0.0
        self._done = anyio.Event()
        self._versions = dict.fromkeys(_touched_keys(setting), 0)

    async def prepare(self) -> None:
        """Subscribe to everything and add the callbacks."""
        first = self._client.subscribe(*(f"SELECT * FROM t{number}" for number in range(self._setting.tables)))
        others = [
            self._client.subscribe(f"SELECT * FROM {TOUCHED} WHERE data = {number}")
            for number in range(1, self._setting.subscriptions)
        ]
        for subscription in (first, *others):
            await subscription
        for number in range(self._setting.idle_callbacks):
            self._client.db[f"t{1 + number % (self._setting.tables - 1)}"].on_update(_ignore(number))
        self._client.db[TOUCHED].on_update(self._count)
        for number in range(1, self._setting.callbacks):
            self._client.db[TOUCHED].on_update(_ignore(number))

    def _count(self, _ctx: object, _old: object, _new: object) -> None:
        self._left -= 1
        if not self._left:
            self._ended = time.perf_counter()
            self._done.set()

    async def seconds(self) -> float:
        """Send one pass of transactions; returns the seconds that one of them took."""
        count = self._setting.transactions
        data = self._server.bytes_of(list(self._updates(count)))
        self._left = count
        self._done = anyio.Event()
        start = time.perf_counter()
        await self._server.send(data)
        await self._done.wait()
        return (self._ended - start) / count

    def _updates(self, count: int) -> Iterator[m.ServerMessage]:
        keys = list(self._versions)
        for number in range(count):
            key = keys[number % len(keys)]
            old = self._versions[key]
            self._versions[key] = old + 1
            inserts, deletes = RowList.of([_ROW.pack(key, old + 1)]), RowList.of([_ROW.pack(key, old)])
            yield transaction(self._server.query_set_ids[0], TOUCHED, Update(inserts, deletes))


def _touched_keys(setting: Setting) -> range:
    """Spread over all rows, and as many whatever their number."""
    return range(0, setting.rows, setting.rows // TOUCHED_ROWS)


def _ignore(_number: int) -> Callable[..., None]:
    """A callback of its own for each number, as different parts of a program have them."""

    def ignore(*_args: object) -> None:
        pass

    return ignore


def _rows_for(setting: Setting, request: m.Subscribe) -> m.QueryRows:
    """The first subscription gets each table's rows, and each of the others has its own rows in the touched table."""
    if "WHERE" not in request.query_strings[0]:
        tables = [_table_rows(TOUCHED, range(setting.rows))]
        tables += [_table_rows(f"t{number}", range(IDLE_ROWS)) for number in range(1, setting.tables)]
        return m.QueryRows(tables)
    start = 2**63 + request.query_set_id * IDLE_ROWS
    return m.QueryRows([_table_rows(TOUCHED, range(start, start + IDLE_ROWS))])


def _table_rows(table: str, keys: range) -> m.SingleTableRows:
    return m.SingleTableRows(table, RowList.of([_ROW.pack(key, 0) for key in keys]))


async def _measure(setting: Setting) -> list[float]:
    async with connected(_module(setting.tables).schema, lambda request: _rows_for(setting, request)) as (
        client,
        server,
    ):
        rig = _Rig(setting, client, server)
        await rig.prepare()
        await rig.seconds()
        return [await rig.seconds() for _ in range(PASSES)]


def measure_growth(
    series: Mapping[str, Sequence[tuple[int, Setting]]], *, runs: int, say: Callable[[str], object]
) -> dict[tuple[str, int], float]:
    """Measure all sizes in turn, `runs` times.

    Returns:
        Seconds of one transaction, by series and size: the least that was found. What else the machine does can only
        add to them, and would show as growth.
    """
    found: dict[tuple[str, int], list[float]] = {}
    for turn in range(1, runs + 1):
        for name, sizes in series.items():
            say(f"growth of {name}: run {turn} of {runs}")
            for size, setting in sizes:
                gc.collect()  # what the size before has left must not be cleared away in this one's time
                found.setdefault((name, size), []).extend(anyio.run(_measure, setting))
    return {point: min(seconds) for point, seconds in found.items()}


def growth_table(found: Mapping[tuple[str, int], float]) -> str:
    """Microseconds of one transaction, and in multiples of the series' first size."""
    first: dict[str, float] = {}
    rows: list[list[str]] = []
    for (name, size), seconds in found.items():
        first.setdefault(name, seconds)
        rows.append([name, f"{size:,}", shown(seconds * 1e6), f"{shown(seconds / first[name])}x"])
    return markdown(["what grows", "to", "us for a transaction", "times the first"], rows)


def growth_report(*, runs: int, quick: bool, say: Callable[[str], object]) -> str:
    """Everything, with what it needs to be understood; `quick` leaves large sizes out."""
    most = QUICK_SIZE if quick else max(size for sizes in SERIES.values() for size, _ in sizes)
    series = {name: [point for point in sizes if point[0] <= most] for name, sizes in SERIES.items()}
    table = growth_table(measure_growth(series, runs=runs, say=say))
    words = (
        f"Transactions of one row with `on_update`, on asyncio in memory; the least of {runs * PASSES} spans of many "
        "transactions. The last series calls every one of its callbacks for every row, and should grow with them; all "
        "others should stay."
    )
    return "\n\n".join([machine(), words, table])
