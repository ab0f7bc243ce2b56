"""Whether to connect again after a link was lost.

The rules are those of the SDKs that reconnect by themselves (protocol 2.14 reference, 3).
"""

from __future__ import annotations

import enum
from typing import Final

from .errors import AuthenticationError, ConnectError, ConnectionLost, ConnectionRefused
from .events import Disconnected

__all__ = ["Verdict", "judge"]

SESSION_BUSY: Final = 4000
"""Close code for a newcomer whose session's older connection has not ended yet (protocol 2.14 reference, 2)."""

UNKNOWN_BATCH: Final = "unknown tag 0x5"
"""How servers before 2.11 complain of a `SubscribeBatch`, with close code 1011 (protocol 2.14 reference, 1)."""

INTERNAL_ERROR: Final = 1011

FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008})
"""Close codes that blame this side: it would only be blamed again."""

PASSING_STATUSES: Final = frozenset({101, 408, 425, 429})
"""HTTP statuses beside 5xx that say nothing about the next attempt."""


class Verdict(enum.Enum):
    """What to do about the end of a link."""

    STOP = enum.auto()  #: another attempt would end the same way
    RETRY = enum.auto()  #: try again after a while
    BUSY = enum.auto()  #: try again soon: the server has not let go of the lost link yet
    NO_BATCH = enum.auto()  #: try again at once, without a message that the server does not know
    NO_TOKEN = enum.auto()  #: try again with another token, if there is one
    REFUSED = enum.auto()  #: try again a few times: it may have been the link, and it may have been the module


def judge(ending: Disconnected) -> Verdict:
    """What the end of a link, or of an attempt to open one, means for the next attempt."""
    match ending.error:
        case AuthenticationError():
            return Verdict.NO_TOKEN
        case ConnectionRefused():
            return Verdict.BUSY if ending.code == SESSION_BUSY else Verdict.REFUSED
        case ConnectError(status=status) as error if type(error) is ConnectError:
            is_passing = status is None or status >= 500 or status in PASSING_STATUSES
            return Verdict.RETRY if is_passing else Verdict.STOP
        case ConnectionLost(code=code, reason=reason):
            if code == INTERNAL_ERROR and UNKNOWN_BATCH in reason:
                return Verdict.NO_BATCH
            return Verdict.STOP if code in FINAL_CODES else Verdict.RETRY
        case _:
            return Verdict.STOP
