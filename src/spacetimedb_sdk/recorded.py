"""Recordings as data: what `recording.py` writes, read line by line. The form is described there."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from spacetimedb_proto.errors import RecordingError
from spacetimedb_proto.http import Headers

__all__ = ["Frame", "Link", "read_recording"]


@attrs.frozen
class Link:
    """A link begins.

    Attributes:
        at: When, in seconds since the recording began.
        database: The database's name, or whatever the recording calls the module.
        status: What the server answered to the handshake.
        headers: The answer's headers.
        body: Its body, of a refusal.
        schema: The module's definition; None where it stays as it was, or is not in the recording.
    """

    at: float
    database: str
    status: int
    headers: Headers
    body: bytes
    schema: Mapping[str, Any] | None = attrs.field(repr=False)

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose; empty if it chose none."""
        return next((value for name, value in self.headers if name.lower() == "sec-websocket-protocol"), "")


@attrs.frozen
class Frame:
    """A message or a control frame passed.

    Attributes:
        at: When, in seconds since the recording began.
        sender: Whose it is.
        op: What it is: "binary", "text", "ping", "pong" or "close".
        payload: Of a message, else None.
        code: Of a Close frame that has one.
        reason: Of a Close frame.
    """

    at: float
    sender: Literal["client", "server"]
    op: str
    payload: bytes | str | None = attrs.field(repr=False)
    code: int | None
    reason: str


def read_recording(path: str | os.PathLike[str]) -> Iterator[Link | Frame]:
    """Read a recording; each line when it is asked for. A last line that was not written to its end is left out.

    Raises:
        RecordingError: It is none, or a line is broken.
        OSError: It cannot be read.
    """
    began = 0.0
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, text in enumerate(lines, 1):
            try:
                item = _read(text, began)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if not text.endswith("\n") and number > 1:
                    return
                where = f"{os.fspath(path)}, line {number}"
                raise RecordingError(f"{where}: expected a line of a recording, got {text[:60]!r}") from error
            if isinstance(item, Link):
                began = item.at
            elif number == 1:
                raise RecordingError(f"{os.fspath(path)}, line 1: expected a handshake, got a frame")
            yield item


def _read(text: str, began: float) -> Link | Frame:
    line = json.loads(text)
    if "response" in line:
        return _link(line)
    payload = base64.b64decode(line["data"], validate=True) if "data" in line else line.get("text")
    if line["op"] not in ("binary", "text"):
        payload = None
    elif not isinstance(payload, str if line["op"] == "text" else bytes):
        raise ValueError("no payload")
    if line["from"] not in ("client", "server"):
        raise ValueError("no sender")
    return Frame(began + line["t"] / 1000, line["from"], line["op"], payload, line.get("code"), line.get("reason", ""))


def _link(line: Mapping[str, Any]) -> Link:
    response = line["response"]
    return Link(
        line.get("t", 0.0) / 1000,
        line["module"],
        response["status"],
        tuple((name, value) for name, value in response["headers"]),
        response.get("body", "").encode(),
        line.get("schema"),
    )
