"""A Discord bot: what is said in the game is said in a channel, and the other way round. `!who` lists who is online.

    pip install discord.py
    DISCORD_TOKEN=... python examples/discord_bot.py --server http://127.0.0.1:3000 --database chat --channel 1234

Without `--channel` the terminal is the channel and the server is one of its own, so the bot can be tried, and tested,
without Discord: each line that is typed is a message from Ada.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, Protocol

from chat_module import chat

from spacetimedb_sdk import Backoff, Connection, Inserted, ReducerError, SpacetimeDBError, TokenFile, connect
from spacetimedb_sdk.testing import serve


class Channel(Protocol):
    """What the bridge needs of a Discord channel."""

    async def send(self, content: str) -> object: ...


class Bridge:
    """Joins a database and a channel; knows nothing else of Discord."""

    def __init__(self, conn: Connection, channel: Channel) -> None:
        self.conn = conn
        self.channel = channel

    async def to_channel(self) -> None:
        """Tell the channel what others say in the game, for as long as the session lasts."""
        async for change in self.conn.db.message.changes(buffer=1000, overflow="drop_old"):
            if isinstance(change, Inserted) and change.row.sender != self.conn.identity:
                sender = self.conn.db.user.find(identity=change.row.sender)
                await self.channel.send(f"{sender.name if sender else 'somebody'}: {change.row.text}")

    async def from_channel(self, author: str, text: str) -> None:
        """Say in the game what somebody said in the channel, or do what they ask for."""
        if text == "!who":
            names = sorted(user.name or user.identity.hex()[:8] for user in self.conn.db.user.filter(online=True))
            await self.channel.send("online: " + ", ".join(names))
            return
        try:
            await self.conn.reducers.send_message(f"{author}: {text}")
        except ReducerError as error:
            await self.channel.send(f"refused: {error}")
        except SpacetimeDBError as error:  # not sent, or nobody knows: the game is away for the moment
            await self.channel.send(f"not now: {error}")


async def joined(conn: Connection) -> None:
    await conn.subscribe("SELECT * FROM user", "SELECT * FROM message")
    await conn.reducers.set_name("Discord")


# --- with Discord -----------------------------------------------------------------------------------------------------


async def on_discord(server: str, database: str, channel_id: int) -> None:
    import discord

    intents = discord.Intents.default()
    intents.message_content = True
    client: Any = discord.Client(intents=intents)
    token = TokenFile("~/.local/share/chat-bot/token")  # the bot is the same user after each start

    async with connect(server, database, token=token, reconnect=Backoff()) as conn, client:
        await joined(conn)

        @client.event
        async def on_ready() -> None:
            bridge = Bridge(conn, client.get_channel(channel_id))
            client.bridge = bridge
            client.telling = asyncio.create_task(bridge.to_channel())

        @client.event
        async def on_message(message: Any) -> None:
            if message.channel.id == channel_id and message.author != client.user:
                await client.bridge.from_channel(message.author.display_name, message.content)

        await client.start(os.environ["DISCORD_TOKEN"])


# --- without ----------------------------------------------------------------------------------------------------------


class Terminal:
    """A channel that is the terminal."""

    async def send(self, content: str) -> None:
        print(content, flush=True)


async def lines() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.rstrip("\n")


async def in_the_terminal() -> None:
    with serve(chat) as server:
        async with connect(server.uri, chat.name) as conn, connect(server.uri, chat.name) as player:
            await joined(conn)
            await player.reducers.set_name("Grace")
            bridge = Bridge(conn, Terminal())
            telling = asyncio.create_task(bridge.to_channel())
            async for line in lines():
                await bridge.from_channel("Ada", line)
                await player.reducers.send_message(f"I heard that, {len(line)} letters")
            await conn.query("SELECT * FROM user")  # the answer comes after all that was said before
            await conn.aclose()  # what was recorded is still told; then the stream ends
            await telling


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:3000")
    parser.add_argument("--database", default="chat")
    parser.add_argument("--channel", type=int, help="the id of the Discord channel")
    options = parser.parse_args()
    if options.channel is None:
        asyncio.run(in_the_terminal())
    else:
        asyncio.run(on_discord(options.server, options.database, options.channel))


if __name__ == "__main__":
    main()
