"""A module definition as data: what a client, a generator or a test server asks about a module.

Everything is immutable and in an order that does not depend on the order of the server's answer: by name, or by column.
A submodule's tables and functions stand beside the root's, under dotted names, and all types share one typespace.
Nothing here knows how a definition is written down; codecs are made on first use, by `bsatn.codec`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import attrs

from ..bsatn.types import AlgebraicType
from ..errors import SchemaError
from ..limits import Limits
from .definitions import Function, HttpRoute, Submodule, Table, TypeDef
from .digest import digest
from .names import flat_type_names
from .typespace import resolve

if TYPE_CHECKING:
    from ..bsatn.codec import Codec, ParamsCodec, Types

__all__ = ["Function", "Schema", "Table", "by_name"]

_Named = TypeVar("_Named", Table, Function)


def by_name(items: Iterable[_Named]) -> Mapping[str, _Named]:
    """Tables or functions by canonical name, in the order of their names."""
    return MappingProxyType({item.name: item for item in sorted(items, key=lambda item: item.name)})


@attrs.frozen(kw_only=True, slots=False, repr=False)
class Schema:
    """A whole module.

    Two schemas are equal if they say the same, whatever the order in which the server said it. `notes` and `version` do
    not count.

    Attributes:
        typespace: The types of the root and of all submodules; every `Ref` is a position here.
        type_defs: Names of slots, by namespace, scope and name.
        tables: Tables and views by canonical name, in that order, as `by_name` makes it.
        reducers: Reducers by canonical name, likewise.
        procedures: Procedures by canonical name, likewise.
        row_level_security: SQL texts of the module's author.
        http_handlers: Source names of functions that answer HTTP requests.
        http_routes: Where they answer.
        submodules: By namespace.
        version: The form that this was read from, 9 or 10. A v9 answer tells less: see `schema.v9`.
        notes: What was skipped while reading, in words.
        limits: The limits that the codecs keep to.
    """

    typespace: tuple[AlgebraicType, ...] = ()
    type_defs: tuple[TypeDef, ...] = ()
    tables: Mapping[str, Table] = attrs.field(factory=dict[str, Table])
    reducers: Mapping[str, Function] = attrs.field(factory=dict[str, Function])
    procedures: Mapping[str, Function] = attrs.field(factory=dict[str, Function])
    row_level_security: tuple[str, ...] = ()
    http_handlers: tuple[str, ...] = ()
    http_routes: tuple[HttpRoute, ...] = ()
    submodules: tuple[Submodule, ...] = ()
    version: int = attrs.field(default=10, eq=False)
    notes: tuple[str, ...] = attrs.field(default=(), eq=False)
    limits: Limits = attrs.field(factory=Limits, eq=False)

    @cached_property
    def type_names(self) -> Mapping[int, str]:
        """A unique name for each slot that has one: scope and name written together, in submodules after `namespace.`.

        These are names for people and for lookups; what Python calls a class is up to `bsatn.classes`.
        """
        return MappingProxyType(flat_type_names(self.type_defs))

    @cached_property
    def hash(self) -> str:
        """Hexadecimal digest of what clients depend on; the same for every order of the same answer."""
        return digest(self)

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        counts = f"{len(self.tables)} tables, {len(self.reducers)} reducers, {len(self.procedures)} procedures"
        return f"<Schema of {counts}>"

    def resolve(self, type_: AlgebraicType) -> AlgebraicType:
        """The structure of a type, behind any references at its outside."""
        return resolve(self.typespace, type_)

    # --- lookups: canonical names first, source names as aliases ------------------------------------------------------

    @cached_property
    def _table_aliases(self) -> Mapping[str, Table]:
        return _aliases(self.tables)

    @cached_property
    def _function_aliases(self) -> tuple[Mapping[str, Function], Mapping[str, Function]]:
        return _aliases(self.reducers), _aliases(self.procedures)

    def resolve_table(self, name: str) -> Table | None:
        """The table or view of a canonical or source name, as SQL finds it (schema reference, 3.4)."""
        return self._table_aliases.get(name)

    def resolve_reducer(self, name: str) -> Function | None:
        """The reducer of a canonical or source name. The server itself knows only the canonical one."""
        return self._function_aliases[0].get(name)

    def resolve_procedure(self, name: str) -> Function | None:
        """The procedure of a canonical or source name. The server itself knows only the canonical one."""
        return self._function_aliases[1].get(name)

    def table(self, name: str) -> Table:
        """The table or view of a canonical or source name.

        Raises:
            SchemaError: There is none.
        """
        found = self.resolve_table(name)
        if found is None:
            raise SchemaError(f"the module has no table or view {name!r}")
        return found

    # --- codecs, made on first use ------------------------------------------------------------------------------------

    @cached_property
    def types(self) -> Types:
        """Codecs and Python classes of all types."""
        from ..bsatn.codec import Types  # noqa: PLC0415 - a schema that is only looked at needs no codecs

        return Types(self.typespace, self.type_names, self.limits)

    @cached_property
    def _params_codecs(self) -> dict[tuple[str, bool], ParamsCodec]:
        return {}

    def row_codec(self, table: str) -> Codec:
        """The codec of a table's rows.

        Args:
            table: Canonical or source name.

        Raises:
            SchemaError: There is no such table.
        """
        return self.types.codec(self.table(table).row)

    def params_codec(self, function: Function) -> ParamsCodec:
        """The codec of a function's arguments."""
        key = function.name, function.is_procedure
        codec = self._params_codecs.get(key)
        if codec is None:
            codec = self._params_codecs[key] = self.types.product_fields_codec(function.params_product, function.name)
        return codec

    def return_codec(self, procedure: Function) -> Codec:
        """The codec of what a procedure returns.

        Raises:
            SchemaError: The function is a reducer.
        """
        if procedure.return_type is None:
            raise SchemaError(f"{procedure.name!r} is a reducer, which returns nothing")
        return self.types.codec(procedure.return_type)


def _aliases(items: Mapping[str, _Named]) -> dict[str, _Named]:
    """All items by canonical name, and by source name where that is not somebody else's canonical name."""
    return {**{item.source_name: item for item in items.values()}, **items}
