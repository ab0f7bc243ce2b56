"""Rows that are replaced under their primary keys, one in each transaction: what a busy table sends all the time.

Plan and commit are one step then, and what can be done for many rows at once is done ahead: their keys are read, and
their objects made. The rows themselves are replaced one by one, as whoever takes them asks for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import attrs

from ..errors import DecodeError
from ..steps import finish
from ..wire.runs import RowPair, Run
from .changes import Rows, RowSource
from .index import Indexes
from .keys import Key, Keys
from .store import Store

__all__ = ["Replaceable", "Replacements"]

_MOST: Final = 128
"""Rows for which anything is done ahead: what is made stays in the processor's cache until it is used."""


class _Part(NamedTuple):
    """What was done ahead for some messages.

    Attributes:
        keys: Of the rows that came.
        olds: The rows that left as objects, or nothing without end.
        news: The rows that came, in the same way.
        error: If a message is alone, why it has no objects.
    """

    keys: Sequence[Key]
    olds: Iterable[Any]
    news: Iterable[Any]
    error: DecodeError | None


@attrs.frozen
class Replaceable:
    """A table whose rows can be replaced.

    Attributes:
        source: The table.
        store: Its rows.
        keys: How those are told apart.
        indexes: Its indexes.
        query_set: Who replaces rows.
    """

    source: RowSource
    store: Store
    keys: Keys
    indexes: Indexes
    query_set: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether rows are noted anywhere but in the store, its memo, and the indexes."""
        return bool(self.store.held) or self.store.base != self.query_set


class Replacements:
    """The messages of a run, each applied when it is taken: until then the table is as the one before has left it.

    Several may take in turns, in either way. While they do, others may read the table but not change it.

    Args:
        run: The messages.
        table: Whose rows they replace.

    Attributes:
        source: The table.
        odd: The rows of the message that takes more than replacing one by the other. It has not been applied.
        is_over: Whether there is nothing more to take: because of `odd`, or because everything has been.
    """

    def __init__(self, run: Run, table: Replaceable) -> None:
        self.source = table.source
        self.odd: RowPair | None = None
        self.is_over = False
        self._run = run
        self._table = table
        self._size = min(run.ahead, _MOST)
        self._stop = 0  # where the part ends that is under way
        self._left: Iterator[RowPair] = iter(())  # what is left of it

    @property
    def table_name(self) -> str:
        """The table's name."""
        return self._run.template.table_name

    def rest(self) -> Run:
        """What was not taken, as a run that begins with `odd`. Nothing is left here."""
        run = self._run
        odd = () if self.odd is None else (self.odd,)
        run.rows = [*odd, *self._left, *run.rows[self._stop :]]
        run.ahead = 1  # where one is odd, the next may be
        self.stop()
        return run

    def stop(self) -> None:
        """Apply nothing more, whoever asks."""
        self._left, self._stop = iter(()), len(self._run.rows)
        self.odd, self.is_over = None, True

    def applied(self) -> Iterator[RowPair]:
        """Apply messages; yields the bytes of the row that came and of the one that left."""
        return (pair for _, _, pair in self._applying(None, _ignore))

    def updates(self, skip: Callable[[DecodeError], object]) -> Iterator[tuple[Any, Any, RowPair]]:
        """Apply messages; yields the old row and the new one as objects, then as for `applied`.

        Args:
            skip: What to call with the error of a row that is none. Its message is applied, and not yielded.
        """
        return self._applying(self.source.make, skip)

    def _applying(
        self, make: Callable[[Rows], Iterable[Any]] | None, skip: Callable[[DecodeError], object]
    ) -> Iterator[tuple[Any, Any, RowPair]]:
        while pairs := self._next_part():
            part = self._prepared(pairs, make)
            if part is None:
                continue
            rows, memo, error = self._table.store.rows, self._table.store.memo, part.error
            known, indexes, is_elsewhere = rows.get, self._table.indexes.built, self._table.is_elsewhere
            self._left = left = iter(pairs)
            for pair, key, old, new in zip(left, part.keys, part.olds, part.news):  # noqa: B905  they may have no end
                if self._left is not left:  # stopped
                    return
                came, gone = pair
                if (
                    known(key) != gone
                    or came == gone
                    or ((is_elsewhere or indexes) and not self._replace_elsewhere(came, gone))
                ):
                    self._end(pair)
                    return
                rows[key] = came
                if memo:
                    memo.pop(key, None)
                if error is None:
                    yield old, new, pair
                else:
                    skip(error)

    def _next_part(self) -> Sequence[RowPair]:
        """What is left of the part that is under way, or the next one."""
        if self.is_over:
            return ()
        left = list(self._left)
        if left:
            return left
        part = self._run.rows[self._stop : self._stop + self._size]
        self._stop += len(part)
        self._size = min(2 * self._size, _MOST)
        self.is_over = not part
        return part

    def _prepared(self, pairs: Sequence[RowPair], make: Callable[[Rows], Iterable[Any]] | None) -> _Part | None:
        """Do ahead what can be done; None if the messages cannot be read together, and are to be tried otherwise."""
        cames, gones = zip(*pairs, strict=True)
        try:
            keys = self._table.keys.of_rows(cames)
        except DecodeError:
            if len(pairs) == 1:
                self._end(pairs[0])
            else:
                self._take_back(pairs)
            return None
        error = None
        olds: Iterable[Any] = repeat(None)
        news: Iterable[Any] = repeat(None)
        try:
            if make is not None:
                olds, news = make(gones), make(cames)
        except DecodeError as found:
            if len(pairs) > 1:
                self._take_back(pairs)
                return None
            error = found
        return _Part(keys, olds, news, error)

    def _take_back(self, pairs: Sequence[RowPair]) -> None:
        """Begin with half of a part."""
        self._stop -= len(pairs)
        self._size = len(pairs) // 2
        self._left = iter(())

    def _end(self, odd: RowPair) -> None:
        self.odd = odd
        self.is_over = True

    def _replace_elsewhere(self, came: bytes, left: bytes) -> bool:
        """Replace a row in the notes about owners and in the indexes; returns False if that cannot be."""
        store, indexes, query_set = self._table.store, self._table.indexes, self._table.query_set
        if store.held.get(left, store.base) != query_set:
            return False
        if indexes.built:
            try:
                moved = finish(indexes.changes((left,), (came,)))
            except DecodeError:
                return False
            finish(indexes.apply(moved))
        if store.base != query_set:
            del store.held[left]
            store.held[came] = query_set
        return True


def _ignore(_error: DecodeError) -> None:
    """Nothing is read, so nothing is unreadable."""
