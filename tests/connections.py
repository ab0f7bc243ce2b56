"""Connections for tests, joined without a loop or fed with bytes made by hand."""

from __future__ import annotations

from typing import Any

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.connection import ConnectionState
from spacetimedb_proto.events import NEED_DATA, Disconnected
from spacetimedb_proto.schema import Schema
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection, ServerConnection, UpgradeRequest
from spacetimedb_proto.wire.messages import InitialConnection
from spacetimedb_transports.memory import Link
from tests.schemas import schema as recorded_schema
from tests.websocket_bytes import BINARY, accepting, frame

ENDPOINT = Endpoint.parse("ws://127.0.0.1:3000")
V2 = "v2.bsatn.spacetimedb"
HELLO = InitialConnection(Identity.from_int(7), ConnectionId.from_int(8), "a-token")


def schema() -> Schema:
    """A recorded module's."""
    return recorded_schema("module-test", 9)


def client(**options: Any) -> ClientConnection:
    """A client's connection at its start."""
    return ClientConnection(schema(), ENDPOINT, "chat", **options)


def payloads(*replies: Any, protocol: str = V2) -> list[bytes | str]:
    """What a server sends to say this, without frames."""
    session = ServerSession(schema(), protocol=protocol)
    session.send(*replies)
    return session.payloads_to_send()


def upgraded(**options: Any) -> ClientConnection:
    """A client's connection after the 101, to be fed with bytes."""
    connection = client(protocols=["v2.bsatn"], **options)
    connection.receive_data(accepting(connection.data_to_send()))
    return connection


def events(connection: Any) -> list[Any]:
    """All events that are waiting."""
    found = []
    while (event := connection.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def the_end(connection: ClientConnection | ServerConnection) -> Disconnected:
    """The only event left, which ends a connection; after it everything is inert."""
    [event] = events(connection)
    assert isinstance(event, Disconnected)
    connection.data_to_send()
    connection.receive_data(frame(BINARY, b"more"))
    connection.receive_data(b"")
    connection.receive_eof("again")
    connection.handle_timeout(1e9)
    connection.close()
    assert connection.state is ConnectionState.CLOSED
    assert connection.next_deadline() is None
    assert connection.data_to_send() == b""
    assert events(connection) == []
    return event


def joined(
    *, protocol: str = V2, chunk: int | None = None, **options: Any
) -> tuple[Link[Any, Any], ClientConnection, ServerConnection, ServerSession]:
    """Both sides, joined and greeted; the client's `Connected` is taken."""
    one, other = client(protocols=[protocol], **options), ServerConnection()
    link = Link(one, other, chunk=chunk)
    [request] = link.server_events()
    assert isinstance(request, UpgradeRequest)
    session = ServerSession(schema(), protocol=request.protocols[0])
    other.accept(session)
    session.send(HELLO)
    assert len(link.client_events()) == 1
    return link, one, other, session
