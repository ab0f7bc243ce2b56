"""Counters and lengths of queues, as one object to read or to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from spacetimedb_proto.durable import DurableConnection

if TYPE_CHECKING:
    from .bindings.engine import Engine

__all__ = ["Statistics"]


@attrs.frozen
class Statistics:
    """How a connection is doing at one moment. `str()` of it is a list.

    Attributes:
        links: Links to the server that were greeted so far; one less than that were reconnects.
        failed_attempts: Attempts to connect in a row that have failed since the last link was lost.
        bytes_received: Bytes received over all links.
        bytes_sent: Bytes handed to the transport over all links.
        backlog_bytes: Bytes of messages that were received and that nobody has begun to apply.
        calls_waiting: Calls and queries without an answer, sent or not.
        query_sets: Subscriptions that have not ended.
        longest_stream: Items that the slowest consumer of a stream has not read.
        errors_reported: Errors that nobody else saw: raised by callbacks, or of calls that nobody awaited.
    """

    links: int
    failed_attempts: int
    bytes_received: int
    bytes_sent: int
    backlog_bytes: int
    calls_waiting: int
    query_sets: int
    longest_stream: int
    errors_reported: int

    @classmethod
    def of(cls, core: DurableConnection, engine: Engine | None) -> Statistics:
        """Count."""
        session = None if engine is None else engine.session
        return cls(
            links=core.links,
            failed_attempts=core.failed_attempts,
            bytes_received=core.bytes_received,
            bytes_sent=core.bytes_sent,
            backlog_bytes=0 if session is None else session.backlog,
            calls_waiting=0 if session is None else session.calls_waiting,
            query_sets=0 if session is None else len(session.query_sets),
            longest_stream=0 if engine is None else engine.longest_stream(),
            errors_reported=0 if engine is None else engine.hooks.errors_reported,
        )

    def __str__(self) -> str:
        return "\n".join(f"{name.replace('_', ' ')}: {value:,}" for name, value in attrs.asdict(self).items())
