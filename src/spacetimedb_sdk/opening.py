"""What `connect()` does on every host: read its options, and make what then has to be driven.

No I/O here but for what a token source does when it is asked.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from ssl import SSLContext
from types import NoneType
from typing import Any, cast

import attrs

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.bsatn.values import ConnectionId
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.errors import AuthenticationError, LocalProtocolError
from spacetimedb_proto.handshake import offered_protocols
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Compression, Options
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.wire.compression import available

from .bindings.generated import Bindings, bindings_of
from .recording import Recorder
from .token_keeper import TokenKeeper
from .tokens import TokenSource, source_of

__all__ = ["Settings", "choose_compression", "next_token_async", "next_token_now"]


def _is(what: str, *types: type[Any]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for an option that is of one of these types."""

    def check(_settings: object, option: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, types):
            raise TypeError(f"{option.name}: expected {what}, got {shown(value)}")

    return check


def _are_texts(_settings: object, option: attrs.Attribute[Any], value: Any) -> None:
    is_one = isinstance(value, str) or not isinstance(value, Sequence)
    if is_one or not all(isinstance(each, str) for each in cast("Sequence[object]", value)):
        raise TypeError(f"{option.name}: expected several texts, such as ('v3.bsatn', 'v2.bsatn'), got {shown(value)}")


def _are_known(_settings: object, _option: object, value: Sequence[str]) -> None:
    offered_protocols(value)


def _is_installed(_settings: object, option: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and value not in (installed := available()):
        raise LocalProtocolError(f"{option.name}: expected one of {', '.join(installed)}, got {value!r}")


@attrs.frozen(kw_only=True)
class Settings:
    """The options of `connect()`, as its docstring explains them.

    Raises:
        TypeError: One is of another type.
        LocalProtocolError: One of the protocols is none, or there is no such compression, or it is not installed.
    """

    uri: str = attrs.field(validator=_is("a text", str))
    database: str = attrs.field(validator=_is("a text", str))
    token: TokenSource = attrs.field(repr=False, converter=source_of)
    protocols: Sequence[str] = attrs.field(validator=[_are_texts, _are_known])
    compression: Compression | None = attrs.field(validator=[_is("a text or None", str, NoneType), _is_installed])
    light: bool = attrs.field(validator=_is("a bool", bool))
    confirmed: bool | None = attrs.field(validator=_is("a bool or None", bool, NoneType))
    reconnect: Backoff | bool | None = attrs.field(validator=_is("a Backoff, a bool or None", Backoff, bool, NoneType))
    limits: Limits | None = attrs.field(validator=_is("Limits or None", Limits, NoneType))
    timeouts: Timeouts | None = attrs.field(validator=_is("Timeouts or None", Timeouts, NoneType))
    ssl: SSLContext | None = attrs.field(validator=_is("an SSLContext or None", SSLContext, NoneType))
    record: str | PathLike[str] | None = attrs.field(
        default=None, validator=_is("a path or None", str, PathLike, NoneType)
    )
    bindings: Bindings[Any, Any, Any] | None = attrs.field(
        default=None, converter=attrs.converters.optional(bindings_of)
    )

    def core(self, now: float) -> DurableConnection:
        """Make the session.

        Args:
            now: The time, on the host's clock.

        Raises:
            ConnectError: The address or the database's name is none, or the recording cannot be written.
        """
        bindings = self.bindings
        endpoint = Endpoint.parse(self.uri)
        backoff = Backoff() if self.reconnect is True else self.reconnect or None
        recorder = None if self.record is None else Recorder(self.record, self.database)
        options = Options(
            protocols=offered_protocols(self.protocols),
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
        """Make what decides about tokens."""
        return TokenKeeper(self.token)


def choose_compression(endpoint: Endpoint, wish: Compression | None) -> Compression:
    """The compression to ask the server for: by default the best installed one, and none on loopback."""
    if wish is None and not endpoint.is_loopback:
        return "brotli" if "brotli" in available() else "gzip"
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
