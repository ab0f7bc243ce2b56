"""The rows that a connection's query sets hold, table by table, and the one place where a message changes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Final

from ..schema.model import Schema
from ..steps import Steps, finish
from ..wire.messages import EventTableRows, QueryRows, TableUpdate
from ..wire.rowlist import RowList
from .changes import Changes
from .few import FewPlan
from .lean import CachePolicy
from .memory import TableMemory
from .planning import Delta, LeanDelta, Plan
from .renewal import Renewal
from .shortening import Shortener
from .table import TableCache

__all__ = ["Cache", "Deltas"]

_ALL_FULL: Final[Mapping[int, CachePolicy]] = {}


class Deltas:
    """What one message says about each table, collected before anything is checked or changed.

    All lists of all query sets come together first: a row that moves between two queries, or a new version of it that
    another query delivers, must meet its counterpart (protocol reference, trap 35).

    Args:
        lean: Policies of the query sets that do not store their rows.
    """

    def __init__(self, lean: Mapping[int, CachePolicy] = _ALL_FULL) -> None:
        self.tables: dict[str, Delta] = {}
        self._lean = lean

    def _of(self, table: str) -> Delta:
        found = self.tables.get(table)
        if found is None:
            found = self.tables[table] = Delta()
        return found

    def _lean_of(self, table: str) -> LeanDelta:
        delta = self._of(table)
        if delta.lean is None:
            delta.lean = LeanDelta()
        return delta.lean

    def insert(self, query_set: int, rows: QueryRows, distinct: Container[str] = ()) -> None:
        """Add the rows of a snapshot. `distinct` are tables of which it is known to hold no row twice."""
        for part in rows.tables:
            delta = self._of(part.table)
            delta.is_distinct = part.table in distinct and not delta.inserts and delta.lean is None
            if query_set in self._lean:
                self._lean_of(part.table).inserts.append((self._keeper(query_set), part.rows))
            else:
                delta.inserts.append((query_set, part.rows))

    def delete(self, query_set: int, rows: QueryRows) -> None:
        """Take away rows that a query set gives up."""
        for part in rows.tables:
            self._of(part.table).deletes.append((query_set, part.rows))

    def drop(self, query_set: int, tables: Iterable[str]) -> None:
        """Take away whatever else a query set holds in any table."""
        for table in tables:
            if query_set not in self._lean:
                self._of(table).dropped.append(query_set)
            elif self._keeper(query_set) is not None:
                self._lean_of(table).forgotten.append(query_set)

    def update(self, query_set: int, tables: Iterable[TableUpdate]) -> None:
        """Add what a transaction changed for one query set."""
        for table in tables:
            delta = self._of(table.table_name)
            for part in table.rows:
                if isinstance(part, EventTableRows):
                    delta.events.append(part.events)
                elif query_set in self._lean:
                    lean = self._lean_of(table.table_name)
                    lean.inserts.append((self._keeper(query_set), part.inserts))
                    lean.deletes.append((self._keeper(query_set), part.deletes))
                else:
                    delta.inserts.append((query_set, part.inserts))
                    delta.deletes.append((query_set, part.deletes))

    def absorb(self, later: Deltas) -> None:
        """Add what a later message says, as if both had been one."""
        for name, delta in later.tables.items():
            self._of(name).absorb(delta)

    def mention(self, tables: Iterable[str]) -> None:
        """Have these tables in the message, even if it says nothing about them."""
        for table in tables:
            self._of(table)

    def _keeper(self, query_set: int) -> int | None:
        """The lean query set itself if keys are kept for it."""
        return query_set if self._lean[query_set] == "keys" else None


class Cache(Mapping[str, TableCache]):
    """All tables and views of a module by name, empty ones included."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._tables: dict[str, TableCache] = {}
        self._grown: Mapping[str, Shortener] = {}

    def table(self, name: str) -> TableCache:
        """The cached rows of a table or view.

        Raises:
            KeyError: The schema knows no such table.
        """
        found = self._tables.get(name)
        if found is None:
            found = TableCache(self._schema.tables[name], self._schema.row_codec(name))
            self._tables[name] = found
        return found

    __getitem__ = table

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema.tables)

    def __len__(self) -> int:
        return len(self._schema.tables)

    def touched(self) -> list[str]:
        """Names of the tables that any message or reader has asked for: the only ones that can hold rows."""
        return list(self._tables)

    def shorten(self, grown: Iterable[str]) -> None:
        """From now on, cut off what is behind the known columns in rows of these tables, and in no others."""
        self._grown = {name: Shortener(name, self._schema.row_codec(name)) for name in grown}

    @property
    def grown(self) -> Collection[str]:
        """The tables whose rows come with more columns than are known."""
        return self._grown.keys()

    def known_part(self, table: str, rows: RowList) -> Steps[RowList]:
        """Rows of a table without columns that are not known; raises `RemoteProtocolError` if they cannot be cut."""
        return (yield from self._grown[table].rows(rows)) if table in self._grown else rows

    def memory(self) -> tuple[TableMemory, ...]:
        """What each table holds that any message or reader has asked for, by name."""
        return tuple(self._tables[name].memory() for name in sorted(self._tables))

    def apply(self, deltas: Deltas) -> Changes:
        """Apply one message, wholly or not at all, and at once; raises as `applying`."""
        return finish(self.applying(deltas))

    def applying(self, deltas: Deltas) -> Steps[Changes]:
        """Apply one message, wholly or not at all, in steps. Whoever reads between them finds all tables as before.

        Rows of tables that the schema does not know are left out and named in the result, so that a table added to a
        running module does not end the sessions of older clients.

        Raises:
            RemoteProtocolError: A part of the message contradicts what is there; nothing has changed.
        """
        if self._grown:
            yield from self._shortening(deltas)
        done = self._apply_few(deltas)
        return (yield from self._carrying_out(deltas, TableCache.planning)) if done is None else done

    def renewing(self, deltas: Deltas) -> Steps[Changes]:
        """As `applying`, for a message that says all there is: whatever else any table holds goes.

        So it is after a link was lost: what the next one delivers takes the place of what the last one did, and the
        changes are what is different (protocol reference, 8).
        """
        if self._grown:
            yield from self._shortening(deltas)
        deltas.mention(self._tables)
        return (yield from self._carrying_out(deltas, TableCache.renewing))

    def _shortening(self, deltas: Deltas) -> Steps[None]:
        for name in self._grown.keys() & deltas.tables.keys():
            yield from self._grown[name].delta(deltas.tables[name])

    def _carrying_out(
        self, deltas: Deltas, planning: Callable[[TableCache, Delta], Steps[Plan] | Steps[Plan | Renewal]]
    ) -> Steps[Changes]:
        known = {name: delta for name, delta in deltas.tables.items() if name in self._schema.tables}
        plans: list[tuple[TableCache, Plan | Renewal]] = []
        for name, delta in known.items():
            table = self.table(name)
            plans.append((table, (yield from planning(table, delta))))
        changes = {table.name: table.commit(plan) for table, plan in plans}
        for table, plan in plans:
            if isinstance(plan, Plan) and not plan.snapshots:
                yield from table.settling()
        return Changes(changes, tuple(name for name in deltas.tables if name not in known))

    def _apply_few(self, deltas: Deltas) -> Changes | None:
        """Apply a message of few rows at once; None if it takes more than that, and then nothing has happened."""
        plans: list[tuple[TableCache, FewPlan]] = []
        for name, delta in deltas.tables.items():
            table = self._tables.get(name)
            plan = None if table is None else table.plan_few(delta)
            if table is None or plan is None:
                return None
            plans.append((table, plan))
        return Changes({table.name: table.commit_few(plan) for table, plan in plans})
