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

    Raises:
        SqlError: One of them is refused.
    """

    def __init__(self, texts: Sequence[str], schema: Schema, sender: Identity) -> None:
        self.queries = [query for text in dict.fromkeys(texts) for query in compile_subscription(text, schema, sender)]

    def rows(self, storage: Storage) -> QueryRows:
        """All rows as of now. A query that reads from an empty table has no entry, as on the real server."""
        return QueryRows([rows_of(query, storage) for query in self.queries if storage.tables[query.table.name].rows])

    def updates(self, changes: Mapping[str, Changes]) -> list[TableUpdate]:
        """What a transaction changed, one entry per query that it concerns; nothing if it concerns none."""
        found: dict[str, list[TableRows]] = {}
        for query in self.queries:
            change = changes.get(query.table.name)
            rows = None if change is None else _changed(query, change)
            if rows is not None:
                found.setdefault(query.table.name, []).append(rows)
        return [TableUpdate(name, rows) for name, rows in found.items()]


def rows_of(query: Query, storage: Storage) -> SingleTableRows:
    """The rows that a query matches now."""
    rows = storage.tables[query.table.name].rows
    return SingleTableRows(query.table.name, _matching(query, rows))


def _changed(query: Query, change: Changes) -> TableRows | None:
    inserts = _matching(query, change.inserts)
    if query.table.is_event:
        return EventTableRows(inserts) if inserts else None
    deletes = _matching(query, change.deletes)
    return PersistentTableRows(inserts, deletes) if inserts or deletes else None


def _matching(query: Query, rows: Mapping[bytes, object]) -> RowList:
    return RowList.of([data for data, row in rows.items() if query.matches(row)])
