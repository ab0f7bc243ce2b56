"""The rows of one table or view: looking them up, and carrying out what messages do to them.

Rows are kept as the bytes the server sent. A first snapshot is kept whole and cut into rows only when a second message
or a reader comes: applying it costs nothing per row. Nor do the first few rows of a large one that are looked up: they
are sought among its bytes. An index is built when it is first asked for.

Changing a table has two halves. `planning` reads and checks and may fail; `commit` only moves what was planned and
cannot. So a message that is refused leaves every table as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from operator import is_not
from typing import Any, ClassVar, Final, cast

from ..bsatn.codec import Codec
from ..errors import DecodeError, EncodeError, RemoteProtocolError
from ..schema.model import Table
from ..steps import Steps, finish
from ..wire.rowlist import RowList
from .bulk import BulkPlanner
from .changes import CHUNK, Snapshot, TableChange
from .few import FewPlan, FewPlanner
from .general import GeneralPlanner
from .index import Indexes, key_reader
from .keys import Key, Keys, are_equal_as_bytes, primary_keys
from .lean import LeanRows
from .memory import TableMemory, memory_of
from .planning import Delta, LeanDelta, Plan
from .renewal import Renewal, Rows, compare
from .replacing import Replaceable
from .store import Store

__all__ = ["TableCache"]

_SEEKS: Final = 4
"""How often rows are sought in a larger snapshot before it is cut apart: once costs a hundredth of that."""

_DONE: Final = object()


class TableCache:
    """The rows of one table, held for the query sets that matched them.

    Attributes:
        table: The table's definition.
        name: Its name.
        decode: Makes a new object of a row's bytes; raises `DecodeError`.
    """

    is_lazy: ClassVar[bool] = True
    """Whether work is put off and short ways are taken. Tests turn it off, to compare both."""

    few: ClassVar[int] = 64
    """Rows of a message that are looked at one by one, at most. Tests choose other numbers, to compare."""

    large: ClassVar[int] = 50_000
    """Rows of a snapshot that are cut apart as soon as somebody looks at one of them, at most: that takes some ten
    milliseconds. Tests choose other numbers."""

    def __init__(self, table: Table, codec: Codec) -> None:
        self.table = table
        self.name = table.name
        self._codec = codec
        self.decode = codec.decode_exact
        self._snapshots: list[tuple[int, RowList]] = []
        self._is_distinct = False
        self._work: Steps[None] | None = None
        self._seeks = 0  # how often rows may still be sought in the snapshots
        self._found: dict[bytes, Any] = {}  # the objects of those that were
        keys = primary_keys(table, codec)
        self._use(Rows(Store(keys), LeanRows(table.name, keys)))

    def _use(self, rows: Rows) -> None:
        """Hold these rows from now on, without any index yet."""
        table, codec = self.table, self._codec
        self._store = store = rows.store
        self._lean = lean = rows.lean
        self._indexes = Indexes(table, codec)
        pair_by = None if table.primary_key is None else key_reader(codec, (table.primary_key,))
        self._bulk = BulkPlanner(self, store, self._indexes, pair_by)
        self._few = FewPlanner(self, store, self._indexes, is_paired=pair_by is not None)
        self._general = GeneralPlanner(self, store, self._indexes, pair_by, lean)

    # --- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self._snapshots and self._is_distinct:
            return self._sent
        return len(self._settled().rows)

    @property
    def _sent(self) -> int:
        """Rows that the snapshots hold, each as often as it was sent."""
        return sum(len(rows) for _, rows in self._snapshots)

    def raw(self) -> dict[bytes, int]:
        """Bytes of each row with the number of times that live query sets hold it."""
        return self._settled().counts()

    def __iter__(self) -> Iterator[Any]:
        """The rows as of now: what changes later, changes nothing in this iteration."""
        if self._snapshots and self._is_distinct and self._sent > self.large:
            parts = [part for _, rows in self._snapshots for part in rows.parts(CHUNK)]
            return chain.from_iterable(map(self._made, parts))
        store = self._settled()
        rows, keys, memo = list(store.rows.values()), list(store.rows) if store.memo else (), store.memo.copy()
        chunks = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
        return chain.from_iterable(self._known(rows[part], keys[part], memo) for part in chunks)

    def _known(self, rows: Sequence[bytes], keys: Sequence[Key], memo: Mapping[Key, Any]) -> Iterable[Any]:
        """Objects of rows: those that have been made, and new ones."""
        known = list(map(memo.get, keys))
        if not any(map(is_not, known, repeat(None))):
            return self._made(rows)
        return (self.decode(row) if made is None else made for row, made in zip(rows, known, strict=True))

    def _made(self, rows: Sequence[bytes] | RowList) -> Iterable[Any]:
        try:
            return self.make(rows)
        except DecodeError:
            return map(self.decode, rows)  # so that the rows before the bad one come out

    def row_lists(self) -> Sequence[RowList]:
        """The bytes of the rows as of now, in the order of iteration. A first snapshot is not cut apart for that."""
        if self._snapshots and self._is_distinct:
            return [rows for _, rows in self._snapshots]
        rows, size = list(self._settled().rows.values()), self._codec.fixed_size
        return [RowList(b"".join(rows), row_size=size) if size else RowList.of(rows)]

    def row(self, data: bytes) -> Any:
        """The row object for these bytes; of a row that is in the table always the same one.

        Raises:
            DecodeError: They are no row of this table.
        """
        store = self._settled()
        key = store.key(data)
        if store.rows.get(key) != data:
            return self.decode(data)
        found = store.memo.get(key)
        if found is None:
            found = store.memo[key] = self.decode(data)
        return found

    def make(self, rows: Sequence[bytes] | RowList) -> list[Any]:
        """New objects for many rows, whose sizes have been checked.

        Raises:
            DecodeError: One is no row of this table.
        """
        block = self._codec.decode_block
        if block is None:
            return self._codec.decode_rows(rows.rows() if isinstance(rows, RowList) else rows)
        return block(rows.data if isinstance(rows, RowList) else b"".join(rows))

    def finder(self, column: int) -> Callable[[Any], Any]:
        """What finds the row that has a value in this column, which is unique by itself.

        Returns:
            A function from the value to the row, or to None if there is none. It raises `EncodeError` for a value that
            the column cannot hold.
        """
        keys = self._store.keys
        return self._find_key if keys is not None and keys.column == column else partial(self._find_unique, column)

    def _find_key(self, value: Any) -> Any:
        if self._work is not None:
            return self._find_early(value)
        store = self._store
        if type(value) is int:  # nearly always, and then the key; where it is not, nothing is found this way
            found = store.memo.get(value)
            if found is not None:
                return found
            row = store.rows.get(value)
            if row is not None:
                found = store.memo[value] = self.decode(row)
                return found
        return self._find_encoded(value)

    def _find_encoded(self, value: Any) -> Any:
        """As `_find_key`, for a value that is not its own key, or is none at all."""
        keys = self._store.keys
        if keys is None:
            assert self.table.primary_key is not None
            return self._find_unique(self.table.primary_key, value)
        try:
            row = self._store.rows.get(keys.of_value(value))
        except EncodeError as error:
            raise error.within(self.table.columns[keys.column].name).within(self.name) from None
        if row is not None:
            return self.row(row)
        self._as_held({keys.column: value})  # raises if the reason is that the column could not hold it
        return None

    def _find_early(self, value: Any) -> Any:
        """As `_find_key`, where something has been put off."""
        column = self.table.primary_key
        assert column is not None
        try:
            return self._sought(column, value)
        except LookupError:
            self._settled()
            return self._find_key(value)

    def _find_unique(self, column: int, value: Any) -> Any:
        if self._work is not None:
            with suppress(LookupError):
                return self._sought(column, value)
        return next(self.select({column: value}), None)

    def _sought(self, column: int, value: Any) -> Any:
        """The row with a value in a unique column, or None, without cutting the snapshots that there are.

        Raises:
            LookupError: There is none, or it is time to cut them, or that is no column to be sought in bytes.
            EncodeError: The column cannot hold the value.
        """
        codec = self._codec
        at = codec.column_offset(column) if self._snapshots and self._seeks else None
        if at is None or not are_equal_as_bytes(codec.column(column)):
            raise LookupError(column)
        piece = self._encoded(column, value)
        self._seeks -= 1
        row = next((row for _, rows in self._snapshots if (row := rows.seek(piece, at)) is not None), None)
        if row is None:
            return None
        found = self._found.get(row)
        if found is None:
            found = self._found[row] = self.decode(row)
        return found

    def select(self, values: Mapping[int, Any]) -> Iterator[Any]:
        """The rows whose columns (by position) equal `values` as of now, through an index where one covers some.

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
        found = list(map(self.row, rows))
        return self._scan(found, self._as_held(rest)) if rest else iter(found)

    def _scan(self, rows: Iterable[Any], values: Mapping[int, Any]) -> Iterator[Any]:
        fields = self._codec.field_names
        wanted = [(fields[column], value) for column, value in values.items()]
        return (row for row in rows if all(getattr(row, field) == value for field, value in wanted))

    def _as_held(self, values: Mapping[int, Any]) -> dict[int, Any]:
        column_of = self._codec.column
        return {n: column_of(n).decode_exact(self._encoded(n, value)) for n, value in values.items()}

    def _encoded(self, column: int, value: Any) -> bytes:
        try:
            return self._codec.column(column).encode(value)
        except EncodeError as error:
            raise error.within(self.table.columns[column].name).within(self.table.name) from None

    # --- keys ---------------------------------------------------------------------------------------------------------

    def primary_keys(self) -> list[Any]:
        """The primary keys of the stored rows. The table must have one.

        Raises:
            DecodeError: A row does not hold one.
        """
        store = self._settled()
        return self._key_values(store.keys, store.rows)

    def lean_keys(self) -> list[Any]:
        """The primary keys that query sets know which keep keys instead of rows. Otherwise as `primary_keys`."""
        self._settled()
        return self._key_values(self._lean.keys, self._lean.owners)

    @property
    def lean_count(self) -> int:
        """How many keys those query sets know; of a table without a primary key, how many rows."""
        self._settled()
        return len(self._lean.owners)

    def _key_values(self, keys: Keys | None, found: Iterable[Key]) -> list[Any]:
        if keys is not None:
            return keys.values(found)
        column = self.table.primary_key
        assert column is not None
        read = self._codec.column_reader(column)
        return [read(cast(bytes, row)) for row in found]

    def memory(self) -> TableMemory:
        """What is held in memory. A snapshot that is not cut apart stays as it is."""
        store = self._store if self._snapshots else self._settled()
        columns = self.table.columns
        indexes = {"+".join(columns[n].name for n in key): index for key, index in self._indexes.built.items()}
        return memory_of(self.name, [rows for _, rows in self._snapshots], store, indexes, self._lean)

    # --- settling -----------------------------------------------------------------------------------------------------

    def settling(self) -> Steps[None]:
        """Do what has been put off. It may be done in part by one caller, and to its end by another."""
        work = self._work
        while work is not None and self._work is work:
            if next(work, _DONE) is _DONE:
                self._work = None
            else:
                yield

    def _settled(self) -> Store:
        """The rows, after all that has been put off."""
        if self._work is not None:
            finish(self.settling())
        return self._store

    def _take_in(self) -> Steps[None]:
        for query_set, rows in self._snapshots:
            yield from self._store.take_in(query_set, rows)
        store, found = self._store, self._found
        store.memo |= {key: made for row, made in found.items() if store.rows.get(key := store.key(row)) == row}
        self._snapshots, self._found = [], {}

    # --- changing -----------------------------------------------------------------------------------------------------

    def planning(self, delta: Delta) -> Steps[Plan]:
        """Check a message's part for this table and work out its net effect. Changes nothing that readers see.

        Raises:
            RemoteProtocolError: A row cannot belong to this table, or one leaves that its query set does not hold.
        """
        for _, rows in (*delta.inserts, *delta.deletes, *((0, rows) for rows in delta.events)):
            yield from self._checking(rows)
        lean = delta.lean or _NOTHING_LEAN
        for _, rows in (*lean.inserts, *lean.deletes):
            yield from self._checking(rows)
        if delta.events and not self.table.is_event and (delta.inserts or delta.deletes or delta.lean):
            raise RemoteProtocolError(f"table {self.table.name}: stored rows and events in one message")
        if self.table.is_event or delta.events:
            yield from self.settling()
            lists = [*delta.events, *(rows for _, rows in (*delta.inserts, *lean.inserts))]
            return Plan(Snapshot(self, lists, is_event=True, is_distinct=False))
        if self.is_lazy and self._is_first(delta):
            lists = [rows for _, rows in delta.inserts]
            is_distinct = delta.is_distinct and not self.table.is_view  # what a view's function returns may be a bag
            change = Snapshot(self, lists, is_event=False, is_distinct=is_distinct)
            return Plan(change, snapshots=delta.inserts, is_distinct=is_distinct)
        if self.is_lazy and self._is_first_lean(delta):
            return (yield from self._planning_first_lean(lean, is_distinct=delta.is_distinct))
        yield from self.settling()
        plan = (yield from self._planning_shortly(delta)) if self.is_lazy else None
        return plan or (yield from self._general.plan(delta))

    def _planning_shortly(self, delta: Delta) -> Steps[Plan | None]:
        """A plan for a message that is all to be stored, or not at all, if there is a short way to one."""
        if delta.lean is None:
            return (yield from self._planning_bulk(delta))
        if delta.inserts or delta.deletes or delta.dropped:
            return None
        return (yield from self._general.plan_unstored(delta.lean))

    def _is_first(self, delta: Delta) -> bool:
        return not (self._store.rows or self._work or delta.deletes or delta.dropped or delta.lean)

    def _is_first_lean(self, delta: Delta) -> bool:
        """Whether rows come of which none is stored, into a table of which nothing is stored or known."""
        lean = delta.lean
        return not (
            (lean is None or any(len(rows) for _, rows in lean.deletes) or lean.forgotten)
            or (self._store.rows or self._work or self._lean.owners)
            or (delta.inserts or delta.deletes or delta.dropped)
        )

    def _planning_first_lean(self, lean: LeanDelta, *, is_distinct: bool) -> Steps[Plan]:
        """A plan that cuts no row apart, as long as nobody keeps keys."""
        try:
            known = yield from self._lean.plan_first(lean)
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self.name}: {error}") from error
        lists = [rows for _, rows in lean.inserts]
        is_distinct = is_distinct and not self.table.is_view
        return Plan(Snapshot(self, lists, is_event=False, is_distinct=is_distinct), known=known)

    def _planning_bulk(self, delta: Delta) -> Steps[Plan | None]:
        inserts = [part for part in delta.inserts if len(part[1])]
        deletes = [part for part in delta.deletes if len(part[1])]
        sets = {query_set for query_set, _ in (*inserts, *deletes)}
        if delta.dropped or len(inserts) > 1 or len(deletes) > 1 or len(sets) != 1:
            return None
        coming = inserts[0][1] if inserts else _NO_ROWS
        going = deletes[0][1] if deletes else _NO_ROWS
        return (yield from self._bulk.plan(sets.pop(), coming, going))

    def commit(self, plan: Plan | Renewal) -> TableChange:
        """Carry out a plan made from the present state. Readers see it at once, and the steps left are `settling`'s."""
        if isinstance(plan, Renewal):
            self._use(plan.rows)
        elif plan.snapshots:
            self._snapshots, self._is_distinct = list(plan.snapshots), plan.is_distinct
            self._seeks = _SEEKS if self._sent > self.large else 0
            self._indexes.clear()
            self._work = self._take_in()
        else:
            self._work = self._carry_out(plan)
        return plan.change

    def renewing(self, delta: Delta) -> Steps[Plan | Renewal]:
        """As `planning`, for a message that says all there is: whatever else the table holds goes."""
        yield from self.settling()
        old = Rows(self._store, self._lean)
        if not old.store.rows and not old.lean.owners:
            return (yield from self.planning(delta))
        twin = TableCache(self.table, self._codec)
        plan = yield from twin.planning(delta)
        twin.commit(plan)
        yield from twin.settling()
        new = Rows(twin._store, twin._lean)
        came, gone = yield from compare(old, new, plan.change.inserts if delta.lean else ())
        return Renewal(new, (yield from self._general.change(came, gone)))

    def _carry_out(self, plan: Plan) -> Steps[None]:
        yield from self._store.carry_out(plan)
        if self._indexes.built or plan.indexes:
            yield from self._indexes.apply(plan.indexes)
        if plan.known:
            yield from self._lean.commit(plan.known)

    def plan_few(self, delta: Delta) -> FewPlan | None:
        """As `planning`, but at once, and only for few rows; None if it takes more than that, or may be an error."""
        if (
            (not self.is_lazy or self._work is not None or self.table.is_event or not self._store.rows)
            or (delta.events or delta.dropped or delta.lean is not None)
            or not len(delta.inserts) == len(delta.deletes) == 1
        ):
            return None
        (query_set, inserts), (other_set, deletes) = delta.inserts[0], delta.deletes[0]
        if query_set != other_set or not 0 < len(inserts) + len(deletes) <= self.few:
            return None
        if not self._fit(inserts) or not self._fit(deletes):
            return None
        return self._few.plan(query_set, inserts.rows(), deletes.rows())

    def commit_few(self, plan: FewPlan) -> TableChange:
        """Carry out a plan of `plan_few`, made from the present state."""
        self._few.commit(plan)
        return plan.change

    def replaceable(self, query_set: int) -> Replaceable | None:
        """What replaces single rows for a query set under their primary keys; None if it takes more than that."""
        keys = self._store.keys
        if keys is None or not self.is_lazy or self._work is not None:
            return None
        return Replaceable(self, self._store, keys, self._indexes, query_set)

    def _checking(self, rows: RowList) -> Steps[None]:
        try:
            yield from rows.checking()
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self.table.name}: {error}") from error
        if not self._fit(rows):
            fixed, least = self._codec.fixed_size, self._codec.min_size
            wanted = f"rows of {fixed} bytes" if fixed is not None else f"rows of at least {least} bytes"
            raise RemoteProtocolError(
                f"table {self.table.name}: expected {wanted}, got {len(rows)} rows in {rows.size} bytes, "
                f"the shortest of {rows.shortest}; the schema in use may be out of date"
            )

    def admits(self, shortest: int, longest: int) -> bool:
        """Whether rows of the table can have so many bytes: from `shortest` to `longest`."""
        fixed = self._codec.fixed_size
        return shortest >= self._codec.min_size and (fixed is None or longest == fixed)

    def _fit(self, rows: RowList) -> bool:
        """Whether rows are of a size that the table's can have. The list must have been checked, or be short."""
        fixed = self._codec.fixed_size
        return not len(rows) or (
            rows.shortest >= self._codec.min_size and (fixed is None or rows.size == fixed * len(rows))
        )


_NO_ROWS: Final = RowList(b"")
_NOTHING_LEAN: Final = LeanDelta()
