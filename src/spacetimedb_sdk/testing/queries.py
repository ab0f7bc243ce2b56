"""Queries that know their tables: which rows they hold, and what a transaction changes in that.

Results are bags: in a join a row is there once for each row that it meets. Texts of refusals are the real server's.
Nothing here knows clients.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.schema.definitions import Table
from spacetimedb_proto.schema.model import Schema

from .expressions import Compiler, Environment, always
from .sql import Join, Name, Select, SqlError, Star, parse
from .storage import Changes, Rows, RowSource

__all__ = [
    "JoinQuery",
    "Query",
    "check_length",
    "compile_query",
    "compile_select",
    "compile_subscription",
    "find_table",
]

MAX_QUERY: Final = 50_000
"""Bytes of a query (protocol reference, 2.6)."""

_ALL_TABLES: Final = re.compile(r"\s*SELECT\s+\*\s+FROM\s+\*\s*", re.IGNORECASE)

Delta: TypeAlias = tuple[Sequence[bytes], Sequence[bytes]]
"""Rows that entered and left a result, a bag each."""

_NOTHING: Final = Changes({}, {})


@attrs.frozen(eq=False)
class Query:
    """A query of one table, which can be asked again and again.

    Attributes:
        text: As the client wrote it.
        table: Whose rows are its result.
        matches: Whether a row, or in a join a pair of rows, is in its result.
    """

    text: str
    table: Table
    matches: Callable[[Environment], bool]

    @property
    def sources(self) -> tuple[Table, ...]:
        """The tables that it reads."""
        return (self.table,)

    def environments(self, storage: RowSource) -> Iterator[Environment]:
        """What is in its result now, for expressions to be evaluated for."""
        return (row for row in storage.tables[self.table.name].rows.values() if self.matches(row))

    def rows(self, storage: RowSource) -> list[bytes]:
        """The rows of its result now."""
        return self._matching(storage.tables[self.table.name].rows)

    def changed(self, storage: RowSource, changes: Mapping[str, Changes]) -> Delta:  # noqa: ARG002 - for joins
        """What a transaction changed in its result.

        Args:
            storage: As it is after the transaction.
            changes: What the transaction did, by table.
        """
        change = changes.get(self.table.name, _NOTHING)
        return self._matching(change.inserts), self._matching(change.deletes)

    def _matching(self, rows: Rows) -> list[bytes]:
        return [data for data, row in rows.items() if self.matches(row)]


@attrs.frozen(eq=False)
class JoinQuery(Query):
    """A query of the rows of one table that meet rows of another.

    Attributes:
        pair: Both tables, in the order of the FROM clause.
        columns: Which column of the one has to equal which of the other, or None for all pairs.
        side: Which of the pair the result is of, 0 or 1.
    """

    pair: tuple[Table, Table]
    columns: tuple[int, int] | None
    side: int

    @property
    def sources(self) -> tuple[Table, ...]:
        """The tables that it reads."""
        return self.pair

    def environments(self, storage: RowSource) -> Iterator[Environment]:
        """The pairs of rows that meet now."""
        left = storage.tables[self.pair[0].name].rows
        return ((row, other) for row in left.values() for _, other in self._meeting(storage, 0, row))

    def rows(self, storage: RowSource) -> list[bytes]:
        """The rows of its result now, each once for every row that it meets."""
        mine = storage.tables[self.table.name].rows
        return [data for data, row in mine.items() for _ in self._meeting(storage, self.side, row)]

    def changed(self, storage: RowSource, changes: Mapping[str, Changes]) -> Delta:
        """What a transaction changed in its result, net: a row that met one row and now meets another is the same."""
        if self.table.is_event:
            events = changes.get(self.table.name, _NOTHING).inserts
            return [data for data, row in events.items() for _ in self._meeting(storage, self.side, row)], []
        mine = _signed(changes.get(self.pair[self.side].name, _NOTHING))
        theirs = _signed(changes.get(self.pair[1 - self.side].name, _NOTHING))
        counts: Counter[bytes] = Counter()
        # With A and B as they are now, and a and b what was added less what was taken away:
        # AB - (A - a)(B - b) = aB + Ab - ab.
        for data, row, sign in mine:
            counts[data] += sign * sum(1 for _ in self._meeting(storage, self.side, row))
            counts[data] -= sign * sum(
                other_sign for _, other, other_sign in theirs if self._meets(storage, row, other)
            )
        for _, other, sign in theirs:
            for data, _ in self._meeting(storage, 1 - self.side, other):
                counts[data] += sign
        return list(counts.elements()), list((-counts).elements())

    def _meeting(self, storage: RowSource, side: int, row: Environment) -> Iterator[tuple[bytes, Environment]]:
        """The rows of the other side that a row of this side meets now."""
        others = storage.tables[self.pair[1 - side].name]
        candidates: Rows = others.rows
        if self.columns is not None:
            key = storage.tables[self.pair[side].name].key(self.columns[side], row)
            candidates = others.having(self.columns[1 - side], key)
        for data, other in candidates.items():
            if self.matches((row, other) if side == 0 else (other, row)):
                yield data, other

    def _meets(self, storage: RowSource, row: Environment, other: Environment) -> bool:
        """Whether a row of the result's side meets one of the other side; they need not be there now."""
        mine, theirs = (storage.tables[self.pair[side].name] for side in (self.side, 1 - self.side))
        if self.columns is not None:
            key = mine.key(self.columns[self.side], row)
            if theirs.key(self.columns[1 - self.side], other) != key:
                return False
        return self.matches((row, other) if self.side == 0 else (other, row))


def _signed(change: Changes) -> list[tuple[bytes, Environment, int]]:
    added = [(data, row, 1) for data, row in change.inserts.items()]
    return added + [(data, row, -1) for data, row in change.deletes.items()]


# --- from text --------------------------------------------------------------------------------------------------------


def compile_subscription(text: str, schema: Schema, sender: Identity, *, sees_all: bool = False) -> list[Query]:
    """The queries that a string of a subscription stands for: one, or for `SELECT * FROM *` one for each table.

    Args:
        text: SQL.
        schema: The module's.
        sender: Who asks.
        sees_all: Whether private tables are there for whoever asks, as they are for a database's owner.

    Raises:
        SqlError: The server refuses it; the text names the query.
    """
    if not text.strip():
        raise SqlError(f"SubscriptionError: Empty string, executing: `{text}`")
    try:
        if _ALL_TABLES.fullmatch(text):
            tables = [table for table in schema.tables.values() if table.is_public and not table.is_event]
            return [Query(text, table, always) for table in tables]
        query = compile_query(text, schema, sender, sees_all=sees_all)
        if isinstance(query, JoinQuery):
            _check_indexes(query)
    except SqlError as error:
        raise SqlError(f"{error}, executing: `{text}`") from error
    else:
        return [query]


def compile_query(text: str, schema: Schema, sender: Identity, *, sees_all: bool = False) -> Query:
    """A one-off query; arguments and errors are those of `compile_subscription`, without the query in the text."""
    check_length(text)
    return compile_select(text, parse(text), schema, sender, sees_all=sees_all)[0]


def check_length(text: str) -> None:
    """See that a text is no longer than the server takes."""
    if len(text.encode("utf-8", errors="replace")) > MAX_QUERY:
        raise SqlError(f'SQL query exceeds maximum allowed length: "{text[:120]}..."')


def compile_select(
    text: str, select: Select, schema: Schema, sender: Identity, *, sees_all: bool = False, rows_only: bool = True
) -> tuple[Query, Compiler]:
    """A query from its tree, and what compiles more expressions about its tables.

    Args:
        text: What it was read from.
        select: What was read.
        schema: The module's.
        sender: Who asks.
        sees_all: Whether private tables are there for whoever asks.
        rows_only: Whether its result has to be the rows of one table. If not, it may be columns or a number, which are
            for the caller to make; the result's table then is the first.

    Raises:
        SqlError: The server refuses it.
    """
    if len(select.joins) > 1:
        raise SqlError("joins of more than two tables are not supported by the testing server")
    sources = [select.source, *(join.source for join in select.joins)]
    tables: dict[str, Table] = {}
    for source in sources:
        if source.alias in tables:
            raise SqlError(f"Duplicate name `{source.alias}`")
        tables[source.alias] = find_table(schema, source.table, sees_all=sees_all)
    compiler = Compiler(schema, tables, sender)
    columns = _join_columns(compiler, list(tables), select.joins)
    matches = compiler.condition(select.where)
    side = _side(select, list(tables), rows_only=rows_only)
    if not select.joins:
        return Query(text, tables[sources[0].alias], matches), compiler
    first, second = tables.values()
    return JoinQuery(text, (first, second)[side], matches, (first, second), columns, side), compiler


def find_table(schema: Schema, name: str, *, sees_all: bool = False) -> Table:
    """The table that a query names.

    Raises:
        SqlError: There is none for whoever asks.
    """
    table = schema.resolve_table(name)
    if table is None or not (table.is_public or sees_all):
        raise SqlError(f"no such table: `{name}`. If the table exists, it may be marked private.")
    return table


def _join_columns(compiler: Compiler, aliases: list[str], joins: Sequence[Join]) -> tuple[int, int] | None:
    """The columns that have to be equal, in the order of the tables."""
    on = joins[0].on if joins else None
    if on is None:
        return None
    compiler.condition(on)  # which refuses what cannot be compared
    assert isinstance(on.left, Name)
    assert isinstance(on.right, Name)
    found = sorted((aliases.index(alias), column.index) for alias, column in map(compiler.find, (on.left, on.right)))
    if [position for position, _ in found] != [0, 1]:
        raise SqlError("joins on columns of one table are not supported by the testing server")
    return found[0][1], found[1][1]


def _side(select: Select, aliases: list[str], *, rows_only: bool) -> int:
    """Which table's rows the result is."""
    if not isinstance(select.projection, Star):
        if rows_only:
            raise SqlError(
                "Column projections are not supported in subscriptions; Subscriptions must return a table type"
            )
        return 0
    star = select.projection.table
    if star is None and select.joins:
        raise SqlError("SELECT * is not supported for joins")
    if star is not None and star not in aliases:
        raise SqlError(f"`{star}` is not in scope")
    return 0 if star is None else aliases.index(star)


def _check_indexes(query: JoinQuery) -> None:
    """Subscriptions look rows of one table up by those of the other, never in an event table."""
    searched = [side for side in (0, 1) if not query.pair[side].is_event]
    if not query.table.is_event and len(searched) < 2:
        raise SqlError("Event tables cannot be used as the lookup table in subscription joins")
    columns = query.columns
    if columns is None or not any(_is_indexed(query.pair[side], columns[side]) for side in searched):
        raise SqlError("Subscriptions require indexes on join columns")


def _is_indexed(table: Table, column: int) -> bool:
    """The key of a view counts, though the schema has no index for it."""
    if table.is_view:
        return table.primary_key == column
    return any(index.columns == (column,) for index in table.indexes)
