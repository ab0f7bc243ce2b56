"""The log of a database: what happened in its module, line by line, for whoever owns it (protocol reference, 5)."""

from __future__ import annotations

import json
import traceback
from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from spacetimedb_proto.bsatn.values import Timestamp

__all__ = ["Level", "Log"]

Level: TypeAlias = Literal["Error", "Warn", "Info", "Debug", "Trace"]

MAX_LINES: Final = 100_000
"""Older lines are forgotten."""

_HOST: Final = MappingProxyType({"target": "__spacetimedb__", "filename": "__spacetimedb__"})
"""Where a line comes from that the server writes itself."""


class Log:
    """Lines of JSON, in the order written.

    Args:
        clock: What time it is.
    """

    def __init__(self, clock: Callable[[], Timestamp]) -> None:
        self._clock = clock
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._followers: list[Callable[[str], None]] = []

    def text(self, count: int | None = None) -> str:
        """The last lines, or all of them, each with its line end."""
        lines = list(self._lines)
        return "".join(lines if count is None else lines[max(len(lines) - count, 0) :])

    def follow(self, told: Callable[[str], None]) -> Callable[[], None]:
        """Have a function called with each new line, until what this returns is called."""
        self._followers.append(told)
        return lambda: self._followers.remove(told)

    # --- writing ------------------------------------------------------------------------------------------------------

    def module(self, level: Level, module: str, function: str | None, message: str) -> None:
        """A line that the module writes."""
        self._write(level, {"target": module} | ({} if function is None else {"function": function}), message)

    def host(self, function: str, message: str) -> None:
        """An error that the server tells of."""
        self._write("Error", {**_HOST, "function": function}, message)

    def panic(self, function: str, error: BaseException) -> None:
        """A fault of the module: where, what, and how it got there, innermost first."""
        frames = traceback.extract_tb(error.__traceback__)
        where = {"filename": frames[-1].filename, "line_number": frames[-1].lineno} if frames else {}
        trace = [{"func_name": frame.name} for frame in reversed(frames)]
        self._write("Panic", {**where, "function": function}, str(error), trace=trace)

    def _write(self, level: str, where: dict[str, Any], message: str, **more: Any) -> None:
        entry = {"level": level, "ts": self._clock().micros, **where, "message": message, **more}
        line = json.dumps(entry, separators=(",", ":"), ensure_ascii=False) + "\n"
        self._lines.append(line)
        for told in list(self._followers):
            told(line)
