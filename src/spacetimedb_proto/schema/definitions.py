"""What a module consists of: types, tables, views, functions. Plain immutable values, in which positions are columns.

Names are the canonical ones, used on the wire, unless they are called source names. Nothing here knows how a definition
is written down, or which module a thing is in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import attrs

from ..bsatn.types import AlgebraicType, Array, Element, Product, Ref, option

__all__ = [
    "Column",
    "Function",
    "HttpRoute",
    "Index",
    "IndexKind",
    "Param",
    "RowType",
    "Schedule",
    "Sequence",
    "Submodule",
    "Table",
    "TypeDef",
    "Unique",
    "View",
    "ViewShape",
    "params_product",
]

IndexKind: TypeAlias = Literal["BTree", "Hash", "Direct"]
ViewShape: TypeAlias = Literal["array", "option", "query"]
RowType: TypeAlias = Ref | Product


@attrs.frozen(kw_only=True)
class TypeDef:
    """A name for a slot of the typespace.

    Attributes:
        slot: The slot in the schema's typespace.
        namespace: Dotted name of the submodule that defines it; empty for the root.
        scope: Names around the type's own, outermost first.
        custom_ordering: Information for validators; the order of fields is always the one given.
    """

    slot: int
    name: str
    scope: tuple[str, ...] = ()
    namespace: str = ""
    custom_ordering: bool = True


@attrs.frozen(kw_only=True)
class Column:
    """A column of a table or view.

    Attributes:
        index: Its position, which is how keys and indexes refer to it.
        default: What the host fills in when a migration adds the column, as BSATN. Never omitted on the wire.
    """

    name: str
    type: AlgebraicType
    index: int
    default: bytes | None = None

    @property
    def has_default(self) -> bool:
        """Whether the module gives a default for migrations."""
        return self.default is not None


@attrs.frozen(kw_only=True)
class Index:
    """An index of a table.

    Attributes:
        name: The canonical name, which only a v9 answer tells.
        source_name: The name in the module's source, which only a v10 answer tells.
        accessor: The name under which clients offer it, or None for an index without a client accessor.
        columns: Positions in the index's order.
    """

    columns: tuple[int, ...]
    kind: IndexKind = "BTree"
    name: str | None = None
    source_name: str | None = None
    accessor: str | None = None


@attrs.frozen(kw_only=True)
class Unique:
    """A constraint that no two rows agree in all of these columns."""

    name: str | None
    columns: tuple[int, ...]


@attrs.frozen(kw_only=True)
class Sequence:
    """An auto-increment column: a row inserted with 0 there gets the next number."""

    name: str | None
    column: int
    start: int | None = None
    min_value: int | None = None
    max_value: int | None = None
    increment: int = 1


@attrs.frozen(kw_only=True)
class Schedule:
    """What makes a table a scheduled one: its rows are calls to come.

    Attributes:
        column: Position of the `ScheduleAt` column.
        function: Canonical name of the reducer or procedure, which takes a row as its only argument.
    """

    name: str | None
    column: int
    function: str


@attrs.frozen(kw_only=True)
class Param:
    """A parameter of a function."""

    name: str
    type: AlgebraicType


def params_product(params: Iterable[Param]) -> Product:
    """Parameters as the product that arguments are encoded as."""
    return Product(tuple(Element(param.name, param.type) for param in params))


@attrs.frozen(kw_only=True)
class View:
    """What a view has beyond a table.

    Attributes:
        shape: How the declared return type wraps the row type; all three deliver zero or more rows.
        index: The host's number, counted separately for anonymous and other views.
        is_anonymous: Whether the rows are the same for every caller.
        params: A view with parameters is read only as `SELECT * FROM view(1, 'a')` (protocol reference, 8).
    """

    shape: ViewShape
    index: int = 0
    is_anonymous: bool = False
    params: tuple[Param, ...] = ()

    @property
    def params_product(self) -> Product:
        """The parameters as a product."""
        return params_product(self.params)

    def return_type(self, row: RowType) -> AlgebraicType:
        """The type that the module declares for a view of these rows."""
        match self.shape:
            case "array":
                return Array(row)
            case "option":
                return option(row)
            case "query":
                return Product((Element("__query__", row),))


@attrs.frozen(kw_only=True)
class Table:
    """A table, or a view, which clients subscribe to and keep like a table.

    Attributes:
        name: The canonical name; dotted in a submodule. Row data always arrives under it.
        source_name: The name in the module's source, dotted alike. SQL takes it too. Equal to `name` in a v9 answer.
        namespace: Dotted name of the submodule; empty for the root.
        row: The row type: a slot that holds a product, or for a view perhaps a product.
        primary_key: Position of the key column. For views as declared, or as inferred from the tables behind a query.
        is_public: Whether others than the owner may subscribe.
        is_event: Rows exist only in the transaction that inserted them. Unknown to v9, which says False.
        is_system: Made by the host. Does not occur in answers so far.
        view: What makes this a view; None for tables.
    """

    name: str
    source_name: str
    row: RowType
    columns: tuple[Column, ...]
    namespace: str = ""
    primary_key: int | None = None
    constraints: tuple[Unique, ...] = ()
    indexes: tuple[Index, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    schedule: Schedule | None = None
    is_public: bool = True
    is_event: bool = False
    is_system: bool = False
    view: View | None = None

    @property
    def is_view(self) -> bool:
        """Whether the rows are computed by the module."""
        return self.view is not None

    @property
    def unique_sets(self) -> tuple[tuple[int, ...], ...]:
        """Columns of each unique constraint that has any, each once."""
        return tuple(tuple(dict.fromkeys(constraint.columns)) for constraint in self.constraints if constraint.columns)

    @property
    def unique_keys(self) -> tuple[tuple[int, ...], ...]:
        """Columns by which one row is found, the primary key first; of several orders of the same ones the first."""
        keys = self.unique_sets if self.primary_key is None else ((self.primary_key,), *self.unique_sets)
        distinct: dict[frozenset[int], tuple[int, ...]] = {}
        for key in keys:
            distinct.setdefault(frozenset(key), key)
        return tuple(distinct.values())

    @property
    def takes_arguments(self) -> bool:
        """Whether it is a view with parameters, which `SELECT * FROM` it cannot read."""
        return self.view is not None and bool(self.view.params)

    @property
    def unique(self) -> tuple[int, ...]:
        """Columns that are unique by themselves, in column order. A view has none, even with a primary key."""
        return tuple(sorted({columns[0] for columns in self.unique_sets if len(columns) == 1}))

    @property
    def row_product(self) -> Product:
        """The row type with its columns spelled out."""
        return Product(tuple(Element(column.name, column.type) for column in self.columns))


@attrs.frozen(kw_only=True)
class Function:
    """A reducer or a procedure.

    Attributes:
        name: The canonical name, dotted in a submodule: the only one that calls work with.
        source_name: The name in the module's source, dotted alike. Equal to `name` in a v9 answer.
        namespace: Dotted name of the submodule; empty for the root.
        return_type: What a procedure returns; None for reducers.
        is_callable: Whether a client may call it: neither private, nor run by the host at some event or time.
        lifecycle: `Init`, `OnConnect` or `OnDisconnect` for a reducer that the host runs then.
        is_scheduled: Whether some table schedules it.
    """

    name: str
    source_name: str
    params: tuple[Param, ...]
    namespace: str = ""
    return_type: AlgebraicType | None = None
    is_callable: bool = True
    lifecycle: str | None = None
    is_scheduled: bool = False

    @property
    def is_procedure(self) -> bool:
        """Whether this is a procedure."""
        return self.return_type is not None

    @property
    def params_product(self) -> Product:
        """The parameters as the product that arguments are encoded as."""
        return params_product(self.params)


@attrs.frozen(kw_only=True)
class HttpRoute:
    """A path below `/v1/database/NAME/route` that the module answers itself.

    Attributes:
        method: Upper-case name of the method, or None for any.
    """

    handler: str
    method: str | None
    path: str


@attrs.frozen(kw_only=True)
class Submodule:
    """A module that is mounted in another one, under a namespace.

    Attributes:
        namespace: Canonical dotted name; prefix of the names of everything in it.
        source_name: The same as written in the source, dotted.
        first_slot: Where its own typespace begins in the schema's.
        slots: How many slots that typespace has.
    """

    namespace: str
    source_name: str
    first_slot: int
    slots: int
