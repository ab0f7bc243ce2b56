"""What the wire tests share: recorded schemas, and protocols made for recorded connections."""

from __future__ import annotations

from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import Protocol, protocol
from tests.schemas import schema
from tests.transcripts import Transcript


def wire_of(transcript: Transcript, limits: Limits | None = None) -> Protocol:
    """A fresh protocol as negotiated in that connection."""
    return protocol(transcript.protocol, schema(transcript.module), limits or Limits())
