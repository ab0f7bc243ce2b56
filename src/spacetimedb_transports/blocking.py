"""A durable connection on two threads of its own, for programs that block.

One thread waits for the network: it opens links, moves bytes and keeps time, so pings are answered whatever else runs.
The other applies messages and hands out events, on which callbacks run. What is to be done next is the core's decision
(`DurableConnection.need`). Both are daemons: a program that ends does not wait for them.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar, cast

from spacetimedb_proto.bursts import Advance, Burst
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import ConnectError, ConnectionLost, SpacetimeDBError
from spacetimedb_proto.events import NEED_DATA, Disconnected, Event, NeedData, Transaction, Working

from .poller import Poller

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["BlockingDriver", "Signal"]

SHARE: Final = 256 * 1024
"""Bytes moved in one turn at most: for so long nobody else gets at the core."""

_NO_MORE: Final = object()

SLICE: Final = 0.05
"""Seconds that the main thread waits in one piece. Ctrl-C does not interrupt it on Windows, nor wherever a signal comes
to another thread of the process; between two pieces it is noticed in any case."""

P = ParamSpec("P")
R = TypeVar("R")


class Signal:
    """Something that happens once, and one thread that waits for it.

    Made of one lock, without anything around it, so that Ctrl-C in the middle of a wait leaves nothing locked on which
    the other side might hang.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def give(self, *_: object) -> None:
        """Say that it has happened; to be called once."""
        self._lock.release()

    def wait(self, seconds: float | None) -> bool:
        """Block until it has happened, which is returned, or the time is over. Ctrl-C interrupts it.

        Args:
            seconds: None for ever.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left, piece = _time_left(end)
            if self._lock.acquire(timeout=piece):
                return True
            if left <= piece:
                return False


class _LinkedCore:
    """The core as a poller sees it: it learns of a new link before anything else passes over that.

    Attributes:
        is_linked: Whether the poller's link is one that the core knows of.
        is_news: Whether anything came since this was last set back, so that there may be events.
        last_received: When bytes came last; None if none ever did.
    """

    def __init__(self, core: DurableConnection, clock: Callable[[], float]) -> None:
        self._core = core
        self._clock = clock
        self.is_linked = False
        self.is_news = False
        self.last_received: float | None = None

    def _link(self) -> None:
        if not self.is_linked:
            self.is_linked = True
            self._core.link_opened(self._clock())

    def receive_data(self, data: bytes) -> None:
        """Take in bytes."""
        self._link()
        self.last_received = self._clock()
        self.is_news = True
        self._core.receive_data(data)

    def receive_eof(self, reason: str = "") -> None:
        """No more bytes will come."""
        self._link()
        self.is_news = True
        self._core.receive_eof(reason)

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        self._link()
        return self._core.data_to_send()

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self.is_news = True
        self._core.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`."""
        return self._core.next_deadline()

    def next_event(self) -> Event | NeedData:
        """Advance by one event."""
        return self._core.next_event()

    def advance(self) -> Advance:
        """The same in steps."""
        return self._core.advance()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection."""
        self._core.close(code, reason)

    @property
    def is_behind(self) -> bool:
        """Whether reading should pause."""
        return self._core.is_behind


class _Turns:
    """Who may touch the core. Two locks, so that the thread that applies messages cannot keep the others out.

    Everybody else holds both. That thread takes the first for a moment before a step if anybody waits, and so steps
    behind whoever has come meanwhile. The others enter both by `with` alone, which Ctrl-C cannot interrupt half-way.
    """

    def __init__(self) -> None:
        self._door = threading.RLock()
        self._room = threading.RLock()
        self._guests: deque[None] = deque()  # one for each of the others that is inside or waits
        self._stepping: int | None = None

    def run(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do something while nobody else touches the core."""
        if self._stepping == threading.get_ident():  # a destructor in the middle of a step: it must not wait outside
            return act(*args, **kwargs)
        self._guests.append(None)
        try:
            with self._door, self._room:
                return act(*args, **kwargs)
        finally:
            self._guests.pop()

    def steps(self, items: Iterator[R]) -> Iterator[R]:
        """As `run`, for the thread that applies messages, which takes each thing that an iterator has in a step."""
        guests, door, enter, leave = self._guests, self._door, self._room.acquire, self._room.release
        this_thread = threading.get_ident()
        while True:
            if guests:
                with door:
                    enter()
            else:
                enter()
            self._stepping = this_thread
            try:
                item = next(items, _NO_MORE)
            finally:
                self._stepping = None
                leave()
            if item is _NO_MORE:
                return
            yield cast("R", item)


class OnEvent(Protocol):
    """What is done with each event."""

    def __call__(self, event: Any, /) -> object:
        """Handle it. Steps that are returned are taken before the next event."""
        ...


class BlockingDriver:
    """Drives a durable connection to its end, on two threads.

    Args:
        core: Its clock must be `clock`: make it with `now=clock()`. From the start on nobody may touch it but through
            `locked`.
        ask_token: Returns the token for the next attempt, or raises what says why there is none. It may block.
        on_event: Called with each event, or burst of events, in order, one at a time, by the callback thread, without
            any lock. What it leaves of a burst comes again.
        ssl: How to check the server's certificate; None for what the system trusts.
        clock: Seconds, of whatever clock.

    Attributes:
        on_event: As given. It may be replaced while an event is handled.
    """

    def __init__(
        self,
        core: DurableConnection,
        *,
        ask_token: Callable[[], str | None],
        on_event: OnEvent,
        ssl: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_event = on_event
        self._core = core
        self._ask_token = ask_token
        self._ssl = ssl
        self._clock = clock
        self._turns = _Turns()
        self._linked = _LinkedCore(core, clock)
        self._poller = Poller(self._linked)
        self._news: SimpleQueue[None] = SimpleQueue()  # may be fed by destructors, in the middle of anything
        self._is_called = False
        self._posted: deque[Callable[[], object]] = deque()
        self._is_paused = False
        self._is_asking = False
        self._is_over = False
        self._fault: BaseException | None = None
        where = f"{core.endpoint.host}:{core.endpoint.port}"
        self._io = threading.Thread(target=self._run_io, name=f"spacetimedb network {where}", daemon=True)
        self._reader = threading.Thread(target=self._run_callbacks, name=f"spacetimedb callbacks {where}", daemon=True)

    # --- for other threads --------------------------------------------------------------------------------------------

    @property
    def is_callback_thread(self) -> bool:
        """Whether the caller is what this driver calls: waiting for an event here would be waiting for itself."""
        return threading.current_thread() is self._reader

    @property
    def last_received(self) -> float | None:
        """When bytes arrived last, on the driver's clock; None if none ever did."""
        return self._linked.last_received

    def now(self) -> float:
        """The time, on the driver's clock."""
        return self._clock()

    def start(self) -> None:
        """Start both threads; to be called once."""
        self._reader.start()
        self._io.start()

    def locked(self, act: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do something with the core, or with what it keeps, while no other thread does. It should be quick.

        Raises:
            BaseException: What `act` raises.
        """
        return self._turns.run(act, *args, **kwargs)

    def each_in_turn(self, items: Iterator[R]) -> Iterator[R]:
        """What an iterator has that applies messages, for `on_event`: each is taken while nobody else touches the core.

        In between, others may.
        """
        return self._turns.steps(items)

    def wake(self) -> None:
        """Say that something may have to be sent or told, or that something else is needed now."""
        self._look()
        self._poller.wake()

    def post(self, act: Callable[[], object]) -> None:
        """Have something done between two events, by the callback thread. After the end it is done at once.

        May be called from destructors. What it raises is treated as what `on_event` raises.
        """
        if self._is_over:
            act()
        else:
            self._posted.append(act)
            self._look()

    def close(self) -> None:
        """Ask for the end, without waiting for it. Twice does no harm."""
        self.locked(self._core.close)
        self.wake()

    def abandon(self, reason: str) -> None:
        """End the connection at once, without a goodbye."""
        self.locked(self._core.abandon, reason)
        self.wake()

    def join(self, seconds: float | None = None) -> bool:
        """Wait until all events have been handed out and both threads have ended; returns whether that is so.

        A thread that asks for a token somewhere is not waited for: nothing comes of that any more.

        Args:
            seconds: How long to wait at most; None for ever.

        Raises:
            BaseException: What `on_event` raised first, after the connection was closed because of it; once.
        """
        end = None if seconds is None else time.monotonic() + seconds
        if not _ended(self._reader, end) or not (self._is_asking or _ended(self._io, end)):
            return False
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return True

    def _look(self) -> None:
        """Have the callback thread look for events."""
        if not self._is_called:
            self._is_called = True
            self._news.put(None)

    # --- the network --------------------------------------------------------------------------------------------------

    def _run_io(self) -> None:
        try:
            while self.locked(self._next_need) is not Need.NOTHING:
                self._take_turn()
        except BaseException as error:  # nobody else would learn of it, and all who wait would wait for ever
            self._fault = self._fault or error
            self.locked(self._core.abandon, f"its thread failed: {error!r}")
        finally:
            self._poller.close()
            self._look()

    def _next_need(self) -> Need:
        """Let go of a link that has ended, and say what is needed now."""
        need = self._core.need
        if self._linked.is_linked and need is not Need.BYTES:
            self._poller.hang_up()
            self._core.data_to_send()  # what could not leave is nothing for the next link
            self._linked.is_linked = False
        self._is_asking = need is Need.TOKEN
        return need

    def _take_turn(self) -> None:
        if self._is_asking:
            self._get_token()
            return
        try:
            if self._core.need is Need.LINK and not (self._poller.is_opening or self._linked.is_linked):
                self._poller.open(self._core.endpoint, self._ssl, now=self._clock(), addresses=self._poller.addresses)
            seconds = self.locked(self._poll)
        except ConnectError as error:
            self.locked(self._core.link_failed, error)
            self._look()
            return
        if self._linked.is_news:
            self._linked.is_news = False
            self._look()
        self._poller.wait(seconds)

    def _poll(self) -> float | None:
        """Do whatever needs no waiting; returns for how long to wait then."""
        self._poller.poll(self._clock(), SHARE)
        self._is_paused = self._core.is_behind
        return self._poller.timeout(self._clock())

    def _get_token(self) -> None:
        try:
            token = self._ask_token()
        except SpacetimeDBError as error:
            self.locked(self._core.token_failed, error)
        else:
            self.locked(self._core.token_is, token)
        finally:
            self._is_asking = False
        self._look()

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def _run_callbacks(self) -> None:
        try:
            while not self._is_over:
                self._news.get()
                self._is_called = False
                self._hand_out()
        except BaseException as error:  # nobody else would learn of it, and all who wait would wait for ever
            self._fault = self._fault or error
            self.abandon(f"its thread failed: {error!r}")
            self._is_over = True
            self._handle(Disconnected(ConnectionLost(f"the callback thread failed: {error!r}")))
        self._do_posted()

    def _hand_out(self) -> None:
        """Hand out all events that there are."""
        was_any = False
        self._do_posted()
        for event in self._turns.steps(self._events()):
            was_any = True
            if isinstance(event, Working):
                if event.job is not None:
                    event.job()
            else:
                self._hand_out_one(event)
            self._do_posted()
        if was_any:  # it may have left something to send, or moved a deadline
            self._poller.wake()

    def _events(self) -> Iterator[Event | Burst | Working]:
        """What there is to hand out; asking for the next one moves the core."""
        while True:
            event = self._core.advance()
            if self._is_paused and not self._core.is_behind:
                self._is_paused = False
                self._poller.wake()
            if event is NEED_DATA:
                self._is_over = self._core.need is Need.NOTHING
                return
            yield event

    def _hand_out_one(self, event: Event | Burst) -> None:
        if not isinstance(
            event, Transaction | Burst
        ):  # the network has perhaps something to do, for as long as callbacks run
            self._poller.wake()
        self._handle(event)

    def _handle(self, event: Event | Burst) -> None:
        try:
            outcome = self.on_event(event)
            if isinstance(outcome, Generator):
                deque(cast("Generator[object]", outcome), 0)
        except BaseException as error:
            self._fail(error)

    def _do_posted(self) -> None:
        while self._posted:
            try:
                self._posted.popleft()()
            except BaseException as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Keep an error for whoever closes, after a goodbye, which an exit request must not skip either."""
        self._fault = self._fault or error
        self.close()


def _ended(thread: threading.Thread, end: float | None) -> bool:
    """Wait for a thread's end, until that time; returns whether it has ended. Ctrl-C interrupts it."""
    while True:
        left, piece = _time_left(end)
        thread.join(piece)
        if left <= piece or not thread.is_alive():
            return not thread.is_alive()


def _time_left(end: float | None) -> tuple[float, float]:
    """How much time is left until then, and how much of it this thread may wait in one piece."""
    left = math.inf if end is None else max(0.0, end - time.monotonic())
    longest = SLICE if threading.current_thread() is threading.main_thread() else threading.TIMEOUT_MAX
    return left, min(left, longest)
