"""Arguments of a call as JSON, and what is wrong with them in the real server's words.

The words are those of the JSON reader that the real server uses: what it met, what it expected, and where.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn, cast

from spacetimedb_proto.bsatn.codec import Codec, ParamsCodec
from spacetimedb_proto.bsatn.types import Primitive
from spacetimedb_proto.errors import DecodeError, EncodeError
from spacetimedb_proto.schema.definitions import Function
from spacetimedb_proto.schema.model import Schema

__all__ = ["ArgumentError", "read_arguments"]

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_MANY_DIGITS: Final = 80
"""More than any integer type has."""

_WANTED: Final = {Primitive.BOOL: "a boolean", Primitive.STRING: "a string"}


class ArgumentError(DecodeError):
    """Arguments that a function does not take.

    Attributes:
        causes: What the real server adds where it tells the causes too: over HTTP and v1.
    """

    def __init__(self, text: str, *causes: str) -> None:
        super().__init__(text)
        self.causes = causes


def read_arguments(schema: Schema, function: Function, text: str) -> tuple[Any, ...]:
    """The arguments in a JSON array, or in an object by the names of parameters.

    Raises:
        ArgumentError: They are not what the function takes.
    """
    try:
        args: tuple[Any, ...] = _read(schema.params_codec(function), _DECODER.decode(text))
    except (ValueError, RecursionError) as error:
        raise _explained(schema, function, text) or ArgumentError(str(error)) from None
    return args


def _read(codec: Codec | ParamsCodec, value: Any) -> Any:
    """A value that clients may send: null for a number, as servers write it, is none."""
    found = codec.from_json(value)
    try:
        codec.to_json(found)
    except EncodeError as error:  # all other numbers are finite
        raise DecodeError(str(EncodeError("a number", "null", error.path))) from None
    return found


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= _MANY_DIGITS else int(_finite(digits))


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("number out of range")
    return number


def _refuse(constant: str) -> NoReturn:
    """`NaN` and `Infinity`, which Python takes for JSON."""
    raise ValueError(f"expected value, got {constant}")


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_refuse)


def _explained(schema: Schema, function: Function, text: str) -> ArgumentError | None:
    """The first argument of a plain type that is of another kind, if the text is an array that far."""
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        return None
    for index, param in enumerate(function.params):
        start = _after_space(text, position + 1)
        try:
            value, position = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        try:
            _read(schema.types.codec(param.type), value)
        except DecodeError:
            return _mismatch(index, param.type, value, text[:position])
        position = _after_space(text, position)
        if text[position : position + 1] != ",":
            return None
    return None


def _mismatch(index: int, type_: object, value: Any, read: str) -> ArgumentError | None:
    if not isinstance(type_, Primitive):
        return None
    wanted = _WANTED.get(type_, type_.value.lower())
    line, column = read.count("\n") + 1, len(read.rpartition("\n")[2].encode())
    is_range = type(value) is int and type_ not in _WANTED
    what = f"invalid {'value' if is_range else 'type'}: {_kind(value)}, expected {wanted}"
    return ArgumentError(f"[{index}]", f"{what} at line {line} column {column}")


def _kind(value: Any) -> str:
    """A value as the reader names it."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f"string {json.dumps(value, ensure_ascii=False)}"
        case _:
            return "sequence" if isinstance(cast("object", value), list) else "map"


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
