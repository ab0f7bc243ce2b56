"""The console of rich, but for what it does when nobody reads any more."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

__all__ = ["Screen"]


class Screen(Console):
    """A console that leaves it to `failures` to end the program when its reader has left."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise what the system has said.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError
