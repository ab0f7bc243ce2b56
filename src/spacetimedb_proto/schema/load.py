"""The way in: text, bytes or parsed JSON of a definition, tagged or bare, to a `Schema`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..errors import SchemaError
from ..limits import Limits
from .assemble import Parts, assemble
from .model import Schema
from .reader import Node, is_object, shorten
from .scope import Budget, Scope
from .v9 import MODULE_FIELDS, read_v9
from .v10 import read_v10

__all__ = ["load_schema"]

TAGS = ("V8BackCompat", "V9", "V10")


def load_schema(source: str | bytes | Mapping[str, object], *, limits: Limits | None = None) -> Schema:
    """Read a module definition as a server or `extract-schema` gives it.

    Accepts v9 and v10, bare (`{"sections": [...]}`, `{"typespace": ...}`) and tagged (`{"V10": ...}`), with the
    liberties that the schema reference lists in 1.4. Sections and variants that are not known are left out and named
    in `Schema.notes`; an unknown kind of type is an error, because what holds it cannot be read.

    Args:
        source: JSON as text, as bytes, or parsed.
        limits: What the schema's codecs keep to; `nesting` also limits the depth of types in the definition.

    Raises:
        SchemaError: The definition is malformed; the message has the JSON path. No other error comes out of here.
    """
    limits = Limits() if limits is None else limits
    try:
        version, node = _untagged(Node(_parse(source)))
        budget = Budget(nesting=limits.nesting)
        scope = Scope(name_field="name" if version == 9 else "source_name", budget=budget)
        parts = Parts()
        (read_v9 if version == 9 else read_v10)(node, scope, parts)
    except RecursionError:
        raise SchemaError("definition: nested too deeply") from None
    return assemble(parts, scope.typespace, version=version, notes=budget.notes, limits=limits)


def _parse(source: object) -> object:
    if not isinstance(source, str | bytes | bytearray):
        return source
    try:
        return json.loads(source)
    except ValueError as error:
        # Not only JSONDecodeError: bytes may be no text, and Python refuses to read numbers of thousands of digits.
        raise SchemaError(f"definition: not JSON: {error}") from None


def _untagged(node: Node) -> tuple[int, Node]:
    """The version of a definition, and the definition without a tag."""
    value = node.value
    if is_object(value):
        if "sections" in value:
            return 10, node
        if any(field in value for field in MODULE_FIELDS):
            return 9, node
        if len(value) != 1:
            raise node.fail("a definition: `sections` (v10), `typespace` (v9), or the tag of a version")
    tag, payload = node.variant(TAGS)
    if tag == "V8BackCompat":
        raise SchemaError("definition: a v8 definition is not supported; servers since 1.0 answer version=9")
    if tag not in TAGS:
        raise node.fail("a definition of version 9 or 10", f"the unknown version {shorten(tag)}")
    return (9 if tag == "V9" else 10), payload
