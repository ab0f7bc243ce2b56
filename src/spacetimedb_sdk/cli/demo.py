"""`spacetimedb-sdk demo`: a session from end to end, with a server that it brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import console
from .target import command

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["demo"]


@command
def demo() -> None:
    """Show a chat of two clients, with a server in this process. Nothing has to be installed."""
    from ..testing import serve
    from .demo_module import chat

    say = _narrator()
    with serve(chat) as server:
        say("server", f"{server.database} on {server.uri}, in this process and for this demo only")
        _session(server.uri, server.database, say)


def _narrator() -> Callable[[str, str], None]:
    from rich.text import Text

    styles = {"server": "dim", "alice": "cyan", "bob": "magenta"}
    out = console()

    def say(who: str, what: str) -> None:
        out.print(Text.assemble((f"{who:>6}  ", styles[who]), what))

    return say


def _session(uri: str, database: str, say: Callable[[str, str], None]) -> None:
    from spacetimedb_proto.errors import ReducerError

    from ..blocking import connect

    with connect(uri, database) as alice, connect(uri, database) as bob:
        say("alice", f"connected over {alice.protocol} as {alice.identity.hex()[:16]}…")
        say("bob", f"connected as {bob.identity.hex()[:16]}…")
        for client in (alice, bob):
            client.subscribe("SELECT * FROM user", "SELECT * FROM message")
        news: Any = bob.db.message.changes()

        alice.reducers.set_name("Alice")
        bob.reducers.set_name(name="Bob")
        alice.reducers.send_message("hello, Bob")
        say("alice", "called set_name and send_message; both are committed")
        arrived = next(news).row
        say("bob", f"sees a message of {bob.db.user.find(identity=arrived.sender).name}: {arrived.text}")
        try:
            alice.reducers.send_message("")
        except ReducerError as error:
            say("alice", f"sent an empty message, which is refused: {error}")
        mine = list(bob.db.message.filter(sender=alice.identity))
        say("bob", f"has {len(mine)} message of Alice in the cache, found through an index")
    say("server", "both connections are closed")
