# In the layout of 0.7's generator: a table with a primary key.

from __future__ import annotations

from collections.abc import Callable, Iterator

from spacetimedb_sdk.spacetimedb_client import ReducerEvent, SpacetimeDBClient


class PkU64:
    is_table_class = True

    primary_key = "n"

    @classmethod
    def register_row_update(cls, callback: Callable[[str, PkU64, PkU64, ReducerEvent], None]):
        SpacetimeDBClient.instance._register_row_update("PkU64", callback)

    @classmethod
    def iter(cls) -> Iterator[PkU64]:
        return SpacetimeDBClient.instance._get_table_cache("PkU64").values()

    def __init__(self, data: list[object]):
        self.data = {}
        self.data["n"] = int(data[0])
        self.data["data"] = int(data[1])

    def __getattr__(self, name: str):
        return self.data.get(name)
