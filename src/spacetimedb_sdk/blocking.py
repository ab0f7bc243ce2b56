"""The SDK for programs that block: scripts, threads, notebooks. The same names as with `await`, without it.

::

    from spacetimedb_sdk.blocking import connect

    with connect("http://127.0.0.1:3000", "chat") as conn:
        conn.subscribe("SELECT * FROM message")
        for message in conn.db.message:
            print(message.sender, message.text)

No event loop is imported or run. As at the front door, what talks to a server is imported when `connect` is first
called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from spacetimedb_proto.door import door

if TYPE_CHECKING:
    from os import PathLike
    from ssl import SSLContext
    from typing import Unpack

    from spacetimedb_proto.backoff import Backoff
    from spacetimedb_proto.connection import Timeouts
    from spacetimedb_proto.limits import Limits
    from spacetimedb_proto.options import Compression

    from .blocking_connection import Connection
    from .blocking_host import BlockingPending, BlockingStream
    from .tokens import Token
    from .typed import BlockingOptions, BlockingPackage

    _Connection = TypeVar("_Connection", bound=Connection)
else:
    __getattr__, __dir__ = door(
        __name__,
        {
            "spacetimedb_sdk.blocking_connection": ("Connection",),
            "spacetimedb_sdk.blocking_host": ("BlockingPending", "BlockingStream"),
        },
    )

__all__ = ["BlockingPending", "BlockingStream", "Connection", "connect"]


@overload
def connect(
    uri: str, database: str, *, bindings: BlockingPackage[_Connection], **options: Unpack[BlockingOptions]
) -> _Connection: ...


@overload
def connect(uri: str, database: str, *, bindings: None = None, **options: Unpack[BlockingOptions]) -> Connection: ...


def connect(  # noqa: PLR0913 - each option is one that users name
    uri: str,
    database: str,
    *,
    token: Token | None = None,
    bindings: BlockingPackage[Any] | None = None,
    protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn"),
    compression: Compression | None = None,
    light: bool = False,
    confirmed: bool | None = None,
    reconnect: Backoff | bool | None = True,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl: SSLContext | None = None,
    record: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> Any:
    """Connect to a database, and wait until the server has greeted.

    Close it with `close()`, or have `with` do so. Any thread may use it.

    Args:
        uri: Where the server is, and all further options: as `spacetimedb_sdk.connect` explains them. A function that
            gives tokens may block, and must not be a coroutine function.
        database: Name or identity of the database.
        token: The token to connect with, or where it comes from.
        bindings: A generated package, for static types, into whose classes rows are read.
        protocols: What to offer.
        compression: Of large messages.
        light: v1 only: be told of other clients' transactions without who caused them.
        confirmed: Whether to see only what is durable.
        reconnect: When to connect again after the connection was lost.
        limits: What an untrusted server may cost.
        timeouts: How long to wait for what of the network.
        ssl: TLS settings.
        record: A file to write everything to that passes.
        timeout: Seconds that any call that waits may take which is not told otherwise, this one included; None for
            ever. Only `for` over a stream is not such a call.

    Raises:
        ConnectError: `AuthenticationError`, `DatabaseNotFound`, `UnsupportedProtocol`, `ConnectionRefused`, or plainly
            `ConnectError` where no server answered, or not in time.
        TypeError: An option is of another type.
        LocalProtocolError: An option has a value that there is not, or a source of tokens would have to be awaited.
    """
    # The reason for these imports is at the top of this module.
    from .blocking_connection import open_connection  # noqa: PLC0415
    from .opening import Settings  # noqa: PLC0415

    settings = Settings(
        uri=uri,
        database=database,
        token=token,
        bindings=bindings,
        protocols=protocols,
        compression=compression,
        light=light,
        confirmed=confirmed,
        reconnect=reconnect,
        limits=limits,
        timeouts=timeouts,
        ssl=ssl,
        record=record,
    )
    return open_connection(settings, timeout)
