"""Where the behaviour suite runs: on each host, over each protocol, on our own server or on a real one.

Without `SPACETIMEDB_URI` every test has an in-process server to itself. With it, all tests share that server, which
must serve the behaviour module under the name in `SPACETIMEDB_DATABASE`; tests that break the server are skipped.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import attrs
import pytest

from spacetimedb_sdk import UnsupportedProtocol

from .hosts import Host
from .hosts_blocking import Blocking
from .hosts_frame import FrameHost
from .hosts_generated import Generated

REAL_URI = os.environ.get("SPACETIMEDB_URI")
HOSTS = (Host, Blocking, FrameHost, Generated)
RUNS = [(kind, loop) for kind in HOSTS for loop in kind.loops]
ALL_PROTOCOLS = ("v3.bsatn", "v2.bsatn", "v1.bsatn", "v1.json")
EACH_GENERATION = ("v3.bsatn", "v1.bsatn")

Connect = Callable[..., Awaitable[Any]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = []
    for item in items:
        if "behaviour" in item.path.parts:
            item.add_marker(pytest.mark.live)
            if not is_worth_a_run(getattr(item, "callspec", None)):
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def is_worth_a_run(callspec: Any) -> bool:
    """Protocols are the core's matter, which all hosts share: one host speaks all, the others each generation."""
    if callspec is None or "protocol" not in callspec.params or "host_and_loop" not in callspec.params:
        return True
    return callspec.params["host_and_loop"] == RUNS[0] or callspec.params["protocol"] in EACH_GENERATION


@attrs.frozen
class Target:
    """A server with the behaviour module on it; `own` is the server object if it is ours to break."""

    uri: str
    database: str
    own: Any = None

    def need_own(self, why: str) -> Any:
        if self.own is None:
            pytest.skip(f"needs a server of our own: {why}")
        return self.own


@pytest.fixture(params=RUNS, ids=[f"{kind.name}-{loop}" for kind, loop in RUNS])
def host_and_loop(request: pytest.FixtureRequest) -> tuple[Host, str]:
    """The host under test, and the event loop that the test itself waits on."""
    kind, loop = request.param
    return kind(), loop


@pytest.fixture
def host(host_and_loop: tuple[Host, str]) -> Host:
    """How connections are made and waited for."""
    return host_and_loop[0]


@pytest.fixture
def anyio_backend(host_and_loop: tuple[Host, str]) -> str:
    return host_and_loop[1]


@pytest.fixture
def connect(host: Host) -> Any:
    """The host's `connect`."""
    return host.connect


@pytest.fixture(params=ALL_PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def target() -> Iterator[Target]:
    if REAL_URI:
        yield Target(REAL_URI, os.environ.get("SPACETIMEDB_DATABASE", "behaviour"))
    else:
        from spacetimedb_sdk.testing import serve
        from tests.behaviour_module import behaviour

        with serve(behaviour) as server:
            yield Target(server.uri, server.database, server)


@pytest.fixture
async def not_offered(target: Target, connect: Any) -> AsyncIterator[tuple[str, str]]:
    """The address of a server of the module, and a protocol that it does not speak."""
    if target.own is not None:
        from spacetimedb_sdk.testing import serve
        from tests.behaviour_module import behaviour

        with serve(behaviour, protocols=("v3.bsatn", "v2.bsatn")) as server:
            yield server.uri, "v1.json"
        return
    for name in ALL_PROTOCOLS:
        try:
            conn = await connect(target.uri, target.database, protocols=(name,))
        except UnsupportedProtocol:
            yield target.uri, name
            return
        await conn.aclose()
    pytest.skip("the server speaks every protocol")


@pytest.fixture
async def client(target: Target, protocol: str, connect: Any) -> AsyncIterator[Connect]:
    """Opens connections over the protocol under test and closes them afterwards, in no particular order."""
    opened: list[Any] = []

    async def open_connection(**options: Any) -> Any:
        options.setdefault("protocols", (protocol,))
        conn = await connect(target.uri, target.database, **options)
        opened.append(conn)
        return conn

    with anyio.fail_after(30):
        try:
            conn = await open_connection()
        except UnsupportedProtocol:
            pytest.skip(f"the server does not offer {protocol}")
        if REAL_URI:
            await conn.reducers.clear()
        await conn.aclose()
        yield open_connection
        for conn in opened:
            await conn.aclose()
