"""Whether to connect again after a link was lost, and when.

Rules and numbers are those of the SDKs that reconnect by themselves (protocol 2.14 reference, 3). Time and chance are
arguments, so that the same losses always give the same attempts.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from .errors import AuthenticationError, ConnectError, ConnectionLost, ConnectionRefused
from .events import Disconnected

__all__ = ["Backoff", "Verdict", "judge"]

SESSION_BUSY: Final = 4000
"""Close code for a newcomer whose session's older connection has not ended yet (protocol 2.14 reference, 2)."""

UNKNOWN_BATCH: Final = "unknown tag 0x5"
"""How servers before 2.11 complain of a `SubscribeBatch`, with close code 1011 (protocol 2.14 reference, 1)."""

INTERNAL_ERROR: Final = 1011

FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008})
"""Close codes that blame this side: it would only be blamed again."""

PASSING_STATUSES: Final = frozenset({101, 408, 425, 429})
"""HTTP statuses beside 5xx that say nothing about the next attempt."""


@attrs.frozen(kw_only=True)
class Backoff:
    """How long to wait before each attempt to connect again: ever longer, and never in step with other clients.

    Attributes:
        initial: Seconds before the first attempt.
        maximum: Seconds before any attempt, at most.
        factor: How much longer each wait is than the one before.
        jitter: Share of a wait, from 0 to 1, that chance takes away or adds.
        attempts: Attempts in a row until it is given up; None for no limit.
    """

    initial: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    maximum: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    factor: float = attrs.field(default=2.0, validator=[attrs.validators.ge(1), attrs.validators.le(100)])
    jitter: float = attrs.field(default=0.5, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before an attempt.

        Args:
            attempt: Its number since the link was lost, from 1.
            chance: A random number from 0 to 1.
        """
        # The exponent is bounded because a float is.
        wait = min(self.maximum, self.initial * self.factor ** min(attempt - 1, 64))
        return min(self.maximum, wait * (1 + self.jitter * (2 * chance - 1)))


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
