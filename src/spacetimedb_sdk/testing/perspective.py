"""The tables as one client sees them: with views, and without rows that visibility filters keep from it.

What differs from the tables themselves is computed when somebody first looks, and after each transaction from then on,
so that whoever reads from here never has to know. Nothing here knows subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.schema.model import Schema

from .queries import Query, compile_query
from .sql import SqlError
from .storage import Changes, Rows, RowSource, Storage, TableStorage

__all__ = ["Perspective", "check_filters", "compile_filters"]


class Perspective:
    """What one client may read, a `RowSource`.

    Args:
        storage: All rows.
        views: What computes the rows of each view. Raises `SqlError` if it fails.
        filters: The queries that say which rows of some tables there are for the client: those that any one holds.

    Attributes:
        schema: The module's.
        tables: By name, views too.
    """

    def __init__(
        self, storage: Storage, views: Mapping[str, Callable[[], Rows]], filters: Mapping[str, Sequence[Query]]
    ) -> None:
        self.schema = storage.schema
        self.tables: Mapping[str, TableStorage] = _Looked(storage.schema.tables, self._table)
        self._storage = storage
        self._views = views
        self._filters = filters
        self._computed: dict[str, TableStorage] = {}
        self._outdated: set[str] = set()
        self._changed: dict[str, Changes] = {}
        self._failed: dict[str, str] = {}

    def _table(self, name: str) -> TableStorage:
        """A table, computed if need be.

        Raises:
            SqlError: A view failed that has not been read before. It is empty until it succeeds.
        """
        if name not in self._views and name not in self._filters:
            return self._storage.tables[name]
        if name not in self._computed:
            table = self._computed[name] = TableStorage(self.schema.tables[name], self.schema.row_codec(name))
            table.replace(self._rows(name))
        if name in self._outdated:
            self._renew(name)
        return self._computed[name]

    def _rows(self, name: str) -> Rows:
        if name in self._views:
            return self._views[name]()
        whole = self._storage.tables[name].rows
        source = self._unfiltered(name)
        return {data: whole[data] for query in self._filters[name] for data in query.rows(source)}

    def _unfiltered(self, name: str) -> RowSource:
        """What filters of a table read: all of its rows, and of other tables those that are there for the client."""
        table = self._storage.tables[name]
        return _Source(
            self.schema, _Looked(self.schema.tables, lambda other: table if other == name else self._table(other))
        )

    # --- what transactions change -------------------------------------------------------------------------------------

    def changes(self, changes: Mapping[str, Changes]) -> Mapping[str, Changes]:
        """What a transaction changed for the client. To be called once after each.

        Args:
            changes: What it did, by table.
        """
        if not changes:
            return changes
        self._changed = {}
        self._outdated = set(self._computed)
        while self._outdated:
            self._renew(next(iter(self._outdated)))
        for name, change in changes.items():
            if name not in self._filters:
                self._changed[name] = change
            elif self.schema.tables[name].is_event:
                self._filter_events(name, changes)
        return self._changed

    def failures(self) -> Mapping[str, str]:
        """The views that failed after the last transaction, and why; their rows are as before."""
        failed, self._failed = self._failed, {}
        return failed

    def _renew(self, name: str) -> None:
        self._outdated.discard(name)
        try:
            change = self._computed[name].replace(self._rows(name))
        except SqlError as error:
            self._failed[name] = str(error)
        else:
            if change is not None:
                self._changed[name] = change

    def _filter_events(self, name: str, changes: Mapping[str, Changes]) -> None:
        """Events are in no table any more when their transaction is over."""
        source = self._unfiltered(name)
        seen = [data for query in self._filters[name] for data in query.changed(source, changes)[0]]
        if seen:
            self._changed[name] = Changes({data: changes[name].inserts[data] for data in seen}, {})


@attrs.frozen
class _Source:
    schema: Schema
    tables: Mapping[str, TableStorage]


class _Looked(Mapping[str, TableStorage]):
    """Tables that are looked up when somebody asks for them."""

    def __init__(self, names: Mapping[str, object], look_up: Callable[[str], TableStorage]) -> None:
        self._names = names
        self._look_up = look_up

    def __getitem__(self, name: str) -> TableStorage:
        return self._look_up(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


# --- filters ----------------------------------------------------------------------------------------------------------


def compile_filters(schema: Schema, sender: Identity) -> dict[str, list[Query]]:
    """A module's visibility filters, by the table whose rows they are about.

    Args:
        schema: The module's.
        sender: Who looks.

    Raises:
        SqlError: One is no query.
    """
    filters: dict[str, list[Query]] = {}
    for text in schema.row_level_security:
        query = compile_query(text, schema, sender, sees_all=True)
        filters.setdefault(query.table.name, []).append(query)
    return filters


def check_filters(schema: Schema) -> None:
    """See that a module's visibility filters are good.

    Raises:
        TypeError: One is no query, or reads a view, or what some rows depend on depends on these rows.
    """
    try:
        filters = compile_filters(schema, Identity.from_int(0))
    except SqlError as error:
        raise TypeError(f"a visibility filter is no query: {error}") from error
    reads = {name: {table for query in queries for table in query.sources} for name, queries in filters.items()}
    views = sorted({table.name for tables in reads.values() for table in tables if table.is_view})
    if views:
        raise TypeError(f"a visibility filter reads the view {views[0]}; it may only read tables")
    needs = {name: {table.name for table in tables} & filters.keys() - {name} for name, tables in reads.items()}
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    if needs:
        raise TypeError(f"visibility filters go round in a circle: {', '.join(sorted(needs))}")
