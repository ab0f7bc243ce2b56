"""What users call to have rows as columns, wherever rows are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from spacetimedb_proto.errors import LocalProtocolError

if TYPE_CHECKING:
    from spacetimedb_proto.bsatn.codec import Codec
    from spacetimedb_proto.bsatn.layout import Node
    from spacetimedb_proto.wire.rowlist import RowList

__all__ = ["Held", "Rows", "Tabular", "batches_for", "needed"]

T = TypeVar("T")

_EXTRAS: Final = {"numpy": "arrow", "pyarrow": "arrow", "polars": "polars", "pandas": "pandas"}


@attrs.frozen
class Held:
    """Rows of one type, as they are held at one moment.

    Attributes:
        row: What the rows are: a product.
        objects: The rows as Python has them, or None if they are held as bytes.
        lists: The rows as bytes, if they are held so.
        codec: Reads those bytes.
    """

    row: Node
    objects: Sequence[Any] | None = None
    lists: Sequence[RowList] = ()
    codec: Codec | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.objects) if self.objects is not None else sum(map(len, self.lists))


def needed(module: str, what: str) -> Any:
    """Import a package that not everybody has.

    Raises:
        LocalProtocolError: It is not installed; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        extra = f"pip install 'spacetimedb-sdk[{_EXTRAS[module]}]'"
        raise LocalProtocolError(f"{what} needs {module}, which cannot be imported ({error}): {extra}") from error


def batches_for(what: str) -> Any:
    """Import `batches.py`, which makes columns and needs more than everybody has; raises as `needed`."""
    for module in ("pyarrow", "numpy"):
        needed(module, what)
    return import_module(".batches", __package__)


class Tabular:
    """Rows that can be had as columns; `types.py` says what becomes of each type."""

    __slots__ = ()

    def held(self, what: str) -> Held:
        """The rows as of now.

        Args:
            what: The method that asks, for errors.
        """
        raise NotImplementedError

    def to_arrow(self) -> Any:
        """The rows as a `pyarrow.Table`, one column for each of the table's, exact and in the order of iteration.

        Rows of one size are taken from the bytes that the server sent, without a Python object for each value.

        Raises:
            LocalProtocolError: pyarrow or numpy is not installed, or the rows are not kept.
            DecodeError: A row is none of this table.
        """
        return self._to_arrow(".to_arrow()")

    def to_polars(self) -> Any:
        """The rows as a `polars.DataFrame`. Otherwise as `to_arrow`."""
        polars = needed("polars", "to_polars()")
        return polars.from_arrow(self._to_arrow(".to_polars()"))

    def to_pandas(self) -> Any:
        """The rows as a `pandas.DataFrame` whose columns are of Arrow types, so that integers stay exact beside nulls.

        Otherwise as `to_arrow`.
        """
        pandas = needed("pandas", "to_pandas()")
        return self._to_arrow(".to_pandas()").to_pandas(types_mapper=pandas.ArrowDtype)

    def _to_arrow(self, what: str) -> Any:
        return batches_for(what[1:]).arrow_table(self.held(what))


class Rows(list[T], Tabular):
    """The rows that a query gave: a list, which can also be had as columns.

    Attributes:
        row: What the rows are; None if there are rows of several tables.
    """

    __slots__ = ("row",)

    def __init__(self, rows: Iterable[T] = (), row: Node | None = None) -> None:
        super().__init__(rows)
        self.row = row

    def held(self, what: str) -> Held:
        """The rows as of now, for those who make something else of them; raises as `to_arrow`."""
        if self.row is None:
            raise LocalProtocolError(f"rows{what}: expected rows of one table, got those of several or none")
        return Held(self.row, tuple(self))
