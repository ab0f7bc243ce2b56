"""When to connect again after a link was lost.

The numbers are those of the SDKs that reconnect by themselves (protocol reference, 8). Chance is an argument, so
that the same losses can always give the same attempts.
"""

from __future__ import annotations

import attrs

__all__ = ["Backoff"]


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
