"""A subscription: a handle on one query set."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import attrs

from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.errors import LocalProtocolError, SpacetimeDBError, SubscriptionError
from spacetimedb_proto.events import SubscribeApplied, SubscriptionFailed, UnsubscribeApplied
from spacetimedb_proto.query_sets import QuerySet
from spacetimedb_proto.states import QuerySetState

from .context import Context
from .listeners import Listener, Listeners
from .pending import Pending

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Subscription"]

ContextCallback = Callable[[Context], object]


class Subscription:
    """A set of queries whose rows the cache holds and keeps up to date, or whose changes are told without that.

    On hosts that await, `await subscription` waits until it is applied and returns the subscription itself.
    """

    def __init__(self, engine: Engine, query_set: QuerySet) -> None:
        self.applied_listeners: Listeners[ContextCallback] = Listeners()
        self.ended_listeners: Listeners[ContextCallback] = Listeners()
        self._engine = engine
        self._query_set = query_set
        self._told_of: ClientSession | None = None
        self._ending: UnsubscribeApplied | SubscriptionFailed | None = None
        self._applied: Pending[Subscription] = engine.pending(f"subscribe {'; '.join(self.queries)[:200]}")
        self._ended: Pending[None] | None = None
        self._waiting = 0
        self._is_somebodys = False  # whether anybody has waited for it and got it
        self._successor: Subscription | None = None
        self._replacing: list[Pending[Subscription]] = []

    @property
    def queries(self) -> tuple[str, ...]:
        """The queries' texts."""
        return self._query_set.queries

    @property
    def cache(self) -> CachePolicy:
        """What is kept of its rows: `"full"`, `"keys"` or `"none"`."""
        return self._query_set.cache

    @property
    def state(self) -> QuerySetState:
        """Where it stands: requested, live, stale, leaving, ended; ended in any case when the connection is over."""
        return self._query_set.state if self._engine.ended is None else QuerySetState.ENDED

    @property
    def pending(self) -> Pending[Subscription]:
        """Its being applied, to be waited for."""
        return self._applied

    def on_applied(self, callback: ContextCallback) -> Listener[ContextCallback]:
        """Call `callback(ctx)` when the first rows are in the cache: at once, if they are already."""

        def add() -> tuple[Listener[ContextCallback], bool]:
            is_live = self.state in (QuerySetState.LIVE, QuerySetState.LEAVING)
            return self.applied_listeners.add(callback), is_live and self._told_of is self._engine.session

        listener, is_late = self._engine.atomically(add)
        if is_late:
            event = SubscribeApplied(self._query_set.id, self._engine.no_changes)
            self._engine.run(listener, Context(event, self._engine))
        return listener

    def on_ended(self, callback: ContextCallback) -> Listener[ContextCallback]:
        """Call `callback(ctx)` when it is over and its rows have left the cache: at once, if that is so already.

        `ctx.event` is a `SubscriptionFailed` when the server refused or ended it.
        """
        listener, ending = self._engine.atomically(lambda: (self.ended_listeners.add(callback), self._ending))
        if ending is not None:
            self._engine.run(listener, Context(ending, self._engine))
        return listener

    def unsubscribe(self, *, timeout: float | None = None) -> Any:
        """End it, at any time, also before it is applied. Doing it twice, or when the connection is over, is harmless.

        Without a connection it is over at once.

        Args:
            timeout: Seconds to wait, on a host that waits.

        Returns:
            What can be waited for: the rows have left the cache.
        """
        return self._engine.host.outcome(self.leave(), timeout)

    def leave(self) -> Pending[None]:
        """Ask for its end as `unsubscribe` does, without waiting on any host."""
        self._engine.host.check_caller()
        return self._engine.atomically(self._leave)

    def _leave(self) -> Pending[None]:
        if self._ended is None:
            self._ended = self._engine.pending("unsubscribe")
            if self._ending is not None or self._engine.ended is not None:
                self._ended.resolve(None)
            elif self.state is not QuerySetState.ENDED:  # else that is about to be told
                self._engine.unsubscribe(self._query_set.id)
        return self._ended

    def telling_applied(self) -> tuple[ContextCallback, ...]:
        """Note that it is being told that it is applied; returns who listens."""
        self._told_of = self._engine.session
        return self.applied_listeners.callbacks

    def telling_ended(self, event: UnsubscribeApplied | SubscriptionFailed) -> tuple[ContextCallback, ...]:
        """Note that it is being told that it is over; returns who listens."""
        self._ending = attrs.evolve(event, changes=self._engine.no_changes)  # late listeners missed the rows anyway
        return self.ended_listeners.callbacks

    def replace(self, *queries: str, timeout: float | None = None) -> Any:
        """Get the rows of other queries instead of these, without a gap: an area of interest moves.

        The new rows come first, then those leave that only the old queries matched; of rows that both match nobody
        hears. This subscription then stands for the new queries, and its `on_applied` listeners are called. If the
        server refuses them, all stays as it was. Replaced again before that, only the latest queries count.

        Args:
            queries: SQL.
            timeout: Seconds until new queries without an answer fail and are taken back; None waits for ever.

        Returns:
            What can be waited for: the old rows have left the cache. Its value is this subscription.

        Raises:
            SubscriptionError: When waited for: the server refused the new queries, or did not answer in time.
            LocalProtocolError: This subscription has ended, or is to.
        """
        pending = self._engine.atomically(lambda: self._replace(queries, timeout))
        return self._engine.host.outcome(pending, timeout)

    def _replace(self, queries: tuple[str, ...], timeout: float | None) -> Pending[Subscription]:
        if self._ending is not None or self._ended is not None:
            raise LocalProtocolError(f"expected a subscription that goes on, got {self!r}")
        engine = self._engine
        successor = engine.subscribe(queries, cache=self.cache, timeout=timeout)
        superseded, self._successor = self._successor, successor
        if superseded is not None:
            superseded.leave()
        successor.applied_listeners = self.applied_listeners
        pending: Pending[Subscription] = engine.pending(f"replace {'; '.join(self.queries)[:200]}")
        self._replacing.append(pending)
        successor.pending.add_done_callback(lambda _: engine.atomically(lambda: self._succeed(successor)))
        return pending

    def _succeed(self, successor: Subscription) -> None:
        """The new queries have been answered: stand for them from now on, and let go of the old ones."""
        error = successor.pending.exception()
        if successor is not self._successor:
            return
        self._successor = None
        if error is None and self._ended is None and self._ending is None:
            retired = Subscription(self._engine, self._query_set)
            retired.applied()  # nobody waits for it, so nobody should hear that it ended
            self._query_set, self._told_of = successor._query_set, successor._told_of
            self._engine.hand_over(self._query_set.id, self)
            self._engine.hand_over(retired._query_set.id, retired)
            if not self._applied.done():
                self._applied.resolve(self)
            retired.leave().add_done_callback(lambda _: self._replaced(None))
            return
        successor.leave()
        self._replaced(error or SubscriptionError("it was unsubscribed before it was replaced"))

    def _replaced(self, error: SpacetimeDBError | None) -> None:
        if self._successor is not None:
            return  # replaced again meanwhile: whoever waits, waits for that
        replacing, self._replacing = self._replacing, []
        for pending in replacing:
            if error is None:
                pending.resolve(self)
            else:
                pending.fail(error)

    def applied(self) -> bool:
        """Note that it is applied; returns whether anybody waited."""
        return self._applied.resolve(self)

    def ended(self, event: UnsubscribeApplied | SubscriptionFailed) -> bool:
        """Note that it is over; returns whether anybody waited."""
        error = event.error if isinstance(event, SubscriptionFailed) else None
        waited = self._ended.resolve(None) if self._ended is not None else False
        if not self._applied.done():
            waited |= self._applied.fail(error or SpacetimeDBError("unsubscribed before it was applied"))
            if error is not None and not self.ended_listeners:
                self._applied.report_unclaimed()  # handles are kept for long, and who keeps one need never ask
            return waited
        if error is not None and not self.ended_listeners and self._ended is None:
            self._engine.report(error, f"subscription {'; '.join(self.queries)[:200]}")
        return waited

    def lost(self, error: SpacetimeDBError) -> None:
        """Note that the connection is over."""
        if not self._applied.done():
            self._applied.fail(error)
        if self._ended is not None and not self._ended.done():
            self._ended.resolve(None)

    def __await__(self) -> Generator[Any, Any, Subscription]:
        was_applied = self._applied.done()
        self._waiting += 1
        try:
            yield from self._applied.__await__()  # type: ignore[attr-defined]
        except BaseException:
            # Whoever waited was cancelled, and with it the wish for the rows: also when they came in the same moment.
            if not (was_applied or self._is_somebodys) and self._waiting == 1:
                self.unsubscribe()
            raise
        else:
            self._is_somebodys = True
            return self
        finally:
            self._waiting -= 1

    def __repr__(self) -> str:
        return f"<subscription {self.state.value}: {'; '.join(self.queries)}>"
