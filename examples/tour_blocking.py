"""The program of `tour.py` for those who block: the same but for the word `await`."""

from __future__ import annotations

from typing import Any

from chat_module import chat

from spacetimedb_sdk import ReducerError
from spacetimedb_sdk.blocking import connect
from spacetimedb_sdk.testing import serve

# --- the program ------------------------------------------------------------------------------------------------------


def tour(conn: Any) -> None:
    sub = conn.subscribe("SELECT * FROM user", "SELECT * FROM message")

    @conn.db.message.on_insert
    def arrived(ctx: Any, message: Any) -> None:
        print(f"{ctx.db.user.find(identity=message.sender).name}: {message.text}")

    conn.reducers.set_name("Ada")
    conn.reducers.send_message("hello")
    try:
        conn.reducers.send_message("")
    except ReducerError as error:
        print(f"refused: {error}")
    conn.reducers.send_message.options(timeout=5)(text="goodbye")
    rows = conn.query("SELECT * FROM message")
    print(f"{len(rows)} messages on the server, {len(conn.db.message)} in the cache")
    sub.unsubscribe()
    print(f"{len(conn.db.message)} in the cache after unsubscribing")


# --- how it is started ------------------------------------------------------------------------------------------------


def main() -> None:
    with serve(chat) as server, connect(server.uri, chat.name) as conn:
        tour(conn)


if __name__ == "__main__":
    main()
