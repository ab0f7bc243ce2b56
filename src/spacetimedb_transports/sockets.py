"""How a TCP or TLS connection is opened without waiting, by whoever looks in now and then.

Nothing here blocks, sleeps or reads a clock; time is an argument. One thing cannot be asked for without waiting: the
operating system's name lookup. A thread does that, one for each lookup, which touches nothing but its answer. It is a
daemon, since nobody can stop it either. What an open connection does is in `links.py`, who looks in in `poller.py`.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl as tls
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from selectors import EVENT_WRITE
from typing import Any

import attrs

from spacetimedb_proto.errors import ConnectError
from spacetimedb_proto.uri import Endpoint

from .links import SocketLink, TlsLink

__all__ = ["Address", "Opening", "look_up"]

# --- names ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Address:
    """One address of a host, as the operating system gives it."""

    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        return str(self.sockaddr[0])


def look_up(host: str, port: int) -> list[Address]:
    """All addresses of a host, best first. Blocks, unless the host is an address already.

    Raises:
        OSError: There is no such host, or nobody answers.
        UnicodeError: No resolver takes such a name.
    """
    return [Address(found[0], found[4]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _is_near(host: str) -> bool:
    """Whether the system knows the addresses without asking anybody."""
    try:
        return host.lower() == "localhost" or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _look_up_aside(host: str, port: int, answer: Future[list[Address]]) -> None:
    try:
        answer.set_result(look_up(host, port))
    except Exception as error:  # whatever it is, somebody waits for it
        answer.set_exception(error)


# --- opening ----------------------------------------------------------------------------------------------------------


class Opening:
    """A connection to a server that is being opened, encrypted if the endpoint says so. Call `poll` until it is there.

    The host's addresses are tried one after the other. Each may take its share of the time that is left, so one that
    does not answer leaves some to the next. What goes wrong with TLS is final, as it is in asyncio.

    Args:
        endpoint: Where to.
        ssl: How to check the server's certificate. None makes a context that trusts what the system trusts, which
            takes some tens of milliseconds: whoever must not wait makes one beforehand.
        now: The time in seconds, on the clock that `poll` will be called with.
        timeout: Seconds for name lookup, connection and TLS together.
        addresses: Those of the host, so that nothing is looked up.
        on_found: Called when the addresses were looked up or could not be, perhaps by another thread. It must be quick.

    Attributes:
        addresses: Those of the host, once they are known; after success the one that answered comes first.
        due: When to call `poll` even though `fileno()` has not become ready, on the same clock.
        interest: What to wait for at `fileno()`, as `selectors` says it; 0 where there is none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        ssl: tls.SSLContext | None = None,
        *,
        now: float,
        timeout: float = 10.0,
        addresses: Sequence[Address] = (),
        on_found: Callable[[], object] | None = None,
    ) -> None:
        """Nothing is opened yet.

        Raises:
            ConnectError: A context was given for an endpoint without TLS.
        """
        if ssl is not None and not endpoint.is_tls:
            raise ConnectError(f"an SSL context was given: expected wss:// or https://, got {endpoint}")
        self._endpoint = endpoint
        self._context = ssl or tls.create_default_context() if endpoint.is_tls else None
        self._timeout = timeout
        self._now = now
        self._deadline = now + timeout
        self._on_found = on_found
        self._socket: socket.socket | None = None
        self._steps = self._open()
        self.addresses = list(addresses)
        self.due = now
        self.interest = 0

    def poll(self, now: float) -> SocketLink | None:
        """Go on for as far as that needs no waiting. Returns the link when it is open, and None before.

        Raises:
            ConnectError: It failed, for the reasons given. Nothing is left open.
        """
        self._now = now
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        try:
            missing = next(self._steps)
        except StopIteration as opened:
            link: SocketLink = opened.value
            return link
        except tls.SSLError as error:
            raise ConnectError(f"cannot connect to {where} with TLS: {error}") from error
        except (OSError, ValueError, RuntimeError) as error:  # such as a name that no resolver takes, or no thread left
            raise ConnectError(f"cannot connect to {where}: {error}") from error
        if now >= self._deadline:
            self.close()
            raise ConnectError(f"cannot connect to {where}: {missing} for {self._timeout:g} s")
        return None

    def fileno(self) -> int:
        """The descriptor to wait for, or -1 where there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Give up. Twice does no harm."""
        self._steps.close()
        self._socket, self.interest = None, 0

    def _open(self) -> Generator[str, None, SocketLink]:
        """The way from a name to a link. Yields what is missing whenever it would have to wait."""
        if not self.addresses:
            self.addresses = yield from self._find()
        connected = yield from self._connect()
        if self._context is None:
            return SocketLink(connected)
        return (yield from self._encrypt(connected, self._context))

    def _pause(self, missing: str, waiting: socket.socket | None, interest: int, due: float) -> Generator[str]:
        self._socket, self.interest, self.due = waiting, interest, due
        yield missing
        self._socket, self.interest = None, 0

    def _find(self) -> Generator[str, None, list[Address]]:
        host, port = self._endpoint.host, self._endpoint.port
        if _is_near(host):
            return look_up(host, port)
        answer: Future[list[Address]] = Future()
        threading.Thread(target=_look_up_aside, args=(host, port, answer), name=f"look up {host}", daemon=True).start()
        if self._on_found is not None:
            on_found = self._on_found
            answer.add_done_callback(lambda _: on_found())
        while not answer.done():
            yield from self._pause("no answer to the name lookup", None, 0, self._deadline)
        return answer.result()

    def _connect(self) -> Generator[str, None, socket.socket]:
        failures: list[OSError] = []
        for at, address in enumerate(self.addresses):
            later = len(self.addresses) - at - 1
            until = self._deadline - (self._deadline - self._now) * later / (later + 1)
            try:
                connected = yield from self._connect_to(address, until)
            except OSError as error:
                failures.append(error)
            else:
                self.addresses = [address, *self.addresses[:at], *self.addresses[at + 1 :]]
                return connected
        if len(failures) == 1:
            raise failures[0]
        causes = (f"{failure} ({address})" for failure, address in zip(failures, self.addresses, strict=True))
        raise OSError("; ".join(causes)) from failures[-1]

    def _connect_to(self, address: Address, until: float) -> Generator[str, None, socket.socket]:
        start = self._now
        connecting = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                connecting.connect(address.sockaddr)
            while not _is_connected(connecting):
                self._check_time(start, until)
                yield from self._pause("no answer", connecting, EVENT_WRITE, until)
        except BaseException:
            connecting.close()
            raise
        return connecting

    def _check_time(self, start: float, until: float) -> None:
        if self._now >= until:
            raise TimeoutError(f"no answer for {round(until - start, 1):g} s")

    def _encrypt(self, connected: socket.socket, context: tls.SSLContext) -> Generator[str, None, SocketLink]:
        try:
            link = TlsLink(connected, context, self._endpoint.host.rstrip("."))
            while not link.shake_hands():
                interest = link.interest(reading=True)
                yield from self._pause("no answer to the TLS handshake", connected, interest, self._deadline)
        except BaseException:
            connected.close()
            raise
        return link


def _is_connected(connecting: socket.socket) -> bool:
    """Asks the socket itself: not every system's selector takes every descriptor."""
    code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code != 0:
        raise OSError(code, os.strerror(code))
    try:
        connecting.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True
