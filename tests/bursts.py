"""A burst of any events, for those who only hand them out."""

from __future__ import annotations

from spacetimedb_proto.bursts import Burst

__all__ = ["BurstOf"]


class BurstOf(Burst):
    """Hands out what it is given."""

    def __init__(self, events):
        self._told = iter(events)

    def __next__(self):
        return next(self._told)
