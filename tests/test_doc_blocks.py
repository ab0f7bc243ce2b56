"""Each block of Python in the documentation runs, against our server.

A page may speak of names that it does not define (`conn`, `saved_token`, `draw`); `names` has them. What never ends in
a program ends here: a stream stops when there is nothing to read any more, once the server has changed each table.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Awaitable, Generator, Iterator
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType
from typing import Any
from urllib.request import urlopen

import anyio
import pytest

import spacetimedb_sdk
import spacetimedb_sdk.blocking
from spacetimedb_sdk.bindings.streams import Stream
from spacetimedb_sdk.http.async_client import AsyncLogStream
from spacetimedb_sdk.testing import Server, serve
from tests.guide_module import Entity, Player, User, guide
from tests.pages import PAGES, blocks_by_line
from tests.sdk.codegen.support import imported

ELSEWHERE = {
    "docs/testing.md",  # one program in several blocks: tests/test_docs.py
    "docs/tutorial.md",
}
OLD_AND_NEW = ("# before\n", "# after\n")  # the same program twice: tests/sdk/compat
ADDRESSES = re.compile(r"http://127\.0\.0\.1:3000|https://maincloud\.spacetimedb\.com")
DATABASES = re.compile(r'"(my-database|arena|shop)"')
ADA = spacetimedb_sdk.Identity.from_hex(f"{1:064x}")


def cases() -> list[Any]:
    return [
        pytest.param("\n" * (line - 1) + code, page, id=f"{page}:{line}")
        for page in PAGES
        if page not in ELSEWHERE
        for line, code in blocks_by_line(page).items()
        if not code.startswith(OLD_AND_NEW)
    ]


class Done:
    """What stands for the reader's own functions: it may be called, and what it returns may be awaited."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, *args: Any) -> Done:
        self.seen.extend(list(arg) if hasattr(arg, "__iter__") else arg for arg in args)
        return self

    def __await__(self) -> Generator[Any, Any, str | None]:
        yield from ()
        return None


class Running:
    """True until something was drawn."""

    def __init__(self, drawn: Done) -> None:
        self.drawn = drawn
        self.turns = 0

    def __bool__(self) -> bool:
        self.turns += 1
        assert self.turns < 1_000_000, "nothing was drawn"
        return not any(self.drawn.seen)


def names(server: Server) -> dict[str, Any]:
    """What pages take for granted, beside what the SDK exports."""
    draw = Done()
    with urlopen(f"{server.uri}/v1/database/chat/schema?version=9") as answer:
        schema_json = answer.read().decode()
    return {
        **{name: getattr(spacetimedb_sdk, name) for name in spacetimedb_sdk.__all__},
        **{name: Done() for name in ("ask_my_login_service", "log", "log_in", "save", "send", "spawn")},
        "__name__": "page",
        "chunk": 1,
        "draw": draw,
        "guild": 1,
        "name": "Ada",
        "payload_from_server": b"\x00\x00" + bytes(48) + b"\x00\x00\x00\x00",
        "people": [("Bob", 30), ("Cy", 40)],
        "running": Running(draw),
        "saved_token": None,
        "schema_json": schema_json,
        "text": schema_json,
        "token": None,
        "uri": server.uri,
    }


@cache
def bindings() -> ModuleType:
    with TemporaryDirectory() as folder:
        return imported(Path(folder), "guide_bindings", guide.schema)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPACETIMEDB_TOKEN", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "chat_bindings", bindings())
    with serve(guide) as server:
        server.run(populate)
        yield server


def populate(ctx: Any) -> None:
    ctx.log("populated")
    ctx.db.user.insert(User(identity=ADA, name="Ada", online=True, age=36))
    ctx.db.message.insert(sender=ADA, sent=ctx.timestamp, text="first")
    ctx.db.player.insert(Player(id=1, name="Ada", guild=1, level=4))
    ctx.db.entity.insert(Entity(id=1, chunk=1))


def change(ctx: Any) -> None:
    """Something that every stream of rows or transactions hears of."""
    ctx.db.user.update(User(identity=ADA, name="Ada", online=False, age=37))
    ctx.db.message.insert(sender=ADA, sent=ctx.timestamp, text="second")
    ctx.db.player.update(Player(id=1, name="Ada", guild=1, level=5))
    ctx.db.sale.insert(item=len(ctx.db.sale), price=5)


@pytest.fixture(autouse=True)
def streams_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waited_for: set[int] = set()
    next_nowait, next_line = Stream.next_nowait, AsyncLogStream.__anext__

    def finite(stream: Stream[Any]) -> Any:
        item = next_nowait(stream)
        if item is None:
            if id(stream) in waited_for or "state" in stream.what:
                raise StopIteration
            waited_for.add(id(stream))
            server.run(change)
        return item

    async def only_one(stream: AsyncLogStream) -> Any:
        if id(stream) in waited_for:
            raise StopAsyncIteration
        waited_for.add(id(stream))
        server.run(lambda ctx: ctx.log("more"))
        return await next_line(stream)

    monkeypatch.setattr(Stream, "next_nowait", finite)
    monkeypatch.setattr(AsyncLogStream, "__anext__", only_one)


def free_names(code: str) -> set[str]:
    """The names that a block uses and does not bind."""
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    bound = {node.id for node in found if isinstance(node.ctx, ast.Store)}
    return {node.id for node in found} - bound


async def on_a_loop(code: CodeType, scope: dict[str, Any], wanted: set[str], server: Server) -> None:
    async with AsyncExitStack() as stack:
        if wanted & {"conn", "sub"}:
            scope["conn"] = conn = await stack.enter_async_context(spacetimedb_sdk.connect(server.uri, "chat"))
            scope["sub"] = await conn.subscribe_to_all_tables()
        if "client" in wanted:
            client = spacetimedb_sdk.HttpClient(server.uri, "chat", token=server.owner_token)
            scope["client"] = await stack.enter_async_context(client)
        with anyio.fail_after(30):
            running = eval(code, scope)
            if isinstance(running, Awaitable):
                await running


@pytest.mark.parametrize(("code", "page"), cases())
def test_it_runs(code: str, page: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    scope, wanted = names(server), free_names(code) & {"conn", "sub", "client"}
    if "replay" in free_names(code):
        with spacetimedb_sdk.blocking.connect(server.uri, "chat", record="session.jsonl") as conn:
            conn.subscribe("SELECT * FROM message")
    here = DATABASES.sub('"chat"', ADDRESSES.sub(server.uri, code))
    compiled = compile(here, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if wanted or compiled.co_flags & inspect.CO_COROUTINE:
        anyio.run(on_a_loop, compiled, scope, wanted, server)
    else:
        exec(compiled, scope)
