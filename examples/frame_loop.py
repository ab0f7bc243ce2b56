"""A game loop at 60 frames a second, while 1,000 rows a second arrive: nothing moves but in `frame_tick`.

It brings its own server. Where this has a `Clock` of its own, a game has `pygame.time.Clock` or the like.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

from spacetimedb_sdk import frame
from spacetimedb_sdk.testing import Module, PrimaryKey, ReducerContext, Server, f32, serve, u32

BUDGET = 0.004
"""Seconds of each frame that the connection may use; the rest of the 16 ms is the game's."""

arena = Module("arena")


@arena.table(public=True)
class Shot:
    id: PrimaryKey[u32]
    x: f32


class Clock:
    """Makes each frame last as long as the others."""

    def __init__(self, frames_per_second: int) -> None:
        self._length = 1 / frames_per_second
        self._next = time.perf_counter()

    def tick(self) -> None:
        self._next += self._length
        time.sleep(max(0.0, self._next - time.perf_counter()))


def shoot(server: Server, stop: threading.Event) -> None:
    """The other players: ten rows each hundredth of a second."""
    first = 0
    while not stop.wait(0.01):

        def ten(ctx: ReducerContext, first: int = first) -> None:
            for number in range(first, first + 10):
                ctx.db.shot.insert(id=number, x=number / 2)

        server.run(ten)
        first += 10


def play(uri: str, database: str, frames: int) -> None:
    shots: list[float] = []
    longest = 0.0
    clock = Clock(60)

    with frame.connect(uri, database) as conn:

        @conn.on_connect
        def connected(conn: frame.Connection) -> None:
            conn.db.shot.on_insert(lambda _ctx, shot: shots.append(shot.x))
            conn.subscribe("SELECT * FROM shot")

        for _ in range(frames):
            start = time.perf_counter()
            conn.frame_tick(BUDGET)
            longest = max(longest, time.perf_counter() - start)
            draw(shots)
            clock.tick()

    # The server and the other players share this interpreter, so part of a long tick may be theirs.
    print(f"{frames} frames, {len(shots)} rows, longest tick {longest * 1000:.1f} ms")


def draw(_shots: list[Any]) -> None:
    """Whatever the game shows: between two ticks nothing of it changes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=300, help="how long to play")
    frames = parser.parse_args().frames
    stop = threading.Event()
    with serve(arena) as server:
        others = threading.Thread(target=shoot, args=(server, stop))
        others.start()
        try:
            play(server.uri, server.database, frames)
        finally:
            stop.set()
            others.join()


if __name__ == "__main__":
    main()
