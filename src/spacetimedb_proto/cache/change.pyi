from typing import Any, Generic, TypeAlias

import attrs
from typing_extensions import TypeVar

__all__ = ["Change", "Deleted", "Inserted", "Updated"]

_Row = TypeVar("_Row", default=Any)  # who says nothing about rows means any

@attrs.frozen
class Inserted(Generic[_Row]):
    row: _Row

@attrs.frozen
class Updated(Generic[_Row]):
    old: _Row
    new: _Row

@attrs.frozen
class Deleted(Generic[_Row]):
    row: _Row

Change: TypeAlias = Inserted[_Row] | Updated[_Row] | Deleted[_Row]
