"""The rows of a database, and transactions that can be undone.

A table is a set of rows: their bytes are what they are known by, so an equal row is no second one. In columns, floats
compare as floats: `-0.0` equals `0.0`, and NaN equals nothing. Rows are handed out as new objects of the module's
classes each time, so what a module does to one changes nothing here. Nothing here knows clients or queries.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias

import attrs

from spacetimedb_proto.bsatn.codec import Codec
from spacetimedb_proto.bsatn.layout import SCALARS
from spacetimedb_proto.bsatn.types import Primitive
from spacetimedb_proto.errors import LocalProtocolError, SpacetimeDBError
from spacetimedb_proto.schema.definitions import Sequence, Table
from spacetimedb_proto.schema.model import Schema

__all__ = ["Changes", "ConstraintError", "RowSource", "Rows", "Storage", "TableStorage"]

_NAN: Final = b"NaN of "
"""Before the bytes of a row, it makes a key that no other row has."""

Rows: TypeAlias = Mapping[bytes, Any]
"""Rows by their bytes."""


class ConstraintError(SpacetimeDBError):
    """A row cannot be as it is because of the rows that are there. The transaction may go on, if the module lets it."""


@attrs.frozen
class Changes:
    """What one transaction did to one table, net: rows by their bytes."""

    inserts: Rows
    deletes: Rows


class TableStorage:
    """The rows of one table.

    Attributes:
        definition: The table in the schema.
        row_class: The class of its rows.
        codec: Between rows and their bytes.
        rows: All rows by their bytes, in the order of their insertion.
    """

    def __init__(self, definition: Table, codec: Codec) -> None:
        self.definition = definition
        self.codec = codec
        self.row_class = codec.python_type
        self.rows: dict[bytes, Any] = {}
        self._unique: dict[int, dict[bytes, bytes]] = {column: {} for column in definition.unique}
        self._having: dict[int, dict[bytes, dict[bytes, Any]]] = {}
        self._next_numbers = {sequence.column: sequence.start or 1 for sequence in definition.sequences}
        self._inserted: dict[bytes, Any] = {}
        self._deleted: dict[bytes, Any] = {}
        self._is_writable = False

    def __repr__(self) -> str:
        return f"<{self.definition.name} with {len(self.rows)} rows>"

    # --- columns ------------------------------------------------------------------------------------------------------

    @cached_property
    def attributes(self) -> dict[str, int]:
        """Positions of columns by what Python calls them."""
        return {name: position for position, name in enumerate(self.codec.field_names)}

    def position(self, name: str) -> int:
        """The position of a column.

        Raises:
            TypeError: There is none of that name.
        """
        if name not in self.attributes:
            raise TypeError(f"{self.definition.name} has no column {name!r}; there are {', '.join(self.attributes)}")
        return self.attributes[name]

    def make(self, columns: Mapping[str, Any]) -> Any:
        """A row from its columns; those that are counted up may be left out.

        Raises:
            TypeError: One is missing or unknown.
        """
        names = [self.codec.field_names[column] for column in self._next_numbers]
        given = {**dict.fromkeys(names, 0), **columns}
        for name in given:
            self.position(name)
        aliases = {field.name: field.alias or field.name for field in attrs.fields(self.row_class)}
        return self.row_class(**{aliases[name]: value for name, value in given.items()})

    def key(self, column: int, row: Any) -> bytes:
        """Bytes for one column of a row, which are equal where the values are."""
        key = self._key_of(column, getattr(row, self.codec.field_names[column]))
        return _NAN + self.codec.encode(row) if key is None else key

    def _key_of(self, column: int, value: Any) -> bytes | None:
        """The key of the rows that have a value in a column; None for NaN, which none has.

        Raises:
            EncodeError: The column cannot have that value.
        """
        codec = self.codec.column(column)
        data = codec.encode(value)
        if not codec.is_float:
            return data
        number: float = codec.decode_exact(data)
        return None if math.isnan(number) else codec.encode(number + 0.0)  # which makes 0.0 of -0.0

    # --- reading ------------------------------------------------------------------------------------------------------

    def find(self, column: int, value: Any) -> Any | None:
        """The row with a value in a unique column.

        Raises:
            EncodeError: The column cannot have that value.
        """
        key = self._key_of(column, value)
        data = None if key is None else self._unique[column].get(key)
        return None if data is None else self.codec.decode_exact(data)

    def filter(self, wanted: Mapping[int, Any]) -> list[Any]:
        """The rows with these values in these columns, as of now.

        Raises:
            EncodeError: A column cannot have such a value.
        """
        keys = {column: self._key_of(column, value) for column, value in wanted.items()}
        decode = self.codec.decode_exact
        return [
            decode(data)
            for data, row in self.rows.items()
            if all(self.key(column, row) == key for column, key in keys.items())
        ]

    def having(self, column: int, key: bytes) -> Rows:
        """The rows that have `key` in a column, as `key()` makes it; an index is kept from the first question on."""
        if column not in self._having:
            index: dict[bytes, dict[bytes, Any]] = {}
            for data, row in self.rows.items():
                index.setdefault(self.key(column, row), {})[data] = row
            self._having[column] = index
        return self._having[column].get(key, {})

    # --- writing ------------------------------------------------------------------------------------------------------

    def insert(self, row: Any) -> Any:
        """Add a row, counted up where it says 0. A row that is there already is no error and no second row.

        Returns:
            The row as it is stored.

        Raises:
            ConstraintError: Another row has the same value in a unique column, or there are no more numbers.
            EncodeError: A column cannot have the value that it has in the row.
        """
        self._check_writable()
        data = self.codec.encode(self._numbered(row))
        if data not in self.rows:
            self._add(data, self.codec.decode_exact(data))
        return self.codec.decode_exact(data)

    def _add(self, data: bytes, row: Any) -> None:
        for column, index in self._unique.items():
            if self.key(column, row) in index:
                where, what = self.definition.name, self.definition.columns[column].name
                raise ConstraintError(f"insertion error on table `{where}`: duplicate unique column `{what}`")
        self._put(data, row)
        if self._deleted.pop(data, None) is None:
            self._inserted[data] = row

    def take_over(self, other: TableStorage, more_columns: bytes = b"") -> None:
        """Add the rows of a table of the same columns, and count on where it has got to.

        Args:
            other: The table.
            more_columns: The bytes of columns that it does not have, the same for all rows.

        Raises:
            ConstraintError: The rows do not meet a constraint that the other table does not have.
        """
        for data in (row + more_columns for row in other.rows):
            self._add(data, self.codec.decode_exact(data))
        self._next_numbers |= {
            column: number for column, number in other._next_numbers.items() if column in self._next_numbers
        }

    def replace(self, rows: Rows) -> Changes | None:
        """Hold other rows, whatever they are, in a table that is computed from others.

        Returns:
            What that changed, or None if it changed nothing.
        """
        inserts = {data: row for data, row in rows.items() if data not in self.rows}
        deletes = {data: row for data, row in self.rows.items() if data not in rows}
        for data in deletes:
            self._take(data)
        for data, row in inserts.items():
            self._put(data, row)
        return Changes(inserts, deletes) if inserts or deletes else None

    def delete(self, row: Any) -> bool:
        """Take a row out; returns whether it was there."""
        self._check_writable()
        data = self.codec.encode(row)
        if data not in self.rows:
            return False
        found = self._take(data)
        if self._inserted.pop(data, None) is None:
            self._deleted[data] = found
        return True

    def _check_writable(self) -> None:
        if not self._is_writable:
            raise LocalProtocolError(
                f"{self.definition.name}: rows change only in a reducer or procedure, while it runs"
            )

    def _put(self, data: bytes, row: Any) -> None:
        self.rows[data] = row
        for column, index in self._unique.items():
            index[self.key(column, row)] = data
        for column, groups in self._having.items():
            groups.setdefault(self.key(column, row), {})[data] = row

    def _take(self, data: bytes) -> Any:
        row = self.rows.pop(data)
        for column, index in self._unique.items():
            del index[self.key(column, row)]
        for column, groups in self._having.items():
            del groups[self.key(column, row)][data]
        return row

    def _numbered(self, row: Any) -> Any:
        for sequence in self.definition.sequences:
            name = self.codec.field_names[sequence.column]
            if getattr(row, name) == 0:
                row = attrs.evolve(row, **{name: self._next_number(sequence)})
        return row

    def _next_number(self, sequence: Sequence) -> int:
        """As on the real server, a number is used up even if its transaction is undone."""
        number = self._next_numbers[sequence.column]
        kind = self.definition.columns[sequence.column].type
        assert isinstance(kind, Primitive)
        if number > SCALARS[kind].high:
            raise ConstraintError(f"insertion error on table `{self.definition.name}`: no more numbers")
        self._next_numbers[sequence.column] = number + sequence.increment
        return number

    # --- transactions -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin a transaction."""
        self._is_writable = True

    @contextmanager
    def only_read(self) -> Generator[None]:
        """Refuse changes in a block, also inside a transaction."""
        was_writable, self._is_writable = self._is_writable, False
        try:
            yield
        finally:
            self._is_writable = was_writable

    def commit(self) -> Changes | None:
        """End the transaction; returns what it did, or None if that was nothing. Rows of event tables are gone."""
        changes = Changes(self._inserted, self._deleted) if self._inserted or self._deleted else None
        if self.definition.is_event:
            for data in list(self.rows):
                self._take(data)
        self._close()
        return changes

    def roll_back(self) -> None:
        """End the transaction and undo what it did."""
        for data in self._inserted:
            self._take(data)
        for data, row in self._deleted.items():
            self._put(data, row)
        self._close()

    def _close(self) -> None:
        self._inserted, self._deleted = {}, {}
        self._is_writable = False


class RowSource(Protocol):
    """What queries read: tables, perhaps not all rows of them, and perhaps views."""

    @property
    def schema(self) -> Schema:
        """The module's."""
        ...

    @property
    def tables(self) -> Mapping[str, TableStorage]:
        """By name."""
        ...


class Storage:
    """All tables of one database, without views.

    Attributes:
        schema: The module's.
        tables: By name, in the schema's order.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables = {
            name: TableStorage(table, schema.row_codec(name))
            for name, table in schema.tables.items()
            if not table.is_view
        }

    @contextmanager
    def only_read(self) -> Generator[None]:
        """Refuse changes in a block, also inside a transaction."""
        with ExitStack() as stack:
            for table in self.tables.values():
                stack.enter_context(table.only_read())
            yield

    @contextmanager
    def transaction(self) -> Generator[dict[str, Changes]]:
        """Run a block as a transaction; whatever it raises undoes it and goes on.

        Yields:
            A mapping that afterwards holds what the block changed, by table.
        """
        for table in self.tables.values():
            table.open()
        changes: dict[str, Changes] = {}
        try:
            yield changes
        except BaseException:
            for table in self.tables.values():
                table.roll_back()
            raise
        for name, table in self.tables.items():
            changed = table.commit()
            if changed is not None:
                changes[name] = changed
