"""What a generated package of 0.7 has, and the rows of its tables as objects of its classes."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import attrs

from spacetimedb_proto.bsatn.layout import Node, ProductNode, plain
from spacetimedb_proto.errors import EncodeError, SchemaMismatch
from spacetimedb_proto.schema import Schema

from ..bindings.engine import Engine
from .names import class_name, meant_by
from .plain import from_plain, to_plain

__all__ = ["ClientCache", "TableCache"]

log = logging.getLogger("spacetimedb_sdk")


@attrs.frozen(slots=False)
class _Source:
    """One table of one connection."""

    engine: Engine
    name: str

    @cached_property
    def node(self) -> Node:
        """The type of its rows."""
        schema = self.engine.schema
        return schema.types.node(schema.tables[self.name].row)

    @cached_property
    def columns(self) -> dict[str, Node]:
        """The types of its columns, by the names that rows have for them."""
        node = plain(self.node)
        assert isinstance(node, ProductNode)
        return {field.name: field.node for field in node.fields}

    def decode(self, data: bytes) -> Any:
        """A row of today."""
        return self.engine.session.cache.table(self.name).row(data)

    def rows(self) -> Sequence[bytes]:
        """All rows, as bytes."""
        return list(self.engine.session.cache.table(self.name).raw())

    def select(self, column: str, value: Any) -> Iterator[bytes]:
        """The rows with this value, as bytes."""
        encode = self.engine.schema.row_codec(self.name).encode
        return map(encode, self.engine.db[self.name].filter(**{column: value}))


class TableCache:
    """The rows of one table, as objects of its class. A row has one object for as long as it is there.

    Attributes:
        table_class: The class.
        table_name: What the package calls the table.
    """

    def __init__(self, table_class: type[Any]) -> None:
        self.table_class = table_class
        self.table_name: str = getattr(table_class, "table_name", table_class.__name__)
        self._source: _Source | None = None
        self._objects: dict[bytes, Any] = {}

    def attach(self, engine: Engine) -> str | None:
        """Have the rows of a connection from now on; returns what its module calls the table, None if it has none."""
        name = meant_by(self.table_name, engine.schema.tables)
        self._source = None if name is None else _Source(engine, name)
        self._objects = {}
        return name

    def decode(self, value: Any) -> Any:
        """An object of plain data."""
        return self.table_class(value)

    def row(self, data: bytes) -> Any:
        """The object of a row of the connection.

        Raises:
            SchemaMismatch: The class does not fit the module's table any more.
        """
        found = self._objects.get(data)
        if found is None:
            found = self._objects[data] = self._made(data)
        return found

    def _made(self, data: bytes) -> Any:
        assert self._source is not None, "rows come from somewhere"
        plain = to_plain(self._source.node, self._source.decode(data))
        try:
            return self.table_class(plain)
        except (LookupError, TypeError, ValueError) as error:
            raise SchemaMismatch(
                f"{self.table_class.__module__}.{self.table_class.__qualname__}: expected a class that reads rows of "
                f"{self._source.name!r} as the server has them, got {type(error).__name__}: {error}; generate the "
                "package anew"
            ) from error

    def forget(self, data: bytes) -> None:
        """Let go of the object of a row that is gone."""
        self._objects.pop(data, None)

    def values(self) -> list[Any]:
        """All rows."""
        return [] if self._source is None else [self.row(data) for data in self._source.rows()]

    def get_entry(self, key: str) -> Any:
        """The row of this key, which is `DbEvent.row_pk`; None if there is none."""
        data = bytes.fromhex(key)
        return self.row(data) if self._source is not None and data in self._source.rows() else None

    def select(self, column: str, value: Any) -> list[Any]:
        """The rows with this value in a column, through an index if the table has one for it.

        Raises:
            SchemaMismatch: The module's table has no such column.
        """
        if self._source is None:
            return []
        if column not in self._source.columns:
            raise SchemaMismatch(f"{self._source.name}: expected a column {column!r}; generate the package anew")
        try:
            wanted = from_plain(self._source.columns[column], value)
            return [self.row(data) for data in self._source.select(column, wanted)]
        except EncodeError:  # nothing that the column could hold
            return []


class ClientCache:
    """The tables and reducers of a generated package: 0.7's own, or one that today's `codegen.legacy` has written.

    Attributes:
        tables: The tables, by the names of their classes.
        reducer_cache: What reads the arguments of each reducer, by its name.
        served: The tables that the module has, by what it calls them.
    """

    def __init__(self, autogen_package: ModuleType) -> None:
        self.tables: dict[str, TableCache] = {}
        self.reducer_cache: dict[str, Callable[[Sequence[Any]], Sequence[Any]]] = {}
        self.served: dict[str, TableCache] = {}
        for info in pkgutil.iter_modules(autogen_package.__path__):
            if not info.ispkg:
                self._look_through(info.name, importlib.import_module(f"{autogen_package.__name__}.{info.name}"))

    def _look_through(self, name: str, module: ModuleType) -> None:
        if name.endswith("_reducer") and hasattr(module, "reducer_name"):
            self.reducer_cache[module.reducer_name] = module._decode_args  # noqa: SLF001 - what 0.7 wrote
            return
        wanted = meant_by(class_name(name), vars(module)) or "__table__"
        found: Any = vars(module).get("__table__") or vars(module).get(wanted)
        if getattr(found, "is_table_class", False):
            table = TableCache(found)
            self.tables[table.table_name] = table

    def attach(self, engine: Engine) -> None:
        """Have the rows of a connection from now on."""
        self.served = {}
        for name, table in self.tables.items():
            served = table.attach(engine)
            if served is None:
                log.warning("the bindings have a table %r, which the module has not: it stays empty", name)
            else:
                self.served[served] = table

    def reducers(self, schema: Schema) -> dict[str, str]:
        """What the package calls each reducer, by what the module calls it."""
        names = {name: meant_by(name, schema.reducers) for name in self.reducer_cache}
        return {served: name for name, served in names.items() if served is not None}

    def get_table_cache(self, table_name: str) -> TableCache:
        """The table of this name, which may also be that of its class.

        Raises:
            KeyError: The package has none.
        """
        return self.tables[meant_by(table_name, self.tables) or table_name]

    def get_entry(self, table_name: str, key: str) -> Any:
        """The row of this key, which is `DbEvent.row_pk`; None if there is none."""
        return self.get_table_cache(table_name).get_entry(key)
