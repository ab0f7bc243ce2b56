"""How much an untrusted peer may cost.

Each limit is a number with a reason; exceeding one is a `RemoteProtocolError`, found before the memory is spent.
"""

from __future__ import annotations

import attrs

__all__ = ["Limits"]

MIB = 1024 * 1024


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of one session.

    Attributes:
        message_size: Bytes of one WebSocket message as received. The server has no limit of its own and sends initial
            snapshots as one message, so the default is generous (protocol reference, 1.7).
        decompressed_size: Bytes of one message after decompression. Sizes are not announced on the wire, so data is
            inflated piece by piece up to here (protocol reference, trap 19).
        rows_per_message: Rows in one message, all tables together.
        nesting: Depth of recursive values inside one row or argument.
        queued_bytes: Bytes received but not yet taken through `next_event()`.
    """

    message_size: int = 512 * MIB
    decompressed_size: int = 1024 * MIB
    rows_per_message: int = 50_000_000
    nesting: int = 64
    queued_bytes: int = 1024 * MIB
