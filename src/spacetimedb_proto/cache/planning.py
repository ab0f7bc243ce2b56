"""What a message will do to a table: checked, complete, and without any step that could fail when it is carried out.

`bulk.py` makes plans for most messages, `general.py` for all others. Both must say the same wherever both can, and
neither changes what a table holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ..steps import STEP, Steps, batches, slices
from ..wire.rowlist import RowList
from .changes import TableChange
from .index import IndexChanges
from .keys import Key
from .owners import Owner

__all__ = ["Delta", "LeanDelta", "Plan", "are_free", "picked", "remove_all", "set_of"]

_NOBODY: Final[Mapping[bytes, Owner]] = {}
_NO_KEYS: Final[Mapping[Key, Owner | None]] = {}


class LeanDelta:
    """What one message says about one table for query sets that store no rows.

    Attributes:
        inserts: Deliveries, each with the query set that keeps their keys; None where nothing is kept.
        deletes: Deliveries to take away, in the same form.
        forgotten: Query sets that are over and whose keys all go.
    """

    __slots__ = ("deletes", "forgotten", "inserts")

    def __init__(self) -> None:
        self.inserts: list[tuple[int | None, RowList]] = []
        self.deletes: list[tuple[int | None, RowList]] = []
        self.forgotten: list[int] = []

    def absorb(self, later: LeanDelta) -> None:
        """Add what a later message says."""
        self.inserts += later.inserts
        self.deletes += later.deletes
        self.forgotten += later.forgotten


class Delta:
    """Everything that one message says about one table, not yet checked against what is there.

    Attributes:
        inserts: Deliveries to add, each with the query set they are for.
        deletes: Deliveries to take away.
        dropped: Query sets whose remaining deliveries all go.
        events: Rows that exist only in this message.
        is_distinct: Whether the inserts are known to hold no row twice.
        lean: What is for query sets that store no rows, which is in none of the others; None if nothing is.
    """

    __slots__ = ("deletes", "dropped", "events", "inserts", "is_distinct", "lean")

    def __init__(self) -> None:
        self.inserts: list[tuple[int, RowList]] = []
        self.deletes: list[tuple[int, RowList]] = []
        self.dropped: list[int] = []
        self.events: list[RowList] = []
        self.is_distinct = False
        self.lean: LeanDelta | None = None

    def absorb(self, later: Delta) -> None:
        """Add what a later message says."""
        self.is_distinct = later.is_distinct and not (self.inserts or self.lean)
        self.inserts += later.inserts
        self.deletes += later.deletes
        self.dropped += later.dropped
        self.events += later.events
        if later.lean is not None:
            self.lean = self.lean or LeanDelta()
            self.lean.absorb(later.lean)


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
        known: Owners of keys that query sets keep without the rows; None for a key to forget.
        snapshots: Lists of rows to keep as they are, each with its query set. Then there is nothing else to do.
        is_distinct: Whether the snapshots are known to hold no row twice.
    """

    __slots__ = (
        "change",
        "held",
        "indexes",
        "is_distinct",
        "keys",
        "known",
        "released",
        "removed",
        "rows",
        "snapshots",
    )

    def __init__(  # noqa: PLR0913 - one for each thing that there is to do
        self,
        change: TableChange,
        *,
        removed: Sequence[Key] = (),
        keys: Sequence[Key] = (),
        rows: Sequence[bytes] = (),
        released: Sequence[bytes] = (),
        held: Mapping[bytes, Owner] = _NOBODY,
        indexes: IndexChanges = (),
        known: Mapping[Key, Owner | None] = _NO_KEYS,
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
        self.known = known
        self.snapshots = snapshots
        self.is_distinct = is_distinct


def set_of(keys: Sequence[Key]) -> Steps[set[Key]]:
    """Put keys into a set."""
    if len(keys) <= STEP:
        return set(keys)
    found: set[Key] = set()
    for part in slices(len(keys)):
        found.update(keys[part])
        yield
    return found


def picked(rows: Iterable[bytes], wanted: Iterable[bool]) -> Steps[list[bytes]]:
    """The wanted rows."""
    found: list[bytes] = []
    for batch in batches(zip(rows, wanted, strict=True)):
        found += [row for row, is_wanted in batch if is_wanted]
        if len(batch) == STEP:
            yield
    return found


def remove_all(found: set[Key], keys: Sequence[Key]) -> Steps[None]:
    """Take keys out of a set."""
    for part in slices(len(keys)):
        found.difference_update(keys[part])
        if part.stop < len(keys):
            yield


def are_free(keys: Sequence[Key], leaving: Sequence[Key], taken: Mapping[Key, bytes]) -> Steps[bool]:
    """Whether no key comes twice, and none is taken but by a row that leaves."""
    coming = yield from set_of(keys)
    if len(coming) != len(keys):
        return False
    yield from remove_all(coming, leaving)
    for batch in batches(coming):
        if not taken.keys().isdisjoint(batch):
            return False
        if len(batch) == STEP:
            yield
    return True
