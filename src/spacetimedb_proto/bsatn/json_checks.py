"""What generated code calls to read SATS-JSON (protocol reference, 2.5).

Errors say what kind of JSON stood where, never the value: rows are other people's.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DecodeError, EncodeError
from .checks import shown

__all__ = ["JSON_HELPERS"]

_F32 = struct.Struct("<f")
_HEX_NUMBER = re.compile("-?0x[0-9a-fA-F]{1,64}")
_HEX = re.compile("(?:[0-9a-fA-F]{2})*")
_LONG_TEXT = 200  # characters of the names in a message
_KINDS: Mapping[type[Any], str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a bool",
    int: "a number",
    float: "a number",
}


def _is(value: Any, cls: type[Any]) -> bool:
    """Whether a value is of exactly this class: what `json.loads` returns has no subclasses, and a bool is no int."""
    return type(value) is cls


def json_kind(value: Any) -> str:
    """What kind of JSON something is, in words."""
    cls = value.__class__
    return "null" if value is None else _KINDS.get(cls, f"Python's {cls.__name__}")


def json_unlike(value: Any, expected: str) -> str:
    """The note of a line that expected something else."""
    return f"{expected} expected, got {json_kind(value)}"


def json_unfit(value: Any, expected: str) -> str:
    """The note of a line that checked an integer."""
    return f"{expected} expected, got " + (
        "a number out of range" if type(value) is int else "a fraction" if type(value) is float else json_kind(value)
    )


def json_wide(value: Any, expected: str, low: int, high: int) -> int:
    """A 256-bit integer, which stands as a hex string."""
    if type(value) is not str or not _HEX_NUMBER.fullmatch(value):
        got = "another string" if type(value) is str else json_kind(value)
        raise DecodeError(f"{expected} as a string of hex with 0x expected, got {got}")
    number = int(value, 16)
    if not low <= number <= high:
        raise DecodeError(f"{expected} expected, got a number out of range")
    return number


def json_float(value: Any, expected: str) -> float:
    """A float; what JSON cannot say, the server writes as null."""
    if value is None:
        return math.nan
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise DecodeError(f"{expected} expected, got a number out of range") from None
    raise DecodeError(json_unlike(value, expected))


def json_float32(value: Any, expected: str) -> float:
    """The f32 that is nearest to a number."""
    number = json_float(value, expected)
    try:
        nearest: float = _F32.unpack(_F32.pack(number))[0]
    except OverflowError:
        raise DecodeError(f"{expected} expected, got a number out of range") from None
    return nearest


def json_bytes(value: Any) -> bytes:
    """Bytes from a hex string or an array of numbers."""
    if _is(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if _is(value, list) and all(_is(item, int) and 0 <= item <= 255 for item in value):
        return bytes(value)
    raise DecodeError(f"bytes as a string of hex or an array of numbers expected, got {_no_bytes(value)}")


def _no_bytes(value: Any) -> str:
    if _is(value, str):
        return "an odd number of hex digits" if _HEX.fullmatch(f"{value}0") else "a string of something else"
    return "an array of something else" if _is(value, list) else json_kind(value)


def json_unit(value: Any) -> None:
    """Nothing: an empty array or object."""
    if type(value) not in (list, dict) or value:
        raise DecodeError(f"an empty array or object expected, got {json_kind(value)}")


def json_fields(value: Any, title: str, names: Sequence[str | None]) -> Sequence[Any]:
    """The fields of a product from an array in order, or from an object with exactly these names."""
    if _is(value, list):
        if len(value) != len(names):
            raise DecodeError(f"{title} with {len(names)} fields expected, got an array of {len(value)}")
        return value  # type: ignore[no-any-return]
    if not _is(value, dict):
        raise DecodeError(f"{title} as an object or array expected, got {json_kind(value)}")
    missing = [name for name in names if name not in value]
    if missing or len(value) != len(names):
        problem = f"without {missing[0]!r}" if missing else f"of {len(value)} fields"
        raise DecodeError(f"{title} with {len(names)} fields expected, got an object {problem}")
    return [value[name] for name in names]


def json_variant(value: Any, title: str, tags: Mapping[str | int, int]) -> tuple[int, Any]:
    """The tag and payload of a sum: `{"name": payload}`, `["name", payload]`, or with the tag for the name."""
    if _is(value, dict) and len(value) == 1:
        ((key, payload),) = value.items()
    elif _is(value, list) and len(value) == 2 and (_is(value[0], str) or _is(value[0], int)):
        key, payload = value
    else:
        what = f"{title} ({_names(tags)})" if _is(value, str) else title
        raise DecodeError(f"{what} as an object of one field or an array of two expected, got {json_kind(value)}")
    tag = tags.get(key)
    if tag is None:
        raise DecodeError(f"{title} has no such variant; there are: {_names(tags)}")
    return tag, payload


def _names(tags: Mapping[str | int, int]) -> str:
    """What variants are called, for whoever knows a wrong name."""
    names = ", ".join(key for key in tags if type(key) is str and not key.isdecimal())
    return names if len(names) <= _LONG_TEXT else f"{names[:_LONG_TEXT]}..."


def json_missing(title: str) -> Any:
    """A type that has no JSON form."""
    raise DecodeError(f"{title} has no JSON form")


def finite(value: float, expected: str) -> float:
    """A number that JSON can carry: protocol reference, trap 49."""
    if not math.isfinite(value):
        raise EncodeError(f"finite {expected}, as JSON needs it", shown(value))
    return value


def finite32(value: float, expected: str) -> float:
    """A number that JSON can carry and an f32 can hold."""
    finite(value, expected)
    try:
        _F32.pack(value)
    except OverflowError:
        raise EncodeError(expected, shown(value)) from None
    return value


def finite_or_null(value: float) -> float | None:
    """A number as servers write it: one that JSON cannot carry becomes null (protocol reference, trap 49)."""
    return value if math.isfinite(value) else None


def json_no_form(value: Any, title: str) -> Any:
    """A value of a type that has no JSON form."""
    raise EncodeError(f"a value with a JSON form for {title}", shown(value))


JSON_HELPERS = {
    function.__name__: function
    for function in (
        *(json_unlike, json_unfit, json_wide, json_float, json_float32, json_bytes, json_unit, json_fields),
        *(json_variant, json_missing, finite, finite32, finite_or_null, json_no_form),
    )
}
