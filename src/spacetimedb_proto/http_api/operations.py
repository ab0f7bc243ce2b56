"""Each operation of the HTTP API: its request, and how its answer is read (protocol reference, 5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs

from ..bsatn.values import Identity
from ..errors import ConnectError, DecodeError, LocalProtocolError, RemoteProtocolError, SchemaError, SpacetimeDBError
from ..handshake import bearer
from ..http import HttpRequest, HttpResponse
from ..limits import Limits
from ..schema import Function, Schema, load_schema
from ..uri import Endpoint
from . import results
from .failures import call_failure, failure, query_failure, server_failure
from .logs import LogLine, LogReader
from .results import CallResult, DatabaseInfo, NewIdentity, Published, PublishPlan, parsed, reading
from .statements import SqlAnswer

__all__ = ["Api", "Operation"]

T = TypeVar("T")

USER_AGENT: Final = "spacetimedb-sdk-python"

_BYTES: Final = ("content-type", "application/octet-stream")

Fail = Callable[[HttpResponse, "str | None"], SpacetimeDBError]


@attrs.frozen
class Operation(Generic[T]):
    """Something to ask, and how to read what comes back.

    Attributes:
        what: What it is, in words, for errors.
        request: The request, without a token.
        result: Reads an answer of one of `statuses`.
        fail: The error that another answer means.
        statuses: Statuses of good answers.
        acts: Whether the server does it in somebody's name, so that asking without a token would make a new identity.
        function: Name of the reducer or procedure that it calls; empty for other operations.
    """

    what: str
    request: HttpRequest
    result: Callable[[HttpResponse], T] = attrs.field(repr=False)
    fail: Fail = attrs.field(default=failure, repr=False)
    statuses: Sequence[int] = (200,)
    acts: bool = True
    function: str = ""

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be done twice without harm, since it only reads."""
        return self.request.method == "GET"

    def with_token(self, token: str | None) -> HttpRequest:
        """The request, with a token.

        Raises:
            AuthenticationError: The token cannot be sent.
        """
        if token is None:
            return self.request
        headers = (*self.request.headers, ("authorization", bearer(token)))
        return attrs.evolve(self.request, headers=headers)

    def read(self, response: HttpResponse, token: str | None = None) -> T:
        """What an answer means.

        Args:
            response: The answer.
            token: The token that was sent, so that no message shows it.

        Raises:
            SpacetimeDBError: What the server refused, or that the answer cannot be understood.
        """
        if response.status not in self.statuses:
            raise self.fail(response, token)
        return self.result(response)


class Api:
    """Makes the operations of one server and one of its databases.

    Args:
        endpoint: The server.
        database: Name or identity of the database; None where none is needed.
        limits: What answers may cost.
    """

    def __init__(self, endpoint: Endpoint, database: str | None = None, limits: Limits | None = None) -> None:
        self.endpoint = endpoint
        self.database = database
        self.limits = limits or Limits()

    # --- the server and identities ------------------------------------------------------------------------------------

    def ping(self) -> Operation[None]:
        """Whether the server answers; a token that is sent is checked."""
        return Operation("ping", self._request("GET", "ping"), _nothing, server_failure, acts=False)

    def create_identity(self) -> Operation[NewIdentity]:
        """A new identity, and the only token for it."""
        read = partial(reading, "a new identity", results.read_new_identity)
        return Operation("a new identity", self._request("POST", "identity"), read, server_failure, acts=False)

    def verify_identity(self, identity: Identity) -> Operation[bool]:
        """Whether the token that is sent is this identity's."""
        request = self._request("GET", "identity", identity.hex(), "verify")
        return Operation("verification", request, _is_match, server_failure, statuses=(204, 400))

    def databases_of(self, identity: Identity) -> Operation[tuple[Identity, ...]]:
        """The databases that an identity owns."""
        request = self._request("GET", "identity", identity.hex(), "databases")
        read = partial(reading, "databases", results.read_identities)
        return Operation("databases", request, read, server_failure, acts=False)

    def websocket_token(self) -> Operation[str]:
        """A token that lives for a minute, for the address of a WebSocket."""
        request = self._request("POST", "identity", "websocket-token")
        return Operation("a websocket token", request, partial(reading, "a token", results.read_token), server_failure)

    def public_key(self) -> Operation[str]:
        """The key that the server signs tokens with, as PEM."""
        request = self._request("GET", "identity", "public-key")
        return Operation("the public key", request, _text, server_failure, acts=False)

    # --- the database -------------------------------------------------------------------------------------------------

    def info(self) -> Operation[DatabaseInfo]:
        """What the database is."""
        read = partial(reading, "the database", results.read_database)
        return Operation("the database", self._of_database("GET"), read, acts=False)

    def database_identity(self) -> Operation[Identity]:
        """The identity behind the database's name."""
        what = "the database's identity"
        return Operation(what, self._of_database("GET", "identity"), partial(_identity, what), acts=False)

    def names(self) -> Operation[tuple[str, ...]]:
        """The names of the database."""
        read = partial(reading, "names", results.read_names)
        return Operation("names", self._of_database("GET", "names"), read, acts=False)

    def schema(self, version: int) -> Operation[Schema | None]:
        """The module definition in a layout, 9 or 10; None from a server that does not know it."""
        request = self._of_database("GET", "schema", params={"version": str(version)})
        return Operation("the schema", request, self._read_schema, statuses=(200, 400), acts=False)

    def publish(
        self,
        program: bytes,
        *,
        clear: bool = False,
        host_type: str | None = None,
        break_clients: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Operation[Published]:
        """Make the database run a program, and the database itself if there is none.

        Args:
            program: WebAssembly or JavaScript.
            clear: Whether to drop all rows.
            host_type: `Wasm` or `Js`; None leaves it to the server, which takes it for WebAssembly.
            break_clients: The token of a plan that ends present clients; None for a program that must not.
            options: Others of the protocol reference, 5, as they are in the address.
        """
        params = dict(options or {})
        if clear:
            params["clear"] = "true"
        if break_clients is not None:
            params |= {"policy": "BreakClients", "token": break_clients}
        if host_type is not None:
            params["host_type"] = host_type
        request = self._of_database("PUT", params=params, body=program, headers=(_BYTES,))
        return Operation("publish", request, partial(reading, "publish", results.read_published))

    def plan_publish(self, program: bytes, *, host_type: str | None = None) -> Operation[PublishPlan]:
        """What publishing a program would do; nothing is changed.

        Args:
            program: WebAssembly or JavaScript.
            host_type: As for `publish`.
        """
        params = {"style": "NoColor"}
        if host_type is not None:
            params["host_type"] = host_type
        request = self._of_database("POST", "pre_publish", params=params, body=program, headers=(_BYTES,))
        return Operation("the plan to publish", request, partial(reading, "the plan", results.read_plan))

    def add_name(self, name: str) -> Operation[None]:
        """Give the database another name beside those it has."""
        content = ("content-type", "text/plain; charset=utf-8")
        request = self._of_database("POST", "names", body=name.encode(), headers=(content,))
        return Operation("a name", request, partial(reading, "a name", results.read_named))

    def set_names(self, names: Sequence[str]) -> Operation[None]:
        """Give the database these names and no others."""
        body = json.dumps(list(names), ensure_ascii=False).encode()
        request = self._of_database("PUT", "names", body=body, headers=(("content-type", "application/json"),))
        return Operation("names", request, partial(reading, "names", results.read_renamed))

    def delete(self) -> Operation[None]:
        """Delete the database and all its rows."""
        return Operation("delete", self._of_database("DELETE"), _nothing)

    def logs(self, lines: int | None = None, *, follow: bool = False) -> Operation[list[LogLine]]:
        """The last lines of the log.

        Args:
            lines: How many; None for all that the server still has.
            follow: Whether the answer goes on with new lines for ever. Then it is not to be read as a whole.
        """
        params = {} if lines is None else {"num_lines": str(lines)}
        if follow:
            params["follow"] = "true"
        return Operation("logs", self._of_database("GET", "logs", params=params), _log_lines)

    # --- SQL and calls ------------------------------------------------------------------------------------------------

    def sql(self, statement: str, *, confirmed: bool | None = None) -> Operation[SqlAnswer]:
        """Run one SQL statement.

        Args:
            statement: One; the server refuses several.
            confirmed: Whether to wait until what it sees or does is durable; None leaves that to the server.
        """
        params = {} if confirmed is None else {"confirmed": str(confirmed).lower()}
        content = ("content-type", "text/plain; charset=utf-8")
        try:
            body = statement.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("sql: expected text without lone surrogates") from None
        request = self._of_database("POST", "sql", params=params, body=body, headers=(content,))
        return Operation("sql", request, lambda response: SqlAnswer.read(response, self.limits), query_failure)

    def call(self, schema: Schema, function: Function, args: Sequence[Any] | Mapping[str, Any]) -> Operation[Any]:
        """Call a reducer or a procedure: the result is a `CallResult`, or what the procedure returned.

        Raises:
            EncodeError: An argument does not fit its parameter.
            TypeError: The wrong number of arguments, or unknown names.
        """
        body = json.dumps(
            schema.params_codec(function).to_json(args), ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        # Exactly so: with a charset behind it the server refuses it (protocol reference, trap 46).
        content = ("content-type", "application/json")
        request = self._of_database("POST", "call", function.name, body=body.encode(), headers=(content,))
        fail = partial(call_failure, function=function.name, is_procedure=function.is_procedure)
        if function.is_procedure:
            result: Callable[[HttpResponse], Any] = partial(_returned, schema, function)
            return Operation(f"procedure {function.name}", request, result, fail, function=function.name)
        result = partial(CallResult.of, function=function.name)
        return Operation(f"reducer {function.name}", request, result, fail, function=function.name)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _of_database(
        self,
        method: str,
        *segments: str,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
    ) -> HttpRequest:
        if self.database is None:
            raise LocalProtocolError("expected a client of a database, got one that was made without")
        return self._request(method, "database", self.database, *segments, params=params, body=body, headers=headers)

    def _request(
        self,
        method: str,
        *segments: str,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
    ) -> HttpRequest:
        target = self.endpoint.target(*segments, params=params or None)
        own = (("host", self.endpoint.host_header), ("user-agent", USER_AGENT), *headers)
        return HttpRequest(method, target, own, body)

    def _read_schema(self, response: HttpResponse) -> Schema | None:
        if response.status == 400:
            return None
        try:
            return load_schema(response.body, limits=self.limits)
        except SchemaError as error:
            raise ConnectError(f"the server's schema cannot be understood: {error}", status=200) from error


def _nothing(_response: HttpResponse) -> None:
    """The status has said it all."""


def _is_match(response: HttpResponse) -> bool:
    return response.status == 204


def _text(response: HttpResponse) -> str:
    return response.body.decode("utf-8", "replace")


def _identity(what: str, response: HttpResponse) -> Identity:
    try:
        return Identity.from_hex(_text(response).strip())
    except DecodeError as error:
        raise RemoteProtocolError(f"{what}: {error}") from error


def _log_lines(response: HttpResponse) -> list[LogLine]:
    reader = LogReader()
    return [*reader.receive_data(response.body), *reader.receive_data(b"")]


def _returned(schema: Schema, procedure: Function, response: HttpResponse) -> Any:
    try:
        return schema.return_codec(procedure).from_json(parsed(response.body))
    except DecodeError as error:
        raise RemoteProtocolError(f"{procedure.name}: what it returned cannot be understood: {error}") from error
