"""Answers to SQL: the columns and rows of one statement, and whose rows they are.

An answer brings the types of its columns, all references replaced. Where the statement asks for the whole rows of one
table, and the schema's type of these is the same, rows are of the same class as in the cache; otherwise of an own class
named `Row`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

import attrs

from ..bsatn.codec import Types
from ..bsatn.layout import Node as RowNode
from ..bsatn.types import AlgebraicType, Array, Element, Product, Sum
from ..bsatn.values import TimeDuration
from ..errors import DecodeError, RemoteProtocolError, SchemaError
from ..http import HttpResponse
from ..limits import Limits
from ..schema import Schema
from ..schema.reader import Node, Struct
from ..schema.types_json import TypeReader
from ..schema.typespace import resolve
from .results import reading

__all__ = ["ResultColumn", "SqlAnswer", "SqlResult"]


@lru_cache(maxsize=64)
def _own_types(_product: Product) -> Types:
    """Where the class of rows of their own is kept: equal answers have equal rows, and it is made once."""
    return Types(())


@attrs.frozen
class ResultColumn:
    """A column of a result.

    Attributes:
        name: Its name in the database, or None: not every expression has one.
        type: Its type, without references.
    """

    name: str | None
    type: AlgebraicType


@attrs.frozen
class SqlResult(Sequence[Any]):
    """What one statement gave: its rows in order, to be counted, indexed and gone through like a list.

    Attributes:
        rows: The rows. None for a statement that changes rows.
        columns: The columns of the rows.
        row: What the rows are to Python: a product.
        table: Canonical name of the table whose rows these are; None if they are of columns of their own.
        inserted: Rows that the statement inserted.
        deleted: Rows that it deleted.
        updated: Rows that it updated.
        duration: Time that it took on the server.
    """

    rows: list[Any]
    columns: tuple[ResultColumn, ...]
    row: RowNode = attrs.field(repr=False, eq=False)
    table: str | None = None
    inserted: int = 0
    deleted: int = 0
    updated: int = 0
    duration: TimeDuration = attrs.field(factory=lambda: TimeDuration(0))

    @property
    def value(self) -> Any:
        """The only value of the only row: `client.sql("SELECT COUNT(*) AS n FROM user").value`.

        Raises:
            ValueError: There are more or fewer rows or columns.
        """
        if len(self.rows) != 1 or len(self.columns) != 1:
            got = f"{len(self.rows)} rows of {len(self.columns)} columns"
            raise ValueError(f"expected one row of one column, got {got}")
        row: Any = self.rows[0]
        (name,) = attrs.fields_dict(row.__class__)
        return getattr(row, name)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@attrs.frozen
class SqlAnswer:
    """An answer whose rows have not been read yet.

    Attributes:
        product: The type of the rows.
    """

    product: Product
    _rows: list[Any] = attrs.field(repr=False)
    _counts: dict[str, int]

    @classmethod
    def read(cls, response: HttpResponse, limits: Limits) -> SqlAnswer:
        """Read an answer but for its rows.

        Raises:
            RemoteProtocolError: It is no answer to one statement.
        """
        return reading("sql", lambda node: _read(node, limits), response)

    def fits(self, schema: Schema, table: str) -> bool:
        """Whether these are rows of a table as the schema knows it.

        Args:
            schema: A module definition, perhaps of before the last publication.
            table: Canonical or source name.
        """
        found = schema.resolve_table(table)
        return found is not None and _is_same(schema, found.row, self.product)

    def result(self, schema: Schema | None = None, table: str | None = None) -> SqlResult:
        """Read the rows.

        Args:
            schema: The module definition, if they are to be of the class of a table.
            table: The table, if they fit it.

        Raises:
            RemoteProtocolError: One is not of the type that the answer says.
        """
        found = None if schema is None or table is None else schema.table(table)
        types = _own_types(self.product) if schema is None else schema.types
        row = self.product if found is None else found.row
        read = types.codec(row).from_json
        try:
            rows = [read(row) for row in self._rows]
        except DecodeError as error:
            raise RemoteProtocolError(f"sql: a row cannot be understood: {error}") from error
        columns = tuple(ResultColumn(element.name, element.type) for element in self.product.elements)
        duration = TimeDuration(self._counts["total_duration_micros"])
        return SqlResult(
            rows,
            columns,
            types.node(row),
            None if found is None else found.name,
            inserted=self._counts["rows_inserted"],
            deleted=self._counts["rows_deleted"],
            updated=self._counts["rows_updated"],
            duration=duration,
        )


def _read(node: Node, limits: Limits) -> SqlAnswer:
    answers = node.items()
    if len(answers) != 1:
        raise node.fail("the result of one statement")
    fields = answers[0].struct(("schema", "rows", "total_duration_micros", "stats"))
    try:
        product = TypeReader(0, 0, limits.nesting).product(fields["schema"])
    except RecursionError:
        raise SchemaError("schema: types are nested too deeply") from None
    stats = fields.get("stats")
    counted = ("rows_inserted", "rows_deleted", "rows_updated")
    counts = {name: 0 if stats is None else _count(stats.struct(counted), name) for name in counted}
    counts["total_duration_micros"] = _count(fields, "total_duration_micros")
    return SqlAnswer(product, [item.value for item in fields["rows"].items()], counts)


def _count(fields: Struct, name: str) -> int:
    node = fields.get(name)
    return 0 if node is None else node.below(1 << 63)


def _is_same(schema: Schema, type_: AlgebraicType, inlined: AlgebraicType) -> bool:
    """Whether a type of the schema's is this one, once its references are replaced. Ends with the second, a tree."""
    match resolve(schema.typespace, type_), inlined:
        case Product(ours), Product(theirs):
            return _are_same(schema, ours, theirs)
        case Sum(ours), Sum(theirs):
            return _are_same(schema, ours, theirs)
        case Array(ours), Array(theirs):
            return _is_same(schema, ours, theirs)
        case ours, theirs:
            return ours == theirs


def _are_same(schema: Schema, ours: Sequence[Element], theirs: Sequence[Element]) -> bool:
    return len(ours) == len(theirs) and all(
        one.name == other.name and _is_same(schema, one.type, other.type)
        for one, other in zip(ours, theirs, strict=True)
    )
