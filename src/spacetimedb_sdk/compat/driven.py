"""The client of 0.7 that is driven by calls of `update()`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from spacetimedb_proto.errors import SpacetimeDBError
from spacetimedb_proto.events import Disconnected

from ..bindings.context import Context
from ..bindings.pending import Pending
from ..frame import GOODBYE_TIME, Connection, connect
from .client import LegacyClient
from .values import Address, Identity

__all__ = ["SpacetimeDBClient", "uri_of"]


def uri_of(host: str, *, ssl_enabled: bool) -> str:
    """Where the server is. 0.7 wanted `localhost:3000`, and its README said `http://localhost:3000`."""
    scheme, separator, rest = host.rpartition("://")
    is_tls = ssl_enabled or (bool(separator) and scheme in ("https", "wss"))
    return f"{'https' if is_tls else 'http'}://{rest}"


class SpacetimeDBClient(LegacyClient):
    """A connection that moves inside `update()`.

    What a callback raises, `update()` raises, once the message is told to everybody. Unlike in 0.7 there is no thread
    beside: whoever does not call `update()` for half a minute does not answer the server's pings either.

    Attributes:
        instance: The client that generated packages use: the one that was made last.
        protocols: What is offered to servers. v1 tells of all clients' reducers, as 0.7 expects; v2 and v3 do not.
    """

    instance: ClassVar[Any] = None
    protocols: ClassVar[tuple[str, ...]] = ("v1.bsatn",)

    @classmethod
    def init(  # noqa: PLR0913, PLR0917 - the arguments are 0.7's
        cls,
        auth_token: str | None,
        host: str,
        address_or_name: str,
        ssl_enabled: bool,
        autogen_package: ModuleType,
        on_connect: Callable[[], object] | None = None,
        on_disconnect: Callable[[str], object] | None = None,
        on_identity: Callable[[str, Identity, Address | None], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Make a client, have it be `instance`, and begin to connect: `update()` does the rest.

        Args:
            auth_token: The token to connect with; None for a new identity.
            host: Name and port of the server.
            address_or_name: The database.
            ssl_enabled: Whether the server has TLS.
            autogen_package: The generated package.
            on_connect: Called when the connection is open.
            on_disconnect: Called with a reason when it is over.
            on_identity: Called with the token to come back with, the identity and the address, after `on_connect`.
            on_error: Called with what went wrong with the connection, before `on_disconnect`.
        """
        client = cls(autogen_package)
        client.connect(auth_token, host, address_or_name, ssl_enabled, on_connect, on_disconnect, on_identity, on_error)

    def __init__(self, autogen_package: ModuleType) -> None:
        super().__init__(autogen_package)
        SpacetimeDBClient.instance = self
        self._conn: Connection | None = None
        self._is_updating = False
        self._on_connect: Callable[[], object] | None = None
        self._on_disconnect: Callable[[str], object] | None = None
        self._on_identity: Callable[[str, Identity, Address | None], object] | None = None
        self._on_error: Callable[[Exception], object] | None = None

    def connect(
        self,
        auth_token: str | None,
        host: str,
        address_or_name: str,
        ssl_enabled: bool,
        on_connect: Callable[[], object] | None,
        on_disconnect: Callable[[str], object] | None,
        on_identity: Callable[[str, Identity, Address | None], object] | None,
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        """Begin to connect; arguments as for `init`."""
        self._on_connect, self._on_disconnect = on_connect, on_disconnect
        self._on_identity, self._on_error = on_identity, on_error
        uri = uri_of(host, ssl_enabled=ssl_enabled)
        conn = connect(uri, address_or_name, token=auth_token or None, protocols=self.protocols, reconnect=None)
        conn.on_disconnect(self._disconnected)
        conn.opened.add_done_callback(self._opened)
        self._conn = conn

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._engine is not None and self._engine.ended is None

    def update(self) -> None:
        """Receive, call back and send, all that there is to do now.

        Raises:
            SpacetimeDBError: The connection is over, and neither `on_error` nor `on_disconnect` is there to be told.
            Exception: What a callback raised first.
        """
        if self._conn is None or self._is_updating:
            return
        self._thread = threading.get_ident()
        self._is_updating = True
        try:
            self._do_posted()
            while self._conn.frame_tick():
                self._do_posted()
        except SpacetimeDBError:
            if self._on_error is None and self._on_disconnect is None:
                raise
        finally:
            self._is_updating = False
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failures:
            failure = self._failures[0]
            self._failures.clear()
            raise failure

    def close(self) -> None:
        """Close the connection: what is queued goes out before, and this takes a second at most.

        Inside a callback, and from other threads, it only asks for that: the next calls of `update()` do it.
        """
        if self._conn is None:
            return
        if threading.get_ident() != self._thread:
            self._post(self._conn.close)
        elif self._is_updating:
            self._conn.close()
        else:
            self._conn.close(wait=GOODBYE_TIME)
            self._raise_failure()

    def _opened(self, opened: Pending[Connection]) -> None:
        error = opened.exception()
        if error is not None:
            self._tell_end(error, str(error))
            return
        conn = opened.result()
        self._attach(conn)
        if self._on_connect is not None:
            self._run(self._on_connect)
        if self._on_identity is not None:
            assert self.identity is not None
            self._run(self._on_identity, conn.token, self.identity, self.address)
        self._do_posted()

    def _disconnected(self, context: Context) -> None:
        event = context.event
        assert isinstance(event, Disconnected)
        self._tell_end(event.error, event.reason)

    def _tell_end(self, error: Exception | None, reason: str) -> None:
        if error is not None and self._on_error is not None:
            self._run(self._on_error, error)
        if self._on_disconnect is not None:
            self._run(self._on_disconnect, reason)
