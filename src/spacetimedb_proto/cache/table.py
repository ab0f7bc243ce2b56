"""The rows of one table or view: looking them up, and carrying out what messages do to them.

Rows are kept as the bytes the server sent. A first snapshot is kept whole and cut into rows only when a second message
or a reader comes: applying it costs nothing per row. An index is built when it is first asked for.

Changing a table has two halves. `plan` reads and checks and may fail; `commit` only moves what was planned and cannot.
So a message that is refused leaves every table as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from ..bsatn.codec import Codec
from ..errors import DecodeError, EncodeError, RemoteProtocolError
from ..schema.model import Table
from ..wire.rowlist import RowList
from .changes import KEPT_OBJECTS, RowUpdated, Snapshot, TableChange
from .index import Indexes, key_reader
from .keys import Key, primary_keys
from .planning import Delta, Plan, Planner
from .store import Store

__all__ = ["TableCache"]

_FEW: Final = 50_000
"""Rows of a snapshot that are cut apart as soon as somebody looks at them at all: it takes some ten milliseconds."""

_CHUNK: Final = 256  # rows decoded at once


class TableCache:
    """The rows of one table, held for the query sets that matched them.

    Attributes:
        table: The table's definition.
        name: Its name.
        version: Counts the messages that changed it.
    """

    is_lazy: ClassVar[bool] = True
    """Whether work is put off and short ways are taken. Tests turn it off, to compare both."""

    def __init__(self, table: Table, codec: Codec) -> None:
        self.table = table
        self.name = table.name
        self.version = 0
        self._codec = codec
        self._decode = codec.decode_exact
        self._snapshots: list[tuple[int, RowList]] = []
        self._is_distinct = False
        self._store = Store(primary_keys(table, codec))
        self._indexes = Indexes(table, codec)
        pair_by = None if table.primary_key is None else key_reader(codec, (table.primary_key,))
        self._planner = Planner(self, self._store, self._indexes, pair_by)

    # --- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._settled().rows)

    def raw(self) -> dict[bytes, int]:
        """Bytes of each row with the number of times that live query sets hold it."""
        return self._settled().counts()

    def __iter__(self) -> Iterator[Any]:
        """The rows as of now: what changes later, changes nothing in this iteration."""
        if self._snapshots and self._is_distinct and sum(len(rows) for _, rows in self._snapshots) > _FEW:
            parts = [part for _, rows in self._snapshots for part in rows.parts(_CHUNK)]
            return self._each(part.rows() for part in parts)
        store = self._settled()
        rows = list(store.rows.values())
        if store.memo:
            return self._each_known(rows, list(store.rows), store.memo)
        return self._each(rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))

    def _each(self, chunks: Iterable[Sequence[bytes]]) -> Iterator[Any]:
        for rows in chunks:
            try:
                made: Iterable[Any] = self.make(rows)
            except DecodeError:
                made = map(self._decode, rows)  # so that the rows before the bad one come out
            yield from made

    def _each_known(self, rows: Sequence[bytes], keys: Sequence[Key], memo: Mapping[Key, Any]) -> Iterator[Any]:
        known = list(map(memo.get, keys))
        for row, made in zip(rows, known, strict=True):
            yield self._decode(row) if made is None else made

    def row(self, data: bytes) -> Any:
        """The row object for these bytes; of a row that is in the table always the same one.

        Raises:
            DecodeError: They are no row of this table.
        """
        store = self._settled()
        key = store.key(data)
        if store.rows.get(key) != data:
            return self._decode(data)
        found = store.memo.get(key)
        if found is None:
            found = store.memo[key] = self._decode(data)
        return found

    def make(self, rows: Sequence[bytes]) -> list[Any]:
        """New objects for many rows, whose sizes have been checked.

        Raises:
            DecodeError: One is no row of this table.
        """
        block = self._codec.decode_block
        return self._codec.decode_rows(rows) if block is None else block(b"".join(rows))

    def objects(self, rows: Sequence[bytes], keys: Sequence[Key] | None, version: int) -> list[Any]:
        """As `make`, but while the table is of that version each of its rows has one object, which is kept."""
        if version != self.version:
            return self.make(rows)
        store = self._settled()
        if keys is None:
            keys = list(map(store.key, rows))
        memo = store.memo
        known = list(map(memo.get, keys)) if memo else ()
        if any(known):
            return [self.row(row) if made is None else made for row, made in zip(rows, known, strict=True)]
        made = self.make(rows)
        memo.update(zip(keys, made, strict=True))
        return made

    def find(self, column: int, value: Any) -> Any:
        """The row that has this value in a column which is unique by itself; None if there is none.

        Raises:
            EncodeError: The column cannot hold the value.
        """
        if self._snapshots:
            self._settle()
        store = self._store
        keys = store.keys
        if keys is None or keys.column != column:
            return next(self.select({column: value}), None)
        try:
            key = value if keys.is_integer and type(value) is int else keys.of_value(value)
        except EncodeError as error:
            raise error.within(self.table.columns[column].name).within(self.name) from None
        found = store.memo.get(key)
        if found is None and (row := store.rows.get(key)) is not None:
            found = store.memo[key] = self._decode(row)
        elif found is None and keys.is_integer:
            self._as_held({column: value})
        return found

    def select(self, values: Mapping[int, Any]) -> Iterator[Any]:
        """Rows whose columns (by position) equal `values`, through an index where one covers some of the columns.

        Values compare as the column would hold them: `0.1` finds an f32 column's nearest value, a name its enum member.

        Raises:
            EncodeError: A value is not one that its column could hold.
        """
        columns = self._indexes.covering(tuple(values))
        if columns is None:
            return self._scan(self, self._as_held(values))
        index = self._indexes.index(columns, self._settled().rows.values())
        rows = index.get(tuple(values[column] for column in columns))
        if not rows:
            values = self._as_held(values)
            rows = index.get(tuple(values[column] for column in columns))
        rest = {column: value for column, value in values.items() if column not in columns}
        return self._scan(map(self.row, rows), self._as_held(rest)) if rest else map(self.row, rows)

    def _scan(self, rows: Iterable[Any], values: Mapping[int, Any]) -> Iterator[Any]:
        fields = self._codec.field_names
        wanted = [(fields[column], value) for column, value in values.items()]
        return (row for row in rows if all(getattr(row, field) == value for field, value in wanted))

    def _as_held(self, values: Mapping[int, Any]) -> dict[int, Any]:
        held: dict[int, Any] = {}
        for column, value in values.items():
            codec = self._codec.column(column)
            try:
                held[column] = codec.decode_exact(codec.encode(value))
            except EncodeError as error:
                raise error.within(self.table.columns[column].name).within(self.table.name) from None
        return held

    # --- settling -----------------------------------------------------------------------------------------------------

    def _settled(self) -> Store:
        """The rows, after cutting up a snapshot that nobody had looked at yet."""
        if self._snapshots:
            self._settle()
        return self._store

    def _settle(self) -> None:
        snapshots, self._snapshots = self._snapshots, []
        for query_set, rows in snapshots:
            self._store.take_in(query_set, rows)

    # --- changing -----------------------------------------------------------------------------------------------------

    def plan(self, delta: Delta) -> Plan:
        """Check a message's part for this table and work out its net effect. Changes nothing.

        Raises:
            RemoteProtocolError: A row cannot belong to this table, or one leaves that its query set does not hold.
        """
        for _, rows in (*delta.inserts, *delta.deletes, *((0, rows) for rows in delta.events)):
            self._check_sizes(rows)
        if delta.events and not self.table.is_event and (delta.inserts or delta.deletes):
            raise RemoteProtocolError(f"table {self.table.name}: stored rows and events in one message")
        if self.table.is_event or delta.events:
            lists = [*delta.events, *(rows for _, rows in delta.inserts)]
            return Plan(Snapshot(self, -1, lists, is_event=True, is_distinct=False))
        if self.is_lazy and self._is_first(delta):
            lists = [rows for _, rows in delta.inserts]
            version = self.version + 1 if sum(map(len, lists)) <= KEPT_OBJECTS else -1
            is_distinct = delta.is_distinct and not self.table.is_view  # what a view's function returns may be a bag
            change = Snapshot(self, version, lists, is_event=False, is_distinct=is_distinct)
            return Plan(change, snapshots=delta.inserts, is_distinct=is_distinct)
        self._settled()
        plan = self._plan_bulk(delta) if self.is_lazy else None
        return plan or self._planner.general(delta, self.version + 1)

    def _is_first(self, delta: Delta) -> bool:
        return not (self._store.rows or self._snapshots or delta.deletes or delta.dropped)

    def _plan_bulk(self, delta: Delta) -> Plan | None:
        inserts = [part for part in delta.inserts if len(part[1])]
        deletes = [part for part in delta.deletes if len(part[1])]
        sets = {query_set for query_set, _ in (*inserts, *deletes)}
        if delta.dropped or len(inserts) > 1 or len(deletes) > 1 or len(sets) != 1:
            return None
        coming = inserts[0][1] if inserts else _NO_ROWS
        going = deletes[0][1] if deletes else _NO_ROWS
        return self._planner.bulk(sets.pop(), coming, going, self.version + 1)

    def commit(self, plan: Plan) -> TableChange:
        """Carry out a plan made from the present state."""
        self.version += 1
        if plan.snapshots:
            self._snapshots, self._is_distinct = list(plan.snapshots), plan.is_distinct
            self._indexes.clear()
            return plan.change
        store = self._store
        for key in plan.removed:
            del store.rows[key]
        store.rows.update(zip(plan.keys, plan.rows, strict=True))
        for row in plan.released:
            store.held.pop(row, None)
        store.held.update(plan.held)
        for index, gone, came in plan.indexes:
            index.remove(gone)
            index.add(came)
        return plan.change

    def update_row(self, query_set: int, old: bytes, new: bytes) -> TableChange | None:
        """Replace one row under its primary key, which is what most transactions do: plan and commit in one step.

        The sizes of the rows must have been checked.

        Returns:
            The change; None, and nothing has happened, if it is not as simple as that.
        """
        store = self._store
        keys = store.keys
        if keys is None or self._snapshots or not self.is_lazy:
            return None
        try:
            key = keys.of(new)
            if store.rows.get(key) != old or old == new or store.held.get(old, store.base) != query_set:
                return None
            indexes = self._indexes.changes((old,), (new,)) if self._indexes else ()
        except DecodeError:
            return None
        store.rows[key] = new
        if query_set != store.base:
            del store.held[old]
            store.held[new] = query_set
        for index, gone, came in indexes:
            index.remove(gone)
            index.add(came)
        self.version = version = self.version + 1
        return RowUpdated(self, version, key, (old, store.memo.pop(key, None)), new)

    def _check_sizes(self, rows: RowList) -> None:
        fixed, least = self._codec.fixed_size, self._codec.min_size
        if len(rows) and (rows.shortest < least or (fixed is not None and rows.size != fixed * len(rows))):
            wanted = f"rows of {fixed} bytes" if fixed is not None else f"rows of at least {least} bytes"
            raise RemoteProtocolError(
                f"table {self.table.name}: expected {wanted}, got {len(rows)} rows in {rows.size} bytes, "
                f"the shortest of {rows.shortest}; the schema in use may be out of date"
            )


_NO_ROWS: Final = RowList(b"")
