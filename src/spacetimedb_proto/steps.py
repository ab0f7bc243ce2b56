"""Long work in short steps, so that an event loop is never held up by a large message.

A function that works in steps is a generator: it yields between them and returns its result. Whoever drives it may do
other things in between, or run it to its end at once. No clock decides how long a step is, the number of rows does, so
that the same messages always take the same steps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias, TypeVar

__all__ = ["STEP", "Steps", "batches", "finish", "slices"]

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""Work that yields between its steps and returns a `T`."""

STEP: Final = 2048
"""Rows that one step touches at most: some milliseconds, whatever is done to them."""


def finish(steps: Steps[T]) -> T:
    """Take all steps that are left, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def slices(length: int) -> Iterator[slice]:
    """Cut a sequence of that length into parts for one step each."""
    return (slice(start, start + STEP) for start in range(0, length, STEP))


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut anything into lists for one step each."""
    iterator = iter(items)
    while batch := list(islice(iterator, STEP)):
        yield batch
