# In the layout of 0.7's generator: a table that the module has no more.

from __future__ import annotations

from spacetimedb_sdk.spacetimedb_client import SpacetimeDBClient


class GoneTable:
    is_table_class = True

    @classmethod
    def iter(cls):
        return SpacetimeDBClient.instance._get_table_cache("GoneTable").values()
