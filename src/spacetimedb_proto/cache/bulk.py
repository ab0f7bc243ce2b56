"""Plans for most messages: they speak for one query set and touch rows that it alone holds, once each.

Whole columns of keys and rows are compared at once. Where anything else turns up there is no plan, and `general.py`
makes one, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ..errors import DecodeError
from ..steps import STEP, Steps, batches, slices
from ..wire.rowlist import RowList
from .changes import RowsChanged, RowSource, TableChange
from .index import Indexes
from .keys import Key
from .planning import Plan, picked, remove_all, set_of
from .store import Store

__all__ = ["BulkPlanner"]


class BulkPlanner:
    """Makes the plans for one table.

    Args:
        source: The table.
        store: Its rows.
        indexes: Its indexes.
        pair_by: Makes the value of a row's primary key; None where the table has none.
    """

    def __init__(
        self, source: RowSource, store: Store, indexes: Indexes, pair_by: Callable[[bytes], Any] | None
    ) -> None:
        self._source = source
        self._store = store
        self._indexes = indexes
        self._pair_by = pair_by

    def plan(self, query_set: int, inserts: RowList, deletes: RowList) -> Steps[Plan | None]:
        """Plan for rows that `query_set` alone holds, or will hold, once each; None if they may not be that."""
        store = self._store
        if store.keys is None and self._pair_by is not None and len(inserts) and len(deletes):
            return None
        if not store.rows:
            store.base = query_set
        try:
            new_keys, new = yield from self._columns(inserts)
            found = yield from self._deleted(query_set, deletes)
            if found is None:
                return None
            old_keys, old = found
            leaving = yield from self._leaving(old_keys, new_keys)
            if leaving is None:
                return None
            indexes = (yield from self._indexes.changes(old, new)) if self._indexes.built else ()
            change = yield from self._bulk_change((old_keys, old), (new_keys, new), leaving)
        except DecodeError:
            return None
        lone = query_set != store.base
        return Plan(
            change,
            removed=list(leaving),
            keys=new_keys,
            rows=new,
            released=old if lone else (),
            held=dict.fromkeys(new, query_set) if lone else {},
            indexes=indexes,
        )

    def _columns(self, rows: RowList) -> Steps[tuple[Sequence[Key], Sequence[bytes]]]:
        """The keys and the rows of a list."""
        keys = self._store.keys
        if len(rows) <= STEP:
            cut = rows.rows()
            return cut if keys is None else keys.of_list(rows, cut), cut
        all_keys: list[Key] = []
        all_rows: list[bytes] = []
        for part in rows.parts(STEP):
            cut = part.rows()
            all_rows += cut
            all_keys += cut if keys is None else keys.of_list(part, cut)
            if len(part) == STEP:
                yield
        return all_keys, all_rows

    def _deleted(self, query_set: int, deletes: RowList) -> Steps[tuple[Sequence[Key], Sequence[bytes]] | None]:
        """Keys and rows of a list of deletes, if `query_set` alone holds each of them once."""
        if not len(deletes):
            return (), ()
        if len(deletes) <= STEP:
            return self._deleted_part(query_set, deletes)
        all_keys: list[Key] = []
        all_rows: list[bytes] = []
        for part in deletes.parts(STEP):
            found = self._deleted_part(query_set, part)
            if found is None:
                return None
            all_keys += found[0]
            all_rows += found[1]
            if len(part) == STEP:
                yield
        return all_keys, all_rows

    def _deleted_part(self, query_set: int, deletes: RowList) -> tuple[Sequence[Key], Sequence[bytes]] | None:
        store = self._store
        keys: Sequence[Key] = deletes.rows() if store.keys is None else store.keys.of_list(deletes)
        try:
            rows = _pick(store.rows, keys)
        except KeyError:
            return None
        same = b"".join(rows) == deletes.data if deletes.row_size else list(rows) == deletes.rows()
        if not same or not self._holds_alone(query_set, rows):
            return None
        return keys, rows

    def _holds_alone(self, query_set: int, rows: Sequence[bytes]) -> bool:
        store = self._store
        if query_set == store.base:
            return not store.held or store.held.keys().isdisjoint(rows)
        return all(owner == query_set for owner in map(store.held.get, rows))

    def _leaving(self, old_keys: Sequence[Key], new_keys: Sequence[Key]) -> Steps[set[Key] | None]:
        """Keys of rows that leave for good; None if a row leaves twice, or one comes whose key is or gets taken."""
        leaving = yield from set_of(old_keys)
        if len(leaving) != len(old_keys):
            return None
        yield from remove_all(leaving, new_keys)
        if not leaving and len(new_keys) == len(old_keys):
            # As many keys, and each old one is among the new: they are the same, and no new one comes twice.
            return leaving
        coming = yield from set_of(new_keys)
        if len(coming) != len(new_keys):
            return None
        yield from remove_all(coming, old_keys)
        taken = self._store.rows.keys()
        for part in batches(coming):
            if not taken.isdisjoint(part):
                return None
            if len(part) == STEP:
                yield
        return leaving

    def _bulk_change(
        self,
        gone: tuple[Sequence[Key], Sequence[bytes]],
        came: tuple[Sequence[Key], Sequence[bytes]],
        leaving: set[Key],
    ) -> Steps[TableChange]:
        """What rows that went and rows that came add up to, in the order of their arrival."""
        (old_keys, old), (new_keys, new) = gone, came
        if not old:
            return RowsChanged(self._source, inserts=new)
        if not new:
            return RowsChanged(self._source, deletes=old)
        if not leaving and len(new) == len(old):
            return RowsChanged(self._source, old=(yield from self._replaced(new_keys)), new=new)
        before: dict[Key, bytes] = {}
        for part in slices(len(old)):
            before.update(zip(old_keys[part], old[part], strict=True))
            if part.stop < len(old):
                yield
        fresh: list[bytes] = []
        paired: list[bytes] = []
        replaced: list[bytes] = []
        for batch in batches(zip(new_keys, new, strict=True)):
            for key, row in batch:
                was = before.get(key)
                if was is None:
                    fresh.append(row)
                else:
                    paired.append(row)
                    replaced.append(was)
            if len(batch) == STEP:
                yield
        left = yield from picked(old, map(leaving.__contains__, old_keys))
        return RowsChanged(self._source, inserts=fresh, deletes=left, old=replaced, new=paired)

    def _replaced(self, keys: Sequence[Key]) -> Steps[Sequence[bytes]]:
        """The rows that are there under these keys."""
        if len(keys) <= STEP:
            return _pick(self._store.rows, keys)
        rows: list[bytes] = []
        for part in slices(len(keys)):
            rows += _pick(self._store.rows, keys[part])
            if part.stop < len(keys):
                yield
        return rows


def _pick(mapping: Mapping[Key, Any], keys: Sequence[Key]) -> Sequence[Any]:
    """The values of many keys; raises `KeyError` if one is missing. A third of the cost of asking for each."""
    return itemgetter(*keys)(mapping) if len(keys) > 1 else [mapping[key] for key in keys]
