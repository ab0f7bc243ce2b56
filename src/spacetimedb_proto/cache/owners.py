"""Who holds a row, and how often.

Nearly every row is held once, by one query set, so that case is a plain int: the query set's id. A row held more often
has pairs of query set id and count. Owners are values: rows that are held alike share one, since a dict for each of a
million rows would take more memory than the rows, and the garbage collector's time besides.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

__all__ = ["Owner", "add", "count", "drop", "remove"]

Owner: TypeAlias = int | tuple[tuple[int, int], ...]

_SHARED: Final = 4096  # answers remembered by each function; rows are held in few ways


@lru_cache(_SHARED)
def add(owner: Owner | None, query_set: int) -> Owner:
    """The owner after one more delivery for `query_set`."""
    if owner is None:
        return query_set
    counts = _counts(owner)
    counts[query_set] = counts.get(query_set, 0) + 1
    return tuple(counts.items())


@lru_cache(_SHARED)
def remove(owner: Owner | None, query_set: int) -> Owner | None:
    """The owner after one delivery less for `query_set`; None when nobody holds the row any more.

    Raises:
        KeyError: `query_set` does not hold the row.
    """
    counts = {} if owner is None else _counts(owner)
    counts[query_set] -= 1
    return _compact(counts)


@lru_cache(_SHARED)
def drop(owner: Owner, query_set: int) -> Owner | None:
    """The owner after `query_set` gave up all its deliveries of the row."""
    return _compact({**_counts(owner), query_set: 0})


def count(owner: Owner) -> int:
    """How often the row is held, over all query sets."""
    return 1 if isinstance(owner, int) else sum(n for _, n in owner)


def _counts(owner: Owner) -> dict[int, int]:
    return {owner: 1} if isinstance(owner, int) else dict(owner)


def _compact(counts: dict[int, int]) -> Owner | None:
    held = tuple((query_set, n) for query_set, n in counts.items() if n)
    if not held:
        return None
    return held[0][0] if len(held) == 1 and held[0][1] == 1 else held
