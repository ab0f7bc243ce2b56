"""A game with pygame: arrow keys move you, the others move as the server says. Nothing moves but in `frame_tick`.

    pip install pygame-ce
    python examples/pygame_arena.py

It brings its own server, with two players who walk about; `--server URI --database NAME` is another one.
"""

from __future__ import annotations

import argparse
import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pygame

from spacetimedb_sdk import Identity, frame
from spacetimedb_sdk.testing import Module, PrimaryKey, ReducerContext, Server, f32, serve

SIZE = (640, 480)
SPEED = 180.0  # pixels a second
NETWORK_BUDGET = 0.004  # seconds of each frame

arena = Module("arena")


@arena.table(public=True)
class Player:
    identity: PrimaryKey[Identity]
    x: f32
    y: f32


@arena.client_connected
def enter(ctx: ReducerContext) -> None:
    if ctx.db.player.find(identity=ctx.sender) is None:
        ctx.db.player.insert(identity=ctx.sender, x=SIZE[0] / 2, y=SIZE[1] / 2)


@arena.client_disconnected
def leave(ctx: ReducerContext) -> None:
    if player := ctx.db.player.find(identity=ctx.sender):
        ctx.db.player.delete(player)


@arena.reducer
def move_to(ctx: ReducerContext, x: f32, y: f32) -> None:
    ctx.db.player.update(Player(identity=ctx.sender, x=min(max(x, 0), SIZE[0]), y=min(max(y, 0), SIZE[1])))


class Game:
    """What is on the screen. Rows are looked at while drawing, so there is no second copy of the world."""

    def __init__(self, conn: frame.Connection, screen: pygame.Surface) -> None:
        self.conn = conn
        self.screen = screen
        self.most = 0
        conn.on_connect(lambda conn: conn.subscribe("SELECT * FROM player"))

    def update(self, keys: Any, seconds: float) -> None:
        across = keys[pygame.K_RIGHT] - keys[pygame.K_LEFT]
        down = keys[pygame.K_DOWN] - keys[pygame.K_UP]
        if self.conn.identity and (across or down) and (me := self.conn.db.player.find(identity=self.conn.identity)):
            self.conn.reducers.move_to(me.x + across * SPEED * seconds, me.y + down * SPEED * seconds)

    def draw(self) -> None:
        self.screen.fill("grey15" if self.conn.is_stale else "black")
        players = list(self.conn.db.player) if self.conn.identity else []
        self.most = max(self.most, len(players))
        for player in players:
            color = "gold" if player.identity == self.conn.identity else "skyblue"
            pygame.draw.circle(self.screen, color, (round(player.x), round(player.y)), 12)
        pygame.display.flip()


def play(conn: frame.Connection, frames: float) -> None:
    pygame.init()
    game = Game(conn, pygame.display.set_mode(SIZE))
    clock, seconds, frame_number = pygame.time.Clock(), 0.0, 0
    while frame_number < frames and not any(event.type == pygame.QUIT for event in pygame.event.get()):
        conn.frame_tick(NETWORK_BUDGET)
        game.update(pygame.key.get_pressed(), seconds)
        game.draw()
        seconds = clock.tick(60) / 1000
        frame_number += 1
    print(f"{frame_number} frames, {game.most} players")
    pygame.quit()


def put(number: int, angle: float, ctx: ReducerContext) -> None:
    x, y = 320 + 80 * number * math.cos(angle / number), 240 + 80 * number * math.sin(angle / number)
    player = Player(identity=Identity.from_hex(f"{number:064x}"), x=x, y=y)
    known = ctx.db.player.find(identity=player.identity)
    (ctx.db.player.update if known else ctx.db.player.insert)(player)


@contextmanager
def others(server: Server) -> Iterator[None]:
    """Two players who walk in circles."""
    stop = threading.Event()

    def walk() -> None:
        angle = 0.0
        while not stop.wait(1 / 30):
            angle += 0.05
            for number in (1, 2):
                server.run(partial(put, number, angle))

    thread = threading.Thread(target=walk)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--server", help="of a server that has the module; without it, one of its own")
    parser.add_argument("--database", default="arena")
    parser.add_argument("--frames", type=int, default=math.inf, help="how long to play")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.server is None:
            server = stack.enter_context(serve(arena))
            stack.enter_context(others(server))
            options.server, options.database = server.uri, server.database
        play(stack.enter_context(frame.connect(options.server, options.database)), options.frames)


if __name__ == "__main__":
    main()
