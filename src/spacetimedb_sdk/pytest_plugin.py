"""Fixtures for pytest: the in-process server, and clients of it. pytest finds them by itself.

Which module is served is said by a marker, `@pytest.mark.spacetimedb(chat)`, whose further arguments are those of
`serve`; by the ini option `spacetimedb_module = "package.module:name"`, which is a name that the marker takes, too; or
by a fixture of one's own that is called `spacetimedb_module`. All fixtures are plain functions, so tests may be async
under whichever plugin runs them.

Nothing of the SDK is imported before a fixture needs it. PYTEST_DONT_REWRITE: there is no assert here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .async_connection import Connecting
    from .blocking import Connection
    from .testing import ManualClock, Module, Server

PATIENCE: Final = 10.0
"""Seconds that a client waits for what takes milliseconds; then the test fails instead of hanging."""

OPTION: Final = "spacetimedb_module"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the ini option known."""
    parser.addini(OPTION, "what the fixture spacetimedb_server serves, as package.module:name", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "spacetimedb(module, **options): what the fixture spacetimedb_server serves, and how"
    )


@pytest.fixture
def spacetimedb_module(request: pytest.FixtureRequest) -> Module:
    """The module to serve: the marker's, or the ini option's. To be overridden by a fixture of the same name."""
    marker = _marker(request)
    given: Module | str | None = marker.args[0] if marker is not None and marker.args else None
    if isinstance(given, str):
        return _imported(given, "@pytest.mark.spacetimedb")
    if given is not None:
        return given
    named = str(request.config.getini(OPTION))
    if not named:
        raise pytest.UsageError(
            "spacetimedb_server: expected a module to serve, by @pytest.mark.spacetimedb(module), by the ini option "
            f"{OPTION}, or by a fixture called {OPTION}"
        )
    return _imported(named, OPTION)


@pytest.fixture
def spacetimedb_clock() -> ManualClock:
    """A clock that stands still until `spacetimedb_server.advance`. Where a test asks for it, the server goes by it."""
    from .testing import ManualClock  # noqa: PLC0415 - the reason is at the top of this module

    return ManualClock()


@pytest.fixture
def spacetimedb_server(request: pytest.FixtureRequest, spacetimedb_module: Module) -> Iterator[Server]:
    """A server of the test's own, with an empty database; stopped when the test is over."""
    from .testing import serve  # noqa: PLC0415

    marker = _marker(request)
    options: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    if "spacetimedb_clock" in request.fixturenames:
        options.setdefault("clock", request.getfixturevalue("spacetimedb_clock"))
    with serve(spacetimedb_module, **options) as server:
        yield server


@pytest.fixture
def spacetimedb_connect(spacetimedb_server: Server) -> Iterator[Callable[..., Connection]]:
    """Connects a blocking client each time that it is called, with the options of `blocking.connect`."""
    from .blocking import connect  # noqa: PLC0415

    with ExitStack() as clients:

        def connect_another(**options: Any) -> Connection:
            options.setdefault("timeout", PATIENCE)
            client: Connection = connect(spacetimedb_server.uri, spacetimedb_server.database, **options)
            return clients.enter_context(client)

        yield connect_another


@pytest.fixture
def spacetimedb_client(spacetimedb_connect: Callable[..., Connection]) -> Connection:
    """A blocking client, closed when the test is over."""
    return spacetimedb_connect()


@pytest.fixture
def spacetimedb_connect_async(spacetimedb_server: Server) -> Callable[..., Connecting[Any]]:
    """Makes an async client each time that it is called, with the options of `connect`, for `async with` or `await`.

    The test closes what it opens, as no fixture can know its event loop.
    """
    from .connecting import connect  # noqa: PLC0415

    def connect_another(**options: Any) -> Connecting[Any]:
        return connect(spacetimedb_server.uri, spacetimedb_server.database, **options)

    return connect_another


def _imported(named: str, where: str) -> Module:
    home, _, name = named.partition(":")
    try:
        found: Module = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"{where}: expected package.module:name, got {named!r}: {error}") from error
    return found


def _marker(request: pytest.FixtureRequest) -> pytest.Mark | None:
    node: pytest.Item = request.node
    return node.get_closest_marker("spacetimedb")
