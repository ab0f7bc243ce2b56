"""Several events at once, where a session has them: what `advance()` returns beside single ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from .cache import RowUpdated
from .cache.changes import RowSource
from .cache.replacing import Replacements
from .events import Event, NeedData, Transaction, Working
from .wire.runs import RowPair

__all__ = ["Advance", "Burst", "next_of", "transaction_of"]


class Burst(Replacements):
    """Transactions that replace one row each, all of one table. Taking one applies it.

    It need not be used up: what is left comes again. It can be taken as events, by iterating, or with less ado.
    """

    _events: Iterator[RowPair] | None = None

    def __iter__(self) -> Iterator[Transaction]:
        return self

    def __next__(self) -> Transaction:
        if self._events is None:
            self._events = self.applied()
        pair = next(self._events)
        return transaction_of(self.source, pair)


def transaction_of(source: RowSource, pair: RowPair) -> Transaction:
    """The event of a transaction that has replaced one row of a table."""
    change = RowUpdated()
    change.source = source
    change.after, change.before = pair
    return Transaction(change)


Advance: TypeAlias = Event | NeedData | Working | Burst
"""What `advance()` returns."""


def next_of(advance: Callable[[], Advance]) -> Event | NeedData:
    """The next event, however many calls of `advance` that takes."""
    while True:
        outcome = advance()
        if isinstance(outcome, Burst):
            for event in outcome:
                return event
        elif not isinstance(outcome, Working):
            return outcome
