"""What time it is in a database: by the system's clock, or by one that a test moves."""

from __future__ import annotations

import time
from typing import Final

import attrs

from spacetimedb_proto.bsatn.values import Timestamp

__all__ = ["ManualClock", "system_clock"]

_START: Final = Timestamp(1_700_000_000_000_000)


def system_clock() -> Timestamp:
    """What time it is."""
    return Timestamp(time.time_ns() // 1000)


@attrs.define
class ManualClock:
    """A clock that stands still until somebody moves it: `Server.advance`, `Site.advance` or `Database.advance`.

    Attributes:
        now: What time it is; at first some moment of November 2023. To set it runs nothing that is scheduled.
    """

    now: Timestamp = _START

    def __call__(self) -> Timestamp:
        """What time it is."""
        return self.now
