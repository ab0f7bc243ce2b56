"""What is scheduled runs by itself while a server runs."""

from __future__ import annotations

import logging
import math

import anyio

from spacetimedb_proto.bsatn.values import Timestamp

from .clocks import ManualClock
from .site import Site

__all__ = ["Ticker"]

logger = logging.getLogger("spacetimedb_sdk.testing")


class Ticker:
    """Runs what is scheduled on a site. Lives in the server's loop.

    The clock is looked at, so it need not be the system's; its time is taken to pass as fast as real time does.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._changed: anyio.Event | None = None
        site.on_due(self._ring)

    def _ring(self, _due: Timestamp) -> None:
        if self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Run what is scheduled whenever its time has come, for ever."""
        try:
            while True:
                self._changed = anyio.Event()
                with anyio.move_on_after(self._wait()):
                    await self._changed.wait()
                    continue
                self._run_due()
        finally:
            self._changed = None

    def _wait(self) -> float:
        """Seconds until something is due. On a manual clock that is somebody else's to see to."""
        database = self._site.database
        due = database.next_due
        if due is None or isinstance(database.clock, ManualClock):
            return math.inf
        return max(0.0, (due.micros - database.clock().micros) / 1_000_000)

    def _run_due(self) -> None:
        try:
            self._site.run_due()
        except Exception:  # a fault of ours must not end the schedule
            logger.exception("what is scheduled failed")
