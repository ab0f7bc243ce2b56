"""Which link a client's session is on: one at a time (protocol reference, 8).

A client that has lost its connection may be back before the server has noticed. The session id that all its attempts
share makes the server let go of the old link before it lets the client in on a new one.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from spacetimedb_proto.bsatn.values import Identity

__all__ = ["Holder", "SessionKey", "Sessions"]

SessionKey: TypeAlias = tuple[Identity, Identity, str]
"""Database, client, and the id in lower case."""


class Holder(Protocol):
    """A link that a session may be on."""

    def drop(self) -> None:
        """End the link without a Close frame."""


class Sessions:
    """The sessions of one server."""

    def __init__(self) -> None:
        self._holders: dict[SessionKey, Holder] = {}

    def claim(self, key: SessionKey, newcomer: Holder) -> bool:
        """Begin a session on a link; returns whether it may.

        If another link holds the session, that one is dropped, and the newcomer has to try again later.
        """
        holder = self._holders.setdefault(key, newcomer)
        if holder is not newcomer:
            holder.drop()
        return holder is newcomer

    def release(self, key: SessionKey) -> None:
        """End a session, after all that its end means to the module."""
        del self._holders[key]
