"""What the wire tests share: recorded schemas, and protocols made for recorded connections."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.schema.model import Schema
from spacetimedb_proto.wire import Protocol, protocol
from tests.transcripts import Transcript

SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"


@cache
def schema(module: str) -> Schema:
    """A module's definition as the real server gave it."""
    return load_schema((SCHEMAS / f"{module}.v10.json").read_text("utf-8"))


def wire_of(transcript: Transcript, limits: Limits | None = None) -> Protocol:
    """A fresh protocol as negotiated in that connection."""
    return protocol(transcript.protocol, schema(transcript.module), limits or Limits())
