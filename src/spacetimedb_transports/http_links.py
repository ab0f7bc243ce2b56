"""What the two drivers of HTTP share: why there is no answer, and links that wait for the next request.

Time is an argument here. How bytes are moved is in `anyio_http.py` and `blocking_http.py`.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import Final, Generic, TypeVar

import attrs

__all__ = ["ENDLESS", "KEEP_TIME", "Progress", "Spares", "Unanswered", "has_news"]

L = TypeVar("L")

KEEP_TIME: Final = 15.0
"""Seconds after which an idle link is not used any more: proxies in between drop them after a minute or so."""

ENDLESS: Final = 1 << 62
"""Bytes of an answer that is read while it comes."""


@attrs.frozen
class Unanswered:
    """There is no answer to a request.

    Attributes:
        reason: Why, in words.
        was_sent: Whether the server may have got the request, so that it may have been executed.
        was_reused: Whether it went out on a link that had been used before, which the server may just have ended.
        is_timeout: Whether the time was over.
        cause: What was raised, if anything.
    """

    reason: str
    was_sent: bool = False
    was_reused: bool = False
    is_timeout: bool = False
    cause: Exception | None = attrs.field(default=None, repr=False)


@attrs.define
class Progress:
    """How far a request has come.

    Attributes:
        was_sent: Whether sending has begun.
        was_reused: Whether that was on a link that had been used before.
    """

    was_sent: bool = False
    was_reused: bool = False

    def failed(self, reason: str, cause: Exception | None = None, *, is_timeout: bool = False) -> Unanswered:
        """The outcome that there will be no answer."""
        return Unanswered(reason, self.was_sent, self.was_reused, is_timeout, cause)


class Spares(Generic[L]):
    """Idle links, of which the one that was used last is used first. Safe for threads."""

    def __init__(self) -> None:
        self._links: deque[tuple[L, float]] = deque()

    def put(self, link: L, now: float) -> None:
        """Keep a link."""
        self._links.append((link, now + KEEP_TIME))

    def take(self, now: float) -> tuple[L | None, list[L]]:
        """A link to use, or None, and links to close since they have waited for too long."""
        old: list[L] = []
        while self._links:
            try:
                link, until = self._links.pop()
            except IndexError:  # another thread was quicker
                break
            if now < until:
                return link, old
            old.append(link)
        return None, old

    def clear(self) -> list[L]:
        """Forget all links, and return them to be closed."""
        links = [link for link, _ in self._links]
        self._links.clear()
        return links


def has_news(idle: socket.socket) -> bool:
    """Whether something has come on an idle link, which can only be its end, or what nobody has asked for."""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(idle, selectors.EVENT_READ)
            return bool(selector.select(0))
    except (OSError, ValueError):  # it is closed already
        return True
