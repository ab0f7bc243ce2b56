"""Which rows of scheduled tables are calls to come, and when (schema reference, 3.1).

Nothing here knows what is called, or who waits for the time to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, TypeAlias

from spacetimedb_proto.bsatn.values import ScheduleInterval, ScheduleTime, Timestamp

from .storage import Changes, Storage, TableStorage

__all__ = ["Job", "Schedule"]

Job: TypeAlias = tuple[str, bytes]
"""A table, and the row in it."""

SHORTEST: Final = 1000
"""Microseconds between two calls of one row, at least, so that time always gets ahead. Nothing real is as exact."""


class Schedule:
    """The plan of one database.

    Args:
        storage: Its rows, of which those of scheduled tables are planned.
        clock: What time it is.
    """

    def __init__(self, storage: Storage, clock: Callable[[], Timestamp]) -> None:
        self._clock = clock
        self._tables: dict[str, TableStorage] = {
            name: table for name, table in storage.tables.items() if table.definition.schedule is not None
        }
        self._times: dict[Job, int] = {}
        self._wake: Callable[[Timestamp], None] = _nobody
        self._told: Timestamp | None = None
        for name, table in self._tables.items():
            for data, row in table.rows.items():
                self._plan((name, data), row)

    def on_due(self, wake: Callable[[Timestamp], None]) -> None:
        """Set what to call with the time of the next call, now and whenever it becomes another one."""
        self._wake, self._told = wake, None
        self._tell()

    @property
    def next_due(self) -> Timestamp | None:
        """When something is to be called next, if anything is."""
        return Timestamp(min(self._times.values())) if self._times else None

    def note(self, changes: Mapping[str, Changes], *, is_scheduled: bool = False) -> None:
        """Plan for what a transaction changed.

        Args:
            changes: What it did, by table.
            is_scheduled: Whether a call of this plan did it. What is planned by it is not yet due then.
        """
        for name in changes.keys() & self._tables.keys():
            for data in changes[name].deletes:
                self._times.pop((name, data), None)
            for data, row in changes[name].inserts.items():
                self._plan((name, data), row, SHORTEST if is_scheduled else 0)
        if not is_scheduled:  # otherwise `take_due` tells, when all that is due has been called
            self._tell()

    def take_due(self) -> Iterator[tuple[Job, Timestamp]]:
        """Take out the calls whose time has come, in the order of their times, and when each is to see itself called.

        What is planned or given up meanwhile counts: of calls that are given up before their turn nothing is seen.
        """
        now = self._clock()
        due = [(job, time) for job, time in self._times.items() if time <= now.micros]
        for job, time in sorted(due, key=itemgetter(1)):
            if self._times.get(job) == time:
                del self._times[job]
                yield job, now
        self._tell()

    def again(self, job: Job) -> None:
        """Plan the next call of a row that has been called, if it is there still and wants one."""
        name, data = job
        row = self._tables[name].rows.get(data)
        if row is not None and job not in self._times:
            self._plan(job, row, SHORTEST)

    def _plan(self, job: Job, row: Any, shortest: int = 0) -> None:
        now = self._clock()
        self._times[job] = max(_time(self._at(job[0], row), now), now.micros + shortest)

    def _tell(self) -> None:
        due = self.next_due
        if due != self._told:
            self._told = due
            if due is not None:
                self._wake(due)

    def _at(self, name: str, row: Any) -> ScheduleInterval | ScheduleTime:
        table = self._tables[name]
        assert table.definition.schedule is not None
        at: ScheduleInterval | ScheduleTime = getattr(row, table.codec.field_names[table.definition.schedule.column])
        return at

    def is_repeated(self, job: Job) -> bool:
        """Whether a row is called again and again, or once and then is gone."""
        name, data = job
        return isinstance(self._at(name, self._tables[name].rows[data]), ScheduleInterval)


def _time(at: ScheduleInterval | ScheduleTime, now: Timestamp) -> int:
    match at:
        case ScheduleInterval(duration):
            return now.micros + duration.micros
        case ScheduleTime(time):
            return time.micros


def _nobody(_due: Timestamp) -> None:
    """Nobody waits."""
