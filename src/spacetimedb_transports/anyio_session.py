"""A durable connection on asyncio and trio: one link after the other, and the waiting in between.

What is to be done next is the core's decision (`DurableConnection.need`), and so is when. Here is how.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from typing import cast

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from spacetimedb_proto.bursts import Burst
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import SpacetimeDBError
from spacetimedb_proto.events import NEED_DATA, Event, Working

from .anyio import Pump

__all__ = ["SessionDriver"]


class SessionDriver:
    """Drives a durable connection to its end.

    Args:
        core: Its clock must be the loop's: make it with `now=anyio.current_time()`.
        open_stream: Opens a stream to the server, or raises `ConnectError`.
        ask_token: Returns the token for the next attempt, or raises what says why there is none.
        on_event: Called with each event, or with several in a `Burst`, in order. As for `Pump`.

    """

    def __init__(
        self,
        core: DurableConnection,
        *,
        open_stream: Callable[[], Awaitable[ByteStream]],
        ask_token: Callable[[], Awaitable[str | None]],
        on_event: Callable[[Event | Burst], object],
    ) -> None:
        self._core = core
        self._open_stream = open_stream
        self._ask_token = ask_token
        self._on_event = on_event
        self._pump: Pump[Event | Burst] | None = None
        self._busy: anyio.CancelScope | None = None
        self._woken = anyio.Event()

    @property
    def on_event(self) -> Callable[[Event | Burst], object]:
        """As given. It may be replaced while an event is handled that asks for a pause."""
        return self._on_event

    @on_event.setter
    def on_event(self, on_event: Callable[[Event | Burst], object]) -> None:
        self._on_event = on_event
        if self._pump is not None:
            self._pump.on_event = on_event

    @property
    def last_received(self) -> float | None:
        """When bytes arrived last, on the loop's clock; None if none ever did."""
        return None if self._pump is None else self._pump.last_received

    def wake(self) -> None:
        """Say that something may have to be sent, or that something else is needed now. To be called from the loop."""
        self._woken.set()
        if self._core.need is Need.NOTHING and self._busy is not None:
            self._busy.cancel()
        if self._pump is not None:
            self._pump.wake()

    async def run(self) -> None:
        """Drive the connection until nothing more is needed. When this is cancelled, it ends at once.

        Raises:
            BaseException: What `on_event` raised first, after the connection was closed because of it.
        """
        try:
            while self._core.need is not Need.NOTHING:
                self._woken = anyio.Event()
                await self._do_next()
                await self._hand_out()
        finally:
            self._core.abandon("its task was cancelled")
            for event in self._events():
                deque(_steps_of(self.on_event(event)), 0)

    async def _do_next(self) -> None:
        match self._core.need:
            case Need.TOKEN:
                with anyio.CancelScope() as self._busy:
                    await self._get_token()
            case Need.LINK:
                stream = None
                with anyio.CancelScope() as self._busy:
                    stream = await self._get_stream()
                if stream is not None:
                    await self._carry(stream)
            case _:
                await self._wait()
        self._busy = None

    async def _get_token(self) -> None:
        try:
            self._core.token_is(await self._ask_token())
        except SpacetimeDBError as error:
            self._core.token_failed(error)

    async def _get_stream(self) -> ByteStream | None:
        try:
            return await self._open_stream()
        except SpacetimeDBError as error:
            self._core.link_failed(error)
            return None

    async def _carry(self, stream: ByteStream) -> None:
        """Move a link's bytes until it is over."""
        self._core.link_opened(anyio.current_time())
        last = self.last_received
        self._pump = Pump(self._core, stream, self._on_event, give_up=self._core.abandon)
        self._pump.last_received = last
        await self._pump.run()

    async def _wait(self) -> None:
        deadline = self._core.next_deadline()
        with anyio.CancelScope(deadline=math.inf if deadline is None else deadline):
            await self._woken.wait()
        self._core.handle_timeout(anyio.current_time())

    async def _hand_out(self) -> None:
        """Hand out what happens between links."""
        for event in self._events():
            for _ in _steps_of(self.on_event(event)):
                await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()

    def _events(self) -> Iterator[Event | Burst]:
        while (event := self._core.advance()) is not NEED_DATA:
            if not isinstance(event, Working):
                yield event


def _steps_of(outcome: object) -> Iterable[object]:
    """The steps that handling an event needs."""
    return cast("Iterable[object]", outcome) if isinstance(outcome, Generator) else ()
