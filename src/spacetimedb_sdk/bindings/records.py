"""Transactions as `transactions()` hands them out, one by one or several merged into one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from spacetimedb_proto.cache import Change, Changes, TableChange
from spacetimedb_proto.cache.changes import RowsChanged, RowSource
from spacetimedb_proto.cache.index import NAN, KeyReader, key_reader
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.schema.model import Schema

from .context import CallbackEvent

__all__ = ["NetTransactions", "TransactionRecord"]


class TransactionRecord:
    """One message's changes, or the net effect of several messages for a consumer that was too slow for each.

    Attributes:
        event: What callbacks see as `ctx.event`; of several messages, the last one's.
        merged: How many messages this is made of.
    """

    __slots__ = ("_changes", "_lists", "event", "merged")

    def __init__(self, event: CallbackEvent, changes: Changes, merged: int = 1) -> None:
        self.event = event
        self.merged = merged
        self._changes = changes
        self._lists: dict[str, list[Change]] | None = None

    @property
    def changes(self) -> Mapping[str, list[Change]]:
        """The changes of each table, inserts before deletes before updates. Rows are decoded when first asked for."""
        if self._lists is None:
            self._lists = {name: list(self._changes[name]) for name in sorted(self._changes) if self._changes[name]}
        return self._lists

    def raw_changes(self) -> Changes:
        """The same as the cache tells it: rows are bytes, and tables are in the order of the message."""
        return self._changes

    def __repr__(self) -> str:
        what = "transaction" if self.merged == 1 else f"{self.merged} transactions up to"
        return f"<{what} {self.event!r} on {', '.join(sorted(self._changes)) or 'no tables'}>"


class NetTransactions:
    """Transactions merged into one record. Reading it leaves a copy of the tables as they all were at one moment."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._event: CallbackEvent | None = None
        self._merged = 0
        self._tables: dict[str, _NetTable] = {}

    def after(self, item: TransactionRecord) -> int:
        """Merge a transaction that came after all of these; returns how many records were merged away."""
        for name, change in item.raw_changes().items():
            self._table(name, change).after(change)
        self._event = item.event
        return self._count()

    def before(self, item: TransactionRecord) -> int:
        """Merge a transaction that came before all of these; returns how many records were merged away."""
        for name, change in item.raw_changes().items():
            self._table(name, change).before(change)
        return self._count()

    def take(self) -> TransactionRecord:
        """Remove the record, the only item that there is. There must be one."""
        assert self._event is not None, "there is something to take"
        net = {name: change for name, table in self._tables.items() if (change := table.change())}
        record = TransactionRecord(self._event, Changes(net), self._merged)
        self.clear()
        return record

    def clear(self) -> None:
        """Forget the record."""
        self._event = None
        self._merged = 0
        self._tables = {}

    def __len__(self) -> int:
        return min(self._merged, 1)

    def _table(self, name: str, change: TableChange) -> _NetTable:
        found = self._tables.get(name)
        if found is None:
            table = self._schema.table(name)
            key = None if table.primary_key is None else key_reader(self._schema.row_codec(name), (table.primary_key,))
            found = self._tables[name] = _NetTable(change.source, key)
        return found

    def _count(self) -> int:
        away = len(self)
        self._merged += 1
        return away


class _NetTable:
    """The net effect on one table, and its events: no event makes up for another, so all are kept, in order.

    Rows are told apart by all their bytes. A row that came and went, in whichever order, has not changed, so it does
    not matter which of two transactions was first.

    Args:
        source: The table.
        pair_by: Makes the value of a row's primary key; None where the table has none.
    """

    def __init__(self, source: RowSource, pair_by: KeyReader | None) -> None:
        self._source = source
        self._pair_by = pair_by
        self._events: deque[bytes] = deque()
        self._came: dict[bytes, None] = {}
        self._gone: dict[bytes, None] = {}

    def after(self, change: TableChange) -> None:
        if change.is_event:
            self._events.extend(change.inserts)
        else:
            self._merge(change)

    def before(self, change: TableChange) -> None:
        if change.is_event:
            self._events.extendleft(reversed(change.inserts))
        else:
            self._merge(change)

    def _merge(self, change: TableChange) -> None:
        updates = change.updates
        _move([*change.deletes, *(old for old, _ in updates)], self._came, self._gone)
        _move([*change.inserts, *(new for _, new in updates)], self._gone, self._came)

    def change(self) -> TableChange:
        """All of it, with a delete and an insert of one primary key as an update, as the cache tells one message."""
        replaced = self._replaced()
        olds = set(replaced.values())
        return RowsChanged(
            self._source,
            inserts=[*self._events, *(row for row in self._came if row not in replaced)],
            deletes=[row for row in self._gone if row not in olds],
            old=list(replaced.values()),
            new=list(replaced),
        )

    def _replaced(self) -> dict[bytes, bytes]:
        """The rows that replace others, each with the one that it replaces. NaN is no key to be replaced by."""
        if self._pair_by is None or not self._came or not self._gone:
            return {}
        try:
            going = {key: row for row in self._gone if (key := self._pair_by(row)) is not NAN}
            return {row: old for row in self._came if (old := going.pop(self._pair_by(row), None)) is not None}
        except DecodeError:  # a row that is none, of a subscription that keeps none: whoever looks will be told
            return {}


def _move(rows: list[bytes], out: dict[bytes, None], into: dict[bytes, None]) -> None:
    """Take rows out of where they are, and put the others in."""
    undone = out.keys() & rows if out else ()
    for row in undone:
        del out[row]
    into.update(dict.fromkeys(row for row in rows if row not in undone) if undone else dict.fromkeys(rows))
