"""What a message will do to a table: checked, complete, and without any step that could fail when it is carried out.

Most messages speak for one query set and touch rows that it alone holds, once each. `plan_bulk` knows only those, and
works on whole columns of keys and rows; it answers None where anything else turns up. `plan_generally` knows all rules
and works row by row. Both must say the same wherever both can. Nothing here changes what a table holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

from ..errors import DecodeError, RemoteProtocolError
from ..wire.rowlist import RowList
from . import owners
from .changes import KEPT_OBJECTS, RowSource, TableChange
from .index import NAN, IndexChanges, Indexes
from .keys import Key
from .owners import Owner
from .store import Store

__all__ = ["Delta", "Plan", "Planner"]


_NOBODY: Final[Mapping[bytes, Owner]] = {}


class Delta:
    """Everything that one message says about one table, not yet checked against what is there.

    Attributes:
        inserts: Deliveries to add, each with the query set they are for.
        deletes: Deliveries to take away.
        dropped: Query sets whose remaining deliveries all go.
        events: Rows that exist only in this message.
        is_distinct: Whether the inserts are known to hold no row twice.
    """

    __slots__ = ("deletes", "dropped", "events", "inserts", "is_distinct")

    def __init__(self) -> None:
        self.inserts: list[tuple[int, RowList]] = []
        self.deletes: list[tuple[int, RowList]] = []
        self.dropped: list[int] = []
        self.events: list[RowList] = []
        self.is_distinct = False


class Plan:
    """What to do.

    Attributes:
        change: What it comes to, for whoever listens.
        removed: Keys of rows to remove.
        keys: Keys of rows to put in; a row that is there under one of them is replaced.
        rows: Those rows.
        released: Rows about whose owner nothing is to be remembered any more.
        held: Owners to remember.
        indexes: What becomes of the indexes.
        snapshots: Lists of rows to keep as they are, each with its query set. Then there is nothing else to do.
        is_distinct: Whether the snapshots are known to hold no row twice.
    """

    __slots__ = ("change", "held", "indexes", "is_distinct", "keys", "released", "removed", "rows", "snapshots")

    def __init__(  # noqa: PLR0913 - one for each thing that there is to do
        self,
        change: TableChange,
        *,
        removed: Iterable[Key] = (),
        keys: Iterable[Key] = (),
        rows: Iterable[bytes] = (),
        released: Iterable[bytes] = (),
        held: Mapping[bytes, Owner] = _NOBODY,
        indexes: IndexChanges = (),
        snapshots: Sequence[tuple[int, RowList]] = (),
        is_distinct: bool = False,
    ) -> None:
        self.change = change
        self.removed = removed
        self.keys = keys
        self.rows = rows
        self.released = released
        self.held = held
        self.indexes = indexes
        self.snapshots = snapshots
        self.is_distinct = is_distinct


class Planner:
    """Plans for one table.

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

    # --- in bulk ------------------------------------------------------------------------------------------------------

    def bulk(self, query_set: int, inserts: RowList, deletes: RowList, version: int) -> Plan | None:
        """Plan for rows that `query_set` alone holds, or will hold, once each; None if they may not be that."""
        store = self._store
        if store.keys is None and self._pair_by is not None and len(inserts) and len(deletes):
            return None
        if not store.rows:
            store.base = query_set
        try:
            new = inserts.rows()
            new_keys: Sequence[Key] = new if store.keys is None else store.keys.of_list(inserts, new)
            found = self._deleted(query_set, deletes)
            if found is None:
                return None
            old_keys, old = found
            leaving = self._leaving(old_keys, new_keys)
            if leaving is None:
                return None
            indexes = self._indexes.changes(old, new)
        except DecodeError:
            return None
        lone = query_set != store.base
        return Plan(
            self._bulk_change((old_keys, old), (new_keys, new), leaving, version),
            removed=leaving,
            keys=new_keys,
            rows=new,
            released=old if lone else (),
            held=dict.fromkeys(new, query_set) if lone else _NOBODY,
            indexes=indexes,
        )

    def _deleted(self, query_set: int, deletes: RowList) -> tuple[Sequence[Key], Sequence[bytes]] | None:
        """Keys and rows of a list of deletes, if `query_set` alone holds each of them once."""
        store = self._store
        if not len(deletes):
            return (), ()
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
            return store.held.keys().isdisjoint(rows)
        return all(owner == query_set for owner in map(store.held.get, rows))

    def _leaving(self, old_keys: Sequence[Key], new_keys: Sequence[Key]) -> set[Key] | None:
        """Keys of rows that leave for good; None if a row leaves twice, or one comes whose key is or gets taken."""
        leaving = set(old_keys)
        if len(leaving) != len(old_keys):
            return None
        leaving.difference_update(new_keys)
        if not leaving and len(new_keys) == len(old_keys):
            return (
                leaving  # as many keys, and each old one among the new: they are the same, and no new one comes twice
            )
        coming = set(new_keys)
        if len(coming) != len(new_keys):
            return None
        coming.difference_update(old_keys)
        return leaving if self._store.rows.keys().isdisjoint(coming) else None

    def _bulk_change(
        self,
        gone: tuple[Sequence[Key], Sequence[bytes]],
        came: tuple[Sequence[Key], Sequence[bytes]],
        leaving: set[Key],
        version: int,
    ) -> TableChange:
        """What rows that went and rows that came add up to, in the order of their arrival."""
        (old_keys, old), (new_keys, new) = gone, came
        if len(old) + len(new) > KEPT_OBJECTS:
            version = -1
        if not old:
            return TableChange(self._source, version, inserts=(new, new_keys))
        if not new:
            return TableChange(self._source, version, deletes=(old, self._objects(old_keys)))
        if not leaving and len(new) == len(old):
            replaced = _pick(self._store.rows, new_keys), self._objects(new_keys)
            return TableChange(self._source, version, old=replaced, new=(new, new_keys))
        objects = self._objects(old_keys)
        known = dict(zip(old_keys, objects, strict=True)) if objects else {}
        before = dict(zip(old_keys, old, strict=True))
        paired = [(key, row) for key, row in zip(new_keys, new, strict=True) if key in before]
        fresh = [(key, row) for key, row in zip(new_keys, new, strict=True) if key not in before]
        left = [key for key in old_keys if key in leaving]
        return TableChange(
            self._source,
            version,
            inserts=([row for _, row in fresh], [key for key, _ in fresh]),
            deletes=([before[key] for key in left], [known.get(key) for key in left]),
            old=([before[key] for key, _ in paired], [known.get(key) for key, _ in paired]),
            new=([row for _, row in paired], [key for key, _ in paired]),
        )

    def _objects(self, keys: Sequence[Key]) -> Sequence[Any]:
        """Objects of rows that are about to leave, None for those without; no list at all where no row has any.

        They are forgotten on the way. That changes nothing: whoever looks at a row again gets another, equal one.
        """
        memo = self._store.memo
        return list(map(memo.pop, keys, repeat(None))) if memo else ()

    # --- by all rules -------------------------------------------------------------------------------------------------

    def general(self, delta: Delta, version: int) -> Plan:
        """Plan for anything.

        Raises:
            RemoteProtocolError: A row leaves that its query set does not hold, or one cannot belong to this table.
        """
        store = self._store
        if not store.rows and delta.inserts:
            store.base = delta.inserts[0][0]
        try:
            staging = self._stage(delta)
            before, after = staging.before, staging.after
            inserts = [row for row, owner in after.items() if owner is not None and before[row] is None]
            deletes = [row for row, owner in after.items() if owner is None and before[row] is not None]
            if self._clashes(inserts, deletes):
                store.unkey()
            new_keys = list(map(store.key, inserts))
            old_keys = list(map(store.key, deletes))
            replaced = set(new_keys)
            return Plan(
                self._change(inserts, deletes, version),
                removed=[key for key in old_keys if key not in replaced],
                keys=new_keys,
                rows=inserts,
                released=[row for row, owner in after.items() if owner is None or owner == store.base],
                held={row: owner for row, owner in after.items() if owner is not None and owner != store.base},
                indexes=self._indexes.changes(deletes, inserts),
            )
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self._source.name}: {error}") from error

    def _stage(self, delta: Delta) -> _Staging:
        """Who holds the rows that a message mentions: all inserts come first, then all deletes."""
        staging = _Staging(self._store)
        for query_set, rows in delta.inserts:
            staging.add(query_set, rows)
        for query_set, rows in delta.deletes:
            try:
                staging.remove(query_set, rows)
            except KeyError:
                raise RemoteProtocolError(
                    f"table {self._source.name}: query set {query_set} deletes a row that it does not hold"
                ) from None
        for query_set in delta.dropped:
            staging.drop(query_set)
        return staging

    def _clashes(self, inserts: list[bytes], deletes: list[bytes]) -> bool:
        """Whether two different rows would have one key."""
        store = self._store
        if store.keys is None:
            return False
        keys = list(map(store.key, inserts))
        if len(set(keys)) != len(keys):
            return True
        leaving = set(map(store.key, deletes))
        return any(key in store.rows and key not in leaving for key in keys)

    def _change(self, inserts: list[bytes], deletes: list[bytes], version: int) -> TableChange:
        store, key_of = self._store, self._store.key
        if len(inserts) + len(deletes) > KEPT_OBJECTS:
            version = -1
        objects = {row: made for row in deletes if (made := store.memo.pop(key_of(row), None)) is not None}
        came, gone, pairs = self._pair(inserts, deletes)
        old = [row for row, _ in pairs]
        new = [row for _, row in pairs]
        return TableChange(
            self._source,
            version,
            inserts=(came, list(map(key_of, came))),
            deletes=(gone, list(map(objects.get, gone)) if objects else ()),
            old=(old, list(map(objects.get, old)) if objects else ()),
            new=(new, list(map(key_of, new))),
        )

    def _pair(
        self, inserts: list[bytes], deletes: list[bytes]
    ) -> tuple[list[bytes], list[bytes], list[tuple[bytes, bytes]]]:
        """Turn a delete and an insert of one primary key into an update, in the order of the inserts."""
        if self._pair_by is None or not inserts or not deletes:
            return inserts, deletes, []
        key_of = self._pair_by
        old_by_key = {key_of(row): row for row in deletes}
        old_by_key.pop(NAN, None)
        left: list[bytes] = []
        updates: list[tuple[bytes, bytes]] = []
        for row in inserts:
            old = old_by_key.pop(key_of(row), None)
            if old is None:
                left.append(row)
            else:
                updates.append((old, row))
        if not updates:
            return inserts, deletes, []
        replaced = set(map(itemgetter(0), updates))
        return left, [row for row in deletes if row not in replaced], updates


class _Staging:
    """Who holds each row that a message mentions, before and after it.

    Attributes:
        before: Owners as the store has them.
        after: Owners as they will be.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.before: dict[bytes, Owner | None] = {}
        self.after: dict[bytes, Owner | None] = {}

    def _owner(self, row: bytes) -> Owner | None:
        if row not in self.after:
            self.before[row] = self.after[row] = self._store.owner(row)
        return self.after[row]

    def add(self, query_set: int, rows: RowList) -> None:
        """One delivery more of each row."""
        for row in rows.rows():
            self.after[row] = owners.add(self._owner(row), query_set)

    def remove(self, query_set: int, rows: RowList) -> None:
        """One delivery less of each row; raises `KeyError` if the query set holds one of them no more."""
        for row in rows.rows():
            self.after[row] = owners.remove(self._owner(row), query_set)

    def drop(self, query_set: int) -> None:
        """Nothing that the query set holds is held by it any more."""
        for row in [*self._store.rows.values(), *self.after]:
            owner = self._owner(row)
            if owner is not None:
                self.after[row] = owners.drop(owner, query_set)


def _pick(mapping: Mapping[Key, Any], keys: Sequence[Key]) -> Sequence[Any]:
    """The values of many keys; raises `KeyError` if one is missing. A third of the cost of asking for each."""
    return itemgetter(*keys)(mapping) if len(keys) > 1 else [mapping[key] for key in keys]
