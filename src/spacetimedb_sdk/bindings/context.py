"""What a callback is told: the event, and the connection as it stands right after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.events import (
    Disconnected,
    ReducerEvent,
    Resumed,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)

if TYPE_CHECKING:
    from .engine import Engine
    from .functions import Procedures, Reducers
    from .tables import Db

__all__ = ["CallbackEvent", "Context"]

CallbackEvent: TypeAlias = (
    ReducerEvent | SubscribeApplied | UnsubscribeApplied | SubscriptionFailed | Transaction | Resumed | Disconnected
)


@attrs.define(eq=False)
class Context:
    """The first argument of every callback.

    Attributes:
        event: What happened. Its row changes are already in the cache.
    """

    event: CallbackEvent
    _engine: Engine = attrs.field(repr=False, alias="engine")

    @property
    def db(self) -> Db:
        """The tables, exactly as of this event."""
        return self._engine.db

    @property
    def reducers(self) -> Reducers:
        """The reducers. A call starts at once and need not be awaited; `on_error` hears of an unclaimed failure."""
        return self._engine.reducers

    @property
    def procedures(self) -> Procedures:
        """The procedures; calls behave as those of reducers do."""
        return self._engine.procedures

    @property
    def identity(self) -> Identity | None:
        """This client's identity."""
        return self._engine.session.identity

    @property
    def connection_id(self) -> ConnectionId | None:
        """This connection's id."""
        return self._engine.session.connection_id
