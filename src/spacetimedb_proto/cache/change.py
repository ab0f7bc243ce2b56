"""What happened to one row, as an object.

Type checkers read `change.pyi` instead, where the type of a row has a default: only Python 3.13 knows those.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import attrs

__all__ = ["Change", "Deleted", "Inserted", "Updated"]

Row = TypeVar("Row")


@attrs.frozen
class Inserted(Generic[Row]):
    """A row appeared."""

    row: Row


@attrs.frozen
class Updated(Generic[Row]):
    """A row of one primary key was replaced."""

    old: Row
    new: Row


@attrs.frozen
class Deleted(Generic[Row]):
    """A row left."""

    row: Row


Change: TypeAlias = Inserted[Row] | Updated[Row] | Deleted[Row]
