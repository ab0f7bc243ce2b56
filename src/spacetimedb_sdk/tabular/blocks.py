"""Columns made of the bytes of rows that all have one size, without a Python object for each value.

A column of such rows is a few of every so many bytes, which numpy copies at about the speed of memory.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import attrs

from spacetimedb_proto.bsatn.layout import EnumNode, NewtypeNode, Node, ProductNode, ScalarNode, Slot, SumNode
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp

from .shapes import column_names, has_content, payloads_of, sum_names
from .types import member_array, newtype_type, pa, scalar_type, variant_array

__all__ = ["BLOCK", "Block", "UnreadableError", "array_from", "can_be_read"]

compute: Any = import_module("pyarrow.compute")
np: Any = import_module("numpy")

BLOCK: Final = 65_536
"""Rows of one block. They stay in the processor's cache while one column after the other is taken from them."""

_VALUES: Final = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}
"""What numpy copies one by one, by the size: no other type is as quick."""

_DASHES: Final = (8, 12, 16, 20)
"""The digits of a UUID before which a dash is written."""


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
        data: They and nothing else.
        size: Bytes of a row.
    """

    data: memoryview
    size: int

    @classmethod
    def all_of(cls, data: bytes, size: int) -> list[Block]:
        """Cut rows that lie end to end into blocks."""
        view, step = memoryview(data), size * BLOCK
        return [cls(view[start : start + step], size) for start in range(0, len(view), step)]

    @property
    def count(self) -> int:
        """How many rows, `BLOCK` at most."""
        return len(self.data) // self.size

    def rows(self) -> list[bytes]:
        """The rows, cut apart."""
        data = bytes(self.data)
        return [data[at : at + self.size] for at in range(0, len(data), self.size)]

    def gathered(self, offset: int, width: int) -> Any:
        """The bytes of a column, as an array of numpy's that holds nothing else."""
        values = np.ndarray(self.count, _VALUES.get(width, f"V{width}"), self.data, offset, (self.size,))
        return np.ascontiguousarray(values)

    def numbers(self, offset: int, type_: Any) -> Any:
        """A column of numbers, as an array."""
        values = self.gathered(offset, type_.bit_width // 8)
        return pa.Array.from_buffers(type_, self.count, [None, pa.py_buffer(values)])


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
    size, data = node.size, block.gathered(offset, node.size).tobytes()
    starts = range(0, len(data), size)
    numbers = (int.from_bytes(data[at : at + size], "little", signed=node.signed) for at in starts)
    return pa.array(map(str, numbers), pa.string())


def _newtypes(block: Block, node: NewtypeNode, offset: int) -> Any:
    if node.cls in (Timestamp, TimeDuration):
        return block.numbers(offset, newtype_type(node))
    width, has_dashes = node.scalar.size, node.cls not in (Identity, ConnectionId)
    # People read the last byte first.
    backwards = block.gathered(offset, width).view(np.uint8).reshape(-1, width)[:, ::-1]
    digits = np.frombuffer(backwards.tobytes().hex().encode(), np.uint8).reshape(-1, 2 * width)
    texts = np.insert(digits, _DASHES, ord("-"), axis=1) if has_dashes else digits
    offsets = np.arange(0, texts.size + 1, texts.shape[1], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), block.count, [None, pa.py_buffer(offsets), pa.py_buffer(texts)])


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
