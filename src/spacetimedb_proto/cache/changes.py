"""What one message did to the cache: net effects only, as row bytes until somebody asks for rows.

A row that was there before and after is no change. With a primary key, a delete and an insert of one key in one message
are an update; there is no update on the wire (protocol reference, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, repeat, starmap, zip_longest
from operator import eq, ne
from typing import Any, Final, Protocol, TypeAlias

import attrs

from ..errors import DecodeError
from ..steps import Steps, slices
from ..wire.rowlist import RowList
from .keys import Key

__all__ = [
    "KEPT_OBJECTS",
    "Change",
    "Changes",
    "Deleted",
    "Inserted",
    "RowSource",
    "RowUpdated",
    "Snapshot",
    "TableChange",
    "Updated",
]


@attrs.frozen
class Inserted:
    """A row appeared."""

    row: Any


@attrs.frozen
class Updated:
    """A row of one primary key was replaced."""

    old: Any
    new: Any


@attrs.frozen
class Deleted:
    """A row left."""

    row: Any


Change: TypeAlias = Inserted | Updated | Deleted
Skip: TypeAlias = Callable[[DecodeError], object] | None
Rows: TypeAlias = Sequence[bytes]

KEPT_OBJECTS: Final = 256
"""Rows changed by one message of which the objects made for callbacks are kept in the table.

Keeping a million objects alive costs the garbage collector more than making them again costs whoever looks.
"""

_CHUNK: Final = 256  # rows decoded at once: fewer than make the garbage collector look (700 by default)


class RowSource(Protocol):
    """What a change needs of its table: row objects."""

    @property
    def name(self) -> str:
        """The table's name."""
        ...

    def row(self, data: bytes) -> Any:
        """The object for a row's bytes; raises `DecodeError`."""
        ...

    @property
    def decode(self) -> Callable[[bytes], Any]:
        """Makes a new object of a row's bytes; raises `DecodeError`."""
        ...

    def object(self, key: Key, row: bytes, version: int) -> Any:
        """As `row`, for a row that had this key when the table was of that version."""
        ...

    def make(self, rows: Rows) -> list[Any]:
        """New objects for many rows; raises `DecodeError` for the first that is none."""
        ...

    def objects(self, rows: Rows, keys: Sequence[Key] | None, version: int) -> list[Any]:
        """As `make`, but while the table is of that version each of its rows has one object, which is kept."""
        ...


class TableChange:
    """The net effect of one message on one table, in the order the rows arrived.

    The methods that make rows take `skip`: what to call with the `DecodeError` of a row that is none, so that the
    others can be served. Without it the error is raised.

    Attributes:
        name: The table's name.
        is_event: Whether the inserts are events, which were never stored.
    """

    __slots__ = (
        "_delete_keys",
        "_delete_objects",
        "_deletes",
        "_insert_keys",
        "_inserts",
        "_new",
        "_old",
        "_old_keys",
        "_old_objects",
        "_source",
        "_update_keys",
        "_version",
        "is_event",
        "name",
    )

    def __init__(
        self,
        source: RowSource,
        version: int,
        *,
        inserts: tuple[Rows, Sequence[Key]] = ((), ()),
        deletes: tuple[Rows, Sequence[Key]] = ((), ()),
        old: tuple[Rows, Sequence[Key]] = ((), ()),
        new: tuple[Rows, Sequence[Key]] = ((), ()),
    ) -> None:
        """Note what happened.

        Args:
            source: The table.
            version: The table's version right after the message.
            inserts: Rows that appeared, and their keys.
            deletes: Rows that left, and their keys.
            old: Rows that were replaced, and their keys.
            new: Rows that replaced them, one by one, and their keys. Where both are equal nothing happened.
        """
        self.name = source.name
        self.is_event = False
        self._source = source
        self._version = version
        self._inserts, self._insert_keys = inserts
        self._deletes, self._delete_keys = deletes
        self._old, self._old_keys = old
        self._delete_objects: Sequence[Any] = ()
        self._old_objects: Sequence[Any] = ()
        self._new, self._update_keys = new

    def alone(self) -> Changes:
        """This as everything that a message did."""
        return Changes({self.name: self})

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
        self._drop_equal()
        return list(zip(self._old, self._new, strict=True))

    @property
    def size(self) -> int:
        """Rows that the message named, at most: some of them may turn out not to have changed."""
        return len(self._inserts) + len(self._deletes) + len(self._new)

    def __bool__(self) -> bool:
        return bool(self._inserts or self._deletes) or any(map(ne, self._old, self._new))

    def keep_objects(self, memo: dict[Key, Any]) -> Steps[None]:
        """Take the objects of rows that leave out of those that the table remembers.

        So a callback is given the very object that somebody may hold.
        """
        if memo:
            self._delete_objects = yield from _taken(memo, self._delete_keys)
            self._old_objects = yield from _taken(memo, self._old_keys)

    def decode(self, row: bytes) -> Any:
        """The object for the bytes of one of these rows; raises `DecodeError`."""
        return self._source.row(row)

    def inserted(self, skip: Skip = None) -> Iterable[Any]:
        """The rows that appeared, as objects."""
        for part in _parts(self._inserts):
            try:
                made = self._source.objects(self._inserts[part], self._insert_keys[part], self._version)
            except DecodeError:
                yield from self._singly(self._inserts[part], (), skip)
            else:
                yield from made

    def deleted(self, skip: Skip = None) -> Iterable[Any]:
        """The rows that left, as objects."""
        for part in _parts(self._deletes):
            rows, known = self._deletes[part], self._delete_objects[part]
            try:
                made = self._gone(rows, known)
            except DecodeError:
                yield from self._singly(rows, known, skip)
            else:
                yield from made

    def updated(self, skip: Skip = None) -> Iterable[tuple[Any, Any]]:
        """The rows that were replaced, as objects (old, new)."""
        self._drop_equal()
        for part in _parts(self._new):
            old, known, new = self._old[part], self._old_objects[part], self._new[part]
            try:
                gone = self._gone(old, known)
                made = self._source.objects(new, self._update_keys[part], self._version)
            except DecodeError:
                yield from self._pairs_singly(old, known, new, skip)
            else:
                yield from zip(gone, made, strict=True)

    def __iter__(self) -> Iterator[Change]:
        """Inserts, deletes, updates: the order in which callbacks run."""
        yield from map(Inserted, self.inserted())
        yield from map(Deleted, self.deleted())
        yield from starmap(Updated, self.updated())

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.inserts)} inserted, {len(self.deletes)} deleted, {len(self.updates)} updated>"

    def _drop_equal(self) -> None:
        if any(map(eq, self._old, self._new)):
            differing = list(map(ne, self._old, self._new))
            self._old_objects = list(compress(self._old_objects, differing))
            self._update_keys = list(compress(self._update_keys, differing))
            self._old, self._new = list(compress(self._old, differing)), list(compress(self._new, differing))

    def _gone(self, rows: Rows, known: Sequence[Any]) -> Sequence[Any]:
        """Objects of rows that have left: those that had been made, and new ones."""
        if not known:
            return self._source.make(rows)
        if all(known):
            return known
        return [self._source.row(row) if made is None else made for row, made in zip(rows, known, strict=True)]

    def _singly(self, rows: Rows, known: Sequence[Any], skip: Skip) -> Iterator[Any]:
        for row, made in zip_longest(rows, known):
            try:
                yield self._source.row(row) if made is None else made
            except DecodeError as error:
                if skip is None:
                    raise
                skip(error)

    def _pairs_singly(self, old: Rows, known: Sequence[Any], new: Rows, skip: Skip) -> Iterator[tuple[Any, Any]]:
        for before, made, after in zip_longest(old, known, new):
            pair = [*self._singly((before,), (made,), skip), *self._singly((after,), (), skip)]
            if len(pair) == 2:
                yield pair[0], pair[1]


def _taken(memo: dict[Key, Any], keys: Sequence[Key]) -> Steps[Sequence[Any]]:
    """Objects by key, with None for those that were not there."""
    objects: list[Any] = []
    for part in slices(len(keys)):
        objects += map(memo.pop, keys[part], repeat(None))
        if part.stop < len(keys):
            yield
    return objects


def _parts(rows: Rows) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, len(rows), _CHUNK))


class RowUpdated(TableChange):
    """One row was replaced under its primary key: what most transactions do, at a fraction of the usual cost."""

    __slots__ = ("_after", "_before", "_before_object", "_key")

    is_event = False

    def __init__(
        self, source: RowSource, version: int, key: Key, before: bytes, before_object: Any, after: bytes
    ) -> None:
        """Note what happened; `before_object` is what had been made of the old row, or None."""
        self.name = source.name
        self._source = source
        self._version = version
        self._key = key
        self._before = before
        self._before_object = before_object
        self._after = after

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared: none."""
        return []

    @property
    def deletes(self) -> list[bytes]:
        """Bytes of the rows that left: none."""
        return []

    @property
    def updates(self) -> list[tuple[bytes, bytes]]:
        """The old and the new row's bytes."""
        return [(self._before, self._after)]

    @property
    def size(self) -> int:
        """Rows that the message named: one."""
        return 1

    def __bool__(self) -> bool:
        return True

    def inserted(self, skip: Skip = None) -> Iterable[Any]:  # noqa: ARG002 - there is no row to skip
        """The rows that appeared: none."""
        return ()

    deleted = inserted

    def updated(self, skip: Skip = None) -> Iterable[tuple[Any, Any]]:
        """The old and the new row, as objects."""
        try:
            return (self.pair(),)
        except DecodeError as error:
            if skip is None:
                raise
            skip(error)
            return ()

    def pair(self) -> tuple[Any, Any]:
        """The old and the new row, as objects; raises `DecodeError` if one of them is none."""
        source = self._source
        before = self._before_object
        if before is None:
            before = source.decode(self._before)
        return before, source.object(self._key, self._after, self._version)


class Snapshot(TableChange):
    """Rows of a table in which nothing was before, not even cut apart until somebody asks. Also the rows of events."""

    __slots__ = ("_is_distinct", "_lists")

    def __init__(
        self, source: RowSource, version: int, lists: Sequence[RowList], *, is_event: bool, is_distinct: bool
    ) -> None:
        """Note what came: `is_distinct` says that no row is in the lists twice, which a bag of queries may do."""
        super().__init__(source, version)
        self.is_event = is_event
        self._lists = lists
        self._is_distinct = is_distinct

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared; a bag of overlapping queries names each of them once."""
        return list(chain.from_iterable(self._cut()))

    @property
    def size(self) -> int:
        """Rows that the message named."""
        return sum(map(len, self._lists))

    def __bool__(self) -> bool:
        return any(map(len, self._lists))

    def inserted(self, skip: Skip = None) -> Iterable[Any]:
        """The rows that appeared, as objects."""
        for rows in self._cut():
            try:
                made = self._source.make(rows) if self.is_event else self._source.objects(rows, None, self._version)
            except DecodeError:
                yield from self._singly(rows, (), skip)
            else:
                yield from made

    def _cut(self) -> Iterator[Rows]:
        """The rows, some at a time, each of them once."""
        parts = (part.rows() for rows in self._lists for part in rows.parts(_CHUNK))
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

    @property
    def only(self) -> TableChange | None:
        """The change of the only table that the message named; None if it named several, or none."""
        if len(self._tables) != 1 or self.skipped:
            return None
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
