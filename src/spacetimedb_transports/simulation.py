"""A network in virtual time, for simulations: bytes come late and in pieces, and links are cut where a test says.

There is no loop, thread or clock: `run_until` does what happens up to some time, one thing after the other. The same
seed and the same calls give the same history. Nothing here knows a protocol.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from spacetimedb_proto.events import NEED_DATA, Disconnected

from .anyio import Driven

__all__ = ["SimulatedLink", "SimulatedNetwork", "Told"]

C = TypeVar("C")
S = TypeVar("S")

Told: TypeAlias = Literal["both", "client", "server", "nobody"]
"""Which sides see the end when a link is cut; the others only notice that nothing comes any more."""


class SimulatedNetwork:
    """Links in virtual time, and that time.

    Args:
        random: Decides on pieces and delays.
        now: Seconds, at the beginning.
        latency: Seconds that a piece is on its way, at least and at most. Pieces of one direction never overtake.
        largest_piece: Bytes that arrive together, at most. Most pieces are much smaller.

    Attributes:
        now: The time in seconds. Connections are to be made with it.
    """

    def __init__(
        self,
        random: Random,
        *,
        now: float = 0.0,
        latency: tuple[float, float] = (0.0, 0.1),
        largest_piece: int = 64 * 1024,
    ) -> None:
        self.now = now
        self._random = random
        self._latency = latency
        self._piece_bounds = [min(1 << power, largest_piece) for power in range(largest_piece.bit_length() + 1)]
        self._plan: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._links: list[SimulatedLink[Any, Any]] = []

    def link(
        self,
        client: Driven[C],
        server: Driven[S],
        *,
        on_client_event: Callable[[C | Disconnected], object] = lambda _: None,
        on_server_event: Callable[[S | Disconnected], object] = lambda _: None,
    ) -> SimulatedLink[C, S]:
        """Join two connections by a new link, from now on until both have come to their end.

        Args:
            client: The client's side.
            server: The server's side.
            on_client_event: Called with each event of the client, in order. It may do anything: send, cut, link anew.
            on_server_event: The same for the server.
        """
        link = SimulatedLink(self, _Side(client, on_client_event), _Side(server, on_server_event))
        self._links.append(link)
        return link

    def call_at(self, time: float, action: Callable[[], object]) -> None:
        """Have something done at a time, or next if that is past: a restart of the server, another attempt."""
        heapq.heappush(self._plan, (max(time, self.now), next(self._numbers), action))

    def run_until(self, time: float) -> None:
        """Let everything happen that happens up to and at a time, which is the time then."""
        self._settle()
        while (due := self._next_time()) <= time:
            self.now = max(self.now, due)
            if self._plan and self._plan[0][0] <= self.now:
                heapq.heappop(self._plan)[2]()
            else:
                for side in self._sides():
                    side.keep_time(self.now)
            self._settle()
        self.now = max(self.now, time)

    def _next_time(self) -> float:
        planned = self._plan[0][0] if self._plan else math.inf
        return min([planned, *(side.deadline for side in self._sides())])

    def _sides(self) -> list[_Side[Any]]:
        return [side for link in self._links for side in link.sides if not side.is_over]

    def _settle(self) -> None:
        """Take what all sides have to tell and to send, also what one of them was told by another link's doing."""
        is_moving = True
        while is_moving:
            moved = [link.settle() for link in self._links]
            self._links = [link for link in self._links if not link.is_over]
            is_moving = any(moved)

    # --- for links ----------------------------------------------------------------------------------------------------

    def arrivals(self, count: int, after: float) -> list[float]:
        """When so many pieces that are sent now arrive, one after the other, and none before some time."""
        delays = sorted(self._random.uniform(*self._latency) for _ in range(count))
        return [max(after, self.now + delay) for delay in delays]

    def pieces(self, data: bytes) -> list[bytes]:
        """Bytes as they arrive."""
        found: list[bytes] = []
        at = 0
        while at < len(data):
            size = self._random.randint(1, self._random.choice(self._piece_bounds))
            found.append(data[at : at + size])
            at += size
        return found


class _Side(Generic[C]):
    """One end of a link.

    Attributes:
        events: All that the connection has told.
        sent: Bytes that have gone out, without those that were lost because the link was cut.
        limit: The link is cut when this side has sent so many.
        arrival: When the last of what this side has sent arrives.
        is_over: Whether the connection has told its end.
    """

    def __init__(self, connection: Driven[C], on_event: Callable[[C | Disconnected], object]) -> None:
        self.connection = connection
        self.events: list[C | Disconnected] = []
        self.sent = 0
        self.limit = math.inf
        self.arrival = 0.0
        self.is_over = False
        self._on_event = on_event

    @property
    def deadline(self) -> float:
        deadline = self.connection.next_deadline()
        return math.inf if deadline is None else deadline

    def keep_time(self, now: float) -> None:
        if self.deadline <= now:
            self.connection.handle_timeout(now)

    def take_events(self) -> bool:
        """Hand out what there is; returns whether there was anything."""
        count = len(self.events)
        while (event := self.connection.next_event()) is not NEED_DATA:
            self.events.append(event)
            self.is_over = self.is_over or isinstance(event, Disconnected)
            self._on_event(event)
        return len(self.events) > count

    def receive(self, data: bytes) -> None:
        """Take in what arrives: bytes, or none at all at the end."""
        if self.is_over:
            return
        if data:
            self.connection.receive_data(data)
        else:
            self.connection.receive_eof()


class SimulatedLink(Generic[C, S]):
    """A link of a `SimulatedNetwork`, which makes it. A side that has ended hangs up, which the other then sees."""

    def __init__(self, network: SimulatedNetwork, client: _Side[C], server: _Side[S]) -> None:
        self._network = network
        self._client = client
        self._server = server
        self._told: Told = "both"
        self._is_cut = False
        self._cuts = 0

    @property
    def client(self) -> Driven[C]:
        """The client's connection."""
        return self._client.connection

    @property
    def server(self) -> Driven[S]:
        """The server's connection."""
        return self._server.connection

    @property
    def client_events(self) -> list[C | Disconnected]:
        """All events of the client so far."""
        return self._client.events

    @property
    def server_events(self) -> list[S | Disconnected]:
        """All events of the server so far."""
        return self._server.events

    @property
    def sent(self) -> tuple[int, int]:
        """Bytes that the client and the server have sent, without those that were lost because the link was cut."""
        return self._client.sent, self._server.sent

    @property
    def is_cut(self) -> bool:
        """Whether the link carries nothing more."""
        return self._is_cut

    @property
    def is_over(self) -> bool:
        """Whether both sides have told their end."""
        return self._client.is_over and self._server.is_over

    # --- cutting ------------------------------------------------------------------------------------------------------

    def cut(self, *, told: Told = "both") -> None:
        """Cut the link now: what is on its way is lost.

        Args:
            told: The sides that see the end, each after a delay.
        """
        self._cuts += 1
        self._told = told
        self._part()

    def cut_at(
        self, *, client_to_server: int | None = None, server_to_client: int | None = None, told: Told = "both"
    ) -> None:
        """Cut the link when so many bytes have been sent in a direction, counted from its first; what was sent arrives.

        Replaces what was said before.

        Args:
            client_to_server: Bytes of the client that get through; None does not count them.
            server_to_client: Bytes of the server that get through.
            told: The sides that see the end, each after the last byte that it gets.
        """
        self._client.limit = math.inf if client_to_server is None else client_to_server
        self._server.limit = math.inf if server_to_client is None else server_to_client
        self._told = told
        if not self._is_cut and any(side.sent >= side.limit for side in self.sides):
            self._part()

    def _part(self) -> None:
        self._is_cut = True
        if self._told in ("both", "server"):
            self._carry(self._client, [b""])
        if self._told in ("both", "client"):
            self._carry(self._server, [b""])

    # --- for the network ----------------------------------------------------------------------------------------------

    @property
    def sides(self) -> tuple[_Side[C], _Side[S]]:
        """Both ends."""
        return self._client, self._server

    def settle(self) -> bool:
        """Take what both sides have to tell and to send; returns whether there was anything."""
        moved = [self._settle_side(side) for side in self.sides]
        return any(moved)

    def _settle_side(self, side: _Side[Any]) -> bool:
        was_over = side.is_over
        has_told = side.take_events()
        data = side.connection.data_to_send()
        if not self._is_cut:
            if data or side.limit <= side.sent:
                self._send(side, data)
            if side.is_over and not was_over and not self._is_cut:
                self._carry(side, [b""])
        return has_told or bool(data)

    def _send(self, side: _Side[Any], data: bytes) -> None:
        room = side.limit - side.sent
        is_last = len(data) >= room
        if is_last:
            data = data[: int(room)]
        side.sent += len(data)
        self._carry(side, self._network.pieces(data))
        if is_last:
            self._part()

    def _carry(self, sender: _Side[Any], pieces: list[bytes]) -> None:
        """Let pieces arrive at the other side after all that was sent before; an empty one is the end."""
        receiver = self._server if sender is self._client else self._client
        for piece, time in zip(pieces, self._network.arrivals(len(pieces), sender.arrival), strict=True):
            self._network.call_at(time, partial(self._arrive, receiver, piece, self._cuts))
            sender.arrival = time

    def _arrive(self, receiver: _Side[Any], piece: bytes, cuts: int) -> None:
        if self._cuts == cuts:  # otherwise it was on its way when the link was cut
            receiver.receive(piece)
