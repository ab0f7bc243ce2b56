"""Makes the pictures in `cli.md` from real runs of `subscribe` and `doctor` against the in-process server.

`python docs/screenshots.py` writes them to `docs/images`. Identities and times are the same in every run; how quick the
server answers is not, so no test compares them.
"""

from __future__ import annotations

import io
import random
import time
from pathlib import Path

from rich.console import Console, RenderableType

from spacetimedb_sdk import Timestamp
from spacetimedb_sdk.blocking import connect
from spacetimedb_sdk.cli.checks import examine
from spacetimedb_sdk.cli.demo_module import chat
from spacetimedb_sdk.cli.doctor import finding_text
from spacetimedb_sdk.cli.live import LIT_TIME, LiveTable, LiveView
from spacetimedb_sdk.cli.target import Target
from spacetimedb_sdk.testing import Server, serve

IMAGES = Path(__file__).with_name("images")
NOON = Timestamp.from_text("2026-08-01T12:00:00Z")


def picture(name: str, command: str, *shown: RenderableType) -> None:
    """What a command shows, as an SVG."""
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False)
    for each in shown:
        console.print(each)
    text = console.export_svg(title=f"spacetimedb-sdk {command}", unique_id=name)
    (IMAGES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def subscribe(server: Server) -> None:
    """Two tables, with one row that was there before and three changes."""
    with connect(server.uri, server.database) as ada, connect(server.uri, server.database) as bob:
        ada.reducers.set_name("Ada")
        ada.reducers.send_message("Is anybody there?")
        with connect(server.uri, server.database) as conn:
            tables = conn.schema.tables.values()
            view = LiveView(
                server.database,
                [LiveTable(each.name, [column.name for column in each.columns], each.primary_key) for each in tables],
            )
            stream = conn.transactions()
            conn.subscribe_to_all_tables()
            view.take(stream.get().changes, 0.0, is_lit=False)
            bob.reducers.set_name("Bob")
            bob.reducers.send_message("Yes, since just now.")
            for _ in range(2):
                view.take(stream.get().changes, LIT_TIME)
            picture("subscribe", "subscribe", view.drawn(LIT_TIME, 30, "live"))


def doctor(server: Server) -> None:
    """All that is looked at, with one thing to be told of: a server that has another time."""
    began = time.monotonic()
    findings = examine(
        Target(server.uri, server.database), now=lambda: NOON.micros / 1_000_000 - 90 + time.monotonic() - began
    )
    picture("doctor", "doctor", *map(finding_text, findings))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    chance = random.Random(1).randbytes  # noqa: S311 - the same in every run is what is wanted
    with serve(chat, port=3000, clock=lambda: NOON, random_bytes=chance) as server:
        subscribe(server)
        doctor(server)
