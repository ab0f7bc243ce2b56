"""Tasks that run on their own, in no task group of the caller's, on asyncio and trio.

Importing this module imports neither trio nor a running loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import anyio

__all__ = ["Background", "in_trio", "spawn"]


def in_trio() -> bool:
    """Whether the calling task is trio's. Does not import it."""
    trio: Any = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


class Background:
    """A task that runs on its own, in no task group of the caller's."""

    _running: ClassVar[set[Background]] = set()  # asyncio itself holds its tasks only weakly

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._error: BaseException | None = None
        self._task: object = None

    def cancel(self) -> None:
        """Ask the task to stop. It may already have."""
        self._scope.cancel()

    async def wait(self) -> None:
        """Wait until the task has ended.

        Raises:
            BaseException: What ended it, other than a cancellation.
        """
        await self._done.wait()
        if self._error is not None:
            raise self._error

    def start(self, async_fn: Callable[[], Awaitable[object]], name: str) -> None:
        """Start the task; to be called once."""
        self._running.add(self)
        if in_trio():
            trio: Any = sys.modules["trio"]
            context = contextvars.copy_context()
            self._task = trio.lowlevel.spawn_system_task(self._run, async_fn, name=name, context=context)
        else:
            self._task = asyncio.create_task(self._run(async_fn), name=name)

    async def _run(self, async_fn: Callable[[], Awaitable[object]]) -> None:
        try:
            with self._scope:
                await async_fn()
        except anyio.get_cancelled_exc_class():
            raise  # the loop is shutting down
        except BaseException as error:  # trio's system tasks must not raise, and nobody reads an asyncio task's error
            self._error = _alone(error)
        finally:
            self._running.discard(self)
            self._done.set()


def _alone(error: BaseException) -> BaseException:
    """An error without the groups that hold nothing else, which task groups put around it."""
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _alone(inside[0]) if len(inside) == 1 else error


def spawn(async_fn: Callable[[], Awaitable[object]], name: str) -> Background:
    """Run a function in the background, in a copy of the caller's context.

    It ends by itself, by `cancel()`, or with the loop; under trio, system tasks are cancelled when the main task ends.

    Args:
        async_fn: Called without arguments. What it raises is kept for `Background.wait`.
        name: Shown by debugging tools.
    """
    background = Background()
    background.start(async_fn, name)
    return background
