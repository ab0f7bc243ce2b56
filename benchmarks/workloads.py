"""What the server sends: tables, rows and transactions, made from a fixed seed, and what a client must find in the end.

Nothing here knows messages or sockets.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import attrs

from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk.testing import Module, PrimaryKey, f32, i32, u64

__all__ = ["MODULE", "PK_U64", "PLAYER", "WORKLOADS", "Content", "Expected", "TableShape", "Update", "Workload"]

MODULE: Final = Module("bench")

KEY_BITS: Final = 58
"""Of random primary keys: wider than a float's 53 bits, narrower than what a signed integer holds."""

VALUES: Final = 2**31
"""Values are below this, so that sums over all rows are exact also where numbers are floats."""

FIND_KEYS: Final = 10_000
"""Keys that are looked up, each once."""


@MODULE.table(name="pk_u_64", public=True)
class PkU64:
    """Small rows of one size."""

    n: PrimaryKey[u64]
    data: i32


@MODULE.table(name="player", public=True)
class Player:
    """Rows with a string in them, 42 bytes on average."""

    id: PrimaryKey[u64]
    name: str
    x: f32
    y: f32
    score: i32
    active: bool


_PK_ROW: Final = struct.Struct("<Qi")
_PLAYER_HEAD: Final = struct.Struct("<QI")
_PLAYER_TAIL: Final = struct.Struct("<ffi?")


def _pk_row(key: int, value: int) -> bytes:
    return _PK_ROW.pack(key, value)


def _player_row(key: int, value: int) -> bytes:
    name = b"player-%0*d" % (3 + key % 15, key % 1000)  # 10 to 24 bytes
    tail = _PLAYER_TAIL.pack(value % 4096 / 8, key % 4096 / 8, value, key & 1 == 1)
    return _PLAYER_HEAD.pack(key, len(name)) + name + tail


@attrs.frozen
class TableShape:
    """A table to measure with: a primary key, and one column of numbers that callbacks and scans add up.

    Attributes:
        name: In the schema.
        key: The column of the primary key.
        value: The column of numbers.
        row: Makes a row's bytes from key and value.
    """

    name: str
    key: str
    value: str
    row: Callable[[int, int], bytes]


PK_U64: Final = TableShape("pk_u_64", "n", "data", _pk_row)
PLAYER: Final = TableShape("player", "id", "score", _player_row)


@attrs.frozen
class Workload:
    """How much of what is sent.

    Attributes:
        name: What reports call it.
        table: Which table.
        rows: Rows of the first snapshot.
        transactions: Transactions that follow.
        updates: Rows that each of them replaces.
    """

    name: str
    table: TableShape
    rows: int
    transactions: int = 0
    updates: int = 0

    def quick(self) -> Workload:
        """The same in small, to see whether everything works."""
        return attrs.evolve(
            self,
            rows=min(self.rows, 2_000),
            transactions=min(self.transactions, 50),
            updates=min(self.updates, 100),
        )


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("W1", PK_U64, 1_000_000),
        Workload("W2", PLAYER, 200_000),
        Workload("W3", PK_U64, 10_000, transactions=20_000, updates=1),
        Workload("W4", PK_U64, 10_000, transactions=200, updates=1_000),
    )
}


@attrs.frozen
class Expected:
    """What a client must have seen when all is done.

    Attributes:
        rows: In the cache.
        keys_sum: Of the primary keys in the cache, modulo 2**64.
        values_sum: Of the values in the cache.
        updates: Rows that transactions replaced.
        updates_sum: Of the new values in them.
        find_values: What the keys to look up lead to before any transaction, in their order.
    """

    rows: int
    keys_sum: int
    values_sum: int
    updates: int
    updates_sum: int
    find_values: list[int]


@attrs.frozen
class Update:
    """One transaction: rows that come and rows that go, as many of each; the latter in an order of their own."""

    inserts: RowList
    deletes: RowList


class Content:
    """A workload's rows and transactions.

    Attributes:
        workload: Which.
        snapshot: The first rows.
        updates: The transactions.
        find_keys: Keys that clients look up.
        expected: What they must find.
    """

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._random = random.Random(workload.name)  # noqa: S311 - to be the same each time, not to be secret
        before = dict(zip(self._keys(), self._values(), strict=True))
        row = workload.table.row
        self.snapshot = RowList.of([row(key, value) for key, value in before.items()])
        self.find_keys = self._random.sample(list(before), min(FIND_KEYS, len(before)))
        self._after = dict(before)
        self._updates_sum = 0
        self.updates = list(self._transactions())
        self._find_values = [before[key] for key in self.find_keys]

    @cached_property
    def expected(self) -> Expected:
        """What a client must have seen when all is done."""
        return Expected(
            rows=len(self._after),
            keys_sum=sum(self._after) % 2**64,
            values_sum=sum(self._after.values()),
            updates=self.workload.transactions * self.workload.updates,
            updates_sum=self._updates_sum,
            find_values=self._find_values,
        )

    def _keys(self) -> list[int]:
        keys: dict[int, None] = {}
        while len(keys) < self.workload.rows:
            keys[self._random.getrandbits(KEY_BITS)] = None
        return list(keys)

    def _values(self) -> list[int]:
        return [self._random.randrange(VALUES) for _ in range(self.workload.rows)]

    def _transactions(self) -> Iterator[Update]:
        row = self.workload.table.row
        after = self._after
        keys = list(after)
        for _ in range(self.workload.transactions):
            chosen = self._random.sample(keys, self.workload.updates)
            deletes = [row(key, after[key]) for key in chosen]
            self._random.shuffle(deletes)
            for key in chosen:
                after[key] = (after[key] + self._random.randrange(1, VALUES)) % VALUES
                self._updates_sum += after[key]
            yield Update(RowList.of([row(key, after[key]) for key in chosen]), RowList.of(deletes))
