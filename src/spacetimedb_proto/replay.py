"""The way back after a lost link: what the new one says is collected until every query set has been answered.

Readers keep the old rows meanwhile. Then all that was collected is applied as if it had been one message, and listeners
hear of what is different. So it makes no difference whether the server answers for all sets at once (protocol
reference, 8) or, being older, one by one with other clients' transactions in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .cache import CachePolicy, Changes, Deltas
from .events import (
    BatchApplied,
    Event,
    Resumed,
    SubscribeApplied,
    SubscriptionFailed,
    Transaction,
)
from .query_sets import QuerySet

__all__ = ["Replay"]


class Replay:
    """What a new link has said so far.

    Args:
        sets: The query sets that are asked for again.
        lean: Policies of the query sets that do not store their rows.

    Attributes:
        deltas: What it comes to.
    """

    def __init__(self, sets: Iterable[QuerySet], lean: Mapping[int, CachePolicy]) -> None:
        self.deltas = Deltas(lean)
        self._waiting = list(sets)
        self._applied: list[Event] = []
        self._others: list[Event] = []

    @property
    def is_complete(self) -> bool:
        """Whether all sets have been answered."""
        self._waiting = [query_set for query_set in self._waiting if query_set.is_unanswered]
        return not self._waiting

    def add(self, event: Event) -> None:
        """Note what a message came to; its changes of rows are in `deltas`."""
        match event:
            case SubscribeApplied():
                self._applied.append(event)
            case BatchApplied(applied, errors):
                self._applied += [SubscribeApplied(query_set_id, Changes()) for query_set_id in applied]
                self._others += [SubscriptionFailed(each, error, Changes()) for each, error in errors.items()]
            case Transaction():
                pass
            case _:
                self._others.append(event)

    def told(self, changes: Changes) -> list[Event]:
        """What to tell when all is applied, with these changes."""
        return [*self._applied, Resumed(changes), *self._others]

    def left(self) -> list[Event]:
        """What to tell if the link is lost first: whatever the next link will not say again."""
        return self._others
