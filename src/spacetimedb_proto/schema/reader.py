"""Reading JSON that somebody else wrote: liberal about form, exact about where something is wrong.

A definition is SATS data written as JSON, and the same value may be written in several ways (schema reference, 1.4). A
`Node` is one JSON value together with its place in the document; its methods say what is expected there. Nothing here
knows what a module definition contains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypeGuard

from ..errors import SchemaError

__all__ = ["Node", "Struct", "is_object", "shorten"]

I128 = range(-(1 << 127), 1 << 127)
SHOWN = 40
"""Characters of a text that an error message quotes."""


def is_object(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether a value is a JSON object; `dict` first, because asking the abstract class is slow."""
    return isinstance(value, dict) or isinstance(value, Mapping)  # noqa: SIM101


def is_array(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a value is a JSON array."""
    return isinstance(value, list | tuple)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a JSON number without a fraction; Python would also take `true` for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def shorten(text: str) -> str:
    """The text as Python would write it, cut where it gets long."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def describe(value: object) -> str:
    """A value in words, for error messages. Never fails, and never grows with the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"text {shorten(value)}"
    if isinstance(value, int):
        return f"the number {value}" if value.bit_length() <= 256 else f"a number of {value.bit_length()} bits"
    if is_array(value):
        return f"an array of {len(value)}"
    if is_object(value):
        keys = ", ".join(shorten(key) for key in islice(value, 4) if isinstance(key, str))
        return f"an object with the keys {keys}" if keys else "an object without keys"
    return f"a {type(value).__name__}"


class Node:
    """One JSON value and where it stands.

    Every method raises `SchemaError` with the JSON path if the value is not what the method is named after.
    """

    __slots__ = ("_parent", "_step", "value")

    def __init__(self, value: object, parent: Node | None = None, step: str | int = "") -> None:
        self.value = value
        self._parent = parent
        self._step = step

    @property
    def path(self) -> str:
        """The way here from the document's root, as in `tables[3].name`; empty at the root."""
        steps: list[str | int] = []
        node = self
        while node._parent is not None:
            steps.append(node._step)
            node = node._parent
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(steps)).lstrip(".")

    def fail(self, expected: str, got: str | None = None) -> SchemaError:
        """The error that something else was expected here."""
        return SchemaError(f"{self.path or 'definition'}: expected {expected}, got {got or describe(self.value)}")

    def struct(self, fields: Sequence[str]) -> Struct:
        """This value as a struct: an object, or an array of its fields in declared order."""
        value = self.value
        if is_object(value):
            return Struct(self, value)
        if is_array(value):
            return Struct(self, dict(zip(fields, value, strict=False)))
        raise self.fail("an object")

    def items(self) -> list[Node]:
        """The elements of an array."""
        value = self.value
        if not is_array(value):
            raise self.fail("an array")
        return [Node(item, self, position) for position, item in enumerate(value)]

    def text(self) -> str:
        """Text that can be encoded: JSON's escapes can also spell half of a surrogate pair."""
        value = self.value
        if not isinstance(value, str):
            raise self.fail("text")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.fail("text", "an unpaired surrogate") from None
        return value

    def boolean(self) -> bool:
        """`true` or `false`."""
        if not isinstance(self.value, bool):
            raise self.fail("true or false")
        return self.value

    def below(self, limit: int, what: str = "a number") -> int:
        """An integer from 0 up to, not including, `limit`."""
        value = self.value
        if not is_integer(value) or not 0 <= value < limit:
            raise self.fail(f"{what} below {limit}")
        return value

    def i128(self) -> int:
        """A signed integer of 128 bits, written as a plain number."""
        value = self.value
        if not is_integer(value) or value not in I128:
            raise self.fail("a number of 128 bits")
        return value

    def octets(self) -> bytes:
        """Bytes, written as hexadecimal text or as an array of numbers."""
        if is_array(self.value):
            return bytes(item.below(256) for item in self.items())
        try:
            return bytes.fromhex(self.text())
        except ValueError:
            raise self.fail("bytes as hexadecimal text") from None

    def variant(self, names: Sequence[str]) -> tuple[str, Node]:
        """The variant of a sum and its payload.

        Written as `{"Name": payload}`, `{"2": payload}` or `[2, payload]`. A variant that `names` does not list is
        returned as it was written: whether that is an error, the caller knows.
        """
        value = self.value
        if is_object(value) and len(value) == 1:
            ((key, payload),) = value.items()
        elif is_array(value) and len(value) == 2:
            key, payload = value
        else:
            raise self.fail("an object with one key, the name of a variant")
        if isinstance(key, str):
            # Three digits are enough for every tag, and int() refuses very long numbers with an error of its own.
            tag = int(key) if len(key) <= 3 and key.isdigit() and key.isascii() else None
            name = key
        elif is_integer(key) and 0 <= key < 1000:
            tag, name = key, str(key)
        else:
            raise self.fail("the name or the number of a variant")
        if tag is not None and tag < len(names):
            name = names[tag]
        return name, Node(payload, self, name)

    def option(self) -> Node | None:
        """The payload of an option: `{"some": x}`, `{"none": []}`, or `null` for none."""
        if self.value is None:
            return None
        name, payload = self.variant(("some", "none"))
        if name == "some":
            return payload
        if name == "none":
            return None
        raise self.fail("an option")


class Struct:
    """A node whose fields can be asked for by name."""

    __slots__ = ("_fields", "node")

    def __init__(self, node: Node, fields: Mapping[object, object]) -> None:
        self.node = node
        self._fields = fields

    def __getitem__(self, name: str) -> Node:
        """A field that must be there.

        Raises:
            SchemaError: It is not.
        """
        try:
            return Node(self._fields[name], self.node, name)
        except KeyError:
            raise self.node.fail(f"a field {name!r}") from None

    def get(self, name: str) -> Node | None:
        """A field, or None if it is missing."""
        return Node(self._fields[name], self.node, name) if name in self._fields else None

    def list(self, name: str) -> list[Node]:
        """The elements of the array in a field; none if the field is missing.

        Raises:
            SchemaError: The field is no array.
        """
        return Node(self._fields[name], self.node, name).items() if name in self._fields else []
