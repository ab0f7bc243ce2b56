"""The rows of one table or view.

Rows are kept as the bytes the server sent. A first snapshot is kept whole and cut into rows only when a second message
or a reader comes: applying it costs nothing per row. An index is built when it is first asked for.

Changing a table has two halves. `plan` reads and checks and may fail; `commit` only moves what was planned and cannot.
So a message that is refused leaves every table as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import attrs

from ..bsatn.codec import Codec
from ..errors import DecodeError, EncodeError, RemoteProtocolError
from ..schema.model import Table
from ..wire.rowlist import RowList
from . import owners
from .changes import TableChange
from .index import NAN, Index, KeyedRows, key_reader
from .owners import Owner

__all__ = ["Delta", "TableCache"]


@attrs.define
class Delta:
    """Everything that one message says about one table, not yet checked against what is there.

    Attributes:
        inserts: Deliveries to add, each with the query set they are for.
        deletes: Deliveries to take away.
        dropped: Query sets whose remaining deliveries all go.
        events: Rows that exist only in this message.
    """

    inserts: list[tuple[int, RowList]] = attrs.field(factory=list[tuple[int, RowList]])
    deletes: list[tuple[int, RowList]] = attrs.field(factory=list[tuple[int, RowList]])
    dropped: list[int] = attrs.field(factory=list[int])
    events: list[RowList] = attrs.field(factory=list[RowList])


@attrs.frozen
class Plan:
    """What `commit` will do: checked, complete, and without any step that could fail."""

    change: TableChange
    snapshots: Sequence[tuple[int, RowList]] = ()
    owners: Mapping[bytes, Owner | None] = attrs.field(factory=dict[bytes, Owner | None])
    index_removals: Sequence[tuple[Index, KeyedRows]] = ()
    index_additions: Sequence[tuple[Index, KeyedRows]] = ()


class TableCache:
    """The rows of one table, held for the query sets that matched them.

    Attributes:
        table: The table's definition.
    """

    def __init__(self, table: Table, codec: Codec) -> None:
        self.table = table
        self._codec = codec
        self._snapshots: list[tuple[int, RowList]] = []
        self._owners: dict[bytes, Owner] = {}
        self._indexes: dict[tuple[int, ...], Index] = {}
        self._decoded: dict[bytes, Any] = {}
        self._pair_by = key_reader(codec, (table.primary_key,)) if table.primary_key is not None else None
        declared = dict.fromkeys((*table.unique_sets, *(index.columns for index in table.indexes)))
        self._covering: dict[tuple[int, ...], tuple[int, ...] | None] = {}
        self._lookups = [key for key in declared if all(codec.column(column).is_scalar for column in key)]

    # --- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._settled())

    def raw(self) -> dict[bytes, int]:
        """Bytes of each row with the number of times that live query sets hold it."""
        return {row: owners.count(owner) for row, owner in self._settled().items()}

    def __iter__(self) -> Iterator[Any]:
        """The rows as of now: what changes later, changes nothing in this iteration."""
        decoded, decode = self._decoded, self._codec.decode_exact
        for row in list(self._settled()):
            yield decoded[row] if row in decoded else decode(row)

    def row(self, data: bytes) -> Any:
        """The row object for these bytes; of a row that is in the table always the same one."""
        found = self._decoded.get(data)
        if found is None:
            found = self._codec.decode_exact(data)
            if data in self._owners:
                self._decoded[data] = found
        return found

    def select(self, values: Mapping[int, Any]) -> Iterator[Any]:
        """Rows whose columns (by position) equal `values`, through an index where one covers some of the columns.

        Values compare as the column would hold them: `0.1` finds an f32 column's nearest value, a name its enum member.

        Raises:
            EncodeError: A value is not one that its column could hold.
        """
        columns = self._covering_index(tuple(values))
        if columns is None:
            return self._scan(self, self._as_held(values))
        index = self._index(columns)
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

    def _covering_index(self, columns: tuple[int, ...]) -> tuple[int, ...] | None:
        """The declared index that narrows most: unique ones first, then those with most columns."""
        if columns not in self._covering:
            unique = set(self.table.unique_sets)
            fitting = [key for key in self._lookups if set(key).issubset(columns)]
            self._covering[columns] = max(fitting, key=lambda key: (key in unique, len(key)), default=None)
        return self._covering[columns]

    def _index(self, columns: tuple[int, ...]) -> Index:
        index = self._indexes.get(columns)
        if index is None:
            index = Index(self._codec, columns)
            index.add(index.keyed(self._settled()))
            self._indexes[columns] = index
        return index

    def _settled(self) -> dict[bytes, Owner]:
        """The rows by their bytes, after cutting up a snapshot that nobody had looked at yet."""
        if self._snapshots:
            snapshots, self._snapshots = self._snapshots, []
            for query_set, rows in snapshots:
                _deliver(self._owners, self._owners.get, query_set, rows.rows())
        return self._owners

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
            return Plan(TableChange(self.table.name, self.row, lists=lists, is_event=True))
        if not (self._owners or self._snapshots or delta.deletes or delta.dropped):
            lists = [rows for _, rows in delta.inserts]
            return Plan(TableChange(self.table.name, self.row, lists=lists), snapshots=delta.inserts)
        return self._plan_rows(self._stage(delta))

    def commit(self, plan: Plan) -> TableChange:
        """Carry out a plan made from the present state."""
        self._snapshots.extend(plan.snapshots)
        for index, keyed in plan.index_removals:
            index.remove(keyed)
        for index, keyed in plan.index_additions:
            index.add(keyed)
        for row, owner in plan.owners.items():
            if owner is None:
                self._owners.pop(row, None)
                self._decoded.pop(row, None)
            else:
                self._owners[row] = owner
        if plan.snapshots:
            self._indexes.clear()
        return plan.change

    def _check_sizes(self, rows: RowList) -> None:
        fixed, least = self._codec.fixed_size, self._codec.min_size
        if len(rows) and (rows.shortest() < least or (fixed is not None and len(rows.data) != fixed * len(rows))):
            wanted = f"rows of {fixed} bytes" if fixed is not None else f"rows of at least {least} bytes"
            raise RemoteProtocolError(
                f"table {self.table.name}: expected {wanted}, got {len(rows)} rows in {len(rows.data)} bytes, "
                f"the shortest of {rows.shortest()}; the schema in use may be out of date"
            )

    def _stage(self, delta: Delta) -> dict[bytes, Owner | None]:
        """The owners after the message, for each row it mentions: all inserts first, then all deletes."""
        present = self._settled()
        staged: dict[bytes, Owner | None] = {}

        def owner_of(row: bytes) -> Owner | None:
            return staged[row] if row in staged else present.get(row)

        for query_set, rows in delta.inserts:
            _deliver(staged, owner_of, query_set, rows.rows())
        for query_set, rows in delta.deletes:
            for row in rows.rows():
                try:
                    staged[row] = owners.remove(owner_of(row), query_set)
                except KeyError:
                    raise RemoteProtocolError(
                        f"table {self.table.name}: query set {query_set} deletes a row that it does not hold"
                    ) from None
        for query_set in delta.dropped:
            for row in {**present, **staged}:
                owner = owner_of(row)
                if owner is not None and (left := owners.drop(owner, query_set)) != owner:
                    staged[row] = left
        return staged

    def _plan_rows(self, staged: dict[bytes, Owner | None]) -> Plan:
        present = self._owners
        inserts = [row for row, owner in staged.items() if owner is not None and row not in present]
        deletes = [row for row, owner in staged.items() if owner is None and row in present]
        try:
            removals = [(index, index.keyed(deletes)) for index in self._indexes.values()]
            additions = [(index, index.keyed(inserts)) for index in self._indexes.values()]
            left, gone, updates = self._pair(inserts, deletes)
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self.table.name}: {error}") from error
        # Rows that leave stay decodable for callbacks without being looked up again.
        old = {row: self._decoded[row] for row in deletes if row in self._decoded}
        decode = self._decoder(old) if old else self.row
        change = TableChange(self.table.name, decode, inserts=left, deletes=gone, updates=updates)
        return Plan(change, owners=staged, index_removals=removals, index_additions=additions)

    def _decoder(self, old: Mapping[bytes, Any]) -> Callable[[bytes], Any]:
        return lambda row: old[row] if row in old else self.row(row)

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


def _deliver(
    into: dict[bytes, Any], owner_of: Callable[[bytes], Owner | None], query_set: int, rows: Sequence[bytes]
) -> None:
    """Note one delivery of each row; rows that nobody holds yet, which is most of them, cost one dict access."""
    for row in rows:
        owner = owner_of(row)
        into[row] = query_set if owner is None else owners.add(owner, query_set)
