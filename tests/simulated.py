"""A durable client and its server in virtual time: what hosts do for `DurableConnection`, without a loop or a socket.

`World` has the time, the network and the site; `Client` drives one durable connection through it, link by link, and
keeps what was told. What holds in every history is in `tests/fuzz/history.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.values import ConnectionId, Timestamp
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import SpacetimeDBError
from spacetimedb_proto.events import NEED_DATA, Disconnected, LinkEnded, StateChanged
from spacetimedb_proto.options import Options
from spacetimedb_proto.states import SessionState
from spacetimedb_proto.uri import Endpoint
from spacetimedb_sdk.testing import (
    Database,
    Index,
    Module,
    PrimaryKey,
    ReducerError,
    Service,
    Site,
    u8,
    u32,
)
from spacetimedb_transports.simulation import SimulatedLink, SimulatedNetwork

ENDPOINT = Endpoint.parse("ws://simulated")

RUNS: Counter[int] = Counter()
"""How often each call has run, by the number that it was given. Not rolled back, and not lost with a restart."""


# --- the module -------------------------------------------------------------------------------------------------------

simulated = Module("simulated")


@simulated.table(public=True)
class Pair:
    """Has a primary key."""

    id: PrimaryKey[u32]
    group: Index[u8]
    text: str


@simulated.table(public=True)
class Note:
    """Has none."""

    group: u8
    text: str


@simulated.table(public=True)
class Mark:
    """For query sets that keep keys or nothing."""

    id: PrimaryKey[u32]
    value: u8


@simulated.table(public=True, event=True)
class Alarm:
    """Is never stored."""

    n: u32
    group: u8


@simulated.reducer
def put(ctx, n: u32, id: u32, group: u8, text: str) -> None:  # noqa: A002
    """Insert a row, or replace the one with its key."""
    RUNS[n] += 1
    put_pair(ctx, id, group, text)


@simulated.reducer
def write(ctx, n: u32, group: u8, text: str) -> None:
    """Insert a row without a key, or take it away if it is there."""
    RUNS[n] += 1
    write_note(ctx, group, text)


@simulated.reducer
def ring(ctx, n: u32, group: u8) -> None:
    """Have something happen that is never stored."""
    RUNS[n] += 1
    ctx.db.alarm.insert(n=n, group=group)


@simulated.reducer
def refuse(ctx, n: u32) -> None:
    """Change something, and refuse."""
    RUNS[n] += 1
    ctx.db.note.insert(group=0, text="refused")
    raise ReducerError("no")


@simulated.procedure
def double(ctx, n: u32) -> u32:
    """Return something."""
    RUNS[n] += 1
    return 2 * n


def put_pair(ctx, id_, group, text):
    found = ctx.db.pair.find(id=id_)
    if found is not None:
        ctx.db.pair.delete(found)
    if text:
        ctx.db.pair.insert(id=id_, group=group, text=text)


def write_note(ctx, group, text):
    row = Note(group, text)
    if not ctx.db.note.delete(row):
        ctx.db.note.insert(row)


def put_mark(ctx, id_, value):
    found = ctx.db.mark.find(id=id_)
    if found is not None:
        ctx.db.mark.delete(found)
    if value:
        ctx.db.mark.insert(id=id_, value=value)


# --- the network ------------------------------------------------------------------------------------------------------


class Network(SimulatedNetwork):
    """One that carries most of what is sent in one piece, which is several times quicker.

    Args:
        random: Decides on pieces and delays.
        whole: The share of what is sent at once that arrives at once.
        options: As for any.
    """

    def __init__(self, random: Random, *, whole: float = 0.9, **options: Any) -> None:
        super().__init__(random, **options)
        self._chance = random
        self._whole = whole

    def pieces(self, data: bytes) -> list[bytes]:
        """Bytes as they arrive."""
        if not data:
            return []
        return [data] if self._chance.random() < self._whole else super().pieces(data)


# --- the world --------------------------------------------------------------------------------------------------------


class World:
    """A site, a network, their time, and the chance that decides about everything.

    Args:
        seed: The same one makes the same history.
        module: What is served.
        release: Which manners the site has.
        network: Options of the network.
    """

    def __init__(self, seed: int = 0, *, module: Module = simulated, release: Any = "2.14", **network: Any) -> None:
        self.random = Random(seed)
        self.network = Network(self.random, **network)
        database = Database(module, clock=lambda: Timestamp(int(self.network.now * 1e6) + 1_700_000_000_000_000))
        self.site = Site(database, random_bytes=self.random.randbytes, release=release)

    @property
    def now(self) -> float:
        return self.network.now

    def run(self, function: Callable[[Any], Any]) -> Any:
        """Change rows without a client."""
        return self.site.database.run(function)

    def settle(self, seconds: float = 5.0) -> None:
        """Let time pass."""
        self.network.run_until(self.now + seconds)

    def client(self, **options: Any) -> Client:
        """A new client, on its way to the site."""
        client = Client(self, **options)
        client.go()
        return client

    def connected(self, **options: Any) -> Client:
        """A new client, connected."""
        client = self.client(**options)
        self.settle()
        assert client.core.state is SessionState.CONNECTED
        return client


class Line:
    """One link as a network sees it: the session's part of it ends with the link."""

    def __init__(self, client: Client, first: bytes) -> None:
        self._client = client
        self._core = client.core
        self._first = first
        self._is_over = False
        self._is_silent = False

    def receive_data(self, data: bytes) -> None:
        if not self._is_over:
            self._core.receive_data(data)

    def receive_eof(self, reason: str = "") -> None:
        if not self._is_over:
            self._core.receive_eof(reason)

    def data_to_send(self) -> bytes:
        """What must go out; once also after the end."""
        if self._is_silent:
            return b""
        self._is_silent = self._is_over
        first, self._first = self._first, b""
        return first + (self._client.goodbye if self._is_over else self._core.data_to_send())

    def next_event(self) -> Any:
        if self._is_over:
            return NEED_DATA
        event = self._core.next_event()
        if event is NEED_DATA:
            return event
        if isinstance(event, LinkEnded):
            self._is_over = True
            self._client.goodbye = self._core.data_to_send()
            self._client.line = None
        self._client.note(event)
        if self._is_over:
            self._client.go()
            return event if isinstance(event, Disconnected) else Disconnected(None)
        return event

    advance = next_event

    @property
    def is_behind(self) -> bool:
        return not self._is_over and self._core.is_behind

    def next_deadline(self) -> float | None:
        return None if self._is_over else self._core.next_deadline()

    def handle_timeout(self, now: float) -> None:
        if not self._is_over:
            self._core.handle_timeout(now)

    def close(self, code: int = 1000, reason: str = "") -> None:
        if not self._is_over:
            self._core.close(code, reason)


class Client:
    """A durable connection with all that a host does for it.

    Args:
        world: Where it is.
        on_event: Called with each event, in order; may give commands.
        on_link: Called with each new link, which it may cut, and the kind of what goes over it.
        open_stream: Called before each link; what it raises is why there is none.
        direct: The share of the links for the schema that are no part of the network, and take no time.
        token: Called before each attempt; returns the token or raises why there is none.
        options: Of the session.

    Attributes:
        core: The connection.
        events: All that was told, each with its time.
        links: All links, the first one first.
        attempts: When a token was asked for.
    """

    def __init__(
        self,
        world: World,
        *,
        on_event: Callable[[Any], object] = lambda _: None,
        on_link: Callable[[SimulatedLink[Any, Any]], object] = lambda _: None,
        open_stream: Callable[[], object] = lambda: None,
        token: Callable[[], str | None] = lambda: None,
        database: str = "simulated",
        direct: float = 0.0,
        **options: Any,
    ) -> None:
        self.world = world
        self.events: list[tuple[float, Any]] = []
        self.links: list[SimulatedLink[Any, Any]] = []
        self.attempts: list[float] = []
        self.line: Line | None = None
        self.goodbye = b""
        self.on_event = on_event
        self.on_link = on_link
        self.open_stream = open_stream
        self.token = token
        self._direct = direct
        self._is_opening = False
        self._tick_at = math.inf
        chosen: dict[str, Any] = {
            "backoff": Backoff(),
            "session_id": ConnectionId(world.random.randbytes(16)),
            **options,
        }
        self.core = DurableConnection(ENDPOINT, database, Options(**chosen), chance=world.random.random, now=world.now)

    @property
    def session(self):
        return self.core.session

    @property
    def session_began(self) -> bool:
        """Whether any link was greeted."""
        return self.core.links > 0

    def note(self, event: Any) -> None:
        self.events.append((self.world.now, event))
        self.on_event(event)

    def told(self, *kinds: type) -> list[Any]:
        """The events of some kinds."""
        return [event for _, event in self.events if isinstance(event, kinds)]

    def states(self) -> list[SessionState]:
        return [event.state for event in self.told(StateChanged)]

    def endings(self) -> list[Disconnected]:
        return self.told(Disconnected)

    # --- driving ------------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Do all that a host has to do now. To be called after anything that was done from outside."""
        while self.line is None:
            self._drain()
            if not self._do_next():
                break
        self._drain()
        self._keep_time()

    def _do_next(self) -> bool:
        """Do what is needed next; returns whether there may be more to do at once."""
        now = self.world.now
        match self.core.need:
            case Need.TOKEN:
                self.attempts.append(now)
                try:
                    self.core.token_is(self.token())
                except SpacetimeDBError as error:
                    self.core.token_failed(error)
                return True
            case Need.LINK:
                if not self._is_opening:
                    self._is_opening = True
                    delay = self.world.random.uniform(0.0, 0.05)
                    self.world.network.call_at(now + delay, self._open)
                return False
            case Need.TIME:
                deadline = self.core.next_deadline()
                if deadline is not None and deadline <= now:
                    self.core.handle_timeout(now)
                    return True
                return False
            case _:
                return False

    def _open(self) -> None:
        self._is_opening = False
        if self.core.need is not Need.LINK:
            return
        try:
            self.open_stream()
        except SpacetimeDBError as error:
            self.core.link_failed(error)
        else:
            self.core.link_opened(self.world.now)
            first = self.core.data_to_send()
            if b"/schema?" in first and self.world.random.random() < self._direct:
                self._answer_at_once(first)
                return
            self.line = Line(self, first)
            link = self.world.network.link(self.line, Service(self.world.site, now=self.world.now))
            self.links.append(link)
            self.on_link(link)
        self.go()

    def _answer_at_once(self, request: bytes) -> None:
        """Have a link without a network, for what is the same each time."""
        service = Service(self.world.site, now=self.world.now)
        service.receive_data(request)
        while service.next_event() is not NEED_DATA:
            pass
        self.core.receive_data(service.data_to_send())
        self.go()

    def _drain(self) -> None:
        """Take what is told between links."""
        while self.line is None and (event := self.core.next_event()) is not NEED_DATA:
            self.note(event)

    def _keep_time(self) -> None:
        """Have deadlines between links kept; during one it is the network that does."""
        deadline = self.core.next_deadline()
        if self.line is None and deadline is not None and deadline < self._tick_at:
            self._tick_at = deadline
            self.world.network.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._tick_at = math.inf
        if self.line is None:
            self.core.handle_timeout(self.world.now)
        self.go()

    def do(self, command: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Give a command, and have what follows from it happen."""
        try:
            return command(*args, **options)
        finally:
            self.go()
