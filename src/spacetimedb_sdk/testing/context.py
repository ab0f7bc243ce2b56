"""What a reducer or procedure gets to work with: who calls, when, and the tables.

Handles know columns by their Python names and rows by their classes; where rows are kept is `storage.py`'s.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Generic, TypeVar, cast, overload

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp

from .chance import Chance
from .logs import Level
from .storage import ConstraintError, Storage, TableStorage

__all__ = ["ReducerContext", "TableHandle", "Tables"]

R = TypeVar("R")


class TableHandle(Generic[R]):
    """One table, inside a transaction."""

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage

    def __repr__(self) -> str:
        return repr(self._storage)

    def __iter__(self) -> Iterator[R]:
        """All rows as of now; the table may change meanwhile."""
        return self.filter()

    def __len__(self) -> int:
        return len(self._storage.rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, self._storage.row_class) and self._storage.codec.encode(row) in self._storage.rows

    def count(self) -> int:
        """How many rows there are."""
        return len(self)

    def insert(self, row: R | None = None, /, **columns: Any) -> R:
        """Add a row, or one made of these columns; columns that are counted up may be left out, or 0.

        Returns:
            The row as it is stored. An equal row that is there already is no error and no second row.

        Raises:
            ConstraintError: Another row has the same value in a unique column.
            EncodeError: A value does not fit its column.
            TypeError: A column is missing, unknown, or given twice.
        """
        if row is not None and columns:
            raise TypeError(f"{self._name}.insert(): expected a row or columns, got both")
        made = self._storage.make(columns) if row is None else row
        return cast("R", self._storage.insert(made))

    def delete(self, row: R, /) -> bool:
        """Take a row out; returns whether it was there."""
        return self._storage.delete(row)

    def update(self, row: R, /) -> R:
        """Put a row into the place of the one with the same primary key.

        Raises:
            ConstraintError: There is no such row, or another one has the same value in a unique column.
            TypeError: The table has no primary key.
        """
        key = self._storage.definition.primary_key
        if key is None:
            raise TypeError(f"{self._name}.update(): the table has no primary key; delete and insert instead")
        name = self._storage.codec.field_names[key]
        old = self._storage.find(key, getattr(row, name))
        if old is None:
            raise ConstraintError(f"update error on table `{self._name}`: no row with {name} {getattr(row, name)!r}")
        self._storage.delete(old)
        try:
            return cast("R", self._storage.insert(row))
        except BaseException:
            self._storage.insert(old)
            raise

    def find(self, **column: Any) -> R | None:
        """The row with a value in a unique column: `find(id=7)`; None if there is none.

        Raises:
            EncodeError: The column cannot have that value.
            TypeError: It is not one column, and unique.
        """
        unique = {self._storage.codec.field_names[position]: position for position in self._storage.definition.unique}
        if len(column) != 1 or not column.keys() <= unique.keys():
            raise TypeError(
                f"{self._name}.find(): expected one unique column of ({', '.join(unique)}), got {', '.join(column)}"
            )
        ((name, value),) = column.items()
        return cast("R | None", self._storage.find(unique[name], value))

    def filter(self, **columns: Any) -> Iterator[R]:
        """The rows with these values in these columns, as of now; the table may change meanwhile.

        Raises:
            EncodeError: A column cannot have such a value.
            TypeError: There is no such column.
        """
        return iter(self._storage.filter({self._storage.position(name): value for name, value in columns.items()}))

    @property
    def _name(self) -> str:
        return self._storage.definition.name


class Tables:
    """The tables of a database, as attributes, by canonical or source name, or by row class, for type checkers."""

    def __init__(self, storage: Storage) -> None:
        handles = {name: TableHandle[Any](table) for name, table in storage.tables.items()}
        sources = {storage.schema.tables[name].source_name: handle for name, handle in handles.items()}
        self._handles: dict[str, TableHandle[Any]] = {**sources, **handles}
        self._by_class: dict[type[Any], list[str]] = {}
        for name, table in storage.tables.items():
            self._by_class.setdefault(table.row_class, []).append(name)

    def __getattr__(self, name: str) -> TableHandle[Any]:
        found = self.__dict__.get("_handles", {}).get(name)
        if found is None:
            raise AttributeError(
                f"no table {name!r}; there are: {', '.join(self.__dict__.get('_handles', {})) or 'none'}"
            )
        return cast("TableHandle[Any]", found)

    @overload
    def __getitem__(self, table: str) -> TableHandle[Any]: ...
    @overload
    def __getitem__(self, table: type[R]) -> TableHandle[R]: ...
    def __getitem__(self, table: str | type[Any]) -> TableHandle[Any]:
        """A table by its name, or by the class of its rows.

        Raises:
            KeyError: There is no such table, or several have rows of that class.
        """
        if isinstance(table, str):
            return self._handles[table]
        names = self._by_class.get(table, [])
        if len(names) != 1:
            raise KeyError(f"{table.__name__}: rows of {', '.join(names) or 'no table'}; use a table's name")
        return self._handles[names[0]]


@attrs.frozen
class ReducerContext:
    """What a reducer or procedure is called with.

    Attributes:
        sender: Who calls.
        connection_id: From which connection; None when the server calls by itself.
        timestamp: When, the same during the whole call.
        db: The tables.
    """

    sender: Identity
    connection_id: ConnectionId | None
    timestamp: Timestamp
    db: Tables
    _write: Callable[[Level, str], None] = attrs.field(repr=False, eq=False)
    _chance: Chance = attrs.field(repr=False, eq=False)

    @property
    def random(self) -> Random:
        """Random numbers, the same in every run of a database whose functions are called alike."""
        return self._chance.random

    def new_uuid_v4(self) -> uuid.UUID:
        """A random UUID, which nobody else gets."""
        return self._chance.uuid_v4()

    def new_uuid_v7(self) -> uuid.UUID:
        """A UUID of this time, greater than those that were made before."""
        return self._chance.uuid_v7(self.timestamp)

    def log(self, message: str, level: Level = "Info") -> None:
        """Write a line to the database's log, which its owner reads over HTTP; it stays if the call is undone."""
        self._write(level, message)
