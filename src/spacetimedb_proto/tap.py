"""`Tap`: what may look at everything that passes over a session's links, to record it. It changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from .http import HttpRequest, HttpResponse
    from .schema import Schema

__all__ = ["Op", "Sender", "Tap"]

Sender: TypeAlias = Literal["client", "server"]

Op: TypeAlias = Literal["binary", "text", "ping", "pong", "close"]


class Tap(Protocol):
    """Is shown what passes, in order. None of its methods may raise, or take long."""

    def schema_read(self, schema: Schema, text: bytes) -> None:
        """The server has given its module's definition, before each WebSocket: read, and as it came."""

    def answered(self, request: HttpRequest, response: HttpResponse) -> None:
        """The server has answered a handshake, whatever it said. The headers hold tokens."""

    def passed(
        self, sender: Sender, op: Op, payload: bytes | str | None = None, code: int | None = None, reason: str = ""
    ) -> None:
        """A whole message, or a control frame, has come or is about to leave.

        Args:
            sender: Whose it is.
            op: What it is.
            payload: Of a message.
            code: Of a Close frame that has one.
            reason: Of a Close frame.
        """

    def ended(self) -> None:
        """The session is over: nothing else will pass."""
