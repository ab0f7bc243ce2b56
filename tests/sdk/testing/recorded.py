"""Recorded clients that come back to a server of ours: what they ask is theirs, what they are answered is new.

Identities, connection ids, tokens and times are the recorded ones, so that rows that hold them are the same too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from spacetimedb_proto import events as e
from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.server import ServerSession
from spacetimedb_sdk.testing import Database, ManualClock, Module
from tests.schemas import schema
from tests.transcripts import Payload, Transcript, websockets


def cases(*folders: str) -> dict[str, list[Transcript]]:
    """The connections of each case, `folder/case`."""
    found: dict[str, list[Transcript]] = {}
    for folder in folders:
        for each in websockets(folder):
            found.setdefault(f"{folder}/{each.case}", []).append(each)
    return found


@attrs.define
class Told:
    """What a client has learned.

    Attributes:
        answers: To its requests, by kind and id: what became of them, and what they changed for it.
        news: What others changed for it, in order.
        rows: In its cache, by table, without tables that hold none.
    """

    answers: dict[tuple[str, int | None], Any] = attrs.field(factory=dict)
    news: list[Any] = attrs.field(factory=list)
    rows: dict[str, dict[bytes, int]] = attrs.field(factory=dict)


class Client:
    """A client's side of a connection, and what it is told."""

    def __init__(self, transcript: Transcript) -> None:
        self._schema = schema(transcript.module)
        self.session = ClientSession(self._schema, protocol=transcript.protocol)
        self.hello: e.Connected | None = None
        self.times: dict[int | None, Timestamp] = {}
        self._told = Told()

    def receive(self, payloads: Iterable[Payload]) -> None:
        """Take in what a server says."""
        for payload in payloads:
            self.session.receive(payload)
            while (event := self.session.next_event()) is not e.NEED_DATA:
                self._note(event)

    def _note(self, event: Any) -> None:
        answers = self._told.answers
        match event:
            case e.Connected():
                self.hello = event
            case e.Transaction():
                self._told.news.append(changes(event))
            case e.ReducerEvent():
                self.times[event.request_id] = event.timestamp
                answers[event.reducer, event.request_id] = event.outcome, changes(event)
            case e.ProcedureReturned():
                if event.error is None:
                    self.times[event.request_id] = event.timestamp
                answers[event.procedure, event.request_id] = event.value, str(event.error)
            case e.QueryReturned():
                answers["query", event.request_id] = event.tables, str(event.error)
            case e.SubscribeApplied() | e.UnsubscribeApplied():
                answers[type(event).__name__, event.query_set_id] = changes(event)
            case e.SubscriptionFailed():
                answers["SubscriptionFailed", event.query_set_id] = str(event.error), changes(event)
            case _:
                raise AssertionError(f"nothing like {event!r} was recorded")

    @property
    def told(self) -> Told:
        """All that it has learned."""
        found = {name: dict(self.session.cache.table(name).raw()) for name in self._schema.tables}
        self._told.rows = {name: rows for name, rows in found.items() if rows}
        return self._told


def changes(event: Any) -> dict[str, list[str]]:
    """What an event changed, by table; the order of rows is nobody's business."""
    return {table: sorted(map(repr, made)) for table, made in event.changes.items() if made}


def as_recorded(transcript: Transcript) -> Client:
    """The client as it was in the end."""
    client = Client(transcript)
    for frame in transcript.frames:
        if frame.payload is not None and frame.sender == "client":
            client.session.observe(frame.payload)
        elif frame.payload is not None:
            client.receive([frame.payload])
    return client


class Returned:
    """A recorded client at a database of ours."""

    def __init__(self, database: Database, transcript: Transcript) -> None:
        self.transcript = transcript
        self.recorded = as_recorded(transcript)
        self.client = Client(transcript)
        self._database = database
        self._server = ServerSession(database.schema, protocol=transcript.protocol)
        self._visitor: Any = None

    def arrive(self) -> None:
        """Be let in as whom the recorded server took it for."""
        hello = self.recorded.hello
        assert hello is not None
        self._visitor = self._database.connect(
            hello.identity, hello.connection_id, hello.token, self._server.send, protocol=self.transcript.protocol
        )

    def ask(self, payload: Payload) -> None:
        """Say again what was said, at the time when it was done."""
        if self._visitor is None:
            self.arrive()
        self.client.session.observe(payload)
        self._server.receive(payload)
        while (message := self._server.next_message()) is not e.NEED_DATA:
            clock = self._database.clock
            assert isinstance(clock, ManualClock)
            clock.now = self.recorded.times.get(request_id(message), clock.now)
            self._database.handle(self._visitor, message)

    def listen(self) -> None:
        """Hear what the server has said so far."""
        self.client.receive(self._server.payloads_to_send())

    def leave(self) -> None:
        """Go away, if it is there."""
        if self._visitor is not None:
            self._database.disconnect(self._visitor)

    @property
    def closes(self) -> bool:
        """Whether it said goodbye while the recording went on."""
        return any(frame.op == "close" and frame.sender == "client" for frame in self.transcript.frames)


def request_id(message: Any) -> int:
    return getattr(message, "request_id", 0)


def return_all(module: Module, transcripts: Iterable[Transcript], later: float | None = None) -> list[Returned]:
    """Let the clients of one case come back to a database of the module.

    The official clients count requests for all connections of a process, which gives the order of what they did.

    Args:
        module: The one that they used.
        transcripts: What was recorded.
        later: After how many seconds what is scheduled runs.
    """
    clock = ManualClock()
    database = Database(module, clock=clock)
    clients = [Returned(database, each) for each in transcripts]
    asked = [
        (order, client, payload, at == len(payloads) - 1)
        for client in clients
        for payloads in [client.transcript.payloads("client")]
        for at, payload in enumerate(payloads)
        for order in [first_request(client, payload)]
    ]
    for _, client, payload, is_last in sorted(asked, key=lambda each: each[0]):
        client.ask(payload)
        for each in clients:
            each.listen()
        if is_last and client.closes:
            client.leave()
    if later is not None:
        clock.now = Timestamp(clock.now.micros + round(later * 1_000_000))
        database.run_due()
    for client in clients:
        if not client.transcript.payloads("client"):
            client.arrive()
        client.listen()
    return clients


def first_request(client: Returned, payload: Payload) -> int:
    """The id of the first request in a payload."""
    server = ServerSession(schema(client.transcript.module), protocol=client.transcript.protocol)
    server.receive(payload)
    message = server.next_message()
    assert not isinstance(message, e.NeedData)
    return request_id(message)
