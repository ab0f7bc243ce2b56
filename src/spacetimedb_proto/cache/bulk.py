"""Plans for most messages: they speak for one query set and touch rows that it alone holds, once each.

Whole columns of keys and rows are compared at once. Where anything else turns up there is no plan, and `general.py`
makes one, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, cast

from ..errors import DecodeError
from ..steps import STEP, Steps, batches, slices
from ..wire.rowlist import RowList
from .changes import RowsChanged, RowSource, TableChange
from .index import Indexes
from .keys import Key
from .planning import Plan, are_free
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
            leaving = yield from _by_key(old_keys, old)
            if leaving is None:
                return None
            indexes = (yield from self._indexes.changes(old, new)) if self._indexes.built else ()
            change = yield from self._change(leaving, new_keys, new)
            if change is None:
                return None
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

    def _change(
        self, leaving: dict[Key, bytes], new_keys: Sequence[Key], new: Sequence[bytes]
    ) -> Steps[TableChange | None]:
        """What rows that went and rows that came add up to, in the order of their arrival.

        Args:
            leaving: The rows that went. Those that another one replaces are taken out.
            new_keys: Keys of the rows that came.
            new: Those rows.

        Returns:
            None if a row came whose key is or gets taken.
        """
        source, taken, count = self._source, self._store.rows, len(leaving)
        if not count:
            return RowsChanged(source, inserts=new) if (yield from are_free(new_keys, (), taken)) else None
        old: list[bytes | None] = []
        for part in slices(len(new_keys)):
            old += map(leaving.pop, new_keys[part], repeat(None))
            if part.stop < len(new_keys):
                yield
        if not leaving and len(new) == count:  # each has replaced one
            return RowsChanged(source, old=cast("list[bytes]", old), new=new)
        fresh_keys: list[Key] = []
        fresh: list[bytes] = []
        replaced: list[bytes] = []
        paired: list[bytes] = []
        for batch in batches(zip(new_keys, new, old, strict=True)):
            for key, row, was in batch:
                if was is None:
                    fresh_keys.append(key)
                    fresh.append(row)
                else:
                    paired.append(row)
                    replaced.append(was)
            if len(batch) == STEP:
                yield
        if not (yield from are_free(fresh_keys, (), taken)):
            return None
        return RowsChanged(source, inserts=fresh, deletes=list(leaving.values()), old=replaced, new=paired)


def _by_key(keys: Sequence[Key], rows: Sequence[bytes]) -> Steps[dict[Key, bytes] | None]:
    """Rows by key; None if two have the same."""
    found: dict[Key, bytes] = {}
    for part in slices(len(keys)):
        found.update(zip(keys[part], rows[part], strict=True))
        if part.stop < len(keys):
            yield
    return found if len(found) == len(keys) else None


def _pick(mapping: Mapping[Key, Any], keys: Sequence[Key]) -> Sequence[Any]:
    """The values of many keys; raises `KeyError` if one is missing. A third of the cost of asking for each."""
    return itemgetter(*keys)(mapping) if len(keys) > 1 else [mapping[key] for key in keys]
