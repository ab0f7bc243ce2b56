"""What the server says, as bytes ready to be sent: frames of at most 4,096 bytes, with pings before and between them.

A client chooses the ids of its requests and query sets, so what it is told depends on them. Whatever has been made for
some ids is kept: all clients but the first that uses them get bytes that were there before they connected.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol as protocol_named
from spacetimedb_proto.wire.rowlist import RowList

from .workloads import MODULE, Content, Update

__all__ = ["Compression", "Script", "frames", "transaction"]

Compression = Literal["none", "gzip", "brotli"]

FRAGMENT: Final = 4096
"""Bytes of a frame's payload, as the real server sends (protocol reference, 1.7)."""

V3_BATCH: Final = 16
"""Transactions in one payload of v3. The real server takes what waits in its queue, up to 512 KiB."""

PING_EVERY: Final = 1000
"""Payloads from one ping to the next in a stream. The real server pings every 15 s, which here would be never."""

PING: Final = b"\x89\x00"


def frames(payload: bytes) -> list[bytes]:
    """One WebSocket message as a server sends it: binary, unmasked, in fragments, with a ping after the first one."""
    cuts = [*range(0, len(payload), FRAGMENT), len(payload)]
    found: list[bytes] = []
    for start, end in pairwise(cuts):
        opcode = 0x02 if start == 0 else 0x00
        final = 0x80 if end == len(payload) else 0x00
        size = end - start
        head = (
            struct.pack("!BB", opcode | final, size) if size < 126 else struct.pack("!BBH", opcode | final, 126, size)
        )
        found += head, payload[start:end]
    if len(found) > 2:
        found.insert(2, PING)
    return found


def transaction(query_set_id: int, table: str, update: Update) -> m.TransactionUpdate:
    """The message that tells a query set of one transaction on one table."""
    rows = m.PersistentTableRows(update.inserts, update.deletes)
    return m.TransactionUpdate([m.QuerySetUpdate(query_set_id, [m.TableUpdate(table, [rows])])])


class Script:
    """What is sent in one kind of run.

    Args:
        content: Rows and transactions.
        protocol: `"v2"` or `"v3"`.
        compression: Of what is longer than 1,024 bytes.
    """

    def __init__(self, content: Content, protocol: str, compression: Compression) -> None:
        self.content = content
        self.protocol_name = f"{protocol}.bsatn.spacetimedb"
        self._compression = compression
        self._protocol = protocol_named(self.protocol_name, MODULE.schema, Limits())
        self.snapshot = lru_cache(maxsize=8)(self._snapshot)
        self.stream = lru_cache(maxsize=8)(self._stream)

    def _snapshot(self, request_id: int, query_set_id: int) -> bytes:
        """The answer to the first subscription: all rows."""
        return PING + b"".join(frames(self._applied(request_id, query_set_id, self.content.snapshot)))

    def _stream(self, query_set_id: int, request_id: int, last_set_id: int) -> bytes:
        """The answer to the second subscription: transactions on the first one's rows, and then that it is applied.

        Args:
            query_set_id: The first subscription's.
            request_id: The second one's.
            last_set_id: The second one's.
        """
        pieces: list[bytes] = []
        for count, payload in enumerate(self._transactions(query_set_id)):
            if count % PING_EVERY == 0:
                pieces.append(PING)
            pieces += frames(payload)
        pieces += frames(self._applied(request_id, last_set_id, RowList(b"")))
        return b"".join(pieces)

    def _applied(self, request_id: int, query_set_id: int, rows: RowList) -> bytes:
        tables = [m.SingleTableRows(self.content.workload.table.name, rows)]
        return self._payloads([m.SubscribeApplied(request_id, query_set_id, m.QueryRows(tables))])[0]

    def _transactions(self, query_set_id: int) -> Iterator[bytes]:
        table = self.content.workload.table.name
        updates = [transaction(query_set_id, table, update) for update in self.content.updates]
        for start in range(0, len(updates), V3_BATCH):
            yield from self._payloads(updates[start : start + V3_BATCH])

    def _payloads(self, messages: Sequence[m.ServerMessage]) -> list[bytes]:
        payloads = self._protocol.write_server(messages, self._compression)
        return [payload if isinstance(payload, bytes) else payload.encode() for payload in payloads]
