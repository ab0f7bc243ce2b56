# What type checkers know of generated bindings: the SDK's own classes, with the types of one module filled in. While a
# program runs the same names stand for the SDK's classes themselves (typed.py), so nothing here has a body.

from collections.abc import Callable, Generator, Iterator, Sequence
from os import PathLike
from ssl import SSLContext
from typing import Any, Generic, Never, Protocol, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from spacetimedb_proto import cache
from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.cache import CachePolicy, Change
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Compression

from . import async_connection
from .async_connection import AsyncPending, AsyncStream, Connecting
from .bindings import context, functions, subscription, tables
from .bindings.generated import Bindings
from .bindings.listeners import Listener
from .bindings.unread import Overflow
from .sql import Condition, Field, Query
from .tabular import Rows
from .tokens import Token

_Row = TypeVar("_Row")
_Columns = TypeVar("_Columns")
_Value = TypeVar("_Value")
_Thing = TypeVar("_Thing")
_Context = TypeVar("_Context")
_Tables = TypeVar("_Tables")
_Reducers = TypeVar("_Reducers")
_Procedures = TypeVar("_Procedures")
_Connection_co = TypeVar("_Connection_co", bound=async_connection.Connection, covariant=True)
_Skip: TypeAlias = Callable[[DecodeError], object] | None

# --- rows and how they change -----------------------------------------------------------------------------------------

class TableChange(cache.TableChange, Generic[_Row]):
    def decode(self, row: bytes) -> _Row: ...
    def inserted(self, skip: _Skip = None) -> Iterator[_Row]: ...
    def deleted(self, skip: _Skip = None) -> Iterator[_Row]: ...
    def updated(self, skip: _Skip = None) -> Iterator[tuple[_Row, _Row]]: ...
    def __iter__(self) -> Iterator[Change[_Row]]: ...

# --- queries ----------------------------------------------------------------------------------------------------------

class RowQuery(Query, Generic[_Row]): ...

class Column(Field, Generic[_Value]):
    def __eq__(self, other: _Value | Column[_Value]) -> Condition: ...  # type: ignore[override]
    def __ne__(self, other: _Value | Column[_Value]) -> Condition: ...  # type: ignore[override]
    def __lt__(self, other: _Value | Column[_Value]) -> Condition: ...
    def __le__(self, other: _Value | Column[_Value]) -> Condition: ...
    def __gt__(self, other: _Value | Column[_Value]) -> Condition: ...
    def __ge__(self, other: _Value | Column[_Value]) -> Condition: ...

class TableQuery(Generic[_Row, _Columns]):
    def where(self, condition: Callable[[_Columns], Condition] | None = None) -> RowQuery[_Row]: ...

# --- tables -----------------------------------------------------------------------------------------------------------

class Table(tables.TableHandle, Generic[_Row, _Columns, _Context]):
    def __iter__(self) -> Iterator[_Row]: ...
    def where(self, condition: Callable[[_Columns], Condition] | None = None) -> RowQuery[_Row]: ...
    def on_insert(  # type: ignore[override]
        self, callback: Callable[[_Context, _Row], object]
    ) -> Listener[Callable[[_Context, _Row], object]]: ...
    def on_delete(  # type: ignore[override]
        self, callback: Callable[[_Context, _Row], object]
    ) -> Listener[Callable[[_Context, _Row], object]]: ...
    # Only a row with a primary key can be updated: see KeyedTable.
    def on_update(self, callback: Never) -> None: ...  # type: ignore[override]
    def on_changes(  # type: ignore[override]
        self, callback: Callable[[_Context, TableChange[_Row]], object]
    ) -> Listener[Callable[[_Context, TableChange[_Row]], object]]: ...
    def changes(self, *, buffer: int = ..., overflow: Overflow = "error") -> AsyncStream[Change[_Row]]: ...

class KeyedTable(Table[_Row, _Columns, _Context]):
    def on_update(  # type: ignore[override]
        self, callback: Callable[[_Context, _Row, _Row], object]
    ) -> Listener[Callable[[_Context, _Row, _Row], object]]: ...

# --- functions --------------------------------------------------------------------------------------------------------

class Reducer(functions.Reducer, Generic[_Context]):
    def on_outcome(  # type: ignore[override]
        self, callback: Callable[[_Context], object]
    ) -> Listener[Callable[[_Context], object]]: ...

Procedure = functions.Procedure

# --- the whole --------------------------------------------------------------------------------------------------------

# `conn.db`, `conn.reducers` and `conn.procedures`: things by the names in the server's schema. The generated subclass
# has those that can be an attribute; a name that it does not have is an error for the type checker.
class Things(Generic[_Thing]):
    def __getitem__(self, name: str) -> _Thing: ...
    def __iter__(self) -> Iterator[str]: ...
    def __contains__(self, name: object) -> bool: ...
    def __len__(self) -> int: ...

class Context(context.Context, Generic[_Tables, _Reducers, _Procedures]):
    @property
    def db(self) -> _Tables: ...  # type: ignore[override]
    @property
    def reducers(self) -> _Reducers: ...  # type: ignore[override]
    @property
    def procedures(self) -> _Procedures: ...  # type: ignore[override]

class Subscription(subscription.Subscription, Generic[_Context]):
    def on_applied(  # type: ignore[override]
        self, callback: Callable[[_Context], object]
    ) -> Listener[Callable[[_Context], object]]: ...
    def on_ended(  # type: ignore[override]
        self, callback: Callable[[_Context], object]
    ) -> Listener[Callable[[_Context], object]]: ...
    def unsubscribe(self, *, timeout: float | None = None) -> AsyncPending[None]: ...
    def replace(self, *queries: str, timeout: float | None = None) -> AsyncPending[Self]: ...
    def __await__(self) -> Generator[Any, Any, Self]: ...

class Connection(async_connection.Connection, Generic[_Context, _Tables, _Reducers, _Procedures]):
    @property
    def db(self) -> _Tables: ...  # type: ignore[override]
    @property
    def reducers(self) -> _Reducers: ...  # type: ignore[override]
    @property
    def procedures(self) -> _Procedures: ...  # type: ignore[override]
    def subscribe(
        self, *queries: str, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription[_Context]: ...
    def subscribe_to_all_tables(
        self, *, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription[_Context]: ...
    @overload
    def query(self, query: RowQuery[_Row], *, timeout: float | None = None) -> AsyncPending[Rows[_Row]]: ...
    @overload
    def query(self, query: str, *, timeout: float | None = None) -> AsyncPending[Rows[Any]]: ...
    def on_disconnect(  # type: ignore[override]
        self, callback: Callable[[_Context], object]
    ) -> Listener[Callable[[_Context], object]]: ...

# --- connecting -------------------------------------------------------------------------------------------------------

# What `connect()` takes by name; its docstring explains each.
class ConnectOptions(TypedDict, total=False):
    token: Token | None
    protocols: Sequence[str]
    compression: Compression | None
    light: bool
    confirmed: bool | None
    reconnect: Backoff | bool | None
    limits: Limits | None
    timeouts: Timeouts | None
    ssl: SSLContext | None
    record: str | PathLike[str] | None

# `connect` of a generated package: connects to a database that serves its module.
class Connect(Protocol[_Connection_co]):
    def __call__(self, uri: str, database: str, **options: Unpack[ConnectOptions]) -> Connecting[_Connection_co]: ...

# A generated package, for `connect(..., bindings=package)`.
class Package(Protocol[_Connection_co]):
    @property
    def BINDINGS(self) -> Bindings[_Connection_co]: ...  # noqa: N802 - a constant of the package
