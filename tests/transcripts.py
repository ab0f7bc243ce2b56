"""The traffic under `data/transcripts`: official clients and a real 2.8.3 server, one connection a file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs

ROOT = Path(__file__).parent / "data" / "transcripts"

Payload = bytes | str


@attrs.frozen
class Frame:
    """One WebSocket frame, in the order it passed.

    Attributes:
        time: Milliseconds since the connection was opened.
        sender: Who sent it.
        op: "binary", "text", "ping", "pong" or "close".
        payload: What a binary or text frame carried, else None.
        code: Of a close frame, if it had one.
        reason: Of a close frame.
    """

    time: float
    sender: Literal["client", "server"]
    op: Literal["binary", "text", "ping", "pong", "close"]
    payload: Payload | None = None
    code: int | None = None
    reason: str = ""


@attrs.frozen
class Transcript:
    """One connection.

    Attributes:
        name: `folder/case.connection`, unique, and fit for `load` and for a test's id.
        suite: The test suite that made it.
        case: The test of that suite.
        connection: 1, or 2 and up where a test opened several.
        module: Name of the module, which names its schemas too.
        request: `method`, `target`, `headers` (pairs), and `body` where there was one.
        response: `status`, `headers` (pairs), and `body` where there was one.
        frames: What passed after the handshake; empty for an exchange over HTTP.
    """

    name: str
    suite: str
    case: str
    connection: int
    module: str
    request: Mapping[str, Any] = attrs.field(repr=False)
    response: Mapping[str, Any] = attrs.field(repr=False)
    frames: tuple[Frame, ...] = attrs.field(repr=False)

    @property
    def protocol(self) -> str:
        """The negotiated subprotocol, or an empty string."""
        headers: dict[str, str] = dict(self.response["headers"])
        return headers.get("sec-websocket-protocol", "")

    def payloads(self, sender: Literal["client", "server"]) -> list[Payload]:
        """What one side sent in binary and text frames."""
        return [frame.payload for frame in self.frames if frame.sender == sender and frame.payload is not None]

    @property
    def close(self) -> Frame | None:
        """The server's close frame, if it sent one."""
        return next((frame for frame in self.frames if frame.op == "close" and frame.sender == "server"), None)


def _frame(line: Mapping[str, Any]) -> Frame:
    payload = base64.b64decode(line["data"]) if "data" in line else line.get("text")
    return Frame(line["t"], line["from"], line["op"], payload, line.get("code"), line.get("reason", ""))


@cache
def load(name: str) -> Transcript:
    """The transcript of that name, e.g. `protocol-v3/None.1`."""
    first, *rest = (json.loads(line) for line in (ROOT / f"{name}.jsonl").read_text("utf-8").split("\n") if line)
    keys = ("suite", "case", "connection", "module", "request", "response")
    return Transcript(name=name, **{key: first[key] for key in keys}, frames=tuple(map(_frame, rest)))


def names(folder: str = "*") -> list[str]:
    """Names of all transcripts, or of those in one folder."""
    return sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob(f"{folder}/*.jsonl"))


def all_transcripts(folder: str = "*") -> Iterator[Transcript]:
    """All transcripts, or those in one folder."""
    return map(load, names(folder))


def websockets(folder: str = "*") -> list[Transcript]:
    """All transcripts of WebSocket connections that were accepted."""
    return [each for each in all_transcripts(folder) if each.response["status"] == 101]
