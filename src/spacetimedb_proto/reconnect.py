"""Whether to connect again after a link was lost, and after how many attempts not any more.

The rules are those of the SDKs that reconnect by themselves (protocol reference, 8).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import attrs

from .backoff import Backoff
from .errors import AuthenticationError, ConnectError, ConnectionLost, ConnectionRefused, RemoteProtocolError
from .events import Disconnected, Retry

__all__ = ["Attempts", "Verdict", "judge", "not_opened"]

SESSION_BUSY: Final = 4000
"""Close code for a newcomer whose session's older connection has not ended yet (protocol reference, 8)."""

UNKNOWN_BATCH: Final = "unknown tag 0x5"
"""How servers before 2.11 complain of a `SubscribeBatch`, with close code 1011 (protocol reference, 8)."""

INTERNAL_ERROR: Final = 1011

NO_GOODBYE: Final = 1006
"""Code of a link that ended without a Close frame, which is how servers drop clients that the module refuses."""

FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008})
"""Close codes that blame this side: it would only be blamed again."""

PASSING_STATUSES: Final = frozenset({101, 408, 425, 429})
"""HTTP statuses beside 5xx that say nothing about the next attempt."""


REFUSALS: Final = 3
"""Times in a row that a server may drop this client before it says a word, until that counts as a refusal."""


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
            return _judge_unheard(ending.code)
        case ConnectError(status=status) as error if type(error) is ConnectError:
            is_passing = status is None or status >= 500 or status in PASSING_STATUSES
            return Verdict.RETRY if is_passing else Verdict.STOP
        case ConnectionLost(code=code, reason=reason):
            if code == INTERNAL_ERROR and UNKNOWN_BATCH in reason:
                return Verdict.NO_BATCH
            return Verdict.STOP if code in FINAL_CODES else Verdict.RETRY
        case _:
            return Verdict.STOP


def _judge_unheard(code: int) -> Verdict:
    """The same, for a server that let go of the link before its first message."""
    if code == SESSION_BUSY:
        return Verdict.BUSY
    if code == NO_GOODBYE:
        return Verdict.REFUSED
    return Verdict.STOP if code in FINAL_CODES else Verdict.RETRY


class Attempts:
    """What one session has learned from the ends of its links.

    Args:
        backoff: When to connect again; None if never.
        chance: Returns a random number from 0 to 1.

    Attributes:
        failed: Attempts in a row that have failed since a link was lost.
        batches: Whether query sets may be asked for in one message, as far as is known.
        token_was_refused: Whether the server has refused the last token.
    """

    def __init__(self, backoff: Backoff | None, chance: Callable[[], float]) -> None:
        self.failed = 0
        self.batches = True
        self.token_was_refused = False
        self._backoff = backoff
        self._chance = chance
        self._refusals = 0
        self._losses = 0

    def greeted(self) -> None:
        """The server has accepted a link."""
        self._refusals = 0
        self.token_was_refused = False

    def resumed(self) -> None:
        """All is as before the loss. Until then a link counts as failed: those that never live are not made often."""
        self._losses = self.failed = 0

    def after(self, ending: Disconnected, *, is_resuming: bool) -> Retry | None:
        """The attempt that follows the end of a link, or of an attempt to open one; None if none does.

        Args:
            ending: How it ended.
            is_resuming: Whether it ended while query sets of an older link were being asked for.
        """
        verdict = self._verdict(ending, is_resuming=is_resuming)
        if verdict is Verdict.STOP or self._backoff is None:
            return None
        if verdict is Verdict.NO_BATCH:
            return Retry(max(self._losses, 1), 0.0)
        if verdict is Verdict.BUSY:
            return Retry(max(self._losses, 1), self._backoff.delay(1, self._chance()))
        self.failed, self._losses = self._losses, self._losses + 1
        if self._backoff.attempts is not None and self._losses > self._backoff.attempts:
            return None
        return Retry(self._losses, self._backoff.delay(self._losses, self._chance()))

    def _verdict(self, ending: Disconnected, *, is_resuming: bool) -> Verdict:
        """`judge`, with what has gone before."""
        verdict = judge(ending)
        match verdict:
            case Verdict.NO_BATCH:
                if not (is_resuming and self.batches):
                    return Verdict.RETRY
                self.batches = False
            case Verdict.NO_TOKEN:
                if self.token_was_refused:
                    return Verdict.STOP
                self.token_was_refused = True
            case Verdict.REFUSED:
                self._refusals += 1
                return Verdict.STOP if self._refusals >= REFUSALS else Verdict.RETRY
            case _:
                pass
        return verdict


def not_opened(ending: Disconnected) -> Disconnected:
    """How a first attempt has ended: if what answered did not keep to the protocol, there was no connection."""
    error = ending.error
    if not isinstance(error, RemoteProtocolError):
        return ending
    refused = ConnectError(str(error))
    refused.__cause__ = error
    return attrs.evolve(ending, error=refused)
