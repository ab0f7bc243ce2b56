"""What a set of queries holds, and what a transaction changes in it (protocol reference, 3.5).

Results are bags: every query speaks for itself, and a row that two queries match is sent twice. Nothing here knows
clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.wire.messages import (
    EventTableRows,
    PersistentTableRows,
    QueryRows,
    SingleTableRows,
    TableUpdate,
)
from spacetimedb_proto.wire.rowlist import RowList

from .queries import Query, compile_subscription
from .storage import Changes, Storage

__all__ = ["QuerySet", "rows_of"]

TableRows: TypeAlias = PersistentTableRows | EventTableRows


class QuerySet:
    """The queries of one subscription.

    Args:
        texts: SQL. Equal texts count once.
        schema: The module's.
        sender: Who asks.
        sees_all: Whether private tables are there for whoever asks.

    Raises:
        SqlError: One of them is refused.
    """

    def __init__(self, texts: Sequence[str], schema: Schema, sender: Identity, *, sees_all: bool = False) -> None:
        self.queries = [
            query
            for text in dict.fromkeys(texts)
            for query in compile_subscription(text, schema, sender, sees_all=sees_all)
        ]

    def rows(self, storage: Storage) -> QueryRows:
        """All rows as of now. A query that reads from an empty table has no entry, as on the real server."""
        return QueryRows([rows_of(query, storage) for query in self.queries if _has_rows(query, storage)])

    def updates(self, storage: Storage, changes: Mapping[str, Changes]) -> list[TableUpdate]:
        """What a transaction changed, one entry per query that it concerns; nothing if it concerns none.

        Args:
            storage: As it is after the transaction.
            changes: What the transaction did, by table.
        """
        found: dict[str, list[TableRows]] = {}
        for query in self.queries:
            is_concerned = any(table.name in changes for table in query.sources)
            rows = _changed(query, storage, changes) if is_concerned else None
            if rows is not None:
                found.setdefault(query.table.name, []).append(rows)
        return [TableUpdate(name, rows) for name, rows in found.items()]


def rows_of(query: Query, storage: Storage) -> SingleTableRows:
    """The rows that a query matches now."""
    return SingleTableRows(query.table.name, RowList.of(query.rows(storage)))


def _has_rows(query: Query, storage: Storage) -> bool:
    return all(storage.tables[table.name].rows for table in query.sources)


def _changed(query: Query, storage: Storage, changes: Mapping[str, Changes]) -> TableRows | None:
    inserts, deletes = map(RowList.of, query.changed(storage, changes))
    if query.table.is_event:
        return EventTableRows(inserts) if inserts else None
    return PersistentTableRows(inserts, deletes) if inserts or deletes else None
