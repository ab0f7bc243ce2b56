"""The sans-IO core: SpacetimeDB's protocol as bytes and commands in, bytes and events out.

No socket, thread, clock, randomness or event loop in here; time and chance are arguments. Start with `ClientSession`
(messages), `ClientConnection` (bytes) or `load_schema`.
"""

from typing import TYPE_CHECKING

from .door import door
from .errors import (
    DecodeError,
    EncodeError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    SchemaError,
    SpacetimeDBError,
)

if TYPE_CHECKING:
    from .cache import Cache, Changes, Deleted, Inserted, Updated
    from .client import ClientSession
    from .events import NEED_DATA, Event
    from .limits import Limits
    from .schema import Schema, load_schema
    from .server import ServerSession
    from .uri import Endpoint
    from .websocket import ClientConnection, ServerConnection
else:
    __getattr__, __dir__ = door(
        __name__,
        {
            ".cache": ("Cache", "Changes", "Deleted", "Inserted", "Updated"),
            ".client": ("ClientSession",),
            ".events": ("NEED_DATA", "Event"),
            ".limits": ("Limits",),
            ".schema": ("Schema", "load_schema"),
            ".server": ("ServerSession",),
            ".uri": ("Endpoint",),
            ".websocket": ("ClientConnection", "ServerConnection"),
        },
    )

__all__ = [
    "NEED_DATA",
    "Cache",
    "Changes",
    "ClientConnection",
    "ClientSession",
    "DecodeError",
    "Deleted",
    "EncodeError",
    "Endpoint",
    "Event",
    "Inserted",
    "Limits",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "Schema",
    "SchemaError",
    "ServerConnection",
    "ServerSession",
    "SpacetimeDBError",
    "Updated",
    "load_schema",
]
