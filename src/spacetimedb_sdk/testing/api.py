"""The HTTP API: what each route answers (protocol reference, 5).

Statuses and texts are the real server's. A site has one database, which nobody publishes over HTTP.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.errors import ConnectionRefused
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.schema import dump_schema

from .database import Client, Database
from .functions import Failure, Fault
from .requests import Answer, Headers, Refusal, check_method, header_of, target_of, text_of
from .site import Credentials, Site
from .sql import SqlError

__all__ = ["answer"]

_IDENTITY: Final = re.compile("[0-9a-fA-F]{64}")
logger = logging.getLogger("spacetimedb_sdk.testing")

_ANY_ORIGIN: Final[Headers] = (
    ("access-control-allow-methods", "*"),
    ("access-control-allow-headers", "authorization,accept,content-type"),
)
"""What browsers ask before they send a request from a page of another origin."""

_BAD_QUERY: Final = "Failed to deserialize query string"

_UNSUPPORTED: Final = "not supported by the testing server"
_NO_PUBLISHING: Final = f"publishing over HTTP is {_UNSUPPORTED}: `server.republish(module)` serves another version"
_NO_NAMES: Final = f"giving names is {_UNSUPPORTED}: a database has that of its module"
_NO_DELETING: Final = (
    f"deleting a database is {_UNSUPPORTED}: `server.restart(keep_rows=False)` empties it, `server.stop()` ends it"
)

_NOT_SERVED: Final[Mapping[tuple[str, str], str]] = {
    ("PUT", ""): _NO_PUBLISHING,
    ("POST", "pre_publish"): _NO_PUBLISHING,
    ("DELETE", ""): _NO_DELETING,
    ("POST", "names"): _NO_NAMES,
    ("PUT", "names"): _NO_NAMES,
}
"""Why a method of a database's route does nothing here, and what does it: an empty answer would look like a mistake."""

REDUCER_FAILED: Final = 530
"""The status of a call whose reducer raised; no standard one."""

_CALL_STATUS: Final[Mapping[Fault, int]] = {
    Fault.MISSING: HTTPStatus.NOT_FOUND,
    Fault.UNCALLABLE: HTTPStatus.BAD_REQUEST,
    Fault.ARGUMENTS: HTTPStatus.BAD_REQUEST,
    Fault.REFUSED: REDUCER_FAILED,
    Fault.FATAL: REDUCER_FAILED,
}


def answer(site: Site, request: HttpRequest) -> tuple[Answer, Headers]:
    """Answer anything that is no handshake; the headers tell whom a database took the caller for."""
    try:
        path, params = target_of(request)
        match path:
            case ["v1", *_] if request.method == "OPTIONS":
                return Answer(HTTPStatus.OK, more_headers=_ANY_ORIGIN), []
            case ["v1", "ping"]:
                check_method(request, "GET")
                site.authenticate(request, params)
                return Answer(HTTPStatus.OK), []
            case ["v1", "identity", *rest]:
                return _identity(site, request, rest, params), []
            case ["v1", "database"]:
                check_method(request, "POST")
                return Answer(HTTPStatus.NOT_IMPLEMENTED, _NO_PUBLISHING.encode()), []
            case ["v1", "database", name, *rest]:
                return _database(site, request, name, rest, params)
            case _:
                return Answer(HTTPStatus.NOT_FOUND), []
    except Refusal as refusal:
        return refusal.answer, []
    except Exception:
        logger.exception("%s %s: no answer", request.method, request.target.partition("?")[0])
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR), []


# --- identities -------------------------------------------------------------------------------------------------------


def _identity(site: Site, request: HttpRequest, rest: list[str], params: Mapping[str, str]) -> Answer:
    match rest:
        case []:
            check_method(request, "POST")
            new = site.newcomer()
            return Answer.json({"identity": new.identity.hex(), "token": new.token})
        case ["websocket-token"]:
            check_method(request, "POST")
            return Answer.json({"token": site.short_token(_known(site, request, params))})
        case ["public-key"]:
            check_method(request, "GET")
            text = "the testing server signs its tokens with a secret, so there is no public key"
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, text)
        case [identity, "verify"]:
            check_method(request, "GET")
            is_theirs = _known(site, request, params).identity.hex() == _checked(identity)
            return Answer(HTTPStatus.NO_CONTENT if is_theirs else HTTPStatus.BAD_REQUEST)
        case [identity, "databases"]:
            check_method(request, "GET")
            is_owner = site.database.owner_identity.hex() == _checked(identity)
            return Answer.json({"identities": [site.database.identity.hex()] if is_owner else []})
        case _:
            return Answer(HTTPStatus.NOT_FOUND)


def _known(site: Site, request: HttpRequest, params: Mapping[str, str]) -> Credentials:
    """Who sent a request that nobody may send without a token."""
    if header_of(request, "authorization") is None:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "Authorization required")
    return site.authenticate(request, params)


def _checked(identity: str) -> str:
    if _IDENTITY.fullmatch(identity) is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Invalid URL: expected an identity, 64 hexadecimal digits")
    return identity.lower()


# --- the database -----------------------------------------------------------------------------------------------------


def _database(
    site: Site, request: HttpRequest, name: str, rest: list[str], params: Mapping[str, str]
) -> tuple[Answer, Headers]:
    credentials: Credentials | None = None
    try:
        credentials = site.authenticate(request, params)
        return _DatabaseRoutes(site, request, credentials, params).answer(name, rest), credentials.headers
    except Refusal as refusal:
        return refusal.answer, credentials.headers if credentials else []


class _DatabaseRoutes:
    """The routes of a database, for one request."""

    def __init__(self, site: Site, request: HttpRequest, credentials: Credentials, params: Mapping[str, str]) -> None:
        self._site = site
        self._request = request
        self._credentials = credentials
        self._params = params
        self._database: Database = site.database

    def answer(self, name: str, rest: list[str]) -> Answer:
        unsupported = _NOT_SERVED.get((self._request.method, "/".join(rest)))
        if unsupported is not None:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, unsupported)
        match rest:
            case ["subscribe"]:
                check_method(self._request, "GET")
                return self._no_upgrade()
            case ["call", function]:
                check_method(self._request, "POST")
                return self._call(name, function)
            case ["sql"]:
                check_method(self._request, "POST")
                self._site.check_database(name, HTTPStatus.NOT_FOUND)
                return self._sql()
            case [] | [str()] | ["unstable", "timestamp"]:
                return self._get(name, "/".join(rest))
            case _:
                return Answer(HTTPStatus.NOT_FOUND)

    def _get(self, name: str, what: str) -> Answer:
        routes = {
            "": self._info,
            "identity": lambda: Answer(HTTPStatus.OK, self._database.identity.hex().encode()),
            "names": lambda: Answer.json({"names": [self._database.name]}),
            "schema": self._schema,
            "logs": self._logs,
            "unstable/timestamp": self._timestamp,
        }
        if what not in routes:
            return Answer(HTTPStatus.NOT_FOUND)
        check_method(self._request, "GET")
        self._site.check_database(name, HTTPStatus.NOT_FOUND)
        return routes[what]()

    def _no_upgrade(self) -> Answer:
        """Why a request for the subscribe route is no handshake (protocol reference, 1.5, row 5)."""
        if (header_of(self._request, "upgrade") or "").lower() != "websocket":
            raise Refusal(HTTPStatus.UPGRADE_REQUIRED, "This service requires use of the websocket protocol")
        raise Refusal(HTTPStatus.BAD_REQUEST, "malformed WebSocket handshake")

    # --- what it is ---------------------------------------------------------------------------------------------------

    def _info(self) -> Answer:
        return Answer.json(
            {
                "database_identity": {"__identity__": f"0x{self._database.identity.hex()}"},
                "owner_identity": {"__identity__": f"0x{self._database.owner_identity.hex()}"},
                "host_type": {"Wasm": []},
                "initial_program": f"0x{self._database.schema.hash}",
            }
        )

    def _timestamp(self) -> Answer:
        return Answer.json({"__timestamp_micros_since_unix_epoch__": self._database.clock().micros})

    def _schema(self) -> Answer:
        match self._params.get("version"):
            case "9":
                return Answer.json(dump_schema(self._database.schema, 9))
            case "10":
                return Answer.json(dump_schema(self._database.schema, 10))
            case None:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"{_BAD_QUERY}: missing field `version`")
            case other:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"{_BAD_QUERY}: unknown variant `{other}`, expected `9` or `10`")

    def _logs(self) -> Answer:
        count, follows = self._params.get("num_lines"), self._params.get("follow", "false")
        if count is not None and not (count.isascii() and count.isdecimal()):
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{_BAD_QUERY}: num_lines: invalid digit found in string")
        _check_bool("follow", follows)
        identity = self._credentials.identity
        if not self._database.is_owner(identity):
            action = f"not authorized to perform action on database {self._database.identity.hex()}"
            raise Refusal(HTTPStatus.FORBIDDEN, f"{identity.hex()} is {action}: view module logs")
        log = self._database.log
        body = log.text(None if count is None else int(count[:9])).encode("utf-8", errors="replace")
        followed = log if follows == "true" else None
        return Answer(HTTPStatus.OK, body, "application/x-ndjson", [("cache-control", "no-cache")], followed)

    # --- what it does -------------------------------------------------------------------------------------------------

    @contextmanager
    def _visit(self) -> Generator[Client]:
        """A client for the time of one request: the module is told of its coming and going."""
        site, who = self._site, self._credentials
        try:
            client = self._database.connect(who.identity, site.new_connection_id(), who.token, _deaf)
        except ConnectionRefused as error:
            raise Refusal(HTTPStatus.FORBIDDEN, str(error)) from error
        try:
            yield client
        finally:
            self._database.disconnect(client)

    def _call(self, name: str, function: str) -> Answer:
        content_type = header_of(self._request, "content-type")
        if content_type is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Header of type `content-type` was missing")
        args = text_of(self._request)
        if content_type != "application/json":
            text = "Expected request with `Content-Type: application/json`"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        self._site.check_database(name, HTTPStatus.NOT_FOUND)
        with self._visit() as client:
            began = self._database.clock()
            outcome = self._database.call_reducer(client, function, args)
            if isinstance(outcome, Failure) and outcome.fault is Fault.MISSING:
                return self._call_procedure(client, function, args)
            took = self._took(began)
        energy = ("spacetime-energy-used", "0")
        if isinstance(outcome, Failure):
            return _failed(outcome, [energy, took])
        return Answer(HTTPStatus.OK, more_headers=[energy, took])

    def _call_procedure(self, client: Client, function: str, args: str) -> Answer:
        began = self._database.clock()
        outcome = self._database.call_procedure(client, function, args)
        took = self._took(began)
        if not isinstance(outcome, Failure):
            assert isinstance(outcome.value, str)
            return Answer(HTTPStatus.OK, outcome.value.encode(), "application/json", [took])
        if outcome.fault in (Fault.REFUSED, Fault.FATAL):
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, outcome.full_text)
        return _failed(outcome, [])

    def _sql(self) -> Answer:
        _check_bool("confirmed", self._params.get("confirmed", "true"))
        text = text_of(self._request)
        with self._visit() as client:
            began = self._database.clock()
            try:
                result = self._database.execute(client, text)
            except SqlError as error:
                raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
            took = self._took(began)
        return Answer.json([result.to_json(int(took[1]))], [took])

    def _took(self, began: Timestamp) -> tuple[str, str]:
        return "spacetime-execution-duration-micros", str((self._database.clock() - began).micros)


def _check_bool(name: str, value: str) -> None:
    if value not in ("true", "false"):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{_BAD_QUERY}: {name}: provided string was not `true` or `false`")


def _failed(failure: Failure, headers: Headers) -> Answer:
    """What a call gets that did nothing; how long it took is told only if it ran."""
    status = _CALL_STATUS[failure.fault]
    body = failure.full_text.encode("utf-8", errors="replace")
    return Answer(status, body, more_headers=headers if status == REDUCER_FAILED else ())


def _deaf(_message: Any) -> None:
    """Whoever asks over HTTP is told nothing else."""
