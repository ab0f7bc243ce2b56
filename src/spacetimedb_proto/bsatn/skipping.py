"""Generates the functions that skip BSATN, so that one column of a row can be found without reading those before it.

Only what tells where values end is looked at: lengths, counts and tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .decoding import bad_tag, check_count
from .functions import Batch
from .layout import (
    ArrayNode,
    BytesNode,
    CustomNode,
    Node,
    OptionNode,
    ProductNode,
    Slot,
    SumNode,
    TextNode,
    plain,
)
from .source import MAX_INDENT, dispatch

__all__ = ["Skipper", "write_skip"]


def write_skip(batch: Batch, node: Node) -> None:
    """Write the body of `skip(data, pos, depth) -> end`."""
    skipper = Skipper(batch)
    skipper.skip(node)
    batch.source.add(f"return pos + {skipper.take()}")


class Skipper:
    """Writes the skipping of values: only what is needed to know where they end is looked at."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._functions = batch.functions
        self._source = batch.source
        self._ahead = 0

    def take(self) -> int:
        """Bytes that have been skipped but not yet added to the position; the caller adds them."""
        ahead, self._ahead = self._ahead, 0
        return ahead

    def settle(self) -> None:
        """Make the position the true one."""
        if ahead := self.take():
            self._source.add(f"pos += {ahead}")

    def skip(self, node: Node) -> None:
        """Write the skipping of one value."""
        if node.fixed is not None:
            self._ahead += node.fixed
        elif self._source.indent >= MAX_INDENT and isinstance(node, ArrayNode | OptionNode | SumNode):
            self._call(node)
        else:
            self._skip_variable(node)

    def _skip_variable(self, node: Node) -> None:
        match node:
            case TextNode() | BytesNode():
                where = self._place(4)
                self._source.add(f"pos += U32(data, {where})[0] + {self.take()}", self._short(4, where))
            case Slot():
                inner = plain(node)
                if isinstance(inner, TextNode | BytesNode):
                    self._skip_variable(inner)
                else:
                    self._call(node)
            case ProductNode(fields=fields):
                for field in fields:
                    with self._source.step(repr(field.name)):
                        self.skip(field.node)
            case OptionNode(payload=payload):
                tag = self._tag("option", 2)
                with self._source.block(f"if {tag} == 0"):
                    self._source.add("pass")
                    self.skip(payload)
                    self.settle()
            case SumNode(variants=variants, payloads=payloads):
                names = [repr(variant.name) for variant in variants]
                tag = self._tag(node.title, len(payloads))
                if payloads:
                    steps = [*names, *(f"'variant {number}'" for number in range(len(names), len(payloads)))]
                    dispatch(self._source, tag, list(map(self._variant_case, steps, payloads)))
            case ArrayNode(element=element):
                self._array(element)
            case _:
                self.settle()
                decode = self._functions.constant(cast("CustomNode", node).decode)
                self._source.add(f"pos = {decode}(data, pos)[1]", self._source.note())

    def _place(self, size: int) -> str:
        where = f"pos + {self._ahead}"
        self._ahead += size
        return where

    def _short(self, size: int, where: str) -> str:
        return f"short(data, {where}, (({self._source.here()}, {size}),))"

    def _tag(self, title: str, count: int) -> str:
        tag = self._source.variable()
        where = self._place(1)
        self._source.add(f"{tag} = data[{where}]", self._short(1, where))
        self.settle()
        bad = self._source.note("pos - 1", bad_tag(tag, title, count))
        self._source.add(f"if {tag} >= {count}: raise Bad", bad)
        return tag

    def _call(self, node: Node) -> None:
        self.settle()
        self._source.add(f"pos = {self._batch.call('skip', node)}(data, pos, depth)", self._source.note())

    def _variant_case(self, step: str, payload: Node) -> Callable[[], None]:
        def write() -> None:
            with self._source.step(step):
                self._source.add("pass")
                self.skip(payload)
                self.settle()

        return write

    def _array(self, element: Node) -> None:
        count = self._source.variable()
        where = self._place(4)
        self._source.add(f"{count} = U32(data, {where})[0]", self._short(4, where))
        self.settle()
        check_count(self._source, count, element)
        if element.fixed is not None:
            self._source.add(f"pos += {count} * {element.fixed}")
            return
        index = self._source.variable()
        with self._source.block(f"for {index} in range({count})"), self._source.step(index):
            self.skip(element)
            self.settle()
