"""A module written in Python: its tables, types and functions, and the schema that clients see.

A `Module` is a definition. It holds no rows and may be served several times at once; rows belong to a `Database`.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar, cast, dataclass_transform, overload

import attrs

from spacetimedb_proto.bsatn.types import Primitive
from spacetimedb_proto.schema.definitions import Column, Function, Index, Param, Table, Unique
from spacetimedb_proto.schema.definitions import Sequence as Counter
from spacetimedb_proto.schema.model import Schema, by_name
from spacetimedb_proto.schema.names import index_name

from .columns import Marker
from .typespace import TypeBuilder, function_hints, markers, row_class, sum_class, wire_name

__all__ = ["Lifecycle", "Module", "ModuleFunction", "ModuleTable"]

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[..., Any])

_DATABASE_NAME: Final = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")
_WORD_ENDS: Final = re.compile(
    "(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])"
)
_INTEGERS: Final = frozenset(
    primitive for primitive in Primitive if primitive.value[1:].isdigit() and primitive.value[0] in "IU"
)


class Lifecycle(enum.Enum):
    """When the server calls a reducer by itself; the values are the schema's names."""

    INIT = "Init"
    CLIENT_CONNECTED = "OnConnect"
    CLIENT_DISCONNECTED = "OnDisconnect"


@attrs.frozen(kw_only=True)
class ModuleTable:
    """A table as the module declares it.

    Attributes:
        name: In the schema.
        row: The class of its rows.
        indexes: Columns of each index that was asked for beside the markers.
    """

    name: str
    row: type[Any]
    is_public: bool
    is_event: bool
    indexes: tuple[tuple[str, ...], ...]


@attrs.frozen(kw_only=True)
class ModuleFunction:
    """A reducer or procedure as the module declares it.

    Attributes:
        name: In the schema.
        call: Takes the context and the arguments in order.
        lifecycle: When the server calls it by itself, or None for one that clients call.
    """

    name: str
    call: Callable[..., Any]
    is_procedure: bool = False
    lifecycle: Lifecycle | None = None


class Module:
    """A module under construction, until its schema is first asked for.

    Args:
        name: The database's name: lower case letters and digits, in words joined by single hyphens.

    Attributes:
        name: The database's name.
        tables: By name.
        functions: Reducers and procedures by name.
    """

    def __init__(self, name: str) -> None:
        if _DATABASE_NAME.fullmatch(name) is None:
            raise ValueError(
                f"database name: expected lower case letters, digits and single inner hyphens, got {name!r}"
            )
        self.name = name
        self.tables: dict[str, ModuleTable] = {}
        self.functions: dict[str, ModuleFunction] = {}
        self._classes: list[type[Any]] = []
        self._sums: list[type[Any]] = []

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
        self._sums.append(sum_class(cls))
        return cls

    @overload
    def table(self, cls: C, /) -> C: ...
    @overload
    def table(
        self,
        *,
        public: bool = False,
        event: bool = False,
        name: str | None = None,
        indexes: Sequence[str | Sequence[str]] = (),
    ) -> Callable[[C], C]: ...
    @dataclass_transform(frozen_default=True)
    def table(
        self,
        *classes: Any,
        public: bool = False,
        event: bool = False,
        name: str | None = None,
        indexes: Sequence[str | Sequence[str]] = (),
    ) -> Any:
        """Decorate a class with annotations: a table with these columns, and the class of its rows.

        The class becomes a frozen attrs class, `Message(id=0, text="hello")`. Several tables may share one class.

        Args:
            classes: The class, where the decorator is used without arguments.
            public: Whether clients may subscribe to it.
            event: Whether its rows exist only in the transaction that inserts them.
            name: Its name; by default that of the class in snake_case.
            indexes: Columns, or groups of columns, that clients may look rows up by. `Index[...]` marks single ones.
        """

        def decorate(cls: Any) -> Any:
            cls = self._register(cls)
            found = name if name is not None else wire_name(_snake_case(cls.__name__))
            self._check_open(found)
            if found in self.tables:
                raise TypeError(f"two tables have the name {found!r}")
            groups = tuple((group,) if isinstance(group, str) else tuple(group) for group in indexes)
            self.tables[found] = ModuleTable(name=found, row=cls, is_public=public, is_event=event, indexes=groups)
            return cls

        return decorate(classes[0]) if classes else decorate

    def _register(self, cls: Any) -> Any:
        made = row_class(cls)
        if made not in self._classes:
            self._classes.append(made)
        return made

    # --- functions ----------------------------------------------------------------------------------------------------

    def reducer(self, function: F) -> F:
        """Decorate a function that clients may call: `(ctx, *arguments)`. What it raises undoes what it did.

        `ReducerError` refuses with its text; anything else is a fault of the module, whose text clients do not see.
        """
        return self._add(function)

    def procedure(self, function: F) -> F:
        """Decorate a function that clients may call and that returns a value, of the annotated type.

        All it does is one transaction, which reaches subscribers before the caller has the value.
        """
        return self._add(function, is_procedure=True)

    def init(self, function: F) -> F:
        """Decorate a reducer that runs once, when a database is made of the module."""
        return self._add(function, lifecycle=Lifecycle.INIT)

    def client_connected(self, function: F) -> F:
        """Decorate a reducer that runs for each new client. If it raises, the client is dropped without a word."""
        return self._add(function, lifecycle=Lifecycle.CLIENT_CONNECTED)

    def client_disconnected(self, function: F) -> F:
        """Decorate a reducer that runs when a client has left. If it raises, what it did is undone."""
        return self._add(function, lifecycle=Lifecycle.CLIENT_DISCONNECTED)

    def _add(self, function: F, *, is_procedure: bool = False, lifecycle: Lifecycle | None = None) -> F:
        name = wire_name(function.__name__)
        self._check_open(name)
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}(): reducers and procedures are plain functions, not coroutine functions")
        if name in self.functions:
            raise TypeError(f"two functions have the name {name!r}")
        if lifecycle is not None and self.lifecycle(lifecycle) is not None:
            raise TypeError(f"{name}(): the module has a reducer for {lifecycle.value} already")
        self.functions[name] = ModuleFunction(name=name, call=function, is_procedure=is_procedure, lifecycle=lifecycle)
        return function

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
        types = TypeBuilder(self._classes, self._sums)
        tables = [_table(types, table) for table in self.tables.values()]
        functions = [_function(types, function) for function in self.functions.values()]
        schema = Schema(
            typespace=tuple(types.typespace),
            type_defs=types.definitions(),
            tables=by_name(tables),
            reducers=by_name(function for function in functions if not function.is_procedure),
            procedures=by_name(function for function in functions if function.is_procedure),
        )
        for slot, cls in types.classes_in_use():
            schema.types.bind(slot, cls)
        return schema


def _snake_case(name: str) -> str:
    """As the real server names things by default (schema reference, appendix A): `Person2` becomes `person_2`."""
    return "_".join(word.lower() for word in _WORD_ENDS.sub("_", name).split("_") if word)


# --- from declarations to definitions ---------------------------------------------------------------------------------


def _table(types: TypeBuilder, declared: ModuleTable) -> Table:
    annotations = types.fields(declared.row)
    notes = {wire_name(name): markers(annotation) for name, annotation in annotations.items()}
    row = types.reference(declared.row)
    product: Any = types.typespace[row.index]
    columns = tuple(
        Column(name=element.name, type=element.type, index=position)
        for position, element in enumerate(product.elements)
    )
    keys = _marked(columns, notes, Marker.PRIMARY_KEY)
    if len(keys) > 1:
        raise TypeError(f"{declared.name}: at most one column can be the primary key, got {len(keys)}")
    counters = _marked(columns, notes, Marker.AUTO_INC)
    for column in counters:
        if column.type not in _INTEGERS:
            raise TypeError(f"{declared.name}.{column.name}: only integers can be counted up")
    return Table(
        name=declared.name,
        source_name=declared.name,
        row=row,
        columns=columns,
        primary_key=keys[0].index if keys else None,
        constraints=tuple(
            Unique(name=f"{declared.name}_{column.name}_key", columns=(column.index,))
            for column in _marked(columns, notes, Marker.PRIMARY_KEY, Marker.UNIQUE)
        ),
        indexes=_indexes(declared, columns, notes),
        sequences=tuple(Counter(name=f"{declared.name}_{column.name}_seq", column=column.index) for column in counters),
        is_public=declared.is_public,
        is_event=declared.is_event,
    )


def _marked(columns: Sequence[Column], notes: Mapping[str, frozenset[Marker]], *wanted: Marker) -> list[Column]:
    return [column for column in columns if notes[column.name] & set(wanted)]


def _indexes(
    declared: ModuleTable, columns: Sequence[Column], notes: Mapping[str, frozenset[Marker]]
) -> tuple[Index, ...]:
    """One for each column with a key, a constraint or a marker, as the real server has them, and those asked for."""
    positions = {column.name: column.index for column in columns}
    marked = _marked(columns, notes, Marker.PRIMARY_KEY, Marker.UNIQUE, Marker.INDEX)
    groups: dict[tuple[str, ...], None] = dict.fromkeys([(column.name,) for column in marked])
    for group in declared.indexes:
        unknown = [name for name in group if name not in positions]
        if unknown or not group:
            raise TypeError(f"{declared.name}: an index on {', '.join(unknown) or 'no column'}, which is no column")
        groups.setdefault(group)
    found = [
        Index(
            columns=tuple(positions[name] for name in group),
            source_name=index_name(declared.name, group, "BTree"),
            accessor="_".join(group),
        )
        for group in groups
    ]
    return tuple(sorted(found, key=lambda index: index.columns))


def _function(types: TypeBuilder, declared: ModuleFunction) -> Function:
    params = list(inspect.signature(declared.call).parameters.values())
    if not params or any(param.kind is not param.POSITIONAL_OR_KEYWORD for param in params):
        raise TypeError(f"{declared.name}(): expected the context and then plain parameters")
    wanted = [param.name for param in params[1:]] + ["return"] * declared.is_procedure
    hints = function_hints(declared.call, wanted, types.known)
    for param in params[1:]:
        if param.name not in hints:
            raise TypeError(f"{declared.name}(): the parameter {param.name!r} has no annotation")
    return Function(
        name=declared.name,
        source_name=declared.name,
        params=tuple(
            Param(name=wire_name(param.name), type=types.algebraic(hints[param.name], f"{declared.name}({param.name})"))
            for param in params[1:]
        ),
        return_type=types.algebraic(hints.get("return"), f"{declared.name}() -> ") if declared.is_procedure else None,
        is_callable=declared.lifecycle is None,
        lifecycle=None if declared.lifecycle is None else declared.lifecycle.value,
    )
