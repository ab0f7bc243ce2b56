"""Drives a connection without waiting: for a frame loop, which looks in once a frame, and for a thread that waits.

The same duties as `anyio.py`'s, but for events, which the host takes itself: open, move bytes both ways, keep time.
A frame loop never waits, and there is no thread then. A thread calls `wait` between, and others may `wake` it.
"""

from __future__ import annotations

import math
import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .sockets import Opening

if TYPE_CHECKING:
    from ssl import SSLContext

    from spacetimedb_proto.uri import Endpoint

    from .anyio import Driven
    from .links import SocketLink
    from .sockets import Address

__all__ = ["Poller"]

CHUNK: Final = 256 * 1024
"""Bytes asked for at once."""

SHARE: Final = 1024 * 1024
"""Bytes that one call moves at most, unless told otherwise."""

DRAIN_TIME: Final = 1.0
"""Seconds for reading on after writing has failed: what the peer sent before it went away is still delivered."""

LONGEST_WAIT: Final = 3600.0
"""Seconds that `wait` takes at most: systems count milliseconds in a few bytes."""

# The kinds that need no descriptor of their own; Windows has only the second.
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Poller:
    """Moves bytes between a connection and a link, which may be replaced, and tells the connection when time is up.

    Nothing blocks but `wait`. All calls but `wake` belong to one thread. Events are not handed out. So a turn is:
    `poll`, then the connection's `advance()` until there is nothing left, then `send` for what that has left to send,
    and perhaps `wait`. Whoever polls again before waiting has to look for events again.

    Args:
        connection: Its clock must be that of the `now` that is passed here.
    """

    def __init__(self, connection: Driven[object]) -> None:
        self._connection = connection
        self._opening: Opening | None = None
        self._link: SocketLink | None = None
        self._addresses: list[Address] = []
        self._drained_at = math.inf
        self._waker = _Waker()

    # --- the link -----------------------------------------------------------------------------------------------------

    def open(
        self,
        endpoint: Endpoint,
        ssl: SSLContext | None = None,
        *,
        now: float,
        timeout: float = 10.0,
        addresses: Sequence[Address] = (),
    ) -> None:
        """Ask for a link, which `poll` opens. The one before is dropped, and so is what was taken and not sent.

        Only when it is open, the connection is asked what to send. So nothing is lost when it cannot be opened.

        Args:
            endpoint: Where to.
            ssl: How to check the server's certificate; see `Opening`, also for what None costs.
            now: The time in seconds.
            timeout: Seconds for name lookup, connection and TLS together.
            addresses: Those of the host, as `addresses` told them before, so that nothing is looked up.

        Raises:
            ConnectError: A context was given for an endpoint without TLS.
        """
        self._drop()
        self._opening = Opening(endpoint, ssl, now=now, timeout=timeout, addresses=addresses, on_found=self.wake)

    @property
    def is_opening(self) -> bool:
        """Whether a link was asked for that is not open yet."""
        return self._opening is not None

    @property
    def is_open(self) -> bool:
        """Whether there is a link, and more bytes may come."""
        return self._link is not None and not self._link.is_ended

    @property
    def is_flushed(self) -> bool:
        """Whether all that was taken from the connection has left, or never will."""
        return self._link is None or self._link.is_flushed

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses of the host that was last reached, the one that answered first."""
        return self._addresses

    def hang_up(self) -> None:
        """End the link, if there is one, after sending what can be sent at once. The connection is not told."""
        self.send(0.0)  # the time matters no more
        self._drop()

    def close(self) -> None:
        """Hang up for good. `wait` returns at once from here on. Twice does no harm."""
        self.hang_up()
        self._waker.close()

    def _drop(self) -> None:
        opening, self._opening = self._opening, None
        link, self._link = self._link, None
        self._drained_at = math.inf
        for one in (opening, link):
            if one is not None:
                one.close()

    # --- moving -------------------------------------------------------------------------------------------------------

    def poll(self, now: float, limit: int = SHARE) -> None:
        """Do whatever needs no waiting: open, receive, what is due, send.

        How a link ends the connection is told by `receive_eof`, once, after all that has come over it.

        Args:
            now: The time in seconds.
            limit: Bytes to receive at most, and about as many to send. Those that are left come next time.

        Raises:
            ConnectError: The link could not be opened. The connection is not told; `open` may be called again.
        """
        if self._opening is not None:
            self._go_on_opening(now)
        if self._link is not None and not self._link.is_ended:
            self._read(self._link, now, limit)
        deadline = self._connection.next_deadline()
        if deadline is not None and now >= deadline:
            self._connection.handle_timeout(now)
        self.send(now, limit)

    def send(self, now: float, limit: int = SHARE) -> None:
        """Send what the connection has to send, and nothing else of what `poll` does.

        Args:
            now: The time in seconds.
            limit: Bytes to send at most, about.
        """
        link = self._link
        if link is None or not link.may_send:
            return
        # A piece is taken only when the one before has left, since a session counts it as sent.
        link.send(self._connection.data_to_send() if link.is_flushed else b"", limit)
        if not link.may_send:
            self._drained_at = now + DRAIN_TIME

    def _go_on_opening(self, now: float) -> None:
        opening, self._opening = self._opening, None
        assert opening is not None
        self._link = opening.poll(now)
        if self._link is None:
            self._opening = opening
        else:
            self._addresses = opening.addresses

    def _read(self, link: SocketLink, now: float, limit: int) -> None:
        while limit > 0 and not self._connection.is_behind:
            data = link.receive(min(limit, CHUNK))
            if data:
                self._connection.receive_data(data)
                limit -= len(data)
            elif data is not None or now >= self._drained_at:
                link.is_ended = True
                self._connection.receive_eof(link.reason)
                return
            else:
                return

    # --- waiting ------------------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> float | None:
        """Seconds until `poll` has something to do even though nothing happens at `fileno()`; None for never."""
        reading = self._is_reading
        if self._link is not None and reading and self._link.has_pending:
            return 0.0
        deadline = self._connection.next_deadline()
        due = min(
            math.inf if deadline is None else deadline,
            math.inf if self._opening is None else self._opening.due,
            self._drained_at if reading else math.inf,
        )
        return None if due == math.inf else max(0.0, due - now)

    def interest(self) -> int:
        """What to wait for at `fileno()`, as `selectors` says it; 0 for nothing."""
        if self._link is not None:
            return self._link.interest(reading=self._is_reading)
        return 0 if self._opening is None else self._opening.interest

    def fileno(self) -> int:
        """The descriptor of the link, or -1 where there is none; another one when an address or the link changes."""
        link = self._link or self._opening
        return -1 if link is None else link.fileno()

    def wait(self, seconds: float | None) -> None:
        """Block until the link is ready, `wake` is or was called, or the time is over; sometimes for less.

        Args:
            seconds: Usually `timeout(now)`; None for ever.
        """
        woken = self._waker.receiver()
        if woken is None:
            return
        with _Selector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            if (interest := self.interest()) != 0:
                selector.register(self.fileno(), interest)
            selector.select(LONGEST_WAIT if seconds is None else min(seconds, LONGEST_WAIT))
        self._waker.rest()

    def wake(self) -> None:
        """Let `wait` return, now or when it is next called. May be called from any thread, and from signal handlers."""
        self._waker.call()

    @property
    def _is_reading(self) -> bool:
        """Whether `poll` would receive bytes."""
        return self.is_open and not self._connection.is_behind


class _Waker:
    """Interrupts a thread that waits in a selector. Costs nothing before it is first asked for something to wait for.

    The lock keeps a byte from being sent to whatever gets the descriptor after `close`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._is_called = False
        self._is_closed = False

    def call(self) -> None:
        """Make the receiver ready, now or when there is one. At most one byte is on its way."""
        with self._lock:
            if not self._is_called:
                self._is_called = True
                self._send()

    def receiver(self) -> socket.socket | None:
        """What becomes readable when called; None after `close`."""
        with self._lock:
            if self._is_closed:
                return None
            if self._pair is None:
                self._pair = socket.socketpair()
                for end in self._pair:
                    end.setblocking(False)
                if self._is_called:
                    self._send()
            return self._pair[0]

    def rest(self) -> None:
        """Forget the call: whoever made it will be served now."""
        with self._lock:
            if self._pair is not None:
                with suppress(BlockingIOError):
                    self._pair[0].recv(16)
            self._is_called = False  # last, since a signal handler may call at any point

    def close(self) -> None:
        """Let go of the sockets. Calls do nothing from here on."""
        with self._lock:
            self._is_closed = True
            pair, self._pair = self._pair, None
            for end in pair or ():
                end.close()

    def _send(self) -> None:
        if self._pair is not None:
            self._pair[1].send(b"\0")
