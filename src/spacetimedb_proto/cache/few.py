"""Plans for messages of few rows, as most are: they speak for one query set and touch rows that it alone holds.

One row after the other is looked at, and the plan is carried out in one go. To prepare for whole columns, as `bulk.py`
does, and for being taken in steps, costs more than a handful of rows. Where anything is not as usual there is no plan,
and `bulk.py` or `general.py` makes one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DecodeError
from ..steps import finish
from .changes import RowsChanged, RowSource
from .index import IndexChanges, Indexes
from .keys import Key
from .store import Store

__all__ = ["FewPlan", "FewPlanner"]


class FewPlan:
    """What to do.

    Attributes:
        change: What it comes to, for whoever listens.
        query_set: Whose rows they are.
        left: The rows that leave.
        gone: Their keys, but for those under which another row comes.
        came: The rows that come, by key.
        indexes: What becomes of the indexes.
    """

    __slots__ = ("came", "change", "gone", "indexes", "left", "query_set")

    def __init__(
        self,
        change: RowsChanged,
        query_set: int,
        left: Sequence[bytes],
        gone: Sequence[Key],
        came: dict[Key, bytes],
        indexes: IndexChanges,
    ) -> None:
        self.change = change
        self.query_set = query_set
        self.left = left
        self.gone = gone
        self.came = came
        self.indexes = indexes


class FewPlanner:
    """Makes and carries out the plans for one table.

    Args:
        source: The table.
        store: Its rows.
        indexes: Its indexes.
        is_paired: Whether rows have a primary key, so that a delete and an insert can be an update.
    """

    def __init__(self, source: RowSource, store: Store, indexes: Indexes, *, is_paired: bool) -> None:
        self._source = source
        self._store = store
        self._indexes = indexes
        self._is_paired = is_paired

    def plan(self, query_set: int, inserts: Sequence[bytes], deletes: Sequence[bytes]) -> FewPlan | None:
        """Plan for rows that `query_set` alone holds, or will hold, once each; None if they may not be that."""
        if self._store.keys is None and self._is_paired and inserts and deletes:
            return None
        try:
            leaving = self._leaving(query_set, deletes)
            if leaving is None:
                return None
            planned = self._coming(inserts, leaving)
            if planned is None:
                return None
            came, change = planned
            indexes = finish(self._indexes.changes(deletes, inserts)) if self._indexes.built else ()
        except DecodeError:
            return None
        return FewPlan(change, query_set, deletes, list(leaving), came, indexes)

    def _leaving(self, query_set: int, deletes: Sequence[bytes]) -> dict[Key, bytes] | None:
        """Rows that leave, by key, if `query_set` alone holds each of them once."""
        store = self._store
        rows, held, base = store.rows, store.held, store.base
        leaving: dict[Key, bytes] = {}
        for key, row in zip(self._keys(deletes), deletes, strict=True):
            if rows.get(key) != row or held.get(row, base) != query_set:
                return None
            leaving[key] = row
        return leaving if len(leaving) == len(deletes) else None

    def _coming(
        self, inserts: Sequence[bytes], leaving: dict[Key, bytes]
    ) -> tuple[dict[Key, bytes], RowsChanged] | None:
        """Rows that come, by key, if no key is or gets taken; and what they and `leaving` add up to.

        In `leaving` only those stay that leave for good.
        """
        rows = self._store.rows
        coming: dict[Key, bytes] = {}
        fresh: list[bytes] = []
        paired: list[bytes] = []
        replaced: list[bytes] = []
        for key, row in zip(self._keys(inserts), inserts, strict=True):
            was = leaving.pop(key, None)
            if was is not None:
                paired.append(row)
                replaced.append(was)
            elif key in rows or key in coming:
                return None
            else:
                fresh.append(row)
            coming[key] = row
        gone = list(leaving.values())
        return coming, RowsChanged(self._source, inserts=fresh, deletes=gone, old=replaced, new=paired)

    def _keys(self, rows: Sequence[bytes]) -> Sequence[Key]:
        keys = self._store.keys
        if keys is None:
            return rows
        unpack = keys.unpack
        return [unpack(row)[0] for row in rows]

    def commit(self, plan: FewPlan) -> None:
        """Carry out a plan made from the present state."""
        store, came = self._store, plan.came
        for key in plan.gone:
            del store.rows[key]
        store.rows.update(came)
        if store.memo:
            for key in (*plan.gone, *came):
                store.memo.pop(key, None)
        if plan.query_set != store.base:
            for row in plan.left:
                del store.held[row]
            store.held.update(dict.fromkeys(came.values(), plan.query_set))
        if plan.indexes:
            finish(self._indexes.apply(plan.indexes))
