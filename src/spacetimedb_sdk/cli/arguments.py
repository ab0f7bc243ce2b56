"""Arguments of calls as people write them, read through the module's schema.

Everything is first made into the server's own JSON, which the codecs then read and check: so there is one place that
says what does not fit. What `values.plain` writes is understood, and the server's form, too. Messages show what was
given: it stood on the command line already, where no token may stand.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from spacetimedb_proto.bsatn.checks import shown
from spacetimedb_proto.bsatn.layout import EnumNode, SumNode, plain
from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    TIME_DURATION,
    TIMESTAMP,
    UUID,
    AlgebraicType,
    Array,
    Primitive,
    Product,
    Sum,
    option_payload,
)
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.errors import DecodeError, EncodeError
from spacetimedb_proto.schema import Function, Schema

__all__ = ["read_json", "read_words"]

_WORDS: Final = (Primitive.STRING, BYTES, IDENTITY, CONNECTION_ID, TIMESTAMP, TIME_DURATION, UUID)
"""Types whose values are words of their own, so that quotes around them can be left out."""

_WIDE: Final = (Primitive.U256, Primitive.I256)

_LONG_TEXT: Final = 200
"""Characters of a value in a message."""


def read_words(schema: Schema, function: Function, words: Sequence[str]) -> tuple[Any, ...]:
    """Read one word per parameter: texts, ids and times as they are, everything else as JSON.

    Raises:
        EncodeError: One does not fit its parameter.
        TypeError: There are more or fewer words than parameters.
    """
    codec = schema.params_codec(function)
    texts = [_short(repr(word)) for word in codec.arrange(words, {})]
    given: list[Any] = []
    for name, param, word, text in zip(codec.names, function.params, words, texts, strict=True):
        with _complaining(schema, function, name, text):
            given.append(_of_word(schema, param.type, word))
    return _arguments(schema, function, given, texts)


def read_json(schema: Schema, function: Function, value: Any) -> tuple[Any, ...]:
    """Read parsed JSON: an array in declared order, or an object by the parameters' names.

    Raises:
        EncodeError: One does not fit its parameter.
        TypeError: One is missing or too many.
    """
    if isinstance(value, dict):
        by_name = cast("dict[str, Any]", value)
        given = schema.params_codec(function).arrange((), by_name)
    elif isinstance(value, list):
        given = schema.params_codec(function).arrange(cast("Sequence[Any]", value), {})
    else:
        raise EncodeError("arguments as a JSON array or object", _as_json(value))
    return _arguments(schema, function, given, [_as_json(each) for each in given])


def _arguments(schema: Schema, function: Function, given: Sequence[Any], texts: Sequence[str]) -> tuple[Any, ...]:
    """Read one value of plain JSON per parameter; `texts` are the values as messages show them."""
    codec = schema.params_codec(function)
    made: list[Any] = []
    for name, param, each, text in zip(codec.names, function.params, given, texts, strict=True):
        with _complaining(schema, function, name, text, schema.types.node(param.type).title):
            form = _inside(name, schema, param.type, each)
            made.append(schema.types.codec(param.type).from_json(form))
    return tuple(made)


@contextmanager
def _complaining(schema: Schema, function: Function, name: str, text: str, title: str = "") -> Generator[None]:
    """Say of which argument something is true that its codec has found, and what was given for it.

    Args:
        schema: Whose function it is.
        function: What is called.
        name: The parameter.
        text: What was given, to be shown.
        title: What the codec calls a value, at the beginning of its paths; the parameter's name takes its place.

    Raises:
        EncodeError: In place of the codec's error.
    """
    try:
        yield
    except DecodeError as error:
        told = str(error)
        where = f"{name}{told[len(title) :]}" if title and told.startswith(title) else f"{name}: {told}"
        codec = schema.params_codec(function)
        raise EncodeError(f"arguments of {codec.title}({', '.join(codec.names)})", f"{text} for {where}") from None


def _as_json(value: Any) -> str:
    return _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= _LONG_TEXT else f"{text[: _LONG_TEXT // 2]}...{text[-_LONG_TEXT // 2 :]}"


# --- words ------------------------------------------------------------------------------------------------------------


def _of_word(schema: Schema, type_: AlgebraicType, word: str) -> Any:
    """A word as plain JSON."""
    type_ = schema.resolve(type_)
    payload = option_payload(type_)
    if payload is not None:
        return None if word == "null" else _of_word(schema, payload, word)
    is_quoted = word.startswith('"') and word.endswith('"') and len(word) > 1
    if type_ in _WORDS and not is_quoted and not word.startswith(("[", "{")):
        return word
    if type_ == Primitive.STRING and not is_quoted:
        return word
    try:
        return json.loads(word)
    except ValueError as error:
        if type_ != Primitive.STRING and word.startswith(("[", "{", '"')):
            raise DecodeError(f"it looks like JSON and is none: {error}") from None
        return word  # the name of a variant, or something that the codec will say no to
    except RecursionError:
        raise DecodeError("it looks like JSON and is none: it is nested too deeply") from None


# --- the server's form ------------------------------------------------------------------------------------------------


def _inside(step: str | int, schema: Schema, type_: AlgebraicType, value: Any) -> Any:
    """The server's form of what stands at one more step of the path."""
    try:
        return _server_form(schema, type_, value)
    except EncodeError as error:
        raise error.within(step) from None


def _server_form(schema: Schema, named: AlgebraicType, value: Any) -> Any:
    """Plain JSON as the server writes it; what does not look like a value of the type is left as it is."""
    type_ = schema.resolve(named)
    if isinstance(value, str) and type_ in _TEXT_FORMS:
        return _of_text(schema, type_, value)
    match type_:
        case Primitive():
            return hex(value) if type_ in _WIDE and type(value) is int else value
        case Array(element) if isinstance(value, list):
            items = enumerate(cast("Sequence[Any]", value))
            return [_inside(index, schema, element, each) for index, each in items]
        case Product() if isinstance(value, dict):
            return _product(schema, type_, cast("dict[str, Any]", value))
        case Sum():
            return _sum(schema, named, type_, value)
        case _:
            return value


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise DecodeError(f"expected a UUID, got {text[:80]!r}") from None


_TEXT_FORMS: Final[Mapping[AlgebraicType, Any]] = {
    IDENTITY: Identity.from_hex,
    CONNECTION_ID: ConnectionId.from_hex,
    TIMESTAMP: Timestamp.from_text,
    TIME_DURATION: TimeDuration.from_text,
    UUID: _uuid,
}


def _of_text(schema: Schema, type_: AlgebraicType, value: str) -> Any:
    return schema.types.codec(type_).to_json(_TEXT_FORMS[type_](value))


def _product(schema: Schema, type_: Product, value: dict[str, Any]) -> dict[str, Any]:
    """Fields by their names in the schema, for those that are named as in Python, too."""
    if type_ in (IDENTITY, CONNECTION_ID, TIMESTAMP, TIME_DURATION, UUID):
        return value
    spelled = schema.types.codec(type_).field_names
    known = dict(zip(spelled, type_.elements, strict=True))
    known |= {element.name: element for element in type_.elements if element.name is not None}
    made: dict[str, Any] = {}
    for key, each in value.items():
        element = known.get(key)
        if element is None:
            made[key] = each
        else:
            made[element.name or key] = _inside(key, schema, element.type, each)
    return made


def _sum(schema: Schema, named: AlgebraicType, type_: Sum, value: object) -> Any:
    """A variant by any of its names, as its tag with what it holds."""
    title, tags = _variants(schema, named)
    payload = option_payload(type_)
    tagged = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if len(tagged) == 1:
        ((name, inner),) = tagged.items()
        if name in tags:
            return [tags[name], _inside(name, schema, type_.variants[tags[name]].type, inner)]
    if payload is not None:
        return {"none": []} if value is None else {"some": _server_form(schema, payload, value)}
    if isinstance(value, str):
        if value in tags:
            return [tags[value], []]
        raise EncodeError(title, shown(value))
    return cast("Any", value)


def _variants(schema: Schema, named: AlgebraicType) -> tuple[str, dict[str, int]]:
    """A sum in words, and its tags by the names that its variants have in Python and in the schema."""
    match plain(schema.types.node(named)):
        case EnumNode(title=title, members=members, wire_names=wire_names):
            names = [member.name for member in members]
        case SumNode(title=title, variants=variants):
            names, wire_names = [each.name for each in variants], [each.wire_name for each in variants]
        case _:
            return "option", {"some": 0, "none": 1}
    tags = {name: tag for spelled in (wire_names, names) for tag, name in enumerate(spelled) if name is not None}
    return f"{title} ({', '.join(names)})", tags
