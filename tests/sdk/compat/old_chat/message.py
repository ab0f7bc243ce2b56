# In the layout of 0.7's generator, for the chat of its quick start: table Message, without a primary key.

from __future__ import annotations

from collections.abc import Callable, Iterator

from spacetimedb_sdk.spacetimedb_client import Identity, ReducerEvent, SpacetimeDBClient


class Message:
    is_table_class = True

    @classmethod
    def register_row_update(cls, callback: Callable[[str, Message, Message, ReducerEvent], None]):
        SpacetimeDBClient.instance._register_row_update("Message", callback)

    @classmethod
    def iter(cls) -> Iterator[Message]:
        return SpacetimeDBClient.instance._get_table_cache("Message").values()

    @classmethod
    def filter_by_sender(cls, sender) -> list[Message]:
        rows = SpacetimeDBClient.instance._get_table_cache("Message").values()
        return [row for row in rows if row.sender == sender]

    def __init__(self, data: list[object]):
        self.data = {}
        self.data["sender"] = Identity.from_string(data[0][0])
        self.data["sent"] = int(data[1])
        self.data["text"] = str(data[2])

    def encode(self) -> list[object]:
        return [self.sender, self.sent, self.text]

    def __getattr__(self, name: str):
        return self.data.get(name)
