"""`connect()`, and nothing that it needs: what moves bytes is imported when it is first called.

So a program that may never connect starts as if it never would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

    from spacetimedb_proto.limits import Limits

    from .async_connection import Connecting, Connection
    from .opening import Compression

__all__ = ["connect"]


def connect(  # noqa: PLR0913 - each option is one that users name
    uri: str,
    database: str,
    *,
    token: str | None = None,
    protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn"),
    compression: Compression | None = None,
    light: bool = False,
    confirmed: bool | None = None,
    reconnect: None = None,  # noqa: ARG001 - there is no other policy to choose
    limits: Limits | None = None,
    ssl: SSLContext | None = None,
) -> Connecting[Connection]:
    """Connect to a database, with bindings made from the schema that the server gives.

    ::

        async with connect("http://127.0.0.1:3000", "chat") as conn:
            await conn.subscribe("SELECT * FROM message")

    The first call imports what talks to a server. Who imports `Connection` beside `connect` has that done at the start.

    Args:
        uri: Where the server is: `http`, `https`, `ws` or `wss`. TLS is verified.
        database: Name or identity of the database.
        token: The token to connect with; without one the server makes a new identity.
        protocols: What to offer, of `"v3.bsatn"`, `"v2.bsatn"`, `"v1.bsatn"`, `"v1.json"`. The server chooses.
        compression: `"brotli"`, `"gzip"` or `"none"` for large messages; by default the best that is installed, and
            none on loopback.
        light: v1 only: be told of other clients' transactions without who caused them.
        confirmed: Whether to see only what is durable; None leaves it to the server (protocol reference, 3.9).
        reconnect: None: a lost connection ends the session.
        limits: What an untrusted server may cost.
        ssl: TLS settings; by default those of `ssl.create_default_context()`.

    Raises:
        ConnectError: When entered or awaited: `AuthenticationError`, `DatabaseNotFound`, `UnsupportedProtocol`,
            `ConnectionRefused`, or plainly `ConnectError` where no server answered.
    """
    from .async_connection import Connecting, open_connection  # noqa: PLC0415 - the reason is at the top of this module

    return Connecting(
        lambda: open_connection(
            uri,
            database,
            token=token,
            protocols=tuple(protocols),
            compression=compression,
            light=light,
            confirmed=confirmed,
            limits=limits,
            ssl=ssl,
        )
    )
