"""`serve`: a module on loopback, from a thread of its own.

For tests and demos, and for nothing else: it listens on 127.0.0.1 alone, keeps everything in memory, and asks nobody
for a password. What is answered is `service.py`'s business; here are the thread, the sockets and the clock.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import ByteStream, SocketAttribute
from anyio.from_thread import BlockingPortal, start_blocking_portal

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_transports.anyio import Pump

from .clocks import system_clock
from .context import ReducerContext
from .database import Database
from .faults import Faults
from .module import Module
from .service import Service
from .site import SERVED_PROTOCOLS, Release, Site
from .ticker import Ticker

__all__ = ["Server", "serve"]

logger = logging.getLogger("spacetimedb_sdk.testing")

T = TypeVar("T")

GOODBYE_TIME: Final = 2.0
"""Seconds that clients get for their side of the goodbye when the server stops."""


class _Links:
    """The links that are open. Lives in the server's loop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[Service, tuple[anyio.CancelScope, anyio.Event]] = {}

    async def carry(self, stream: ByteStream) -> None:
        """Serve one link to its end."""
        service = Service(self._site, now=anyio.current_time())
        pump = Pump(service, stream, _ignore)
        scope, ended = anyio.CancelScope(), anyio.Event()
        service.on_output(pump.wake)
        service.on_drop(scope.cancel)
        self._open[service] = scope, ended
        try:
            with scope:
                await pump.run()
        except Exception:  # a fault of ours must not take the other links along
            logger.exception("a link failed")
        finally:
            del self._open[service]
            ended.set()

    async def drop(self) -> None:
        """Cut all links and wait until they are gone."""
        for service in self._open:
            service.drop()
        await self._wait()

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye on all links; the clients' answers come later."""
        for service in self._open:
            service.close(code, reason)

    async def finish(self) -> None:
        """Say goodbye on all links and wait until they are gone, for as long as is polite."""
        await self.close(1001, "module exited")
        for service, (scope, _) in self._open.items():
            if not service.is_connected:  # whoever has not asked for anything yet is not asked to answer either
                scope.cancel()
        with anyio.move_on_after(GOODBYE_TIME):
            await self._wait()
        await self.drop()

    async def _wait(self) -> None:
        for _, ended in list(self._open.values()):
            await ended.wait()


class Server:
    """A server that runs between `start` and `stop`, which `with` and `async with` call. Made by `serve`.

    Stopped and started again it has the same address, the same rows and the same identities.

    Attributes:
        faults: What is to go wrong with the messages that it sends.
    """

    def __init__(self, site: Site, port: int) -> None:
        self._site = site
        self._port = port
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._links = _Links(site)
        self._ticker = Ticker(site)
        self.faults = Faults(site.plan, self._do)

    def __repr__(self) -> str:
        return f"<Server of {self.database!r} at {self.uri if self._portal else 'no address yet'}>"

    @property
    def database(self) -> str:
        """The name of the database."""
        return self._site.database.name

    @property
    def uri(self) -> str:
        """Where it listens; known from the start on."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def owner_token(self) -> str:
        """A token of the database's owner, who may see private tables, change rows by SQL, and read the log."""
        return self._do(lambda: self._site.owner.token)

    # --- running ------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, and return once clients can connect.

        Raises:
            OSError: The port is not free.
            RuntimeError: It runs already.
        """
        if self._portal is not None:
            raise RuntimeError("the server runs already")
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            self._port = stack.enter_context(
                portal.wrap_async_context_manager(_listening(self._port, self._links, self._ticker))
            )
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def stop(self) -> None:
        """Close all clients' connections with 1001, as the real server does, and end the thread. Twice does no harm."""
        self._portal = None
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await anyio.to_thread.run_sync(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # In another thread, because clients in this one's loop must go on to say goodbye.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    # --- what tests do to clients -------------------------------------------------------------------------------------

    def drop_clients(self) -> None:
        """Cut all links without a Close frame, as a pulled cable does."""
        self._run(self._links.drop)

    def close_clients(self, code: int = 1001, reason: str = "module exited") -> None:
        """Close all connections with a Close frame, without waiting for the clients' answers.

        Args:
            code: A code that may be sent, as 1000 or 3000 to 4999.
            reason: The text that clients are given; at most 123 bytes of it.
        """
        self._run(self._links.close, code, reason)

    # --- what tests do to the server ----------------------------------------------------------------------------------

    def restart(self, *, keep_rows: bool = True, keep_tokens: bool = True, crash: bool = False) -> None:
        """End all links and begin anew at once, at the same address; see `Site.restart`.

        When this returns all clients have been seen off, and new ones are let in. For an outage that lasts, `stop`, and
        `start` later; this may be called between them.
        """
        self._do(partial(self._site.restart, keep_rows=keep_rows, keep_tokens=keep_tokens, crash=crash))

    def republish(self, module: Module, *, keep_rows: bool = True) -> None:
        """Serve another version of the module and end all links with 1001; see `Site.republish`.

        Raises:
            Exception: The version is refused; `Site.republish` says why. Then nothing has happened, to links either.
        """
        self._do(partial(self._site.republish, module, keep_rows=keep_rows))

    def refuse_next(self, count: int = 1, status: int = 503, text: str = "") -> None:
        """Answer the next handshakes with this status and body, whatever they ask for; see `Site.refuse_next`."""
        self._do(partial(self._site.refuse_next, count, status, text))

    def run(self, function: Callable[[ReducerContext], T]) -> T:
        """Run a function like a reducer that the server calls by itself: subscribers learn what it changed.

        Raises:
            Exception: What the function raised, which undoes what it did.
        """
        return self._do(lambda: self._site.database.run(function))

    def advance(self, seconds: float) -> None:
        """Let time pass on a `ManualClock`: everything scheduled runs at its very moment, one after the other.

        Raises:
            TypeError: The server was not given a `ManualClock`.
        """
        self._do(lambda: self._site.database.advance(seconds))

    def _do(self, function: Callable[[], T]) -> T:
        """Do something in the server's thread, to which everything belongs while it runs."""
        return function() if self._portal is None else self._portal.call(function)

    def _run(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._portal is None:
            raise RuntimeError("the server does not run")
        self._portal.call(function, *args)


def serve(
    module: Module,
    *,
    port: int = 0,
    protocols: Sequence[str] = SERVED_PROTOCOLS,
    clock: Callable[[], Timestamp] = system_clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    release: Release = "2.14",
) -> Server:
    """A server for a module, with a new and empty database, to be used as a context manager.

    Args:
        module: What to serve. It may be served several times at once; each server has rows of its own.
        port: TCP port on loopback; 0 lets the system choose.
        protocols: Subprotocols to offer.
        clock: What time reducers see, and by which scheduled ones run; a `ManualClock` moves by `advance` only.
        random_bytes: Where ids and secrets come from; `random.Random(1).randbytes` makes them the same every time.
        release: Whose manners the server has, those of 2.14 or of 2.8.

    Raises:
        TypeError: It is no module, or something in it is declared wrongly.
        Exception: What the module's `init` raised.
    """
    database = Database(module, clock=clock)
    return Server(Site(database, random_bytes=random_bytes, protocols=protocols, release=release), port)


@asynccontextmanager
async def _listening(port: int, links: _Links, ticker: Ticker) -> AsyncGenerator[int]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, links.carry)
        group.start_soon(ticker.run)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's
        await links.finish()
        group.cancel_scope.cancel()


def _ignore(_event: object) -> None:
    """What clients do has been done by the time that a pump tells it."""
