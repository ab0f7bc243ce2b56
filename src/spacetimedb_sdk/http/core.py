"""What both clients do, without waiting for anything: a *flow* says what it needs, and is told when it is there.

A flow is a generator. It yields an `Exchange`, `Open`, `AskToken`, `Pause` or `Alone`, and a client sends back what
came of it; its return value is the result. So the order of things, the tokens, the repetitions and the errors stand
here once, and a client only knows how to wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import attrs

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.types import Product
from spacetimedb_proto.errors import (
    CallTimeout,
    ConnectError,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    RemoteProtocolError,
    SpacetimeDBError,
)
from spacetimedb_proto.http import HttpRequest, HttpResponse
from spacetimedb_proto.http_api import Api, CallResult, Operation, table_of
from spacetimedb_proto.jwt import needs_refresh
from spacetimedb_proto.schema import Function, Schema
from spacetimedb_transports.http_links import Unanswered

from ..token_keeper import TokenKeeper, refusal
from .rows import SqlResult

__all__ = ["Alone", "AskToken", "Core", "Effect", "Exchange", "Flow", "Open", "Pause", "Reply"]

T = TypeVar("T")


@attrs.frozen
class Exchange:
    """A request is to be sent and answered; comes back as an `HttpResponse` or `Unanswered`."""

    request: HttpRequest
    fresh: bool = False


@attrs.frozen
class Open:
    """A request is to be sent whose body is read while it comes; comes back as a stream, or as for `Exchange`."""

    request: HttpRequest


@attrs.frozen
class AskToken:
    """The keeper is to be asked for a token; comes back as one or None."""


@attrs.frozen
class Pause:
    """Time is to pass."""

    seconds: float


@attrs.frozen
class Alone:
    """A flow is to be run while no other of the same name is."""

    name: Literal["token", "schema"]
    flow: Flow[None]


class _Opened(Protocol):
    """A stream of either client."""

    @property
    def head(self) -> HttpResponse: ...


Effect: TypeAlias = Exchange | Open | AskToken | Pause | Alone
Reply: TypeAlias = Any
Flow: TypeAlias = Generator[Effect, Reply, T]

_MOST_UNKNOWN = 1000


class Core:
    """One server and perhaps one of its databases, as a client sees them.

    Args:
        api: Makes the operations.
        keeper: Decides about tokens.
        retry: When to try again what cannot have been executed; None for never.
        clock: Seconds since 1970.
        chance: A random number from 0 to 1.
    """

    def __init__(
        self,
        api: Api,
        keeper: TokenKeeper,
        retry: Backoff | None = None,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.api = api
        self.keeper = keeper
        self._retry = retry
        self._clock = clock
        self._chance = chance
        self._token: str | None = None
        self._schema: Schema | None = None
        self._own_rows: set[tuple[str, Product]] = set()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._is_closed

    def close(self) -> None:
        """Ask for nothing more. What was asked for before is still answered."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise LocalProtocolError("the client was closed: make another one to ask more")

    # --- operations of several steps ----------------------------------------------------------------------------------

    def do(self, operation: Operation[T]) -> Flow[T]:
        """Do what one request does."""
        response, token = yield from self._answered(operation, Exchange)
        return operation.read(response, token)

    def open(self, operation: Operation[Any]) -> Flow[Any]:
        """Send a request whose answer goes on, and give its stream."""
        outcome, token = yield from self._answered(operation, Open)
        if isinstance(outcome, HttpResponse):
            raise operation.fail(outcome, token)
        return outcome

    def schema(self, *, refresh: bool = False) -> Flow[Schema]:
        """The module definition, which is asked for once unless it is to be fresh."""
        known = self._schema
        if known is None or refresh:
            yield Alone("schema", self._fetch_schema(known))
        assert self._schema is not None
        return self._schema

    def sql(self, statement: str, *, confirmed: bool | None = None) -> Flow[SqlResult]:
        """Run a statement. Rows of a table are of its class, for which the schema is asked for before."""
        table = table_of(statement)
        schema = None if table is None else (yield from self.schema())
        answer = yield from self.do(self.api.sql(statement, confirmed=confirmed))
        if schema is None or table is None:
            return SqlResult.of(answer.result())
        key = table, answer.product
        fits = answer.fits(schema, table)
        if not fits and key not in self._own_rows:
            schema = yield from self.schema(refresh=True)  # the module may have been published anew
            fits = answer.fits(schema, table)
        if fits:
            return SqlResult.of(answer.result(schema, table))
        if len(self._own_rows) < _MOST_UNKNOWN:
            self._own_rows.add(key)
        return SqlResult.of(answer.result())

    def reducer(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Flow[CallResult]:
        """Call a reducer."""
        result: CallResult = yield from self._call(name, args, kwargs, is_procedure=False)
        return result

    def procedure(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Flow[Any]:
        """Call a procedure, for what it returns."""
        return (yield from self._call(name, args, kwargs, is_procedure=True))

    def _call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, is_procedure: bool) -> Flow[Any]:
        """Call a function; one that is not known may have come with another version of the module."""
        schema = yield from self.schema()
        function = _function(schema, name, is_procedure=is_procedure)
        if function is None:
            schema = yield from self.schema(refresh=True)
            function = _function(schema, name, is_procedure=is_procedure)
        if function is None:
            raise _unknown_function(schema, name, is_procedure=is_procedure)
        arranged = schema.params_codec(function).arrange(args, kwargs)
        return (yield from self.do(self.api.call(schema, function, arranged)))

    def _fetch_schema(self, known: Schema | None) -> Flow[None]:
        if self._schema is not known:  # somebody else has done it meanwhile
            return
        for version in (10, 9):
            found = yield from self.do(self.api.schema(version))
            if found is not None:
                self._schema = found
                return
        raise ConnectError("the server gives its schema in a layout that this SDK does not know", status=400)

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _answered(self, operation: Operation[Any], effect: type[Exchange | Open]) -> Flow[tuple[Any, str | None]]:
        """The answer, whatever its status but 401, and the token that was sent. A refused one is asked for anew, once.

        Raises:
            AuthenticationError: The token was refused (401).
        """
        self._check_open()
        token = yield from self._credentials(needed=operation.acts)
        outcome = yield from self._sent(operation, token, effect)
        if _status(outcome) == 401 and token is not None and self._may_renew(token):
            token = yield from self._credentials(needed=operation.acts)
            outcome = yield from self._sent(operation, token, effect)
        if _status(outcome) == 401 and token is not None:
            raise refusal(operation.fail(outcome, token), self.keeper.origin)
        if token is not None:
            self.keeper.issued(token)
        return outcome, token

    def _credentials(self, *, needed: bool) -> Flow[str | None]:
        """The token to send. Where there is none and one is needed, a new identity is made, once for the client."""
        if self._token is None or needs_refresh(self._token, self._clock()):
            yield Alone("token", self._fetch_token(needed=needed))
        return self._token

    def _fetch_token(self, *, needed: bool) -> Flow[None]:
        if self._token is not None and not needs_refresh(self._token, self._clock()):
            return  # somebody else has done it meanwhile
        token = yield AskToken()
        if token is None and needed:
            # Otherwise the server makes one for each request, and throws it away (protocol reference, trap 45).
            operation = self.api.create_identity()
            token = operation.read((yield from self._sent(operation, None, Exchange))).token
            self.keeper.issued(token)
        self._token = token

    def _may_renew(self, refused: str) -> bool:
        if self._token == refused and self.keeper.refused():
            self._token = None
        return self._token != refused

    # --- requests -----------------------------------------------------------------------------------------------------

    def _sent(self, operation: Operation[Any], token: str | None, effect: type[Exchange | Open]) -> Flow[Any]:
        """The answer to a request, which is sent again only where it cannot have been executed, or only reads."""
        request = operation.with_token(token)
        outcome = yield effect(request)
        attempt = 0
        while isinstance(outcome, Unanswered):
            if outcome.was_reused and operation.is_repeatable:
                outcome = yield Exchange(request, fresh=True)
                continue
            attempt += 1
            if not self._is_tried_again(outcome, attempt):
                raise _unanswered(operation, outcome) from outcome.cause
            assert self._retry is not None
            yield Pause(self._retry.delay(attempt, self._chance()))
            self._check_open()
            outcome = yield effect(request)
        return outcome

    def _is_tried_again(self, outcome: Unanswered, attempt: int) -> bool:
        if self._retry is None or outcome.was_sent:
            return False
        return self._retry.attempts is None or attempt <= self._retry.attempts


def _status(outcome: HttpResponse | _Opened) -> int:
    return outcome.status if isinstance(outcome, HttpResponse) else outcome.head.status


def _function(schema: Schema, name: str, *, is_procedure: bool) -> Function | None:
    return schema.resolve_procedure(name) if is_procedure else schema.resolve_reducer(name)


def _unknown_function(schema: Schema, name: str, *, is_procedure: bool) -> LocalProtocolError:
    kind, functions = ("procedure", schema.procedures) if is_procedure else ("reducer", schema.reducers)
    other = _function(schema, name, is_procedure=not is_procedure)
    if other is not None and other.is_callable:
        told = "a reducer, so use call()" if is_procedure else "a procedure, so use procedure()"
        return LocalProtocolError(f"no {kind} {name!r} in the schema: it is {told}")
    known = ", ".join(each.name for each in functions.values() if each.is_callable) or "none"
    return LocalProtocolError(f"no {kind} {name!r} in the schema; there are: {known}")


def _unanswered(operation: Operation[Any], outcome: Unanswered) -> SpacetimeDBError:
    """The error that there is no answer, by what that means for who has asked."""
    name, what = operation.function, operation.what
    if not outcome.was_sent:
        if not name:
            return ConnectError(f"{what}: {outcome.reason}")
        kind = CallTimeout if outcome.is_timeout else NotSent
        return kind(f"{what}: not sent: {outcome.reason}", function=name)
    if operation.is_repeatable:
        if outcome.is_timeout:
            return CallTimeout(f"{what}: {outcome.reason}", function=name)
        if isinstance(outcome.cause, RemoteProtocolError):
            return RemoteProtocolError(f"{what}: {outcome.reason}")
        return ConnectError(f"{what}: {outcome.reason}")
    lost = CallTimeout if outcome.is_timeout else OutcomeUnknown
    return lost(f"{what}: it was sent and may have been done: {outcome.reason}", function=name)
