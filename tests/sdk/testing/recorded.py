"""Recorded clients that come back to a server of ours: what they ask is theirs, what they are answered is new.

Identities, connection ids, tokens and times are the recorded ones, so that rows that hold them are the same too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
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
                rows = {table: sorted(map(repr, found)) for table, found in event.tables.items()}
                answers["query", event.request_id] = rows, str(event.error)
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
        while (message := self._server.next_event()) is not e.NEED_DATA:
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
    """Let the clients of one case come back to a database of the module, and do what they did in the order it was done.

    Args:
        module: The one that they used.
        transcripts: What was recorded.
        later: After how many seconds what is scheduled runs.
    """
    clock = ManualClock()
    database = Database(module, clock=clock)
    clients = [Returned(database, each) for each in transcripts]
    asked = [(order, at, payload) for at, client in enumerate(clients) for order, payload in in_order(client)]
    left = Counter(at for _, at, _ in asked)
    for _, at, payload in sorted(asked, key=itemgetter(0)):
        clients[at].ask(payload)
        for each in clients:
            each.listen()
        left[at] -= 1
        if clients[at].closes and not left[at]:
            clients[at].leave()
    if later is not None:
        clock.now = Timestamp(clock.now.micros + round(later * 1_000_000))
        database.run_due()
    for client in clients:
        if not client.transcript.payloads("client"):
            client.arrive()
        client.listen()
    return clients


def in_order(client: Returned) -> Iterator[tuple[float, Payload]]:
    """What a client said, and what tells its order among that of the case's other clients.

    The official clients count requests for all connections of a process. Of those that were made by hand the times of
    calls tell when their connections were opened.
    """
    transcript, times = client.transcript, client.recorded.times
    sent = [(frame.time, frame.payload) for frame in transcript.frames if frame.sender == "client" and frame.payload]
    ids = [first_request(transcript, payload) for _, payload in sent]
    if transcript.name.partition("/")[0].endswith("-client"):
        yield from ((number, payload) for number, (_, payload) in zip(ids, sent, strict=True))
        return
    called = {at: times[number].micros / 1000 for at, number in enumerate(ids) if number in times}
    opened = min((time - sent[at][0] for at, time in called.items()), default=0.0)
    latest = 0.0
    for at, (time, payload) in enumerate(sent):
        latest = max(latest, called.get(at, opened + time))
        yield latest, payload


def first_request(transcript: Transcript, payload: Payload) -> int:
    """The id of the first request in a payload."""
    server = ServerSession(schema(transcript.module), protocol=transcript.protocol)
    server.receive(payload)
    return request_id(server.next_event())
