"""What a callback is told: the event, and the connection as it stands right after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.bursts import transaction_of
from spacetimedb_proto.cache.changes import RowSource
from spacetimedb_proto.events import (
    Disconnected,
    ReducerEvent,
    Resumed,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
    UnsubscribeApplied,
)
from spacetimedb_proto.wire.runs import RowPair

if TYPE_CHECKING:
    from .engine import Engine
    from .functions import Procedures, Reducers
    from .tables import Db

__all__ = ["CallbackEvent", "Context", "RowContext"]

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


class RowContext(Context):
    """The context of a transaction that replaced one row. Its event is made when somebody asks for it: few do.

    Attributes:
        engine: The connection's.
        source: The table.
        pair: The row that came and the one that left.
    """

    # Made by `object.__new__` and filled in: a constructor would be a good part of what such a transaction costs.
    __slots__ = ("_made", "engine", "pair", "source")

    engine: Engine
    source: RowSource
    pair: RowPair
    _made: Transaction

    @property
    def event(self) -> CallbackEvent:  # type: ignore[override]  # nobody sets it
        """What happened."""
        try:
            made = self._made
        except AttributeError:
            made = self._made = transaction_of(self.source, self.pair)
        return made

    @property
    def _engine(self) -> Engine:  # type: ignore[override]
        return self.engine
