"""The protocols, each as one object that turns payloads into messages and messages into payloads.

What is above this package sees `messages.py` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from typing import Protocol as Interface

from ..errors import LocalProtocolError
from ..limits import Limits
from ..schema.model import Schema
from . import messages
from .compression import Sealed, is_long_to_open
from .inbox import Inbox
from .payloads import Waiting
from .runs import Run
from .v2 import V2, V3

__all__ = ["PROTOCOLS", "Inbox", "Protocol", "Run", "Sealed", "is_long_to_open", "messages", "protocol"]

PROTOCOLS: Final = (
    "v3.bsatn.spacetimedb",
    "v2.bsatn.spacetimedb",
    "v1.bsatn.spacetimedb",
    "v1.json.spacetimedb",
)
"""The WebSocket subprotocols, in order of preference: also the order in which the server chooses."""


class Protocol(Interface):
    """What a session asks of a protocol. One object serves one connection."""

    @property
    def name(self) -> str:
        """The WebSocket subprotocol."""
        ...

    @property
    def text(self) -> bool:
        """Whether payloads are text, and arguments and return values JSON."""
        ...

    @property
    def batches(self) -> bool:
        """Whether a payload may hold several messages."""
        ...

    @property
    def shared_bag(self) -> bool:
        """Whether updates do not say which query set a row belongs to; they then name set 0."""
        ...

    def read_server(self, payload: Waiting) -> Iterator[messages.ServerMessage]:
        """The messages in a server's payload; each is decoded when it is asked for.

        Raises:
            RemoteProtocolError: It is none, or it exceeds a limit.
        """
        ...

    def read_waiting(self, inbox: Inbox) -> Iterator[messages.ServerMessage | Run]:
        """Take one payload or several off the front of a queue, and read them as `read_server` does.

        Returns:
            Their messages, of which those that are alike may come as a `Run`.

        Raises:
            RemoteProtocolError: As `read_server`.
        """
        ...

    def read_client(self, payload: bytes | str) -> Iterator[messages.ClientMessage]:
        """The messages in a client's payload; raises as `read_server`."""
        ...

    def write_client(self, sent: Sequence[messages.ClientMessage]) -> list[bytes | str]:
        """Payloads for the server.

        Raises:
            LocalProtocolError: The protocol has no such message.
        """
        ...

    def write_server(self, sent: Sequence[messages.ServerMessage], compression: str = "none") -> list[bytes | str]:
        """Payloads for a client; raises as `write_client`."""
        ...


def protocol(name: str, schema: Schema, limits: Limits) -> Protocol:
    """Make a protocol.

    Args:
        name: The subprotocol, `"v3.bsatn"` or in full `"v3.bsatn.spacetimedb"`.
        schema: What rows in JSON are read by.
        limits: What a payload may cost.

    Raises:
        LocalProtocolError: There is no such protocol.
    """
    match name.removesuffix(".spacetimedb"):
        case "v3.bsatn":
            return V3(limits)
        case "v2.bsatn":
            return V2(limits)
        case "v1.bsatn" | "v1.json" as short:
            from . import v1  # noqa: PLC0415 - present servers never need it, and its many classes take time to make

            return (v1.V1Bsatn if short == "v1.bsatn" else v1.V1Json)(schema, limits)
        case _:
            raise LocalProtocolError(f"expected one of {', '.join(PROTOCOLS)}, got {name!r}")
