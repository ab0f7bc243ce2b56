"""What the rows of a table cost in memory, counted without touching them all.

Bytes that Python objects take are estimates: of a mapping of more than a thousand entries, some thousand taken evenly
speak for all. A million rows take some ten milliseconds. Nothing here cuts a snapshot apart, decodes a row or builds an
index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from sys import getsizeof
from typing import Any, Final, TypeVar

import attrs

from ..wire.rowlist import RowList
from .index import Index
from .keys import Key
from .lean import LeanRows
from .owners import Owner
from .store import Store

__all__ = ["TableMemory", "memory_of"]

SAMPLE: Final = 1000
"""Entries that speak for all others."""

T = TypeVar("T")


@attrs.frozen
class TableMemory:
    """What the cache holds of one table or view.

    Attributes:
        name: The table's name.
        rows: Distinct rows. Of an uncut snapshot: rows that were sent, of which overlapping queries may repeat some.
        row_bytes: Bytes of these rows as the server sent them.
        overhead_bytes: An estimate of what Python needs besides to hold them and find them: the rows' objects, keys,
            mappings, indexes, notes about owners, keys of rows that are not kept. Of an uncut snapshot: the rest of the
            message that it is kept in, and where its rows begin. What row objects need is not in it.
        objects: Row objects that are kept because somebody looked at their rows.
        indexes: The indexes that are built: names of their columns, joined by `+`, with the number of different keys.
        held: Rows about which it is noted who holds them: those held more than once, or by another subscription than
            the one that nearly all rows are of.
        keys: Keys kept for subscriptions that keep no rows; of a table without a primary key, those rows.
        is_uncut: Whether the rows are still in one piece, as they came: nobody has looked at them yet.
    """

    name: str
    rows: int
    row_bytes: int
    overhead_bytes: int
    objects: int
    indexes: Mapping[str, int]
    held: int
    keys: int
    is_uncut: bool

    @property
    def total_bytes(self) -> int:
        """Rows and overhead together."""
        return self.row_bytes + self.overhead_bytes


def memory_of(
    name: str, snapshots: Sequence[RowList], store: Store, indexes: Mapping[str, Index], lean: LeanRows
) -> TableMemory:
    """What a table holds.

    Args:
        name: The table's name.
        snapshots: Its rows, if they are not cut apart yet.
        store: Its rows, if they are.
        indexes: Its indexes by the names of their columns.
        lean: What query sets know that store no rows.
    """
    rows = store.rows
    if snapshots:
        count, row_bytes = sum(map(len, snapshots)), sum(part.size for part in snapshots)
        overhead = sum(part.overhead for part in snapshots)
    else:
        count, row_bytes = len(rows), sum(map(len, rows.values()))
        overhead = getsizeof(rows) + count * getsizeof(b"")
        overhead += _keys_size(rows) if store.keys is not None else 0
        overhead += getsizeof(store.memo) + _owners_size(store.held)
        overhead += sum(_index_size(index) for index in indexes.values())
    return TableMemory(
        name,
        rows=count,
        row_bytes=row_bytes,
        overhead_bytes=overhead + _owners_size(lean.owners) + _keys_size(lean.owners),
        objects=0 if snapshots else len(store.memo),
        indexes={columns: len(index.entries) for columns, index in indexes.items()},
        held=0 if snapshots else len(store.held),
        keys=len(lean.owners),
        is_uncut=bool(snapshots),
    )


def _sum_of(items: Collection[T], size_of: Callable[[T], int]) -> int:
    """The sum over all items; of many, estimated from some that are taken evenly."""
    sample = list(islice(items, 0, None, len(items) // SAMPLE + 1))
    return round(sum(map(size_of, sample)) * len(items) / len(sample)) if sample else 0


def _keys_size(keys: Mapping[Key, object]) -> int:
    return _sum_of(keys, getsizeof)


def _owners_size(held: Mapping[Any, Owner]) -> int:
    return getsizeof(held) + sum(map(_container_size, set(held.values())))  # those held alike share one note


def _index_size(index: Index) -> int:
    entries = index.entries
    return getsizeof(entries) + _keys_size(entries) + _sum_of(entries.values(), _container_size)


def _container_size(value: object) -> int:
    """The size of a container that an entry has for itself. Rows and ids are somebody else's."""
    return 0 if isinstance(value, bytes | int) else getsizeof(value)
