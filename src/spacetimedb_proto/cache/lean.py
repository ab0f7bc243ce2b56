"""What one table knows of query sets that store no rows: the keys that some keep, and what their messages tell.

A *lean* query set is for whoever only follows changes. With the policy `keys` the key of each of its rows is kept, with
its owners, so that several such sets tell each row once; with `none` nothing is kept, and a message is all there is.

What stored rows tell is told by them, so a lean delivery of a row that is stored before or after the message tells
nothing. For all other rows: those known or deleted are *before*, those known or inserted are *after*, and what differs
is told. The keys of one table stand for its rows because a primary key is unique in a database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import attrs

from ..errors import RemoteProtocolError
from ..steps import STEP, Steps, batches
from ..wire.rowlist import RowList
from . import owners
from .keys import Key, Keys
from .owners import Owner
from .planning import LeanDelta, picked

__all__ = ["CACHE_POLICIES", "CachePolicy", "LeanOutcome", "LeanRows"]

CachePolicy: TypeAlias = Literal["full", "keys", "none"]
"""What is kept of a query set's rows: all of each, its key, or nothing."""

CACHE_POLICIES: Final[tuple[CachePolicy, ...]] = ("full", "keys", "none")
"""From the one that keeps most to the one that keeps nothing."""


@attrs.frozen
class LeanOutcome:
    """What the lean part of a message comes to.

    Attributes:
        inserts: Rows to tell of that appeared.
        deletes: Rows to tell of that left.
        known: Owners of the keys that the message mentions; None for a key that is known no more.
    """

    inserts: Sequence[bytes]
    deletes: Sequence[bytes]
    known: Mapping[Key, Owner | None]


class LeanRows:
    """The keys that lean query sets keep of one table.

    Args:
        name: The table's name, for messages.
        keys: How a row's key is found; None where only all of its bytes can stand for it.

    Attributes:
        keys: The same.
        owners: Who holds each key.
    """

    def __init__(self, name: str, keys: Keys | None) -> None:
        self._name = name
        self.keys = keys
        self.owners: dict[Key, Owner] = {}

    def plan(self, delta: LeanDelta, is_stored: Callable[[bytes], bool]) -> Steps[LeanOutcome]:
        """Work out what a message tells, and which keys are known after it. Changes nothing.

        Args:
            delta: What it says for lean query sets.
            is_stored: Whether the table stores a row, before the message or after it.

        Raises:
            RemoteProtocolError: A row leaves whose key its query set does not hold.
            DecodeError: A row is too short to have a key.
        """
        staging = _Staging(self)
        for query_set, rows in delta.inserts:
            yield from staging.add(query_set, rows)
        for query_set, rows in delta.deletes:
            try:
                yield from staging.remove(query_set, rows)
            except KeyError:
                raise RemoteProtocolError(
                    f"table {self._name}: query set {query_set} deletes a row that it does not hold"
                ) from None
        coming, going = yield from staging.moving()
        inserts = yield from picked(coming, (row not in going and not is_stored(row) for row in coming))
        deletes = yield from picked(going, (row not in coming and not is_stored(row) for row in going))
        for query_set in delta.forgotten:
            yield from staging.forget(query_set)
        return LeanOutcome(inserts, deletes, staging.after)

    def plan_first(self, delta: LeanDelta) -> Steps[dict[Key, Owner | None]]:
        """The keys to know after inserts into a table of which nothing is known yet. Raises `DecodeError` as `plan`."""
        known: dict[Key, Owner | None] = {}
        for query_set, rows in delta.inserts:
            if query_set is None:
                continue
            for part in rows.parts(STEP):
                keys = self.of_list(part)
                if known.keys().isdisjoint(keys) and len(set(keys)) == len(keys):
                    known.update(dict.fromkeys(keys, query_set))
                else:
                    for key in keys:
                        known[key] = owners.add(known.get(key), query_set)
                if len(part) == STEP:
                    yield
        return known

    def commit(self, known: Mapping[Key, Owner | None]) -> Steps[None]:
        """Know from now on what was planned."""
        for batch in batches(known.items()):
            for key, owner in batch:
                if owner is None:
                    self.owners.pop(key, None)
                else:
                    self.owners[key] = owner
            if len(batch) == STEP:
                yield

    def of(self, row: bytes) -> Key:
        """The key of a row; raises `DecodeError` if it is too short to have one."""
        return row if self.keys is None else self.keys.of(row)

    def of_list(self, rows: RowList) -> Sequence[Key]:
        """The keys of a list of rows. Raises as `of`."""
        return rows.rows() if self.keys is None else self.keys.of_list(rows)


class _Staging:
    """What the lean part of a message adds up to.

    Attributes:
        after: Owners as they will be of the keys that the message mentions.
    """

    def __init__(self, lean: LeanRows) -> None:
        self._lean = lean
        self._before = lean.owners
        self.after: dict[Key, Owner | None] = {}
        # Of sets that keep keys: deliveries of each row, less those taken away.
        self._net: dict[bytes, int] = {}
        # Of sets that keep nothing: the rows inserted and those deleted, each once.
        self._came: dict[bytes, None] = {}
        self._gone: dict[bytes, None] = {}

    def add(self, query_set: int | None, rows: RowList) -> Steps[None]:
        """Deliver rows for a query set that keeps keys; for None, for one that keeps nothing."""
        return self._deliver(query_set, rows, owners.add, 1, self._came)

    def remove(self, query_set: int | None, rows: RowList) -> Steps[None]:
        """Take deliveries away; raises `KeyError` if a query set that keeps keys does not hold one."""
        return self._deliver(query_set, rows, owners.remove, -1, self._gone)

    def _deliver(
        self,
        query_set: int | None,
        rows: RowList,
        change: Callable[[Owner | None, int], Owner | None],
        count: int,
        unkept: dict[bytes, None],
    ) -> Steps[None]:
        for part in rows.parts(STEP):
            if query_set is None:
                unkept.update(dict.fromkeys(part.rows()))
            else:
                for row, key in zip(part.rows(), self._lean.of_list(part), strict=True):
                    self.after[key] = change(self._owner(key), query_set)
                    self._net[row] = self._net.get(row, 0) + count
            if len(part) == STEP:
                yield

    def forget(self, query_set: int) -> Steps[None]:
        """A query set is over: it holds no key any more, which tells nothing."""
        for batch in batches(self._before):
            for key in batch:
                owner = self._owner(key)
                if owner is not None:
                    self.after[key] = owners.drop(owner, query_set)
            if len(batch) == STEP:
                yield

    def moving(self) -> Steps[tuple[dict[bytes, None], dict[bytes, None]]]:
        """Rows that are there after the message and may not have been before, and those the other way round."""
        coming: dict[bytes, None] = {}
        going: dict[bytes, None] = {}
        arrived, departed = yield from self._moved_keys()
        for batch in batches(self._net.items()):
            for row, net in batch:
                key = self._lean.of(row)
                was, stays = key in self._before, self.after[key] is not None
                if net > 0 and stays and (not was or key in departed):
                    coming[row] = None
                elif net < 0 and was and (not stays or key in arrived):
                    going[row] = None
            if len(batch) == STEP:
                yield
        for rows, moving in ((self._came, coming), (self._gone, going)):
            if not self._before:
                moving.update(rows)
                continue
            for some in batches(rows):
                moving.update(dict.fromkeys(row for row in some if not self._stays(self._lean.of(row))))
                if len(some) == STEP:
                    yield
        return coming, going

    def _moved_keys(self) -> Steps[tuple[set[Key], set[Key]]]:
        """Keys under which sets that keep keys got rows, and under which they lost some: a new version is both."""
        arrived: set[Key] = set()
        departed: set[Key] = set()
        for batch in batches(self._net.items()):
            for row, net in batch:
                if net:
                    (arrived if net > 0 else departed).add(self._lean.of(row))
            if len(batch) == STEP:
                yield
        return arrived, departed

    def _stays(self, key: Key) -> bool:
        """Whether sets that keep keys know a key before and after, so that all there is to tell is told by them."""
        return key in self._before and self._owner(key) is not None

    def _owner(self, key: Key) -> Owner | None:
        return self.after[key] if key in self.after else self._before.get(key)
