"""Tables, indexes, reference counts and changes: what the server's messages add up to."""

from .cache import Cache, Deltas
from .changes import Change, Changes, Deleted, Inserted, RowUpdated, TableChange, Updated
from .lean import CACHE_POLICIES, CachePolicy
from .memory import TableMemory
from .table import TableCache

__all__ = [
    "CACHE_POLICIES",
    "Cache",
    "CachePolicy",
    "Change",
    "Changes",
    "Deleted",
    "Deltas",
    "Inserted",
    "RowUpdated",
    "TableCache",
    "TableChange",
    "TableMemory",
    "Updated",
]
