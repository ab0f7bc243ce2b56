# What type checkers know of generated bindings: the SDK's own classes, with the types of one module filled in. While a
# program runs the same names stand for the SDK's classes themselves (typed.py), so nothing here has a body.

from collections.abc import Callable, Generator, Iterator, Sequence
from os import PathLike
from ssl import SSLContext
from typing import (
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from typing_extensions import TypeVar as TypeVarWithDefault

from spacetimedb_proto import cache
from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.cache import CachePolicy, Change
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.events import ReducerEvent
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Compression

from . import async_connection, blocking_connection, frame
from .async_connection import AsyncPending, AsyncStream, Connecting
from .bindings import connection, context, functions, subscription, tables
from .bindings.generated import Bindings
from .bindings.listeners import Listener
from .bindings.pending import Pending
from .bindings.streams import Stream
from .bindings.unread import Overflow
from .blocking_host import BlockingPending, BlockingStream
from .frame_scripts import FramePending, FrameStream
from .sql import Condition, Field, Query
from .tabular import Rows
from .tokens import Token

_Row = TypeVar("_Row")
_Columns = TypeVar("_Columns")
_Value = TypeVar("_Value")
_Thing = TypeVar("_Thing")
_Context = TypeVar("_Context")
_Context_co = TypeVar("_Context_co", covariant=True)
_Outcome_co = TypeVar("_Outcome_co", covariant=True)
_Tables_co = TypeVar("_Tables_co", covariant=True)
_Reducers_co = TypeVar("_Reducers_co", covariant=True)
_Procedures_co = TypeVar("_Procedures_co", covariant=True)
_Connection_co = TypeVar("_Connection_co", bound=async_connection.Connection, covariant=True)
_BlockingConnection_co = TypeVar("_BlockingConnection_co", bound=blocking_connection.Connection, covariant=True)
_FrameConnection_co = TypeVar("_FrameConnection_co", bound=frame.Connection, covariant=True)
_Params = ParamSpec("_Params")
_Skip: TypeAlias = Callable[[DecodeError], object] | None

# --- hosts ------------------------------------------------------------------------------------------------------------

# What drives a connection decides what its calls and streams are. These stand for that in types; there are no such
# classes while a program runs. A callback that any host may call gets a context of `Told`.
class Host: ...
class Blocking(Host): ...
class Told(Host): ...  # where nothing blocks, as in all callbacks: calls are outcomes to come
class Awaiting(Told): ...
class InCallback(Told): ...  # of a connection that blocks
class Ticking(Told): ...

Host_co = TypeVarWithDefault("Host_co", bound=Host, covariant=True, default=Host)  # noqa: PYI001 - packages use it
Told_co = TypeVarWithDefault("Told_co", bound=Told, covariant=True, default=Told)  # noqa: PYI001 - as above

class OnHost(Generic[Host_co]): ...

# A method of what a connection has, written with what comes of it; its host makes that something to wait for.
class call(Generic[_Params, _Value]):  # noqa: N801 - a decorator
    def __init__(self, method: Callable[Concatenate[Any, _Params], _Value]) -> None: ...
    @overload
    def __get__(self, instance: OnHost[Awaiting], owner: object) -> Callable[_Params, AsyncPending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Blocking], owner: object) -> Callable[_Params, _Value]: ...
    @overload
    def __get__(self, instance: OnHost[InCallback], owner: object) -> Callable[_Params, BlockingPending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Ticking], owner: object) -> Callable[_Params, FramePending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Told], owner: object) -> Callable[_Params, Pending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Host], owner: object) -> Callable[_Params, _Value | Pending[_Value]]: ...

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

class Table(tables.TableHandle, OnHost[Told_co], Generic[_Row, _Columns, _Context_co, Told_co]):
    def __iter__(self) -> Iterator[_Row]: ...
    def where(self, condition: Callable[[_Columns], Condition] | None = None) -> RowQuery[_Row]: ...
    def on_insert(  # type: ignore[override]
        self, callback: Callable[[_Context_co, _Row], object]
    ) -> Listener[Callable[[_Context_co, _Row], object]]: ...
    def on_delete(  # type: ignore[override]
        self, callback: Callable[[_Context_co, _Row], object]
    ) -> Listener[Callable[[_Context_co, _Row], object]]: ...
    # Only a row with a primary key can be updated: see KeyedTable.
    def on_update(self, callback: Never) -> None: ...  # type: ignore[override]
    def on_changes(  # type: ignore[override]
        self, callback: Callable[[_Context_co, TableChange[_Row]], object]
    ) -> Listener[Callable[[_Context_co, TableChange[_Row]], object]]: ...
    @overload
    def changes(
        self: Table[_Row, Any, Any, Awaiting], *, buffer: int = ..., overflow: Overflow = ...
    ) -> AsyncStream[Change[_Row]]: ...
    @overload
    def changes(
        self: Table[_Row, Any, Any, InCallback], *, buffer: int = ..., overflow: Overflow = ...
    ) -> BlockingStream[Change[_Row]]: ...
    @overload
    def changes(
        self: Table[_Row, Any, Any, Ticking], *, buffer: int = ..., overflow: Overflow = ...
    ) -> FrameStream[Change[_Row]]: ...
    @overload
    def changes(self, *, buffer: int = ..., overflow: Overflow = ...) -> Stream[Change[_Row]]: ...

class KeyedTable(Table[_Row, _Columns, _Context_co, Told_co]):
    def on_update(  # type: ignore[override]
        self, callback: Callable[[_Context_co, _Row, _Row], object]
    ) -> Listener[Callable[[_Context_co, _Row, _Row], object]]: ...

# --- functions --------------------------------------------------------------------------------------------------------

# Calls are methods of these, so that checkers take a reducer wherever they take a function of its parameters.
class Reducer(functions.Reducer, Generic[_Params, _Context_co, _Outcome_co]):
    def __call__(self, *args: _Params.args, **kwargs: _Params.kwargs) -> _Outcome_co: ...
    def on_outcome(  # type: ignore[override]
        self, callback: Callable[[_Context_co], object]
    ) -> Listener[Callable[[_Context_co], object]]: ...

class Procedure(functions.Procedure, Generic[_Params, _Outcome_co]):
    def __call__(self, *args: _Params.args, **kwargs: _Params.kwargs) -> _Outcome_co: ...

# A package writes a function of the server as a method that returns what comes of it. It is an attribute: something to
# be called with the method's parameters, for that outcome as the connection's host has it.
class reducer(Generic[_Params]):  # noqa: N801 - a decorator
    def __init__(self, method: Callable[Concatenate[Any, _Params], ReducerEvent]) -> None: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, Awaiting], owner: object
    ) -> Reducer[_Params, _Context, AsyncPending[ReducerEvent]]: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, Blocking], owner: object
    ) -> Reducer[_Params, _Context, ReducerEvent]: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, InCallback], owner: object
    ) -> Reducer[_Params, _Context, BlockingPending[ReducerEvent]]: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, Ticking], owner: object
    ) -> Reducer[_Params, _Context, FramePending[ReducerEvent]]: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, Told], owner: object
    ) -> Reducer[_Params, _Context, Pending[ReducerEvent]]: ...
    @overload
    def __get__(
        self, instance: Reducers[_Context, Host], owner: object
    ) -> Reducer[_Params, _Context, ReducerEvent | Pending[ReducerEvent]]: ...

class procedure(Generic[_Params, _Value]):  # noqa: N801 - a decorator
    def __init__(self, method: Callable[Concatenate[Any, _Params], _Value]) -> None: ...
    @overload
    def __get__(self, instance: OnHost[Awaiting], owner: object) -> Procedure[_Params, AsyncPending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Blocking], owner: object) -> Procedure[_Params, _Value]: ...
    @overload
    def __get__(self, instance: OnHost[InCallback], owner: object) -> Procedure[_Params, BlockingPending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Ticking], owner: object) -> Procedure[_Params, FramePending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Told], owner: object) -> Procedure[_Params, Pending[_Value]]: ...
    @overload
    def __get__(self, instance: OnHost[Host], owner: object) -> Procedure[_Params, _Value | Pending[_Value]]: ...

# --- the whole --------------------------------------------------------------------------------------------------------

# `conn.db`, `conn.reducers` and `conn.procedures`: things by the names in the server's schema. The generated subclass
# has those that can be an attribute; a name that it does not have is an error for the type checker.
class Things(Generic[_Thing]):
    def __getitem__(self, name: str) -> _Thing: ...
    def __iter__(self) -> Iterator[str]: ...
    def __contains__(self, name: object) -> bool: ...
    def __len__(self) -> int: ...

class Reducers(Things[functions.Reducer], OnHost[Host_co], Generic[_Context_co, Host_co]): ...
class Procedures(Things[functions.Procedure], OnHost[Host_co], Generic[Host_co]): ...

class Context(context.Context, Generic[_Tables_co, _Reducers_co, _Procedures_co]):
    @property
    def db(self) -> _Tables_co: ...  # type: ignore[override]
    @property
    def reducers(self) -> _Reducers_co: ...  # type: ignore[override]
    @property
    def procedures(self) -> _Procedures_co: ...  # type: ignore[override]

class Subscription(subscription.Subscription, OnHost[Host_co], Generic[_Context_co, Host_co]):
    def on_applied(  # type: ignore[override]
        self, callback: Callable[[_Context_co], object]
    ) -> Listener[Callable[[_Context_co], object]]: ...
    def on_ended(  # type: ignore[override]
        self, callback: Callable[[_Context_co], object]
    ) -> Listener[Callable[[_Context_co], object]]: ...
    @call
    def unsubscribe(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, timeout: float | None = None
    ) -> None: ...
    @call
    def replace(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *queries: str, timeout: float | None = None
    ) -> Subscription[_Context_co, Host_co]: ...
    def __await__(self) -> Generator[Any, Any, Self]: ...

# What the connections of all hosts have in common. It narrows what they have from their common base, which pyright,
# other than mypy, says of each of them again.
class _Connected(
    connection.BaseConnection,
    OnHost[Host_co],
    Generic[_Context_co, _Tables_co, _Reducers_co, _Procedures_co, Host_co],
):
    @property
    def db(self) -> _Tables_co: ...  # type: ignore[override]
    @property
    def reducers(self) -> _Reducers_co: ...  # type: ignore[override]
    @property
    def procedures(self) -> _Procedures_co: ...  # type: ignore[override]
    def subscribe(
        self, *queries: str, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription[_Context_co, Host_co]: ...
    def subscribe_to_all_tables(
        self, *, cache: CachePolicy = "full", timeout: float | None = None
    ) -> Subscription[_Context_co, Host_co]: ...
    def on_disconnect(  # type: ignore[override]
        self, callback: Callable[[_Context_co], object]
    ) -> Listener[Callable[[_Context_co], object]]: ...

class Connection(  # pyright: ignore[reportIncompatibleMethodOverride]
    _Connected[_Context_co, _Tables_co, _Reducers_co, _Procedures_co, Awaiting], async_connection.Connection
):
    @overload
    def query(self, query: RowQuery[_Row], *, timeout: float | None = None) -> AsyncPending[Rows[_Row]]: ...
    @overload
    def query(self, query: str, *, timeout: float | None = None) -> AsyncPending[Rows[Any]]: ...

class BlockingConnection(  # pyright: ignore[reportIncompatibleMethodOverride]
    _Connected[_Context_co, _Tables_co, _Reducers_co, _Procedures_co, Blocking], blocking_connection.Connection
):
    @overload
    def query(self, query: RowQuery[_Row], *, timeout: float | None = None) -> Rows[_Row]: ...
    @overload
    def query(self, query: str, *, timeout: float | None = None) -> Rows[Any]: ...

class FrameConnection(  # pyright: ignore[reportIncompatibleMethodOverride]
    _Connected[_Context_co, _Tables_co, _Reducers_co, _Procedures_co, Ticking], frame.Connection
):
    @overload
    def query(self, query: RowQuery[_Row], *, timeout: float | None = None) -> FramePending[Rows[_Row]]: ...
    @overload
    def query(self, query: str, *, timeout: float | None = None) -> FramePending[Rows[Any]]: ...
    @property
    def opened(self) -> Pending[Self]: ...  # type: ignore[override]
    def on_connect(  # type: ignore[override]
        self, callback: Callable[[Self], object]
    ) -> Listener[Callable[[Self], object]]: ...

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

class BlockingOptions(ConnectOptions, total=False):
    timeout: float | None

# `connect` of a generated package: connects to a database that serves its module.
class Connect(Protocol[_Connection_co]):
    def __call__(self, uri: str, database: str, **options: Unpack[ConnectOptions]) -> Connecting[_Connection_co]: ...

# A generated package, for the `connect(..., bindings=package)` of each host.
class Package(Protocol[_Connection_co]):
    @property
    def BINDINGS(self) -> Bindings[_Connection_co, Any, Any]: ...  # noqa: N802 - a constant of the package

class BlockingPackage(Protocol[_BlockingConnection_co]):
    @property
    def BINDINGS(self) -> Bindings[Any, _BlockingConnection_co, Any]: ...  # noqa: N802 - as above

class FramePackage(Protocol[_FrameConnection_co]):
    @property
    def BINDINGS(self) -> Bindings[Any, Any, _FrameConnection_co]: ...  # noqa: N802 - as above
