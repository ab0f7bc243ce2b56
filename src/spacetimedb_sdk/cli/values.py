"""Values for people and programs: `plain` makes JSON of what rows hold, `text` makes a line of that.

The JSON is not the server's own form, which is made for machines that know the types. Identities and connection ids are
hex, times are RFC 3339, durations are seconds, bytes are hex, an absent option is null, an enum is its name, and a
variant with a payload is an object of one key. `arguments` reads all of that back.
"""

from __future__ import annotations

import enum
import json
import math
from functools import singledispatch
from typing import Any
from uuid import UUID

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Err, Identity, Ok, Some, TimeDuration, Timestamp

__all__ = ["plain", "text"]


@singledispatch
def plain(value: Any) -> Any:
    """A value as what `json.dumps` takes. Integers stay exact, whatever their size."""
    return value


@plain.register
def _(value: float) -> Any:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN and no infinity


@plain.register(bytes)
@plain.register(Identity)
@plain.register(ConnectionId)
def _hex(value: bytes | Identity | ConnectionId) -> str:
    return value.hex()


@plain.register(Timestamp)
@plain.register(TimeDuration)
def _time(value: Timestamp | TimeDuration) -> str:
    return value.to_text()


@plain.register
def _(value: UUID) -> str:
    return str(value)


@plain.register
def _(value: enum.Enum) -> str:
    return value.name


@plain.register(list)
@plain.register(tuple)
def _sequence(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [plain(item) for item in value]


@plain.register(Some)
def _some(value: Some[Any]) -> Any:
    return {"some": plain(value.value)}


@plain.register(Ok)
def _ok(value: Ok[Any]) -> Any:
    return {"ok": plain(value.value)}


@plain.register(Err)
def _err(value: Err[Any]) -> Any:
    return {"err": plain(value.error)}


@plain.register(object)
def _object(value: object) -> Any:
    cls: type[Any] = type(value)
    if not attrs.has(cls):
        return value
    fields = {field.name: plain(getattr(value, field.name)) for field in attrs.fields(cls)}
    base = cls.__bases__[0]
    if base is object or attrs.has(base):
        return fields
    # What derives from something that is no product is a variant.
    return {cls.__name__: fields["value"]} if fields else cls.__name__


def text(value: Any) -> str:
    """A plain value in one line. What could steer a terminal is shown as an escape: rows are other people's words."""
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
