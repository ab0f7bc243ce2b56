"""A durable connection in a frame loop: nothing moves but inside `tick`, which keeps to a budget and never waits.

What is to be done next is the core's decision (`DurableConnection.need`), and so is when. Here is how much at a time.
There is no thread, but for the name lookup of a host that is not near (`sockets.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, cast

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import ConnectError, LocalProtocolError, SpacetimeDBError
from spacetimedb_proto.events import NEED_DATA, Event, LinkEnded, Working

from .poller import Poller

if TYPE_CHECKING:
    from ssl import SSLContext

    from .sockets import Address

__all__ = ["FrameDriver"]

SHARE: Final = 64 * 1024
"""Bytes moved in one step, at most, each way: less than a millisecond, however many messages they hold."""


class FrameDriver:
    """Drives a durable connection, a little in each tick. All calls belong to one thread.

    A tick is made of steps: some bytes are moved, one event is handed out, some hundred or thousand rows are dealt
    with, a compressed message is inflated, the module's definition is read. Between two of them the clock is looked
    at, so a tick takes longer than its budget by one step at most.

    Args:
        core: Its clock must be `clock`: make it with `now=clock()`.
        ask_token: Returns the token for the next attempt, or raises what says why there is none. It must not block.
        on_event: Called with each event, or burst of events, in order, one at a time. It may return steps, which are
            taken before the next. What it leaves of a burst comes again.
        clock: The time in seconds.
        ssl: How to check the server's certificate. It should be made beforehand: see `Opening` for what None costs.

    Attributes:
        on_event: As given. It may be replaced while an event is handled.
        last_received: When bytes arrived last, on the same clock; None if none ever did.
        is_over: Whether the session has ended and everything was handed out. Nothing is open any more then.
    """

    def __init__(
        self,
        core: DurableConnection,
        *,
        ask_token: Callable[[], str | None],
        on_event: Callable[[Event | Burst], object],
        clock: Callable[[], float],
        ssl: SSLContext | None = None,
    ) -> None:
        self._core = core
        self._ask_token = ask_token
        self._clock = clock
        self._ssl = ssl
        self._poller = Poller(core)
        self._addresses: Sequence[Address] = ()
        self._work = self._working()
        self._is_ticking = False
        self.on_event = on_event
        self.last_received: float | None = None
        self.is_over = False

    # --- ticks --------------------------------------------------------------------------------------------------------

    def tick(self, budget: float) -> bool:
        """Do what there is to do without waiting, until it is done or the time is up; one step at least.

        Args:
            budget: Seconds.

        Returns:
            Whether there is more to do at once.

        Raises:
            LocalProtocolError: It was called inside a callback.
            BaseException: What `on_event` raised. The rest of that event is skipped; the next tick goes on after it.
        """
        if self._is_ticking:
            raise LocalProtocolError("expected a tick from the frame loop, got one inside a callback of another tick")
        self._is_ticking = True
        try:
            return self._work_until(self._clock() + budget)
        except BaseException:
            self._work = self._working()
            raise
        finally:
            self._is_ticking = False

    def finish(self, timeout: float) -> None:
        """Tick, and block between, until it is over. After `timeout` seconds the link is cut; events are left to ticks.

        Raises:
            LocalProtocolError: It was called inside a callback.
        """
        end = self._clock() + timeout
        while not self.is_over and (left := end - self._clock()) > 0:
            if not self.tick(left) and not self.is_over:
                due = self._poller.timeout(self._clock())
                self._poller.wait(left if due is None else min(due, left))
        if not self.is_over:
            self._core.abandon(f"the goodbye was not over after {timeout:g} s")
            self._poller.close()

    def _work_until(self, end: float) -> bool:
        if self._core.need is Need.BYTES:
            self._move()  # pings are answered in time, however many events wait
        is_more = next(self._work)
        while is_more and self._clock() < end:
            is_more = next(self._work)
        self._poller.send(self._clock(), SHARE)
        return is_more

    # --- steps --------------------------------------------------------------------------------------------------------

    def _working(self) -> Iterator[bool]:
        """All there is to do, for ever. Yields after each step whether there was one."""
        is_idle = False
        while True:
            for event in self._events():
                is_idle = False
                if event is not None:
                    for _ in _steps_of(self.on_event(event)):
                        yield True
                yield True
            if is_idle:
                is_idle = False
                yield False
            elif self._go_on():
                yield True
            else:
                is_idle = True

    def _events(self) -> Iterator[Event | Burst | None]:
        """The events there are; None after each step that leads to one."""
        while (told := self._core.advance()) is not NEED_DATA:
            if isinstance(told, Working):
                if told.job is not None:
                    told.job()
                yield None
            else:
                if isinstance(told, LinkEnded):
                    self._hang_up()
                yield told

    def _go_on(self) -> bool:
        """Do what is needed next, now that there are no events; returns whether that led anywhere."""
        before = self._position()
        match self._core.need:
            case Need.TOKEN:
                self._get_token()
            case Need.LINK:
                self._open()
            case Need.NOTHING:
                self._poller.close()
                self.is_over = True
            case _:
                self._move()
        return self._position() != before

    def _position(self) -> tuple[object, ...]:
        return self._core.need, self._core.bytes_received, self._poller.is_opening

    def _get_token(self) -> None:
        try:
            self._core.token_is(self._ask_token())
        except SpacetimeDBError as error:
            self._core.token_failed(error)

    def _open(self) -> None:
        now = self._clock()
        try:
            if not self._poller.is_opening:
                self._poller.open(self._core.endpoint, self._ssl, now=now, addresses=self._addresses)
            self._poller.poll(now, 0)  # no bytes before the core knows of the link, or they would be lost
        except ConnectError as error:
            self._addresses = ()  # the host may have moved
            self._core.link_failed(error)
            return
        if self._poller.is_open:
            self._addresses = self._poller.addresses
            self._core.link_opened(now)

    def _move(self) -> None:
        now, before = self._clock(), self._core.bytes_received
        self._poller.poll(now, SHARE)
        if self._core.bytes_received != before:
            self.last_received = now

    def _hang_up(self) -> None:
        self._poller.hang_up()
        self._core.data_to_send()  # what could not leave over this link must not over the next


def _steps_of(outcome: object) -> Iterable[object]:
    """The steps that handling an event needs."""
    return cast("Iterable[object]", outcome) if isinstance(outcome, Generator) else ()
