# In the layout of 0.7's generator: a table whose class has fallen behind its module, and reads a second column.

from __future__ import annotations

from spacetimedb_sdk.spacetimedb_client import SpacetimeDBClient


class OneString:
    is_table_class = True

    @classmethod
    def register_row_update(cls, callback):
        SpacetimeDBClient.instance._register_row_update("OneString", callback)

    def __init__(self, data: list[object]):
        self.data = {"s": str(data[0]), "t": str(data[1])}
