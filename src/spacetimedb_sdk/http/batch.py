"""Many calls of one reducer: what has become of each. Who runs them is a client's business."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import attrs

from spacetimedb_proto.errors import ConnectError, LocalProtocolError, NotSent, OutcomeUnknown, SpacetimeDBError

__all__ = ["Arguments", "Batch", "CallFailure", "CallReport", "OnProgress", "Progress", "is_expected", "split"]

Arguments: TypeAlias = "Sequence[Any] | Mapping[str, Any]"


@attrs.frozen
class Progress:
    """How far a batch has come.

    Attributes:
        done: Calls that have ended, well or not.
        failed: How many of them not.
        total: All calls, or None where that is not known beforehand.
    """

    done: int
    failed: int
    total: int | None


OnProgress: TypeAlias = "Callable[[Progress], object]"


@attrs.frozen
class CallFailure:
    """A call that did not end well.

    Attributes:
        index: Its place in what was given, from 0.
        arguments: What it was called with. Not shown.
        error: Why.
    """

    index: int
    arguments: Arguments = attrs.field(repr=False)
    error: Exception


@attrs.frozen
class CallReport:
    """What has become of a batch.

    Attributes:
        succeeded: Calls that are committed.
        failures: The others that were tried, by their place.
        stopped_by: The error for which no more calls were made, or None if all were.
    """

    succeeded: int
    failures: tuple[CallFailure, ...]
    stopped_by: Exception | None = None

    @property
    def unknown(self) -> tuple[CallFailure, ...]:
        """Those of which nobody can tell whether they have run, so that they are not safe to repeat."""
        return tuple(each for each in self.failures if isinstance(each.error, OutcomeUnknown))

    @property
    def is_complete(self) -> bool:
        """Whether all calls are committed."""
        return not self.failures and self.stopped_by is None

    def check(self) -> None:
        """Raise the first error, if there is one.

        Raises:
            Exception: That.
        """
        if self.stopped_by is not None:
            raise self.stopped_by
        if self.failures:
            raise self.failures[0].error


class Batch:
    """Hands out calls one by one, and takes down what became of them. For one thread, or one event loop.

    Args:
        calls: What to call with.
        on_progress: Told after each call.
        stop_on_error: Whether no more calls are made after the first failure. What would fail each of them alike ends
            the batch in any case: no connection, a refused token, a database or a reducer that is not there.
    """

    def __init__(self, calls: Iterable[Arguments], on_progress: OnProgress | None, *, stop_on_error: bool) -> None:
        self._total = len(calls) if isinstance(calls, Sequence) else None
        self._calls: Iterator[tuple[int, Arguments]] = enumerate(calls)
        self._on_progress = on_progress
        self._stop_on_error = stop_on_error
        self._succeeded = 0
        self._failures: list[CallFailure] = []
        self._stopped_by: Exception | None = None

    def next(self) -> tuple[int, Arguments] | None:
        """The next call with its place, or None when there are no more to make."""
        return None if self._stopped_by is not None else next(self._calls, None)

    def ended(self, index: int, arguments: Arguments, error: Exception | None) -> None:
        """Take down how a call ended."""
        if error is None:
            self._succeeded += 1
        else:
            self._failures.append(CallFailure(index, arguments, error))
            if self._stopped_by is None and (self._stop_on_error or _concerns_all(error)):
                self._stopped_by = error
        if self._on_progress is not None:
            done = self._succeeded + len(self._failures)
            self._on_progress(Progress(done, len(self._failures), self._total))

    def report(self) -> CallReport:
        """What has become of all."""
        failures = sorted(self._failures, key=lambda failure: failure.index)
        return CallReport(self._succeeded, tuple(failures), self._stopped_by)


def _concerns_all(error: Exception) -> bool:
    return isinstance(error, ConnectError | NotSent | LocalProtocolError)


def split(arguments: Arguments) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Arguments by place and by name."""
    return ((), arguments) if isinstance(arguments, Mapping) else (arguments, {})


def is_expected(error: BaseException) -> TypeGuard[Exception]:
    """Whether an error belongs into a report; others are faults of the program."""
    return isinstance(error, SpacetimeDBError | TypeError)
