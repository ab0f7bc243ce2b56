"""Plans for any message, made row by row: who holds each row that is mentioned, before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ..errors import DecodeError, RemoteProtocolError
from ..steps import STEP, Steps, batches, slices
from ..wire.rowlist import RowList
from . import owners
from .changes import RowsChanged, RowSource, TableChange
from .index import NAN, Indexes
from .keys import Key
from .lean import LeanRows
from .owners import Owner
from .planning import Delta, LeanDelta, Plan, are_free, picked, remove_all, set_of
from .store import Store

__all__ = ["GeneralPlanner"]


class GeneralPlanner:
    """Makes the plans for one table.

    Args:
        source: The table.
        store: Its rows.
        indexes: Its indexes.
        pair_by: Makes the value of a row's primary key; None where the table has none.
        lean: What query sets know that store no rows.
    """

    def __init__(
        self,
        source: RowSource,
        store: Store,
        indexes: Indexes,
        pair_by: Callable[[bytes], Any] | None,
        lean: LeanRows,
    ) -> None:
        self._source = source
        self._store = store
        self._indexes = indexes
        self._pair_by = pair_by
        self._lean = lean

    def plan(self, delta: Delta) -> Steps[Plan]:
        """Plan for anything.

        Raises:
            RemoteProtocolError: A row leaves that its query set does not hold, or one cannot belong to this table.
        """
        store = self._store
        if not store.rows and delta.inserts:
            store.base = delta.inserts[0][0]
        try:
            staging = yield from self._stage(delta)
            outcome = _Outcome(store)
            for batch in batches(staging.after.items()):
                outcome.add(batch)
                if len(batch) == STEP:
                    yield
            inserts, deletes = outcome.inserts, outcome.deletes
            lean = None if delta.lean is None else (yield from self._lean.plan(delta.lean, staging.holds))
            new_keys = yield from self._keys(inserts)
            old_keys = yield from self._keys(deletes)
            if store.keys is not None and not (yield from are_free(new_keys, old_keys, store.rows)):
                yield from store.unkey()
                new_keys, old_keys = inserts, deletes
            removed = yield from set_of(old_keys)
            yield from remove_all(removed, new_keys)
            came, gone = (inserts, deletes) if lean is None else ([*inserts, *lean.inserts], [*deletes, *lean.deletes])
            return Plan(
                (yield from self.change(came, gone)),
                removed=list(removed),
                keys=new_keys,
                rows=inserts,
                released=outcome.released,
                held=outcome.held,
                indexes=(yield from self._indexes.changes(deletes, inserts)),
                known={} if lean is None else lean.known,
            )
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self._source.name}: {error}") from error

    def plan_unstored(self, delta: LeanDelta) -> Steps[Plan]:
        """As `plan`, for a message of which nothing is to be stored: what is stored only tells what is told already."""
        try:
            lean = yield from self._lean.plan(delta, self._stores)
            return Plan((yield from self.change(list(lean.inserts), list(lean.deletes))), known=lean.known)
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self._source.name}: {error}") from error

    def _stores(self, row: bytes) -> bool:
        return self._store.owner(row) is not None

    def _stage(self, delta: Delta) -> Steps[_Staging]:
        """Who holds the rows that a message mentions: all inserts come first, then all deletes."""
        staging = _Staging(self._store)
        for query_set, rows in delta.inserts:
            for part in rows.parts(STEP):
                staging.add(query_set, part)
                if len(part) == STEP:
                    yield
        yield from self._give_back(staging, delta)
        for query_set in delta.dropped:
            for batch in batches(chain(self._store.rows.values(), list(staging.after))):
                staging.drop(query_set, batch)
                if len(batch) == STEP:
                    yield
        return staging

    def _give_back(self, staging: _Staging, delta: Delta) -> Steps[None]:
        for query_set, rows in delta.deletes:
            for part in rows.parts(STEP):
                try:
                    staging.remove(query_set, part)
                except KeyError:
                    raise RemoteProtocolError(
                        f"table {self._source.name}: query set {query_set} deletes a row that it does not hold"
                    ) from None
                if len(part) == STEP:
                    yield

    def _keys(self, rows: Sequence[bytes]) -> Steps[Sequence[Key]]:
        keys: list[Key] = []
        for part in slices(len(rows)):
            keys += map(self._store.key, rows[part])
            if part.stop < len(rows):
                yield
        return keys

    def change(self, came: list[bytes], gone: list[bytes]) -> Steps[TableChange]:
        """What rows that came and rows that left come to: a delete and an insert of one primary key are an update."""
        if self._pair_by is None or not came or not gone:
            return RowsChanged(self._source, inserts=came, deletes=gone)
        pairs = _Pairs(self._pair_by)
        for rows in batches(gone):
            pairs.go(rows)
            if len(rows) == STEP:
                yield
        for rows in batches(came):
            pairs.come(rows)
            if len(rows) == STEP:
                yield
        left = yield from picked(gone, (row not in pairs.replaced for row in gone))
        return RowsChanged(self._source, inserts=pairs.fresh, deletes=left, old=pairs.old, new=pairs.new)


class _Outcome:
    """What staging comes to.

    Attributes:
        inserts: Rows that nobody held before.
        deletes: Rows that nobody holds any more.
        released: Rows about whose owner nothing is to be remembered any more.
        held: Owners to remember.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.inserts: list[bytes] = []
        self.deletes: list[bytes] = []
        self.released: list[bytes] = []
        self.held: dict[bytes, Owner] = {}

    def add(self, after: Iterable[tuple[bytes, Owner | None]]) -> None:
        """Add rows with those who will hold them."""
        owner_before, base = self._store.owner, self._store.base
        for row, owner in after:
            if (owner is None) is not (owner_before(row) is None):
                (self.deletes if owner is None else self.inserts).append(row)
            if owner is None or owner == base:
                self.released.append(row)
            else:
                self.held[row] = owner


class _Pairs:
    """Turns a delete and an insert of one primary key into an update, in the order of the inserts.

    Attributes:
        fresh: Inserts that replace nothing.
        old: Rows that are replaced.
        new: The rows that replace them, one by one.
        replaced: The rows of `old`.
    """

    def __init__(self, key_of: Callable[[bytes], Any]) -> None:
        self._key_of = key_of
        self._going: dict[Any, bytes] = {}
        self.fresh: list[bytes] = []
        self.old: list[bytes] = []
        self.new: list[bytes] = []
        self.replaced: set[bytes] = set()

    def go(self, deletes: Iterable[bytes]) -> None:
        """Note rows that leave. NaN equals nothing, so a row with such a key is never replaced."""
        for row in deletes:
            value = self._key_of(row)
            if value is not NAN:
                self._going[value] = row

    def come(self, inserts: Iterable[bytes]) -> None:
        """Note rows that come, after all that leave."""
        for row in inserts:
            old = self._going.pop(self._key_of(row), None)
            if old is None:
                self.fresh.append(row)
            else:
                self.old.append(old)
                self.new.append(row)
                self.replaced.add(old)


class _Staging:
    """Who will hold the rows that a message mentions.

    Attributes:
        after: Owners as they will be, where they may be others than the store has.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.after: dict[bytes, Owner | None] = {}

    def _owner(self, row: bytes) -> Owner | None:
        return self.after[row] if row in self.after else self._store.owner(row)

    def add(self, query_set: int, rows: RowList) -> None:
        """One delivery more of each row."""
        for row in rows.rows():
            self.after[row] = owners.add(self._owner(row), query_set)

    def remove(self, query_set: int, rows: RowList) -> None:
        """One delivery less of each row; raises `KeyError` if the query set holds one of them no more."""
        for row in rows.rows():
            self.after[row] = owners.remove(self._owner(row), query_set)

    def holds(self, row: bytes) -> bool:
        """Whether somebody holds a row before the message, or after it."""
        return self._store.owner(row) is not None or self.after.get(row) is not None

    def drop(self, query_set: int, rows: Iterable[bytes]) -> None:
        """Of these rows, the query set holds none any more."""
        for row in rows:
            owner = self._owner(row)
            left = None if owner is None else owners.drop(owner, query_set)
            if left != owner:
                self.after[row] = left
