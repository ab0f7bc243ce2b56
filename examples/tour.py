"""One program on every host that awaits: asyncio, trio, and a game's frame loop, which has no event loop at all.

`tour_blocking.py` is the same for programs that block; it differs by the word `await` and by how it is started.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import anyio
from chat_module import chat

import spacetimedb_sdk.frame
from spacetimedb_sdk import ReducerError, connect
from spacetimedb_sdk.testing import serve

# --- the program ------------------------------------------------------------------------------------------------------


async def tour(conn: Any) -> None:
    sub = await conn.subscribe("SELECT * FROM user", "SELECT * FROM message")

    @conn.db.message.on_insert
    def arrived(ctx: Any, message: Any) -> None:
        print(f"{ctx.db.user.find(identity=message.sender).name}: {message.text}")

    await conn.reducers.set_name("Ada")
    await conn.reducers.send_message("hello")
    try:
        await conn.reducers.send_message("")
    except ReducerError as error:
        print(f"refused: {error}")
    await conn.reducers.send_message.options(timeout=5)(text="goodbye")
    rows = await conn.query("SELECT * FROM message")
    print(f"{len(rows)} messages on the server, {len(conn.db.message)} in the cache")
    await sub.unsubscribe()
    print(f"{len(conn.db.message)} in the cache after unsubscribing")


# --- how it is started ------------------------------------------------------------------------------------------------


async def on_a_loop(uri: str) -> None:
    async with connect(uri, chat.name) as conn:
        await tour(conn)


def in_frames(uri: str) -> None:
    with spacetimedb_sdk.frame.connect(uri, chat.name) as conn:
        tours = []
        conn.on_connect(lambda conn: tours.append(conn.start(tour(conn))))
        while not (tours and tours[0].done()):
            conn.frame_tick(budget=0.004)
            time.sleep(1 / 60)
        tours[0].result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("host", choices=["asyncio", "trio", "frame"])
    options = parser.parse_args()
    with serve(chat) as server:
        if options.host == "frame":
            in_frames(server.uri)
        else:
            anyio.run(on_a_loop, server.uri, backend=options.host)


if __name__ == "__main__":
    main()
