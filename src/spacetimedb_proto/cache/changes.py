"""What one message did to the cache: net effects only, as row bytes until somebody asks for rows.

A row that was there before and after is no change. With a primary key, a delete and an insert of one key in one message
are an update; there is no update on the wire (protocol reference, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, starmap
from operator import eq, ne
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ..errors import DecodeError
from ..wire.rowlist import RowList
from .change import Change, Deleted, Inserted, Updated

__all__ = [
    "CHUNK",
    "Change",
    "Changes",
    "Counts",
    "Deleted",
    "Inserted",
    "RowSource",
    "RowUpdated",
    "RowsChanged",
    "Snapshot",
    "TableChange",
    "Updated",
]

Skip: TypeAlias = Callable[[DecodeError], object] | None
Rows: TypeAlias = Sequence[bytes]

CHUNK: Final = 256
"""Rows decoded at once: fewer than make the garbage collector look (700 by default)."""


class Counts(NamedTuple):
    """How many rows of a table appeared, left, and were replaced."""

    inserted: int
    deleted: int
    updated: int


class RowSource(Protocol):
    """What a change needs of its table: row objects."""

    @property
    def name(self) -> str:
        """The table's name."""
        ...

    @property
    def decode(self) -> Callable[[bytes], Any]:
        """Makes a new object of a row's bytes; raises `DecodeError`."""
        ...

    def make(self, rows: Rows | RowList) -> list[Any]:
        """New objects for many rows; raises `DecodeError` for the first that is none."""
        ...


class TableChange:
    """The net effect of one message on one table, in the order the rows arrived.

    The methods that make rows take `skip`: what to call with the `DecodeError` of a row that is none, so that the
    others can be served. Without it the error is raised. Each call makes new objects, which live as long as somebody
    holds them: to keep those of a large message would cost every later one.

    Attributes:
        source: The table.
        is_event: Whether the inserts are events, which were never stored.
    """

    __slots__ = ("source",)

    is_event = False

    source: RowSource

    @property
    def name(self) -> str:
        """The table's name."""
        return self.source.name

    def all_changes(self) -> Changes:
        """This as everything that a message did."""
        return Changes({self.name: self})

    @property
    def counts(self) -> Counts:
        """How many rows it is about. Unlike the lists of them this needs no work for each row of a first snapshot."""
        return Counts(0, 0, 0)

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared."""
        return []

    @property
    def deletes(self) -> list[bytes]:
        """Bytes of the rows that left."""
        return []

    @property
    def updates(self) -> list[tuple[bytes, bytes]]:
        """Bytes of rows replaced under one primary key, as (old, new)."""
        return []

    def __bool__(self) -> bool:
        return False

    def decode(self, row: bytes) -> Any:
        """A new object for the bytes of one of these rows; raises `DecodeError`."""
        return self.source.decode(row)

    def inserted(self, skip: Skip = None) -> Iterator[Any]:
        """The rows that appeared, as objects."""
        return chain.from_iterable(self.inserted_parts(skip))

    def deleted(self, skip: Skip = None) -> Iterator[Any]:
        """The rows that left, as objects."""
        return chain.from_iterable(self.deleted_parts(skip))

    def updated(self, skip: Skip = None) -> Iterator[tuple[Any, Any]]:
        """The rows that were replaced, as objects (old, new)."""
        return chain.from_iterable(self.updated_parts(skip))

    def inserted_parts(self, skip: Skip = None) -> Iterable[Iterable[Any]]:  # noqa: ARG002 - there is no row to skip
        """As `inserted`, some hundred at a time, made when they are asked for."""
        return ()

    def deleted_parts(self, skip: Skip = None) -> Iterable[Iterable[Any]]:  # noqa: ARG002 - as above
        """As `deleted`, some hundred at a time."""
        return ()

    def updated_parts(self, skip: Skip = None) -> Iterable[Iterable[tuple[Any, Any]]]:  # noqa: ARG002 - as above
        """As `updated`, some hundred at a time."""
        return ()

    def __iter__(self) -> Iterator[Change]:
        """Inserts, deletes, updates: the order in which callbacks run."""
        yield from map(Inserted, self.inserted())
        yield from map(Deleted, self.deleted())
        yield from starmap(Updated, self.updated())

    def __repr__(self) -> str:
        inserted, deleted, updated = self.counts
        return f"<{self.name}: {inserted} inserted, {deleted} deleted, {updated} updated>"

    def _made(self, parts: Iterable[Rows | RowList], skip: Skip) -> Iterator[Iterable[Any]]:
        for rows in parts:
            try:
                made: Iterable[Any] = self.source.make(rows)
            except DecodeError:
                made = self._singly(rows, skip)
            yield made

    def _singly(self, rows: Rows | RowList, skip: Skip) -> Iterator[Any]:
        decode = self.source.decode
        for row in rows:
            try:
                yield decode(row)
            except DecodeError as error:
                if skip is None:
                    raise
                skip(error)


class RowsChanged(TableChange):
    """Rows that appeared, left and were replaced, any number of each."""

    __slots__ = ("_deletes", "_inserts", "_new", "_old")

    def __init__(
        self, source: RowSource, *, inserts: Rows = (), deletes: Rows = (), old: Rows = (), new: Rows = ()
    ) -> None:
        """Note what happened.

        Args:
            source: The table.
            inserts: Rows that appeared.
            deletes: Rows that left.
            old: Rows that were replaced.
            new: Rows that replaced them, one by one. Where both are equal nothing happened.
        """
        self.source = source
        self._inserts = inserts
        self._deletes = deletes
        self._old = old
        self._new = new

    @property
    def counts(self) -> Counts:
        """How many rows appeared, left, and were replaced by others."""
        return Counts(len(self._inserts), len(self._deletes), len(_differing(self._old, self._new)[0]))

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared."""
        return list(self._inserts)

    @property
    def deletes(self) -> list[bytes]:
        """Bytes of the rows that left."""
        return list(self._deletes)

    @property
    def updates(self) -> list[tuple[bytes, bytes]]:
        """Bytes of rows replaced under one primary key, as (old, new)."""
        return list(zip(*_differing(self._old, self._new), strict=True))

    def __bool__(self) -> bool:
        return bool(self._inserts or self._deletes) or any(map(ne, self._old, self._new))

    def inserted_parts(self, skip: Skip = None) -> Iterable[Iterable[Any]]:
        """The rows that appeared, as objects, some hundred at a time."""
        return self._made(_parts(self._inserts), skip)

    def deleted_parts(self, skip: Skip = None) -> Iterable[Iterable[Any]]:
        """The rows that left, as objects, some hundred at a time."""
        return self._made(_parts(self._deletes), skip)

    def updated_parts(self, skip: Skip = None) -> Iterable[Iterable[tuple[Any, Any]]]:
        """The rows that were replaced, as objects (old, new), some hundred at a time."""
        make = self.source.make
        for old, new in map(_differing, _parts(self._old), _parts(self._new)):
            try:
                pairs: Iterable[tuple[Any, Any]] = zip(make(old), make(new), strict=True)
            except DecodeError:
                pairs = self._pairs_singly(old, new, skip)
            yield pairs

    def _pairs_singly(self, old: Rows, new: Rows, skip: Skip) -> Iterator[tuple[Any, Any]]:
        for rows in zip(old, new, strict=True):
            pair = list(self._singly(rows, skip))
            if len(pair) == 2:
                yield pair[0], pair[1]


def _differing(old: Rows, new: Rows) -> tuple[Rows, Rows]:
    """Rows that were replaced by others, and those."""
    if not any(map(eq, old, new)):
        return old, new
    return list(compress(old, map(ne, old, new))), list(compress(new, map(ne, old, new)))


def _parts(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


class RowUpdated(TableChange):
    """One row was replaced under its primary key: what most transactions do, at a fraction of the usual cost.

    Attributes:
        before: The old row's bytes.
        after: The new row's.
    """

    # Filled in by its maker, `bursts.transaction_of`: a constructor would be a good part of the cost.
    __slots__ = ("after", "before")

    before: bytes
    after: bytes

    @property
    def counts(self) -> Counts:
        """One row was replaced."""
        return Counts(0, 0, 1)

    @property
    def updates(self) -> list[tuple[bytes, bytes]]:
        """The old and the new row's bytes."""
        return [(self.before, self.after)]

    def __bool__(self) -> bool:
        return True

    def updated_parts(self, skip: Skip = None) -> Iterable[Iterable[tuple[Any, Any]]]:
        """The old and the new row, as objects."""
        try:
            return ((self.pair(),),)
        except DecodeError as error:
            if skip is None:
                raise
            skip(error)
            return ()

    def pair(self) -> tuple[Any, Any]:
        """The old and the new row, as objects; raises `DecodeError` if one of them is none."""
        decode = self.source.decode
        return decode(self.before), decode(self.after)


class Snapshot(TableChange):
    """Rows of a table in which nothing was before, not even cut apart until somebody asks. Also the rows of events."""

    __slots__ = ("_is_distinct", "_lists", "is_event")

    def __init__(self, source: RowSource, lists: Sequence[RowList], *, is_event: bool, is_distinct: bool) -> None:
        """Note what came: `is_distinct` says that no row is in the lists twice, which a bag of queries may do."""
        self.source = source
        self.is_event = is_event
        self._lists = lists
        self._is_distinct = is_distinct

    @property
    def counts(self) -> Counts:
        """How many rows appeared."""
        return Counts(sum(map(len, self._lists if self._is_distinct else self._cut())), 0, 0)

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared; a bag of overlapping queries names each of them once."""
        return list(chain.from_iterable(self._cut()))

    def __bool__(self) -> bool:
        return any(map(len, self._lists))

    def inserted_parts(self, skip: Skip = None) -> Iterable[Iterable[Any]]:
        """The rows that appeared, as objects, some hundred at a time."""
        return self._made(self._cut(), skip)

    def _cut(self) -> Iterator[Rows | RowList]:
        """The rows, some at a time, each of them once."""
        parts = (part for rows in self._lists for part in rows.parts(CHUNK))
        if self._is_distinct:
            yield from parts
            return
        seen: set[bytes] = set()
        for rows in parts:
            fresh = [row for row in dict.fromkeys(rows) if row not in seen]
            seen.update(fresh)
            yield fresh


class Changes(Mapping[str, TableChange]):
    """The net effect of one message on each table it touched, in the order the tables were first mentioned."""

    __slots__ = ("_tables", "skipped")

    def __init__(self, tables: Mapping[str, TableChange] | None = None, skipped: tuple[str, ...] = ()) -> None:
        self._tables = tables or {}
        self.skipped = skipped
        """Tables that the message named and the schema does not know; their rows were left out."""

    def all_changes(self) -> Changes:
        """These, as everything that a message did."""
        return self

    def only(self) -> Changes | TableChange:
        """The change of the only table that the message named; all of them if it named several, or none."""
        if len(self._tables) != 1 or self.skipped:
            return self
        (change,) = self._tables.values()
        return change

    def __getitem__(self, table: str) -> TableChange:
        return self._tables[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"Changes({list(self._tables.values())!r})"
