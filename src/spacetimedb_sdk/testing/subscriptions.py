"""What clients have subscribed to, and what a transaction changes in it (protocol reference, 3.5 and 3.8).

Results are bags: every query speaks for itself, and a row that two queries match is sent twice. In v2 and v3 each query
set speaks for itself too; in v1 a client has each query once, however many of its sets ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.wire.messages import (
    EventTableRows,
    PersistentTableRows,
    QueryRows,
    QuerySetUpdate,
    SingleTableRows,
    TableUpdate,
)
from spacetimedb_proto.wire.rowlist import RowList

from .queries import Query, compile_subscription
from .sql import SqlError
from .storage import Changes, RowSource

__all__ = ["QuerySets", "SharedQueries", "Subscriber", "rows_of"]

TableRows: TypeAlias = PersistentTableRows | EventTableRows

SHARED: Final = 0
"""The query set id of what v1 tells, which knows none."""

_QueryKey: TypeAlias = tuple[str, str]
"""A query of v1: its text, and its table, since `SELECT * FROM *` stands for several."""


@attrs.frozen
class Subscriber:
    """Who subscribes.

    Attributes:
        name: As the real server names a client in its errors.
        identity: What `:sender` means.
        sees_all: Whether private tables are there for it.
    """

    name: str
    identity: Identity
    sees_all: bool

    def queries(self, texts: Iterable[str], schema: Schema) -> list[Query]:
        """What SQL stands for; equal texts count once.

        Raises:
            SqlError: One of them is refused.
        """
        return [
            query
            for text in dict.fromkeys(texts)
            for query in compile_subscription(text, schema, self.identity, sees_all=self.sees_all)
        ]


class QuerySets:
    """The subscriptions of a client that speaks v2 or v3."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._sets: dict[int, list[Query]] = {}

    def start(self, set_id: int, texts: Sequence[str], storage: RowSource) -> QueryRows:
        """Make a query set live; returns its rows.

        Raises:
            SqlError: The set is live already, or a query is refused.
        """
        if set_id in self._sets:
            raise _taken(set_id, self._subscriber)
        queries = self._sets[set_id] = self._subscriber.queries(texts, storage.schema)
        return _rows(queries, storage)

    def end(self, set_id: int, storage: RowSource) -> QueryRows:
        """End a query set; returns the rows that leave with it.

        Raises:
            SqlError: There is no such set.
        """
        return _rows(_ended(self._sets, set_id, self._subscriber), storage)

    def drop(self, table: str) -> list[int]:
        """End all sets that read a table; returns which."""
        ended = [
            set_id
            for set_id, queries in self._sets.items()
            if any(source.name == table for query in queries for source in query.sources)
        ]
        for set_id in ended:
            del self._sets[set_id]
        return ended

    def updates(self, storage: RowSource, changes: Mapping[str, Changes]) -> list[QuerySetUpdate]:
        """What a transaction changed for the client, set by set; nothing if it changed nothing.

        Args:
            storage: As it is after the transaction.
            changes: What the transaction did, by table.
        """
        found = [(set_id, _updates(queries, storage, changes)) for set_id, queries in self._sets.items()]
        return [QuerySetUpdate(set_id, tables) for set_id, tables in found if tables]


class SharedQueries:
    """The subscriptions of a client that speaks v1: one set that is replaced as a whole, and sets that come and go."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._sets: dict[int, list[Query]] = {}
        self._legacy: list[Query] = []

    def start(self, set_id: int, texts: Sequence[str], storage: RowSource) -> QueryRows:
        """As `QuerySets.start`, but that rows of queries that are live in another set are not told again."""
        queries, known = self._begin(set_id, texts, storage.schema), self._live()
        self._sets[set_id] = queries
        return _rows([query for query in queries if _key(query) not in known], storage)

    def start_single(self, set_id: int, texts: Sequence[str], storage: RowSource) -> QueryRows:
        """Make a set of one query live; its rows are told in any case, and its table too if it has none."""
        queries = self._sets[set_id] = self._begin(set_id, texts, storage.schema)
        return _single(queries, storage)

    def end(self, set_id: int, storage: RowSource) -> QueryRows:
        """As `QuerySets.end`, but that rows of queries that are still live in another set do not leave."""
        queries = _ended(self._sets, set_id, self._subscriber)
        known = self._live()
        return _rows([query for query in queries if _key(query) not in known], storage)

    def end_single(self, set_id: int, storage: RowSource) -> QueryRows:
        """End a set of one query, as `end` does.

        Raises:
            SqlError: There is no such set, or its query is live in another one, for which v1 has no answer.
        """
        queries = _ended(self._sets, set_id, self._subscriber)
        if self._live() & {_key(query) for query in queries}:
            raise SqlError("Internal error")
        return _single(queries, storage)

    def replace(self, texts: Sequence[str], storage: RowSource) -> QueryRows:
        """Put queries into the place of those of the last call; returns all their rows.

        Raises:
            SqlError: A query is refused.
        """
        self._legacy = self._queries(texts, storage.schema)
        return _rows(self._legacy, storage)

    def updates(self, storage: RowSource, changes: Mapping[str, Changes]) -> list[QuerySetUpdate]:
        """As `QuerySets.updates`, but that each query speaks once, for the client as a whole."""
        every = [self._legacy, *self._sets.values()]
        queries = {_key(query): query for part in every for query in part}
        tables = _updates(queries.values(), storage, changes)
        return [QuerySetUpdate(SHARED, tables)] if tables else []

    def _begin(self, set_id: int, texts: Sequence[str], schema: Schema) -> list[Query]:
        if set_id in self._sets:
            raise _taken(set_id, self._subscriber)
        return self._queries(texts, schema)

    def _queries(self, texts: Sequence[str], schema: Schema) -> list[Query]:
        queries = self._subscriber.queries(texts, schema)
        if any(query.table.is_event for query in queries):
            raise SqlError("Subscribing to event tables requires WebSocket v2")
        return queries

    def _live(self) -> set[_QueryKey]:
        return {_key(query) for queries in self._sets.values() for query in queries}


def _key(query: Query) -> _QueryKey:
    return query.text, query.table.name


def _taken(set_id: int, subscriber: Subscriber) -> SqlError:
    return SqlError(f"Subscription with id {_shown(set_id)} already exists for client: {subscriber.name}")


def _ended(sets: dict[int, list[Query]], set_id: int, subscriber: Subscriber) -> list[Query]:
    if set_id not in sets:
        raise SqlError(f"Subscription not found: ({subscriber.name}, {_shown(set_id)})")
    return sets.pop(set_id)


def _shown(set_id: int) -> str:
    return f"QuerySetId {{ id: {set_id} }}"


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(queries: Iterable[Query], storage: RowSource) -> QueryRows:
    """All rows as of now. A query that reads from an empty table has no entry, as on the real server."""
    return QueryRows([rows_of(query, storage) for query in queries if _has_rows(query, storage)])


def _single(queries: Iterable[Query], storage: RowSource) -> QueryRows:
    return QueryRows([rows_of(query, storage) for query in queries])


def _updates(queries: Iterable[Query], storage: RowSource, changes: Mapping[str, Changes]) -> list[TableUpdate]:
    """What a transaction changed, one entry per query that it concerns."""
    found: dict[str, list[TableRows]] = {}
    for query in queries:
        rows = _changed(query, storage, changes)
        if rows is not None:
            found.setdefault(query.table.name, []).append(rows)
    return [TableUpdate(name, rows) for name, rows in found.items()]


def rows_of(query: Query, storage: RowSource) -> SingleTableRows:
    """The rows that a query matches now."""
    return SingleTableRows(query.table.name, RowList.of(query.rows(storage)))


def _has_rows(query: Query, storage: RowSource) -> bool:
    return all(storage.tables[table.name].rows for table in query.sources)


def _changed(query: Query, storage: RowSource, changes: Mapping[str, Changes]) -> TableRows | None:
    entered, left = query.changed(storage, changes)
    if not entered and not left:  # as it is for most clients in most transactions, so it must cost little
        return None
    inserts, deletes = RowList.of(entered), RowList.of(left)
    if query.table.is_event:
        return EventTableRows(inserts) if inserts else None
    return PersistentTableRows(inserts, deletes)
