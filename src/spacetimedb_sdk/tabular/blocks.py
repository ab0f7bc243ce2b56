"""Columns made of the bytes of rows that all have one size, without a Python object for each value.

A column of such rows is a few of every so many bytes. Arrow's `take` gathers those many times faster than anything else
that needs no more than pyarrow, if it is shown items that divide both a row and the column: of rows of 12 bytes, a
column of 8 is two items of 4 out of every three.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from math import gcd
from typing import Any, Final

import attrs

from spacetimedb_proto.bsatn.layout import EnumNode, NewtypeNode, Node, ProductNode, ScalarNode, Slot, SumNode
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp

from .shapes import column_names, has_content, payloads_of, sum_names
from .types import member_array, newtype_type, pa, scalar_type, variant_array

__all__ = ["BLOCK", "Block", "UnreadableError", "array_from", "can_be_read"]

compute: Any = import_module("pyarrow.compute")

BLOCK: Final = 65_536
"""Rows of one block. Indexes for so many are made once, and what they reach for stays in the processor's cache."""

_PIECE: Final = 4_096
"""Rows of which texts are spelled at once, for the same reasons."""

_ITEMS: Final = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}


class UnreadableError(Exception):
    """Some value is none of its type. Reading the rows one by one tells which."""


def can_be_read(node: Node) -> bool:
    """Whether a type's values are of one size, and made of what this module knows."""
    match node:
        case Slot():
            return not node.cyclic and can_be_read(node.node)
        case ScalarNode() | NewtypeNode() | EnumNode():
            return sys.byteorder == "little"
        case ProductNode(fields=fields):
            return bool(fields) and all(can_be_read(field.node) for field in fields)
        case SumNode():
            payloads = [payload for payload in node.payloads if has_content(payload)]
            return node.fixed is not None and all(map(can_be_read, payloads))
        case _:
            return False


@attrs.frozen
class Block:
    """Rows of one size that lie end to end.

    Attributes:
        buffer: An Arrow buffer that begins with them.
        size: Bytes of a row.
        count: How many rows, `BLOCK` at most.
    """

    buffer: Any
    size: int
    count: int

    @classmethod
    def all_of(cls, data: bytes, size: int) -> list[Block]:
        """Cut rows that lie end to end into blocks."""
        buffer, count = pa.py_buffer(data), len(data) // size
        return [cls(buffer.slice(at * size), size, min(BLOCK, count - at)) for at in range(0, count, BLOCK)]

    def rows(self) -> list[bytes]:
        """The rows, cut apart."""
        data = bytes(memoryview(self.buffer)[: self.count * self.size])
        return [data[at : at + self.size] for at in range(0, len(data), self.size)]

    def gathered(self, offset: int, width: int) -> Any:
        """The bytes of a column, as a buffer that holds nothing else."""
        item = gcd(width, self.size, 8)
        view = self.buffer.slice(offset)
        items = pa.Array.from_buffers(_ITEMS[item], view.size // item, [None, view])
        each = width // item
        places = _places(self.size // item, each, _room(self.count)).slice(0, self.count * each)
        return compute.take(items, places, boundscheck=False).buffers()[1]

    def numbers(self, offset: int, type_: Any) -> Any:
        """A column of numbers, as an array."""
        return pa.Array.from_buffers(type_, self.count, [None, self.gathered(offset, type_.bit_width // 8)])


def array_from(block: Block, node: Node, offset: int) -> Any:
    """A column of a block's rows, as an array.

    Args:
        block: The rows.
        node: The column's type, which must be one that `can_be_read`.
        offset: Where it begins in each row.

    Raises:
        UnreadableError: Some value is none of that type.
    """
    match node:
        case Slot():
            return array_from(block, node.node, offset)
        case ScalarNode():
            return _scalars(block, node, offset)
        case NewtypeNode():
            return _newtypes(block, node, offset)
        case EnumNode():
            return pa.DictionaryArray.from_arrays(_tags(block, offset, len(node.members)), member_array(node))
        case ProductNode(fields=fields):
            parts: list[Any] = []
            for field in fields:
                parts.append(array_from(block, field.node, offset))
                offset += field.node.fixed or 0
            return pa.StructArray.from_arrays(parts, names=column_names(fields))
        case SumNode():
            return _sums(block, node, offset)
        case _:
            raise UnreadableError(node.title)


def _scalars(block: Block, node: ScalarNode, offset: int) -> Any:
    if node.kind == "bool":
        return _tags(block, offset, 2).cast(pa.bool_())
    if node.kind != "wide":
        return block.numbers(offset, scalar_type(node))
    size, data = node.size, memoryview(block.gathered(offset, node.size))
    places = range(0, size * block.count, size)
    numbers = (int.from_bytes(data[at : at + size], "little", signed=node.signed) for at in places)
    return pa.array(map(str, numbers), pa.string())


def _newtypes(block: Block, node: NewtypeNode, offset: int) -> Any:
    if node.cls in (Timestamp, TimeDuration):
        return block.numbers(offset, newtype_type(node))
    width, has_dashes = node.scalar.size, node.cls not in (Identity, ConnectionId)
    data, length = memoryview(block.gathered(offset, width)), len(_spelled(width, has_dashes=has_dashes))
    parts: list[Any] = []
    for start in range(0, block.count, _PIECE):
        rows = min(_PIECE, block.count - start)
        digits = b"-" + data[start * width : (start + rows) * width].hex().encode()
        items = pa.Array.from_buffers(pa.uint8(), len(digits), [None, pa.py_buffer(digits)])
        order = _spelling(width, _room(rows), has_dashes=has_dashes).slice(0, rows * length)
        offsets = _index(array("i", range(0, length * rows + 1, length)))
        texts = [None, offsets.buffers()[1], compute.take(items, order, boundscheck=False).buffers()[1]]
        parts.append(pa.Array.from_buffers(pa.string(), rows, texts))
    return pa.concat_arrays(parts)


def _tags(block: Block, offset: int, below: int) -> Any:
    tags = block.numbers(offset, pa.uint8())
    if block.count and compute.max(tags).as_py() >= below:
        raise UnreadableError(f"a tag beyond {below}")
    return tags


def _sums(block: Block, node: SumNode, offset: int) -> Any:
    tags = _tags(block, offset, len(node.variants))
    parts = [pa.DictionaryArray.from_arrays(tags, variant_array(node))]
    for wanted, variant in payloads_of(node):
        found = array_from(block, variant.node, offset + 1)
        is_it = compute.equal(tags, pa.scalar(wanted, pa.uint8()))
        parts.append(compute.if_else(is_it, found, pa.scalar(None, found.type)))
    return pa.StructArray.from_arrays(parts, names=sum_names(node))


# --- indexes ----------------------------------------------------------------------------------------------------------


def _index(numbers: Sequence[int]) -> Any:
    return pa.Array.from_buffers(pa.int32(), len(numbers), [None, pa.py_buffer(numbers)])


def _room(count: int) -> int:
    """For how many rows indexes are made where so many are wanted: there should not be too many different ones."""
    return 1 << (count - 1).bit_length()


@lru_cache(maxsize=64)
def _places(step: int, each: int, rows: int) -> Any:
    """The first `each` of every `step` places."""
    places = array("i", bytes(4 * each * rows))
    for place in range(each):
        places[place::each] = array("i", range(place, place + step * rows, step))
    return _index(places)


def _spelled(width: int, *, has_dashes: bool) -> list[int]:
    """Which digit stands where in the text of a number, if its bytes are little-endian and a dash stands before them.

    People read the last byte first.
    """
    digits = [1 + 2 * byte + half for byte in reversed(range(width)) for half in (0, 1)]
    if not has_dashes:
        return digits
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return [place for part in parts for place in (0, *part)][1:]


@lru_cache(maxsize=64)
def _spelling(width: int, rows: int, *, has_dashes: bool) -> Any:
    """As `_spelled`, for many rows behind the one dash."""
    spelled = _spelled(width, has_dashes=has_dashes)
    places = array("i", bytes(4 * len(spelled) * rows))
    for number, place in enumerate(spelled):
        step = 2 * width if place else 0
        places[number :: len(spelled)] = array("i", (place + step * row for row in range(rows)))
    return _index(places)
