"""What generated packages stand on while a program runs. Everything in them is made when it is first asked for.

The generated modules hold names and nothing else: classes are made from them by what makes dynamic ones, once per
package, and every connection reads rows into these. So both kinds of bindings behave the same, and generated ones cost
what is used of them. What type checkers know beside that is in the package's stubs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from spacetimedb_proto.door import aliases

from ..sql import Condition, Fields, Query, select

if TYPE_CHECKING:
    from spacetimedb_proto.bsatn.types import AlgebraicType
    from spacetimedb_proto.schema import Drift, Schema

    from .names import Namespace

__all__ = ["Bindings", "Classes", "TableQuery", "aliases", "bindings", "bindings_of", "queries"]

A_co = TypeVar("A_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)

OLDER: Final = "; the bindings are older than the server's module"


class Bindings(Generic[A_co, B_co, F_co]):
    """A generated package, as `connect(..., bindings=package)` takes it.

    Its types are those of the package's connections: one that awaits, one that blocks, one for frame loops.

    Args:
        package: The package's `__name__`.
        schema_hash: Hash of the schema that it was generated from.
        private: Whether it has the private tables, too.
    """

    def __init__(self, package: str, schema_hash: str, *, private: bool = False) -> None:
        self.package = package
        self.schema_hash = schema_hash
        self.private = private
        self._told: set[str] = set()

    def connect(self, uri: str, database: str, **options: Any) -> Any:
        """Connect to a database that serves this module: see `spacetimedb_sdk.connect`, whose options these are."""
        from ..connecting import connect  # noqa: PLC0415 - it knows the types of bindings

        package: Any = import_module(self.package)
        return connect(uri, database, bindings=package, **options)

    def prepare(self, served: Schema, *, uri: str, database: str) -> None:
        """Have a connection read values into the classes of this package.

        A module that has more than the bindings know is tolerated where that breaks no code, and said once.

        Args:
            served: The schema of the connection; nothing may have been made of it yet.
            uri: Where it comes from, for the command that cures a difference.
            database: Likewise.

        Raises:
            SchemaMismatch: The server's module is another one; it lists the differences and the command.
        """
        if served.hash != self.schema_hash:
            self._compare(served, self._cure(uri, database))
        classes: Classes = import_module(f"{self.package}.types").__classes__
        classes.bind(served)

    def drift(self, served: Schema) -> Drift:
        """How a served schema differs from the one that the package was generated from."""
        # Only who meets another schema has to know the old one.
        from spacetimedb_proto.schema import compare, load_schema  # noqa: PLC0415

        known = load_schema(import_module(f"{self.package}._schema").SCHEMA)
        return compare(known, served, private=self.private)

    def _compare(self, served: Schema, cure: str) -> None:
        import logging  # noqa: PLC0415 - a package that fits needs none of this

        from spacetimedb_proto.schema import Effect  # noqa: PLC0415 - as above

        drift = self.drift(served)
        drift.raise_if_breaking(Effect.API, hint=f"To have {self.package} know the server's module: {cure}")
        if drift.differences and served.hash not in self._told:
            self._told.add(served.hash)
            logging.getLogger("spacetimedb_sdk").warning(
                "the server's module has changed in ways that do not break %s:\n%s\nto have it know them: %s",
                self.package,
                drift,
                cure,
            )

    def _cure(self, uri: str, database: str) -> str:
        import shlex  # noqa: PLC0415 - as above
        from pathlib import Path  # noqa: PLC0415 - as above

        folder = Path(import_module(self.package).__file__ or self.package).parent
        command = ["spacetimedb-sdk", "generate", "--uri", uri, "--database", database, "--out", str(folder)]
        return shlex.join([*command, *(["--include-private"] if self.private else [])])

    def __repr__(self) -> str:
        return f"<bindings {self.package}>"


def bindings(package: str, schema_hash: str, *, private: bool = False) -> Bindings[Any, Any, Any]:
    """The bindings of a package, which its stub knows better."""
    made: Bindings[Any, Any, Any] = Bindings(package, schema_hash, private=private)
    return made


def bindings_of(package: object) -> Bindings[Any, Any, Any]:
    """The bindings in a generated package.

    Raises:
        TypeError: It is none.
    """
    found: Bindings[Any, Any, Any] | None = getattr(package, "BINDINGS", None)
    if not isinstance(found, Bindings):
        raise TypeError(f"bindings: expected a package written by `spacetimedb-sdk generate`, got {package!r}")
    return found


# --- types ------------------------------------------------------------------------------------------------------------


class Classes:
    """The classes of a package's types, by their names in Python; each is made when it is first asked for.

    Args:
        module: `__name__` of the module that the classes are in.
        products: Names of the attributes.
        enums: Names of the members.
        sums: Names of the variants, and whether they hold something.
        unions: Sums by the name of the union of their variants.
        names: Names in the schema, where they are others than in Python.
    """

    def __init__(
        self,
        module: str,
        *,
        products: Mapping[str, tuple[str, ...]],
        enums: Mapping[str, tuple[str, ...]],
        sums: Mapping[str, Mapping[str, bool]],
        unions: Mapping[str, str],
        names: Mapping[str, str],
    ) -> None:
        self._module = module
        self._products = products
        self._enums = enums
        self._sums = sums
        self._unions = unions
        self._names = names
        self._made: dict[str, Any] = {}

    @property
    def door(self) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
        """The `__getattr__` and the `__dir__` of the module."""
        return self.get, lambda: {*self._products, *self._enums, *self._sums, *self._unions}

    def get(self, name: str) -> Any:
        """The class of a name, the same one each time.

        Raises:
            AttributeError: There is none.
        """
        found = self._made.get(name)
        return self._made.setdefault(name, self._make(name)) if found is None else found

    def bind(self, schema: Schema) -> None:
        """Have the values of a schema be of these classes."""
        slots = {name: slot for slot, name in schema.type_names.items()}
        for known in (self._products, self._enums, self._sums):
            for name, parts in known.items():
                slot = slots.get(self._names.get(name, name))
                if slot is not None:
                    served = schema.typespace[slot]
                    make = partial(self._fitting, name, served) if known is self._products else partial(self.get, name)
                    count = None if known is self._products else len(parts)
                    schema.types.bind_lazily(slot, make, known=count, older=_older(served, count))

    def _make(self, name: str) -> Any:
        # Whoever only imports the package to read its names needs no attrs.
        from spacetimedb_proto.bsatn.classes import make_enum, make_product, make_sum  # noqa: PLC0415

        made: Any
        if name in self._unions:
            sum_ = self.get(self._unions[name])
            variants = [getattr(sum_, variant) for variant in self._sums[self._unions[name]]]
            made = variants[0]
            for variant in variants[1:]:
                made |= variant
            return made
        if name in self._products:
            made = make_product(name, self._products[name])
        elif name in self._enums:
            made = make_enum(name, self._enums[name])
        elif name in self._sums:
            made = make_sum(name, list(self._sums[name].items()))
            for variant in self._sums[name]:
                getattr(made, variant).__module__ = self._module
        else:
            raise AttributeError(f"module {self._module!r} has no attribute {name!r}", name=name)
        made.__module__ = self._module
        return made

    def _fitting(self, name: str, served: AlgebraicType) -> type[Any]:
        """The class of a product, or a subclass of it that has the columns, too, which the module got since."""
        from spacetimedb_proto.bsatn.classes import make_product  # noqa: PLC0415 - as above
        from spacetimedb_proto.bsatn.names import field_names  # noqa: PLC0415 - as above
        from spacetimedb_proto.bsatn.types import Product  # noqa: PLC0415 - as above

        cls: type[Any] = self.get(name)
        known = self._products[name]
        if not isinstance(served, Product) or len(served.elements) <= len(known):
            return cls
        extra = field_names([element.name for element in served.elements[len(known) :]], reserved=known)
        return make_product(name, extra, base=cls)


def _older(served: AlgebraicType, known: int | None) -> str:
    variants = getattr(served, "variants", ())
    return OLDER if known is not None and len(variants) > known else ""


# --- queries ----------------------------------------------------------------------------------------------------------


class TableQuery:
    """Queries for the rows of one table, to be written before there is a connection.

    Args:
        table: The table's name in the schema.
        columns: Names of its columns in the schema.
    """

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        self._table = table
        self._fields = Fields(table, dict(zip(columns, columns, strict=True)) | _spelled(columns))

    def where(self, condition: Callable[[Any], Condition] | None = None) -> Query:
        """The query for these rows, as `where` of the table on a connection."""
        return select(self._table, self._fields, condition)

    def __repr__(self) -> str:
        return f"<queries of {self._table}>"


def _spelled(columns: tuple[str, ...]) -> dict[str, str]:
    from spacetimedb_proto.bsatn.names import field_names  # noqa: PLC0415 - only who writes queries needs it

    return dict(zip(field_names(columns), columns, strict=True))


def queries(tables: Mapping[str, tuple[str, ...]]) -> Namespace[TableQuery]:
    """The queries of each table.

    Args:
        tables: Names of columns by name of table.
    """
    from .names import Namespace  # noqa: PLC0415 - it is asked for by name

    return Namespace("table", tables, lambda name: TableQuery(name, tables[name]), {})
