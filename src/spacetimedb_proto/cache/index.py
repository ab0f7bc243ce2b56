"""An index over the rows of one table: from the values of some columns to the rows that have them.

Keys are the column values as Python sees them, so a lookup costs one dict access. Float keys follow the server:
`-0.0` equals `0.0`, and NaN never equals itself, not even in the row it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..bsatn.codec import Codec
from ..schema.model import Table
from ..steps import Steps, slices

__all__ = ["NAN", "Index", "IndexChanges", "Indexes", "KeyReader", "KeyedRows", "key_reader"]

KeyReader: TypeAlias = Callable[[bytes], Hashable]
KeyedRows: TypeAlias = Sequence[tuple[Hashable, bytes]]

IndexChanges: TypeAlias = "Sequence[tuple[Index, KeyedRows, KeyedRows]]"
"""For each index the rows to take out and those to add, with their keys, so that nothing can fail any more."""

NAN: Final = object()
"""Stands for NaN in keys. No value equals it, and unlike NaN itself it is found again when its row leaves."""


def key_reader(codec: Codec, columns: tuple[int, ...]) -> KeyReader:
    """Make the function that reads the key of these columns out of a row's bytes: one value, or a tuple of several."""
    readers = [_column_reader(codec, column) for column in columns]
    if len(readers) == 1:
        return readers[0]
    return lambda row: tuple([read(row) for read in readers])


def _column_reader(codec: Codec, column: int) -> KeyReader:
    read = codec.column_reader(column)
    if not codec.column(column).is_float:
        return read

    def read_float(row: bytes) -> Hashable:
        value = read(row)
        return NAN if value != value else value  # noqa: PLR0124 - what only NaN is not equal to

    return read_float


class Index:
    """Rows by key. A key with one row holds that row's bytes; only shared keys cost a container.

    Attributes:
        columns: Positions of the indexed columns.
    """

    __slots__ = ("_key_of", "_rows", "columns")

    def __init__(self, codec: Codec, columns: tuple[int, ...]) -> None:
        self.columns = columns
        self._key_of = key_reader(codec, columns)
        self._rows: dict[Hashable, bytes | dict[bytes, None]] = {}

    @property
    def entries(self) -> Mapping[Hashable, bytes | dict[bytes, None]]:
        """Keys with the row that has each, or the rows."""
        return self._rows

    def get(self, values: tuple[Any, ...]) -> Sequence[bytes]:
        """The rows with these values, in the order they arrived. An unhashable value is in no index."""
        try:
            found = self._rows.get(values[0] if len(values) == 1 else values)
        except TypeError:
            return ()
        if found is None:
            return ()
        return (found,) if isinstance(found, bytes) else tuple(found)

    def keyed(self, rows: Iterable[bytes]) -> KeyedRows:
        """Rows with their keys.

        Raises:
            DecodeError: A row is none of this table.
        """
        key_of = self._key_of
        return [(key_of(row), row) for row in rows]

    def add(self, keyed_rows: KeyedRows) -> None:
        """Add rows whose keys were read before, so that adding cannot fail half-way."""
        if not self._rows:
            self._rows = dict(keyed_rows)
            if len(self._rows) == len(keyed_rows):  # no key is shared
                return
            self._rows.clear()
        rows = self._rows
        for key, row in keyed_rows:
            found = rows.setdefault(key, row)
            if found is row:
                continue
            if isinstance(found, bytes):
                if found == row:
                    continue
                rows[key] = found = {found: None}
            found[row] = None

    def remove(self, keyed_rows: KeyedRows) -> None:
        """Take rows out again; rows that are not there are nobody's concern."""
        rows = self._rows
        for key, row in keyed_rows:
            found = rows.get(key)
            if isinstance(found, dict):
                found.pop(row, None)
                if len(found) == 1:
                    rows[key] = next(iter(found))
            elif found == row:
                del rows[key]


class Indexes:
    """The indexes of one table, each built when it is first asked for.

    Attributes:
        built: Those that are built, by their columns.
    """

    __slots__ = ("_codec", "_covering", "_declared", "_unique", "built")

    def __init__(self, table: Table, codec: Codec) -> None:
        self._codec = codec
        self._unique = set(table.unique_sets)
        declared = dict.fromkeys((*table.unique_sets, *(index.columns for index in table.indexes)))
        self._declared = [key for key in declared if all(codec.column(column).is_scalar for column in key)]
        self._covering: dict[tuple[int, ...], tuple[int, ...] | None] = {}
        self.built: dict[tuple[int, ...], Index] = {}

    def covering(self, columns: tuple[int, ...]) -> tuple[int, ...] | None:
        """The declared index that narrows most: unique ones first, then those with most columns."""
        if columns not in self._covering:
            fitting = [key for key in self._declared if set(key).issubset(columns)]
            self._covering[columns] = max(fitting, key=lambda key: (key in self._unique, len(key)), default=None)
        return self._covering[columns]

    def index(self, columns: tuple[int, ...], rows: Iterable[bytes]) -> Index:
        """The index on these columns; `rows` are those of the table, in case it is not built yet."""
        index = self.built.get(columns)
        if index is None:
            index = Index(self._codec, columns)
            index.add(index.keyed(rows))
            self.built[columns] = index
        return index

    def changes(self, gone: Sequence[bytes], came: Sequence[bytes]) -> Steps[IndexChanges]:
        """What rows that leave and come mean to the indexes that are built.

        Raises:
            DecodeError: A row is none of this table.
        """
        found: list[tuple[Index, KeyedRows, KeyedRows]] = []
        for index in tuple(self.built.values()):
            keyed = (yield from _keyed(index, gone)), (yield from _keyed(index, came))
            found.append((index, *keyed))
        return found

    def apply(self, changes: IndexChanges) -> Steps[None]:
        """Carry out changes. An index that was built after they were worked out is forgotten: it is built again."""
        known = {index.columns for index, _, _ in changes}
        for columns in [columns for columns in self.built if columns not in known]:
            del self.built[columns]
        for index, gone, came in changes:
            for rows, move in ((gone, index.remove), (came, index.add)):
                for part in slices(len(rows)):
                    move(rows[part])
                    if part.stop < len(rows):
                        yield

    def clear(self) -> None:
        """Forget them: they are built again when they are asked for."""
        self.built.clear()


def _keyed(index: Index, rows: Sequence[bytes]) -> Steps[KeyedRows]:
    keyed: list[tuple[Hashable, bytes]] = []
    for part in slices(len(rows)):
        keyed.extend(index.keyed(rows[part]))
        if part.stop < len(rows):
            yield
    return keyed
