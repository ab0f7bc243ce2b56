"""What every host does before it can talk: choose options, and read the module's schema.

No I/O here: what must be fetched is yielded, and the answer is sent back in.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, TypeAlias

from spacetimedb_proto.errors import ConnectError, SchemaError
from spacetimedb_proto.handshake import bearer
from spacetimedb_proto.http import HttpExchange, HttpResponse, refusal
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import Schema, load_schema
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.wire.compression import available

__all__ = ["Compression", "choose_compression", "read_schema"]

Compression: TypeAlias = Literal["none", "gzip", "brotli"]


def choose_compression(endpoint: Endpoint, wish: Compression | None) -> Compression:
    """The compression to ask the server for: by default the best installed one, and none on loopback.

    Raises:
        ConnectError: What is wished for is unknown or not installed.
    """
    installed = available()
    if wish is not None and wish not in installed:
        raise ConnectError(f"compression: expected one of {', '.join(installed)}, got {wish!r}")
    if wish is None and not endpoint.is_loopback:
        return "brotli" if "brotli" in installed else "gzip"
    return wish or "none"


def read_schema(
    endpoint: Endpoint, database: str, token: str | None, limits: Limits
) -> Generator[HttpExchange, HttpResponse, Schema]:
    """Ask for the module's definition as v10, and as v9 where the server does not know v10 (schema reference, 1.1).

    Yields:
        Requests to make; send the response back in.

    Raises:
        ConnectError: The server refused; the subclass says why.
    """
    headers = [] if token is None else [("authorization", bearer(token))]
    response = yield HttpExchange("GET", endpoint, endpoint.schema_target(database, 10), headers=headers, limits=limits)
    if response.status == 400:
        response = yield HttpExchange(
            "GET", endpoint, endpoint.schema_target(database, 9), headers=headers, limits=limits
        )
    if response.status != 200:
        raise refusal(response.status, response.body, token=token)
    try:
        return load_schema(response.body)
    except SchemaError as error:
        raise ConnectError(f"the server's schema cannot be understood: {error}", status=200) from error
