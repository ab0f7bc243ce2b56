"""What a replayed session talks to: it says what a recorded server said, in bytes, and knows what was asked of it.

Nothing here waits or reads a clock: the time is that of the recording.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from spacetimedb_proto.connection import NORMAL, SENDABLE_CODES
from spacetimedb_proto.durable import DurableConnection, Need
from spacetimedb_proto.errors import LocalProtocolError, RecordingError, SpacetimeDBError
from spacetimedb_proto.events import NEED_DATA, Event
from spacetimedb_proto.frames import NO_STATUS, Frames
from spacetimedb_proto.handshake import accept_headers, is_upgrade
from spacetimedb_proto.http import HttpRequest, HttpServerExchange

from .recorded import Frame, Link

__all__ = ["RecordedServer", "RefusingConnection"]

_OF_THE_EXCHANGE: Final = frozenset({"connection", "content-length", "transfer-encoding"})


class RefusingConnection(DurableConnection):
    """A session that can be listened to, and not asked."""

    def subscribe(self, *_: Any, **__: Any) -> int:
        """Refuse."""
        raise LocalProtocolError("subscribe: a recording cannot be asked; what was subscribed to is in it")

    def unsubscribe(self, *_: Any, **__: Any) -> None:
        """Refuse."""
        raise LocalProtocolError("unsubscribe: a recording cannot be asked")

    def call_reducer(self, name: str, *_: Any, **__: Any) -> int:
        """Refuse."""
        raise LocalProtocolError(f"{name}: a recording cannot be asked")

    call_procedure = call_reducer

    def query(self, *_: Any, **__: Any) -> int:
        """Refuse."""
        raise LocalProtocolError("query: a recording cannot be asked")


class RecordedServer:
    """The other end of a session, and the hands of the client that was recorded.

    Args:
        core: The session.
        items: What was recorded.
        schema: The module's definition, where the recording has none.

    Attributes:
        now: Where the recording stands, in seconds since its beginning.
    """

    def __init__(
        self, core: DurableConnection, items: Iterator[Link | Frame], schema: Mapping[str, Any] | None
    ) -> None:
        self._core = core
        self._items = items
        self._schema = schema
        self._next: Link | Frame | None = next(items, None)
        self._exchange = HttpServerExchange()
        self._frames: Frames | None = None
        self._accepted = 0
        self._early: list[bytes | str] = []
        self._has_closed = False
        self.now = 0.0

    @property
    def next_at(self) -> float | None:
        """When the next line passed; None at the end."""
        return None if self._next is None else self._next.at

    def stop(self) -> None:
        """Say no more."""
        self._items, self._next = iter(()), None

    def ends_with(self, code: int) -> bool:
        """Whether the recorded session ended where the replayed one has, so that it was no other than this.

        Nothing else is left then than what its client had not read any more, and the Close frame with which it left.
        What is left of the link is passed over.
        """
        if self._next is None:
            return True
        while isinstance(frame := self._next, Frame):
            self._next = next(self._items, None)
            if frame.sender == "client" and frame.op == "close":
                return self._next is None and code == (NO_STATUS if frame.code is None else frame.code)
        return False

    def complaint(self, error: SpacetimeDBError) -> RecordingError:
        """What is to be raised where the session dies of what the recording holds, and the recorded one did not."""
        where = f"before {self.now:.3f} s"
        return RecordingError(
            f"expected the whole recording of a session, got one in which something is missing or was changed {where}, "
            f"or another schema: {error}"
        )

    def next_event(self, until: float = math.inf) -> Event | None:
        """What happened next, up to that time of the recording; None if nothing did.

        Raises:
            RecordingError: A line is broken, or the client says what no client could say.
        """
        while True:
            event = self._core.next_event()
            if self._early and self._core.links == self._accepted:
                early, self._early = self._early, []
                for payload in early:
                    self._observe(payload)
            if event is not NEED_DATA:
                return event
            if not self._go_on(until):
                return None

    def _go_on(self, until: float) -> bool:
        """Do what the session needs next; returns whether there was anything to do."""
        match self._core.need:
            case Need.TOKEN:
                self._core.token_is(None)
            case Need.LINK | Need.TIME:
                return self._begin(until)
            case Need.BYTES:
                return self._answer() or self._play(until)
            case Need.NOTHING:
                return False
        return True

    # --- links --------------------------------------------------------------------------------------------------------

    def _begin(self, until: float) -> bool:
        """Go on to the next link, if it is due. What is left of the one before is passed over."""
        while isinstance(self._next, Frame):
            self._next = next(self._items, None)
        if self._next is None:
            self._core.abandon("the recording ends here")
        elif self._next.at > until:
            return False
        elif self._core.need is Need.TIME:
            self._core.handle_timeout(self._core.next_deadline() or 0.0)
        else:
            self._schema = self._next.schema or self._schema
            self._exchange, self._frames, self._has_closed = HttpServerExchange(), None, False
            self._core.link_opened(self.now)
        return True

    def _answer(self) -> bool:
        """Take what the session sends, and answer its requests over HTTP; returns whether there was one."""
        data = self._core.data_to_send()
        if self._frames is not None or not data:
            return False  # what a session says of its own accord is in the recording, too
        self._exchange.receive_data(data)
        request = self._exchange.next_event()
        if request is not NEED_DATA:
            if is_upgrade(request):
                self._shake_hands(request)
            else:
                self._exchange.respond(200, body=json.dumps(self._schema).encode())
            self._core.receive_data(self._exchange.data_to_send())
        return True

    def _shake_hands(self, request: HttpRequest) -> None:
        link = self._take()
        assert isinstance(link, Link)
        if link.status == 101:
            self._exchange.switch(accept_headers(request, link.protocol))
            self._frames = Frames(is_client=False, limit=0)
            self._accepted += 1
        else:
            headers = [(name, value) for name, value in link.headers if name.lower() not in _OF_THE_EXCHANGE]
            self._exchange.respond(link.status, headers, link.body)

    # --- frames -------------------------------------------------------------------------------------------------------

    def _play(self, until: float) -> bool:
        if not isinstance(self._next, Frame):
            self._core.receive_eof("the recording says no more of it")
            return True
        if self._next.at > until:
            return False
        frame = self._take()
        assert isinstance(frame, Frame)
        (self._server_says if frame.sender == "server" else self._client_says)(frame)
        return True

    def _server_says(self, frame: Frame) -> None:
        if frame.payload is not None and self._frames is not None:
            self._core.receive_data(self._frames.message(frame.payload))
        elif frame.op == "close":
            self._has_closed = True
            body = b"" if frame.code is None else frame.code.to_bytes(2, "big") + frame.reason.encode()
            self._core.receive_data(bytes([0x88, len(body)]) + body)

    def _client_says(self, frame: Frame) -> None:
        if frame.payload is not None:
            if self._core.links == self._accepted:
                self._observe(frame.payload)
            else:  # before the greeting
                self._early.append(frame.payload)
        elif frame.op == "close" and not self._has_closed:
            code = NORMAL if frame.code is None else frame.code
            self._core.close(code if code in SENDABLE_CODES else NORMAL, frame.reason)

    def _observe(self, payload: bytes | str) -> None:
        try:
            self._core.session.observe(payload)
        except LocalProtocolError as error:
            raise self.complaint(error) from error

    def _take(self) -> Link | Frame:
        item, self._next = self._next, next(self._items, None)
        assert item is not None
        self.now = item.at
        return item
