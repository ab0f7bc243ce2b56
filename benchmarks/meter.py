"""Clocks and memory of this process."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Clock", "Memory"]

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


@attrs.frozen
class Clock:
    """A moment: wall and CPU time of the whole process, in seconds."""

    wall: float = attrs.field(factory=time.perf_counter)
    cpu: float = attrs.field(factory=time.process_time)

    def since(self) -> tuple[float, float]:
        """Wall and CPU seconds from then to now."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


class Memory:
    """By how much the resident memory has grown at its peak, from when this was made. In bytes."""

    def __init__(self) -> None:
        self._at_start = _status("VmRSS")
        if self._at_start is None:
            self._at_start = _peak()  # not Linux: what was used before counts as if it were still in use
        else:
            _CLEAR.write_text("5")  # the peak starts anew

    def growth(self) -> int:
        """The peak since the start, less what was in use then."""
        assert self._at_start is not None
        return max(0, _peak() - self._at_start)


def _peak() -> int:
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _status(field: str) -> int | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return None
