"""Calls under way: what was asked, how far it got, and how its answer reads.

A call is known by its kind and request id together; the server only echoes ids, and answers out of order.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from .bsatn.codec import ParamsCodec
from .errors import (
    CallCancelled,
    CallError,
    CallTimeout,
    DecodeError,
    NotSent,
    OutcomeUnknown,
    QueryError,
    RemoteProtocolError,
)
from .events import Arguments
from .schema.model import Schema
from .states import CALL, CallInput, CallState, step
from .wire.messages import CallProcedure, CallReducer, ClientMessage, OneOffQuery

__all__ = ["Call", "CallKind", "Calls", "Encoded", "decode_arguments", "decode_returned", "encode_arguments"]

Encoded: TypeAlias = bytes | str
"""Arguments or a return value: BSATN, or JSON text where the protocol is v1.json."""


class CallKind(enum.Enum):
    """What a request id belongs to."""

    REDUCER = "reducer"
    PROCEDURE = "procedure"
    QUERY = "query"


_KINDS: Final[Mapping[type, CallKind]] = {
    CallReducer: CallKind.REDUCER,
    CallProcedure: CallKind.PROCEDURE,
    OneOffQuery: CallKind.QUERY,
}


@attrs.define
class Call:
    """One call of a reducer or procedure, or one one-off query.

    Attributes:
        kind: Which of them.
        request_id: What the wire calls it.
        name: Name of the function; text of the query.
        args: Its encoded arguments.
        deadline: When to wait no longer, on the clock that `handle_timeout` is called with.
        retry: Whether it is kept for the next link if this one is lost before it was sent.
        state: How far it has come.
    """

    kind: CallKind
    request_id: int
    name: str
    args: Encoded = b""
    deadline: float = math.inf
    retry: bool = False
    state: CallState = CallState.QUEUED

    @property
    def message(self) -> ClientMessage:
        """What asks the server for it."""
        match self.kind:
            case CallKind.REDUCER:
                return CallReducer(self.request_id, 0, self.name, self.args)
            case CallKind.PROCEDURE:
                return CallProcedure(self.request_id, 0, self.name, self.args)
            case CallKind.QUERY:
                return OneOffQuery(self.request_id, self.name)

    def step(self, event: CallInput) -> None:
        """Move on, as the table of legal transitions says."""
        self.state = step(CALL, self.state, event, f"{self.kind.value} call {self.name!r} ({self.request_id})")

    def lose(self) -> CallError | QueryError:
        """End the call because the connection ended, and say what that means for it."""
        self.step(CallInput.LOST)
        if self.kind is CallKind.QUERY:
            return QueryError("the connection ended before the query was answered")
        if self.state is CallState.UNSENT:
            return NotSent(f"{self.name}: the connection ended before the call was sent", function=self.name)
        return OutcomeUnknown(
            f"{self.name}: the connection ended before the answer; the call may have run", function=self.name
        )

    def give_up(self, error: type[CallTimeout | CallCancelled], why: str) -> CallError:
        """Wait no longer, and say what that means for it."""
        self.step(CallInput.GIVE_UP)
        sent = "it was not sent" if self.state is CallState.WITHDRAWN else "it was sent, and may still run"
        name = "" if self.kind is CallKind.QUERY else self.name
        return error(f"{name or 'query'}: {why}; {sent}", function=name)


class Calls:
    """The calls of one connection that have no answer yet, in the order they were made."""

    def __init__(self) -> None:
        self._calls: dict[tuple[CallKind, int], Call] = {}
        self._timed: dict[int, Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Expect an answer to this call."""
        self._calls[call.kind, call.request_id] = call
        if call.deadline < math.inf:
            self._timed[call.request_id] = call

    def waiting(self) -> list[Call]:
        """Those that have not been sent."""
        return [call for call in self._calls.values() if call.state is CallState.QUEUED]

    def next_deadline(self) -> float:
        """When the first of them has waited for too long."""
        return min((call.deadline for call in self._timed.values()), default=math.inf)

    def expire(self, now: float) -> list[tuple[Call, CallError]]:
        """Give those up that have waited for too long."""
        late = [call for call in self._timed.values() if call.deadline <= now]
        return [(call, self._give_up(call, CallTimeout, "no answer came in time")) for call in late]

    def cancel(self, request_id: int) -> tuple[Call, CallError] | None:
        """Give one up; None if it has its answer, or has been given up already."""
        for call in self._calls.values():
            if call.request_id == request_id and CallInput.GIVE_UP in CALL[call.state]:
                return call, self._give_up(call, CallCancelled, "it was cancelled")
        return None

    def _give_up(self, call: Call, error: type[CallTimeout | CallCancelled], why: str) -> CallError:
        outcome = call.give_up(error, why)
        self._timed.pop(call.request_id, None)
        if call.state is CallState.WITHDRAWN:
            del self._calls[call.kind, call.request_id]
        return outcome

    def taken(self, message: ClientMessage) -> None:
        """A message left; if it is a call, the call counts as sent."""
        kind = _KINDS.get(type(message))
        if kind is not None:
            self._calls[kind, message.request_id].step(CallInput.TAKEN)

    def under_way(self, kind: CallKind, request_id: int) -> Call:
        """The call that an answer is about. It goes on until `finish`, so that an answer that is refused ends no call.

        Raises:
            RemoteProtocolError: No such call waits for an answer.
        """
        call = self._calls.get((kind, request_id))
        if call is None or CallInput.ANSWER not in CALL[call.state]:
            raise RemoteProtocolError(f"answer to {kind.value} call {request_id}, which is not under way")
        return call

    def finish(self, call: Call) -> None:
        """The call's answer has been applied; there will be no other."""
        call.step(CallInput.ANSWER)
        del self._calls[call.kind, call.request_id]
        self._timed.pop(call.request_id, None)

    def find_reducer(self, request_id: int, name: str, args: Encoded) -> Call | None:
        """The reducer call that a v1 update answers, if it is one of these.

        A call that the server refused or could not start is answered with id 0: then the oldest equal call is meant.
        Where the server could not even read the arguments it sends none back, and the name has to do.
        """
        if request_id:
            return self._calls.get((CallKind.REDUCER, request_id))
        named = [c for c in self._calls.values() if c.kind is CallKind.REDUCER and c.name == name]
        return next((call for call in named if call.args == args), named[0] if named else None)

    def lose_all(self, *, for_good: bool) -> list[tuple[Call, CallError | QueryError]]:
        """End the calls because the connection ended, each with what that means for it.

        Those that were not sent and are to be tried again stay, unless there will be no other link; of those that were
        given up nothing is said again.
        """
        waiting = [] if for_good else [call for call in self.waiting() if call.retry]
        kept = {(call.kind, call.request_id): call for call in waiting}
        lost = [call for key, call in self._calls.items() if key not in kept]
        self._calls = kept
        self._timed = {call.request_id: call for call in kept.values() if call.deadline < math.inf}
        given_up = {call.request_id for call in lost if call.state is CallState.ABANDONED}
        return [(call, error) for call in lost if (error := call.lose()) and call.request_id not in given_up]


def encode_arguments(codec: ParamsCodec, args: Sequence[Any] | Mapping[str, Any], *, text: bool) -> Encoded:
    """Check and encode a call's arguments.

    Raises:
        EncodeError: An argument does not fit; names the parameter, the expected type and the value.
        TypeError: The wrong number of arguments, or unknown names.
    """
    return json.dumps(codec.to_json(args)) if text else codec.encode(args)


def decode_arguments(schema: Schema, reducer: str, args: Encoded) -> Arguments:
    """Read a reducer's arguments as they went over the wire.

    Arguments that do not fit the schema, which a server may well report back to whoever sent them, come as they are.
    """
    function = schema.reducers.get(reducer)
    if function is None:
        return Arguments((args,), ("args",))
    codec = schema.params_codec(function)
    try:
        values = codec.from_json(parse_json(args)) if isinstance(args, str) else codec.decode(args)
    except DecodeError:
        return Arguments((args,), ("args",))
    return Arguments(values, codec.names)


def decode_returned(schema: Schema, procedure: str, value: Encoded) -> object:
    """Read a procedure's return value; an unknown procedure's comes as it is.

    Raises:
        DecodeError: It is no value of the declared type.
    """
    function = schema.procedures.get(procedure)
    if function is None:
        return value
    codec = schema.return_codec(function)
    return codec.from_json(parse_json(value)) if isinstance(value, str) else codec.decode_exact(value)


def parse_json(text: str) -> object:
    """Parse JSON text.

    Raises:
        DecodeError: It is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected JSON, got {text[:40]!r}: {error}") from error
