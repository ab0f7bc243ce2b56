"""What `connect()` does on every host: read its options, and make what then has to be driven.

No I/O here but for what a token source does when it is asked.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from functools import partial
from os import PathLike
from ssl import SSLContext
from typing import Any

import attrs

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.values import ConnectionId
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import AuthenticationError, ConnectError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Compression, Options
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.wire.compression import available

from .bindings.generated import bindings_of
from .recording import Recorder
from .token_keeper import TokenKeeper
from .tokens import Token, source_of

__all__ = ["Settings", "choose_compression", "next_token_async", "next_token_now"]


@attrs.frozen(kw_only=True)
class Settings:
    """The options of `connect()`, as its docstring explains them."""

    uri: str
    database: str
    token: Token | None = attrs.field(repr=False)
    protocols: Sequence[str]
    compression: Compression | None
    light: bool
    confirmed: bool | None
    reconnect: Backoff | bool | None
    limits: Limits | None
    timeouts: Timeouts | None
    ssl: SSLContext | None
    record: str | PathLike[str] | None = None
    bindings: Any = None

    def core(self, now: float) -> DurableConnection:
        """Make the session.

        Args:
            now: The time, on the host's clock.

        Raises:
            ConnectError: The address, the database's name or the compression is none, or the recording cannot be
                written.
            LocalProtocolError: One of the protocols is none.
            TypeError: The bindings are none.
        """
        bindings = None if self.bindings is None else bindings_of(self.bindings)
        endpoint = Endpoint.parse(self.uri)
        backoff = Backoff() if self.reconnect is True else self.reconnect or None
        recorder = None if self.record is None else Recorder(self.record, self.database)
        options = Options(
            protocols=tuple(self.protocols),
            compression=choose_compression(endpoint, self.compression),
            light=self.light,
            confirmed=self.confirmed,
            backoff=backoff,
            # Never kept or shared: two connections with one id would evict each other for ever.
            session_id=ConnectionId.from_wire(secrets.token_bytes(16)) if backoff is not None else None,
            limits=self.limits or Limits(),
            timeouts=self.timeouts or Timeouts(),
            prepare=None if bindings is None else partial(bindings.prepare, uri=self.uri, database=self.database),
            tap=recorder,
        )
        core = DurableConnection(endpoint, self.database, options, chance=random.random, now=now)
        if recorder is not None:  # last, so that a file is begun for a session only
            recorder.open()
        return core

    def keeper(self) -> TokenKeeper:
        """Make what decides about tokens.

        Raises:
            TypeError: The token is none, and no source of one.
        """
        return TokenKeeper(source_of(self.token))


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


async def next_token_async(core: DurableConnection, keeper: TokenKeeper) -> str | None:
    """The token for the next attempt to connect; its source may be awaited.

    Raises:
        AuthenticationError: There should be one, and there is none that could be used.
    """
    _check_refusal(core, keeper)
    return await keeper.token_async(time.time())


def next_token_now(core: DurableConnection, keeper: TokenKeeper) -> str | None:
    """The token for the next attempt to connect. Raises as `next_token_async`, and for a source to be awaited."""
    _check_refusal(core, keeper)
    return keeper.token_now(time.time())


def _check_refusal(core: DurableConnection, keeper: TokenKeeper) -> None:
    if core.token_was_refused and not keeper.refused():
        ending = core.ending
        raise (ending and ending.error) or AuthenticationError("the server refused the token")
