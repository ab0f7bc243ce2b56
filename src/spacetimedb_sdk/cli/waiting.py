"""Waiting for what comes, with an eye on Ctrl-C.

A signal that arrives in the moment before a wait begins is noticed only when the wait ends; so no wait here is long.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Final, TypeVar

__all__ = ["PULSE", "read_along"]

T = TypeVar("T")

PULSE: Final = 0.25
"""Seconds that one wait takes at most."""


def read_along(items: Iterator[T]) -> Iterator[T]:
    """The items of something that can only be waited for without end, read by a thread of its own.

    Raises:
        Exception: What ended it.
    """
    read: queue.SimpleQueue[tuple[T] | Exception | None] = queue.SimpleQueue()

    def follow() -> None:
        try:
            for item in items:
                read.put((item,))
            read.put(None)
        except Exception as error:
            read.put(error)

    threading.Thread(target=follow, name="spacetimedb-sdk reader", daemon=True).start()
    while True:
        try:
            got = read.get(timeout=PULSE)
        except queue.Empty:
            continue
        if got is None:
            return
        if isinstance(got, Exception):
            raise got
        yield from got
