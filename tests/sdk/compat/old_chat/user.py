# In the layout of 0.7's generator, for the chat of its quick start: table User.

from __future__ import annotations

from collections.abc import Callable, Iterator

from spacetimedb_sdk.spacetimedb_client import Identity, ReducerEvent, SpacetimeDBClient


class User:
    is_table_class = True

    primary_key = "identity"

    @classmethod
    def register_row_update(cls, callback: Callable[[str, User, User, ReducerEvent], None]):
        SpacetimeDBClient.instance._register_row_update("User", callback)

    @classmethod
    def iter(cls) -> Iterator[User]:
        return SpacetimeDBClient.instance._get_table_cache("User").values()

    @classmethod
    def filter_by_identity(cls, identity) -> User:
        rows = SpacetimeDBClient.instance._get_table_cache("User").values()
        return next(iter([row for row in rows if row.identity == identity]), None)

    @classmethod
    def filter_by_online(cls, online) -> list[User]:
        rows = SpacetimeDBClient.instance._get_table_cache("User").values()
        return [row for row in rows if row.online == online]

    def __init__(self, data: list[object]):
        self.data = {}
        self.data["identity"] = Identity.from_string(data[0][0])
        self.data["name"] = str(data[1]["0"]) if "0" in data[1] else None
        self.data["online"] = bool(data[2])

    def encode(self) -> list[object]:
        return [self.identity, {"0": [self.name]}, self.online]

    def __getattr__(self, name: str):
        return self.data.get(name)
