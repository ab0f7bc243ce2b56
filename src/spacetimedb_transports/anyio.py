"""Connections on asyncio and trio, through anyio. Four duties: open, pump both ways, arm one timer, hand out events.

What the bytes mean is the core's business (`spacetimedb_proto`). Nothing here retries, calls user code or knows a
session; no task group of the caller's is needed, so connections may be opened and closed in any order and by any task.
Importing this module imports neither trio nor a running loop.
"""

from __future__ import annotations

import asyncio
import math
import ssl as tls
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import ByteStream

from spacetimedb_proto.errors import ConnectError
from spacetimedb_proto.events import NEED_DATA, Disconnected, LinkEnded, NeedData, Working
from spacetimedb_proto.http import HttpExchange, HttpResponse
from spacetimedb_proto.uri import Endpoint

from . import asyncio_stream
from .background import Background, in_trio, spawn

__all__ = ["Background", "Dial", "Driven", "Pump", "close_stream", "dial", "fetch", "spawn"]

CHUNK: Final = 1024 * 1024
"""Bytes asked for at once: large enough that a snapshot of many megabytes takes few rounds."""

FAIR_SHARE: Final = 512
"""Events handed out at most before other tasks get their turn; of what is handled in steps, only time counts."""

TURN_TIME: Final = 0.002
"""Seconds after which others get their turn even so: rarely more than a reader's own latency, many events' worth."""

EVENTS_PER_LOOK: Final = 8
"""Events handed out between two looks at the clock, which costs about as much as handing one out."""

FLUSH_TIME: Final = 1.0
"""Seconds for the last bytes (usually a Close frame) to leave, and for a stream to close."""

DRAIN_TIME: Final = 1.0
"""Seconds for reading on after writing has failed: what the peer sent before it went away is still delivered."""

E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")


# --- opening ----------------------------------------------------------------------------------------------------------


class Dial(Protocol):
    """How a stream to a server is opened; `dial` is the usual one."""

    def __call__(self, endpoint: Endpoint, *, ssl: tls.SSLContext | None = None) -> Awaitable[ByteStream]:
        """Open a stream, or raise `ConnectError`."""
        ...


async def dial(
    endpoint: Endpoint,
    *,
    ssl: tls.SSLContext | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109  the error says how long was waited
) -> ByteStream:
    """Open a TCP connection, encrypted if the endpoint says so.

    Args:
        endpoint: Where to.
        ssl: How to check the server's certificate; None trusts what the system trusts.
        timeout: Seconds for name lookup, connection and TLS together.

    Raises:
        ConnectError: It failed, for the reason given and chained.
    """
    where = f"{endpoint.host}:{endpoint.port}"
    if ssl is not None and not endpoint.is_tls:
        raise ConnectError(f"an SSL context was given: expected wss:// or https://, got {endpoint}")
    try:
        with anyio.fail_after(timeout):
            return await _open(endpoint, ssl)
    except TimeoutError as error:
        raise ConnectError(f"cannot connect to {where}: no answer for {timeout:g} s") from error
    except tls.SSLError as error:
        raise ConnectError(f"cannot connect to {where} with TLS: {error}") from error
    except (OSError, UnicodeError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        raise ConnectError(f"cannot connect to {where}: {_told(error)}") from error


async def _open(endpoint: Endpoint, ssl: tls.SSLContext | None) -> ByteStream:
    context = ssl or tls.create_default_context() if endpoint.is_tls else None
    # Other loops that look like asyncio's, such as uvloop's, know fewer options.
    if not in_trio() and isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        return await asyncio_stream.connect(endpoint.host, endpoint.port, context)
    if context is None:
        return await anyio.connect_tcp(endpoint.host, endpoint.port)
    # Servers end the connection without TLS's own goodbye; frames and lengths tell whether something is missing.
    name = endpoint.host.rstrip(".")
    return await anyio.connect_tcp(
        endpoint.host, endpoint.port, tls=True, ssl_context=context, tls_hostname=name, tls_standard_compatible=False
    )


async def fetch(
    endpoint: Endpoint,
    exchange: HttpExchange,
    *,
    ssl: tls.SSLContext | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109  the error says how long was waited
    dial: Dial = dial,
) -> HttpResponse:
    """Send one HTTP request over a connection of its own, and wait for the answer, whatever its status.

    Raises:
        ConnectError: There was no connection, no whole answer, or none within `timeout` seconds.
        RemoteProtocolError: The answer is not HTTP, or too large.
    """
    try:
        with anyio.fail_after(timeout):
            stream = await dial(endpoint, ssl=ssl)
            try:
                return await _converse(exchange, stream)
            finally:
                await close_stream(stream)
    except TimeoutError as error:
        raise ConnectError(f"no answer from {endpoint.host}:{endpoint.port} for {timeout:g} s") from error


async def _converse(exchange: HttpExchange, stream: ByteStream) -> HttpResponse:
    broken: Exception | None = None
    try:
        await stream.send(exchange.data_to_send())
    except Exception as error:  # the answer may have come all the same
        broken = error
    try:
        while (response := exchange.next_event()) is NEED_DATA:
            try:
                data = await stream.receive(CHUNK)
            except Exception as error:
                broken, data = error, b""
            exchange.receive_data(data)
    except ConnectError as error:
        raise error from broken
    return response


async def close_stream(stream: ByteStream) -> None:
    """Close in any case: also when cancelled, when broken, and when the peer does not take part."""
    with anyio.move_on_after(FLUSH_TIME, shield=True), suppress(Exception):
        await stream.aclose()


# --- pumping ----------------------------------------------------------------------------------------------------------


class Driven(Protocol[E_co]):
    """What a pump drives: `ClientConnection`, `ServerConnection`, or what wraps one."""

    def receive_data(self, data: bytes) -> None:
        """Take in bytes."""

    def receive_eof(self, reason: str = "") -> None:
        """No more bytes will come."""

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        ...

    def next_event(self) -> E_co | Disconnected | NeedData:
        """Advance by one event; the last one is `Disconnected`."""
        ...

    def advance(self) -> E_co | Disconnected | NeedData | Working:
        """The same in steps of some milliseconds, of which `Working` says that there are more."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be handed out that reading should pause."""
        ...

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`, on the loop's clock."""
        ...

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection."""


class Pump(Generic[E]):
    """Moves bytes between a connection and a stream, and events to `on_event`, until one that is a `LinkEnded`.

    A turn of handing out lasts some milliseconds; between turns other tasks run, bytes are received and pings are
    answered, however long a message or what `on_event` does with it takes as a whole.

    Args:
        connection: Its clock must be the loop's: make it with `now=anyio.current_time()`.
        stream: Belongs to the pump from here on, which closes it.
        on_event: Called with each event, in order, one at a time, and with what `advance` returns in the place of
            several: it must take all of a `Burst`, now or in steps. Steps that it returns are taken before the next
            event. When it returns True, or its steps do, tasks that it woke up run before the next message is applied,
            so they find the cache as this event left it.
        clock: Seconds, of whatever clock; tells for how long other tasks have waited for their turn.
        give_up: Called with the reason when nobody will drive the connection any more; by default its `receive_eof`.

    Attributes:
        on_event: As given. It may be replaced while an event is handled that asks for a pause.
        last_received: When bytes arrived last, on the loop's clock; None if none ever did.
    """

    def __init__(
        self,
        connection: Driven[E],
        stream: ByteStream,
        on_event: Callable[[E | Disconnected], object],
        clock: Callable[[], float] = time.monotonic,
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self.on_event = on_event
        self._clock = clock
        self._on_give_up = give_up or connection.receive_eof
        self.last_received: float | None = None
        self._fault: BaseException | None = None
        self._is_late = False
        self._steps: object = None
        self._job: Callable[[], object] | None = None
        self._may_write = True
        self._armed = math.inf
        self._late = anyio.Event()
        self._caught_up = anyio.Event()
        self._output = anyio.Event()
        self._earlier = anyio.Event()
        self._ended = anyio.Event()
        self._flushed = anyio.Event()

    async def run(self) -> None:
        """Drive the connection to its end. Errors of the stream end the connection, and go no further.

        `Disconnected` is handed out in any case; when this is cancelled, at once and without a Close frame.

        Raises:
            BaseException: What `on_event` raised first, after the connection was closed because of it.
        """
        try:
            async with anyio.create_task_group() as group:
                for duty in (self._read, self._write, self._keep_time, self._catch_up):
                    group.start_soon(duty)
                await self._ended.wait()
                with anyio.move_on_after(FLUSH_TIME):
                    await self._flushed.wait()
                group.cancel_scope.cancel()
        finally:
            if not self._ended.is_set():
                self._give_up()
            await close_stream(self._stream)
        if self._fault is not None:
            raise self._fault

    def wake(self) -> None:
        """Say that something may have to be sent, or that a deadline may have moved. To be called from the loop."""
        self._output.set()
        deadline = self._connection.next_deadline()
        if deadline is not None and deadline < self._armed:
            self._earlier.set()

    async def _read(self) -> None:
        is_open = True
        while is_open and not self._ended.is_set():
            try:
                data = await self._stream.receive(CHUNK)
                self.last_received = anyio.current_time()
                self._connection.receive_data(data)
            except anyio.EndOfStream:
                is_open = self._end_input("")
            except Exception as error:
                is_open = self._end_input(_told(error))
            self._hand_out()
            self.wake()
            while self._is_late and self._connection.is_behind:
                await self._caught_up.wait()

    async def _write(self) -> None:
        while self._may_write:
            self._output = anyio.Event()
            if not await self._transmit():
                if self._ended.is_set():
                    break
                await self._output.wait()
        self._flushed.set()

    async def _transmit(self) -> bool:
        """The only place that drains output. Returns whether there was any."""
        data = self._connection.data_to_send()
        if not data:
            return False
        try:
            await self._stream.send(data)
        except Exception as error:
            # The reader usually sees the end too, after what is left to read.
            self._may_write = False
            with anyio.move_on_after(DRAIN_TIME):
                await self._ended.wait()
            self._end_input(_told(error))
            self._hand_out()
        return True

    async def _keep_time(self) -> None:
        while True:
            self._earlier = anyio.Event()
            deadline = self._connection.next_deadline()
            self._armed = math.inf if deadline is None else deadline
            with anyio.CancelScope(deadline=self._armed):
                await self._earlier.wait()
            if deadline is not None and anyio.current_time() >= deadline:
                self._connection.handle_timeout(anyio.current_time())
                self._hand_out()
                self._output.set()

    def _hand_out(self) -> None:
        """Hand out what there is; what takes longer than a turn is left to `_catch_up`."""
        if not self._is_late and not self._ended.is_set() and self._take_turn():
            self._is_late = True
            self._late.set()

    async def _catch_up(self) -> None:
        while True:
            await self._late.wait()
            self._late = anyio.Event()
            is_more = True
            while is_more:
                self.wake()
                await _let_others_run()
                if self._job is not None:
                    job, self._job = self._job, None
                    await anyio.to_thread.run_sync(job, abandon_on_cancel=True)
                is_more = self._take_turn()
            self._is_late = False
            self.wake()
            caught_up, self._caught_up = self._caught_up, anyio.Event()
            caught_up.set()

    def _take_turn(self) -> bool:
        """Hand out events until one asks for a pause, or others have waited for long enough.

        Returns whether there may be more. Local names and one look at the clock for several events, because there may
        be hundreds of thousands of them in a second.
        """
        end, count = self._clock() + TURN_TIME, 0
        if self._steps is not None and not self._take_steps(self._steps, end):
            return True
        advance, on_event, clock = self._connection.advance, self.on_event, self._clock
        is_over = False
        while not is_over and (event := advance()) is not NEED_DATA:
            if isinstance(event, Working):
                self._job = event.job
                is_over = self._job is not None or clock() >= end
                continue
            count += 1
            try:
                outcome = on_event(event)
            except BaseException as error:
                outcome = self._fail(error)
            if outcome and (outcome is True or not self._take_steps(outcome, end)):
                is_over = True
            elif count % EVENTS_PER_LOOK == 0:
                is_over = count >= FAIR_SHARE or clock() >= end
            if isinstance(event, LinkEnded):  # what follows is not this link's
                self._ended.set()
                self._output.set()
                return False
        return is_over

    def _take_steps(self, steps: object, end: float) -> bool:
        """Take the steps that handling an event needs, for as long as the turn lasts.

        Returns whether the next event may follow in this turn.
        """
        if not isinstance(steps, Generator):
            return True
        self._steps = steps
        left = cast("Iterator[object]", steps)
        try:
            while True:
                next(left)
                if self._clock() >= end:
                    return False
        except StopIteration as stop:
            self._steps = None
            return stop.value is not True
        except BaseException as error:
            self._steps = None
            return not self._fail(error)

    def _fail(self, error: BaseException) -> bool:
        """Keep an error for the end, after a goodbye, which an exit request must not skip either."""
        self._fault = self._fault or error
        self._connection.close()
        return False

    def _end_input(self, reason: str) -> bool:
        """Say that no more bytes will come; returns that reading is over."""
        self._connection.receive_eof(reason)
        return False

    def _give_up(self) -> None:
        """After a cancellation: let everybody who waits know, without waiting for anything."""
        self._on_give_up("its task was cancelled")
        while self._take_turn():
            pass


async def _let_others_run() -> None:
    """Twice, because trio runs the tasks that are ready at one time in random order: a woken one may come after us."""
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


def _told(error: BaseException) -> str:
    """What went wrong, in the words of the operating system; anyio puts its own exceptions around them."""
    cause = error.__cause__ or error
    several: tuple[BaseException, ...] = getattr(cause, "exceptions", ())  # one for each address of a host
    if several:
        return "; ".join(dict.fromkeys(map(_told, several)))
    return str(cause) or type(cause).__name__
