"""The examples run."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from spacetimedb_sdk import connect
from spacetimedb_sdk.testing import Server, serve

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *options: str, typed: str = "", flags: tuple[str, ...] = ("-X", "dev"), **environment: str) -> str:
    command = [sys.executable, *flags, "-W", "error", str(EXAMPLES / name), *options]
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_frame_loop():
    assert re.fullmatch(r"30 frames, \d+ rows, longest tick \d+\.\d ms\n", run("frame_loop.py", "--frames", "30"))


TOUR = """\
Ada: hello
refused: Messages must not be empty
Ada: goodbye
2 messages on the server, 2 in the cache
0 in the cache after unsubscribing
"""


@pytest.mark.parametrize("host", ["asyncio", "trio", "frame"])
def test_one_program_on_every_host_that_awaits(host):
    assert run("tour.py", host) == TOUR


def test_the_same_program_for_those_who_block():
    assert run("tour_blocking.py") == TOUR


def test_they_differ_by_await_alone():
    start, end = "tour(conn: Any)", "# --- how it is started"
    programs = [(EXAMPLES / name).read_text(encoding="utf-8") for name in ("tour.py", "tour_blocking.py")]
    awaiting, blocking = (text[text.index(start) : text.index(end)] for text in programs)
    assert awaiting.replace("await ", "") == blocking


def test_a_discord_bot():
    said = run("discord_bot.py", typed="hello\n!who\nbye\n", flags=())  # its loop would log each slow step
    assert sorted(said.splitlines()) == [
        "Grace: I heard that, 3 letters",
        "Grace: I heard that, 4 letters",
        "Grace: I heard that, 5 letters",
        "online: Discord, Grace",
    ]


def test_a_game():
    pytest.importorskip("pygame")
    quiet = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    assert re.fullmatch(r"60 frames, [123] players\n", run("pygame_arena.py", "--frames", "60", **quiet))


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the examples, imported as they import it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("chat_module")
    for name in ("chat_module", "web_app"):
        sys.modules.pop(name, None)


@pytest.fixture
def server(chat: ModuleType) -> Iterator[Server]:
    with serve(chat.chat) as server:
        yield server


def test_a_web_application(server: Server, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    monkeypatch.setenv("SPACETIMEDB_URI", server.uri)
    app = importlib.import_module("web_app").app

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://web") as web,
        ):
            assert (await web.post("/messages", json={"text": "hello"})).status_code == 201
            (message,) = (await web.get("/messages")).json()
            assert message["text"] == "hello"
            refused = await web.post("/messages", json={"text": ""})
            assert (refused.status_code, refused.json()["detail"]) == (422, "Messages must not be empty")
            assert (await web.get("/health")).json() == {"state": "connected", "stale": False, "messages": 1}

    anyio.run(main)


def test_what_the_web_application_streams(server: Server, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("fastapi")
    web_app = importlib.import_module("web_app")

    async def main() -> str:
        async with connect(server.uri, "chat") as conn:
            await conn.subscribe("SELECT * FROM user", "SELECT * FROM message")
            news, got = web_app.news(conn), []

            async def read() -> None:
                got.append(await anext(news))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()  # it records by now
                await conn.reducers.send_message("hello")
            await news.aclose()
            return got[0]

    event = anyio.run(main)
    assert json.loads(event.removeprefix("data: "))["text"] == "hello"


def test_a_notebook(chat: ModuleType, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("pandas")
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {"__name__": "notebook"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["lengths"] == [4, 17]
    assert list(names["frame"]["text"]) == ["hello", "is anybody there?", "no"]
    assert "message" in capsys.readouterr().out
