"""What a user chooses once about a session, and what then holds for all of its links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import attrs

from .backoff import Backoff
from .bsatn.values import ConnectionId
from .connection import Timeouts
from .limits import Limits
from .schema import Schema
from .tap import Tap

__all__ = ["Compression", "Options"]

Compression: TypeAlias = Literal["none", "gzip", "brotli"]


@attrs.frozen(kw_only=True)
class Options:
    """What stays the same over all links.

    Attributes:
        protocols: Subprotocols to offer. The server takes the newest that it knows.
        compression: What the server may compress large messages with.
        light: Leave reducer information out of transactions; v1 only.
        confirmed: Wait for durable transactions, or not; None leaves it to the server.
        backoff: When to connect again after a loss; None if never.
        session_id: Tells the server which lost link a new one takes the place of; None without a `backoff`.
        limits: What the server may cost.
        timeouts: How long to wait for what.
        prepare: Called once with the module's definition, before anything is made of it. What it raises, which must be
            a `SpacetimeDBError`, ends the session.
        tap: Is shown what passes over all links.
    """

    protocols: Sequence[str] = ("v3.bsatn", "v2.bsatn", "v1.bsatn")
    compression: Compression = "none"
    light: bool = False
    confirmed: bool | None = None
    backoff: Backoff | None = None
    session_id: ConnectionId | None = None
    limits: Limits = attrs.field(factory=Limits)
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    prepare: Callable[[Schema], object] | None = None
    tap: Tap | None = None
