"""The tables and reducers of a generated package of 0.7, and the rows of its tables."""

from __future__ import annotations

from .compat.names import class_name as snake_to_camel
from .compat.notices import deprecated
from .compat.packages import ClientCache, TableCache

__all__ = ["ClientCache", "TableCache", "snake_to_camel"]

deprecated("client_cache", "`conn.db`")
