"""The net effect of several changes: what brings a copy of a table from before the first to after the last of them.

Whoever reads some items of a stream and then merged ones must end with the true table. That holds because each row has
at most one merged change, which leads from what the reader's copy has under its key to what the table has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

from spacetimedb_proto.cache import Change, Deleted, Inserted, Updated
from spacetimedb_proto.schema.model import Schema, Table

__all__ = ["NetChanges", "net_changes"]

_Effect: TypeAlias = tuple[Any, Any]
"""The row before and the row after; None where there is none."""


class NetChanges:
    """The net effect of what `changes()` recorded of one table, each row at the place of its earliest change.

    Either place would be exact, since changes of different rows can be applied in any order. The earliest is the one at
    which no row waits for ever: at the latest, a row that changes all the time would always be the last.

    Args:
        key: What tells rows apart.
        is_same: Whether two rows of one key are equal. None: the key is all of the row, so they always are, and an
            update is a delete and an insert.
    """

    def __init__(self, key: Callable[[Any], bytes], is_same: Callable[[Any, Any], bool] | None) -> None:
        self._key = key
        self._is_same = is_same
        self._rows: OrderedDict[bytes, _Effect] = OrderedDict()

    def after(self, item: Change) -> int:
        """Merge a change that came after all of these; returns how many changes were merged away."""
        old, new = _effect(item)
        if self._is_same is None and old is not None and new is not None:
            return self._after(old, None) + self._after(None, new)
        return self._after(old, new)

    def before(self, item: Change) -> int:
        """Merge a change that came before all of these; returns how many changes were merged away."""
        old, new = _effect(item)
        if self._is_same is None and old is not None and new is not None:
            return self._before(None, new) + self._before(old, None)
        return self._before(old, new)

    def take(self) -> Change:
        """Remove the first change. There must be one."""
        _, (old, new) = self._rows.popitem(last=False)
        if old is None:
            return Inserted(new)
        return Deleted(old) if new is None else Updated(old, new)

    def clear(self) -> None:
        """Remove all changes."""
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def _after(self, old: Any, new: Any) -> int:
        key = self._key(new if old is None else old)
        found = self._rows.get(key)
        if found is None:
            self._rows[key] = old, new
            return 0
        return self._put(key, found[0], new)

    def _before(self, old: Any, new: Any) -> int:
        key = self._key(new if old is None else old)
        found = self._rows.get(key)
        if found is None:
            self._rows[key] = old, new
            self._rows.move_to_end(key, last=False)
            return 0
        merged = self._put(key, old, found[1])
        if key in self._rows:
            self._rows.move_to_end(key, last=False)
        return merged

    def _put(self, key: bytes, old: Any, new: Any) -> int:
        """Note what two changes of one row come to; returns how many changes that saves."""
        if self._is_nothing(old, new):
            del self._rows[key]
            return 2
        self._rows[key] = old, new
        return 1

    def _is_nothing(self, old: Any, new: Any) -> bool:
        if old is None or new is None:
            return old is new
        return self._is_same is None or self._is_same(old, new)


def _effect(change: Change) -> _Effect:
    if isinstance(change, Updated):
        return change.old, change.new
    return (None, change.row) if isinstance(change, Inserted) else (change.row, None)


def net_changes(schema: Schema, table: Table) -> NetChanges:
    """What merges changes of a table.

    Rows are told apart by primary key where it is unique. It is not in views, whose rows nothing keeps from sharing it,
    and floats are no keys: `-0.0` equals `0.0` and NaN nothing. There, and without one, all of a row is its key. Keys
    and rows are compared by their encoding, so that a float is equal to what has the same bits, as for the cache.
    """
    codec = schema.row_codec(table.name)
    encode, column = codec.encode, table.primary_key
    if column is None or table.is_view or codec.column(column).is_float:
        return NetChanges(encode, None)
    attribute, encode_key = codec.field_names[column], codec.column(column).encode

    def key(row: Any) -> bytes:
        return encode_key(getattr(row, attribute))

    def is_same(old: Any, new: Any) -> bool:
        # A row with NaN in it is not even equal to itself: then the change is kept, which does no harm.
        return old == new and encode(old) == encode(new)

    return NetChanges(key, is_same)
