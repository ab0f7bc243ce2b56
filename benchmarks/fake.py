"""A connection of this SDK and a server that says what it is told to, joined in memory: no socket, no other process.

Between them is everything that a program uses, from WebSocket frames to callbacks.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.durable import DurableConnection
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.options import Options
from spacetimedb_proto.schema import Schema, dump_schema
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ServerConnection, ServerEvent, UpgradeRequest
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire import protocol as protocol_named
from spacetimedb_sdk import Connection
from spacetimedb_sdk.token_keeper import TokenKeeper
from spacetimedb_sdk.tokens import source_of
from spacetimedb_transports.memory import MemoryStream, pipe

from .script import frames

__all__ = ["Answer", "FakeServer", "connected"]

PROTOCOL: Final = "v2.bsatn"

Answer = Callable[[m.Subscribe], m.QueryRows]
"""Which rows a subscription gets."""


class FakeServer:
    """The server's end.

    Args:
        stream: Where the client is.
        schema: The module's.
        answer: Says which rows a subscription gets.

    Attributes:
        query_set_ids: What the client calls its subscriptions, in order.
    """

    def __init__(self, stream: MemoryStream, schema: Schema, answer: Answer) -> None:
        self.query_set_ids: list[int] = []
        self._stream = stream
        self._schema = schema
        self._answer = answer
        self._connection = ServerConnection()
        self._session = ServerSession(schema, protocol=f"{PROTOCOL}.spacetimedb")
        self._protocol = protocol_named(PROTOCOL, schema, Limits())

    async def run(self) -> None:
        """Answer what the client asks for until it leaves."""
        while True:
            try:
                self._connection.receive_data(await self._stream.receive())
            except anyio.EndOfStream:
                return
            while (event := self._connection.next_event()) is not NEED_DATA:
                self._handle(event)
            await self._stream.send(self._connection.data_to_send())

    def _handle(self, event: ServerEvent) -> None:
        if isinstance(event, HttpRequest):
            self._connection.respond(200, body=json.dumps(dump_schema(self._schema, 10)).encode())
        elif isinstance(event, UpgradeRequest):
            self._connection.accept(self._session)
            self._session.send(m.InitialConnection(Identity.from_int(1), ConnectionId.from_int(1), "a-token"))
        elif isinstance(event, m.Subscribe):
            self.query_set_ids.append(event.query_set_id)
            rows = self._answer(event)
            self._session.send(m.SubscribeApplied(event.request_id, event.query_set_id, rows))

    def bytes_of(self, messages: Sequence[m.ServerMessage]) -> bytes:
        """What `send` takes."""
        payloads = self._protocol.write_server(messages)
        return b"".join(b"".join(frames(payload)) for payload in payloads if isinstance(payload, bytes))

    async def send(self, data: bytes) -> None:
        """Send bytes that were made beforehand."""
        await self._stream.send(data)


@asynccontextmanager
async def connected(schema: Schema, answer: Answer) -> AsyncGenerator[tuple[Connection, FakeServer]]:
    """Have both ends up inside the block."""
    servers: list[FakeServer] = []
    async with anyio.create_task_group() as group:

        async def open_stream() -> MemoryStream:
            near, far = pipe(capacity=64 * 1024 * 1024)
            servers.append(FakeServer(far, schema, answer))
            group.start_soon(servers[-1].run)
            return near

        options = Options(protocols=[PROTOCOL])
        core = DurableConnection(
            Endpoint.parse("http://127.0.0.1"), "bench", options, chance=random.random, now=anyio.current_time()
        )
        connection = Connection(core, TokenKeeper(source_of(None)), open_stream)
        await connection.open()
        async with connection:
            yield connection, servers[-1]
