"""A feed of changes: every transaction of a connection, once and in order, across restarts.

A feed knows the rows that its changes add up to. When a connection begins, its rows are compared with those, and what
is different is written as one transaction, `caught_up`: the server does not say what happened in between, only what
there is. From then on each transaction that the connection tells is written as it is. So whoever applies a feed's
transactions in order has, after each, the tables as they were at one moment; no change is missing, and none is there
twice.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import attrs

from spacetimedb_proto.cache import Change, Deleted, Inserted, Updated
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.events import ReducerEvent, Resumed, SubscribeApplied, UnsubscribeApplied

from ..tabular.plain import as_json
from ..tabular.shapes import column_names, product_of
from .files import parts_of

if TYPE_CHECKING:
    from types import TracebackType

    from spacetimedb_proto.bsatn.layout import Node
    from spacetimedb_proto.schema.model import Schema, Table

    from ..bindings.connection import BaseConnection
    from ..bindings.records import TransactionRecord

__all__ = ["ChangeFeed", "Entry", "FeedChange"]

_EVENTS: Final[Mapping[type, str]] = {
    ReducerEvent: "reducer",
    Resumed: "resumed",
    SubscribeApplied: "subscribed",
    UnsubscribeApplied: "unsubscribed",
}


@attrs.frozen
class FeedChange:
    """One row's change, with rows as JSON.

    Attributes:
        table: The table.
        old: The row that left, or None.
        new: The row that came, or None.
        is_event: Whether it is an event, which nothing holds.
    """

    table: str
    old: str | None
    new: str | None
    is_event: bool = False

    @property
    def kind(self) -> Literal["insert", "update", "delete"]:
        """What happened."""
        if self.old is None:
            return "insert"
        return "delete" if self.new is None else "update"


@attrs.frozen
class Entry:
    """A transaction of a feed.

    Attributes:
        position: Its number, from 1 on without gaps.
        event: `caught_up`, `transaction`, `reducer`, `resumed`, `subscribed` or `unsubscribed`.
        details: More about it: of a reducer that this connection called, its name and time.
        changes: What it did.
    """

    position: int
    event: str
    details: Mapping[str, Any]
    changes: Sequence[FeedChange]


class ChangeFeed(ABC):
    """What feeds have in common. `SqliteFeed` and `JsonLinesFeed` say where one is kept."""

    def __init__(self) -> None:
        self._position = 0
        self._schema: Schema | None = None
        self._tables: frozenset[str] = frozenset()

    @property
    def position(self) -> int:
        """The number of the last transaction that is written; 0 if there is none. It is kept with the feed."""
        return self._position

    def follow(self, conn: BaseConnection, tables: Iterable[str] | None = None, **options: Any) -> Any:
        """Write what is different from the feed's rows, and record the transactions that come after that.

        Call it when the subscriptions have been applied: what they have not delivered yet would count as gone.

        Args:
            conn: A connection of any host.
            tables: The tables to follow; None for all that its subscriptions read. What the feed has of others stays.
            options: `buffer` and `overflow` of the stream, as for `conn.transactions()`.

        Returns:
            The host's stream of transactions: hand each to `write`.

        Raises:
            SchemaError: There is no such table.
            LocalProtocolError: The rows of one are not kept.
            ConnectionLost: The connection is over.
        """
        followed = conn.follow(tables, **options)
        self._schema = schema = followed.schema
        self._tables = frozenset(followed.tables)
        changes: list[FeedChange] = []
        for name, rows in followed.tables.items():
            if not schema.tables[name].is_event:
                fresh = {as_json(rows.row, row) for part in parts_of(rows) for row in part}
                changes += self._differences(schema.tables[name], rows.row, fresh)
        self._add("caught_up", {}, changes)
        return followed.stream

    def write(self, transaction: TransactionRecord) -> None:
        """Write one transaction, whole or not at all.

        Raises:
            LocalProtocolError: `follow` was not called.
            DecodeError: A row is none of its table.
            OSError: It cannot be written; it is as if it had not been tried. SQLite's own errors are `sqlite3.Error`.
        """
        if self._schema is None:
            raise LocalProtocolError("write(): expected a feed that follows a connection: call follow() first")
        changes: list[FeedChange] = []
        for name, found in transaction.changes.items():
            if name in self._tables:
                changes += self._told(self._schema.tables[name], self._schema, found)
        event = transaction.event
        details: dict[str, Any] = {}
        if isinstance(event, ReducerEvent):
            details = {"reducer": event.reducer, "timestamp": str(event.timestamp)}
        self._add(_EVENTS.get(type(event), "transaction"), details, changes)

    def _add(self, event: str, details: Mapping[str, Any], changes: Sequence[FeedChange]) -> None:
        if changes:
            self._append(Entry(self._position + 1, event, details, changes))
            self._position += 1

    def _told(self, table: Table, schema: Schema, found: Iterable[Change]) -> Iterable[FeedChange]:
        """Changes as they were told, but for what the feed knows already."""
        node = schema.types.node(table.row)
        for change in found:
            before, after = _both(change)
            old = None if before is None else as_json(node, before)
            new = None if after is None else as_json(node, after)
            if table.is_event:
                yield FeedChange(table.name, old, new, is_event=True)
                continue
            if old is not None and not self._holds(table.name, old):
                old = None
            if new is not None and self._holds(table.name, new):
                new = None
            if old is not None or new is not None:
                yield FeedChange(table.name, old, new)

    def _differences(self, table: Table, node: Node, fresh: set[str]) -> list[FeedChange]:
        """What leads from the feed's rows to those of now. Rows of one primary key are an update."""
        known = self._held_rows(table.name)
        gone, came = sorted(known - fresh), sorted(fresh - known)
        if table.primary_key is None:
            updates: list[FeedChange] = []
        else:
            key = column_names(product_of(node).fields)[table.primary_key]
            before = {_key(row, key): row for row in gone}
            pairs = ((before.get(_key(row, key)), row) for row in came)
            updates = [FeedChange(table.name, old, row) for old, row in pairs if old is not None]
        updated = {row for change in updates for row in (change.old, change.new)}
        return [
            *(FeedChange(table.name, row, None) for row in gone if row not in updated),
            *(FeedChange(table.name, None, row) for row in came if row not in updated),
            *updates,
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close what the feed is kept in."""

    @abstractmethod
    def _held_rows(self, table: str) -> set[str]:
        """The rows of a table that the feed adds up to."""

    @abstractmethod
    def _holds(self, table: str, row: str) -> bool:
        """Whether a row is among them."""

    @abstractmethod
    def _append(self, entry: Entry) -> None:
        """Write a transaction, whole or not at all."""


def _both(change: Change) -> tuple[Any, Any]:
    """The row before a change and the row after it."""
    match change:
        case Inserted(row):
            return None, row
        case Deleted(row):
            return row, None
        case Updated(old, new):
            return old, new


def _key(row: str, column: str) -> str:
    return json.dumps(json.loads(row)[column])
