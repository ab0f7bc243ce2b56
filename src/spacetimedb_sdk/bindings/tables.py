"""Tables and views as users see them: rows, lookups, callbacks, streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from spacetimedb_proto.cache import CachePolicy, Change, TableCache, TableChange
from spacetimedb_proto.errors import DecodeError, LocalProtocolError
from spacetimedb_proto.schema.model import Table

from ..sql import Condition, Fields, Query, select
from ..tabular import Held, Tabular
from .context import Context
from .finding import find_by
from .listeners import Listener, Listeners
from .names import Namespace
from .net import NetChanges, net_changes
from .streams import Stream, Streams
from .unread import DEFAULT_BUFFER, Overflow, unread_items

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Db", "ListenersNow", "TableHandle", "TableListeners", "UpdateCallback"]

F = TypeVar("F", bound=Callable[..., Any])

RowCallback: TypeAlias = Callable[[Context, Any], object]
UpdateCallback: TypeAlias = Callable[[Context, Any, Any], object]
ChangesCallback: TypeAlias = Callable[[Context, TableChange], object]


class TableListeners:
    """The callbacks and streams of one table.

    Attributes:
        skip: What to call with the error of a row that cannot be decoded.
    """

    __slots__ = ("changes", "delete", "insert", "skip", "streams", "update")

    def __init__(self, skip: Callable[[DecodeError], object]) -> None:
        self.skip = skip
        self.insert: Listeners[RowCallback] = Listeners()
        self.delete: Listeners[RowCallback] = Listeners()
        self.update: Listeners[UpdateCallback] = Listeners()
        self.changes: Listeners[ChangesCallback] = Listeners()
        self.streams: Streams[Change] = Streams()

    @property
    def are_many(self) -> bool:
        """Whether a row that is replaced means more than callbacks with the old row and the new one."""
        return bool(self.changes.callbacks or self.streams.references)

    def now(self) -> ListenersNow:
        """All of them as of now: what callbacks add or remove counts from the next event on."""
        return ListenersNow(
            self.insert.callbacks,
            self.delete.callbacks,
            self.update.callbacks,
            self.changes.callbacks,
            self.streams.now(),
            self.skip,
        )


class ListenersNow(NamedTuple):
    """The callbacks and streams of one table as of the beginning of an event."""

    insert: tuple[RowCallback, ...]
    delete: tuple[RowCallback, ...]
    update: tuple[UpdateCallback, ...]
    changes: tuple[ChangesCallback, ...]
    streams: tuple[Stream[Change], ...]
    skip: Callable[[DecodeError], object]


class TableHandle(Tabular):
    """A table or view: the rows that live subscriptions hold of it.

    While all live subscriptions to it were made with `cache="keys"` or `cache="none"` there are no rows to read, and
    reading raises `LocalProtocolError` rather than finding nothing.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._table: Table = engine.schema.tables[name]
        self._columns = {column.name: column.index for column in self._table.columns}
        attributes = engine.schema.row_codec(name).field_names
        self._columns |= {attribute: index for index, attribute in enumerate(attributes)}
        alone = {key[0]: self._cache.finder(key[0]) for key in self._table.unique_keys if len(key) == 1}
        self._finders = {column: alone[index] for column, index in self._columns.items() if index in alone}
        key = self._table.primary_key
        if key is not None:
            quick, check = self._as_one(alone[key]), self._as_one(partial(self._reading, ".find()"))
            vars(self)["find"] = find_by(attributes[key], quick, check, self.find)

    @property
    def name(self) -> str:
        """Its name in the server's schema, as SQL and logs have it."""
        return self._table.name

    @property
    def _cache(self) -> TableCache:
        return self._engine.session.cache.table(self._table.name)

    @property
    def _kept(self) -> CachePolicy:
        """What is kept of the rows; events are kept under no policy, so there is nothing to miss."""
        return "full" if self._table.is_event else self._engine.session.query_sets.kept(self._table.name)

    def _reading(self, what: str) -> TableCache:
        """The cached rows.

        Raises:
            LocalProtocolError: None are kept.
        """
        kept = self._kept
        if kept == "full":
            return self._cache
        raise LocalProtocolError(
            f"{self.name}{what}: expected a live subscription with cache='full', got none that keeps more than "
            f"cache={kept!r}: listen to changes, ask with query(), or subscribe with cache='full'"
        )

    def _as_one(self, act: F) -> F:
        """Something that must be one with whatever else is done with the rows. Hosts with threads see to that."""
        return act

    # --- rows ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        """The rows as of now; changes during the iteration do not touch it."""
        return iter(self._reading(": rows"))

    def __len__(self) -> int:
        return self._count(": len()")

    def count(self) -> int:
        """How many distinct rows there are. Needs no more than their keys (`cache="keys"`)."""
        return self._count(".count()")

    def _count(self, what: str) -> int:
        return self._cache.lean_count if self._kept == "keys" else len(self._reading(what))

    def keys(self) -> list[Any]:
        """The primary keys of the rows there are, in no particular order. Needs no more than `cache="keys"`.

        Raises:
            LocalProtocolError: The table has no primary key, or not even keys are kept (`cache="none"`).
        """
        if self._table.primary_key is None:
            raise LocalProtocolError(f"{self.name}.keys(): expected a table with a primary key, {self.name} has none")
        return self._cache.lean_keys() if self._kept == "keys" else self._reading(".keys()").primary_keys()

    def held(self, what: str) -> Held:
        """The rows as of now, for those who make something else of them; raises as `to_arrow`."""
        lists, schema = self._reading(what).row_lists(), self._engine.schema
        return Held(schema.types.node(self._table.row), lists=lists, codec=schema.row_codec(self._table.name))

    def __contains__(self, row: object) -> bool:
        return any(row == other for other in self)

    def find(self, /, *args: Any, **columns: Any) -> Any:
        """The row with this value in a unique column, or with these values in the columns of a unique constraint.

        Values of other columns beside them are compared, too.

        Returns:
            The row, or None.

        Raises:
            LocalProtocolError: The columns are not unique: use `filter`.
            EncodeError: A value is not one that its column could hold.
            TypeError: There is no such column, or a value is given without one.
        """
        if not args and len(columns) == 1:
            (name,) = columns
            finder = self._finders.get(name)
            if finder is not None:
                found = finder(columns[name])
                if found is None:
                    self._reading(".find()")  # so that "none" is not said of rows that nobody keeps
                return found
        values = self._values("find", args, columns)
        if not any(values.keys() >= set(key) for key in self._table.unique_keys):
            unique = ", ".join("+".join(self._table.columns[i].name for i in key) for key in self._table.unique_keys)
            raise LocalProtocolError(
                f"{self.name}.find(): expected unique columns ({unique or 'there are none'}), "
                f"got {', '.join(columns) or 'none'}; filter() takes any"
            )
        return next(self._reading(".find()").select(values), None)

    def filter(self, /, *args: Any, **columns: Any) -> Iterator[Any]:
        """The rows with these values, through an index where one covers some of the columns.

        Raises:
            EncodeError: A value is not one that its column could hold.
            TypeError: There is no such column, or a value is given without one.
        """
        return self._reading(".filter()").select(self._values("filter", args, columns))

    def _values(self, method: str, args: tuple[Any, ...], columns: dict[str, Any]) -> dict[int, Any]:
        if args:
            column = self._table.columns[0].name if self._table.columns else "column"
            raise TypeError(f"{self.name}.{method}() takes values by column, as in {method}({column}=...)")
        unknown = [name for name in columns if name not in self._columns]
        if unknown:
            known = ", ".join(column.name for column in self._table.columns)
            raise TypeError(f"{self.name}.{method}() got an unexpected column {unknown[0]!r}; there are: {known}")
        return {self._columns[name]: value for name, value in columns.items()}

    def where(self, condition: Callable[[Any], Condition] | None = None) -> Query:
        """The query for these rows: `db.player.where(lambda p: (p.level > 3) & (p.name == name))`.

        Values are quoted as the server parses them. Without a condition: all rows.

        Raises:
            EncodeError: When compared: a value is not one that its column could hold, or SQL has no literal for it.
        """
        names = {name: self._table.columns[index].name for name, index in self._columns.items()}
        codec = self._engine.schema.row_codec(self.name)
        # Of special types SQL takes texts, too, which say what they are only to the server.
        plain = {name: codec.column(index) for name, index in self._columns.items()}
        checks = {name: column.encode for name, column in plain.items() if column.is_number}
        return select(self.name, Fields(self.name, names, checks), condition)

    # --- listening ----------------------------------------------------------------------------------------------------

    def on_insert(self, callback: RowCallback) -> Listener[RowCallback]:
        """Call `callback(ctx, row)` for each row that appears; of an event table, for each event. Also a decorator."""
        return self._engine.listeners_of(self.name).insert.add(callback)

    def on_delete(self, callback: RowCallback) -> Listener[RowCallback]:
        """Call `callback(ctx, row)` for each row that leaves. Also a decorator."""
        return self._engine.listeners_of(self.name).delete.add(callback)

    def on_update(self, callback: UpdateCallback) -> Listener[UpdateCallback]:
        """Call `callback(ctx, old, new)` for each row replaced under its primary key. Also a decorator.

        Raises:
            LocalProtocolError: The table has no primary key, so there are only inserts and deletes.
        """
        if self._table.primary_key is None or self._table.is_event:
            event = self._table.is_event
            why = "is an event table" if event else "has no primary key"
            other = "on_insert" if event else "on_insert and on_delete"
            raise LocalProtocolError(f"{self.name} {why}, so its rows are never updated: use {other}")
        return self._engine.listeners_of(self.name).update.add(callback)

    def on_changes(self, callback: ChangesCallback) -> Listener[ChangesCallback]:
        """Call `callback(ctx, changes)` once for each event that changes this table. Also a decorator."""
        return self._engine.listeners_of(self.name).changes.add(callback)

    def changes(self, *, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error") -> Any:
        """Record `Inserted`, `Updated` and `Deleted` from now on, as a stream that the host's users can read.

        Args:
            buffer: Changes that the consumer may be behind.
            overflow: What happens when it is further behind. `"error"`: the stream ends with `StreamOverflow` after
                what was recorded. `"drop_old"`: the oldest change is dropped. `"coalesce"`: changes of the same row,
                which is of the same primary key where a table has one, are merged until the consumer has caught up;
                whoever applies them to a copy still ends with the true table.

        Raises:
            ConnectionLost: The connection is over.
            LocalProtocolError: There is no such buffer or overflow, or the table is an event table and cannot coalesce.
        """
        what = f"{self.name}.changes()"
        streams = self._engine.listeners_of(self.name).streams
        stream = self._engine.host.stream(
            what, streams.discard, unread_items(what, buffer, overflow, self._net_changes)
        )
        streams.add(stream)
        self._engine.check_open(what)  # last, so that a stream that nobody will end is not handed out
        return stream

    def _net_changes(self) -> NetChanges:
        if self._table.is_event:
            raise LocalProtocolError(
                f"{self.name}.changes(): overflow='coalesce' needs rows that stay or leave, {self.name} is an event "
                "table and no event makes up for another: use 'error' or 'drop_old'"
            )
        return net_changes(self._engine.schema, self._table)

    def __repr__(self) -> str:
        return f"<table {self.name}: {'rows are not kept' if self._kept == 'none' else f'{len(self)} rows'}>"


Db: TypeAlias = Namespace[TableHandle]
