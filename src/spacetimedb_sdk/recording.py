"""`Recorder`: writes what passes over a connection's links to a file, which `replay` plays.

The file is JSON, one object a line. A link begins with its handshake: `request` (`method`, `target`, `headers`),
`response` (`status`, `headers`, for a refusal `body`), `module` (the database's name), `connection` (1 for the first
link), `t` (milliseconds since the first link), and `schema`, the module's definition, where it is not that of the link
before. Each line that follows is a message or a control frame: `t` (milliseconds since that link), `from` ("client" or
"server"), `op` ("binary", "text", "ping", "pong" or "close"), and `data` (base64), `text`, or `code` and `reason`. So a
file with one link has the form of the recordings in `tests/data/transcripts`.

No token is written: headers with one are left out, and in the greeting another text stands in its place.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Final

import attrs

from spacetimedb_proto.errors import ConnectError, SpacetimeDBError
from spacetimedb_proto.http import Headers, HttpRequest, HttpResponse
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import Schema
from spacetimedb_proto.tap import Op, Sender
from spacetimedb_proto.wire import messages, protocol

from .private_files import open_private

__all__ = ["Recorder"]

log = logging.getLogger("spacetimedb_sdk")


SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "spacetime-identity-token"})


NO_TOKEN: Final = "removed"  # noqa: S105 - it is none


class Recorder:
    """What a session's tap is when it is recorded. It writes each line at once, so a crash loses nothing.

    Once the file cannot be written any more, which is logged, the session goes on without.

    Args:
        path: The file, which is replaced if it is there. Only its owner may read it: it holds what users wrote.
        database: The database's name.
        clock: The time in seconds.
    """

    def __init__(
        self, path: str | os.PathLike[str], database: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._database = database
        self._clock = clock
        self._file: IO[str] | None = None
        self._began: float | None = None
        self._linked = 0.0
        self._links = 0
        self._schema: Schema | None = None
        self._definition = b""
        self._written = b""
        self._greeting_of: str | None = None

    def open(self) -> None:
        """Begin the file.

        Raises:
            ConnectError: It cannot be written.
        """
        try:
            self._file = open(  # noqa: SIM115 - `ended` closes it
                self._path, "w", encoding="ascii", buffering=1, opener=open_private
            )
        except OSError as error:
            raise ConnectError(f"record: cannot write {os.fspath(self._path)!r}: {error.strerror}") from error

    # --- what a session shows -----------------------------------------------------------------------------------------

    def schema_read(self, schema: Schema, text: bytes) -> None:
        """Keep the definition for the handshake that follows."""
        self._schema, self._definition = schema, text

    def answered(self, request: HttpRequest, response: HttpResponse) -> None:
        """Write the line that a link begins with."""
        self._linked = self._clock()
        self._began = self._linked if self._began is None else self._began
        self._links += 1
        answer: dict[str, Any] = {"status": response.status, "headers": _harmless(response.headers)}
        if response.status != 101:
            answer["body"] = response.body.decode("utf-8", errors="replace")
        line = {
            "module": self._database,
            "connection": self._links,
            "t": _milliseconds(self._linked - self._began),
            "request": {"method": request.method, "target": request.target, "headers": _harmless(request.headers)},
            "response": answer,
        }
        if self._definition != self._written:
            line["schema"] = json.loads(self._definition)
            self._written = self._definition
        self._greeting_of = response.header("sec-websocket-protocol") if response.status == 101 else None
        self._write(line)

    def passed(
        self, sender: Sender, op: Op, payload: bytes | str | None = None, code: int | None = None, reason: str = ""
    ) -> None:
        """Write a message or a control frame."""
        line: dict[str, Any] = {"t": _milliseconds(self._clock() - self._linked), "from": sender, "op": op}
        if payload is not None and sender == "server" and self._greeting_of is not None:
            payload, self._greeting_of = self._greeting(payload, self._greeting_of), None
        if isinstance(payload, str):
            line["text"] = payload
        elif payload is not None:
            line["data"] = base64.b64encode(payload).decode()
        if op == "close":
            line |= {"code": code, "reason": reason} if code is not None else {}
        self._write(line)

    def ended(self) -> None:
        """Close the file. Twice is harmless."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                self._give_up(error)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _greeting(self, payload: bytes | str, name: str) -> bytes | str:
        """A link's first message with its token removed; nothing of one that cannot be read."""
        assert self._schema is not None
        speaks = protocol(name, self._schema, Limits())
        try:
            said = [_tokenless(message) for message in speaks.read_server(payload)]
            (written,) = speaks.write_server(said)
        except (SpacetimeDBError, ValueError):
            return type(payload)()
        return written

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            try:
                self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            except OSError as error:
                file, self._file = self._file, None
                with suppress(OSError):  # it may try once more to write what could not be written
                    file.close()
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        log.warning("the recording %r ends before the session: %s", os.fspath(self._path), error.strerror)


def _tokenless(message: messages.ServerMessage) -> messages.ServerMessage:
    return attrs.evolve(message, token=NO_TOKEN) if isinstance(message, messages.InitialConnection) else message


def _harmless(headers: Headers) -> list[list[str]]:
    return [[name, value] for name, value in headers if name.lower() not in SECRET_HEADERS]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
