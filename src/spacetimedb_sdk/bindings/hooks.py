"""Listeners that are not about any table: errors that nobody claims, the loss of the connection, its states."""

from __future__ import annotations

import logging
from collections.abc import Callable

from spacetimedb_proto.events import Connected, Disconnected, StateChanged
from spacetimedb_proto.schema import Drift
from spacetimedb_proto.states import SessionState

from .context import Context
from .listeners import Listeners, caught
from .streams import Streams

__all__ = ["Hooks"]

log = logging.getLogger("spacetimedb_sdk")


def _nobody_greeted(_event: Connected) -> None:
    pass


def _log_failure(error: Exception, name: str) -> None:
    log.error("on_error listener %s failed", name, exc_info=error)


class Hooks:
    """Listeners that a connection has before it knows the module.

    Args:
        greeted: Called each time that a link greets after the first.
        where: Which connection it is, for the log: a program may have several.

    Attributes:
        errors: For errors that nobody claims.
        disconnects: For the loss of the connection, and for its end.
        states: For each state.
        state_streams: Streams of them.
        errors_reported: How many errors nobody claimed.
    """

    def __init__(self, greeted: Callable[[Connected], object] = _nobody_greeted, where: str = "") -> None:
        self.greeted = greeted
        self._name = f"the connection to {where}" if where else "the connection"
        self.errors: Listeners[Callable[[Exception, str], object]] = Listeners()
        self.disconnects: Listeners[Callable[[Context], object]] = Listeners()
        self.states: Listeners[Callable[[StateChanged], object]] = Listeners()
        self.state_streams: Streams[StateChanged] = Streams()
        self.errors_reported = 0
        self._drift = Drift()

    def report(self, error: Exception, where: str) -> None:
        """Log an error that nobody else will see, and hand it to the error listeners."""
        self.errors_reported += 1
        log.error("%s: %s", where, error, exc_info=error)
        for callback in self.errors.callbacks:
            try:
                callback(error, where)
            except BaseException as failure:
                caught(failure, callback, _log_failure)

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Run one callback; what it raises is reported and goes no further."""
        try:
            callback(*args)
        except BaseException as error:
            caught(error, getattr(callback, "callback", callback), self.report)

    def note_loss(self, event: Disconnected) -> None:
        """Log that the connection is lost, or over. An end that nobody listens to is an error that nobody else sees."""
        if event.retry is not None:
            log.warning("%s is lost, and will be made again: %s", self._name, event.error or event.reason)
        elif event.error is not None:
            if self.disconnects or self.states or self.state_streams.references:
                log.warning("%s is over: %s", self._name, event.error)
            else:
                self.report(event.error, f"{self._name} is over")

    def note_return(self) -> None:
        """Log that the connection is made again."""
        log.info("%s is made again", self._name)

    def note_drift(self, drift: Drift) -> None:
        """Log, once, what is not seen of a module that was published anew."""
        if drift.differences and drift != self._drift:
            log.warning("%s: the module was published anew; how it differs from what is known:\n%s", self._name, drift)
        self._drift = drift

    def tell_state(self, change: StateChanged) -> bool:
        """Tell of a state; returns whether anybody may have waited for it."""
        for callback in self.states.callbacks:
            self.run(callback, change)
        streams = self.state_streams.now()
        for stream in streams:
            stream.push(change)
        if change.state is SessionState.CLOSED:
            for stream in streams:
                stream.end(None)
        return bool(streams)
