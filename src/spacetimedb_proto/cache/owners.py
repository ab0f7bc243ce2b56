"""Who holds a row, and how often.

Nearly every row is held once, by one query set, so that case is a plain int: the query set's id. A row held more often
is a dict from query set id to count. An owner is never changed in place: plans share it with the table until commit.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Owner", "add", "count", "drop", "remove"]

Owner: TypeAlias = int | dict[int, int]


def add(owner: Owner | None, query_set: int) -> Owner:
    """The owner after one more delivery for `query_set`."""
    if owner is None:
        return query_set
    if isinstance(owner, int):
        return {owner: 2} if owner == query_set else {owner: 1, query_set: 1}
    return {**owner, query_set: owner.get(query_set, 0) + 1}


def remove(owner: Owner | None, query_set: int) -> Owner | None:
    """The owner after one delivery less for `query_set`; None when nobody holds the row any more.

    Raises:
        KeyError: `query_set` does not hold the row.
    """
    if isinstance(owner, int):
        if owner != query_set:
            raise KeyError(query_set)
        return None
    if owner is None:
        raise KeyError(query_set)
    left = {**owner, query_set: owner[query_set] - 1}
    return _compact(left)


def drop(owner: Owner, query_set: int) -> Owner | None:
    """The owner after `query_set` gave up all its deliveries of the row."""
    if isinstance(owner, int):
        return None if owner == query_set else owner
    return _compact({**owner, query_set: 0})


def count(owner: Owner) -> int:
    """How often the row is held, over all query sets."""
    return 1 if isinstance(owner, int) else sum(owner.values())


def _compact(counts: dict[int, int]) -> Owner | None:
    held = {query_set: n for query_set, n in counts.items() if n}
    match list(held.items()):
        case []:
            return None
        case [(query_set, 1)]:
            return query_set
        case _:
            return held
