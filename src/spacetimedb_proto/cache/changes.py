"""What one message did to the cache: net effects only, as row bytes until somebody asks for rows.

A row that was there before and after is no change. With a primary key, a delete and an insert of one key in one message
are an update; there is no update on the wire (protocol reference, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from ..wire.rowlist import RowList

__all__ = ["Change", "Changes", "Deleted", "Inserted", "TableChange", "Updated"]


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


class TableChange:
    """The net effect of one message on one table, in the order the rows arrived.

    Attributes:
        name: The table's name.
        is_event: Whether the inserts are events, which were never stored.
        deletes: Bytes of the rows that left.
        updates: Bytes of rows replaced under one primary key, as (old, new).
        decode: Makes a row object from a row's bytes; raises `DecodeError`.
    """

    __slots__ = ("_inserts", "_lists", "decode", "deletes", "is_event", "name", "updates")

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Any],
        *,
        inserts: list[bytes] | None = None,
        lists: Sequence[RowList] = (),
        deletes: list[bytes] | None = None,
        updates: list[tuple[bytes, bytes]] | None = None,
        is_event: bool = False,
    ) -> None:
        self.name = name
        self.is_event = is_event
        self.deletes = deletes or []
        self.updates = updates or []
        self._inserts = inserts
        self._lists = lists  # where nothing was there before: cut into rows only if somebody asks
        self.decode = decode

    @property
    def inserts(self) -> list[bytes]:
        """Bytes of the rows that appeared; a bag of overlapping queries names each of them once."""
        if self._inserts is None:
            self._inserts = list(dict.fromkeys(row for rows in self._lists for row in rows.rows()))
            self._lists = ()
        return self._inserts

    def __bool__(self) -> bool:
        return bool(self.deletes or self.updates or self.inserts)

    def inserted(self) -> Iterator[Any]:
        """The rows that appeared, decoded one by one."""
        return map(self.decode, self.inserts)

    def deleted(self) -> Iterator[Any]:
        """The rows that left, decoded one by one."""
        return map(self.decode, self.deletes)

    def updated(self) -> Iterator[tuple[Any, Any]]:
        """The rows that were replaced, decoded one by one as (old, new)."""
        return ((self.decode(old), self.decode(new)) for old, new in self.updates)

    def __iter__(self) -> Iterator[Change]:
        """Inserts, deletes, updates: the order in which callbacks run."""
        yield from map(Inserted, self.inserted())
        yield from map(Deleted, self.deleted())
        yield from (Updated(old, new) for old, new in self.updated())

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.inserts)} inserted, {len(self.deletes)} deleted, {len(self.updates)} updated>"


class Changes(Mapping[str, TableChange]):
    """The net effect of one message on each table it touched, in the order the tables were first mentioned."""

    __slots__ = ("_tables", "skipped")

    def __init__(self, tables: Mapping[str, TableChange] | None = None, skipped: tuple[str, ...] = ()) -> None:
        self._tables = dict(tables or {})
        self.skipped = skipped
        """Tables that the message named and the schema does not know; their rows were left out."""

    def __getitem__(self, table: str) -> TableChange:
        return self._tables[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"Changes({list(self._tables.values())!r})"
