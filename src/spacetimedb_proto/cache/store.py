"""The rows of one table, each once, by key, with who holds it.

Nearly always one query set holds every row of a table once: that set is the *base*, and holding costs nothing per row.
Whatever is held otherwise, by another set or more than once, is noted beside it. A table whose rows turn out not to
have one row per primary key (overlapping views of a module may do that) keeps its rows by their bytes instead.

Nothing here knows messages or changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from ..errors import DecodeError
from ..steps import STEP, Steps, batches, slices
from ..wire.rowlist import RowList
from . import owners
from .keys import Key, Keys
from .owners import Owner
from .planning import Plan

__all__ = ["Store"]


class Store:
    """Settled rows.

    Attributes:
        keys: How rows are told apart; None when by all of their bytes, which then are the key.
        rows: Each row's bytes by its key.
        base: The query set that holds each row once, unless `held` says otherwise.
        held: Owners of the rows that are held in any other way.
        memo: Row objects that have been made, by key.
    """

    __slots__ = ("base", "held", "keys", "memo", "rows")

    def __init__(self, keys: Keys | None) -> None:
        self.keys = keys
        self.rows: dict[Key, bytes] = {}
        self.base = -1
        self.held: dict[bytes, Owner] = {}
        self.memo: dict[Key, Any] = {}

    def key(self, row: bytes) -> Key:
        """The key of a row.

        Raises:
            DecodeError: The row is none of this table.
        """
        return row if self.keys is None else self.keys.of(row)

    def owner(self, row: bytes) -> Owner | None:
        """Who holds a row; None if nobody does. Raises as `key`."""
        if self.rows.get(self.key(row)) != row:
            return None
        return self.held.get(row, self.base)

    def counts(self) -> dict[bytes, int]:
        """Each row with the number of times it is held."""
        held = self.held
        return {row: owners.count(held[row]) if row in held else 1 for row in self.rows.values()}

    def unkey(self) -> Steps[None]:
        """Tell rows apart by all of their bytes from now on. Until the last step nothing changes."""
        if self.keys is None:
            return
        rows: dict[Key, bytes] = {}
        for part in batches(self.rows.values()):
            rows.update(zip(part, part, strict=True))
            if len(part) == STEP:
                yield
        self.memo = {self.rows[key]: row for key, row in self.memo.items()}
        self.rows = rows
        self.keys = None

    def carry_out(self, plan: Plan) -> Steps[None]:
        """Do to the rows, their owners and their objects what was planned."""
        if self.memo:
            for keys in (plan.removed, plan.keys):
                yield from _forget(self.memo, keys)
        for part in slices(len(plan.removed)):
            deque(map(self.rows.pop, plan.removed[part]), 0)
            if part.stop < len(plan.removed):
                yield
        for part in slices(len(plan.keys)):
            self.rows.update(zip(plan.keys[part], plan.rows[part], strict=True))
            if part.stop < len(plan.keys):
                yield
        if self.held or plan.held:
            yield from _forget(self.held, plan.released)
            for owned in batches(plan.held.items()):
                self.held.update(owned)
                if len(owned) == STEP:
                    yield

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def take_in(self, query_set: int, rows: RowList) -> Steps[None]:
        """Add the rows of a snapshot, whatever else is here."""
        if not self.rows:
            self.base = query_set
            if (yield from self._fill(rows)):
                return
        for part in rows.parts(STEP):
            cut = part.rows()
            added = self._deliver(query_set, cut)
            if added < len(cut):
                yield from self.unkey()
                self._deliver(query_set, cut[added:])
            if len(part) == STEP:
                yield

    def _fill(self, rows: RowList) -> Steps[bool]:
        """Take rows in that are alone here and all different, which a count tells; False if they are not."""
        store, keys = self.rows, self.keys
        try:
            for part in rows.parts(STEP):
                cut = part.rows()
                store.update(zip(cut if keys is None else keys.of_list(part, cut), cut, strict=True))
                if len(part) == STEP:
                    yield
        except DecodeError:
            store.clear()
        if len(store) == len(rows):
            return True
        store.clear()
        return False

    def _deliver(self, query_set: int, cut: Sequence[bytes]) -> int:
        """Add rows one by one; returns how many were added before one came whose key cannot tell it from another."""
        store, held, base = self.rows, self.held, self.base
        for number, row in enumerate(cut):
            try:
                key = self.key(row)
            except DecodeError:
                return number
            present = store.get(key)
            if present is None:
                store[key] = row
                if query_set != base:
                    held[row] = query_set
            elif present == row:
                held[row] = owners.add(held.get(row, base), query_set)
            else:
                return number
        return len(cut)


def _forget(notes: dict[Any, Any], keys: Sequence[Key]) -> Steps[None]:
    for part in slices(len(keys)):
        deque(map(notes.pop, keys[part], repeat(None)), 0)
        if part.stop < len(keys):
            yield
