"""`replay()`: an application is fed from a recording, without a network, at any speed.

The session underneath is the one that a connection has, so cache, callbacks and streams are the same. What stands in
for the server, and for the client that was recorded, is in `replay_server.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from time import sleep as wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.connection import Timeouts
from spacetimedb_proto.durable import Need
from spacetimedb_proto.errors import ConnectError, RecordingError, RemoteProtocolError
from spacetimedb_proto.events import Disconnected, Event, LinkEnded, StateChanged
from spacetimedb_proto.options import Options
from spacetimedb_proto.schema import Schema, dump_schema
from spacetimedb_proto.steps import finish
from spacetimedb_proto.uri import Endpoint
from spacetimedb_proto.wire import PROTOCOLS

from .bindings.connection import OpenConnection
from .bindings.generated import bindings_of
from .bindings.records import TransactionRecord
from .bindings.unread import DEFAULT_BUFFER, Overflow
from .frame_scripts import FrameHost, FramePending, FrameStream
from .recorded import Link, read_recording
from .replay_server import RecordedServer, RefusingConnection
from .token_keeper import TokenKeeper
from .tokens import source_of

if TYPE_CHECKING:
    from .typed import Package

__all__ = ["Replay", "replay"]

PATIENT = Timeouts(handshake=math.inf, greeting=math.inf, silence=math.inf, answer=math.inf, close=math.inf)
"""A recording is waited for as long as it takes."""


class Replay(OpenConnection):
    """A session that is played from a recording. Made by `replay()`.

    It has what a connection has to be read and listened to: `db`, callbacks, streams, `state`, `identity`. Nothing
    moves but inside `step`, `run` and `play`, on the thread that calls them. It cannot be asked: what the recorded
    client subscribed to and called is in the recording, and commands raise `LocalProtocolError`.

    Attributes:
        db: The tables and views, as they were at `time`.
        reducers: The reducers, to listen to with `on_outcome`.
        procedures: The procedures.
        types: The module's named types as Python classes.
    """

    def __init__(self, core: RefusingConnection, server: RecordedServer) -> None:
        opened: FramePending[Replay] = FramePending("replay", lambda _error, _what: None)
        super().__init__(core, TokenKeeper(source_of(None)), FrameHost(lambda: server.now), opened)
        self._server = server
        while self._engine is None and (event := server.next_event()) is not None:
            self._handle(event)
        self._check_ending()
        opened.result()

    # --- playing ------------------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        """How far it has come, in seconds since the recording began."""
        return self._server.now

    @property
    def next_time(self) -> float | None:
        """When the next line of the recording passed, on the same clock; None at its end."""
        return self._server.next_at

    @property
    def is_over(self) -> bool:
        """Whether everything was played."""
        return self._core.need is Need.NOTHING

    def step(self) -> Event | None:
        """Play on until something happens: one transaction, one answer, or another event.

        Returns:
            What happened, after its callbacks were run; None at the end.

        Raises:
            RecordingError: The recording is broken here: a line is none, or the session dies of what it holds, or does
                not hold, and the recorded one did not. Everybody else has been told of the end then.
        """
        return self._step(math.inf)

    def __iter__(self) -> Iterator[Event]:
        """Step to the end: `for event in replay(...)`. Raises as `step`."""
        while (event := self.step()) is not None:
            yield event

    def run(self, until: float = math.inf) -> Self:
        """Play everything up to a time of the recording, as fast as possible. Raises as `step`.

        Args:
            until: Seconds since the recording began.
        """
        while self._step(until) is not None:
            pass
        return self

    def play(self, speed: float = 1.0, *, sleep: Callable[[float], object] = wait) -> Self:
        """Play to the end at the pace of the recording. Raises as `step`.

        Args:
            speed: How many times as fast.
            sleep: Waits so many seconds.

        Raises:
            TypeError: The speed is no number.
            ValueError: It is not above 0.
        """
        _check_speed(speed)
        while (due := self.next_time) is not None and not self.is_over:
            if due > self.time:
                sleep((due - self.time) / speed)
            self.run(due)
        return self.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Play no more, and tell so. What was cached stays readable. Twice is harmless."""
        self._core.close()
        self._server.stop()
        self.run()

    # --- listening ----------------------------------------------------------------------------------------------------

    def transactions(
        self, *, buffer: int = DEFAULT_BUFFER, overflow: Overflow = "error"
    ) -> FrameStream[TransactionRecord]:
        """Record every change of the cache from now on, to be read between steps: `for tx in stream`.

        Arguments and errors are those of a connection's.
        """
        return self._bindings.record(buffer, overflow)  # type: ignore[return-value]

    def states(self) -> FrameStream[StateChanged]:
        """Record where the session stands, from now on. The stream ends with the session."""
        return self._record_states()  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<replay at {self.time:.3f} s, {self.state.value}>"

    def _step(self, until: float) -> Event | None:
        while (event := self._server.next_event(until)) is not None:
            self._handle(event)
            if isinstance(event, Disconnected):
                self._check_ending()
            if type(event) is not LinkEnded:  # the definition's link, of which nobody is told
                return event
        return None

    def _check_ending(self) -> None:
        """Complain if the session died of what is in the recording, and the recorded one went on."""
        ending = self._core.ending
        error = ending.error if ending is not None and self._core.need is Need.NOTHING else None
        cause = error.__cause__ if isinstance(error, ConnectError) else error  # of a session that never opened
        if ending is None or not isinstance(cause, RemoteProtocolError) or self._server.ends_with(ending.code):
            return
        self._server.stop()
        while (event := self._server.next_event()) is not None:
            self._handle(event)
        raise self._server.complaint(cause) from cause

    def _handle(self, event: Event) -> None:
        outcome = self._on_event(event)
        if not isinstance(outcome, bool):
            finish(outcome)

    def _last_received(self) -> float | None:
        return self._server.now


def _check_speed(speed: Any) -> None:
    if isinstance(speed, bool) or not isinstance(speed, int | float):
        raise TypeError(f"speed: expected a number above 0, got {shown(speed)}")
    if not speed > 0:
        raise ValueError(f"speed: expected a number above 0, got {speed!r}")


def replay(
    file: str | os.PathLike[str],
    *,
    schema: Schema | Mapping[str, Any] | None = None,
    bindings: Package[Any] | None = None,
) -> Replay:
    """Open a recording, and play it up to the server's greeting.

    ::

        with replay("session.jsonl") as session:
            session.db.message.on_insert(lambda ctx, message: print(message.text))
            session.run()

    Args:
        file: What `connect(..., record=...)` has written, or another recording in that form.
        schema: The module's definition, as `load_schema` reads it or as JSON; for recordings without one.
        bindings: A generated package, into whose classes rows are read.

    Raises:
        RecordingError: The file is no recording, or a broken one, or there is no definition.
        ConnectError: The recorded client was refused; the subclass says why.
        SchemaMismatch: The bindings were not made for the recorded module.
        OSError: The file cannot be read.
    """
    items = read_recording(file)
    first = next(items, None)
    if not isinstance(first, Link):
        raise RecordingError(f"{os.fspath(file)}: expected a recording, got an empty file")
    definition = dump_schema(schema) if isinstance(schema, Schema) else schema
    if definition is None and first.schema is None:
        raise RecordingError(f"{os.fspath(file)}: it has no module definition: expected one in `schema`")
    made = None if bindings is None else bindings_of(bindings)
    uri = "ws://recording"
    options = Options(
        protocols=PROTOCOLS,
        backoff=Backoff(),
        timeouts=PATIENT,
        prepare=None if made is None else partial(made.prepare, uri=uri, database=first.database),
    )
    core = RefusingConnection(Endpoint.parse(uri), first.database, options, chance=lambda: 0.0)
    return Replay(core, RecordedServer(core, chain([first], items), definition))
