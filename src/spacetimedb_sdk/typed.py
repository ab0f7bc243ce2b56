"""What the classes in `typed.pyi` are while a program runs: the SDK's own, which hold for every module.

Generated stubs name them; a program may name them too, to annotate what it passes around.
"""

from spacetimedb_proto.door import aliases

__getattr__, __dir__ = aliases(
    __name__,
    {
        "BlockingConnection": "spacetimedb_sdk.blocking_connection:Connection",
        "Column": "spacetimedb_sdk.sql:Field",
        "Connection": "spacetimedb_sdk.async_connection:Connection",
        "Context": "spacetimedb_sdk.bindings.context:Context",
        "Fields": "spacetimedb_sdk.sql:Fields",
        "FrameConnection": "spacetimedb_sdk.frame:Connection",
        "KeyedTable": "spacetimedb_sdk.bindings.tables:TableHandle",
        "Procedure": "spacetimedb_sdk.bindings.functions:Procedure",
        "Reducer": "spacetimedb_sdk.bindings.functions:Reducer",
        "RowQuery": "spacetimedb_sdk.sql:Query",
        "Subscription": "spacetimedb_sdk.bindings.subscription:Subscription",
        "Table": "spacetimedb_sdk.bindings.tables:TableHandle",
        "TableChange": "spacetimedb_proto.cache:TableChange",
        "TableQuery": "spacetimedb_sdk.bindings.generated:TableQuery",
        "Things": "spacetimedb_sdk.bindings.names:Namespace",
    },
)
