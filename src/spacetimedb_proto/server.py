"""`ServerSession`: the same protocol from the other side, at message level.

The in-process server and the fuzzers use it. It translates and batches; what the messages mean is the business of
whoever holds the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from .alike import Alike
from .errors import RemoteProtocolError
from .events import NEED_DATA, NeedData
from .limits import Limits
from .schema.model import Schema
from .wire import Protocol, messages
from .wire import protocol as protocol_named

__all__ = ["ServerSession"]


class ServerSession:
    """One client's session, seen from the server.

    Args:
        schema: The module's definition.
        protocol: The subprotocol that was agreed on.
        limits: What the client may cost.
        compression: What large payloads are compressed with.
        knows_batches: Whether `SubscribeBatch` is known; to servers up to 2.10 it is no message.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        protocol: str = "v3.bsatn.spacetimedb",
        limits: Limits | None = None,
        compression: Literal["none", "gzip", "brotli"] = "none",
        knows_batches: bool = True,
    ) -> None:
        self._protocol: Protocol = protocol_named(protocol, schema, limits or Limits())
        self._compression = compression
        self._knows_batches = knows_batches
        self._inbox: deque[bytes | str] = deque()
        self._reading: Iterator[messages.ClientMessage] = iter(())
        self._outbox: list[messages.ServerMessage] = []
        self._dead: RemoteProtocolError | None = None

    @property
    def protocol_name(self) -> str:
        """The WebSocket subprotocol in use."""
        return self._protocol.name

    def receive(self, payload: bytes | str) -> None:
        """Take in one WebSocket message; what it holds comes out of `next_event()`."""
        self._inbox.append(payload)

    def receive_many(self, payloads: Sequence[bytes | str] | Alike) -> None:
        """Take in several WebSocket messages, in order."""
        self._inbox.extend(payloads)

    def next_event(self) -> messages.ClientMessage | NeedData:
        """The client's next message, or `NEED_DATA`.

        Raises:
            RemoteProtocolError: The client sent what is no message. The messages before it have been handed out, as
                the real server runs them (protocol reference, 3.6); nothing comes after it.
        """
        if self._dead is not None:
            raise self._dead
        try:
            while True:
                for message in self._reading:
                    return self._known(message)
                if not self._inbox:
                    return NEED_DATA
                self._reading = self._protocol.read_client(self._inbox.popleft())
        except RemoteProtocolError as error:
            self._dead = error
            raise

    def _known(self, message: messages.ClientMessage) -> messages.ClientMessage:
        if isinstance(message, messages.SubscribeBatch) and not self._knows_batches:
            raise RemoteProtocolError("unknown tag 0x5 for sum type ClientMessage")
        return message

    def send(self, *replies: messages.ServerMessage) -> None:
        """Queue messages for the client, in order."""
        self._outbox.extend(replies)

    def payloads_to_send(self) -> list[bytes | str]:
        """Take what must go out, one WebSocket message each."""
        outbox, self._outbox = self._outbox, []
        return self._protocol.write_server(outbox, self._compression) if outbox else []
