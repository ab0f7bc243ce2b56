"""What becomes of a database's rows when its module is published anew.

Tables keep their rows, with defaults where columns have been added at the end, or the new module is refused, as the
real server refuses what it cannot migrate by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from spacetimedb_proto.bsatn.types import AlgebraicType, Array, Element, Product, Ref, Sum
from spacetimedb_proto.schema.definitions import Column
from spacetimedb_proto.schema.model import Schema

from .storage import Storage

__all__ = ["carry_rows"]


def carry_rows(old: Storage, new: Storage) -> None:
    """Put all rows of one storage into another, which is empty.

    Raises:
        ValueError: A table that has rows is not there any more, or not with the same columns, or a column without a
            default was added.
        ConstraintError: The new module has a constraint that rows do not meet.
    """
    types = _Types(old.schema, new.schema)
    with new.transaction():
        for name, table in old.tables.items():
            if not table.rows:
                continue
            if name not in new.tables:
                raise ValueError(f"table `{name}` has rows, but is not in the new module")
            before, after = table.definition, new.tables[name].definition
            known = len(before.columns)
            if not types.can_read(before.row_product, Product(after.row_product.elements[:known])):
                raise ValueError(f"table `{name}` has rows, and has other columns in the new module")
            new.tables[name].take_over(table, _defaults(name, after.columns[known:]))


def _defaults(table: str, added: Iterable[Column]) -> bytes:
    """What follows the bytes of old rows: a product is its columns one after the other."""
    parts: list[bytes] = []
    for column in added:
        if column.default is None:
            raise ValueError(f"table `{table}` has rows, and no default for its new column `{column.name}`")
        parts.append(column.default)
    return b"".join(parts)


class _Types:
    """Types of two modules, compared by what they look like."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._assumed: set[tuple[AlgebraicType, AlgebraicType]] = set()

    def can_read(self, old: AlgebraicType, new: AlgebraicType) -> bool:
        """Whether values of the old type are values of the new one, byte by byte.

        Sums may have more variants at their end (protocol reference, trap 39).
        """
        if (old, new) in self._assumed:  # a type may contain itself
            return True
        if isinstance(old, Ref) or isinstance(new, Ref):
            self._assumed.add((old, new))
        match self._old.resolve(old), self._new.resolve(new):
            case Array(before), Array(after):
                return self.can_read(before, after)
            case Product(before), Product(after):
                return len(before) == len(after) and self._can_read_all(before, after)
            case Sum(before), Sum(after):
                return len(before) <= len(after) and self._can_read_all(before, after)
            case before, after:
                return before == after

    def _can_read_all(self, old: tuple[Element, ...], new: tuple[Element, ...]) -> bool:
        pairs = zip(old, new, strict=False)
        return all(before.name == after.name and self.can_read(before.type, after.type) for before, after in pairs)
