"""A chat session from end to end: two clients, messages, a refused reducer, an update, a clean end.

Without arguments it brings its own server. With `--server URI --database NAME` it talks to a real one whose module has
the tables `user` and `message` and the reducers `set_name` and `send_message`, as in SpacetimeDB's quick start.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack
from typing import Any

from chat_module import chat

from spacetimedb_sdk import ReducerError, SpacetimeDBError, connect
from spacetimedb_sdk.testing import serve


def name_of(user: Any) -> str:
    return user.name or f"somebody ({user.identity.hex()[:8]}...)"


async def session(uri: str, database: str) -> None:
    async with connect(uri, database) as alice, connect(uri, database) as bob:
        print(f"connected to {database} over {alice.protocol}")
        print(f"  alice is {alice.identity.hex()[:16]}..., bob is {bob.identity.hex()[:16]}...")

        @alice.db.user.on_update
        def user_changed(_ctx: Any, old: Any, new: Any) -> None:
            if old.name != new.name:
                print(f"  alice sees: {name_of(old)} is now {name_of(new)}")
            elif old.online and not new.online:
                print(f"  alice sees: {name_of(new)} has left")

        @bob.db.message.on_insert
        def arrived(ctx: Any, message: Any) -> None:
            sender = ctx.db.user.find(identity=message.sender)
            print(f"  bob sees:   {name_of(sender)}: {message.text}")

        for client in (alice, bob):
            await client.subscribe("SELECT * FROM user", "SELECT * FROM message")
        print(f"subscribed: {len(bob.db.user)} users, {len(bob.db.message)} messages in bob's cache")

        news = bob.db.message.changes()
        await alice.reducers.set_name("Alice")
        await bob.reducers.set_name(name="Bob")
        await alice.reducers.send_message("hello, Bob")
        await alice.reducers.send_message("are you there?")
        for _ in range(2):
            await anext(news)

        try:
            await alice.reducers.send_message("")
        except ReducerError as error:
            print(f"refused, and nothing changed: {error}")

        mine = list(bob.db.message.filter(sender=alice.identity))
        print(f"bob's cache holds {len(mine)} messages from {name_of(bob.db.user.find(identity=alice.identity))}")
    print("both connections are closed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", metavar="URI", help="a running server; without it the demo brings its own")
    parser.add_argument("--database", metavar="NAME", default="chat", help="the database on that server")
    options = parser.parse_args()
    with ExitStack() as stack:
        uri = options.server
        if uri is None:
            uri = stack.enter_context(serve(chat)).uri
            print(f"serving the module {chat.name!r} on {uri}, for this demo only")
        try:
            asyncio.run(session(uri, options.database))
        except SpacetimeDBError as error:
            raise SystemExit(f"{type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
