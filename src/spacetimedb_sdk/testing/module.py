"""A module written in Python: its tables, types and functions, and the schema that clients see.

A `Module` is a definition. It holds no rows and may be served several times at once; rows belong to a `Database`.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final, TypeAlias, TypeVar, cast, dataclass_transform, get_args, overload

import attrs

from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.schema.model import Schema, by_name

from .cases import AS_WRITTEN, CONVERTED, snake_case
from .declarations import Lifecycle, ModuleFunction, ModuleTable, ModuleView
from .definitions import define_function, define_table, define_views, with_defaults, with_schedules
from .perspective import check_filters
from .typespace import TypeBuilder, UnionSum, row_class, sum_class, wire_name

__all__ = ["DATABASE_NAME", "Module", "check_module"]

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[..., Any])

Declared: TypeAlias = ModuleTable | ModuleFunction | ModuleView
Indexes: TypeAlias = Sequence[str | Sequence[str]] | Mapping[str, Sequence[str]]

DATABASE_NAME: Final = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")


class Module:
    """A module under construction, until its schema is first asked for.

    Args:
        name: The database's name: lower case letters and digits, in words joined by single hyphens.
        convert_names: Whether the server gives things other names than the module does, as the real one does by
            default: `snake_case` for tables, columns and functions, `camelCase` for variants, `PascalCase` for types.
            Names of parameters stay. What is given a `name=` has that name. If not, all names are as they are written,
            but that a table is called after its class in snake_case. In both cases `from_` means `from`, and so with
            all keywords of Python's.

    Attributes:
        name: The database's name.
        tables: By canonical name.
        functions: Reducers and procedures by canonical name.
        views: By canonical name.
    """

    def __init__(self, name: str, *, convert_names: bool = False) -> None:
        if DATABASE_NAME.fullmatch(name) is None:
            raise ValueError(
                f"database name: expected lower case letters, digits and single inner hyphens, got {name!r}"
            )
        self.name = name
        self.tables: dict[str, ModuleTable] = {}
        self.functions: dict[str, ModuleFunction] = {}
        self.views: dict[str, ModuleView] = {}
        self._filters: list[str] = []
        self._naming = CONVERTED if convert_names else AS_WRITTEN
        self._classes: list[type[Any]] = []
        self._sums: list[type[Any]] = []
        self._unions: list[UnionSum] = []

    def __repr__(self) -> str:
        return f"<Module {self.name!r} with {len(self.tables)} tables, {len(self.functions)} functions>"

    # --- types and tables ---------------------------------------------------------------------------------------------

    @dataclass_transform(frozen_default=True)
    def type(self, cls: C, /) -> C:
        """Decorate a class with annotations: a product, which columns and parameters may then be of.

        The class becomes a frozen attrs class. An `enum.Enum` needs no registration, and may have one; its members
        must have the values 0, 1, 2 and so on.
        """
        self._check_open(cls.__name__)
        if issubclass(cls, enum.Enum):
            return cls
        return cast("C", self._register(cls))

    def sum(self, cls: C) -> C:
        """Decorate a class whose annotations are variants and their payloads; None is a variant without payload.

        Each variant becomes a class of its own, `Shape.Circle(2.5)` and `Shape.Nothing()`, usable in `match`.
        """
        self._check_open(cls.__name__)
        self._sums.append(sum_class(cls, self._naming))
        return cls

    def union(self, name: str, union: Any) -> None:
        """Let a union of classes be a sum, `Shape = Circle | Rectangle | Nothing`, which type checkers understand.

        Its variants are called after the classes, which are attrs classes. A class without fields is a variant without
        payload, one with a single field a variant with that payload, and any other is a payload itself.

        Args:
            name: What the sum is called.
            union: At least two classes.

        Raises:
            TypeError: It is no union of attrs classes.
        """
        self._check_open(name)
        classes = get_args(union)
        if len(classes) < 2 or not all(isinstance(cls, type) and attrs.has(cls) for cls in classes):
            raise TypeError(f"{name}: expected a union of attrs classes, got {union!r}")
        for cls in classes:
            self._register(cls)
        self._unions.append(UnionSum(name, classes))

    @overload
    def table(self, cls: C, /) -> C: ...
    @overload
    def table(
        self,
        *,
        public: bool = False,
        event: bool = False,
        scheduled: str | None = None,
        name: str | None = None,
        source_name: str | None = None,
        indexes: Indexes = (),
    ) -> Callable[[C], C]: ...
    @dataclass_transform(frozen_default=True)
    def table(
        self,
        *classes: Any,
        public: bool = False,
        event: bool = False,
        scheduled: str | None = None,
        name: str | None = None,
        source_name: str | None = None,
        indexes: Indexes = (),
    ) -> Any:
        """Decorate a class with annotations: a table with these columns, and the class of its rows.

        The class becomes a frozen attrs class, `Message(id=0, text="hello")`. Several tables may share one class.

        Args:
            classes: The class, where the decorator is used without arguments.
            public: Whether clients may subscribe to it.
            event: Whether its rows exist only in the transaction that inserts them.
            scheduled: The name of a reducer or procedure that the server calls with each row, when its `ScheduleAt`
                says. The table needs such a column and a `PrimaryKey[u64]`; clients cannot call that function.
            name: Its name on the wire, in SQL and in logs; by default its source name, converted if the module says so.
            source_name: What the module calls it, which SQL also understands; by default `name`, or that of the class
                in snake_case.
            indexes: Columns, or groups of columns, that clients may look rows up by; as a mapping by the names that
                clients know the indexes by. `Index[...]` marks single ones.
        """

        def decorate(cls: Any) -> Any:
            cls = self._register(cls)
            source, found = self._names(source_name or name or wire_name(snake_case(cls.__name__)), name)
            self._check_free(found)
            _check_source(source, found, self.tables.values())
            self.tables[found] = ModuleTable(
                name=found,
                source_name=source,
                row=cls,
                is_public=public,
                is_event=event,
                scheduled=scheduled,
                indexes=_by_accessor(indexes),
            )
            return cls

        return self._decorated(classes, decorate)

    def _check_free(self, table: str) -> None:
        if table in self.tables or table in self.views:
            raise TypeError(f"two tables have the name {table!r}")

    def client_visibility_filter(self, sql: str) -> None:
        """Let clients see only some rows of a table: those that this query holds, or another filter of that table.

        The owner of the database sees all rows, and so do reducers and views.

        Args:
            sql: A query of the table's rows, perhaps joined with another table; `:sender` is who looks. Of another
                table it sees what the client sees of it.
        """
        self._check_open("client_visibility_filter")
        self._filters.append(sql)

    def _register(self, cls: Any) -> Any:
        made = row_class(cls)
        if made not in self._classes:
            self._classes.append(made)
        return made

    # --- functions ----------------------------------------------------------------------------------------------------

    @overload
    def reducer(self, function: F, /) -> F: ...
    @overload
    def reducer(self, *, name: str | None = None, source_name: str | None = None) -> Callable[[F], F]: ...
    def reducer(self, *functions: Any, name: str | None = None, source_name: str | None = None) -> Any:
        """Decorate a function that clients may call: `(ctx, *arguments)`. What it raises undoes what it did.

        `ReducerError` refuses with its text; anything else is a fault of the module, whose text clients do not see.

        Args:
            functions: The function, where the decorator is used without arguments.
            name: The name that it is called by; by default its source name, converted if the module says so.
            source_name: What the module calls it; by default the function's name, or `name` if that is taken.
        """
        return self._decorated(functions, partial(self._add, name=name, source_name=source_name))

    @overload
    def procedure(self, function: F, /) -> F: ...
    @overload
    def procedure(self, *, name: str | None = None, source_name: str | None = None) -> Callable[[F], F]: ...
    def procedure(self, *functions: Any, name: str | None = None, source_name: str | None = None) -> Any:
        """Decorate a function that clients may call and that returns a value, of the annotated type.

        All it does is one transaction, which reaches subscribers before the caller has the value. For names see
        `reducer`.
        """
        add = partial(self._add, name=name, source_name=source_name, is_procedure=True)
        return self._decorated(functions, add)

    @staticmethod
    def _decorated(things: Sequence[Any], decorate: Callable[[Any], Any]) -> Any:
        return decorate(things[0]) if things else decorate

    @overload
    def view(self, function: F, /) -> F: ...
    @overload
    def view(
        self,
        *,
        anonymous: bool = False,
        public: bool = True,
        primary_key: str | None = None,
        name: str | None = None,
        source_name: str | None = None,
    ) -> Callable[[F], F]: ...
    def view(
        self,
        *functions: Any,
        anonymous: bool = False,
        public: bool = True,
        primary_key: str | None = None,
        name: str | None = None,
        source_name: str | None = None,
    ) -> Any:
        """Decorate a function of a `ViewContext` that returns rows for clients: `list[T]`, `T | None` or `Query[T]`.

        It is called again after each transaction for every client that has read it, and they are told what is other
        than before. If it raises, subscriptions that read it end with an error.

        Args:
            functions: The function, where the decorator is used without arguments.
            anonymous: Whether the rows are the same for everybody; it is called with an `AnonymousViewContext` then.
            public: Whether others than the owner may read it.
            primary_key: The column that its rows are known by, so that clients are told of updates.
            name: As for `reducer`.
            source_name: As for `reducer`.
        """

        def decorate(function: Any) -> Any:
            source, found = self._function_names(function, name, source_name)
            self._check_free(found)
            self.views[found] = ModuleView(
                name=found,
                source_name=source,
                call=function,
                is_public=public,
                is_anonymous=anonymous,
                primary_key=primary_key,
            )
            return function

        return self._decorated(functions, decorate)

    def init(self, function: F) -> F:
        """Decorate a reducer that runs once, when a database is made of the module."""
        return self._add(function, lifecycle=Lifecycle.INIT)

    def client_connected(self, function: F) -> F:
        """Decorate a reducer that runs for each new client. If it raises, the client is dropped without a word."""
        return self._add(function, lifecycle=Lifecycle.CLIENT_CONNECTED)

    def client_disconnected(self, function: F) -> F:
        """Decorate a reducer that runs when a client has left. If it raises, what it did is undone.

        If a client has to leave because a new version of the module is served, that version's runs, with its rows.
        """
        return self._add(function, lifecycle=Lifecycle.CLIENT_DISCONNECTED)

    def _add(
        self,
        function: F,
        *,
        name: str | None = None,
        source_name: str | None = None,
        is_procedure: bool = False,
        lifecycle: Lifecycle | None = None,
    ) -> F:
        source, name = self._function_names(function, name, source_name)
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}(): reducers and procedures are plain functions, not coroutine functions")
        if name in self.functions:
            raise TypeError(f"two functions have the name {name!r}")
        if lifecycle is not None and self.lifecycle(lifecycle) is not None:
            raise TypeError(f"{name}(): the module has a reducer for {lifecycle.value} already")
        self.functions[name] = ModuleFunction(
            name=name, source_name=source, call=function, is_procedure=is_procedure, lifecycle=lifecycle
        )
        return function

    def _function_names(self, function: Any, name: str | None, source_name: str | None) -> tuple[str, str]:
        """Source name and canonical name of a function or view: its own name, if no other has that, or `name`."""
        others: list[Declared] = [*self.functions.values(), *self.views.values()]
        source = source_name or wire_name(function.__name__)
        if source_name is None and name is not None and _holder(source, others) not in (None, name):
            source = name
        source, found = self._names(source, name)
        _check_source(source, found, others)
        return source, found

    def _names(self, source: str, name: str | None) -> tuple[str, str]:
        """Source name and canonical name of a table or function."""
        found = self._naming.snake(source) if name is None else name
        for each in (source, found):
            self._check_open(each)
        return source, found

    def lifecycle(self, when: Lifecycle) -> ModuleFunction | None:
        """The reducer that the server calls at some event, if there is one."""
        return next((function for function in self.functions.values() if function.lifecycle is when), None)

    # --- the schema ---------------------------------------------------------------------------------------------------

    def _check_open(self, name: str) -> None:
        if "schema" in vars(self):
            raise TypeError(f"{name}: too late, the module's schema is in use already")
        if not name.isidentifier():
            raise TypeError(f"{name!r} is no name for anything in a module")

    @cached_property
    def schema(self) -> Schema:
        """The module's definition, whose codecs make rows of the module's own classes.

        Raises:
            TypeError: Something is declared wrongly; says what.
        """
        types = TypeBuilder(self._classes, self._sums, self._unions, self._naming)
        plain = [define_table(types, table) for table in self.tables.values()]
        views = list(define_views(types, self.views.values(), plain))
        functions = [define_function(types, function) for function in self.functions.values()]
        plain, functions = with_schedules(plain, functions, self.tables)
        schema = Schema(
            typespace=tuple(types.typespace),
            type_defs=types.definitions(),
            tables=by_name([*plain, *views]),
            row_level_security=tuple(sorted(self._filters)),
            reducers=by_name(function for function in functions if not function.is_procedure),
            procedures=by_name(function for function in functions if function.is_procedure),
        )
        tables = with_defaults(self._bound(schema, types), self.tables)
        schema = self._bound(attrs.evolve(schema, tables=tables), types)
        check_filters(schema)
        return schema

    @staticmethod
    def _bound(schema: Schema, types: TypeBuilder) -> Schema:
        """The same schema, whose values are of the module's classes."""
        for cls, slot in types.slots.items():
            schema.types.bind(slot, cls)
        for sum_, slot in types.union_slots.items():
            schema.types.bind_union(slot, sum_.classes)
        return schema


def check_module(module: Module) -> None:
    """See that something that is to be served is a module.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(module, Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"module: expected a Module of spacetimedb_sdk.testing, got {shown(module)}")


def _by_accessor(indexes: Indexes) -> dict[str, tuple[str, ...]]:
    if isinstance(indexes, Mapping):
        return {accessor: tuple(group) for accessor, group in indexes.items()}
    groups = [(group,) if isinstance(group, str) else tuple(group) for group in indexes]
    return {"_".join(group): group for group in groups}


def _holder(source: str, others: Iterable[Declared]) -> str | None:
    """The canonical name of whatever has a source name."""
    return next((other.name for other in others if other.source_name == source), None)


def _check_source(source: str, found: str, others: Iterable[Declared]) -> None:
    """Refuse a second thing of a source name: schemas say by it what the canonical name is."""
    holder = _holder(source, others)
    if holder not in (None, found):
        raise TypeError(f"the source name {source!r} is that of {holder!r}: {found!r} needs a source_name of its own")
