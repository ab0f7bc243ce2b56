"""Clients of a `Database`, whose payloads are passed by hand, and of a `Site`, with all their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.events import NEED_DATA, Connected, Disconnected
from spacetimedb_proto.http import HttpExchange
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.websocket import ClientConnection
from spacetimedb_sdk.testing import Database, Module
from spacetimedb_sdk.testing.service import Service
from spacetimedb_sdk.testing.tokens import derive_identity
from spacetimedb_transports.memory import Link

ENDPOINT = Endpoint.parse("ws://127.0.0.1:3000")


class Clock:
    """Moves on by a second each time somebody looks."""

    def __init__(self) -> None:
        self.now = Timestamp(1_700_000_000_000_000)

    def __call__(self) -> Timestamp:
        self.now = Timestamp(self.now.micros + 1_000_000)
        return self.now


def database(module: Module) -> Database:
    return Database(module, clock=Clock())


def in_session(endpoint: Endpoint, session_id: str) -> Endpoint:
    """The same endpoint, whose handshakes name a session."""

    class Named(Endpoint):
        def subscribe_target(self, database: str, params: Mapping[str, str] | None = None) -> str:
            return super().subscribe_target(database, {**(params or {}), "session_id": session_id})

    return Named.parse(str(endpoint))


def exchanged(site, method, target, headers=(), body=b""):
    """One HTTP request and what a client has of its answer, and the service that may go on with it."""
    service = Service(site)
    exchange = HttpExchange(method, ENDPOINT, target, headers, body)
    service.receive_data(exchange.data_to_send())
    while not isinstance(event := service.next_event(), Disconnected) and event is not NEED_DATA:
        pass
    exchange.receive_data(service.data_to_send())
    return service, exchange


def ask(site, method, target, headers=(), body=b""):
    """The answer to one HTTP request."""
    _, exchange = exchanged(site, method, target, headers, body)
    return exchange.next_event()


class Guest:
    """One client, both sides of it; what it is told is in `events` and `messages`."""

    _count = 0

    def __init__(self, to: Database, name: str = "", protocol: str = "v3.bsatn.spacetimedb") -> None:
        Guest._count += 1
        self.database = to
        self.server = ServerSession(to.schema, protocol=protocol)
        self.session = ClientSession(to.schema, protocol=protocol)
        self.messages: list[Any] = []
        self.identity: Identity = derive_identity(name or f"guest {Guest._count}")
        connection_id = ConnectionId.from_int(Guest._count)
        self.client = to.connect(self.identity, connection_id, "a-token", self._deliver, protocol=protocol)
        (self.hello,) = self.events()

    def _deliver(self, message: Any) -> None:
        self.messages.append(message)
        self.server.send(message)

    def send(self) -> None:
        """Carry what the client has to say to the server."""
        for payload in self.session.payloads_to_send():
            self.server.receive(payload)
        while (message := self.server.next_event()) is not NEED_DATA:
            self.database.handle(self.client, message)

    def ask(self, message: Any) -> Any:
        """Have the server handle a message that no client session would send, and return the answer."""
        self.database.handle(self.client, message)
        self.server.payloads_to_send()
        return self.messages[-1]

    def events(self) -> list[Any]:
        """Let both sides say all they have to say; what the client learned."""
        self.send()
        for payload in self.server.payloads_to_send():
            self.session.receive(payload)
        found = []
        while (event := self.session.next_event()) is not NEED_DATA:
            found.append(event)
        return found

    def call(self, reducer: str, *args: Any) -> Any:
        """Call a reducer; the event that answers, which must be the only one."""
        self.session.call_reducer(reducer, args)
        (event,) = self.events()
        return event

    def procedure(self, name: str, *args: Any) -> list[Any]:
        self.session.call_procedure(name, args)
        return self.events()

    def subscribe(self, *queries: str) -> Any:
        self.session.subscribe(queries)
        (event,) = self.events()
        return event

    def query(self, sql: str) -> Any:
        self.session.query(sql)
        (event,) = self.events()
        return event

    def rows(self, table: str) -> list[Any]:
        """What the client's cache holds."""
        return list(self.session.cache.table(table))

    def leave(self) -> None:
        self.database.disconnect(self.client)


class Visitor:
    """A client's connection joined to a service of the site."""

    def __init__(self, site, name="behaviour", chunk=None, session_id=None, **options):
        self.service = Service(site)
        endpoint = ENDPOINT if session_id is None else in_session(ENDPOINT, session_id)
        self.connection = ClientConnection(site.database.schema, endpoint, name, **options)
        self.tables = site.database.schema.tables
        self.link = Link(self.connection, self.service, chunk=chunk)
        self.seen = []

    def events(self):
        """All that happens until neither side has anything to say."""
        fresh = []
        while True:
            self.link.server_events()
            events = self.link.client_events()
            if not events and not self.link.server_events():
                self.seen += fresh
                return fresh
            fresh += events

    @property
    def session(self):
        return self.connection.session

    def call(self, reducer, *args):
        """Call a reducer; the event that answers, which must be the only one."""
        self.session.call_reducer(reducer, args)
        (event,) = self.events()
        return event

    def rows(self, *queries):
        """Subscribe; what the cache then holds, by table, without tables that hold nothing."""
        self.session.subscribe(queries)
        self.events()
        found = {name: list(self.session.cache.table(name)) for name in self.tables}
        return {name: rows for name, rows in found.items() if rows}


def connected(site, **options):
    visitor = Visitor(site, **options)
    (event,) = visitor.events()
    assert isinstance(event, Connected)
    return visitor


def refused(site, **options):
    (event,) = Visitor(site, **options).events()
    assert isinstance(event, Disconnected)
    return event.error
