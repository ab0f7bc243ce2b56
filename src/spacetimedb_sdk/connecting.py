"""`connect()`, and nothing that it needs: what moves bytes is imported when it is first called.

So a program that may never connect starts as if it never would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from os import PathLike
    from ssl import SSLContext
    from typing import Unpack

    from spacetimedb_proto.backoff import Backoff
    from spacetimedb_proto.connection import Timeouts
    from spacetimedb_proto.limits import Limits
    from spacetimedb_proto.options import Compression

    from .async_connection import Connecting, Connection
    from .tokens import Token
    from .typed import ConnectOptions, Package

    _Connection = TypeVar("_Connection", bound=Connection)

__all__ = ["connect"]


@overload
def connect(
    uri: str, database: str, *, bindings: Package[_Connection], **options: Unpack[ConnectOptions]
) -> Connecting[_Connection]: ...


@overload
def connect(
    uri: str, database: str, *, bindings: None = None, **options: Unpack[ConnectOptions]
) -> Connecting[Connection]: ...


def connect(  # noqa: PLR0913 - each option is one that users name
    uri: str,
    database: str,
    *,
    token: Token | None = None,
    bindings: Package[Any] | None = None,
    protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn"),
    compression: Compression | None = None,
    light: bool = False,
    confirmed: bool | None = None,
    reconnect: Backoff | bool | None = True,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl: SSLContext | None = None,
    record: str | PathLike[str] | None = None,
) -> Connecting[Any]:
    """Connect to a database.

    ::

        async with connect("http://127.0.0.1:3000", "chat") as conn:
            await conn.subscribe("SELECT * FROM message")

    The first call imports what talks to a server. Who imports `Connection` beside `connect` has that done at the start.

    Args:
        uri: Where the server is: `http`, `https`, `ws` or `wss`. TLS is verified.
        database: Name or identity of the database.
        token: The token to connect with, or where it comes from: `TokenFile`, `TokenEnv`, `TokenCli`, or a function,
            which is asked for each attempt to connect. Without one the server makes a new identity.
        bindings: A package that `spacetimedb-sdk generate` has written, for static types. Without one, all is made from
            the schema while the program runs, which behaves the same.
        protocols: What to offer, of `"v3.bsatn"`, `"v2.bsatn"`, `"v1.bsatn"`, `"v1.json"`. The server chooses.
        compression: `"brotli"`, `"gzip"` or `"none"` for large messages; by default the best that is installed, and
            none on loopback.
        light: v1 only: be told of other clients' transactions without who caused them.
        confirmed: Whether to see only what is durable; None leaves it to the server (protocol reference, 3.9).
        reconnect: When to connect again after the connection was lost: a `Backoff`, which True is with its defaults;
            None or False for never. A first attempt that fails, and a refusal, are never repeated.
        limits: What an untrusted server may cost.
        timeouts: How long to wait for what: the handshake, a sign of life, the server's goodbye.
        ssl: TLS settings; by default those of `ssl.create_default_context()`.
        record: A file to write everything to that passes, for `spacetimedb_sdk.replay`. It is replaced if it is there,
            and holds no token, but all rows and arguments: only its owner may read it.

    Raises:
        ConnectError: When entered or awaited: `AuthenticationError`, `DatabaseNotFound`, `UnsupportedProtocol`,
            `ConnectionRefused`, or plainly `ConnectError` where no server answered.
        SchemaMismatch: When entered or awaited: the server's module is not the one that the bindings were made for.
        TypeError: An option is of another type.
        LocalProtocolError: An option has a value that there is not.
    """
    # The reason for these imports is at the top of this module.
    from .async_connection import Connecting, open_connection  # noqa: PLC0415
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
    return Connecting(lambda: open_connection(settings))
