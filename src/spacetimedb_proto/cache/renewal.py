"""What changes when a table's rows are delivered anew, after the link was lost that the old ones came over.

The new rows are put into a table of their own, by the same ways as ever, and compared with the old ones. So whatever
has been missed comes down to net differences, and nothing of the old table is touched until all of it is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..steps import STEP, Steps, batches
from .changes import TableChange
from .keys import Key
from .lean import LeanRows
from .planning import picked
from .store import Store

__all__ = ["Renewal", "Rows", "compare"]


@attrs.frozen
class Rows:
    """What a table holds.

    Attributes:
        store: Its rows.
        lean: The keys that query sets keep of others.
    """

    store: Store
    lean: LeanRows

    def know(self, row: bytes) -> bool:
        """Whether a row is stored, or its key is kept."""
        return self.store.owner(row) is not None or self.lean.of(row) in self.lean.owners


@attrs.frozen
class Renewal:
    """What to do: hold these rows instead of all others.

    Attributes:
        rows: What the new link delivered.
        change: What is different about it.
    """

    rows: Rows
    change: TableChange


def compare(old: Rows, new: Rows, told: Sequence[bytes]) -> Steps[tuple[list[bytes], list[bytes]]]:
    """The rows that came, and those that left, in the order they arrived.

    Args:
        old: What was there.
        new: What is there.
        told: Rows that the new link told of and that may not be stored. They came if nobody knew of them; of those
            that left without a trace nobody can tell.
    """
    if old.store.keys is None or new.store.keys is None:
        yield from old.store.unkey()
        yield from new.store.unkey()
    came = yield from _without(new.store.rows, old.store.rows)
    gone = yield from _without(old.store.rows, new.store.rows)
    came += yield from picked(told, (new.store.owner(row) is None and not old.know(row) for row in told))
    return came, gone


def _without(rows: Mapping[Key, bytes], others: Mapping[Key, bytes]) -> Steps[list[bytes]]:
    found: list[bytes] = []
    for batch in batches(rows.items()):
        found += [row for key, row in batch if others.get(key) != row]
        if len(batch) == STEP:
            yield
    return found
