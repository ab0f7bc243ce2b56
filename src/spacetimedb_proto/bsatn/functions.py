"""The generated functions of one `Types`: each is written when it is first needed, with all that it calls.

A generator names the functions that its own one calls by kind and node, and they are written after it. So recursive
types end, and long chains of types need no stack.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from . import checks, json_checks
from .classes import builder
from .layout import Node, Slot
from .source import Bad, Namespace, Source

__all__ = ["Batch", "Functions", "Kind", "Writer"]

Kind: TypeAlias = Literal[
    "decode", "skip", "encode", "read", "write_named", "write_positional", "tell_named", "tell_positional"
]
Writer: TypeAlias = Callable[["Batch", Node], None]


class Functions:
    """Finds, writes and keeps generated functions.

    Threads may come here at the same time without a lock: each writes what it needs that is not ready, and if two
    write the same function, either will do. A function counts as ready when all that it calls is installed.

    Attributes:
        namespace: Where they live.
        nesting: How deep values of recursive types may be nested.
    """

    def __init__(self, writers: Mapping[Kind, tuple[str, Writer]], nesting: int) -> None:
        """Start with no function.

        Args:
            writers: For each kind of function, its parameters but for `depth`, and what writes its body.
            nesting: How deep values of recursive types may be nested.
        """
        self.namespace = Namespace({"Bad": Bad, **checks.HELPERS, **json_checks.JSON_HELPERS})
        self.nesting = nesting
        self.writers = writers
        self.ready: set[str] = set()
        self._numbers = itertools.count()
        self._names: dict[tuple[Kind, int], tuple[str, Node]] = {}  # the node is kept so that its id stays its own
        self._constants: dict[str, str] = {}
        self._builders: dict[type[Any], type[Any] | None] = {}

    def name(self, kind: Kind, node: Node) -> str:
        """The name of a node's function, whether it exists or not."""
        return self._names.setdefault((kind, id(node)), (f"{kind}_{next(self._numbers)}", node))[0]

    def entry(
        self, parameters: str, failed: Callable[[Exception], Exception], write: Callable[[Batch], None], again: str = ""
    ) -> Callable[..., Any]:
        """Write a function that others may call, and all that it calls.

        Args:
            parameters: Its signature.
            failed: Makes the error to raise from whatever the generated code stumbles over.
            write: Writes the body.
            again: The line that does it all again instead, for code that is too quick to know what is wrong.
        """
        name = f"entry_{next(self._numbers)}"
        source = Source(f"def {name}({parameters}):")
        batch = Batch(self, source)
        with source.block("try"):
            source.add("depth = 0")
            write(batch)
        with source.block("except FAULTS as error"):
            source.add(again or f"raise {self.constant(failed)}(error) from None")
        self._install_all(batch.needed)
        return self.namespace.install(name, source)

    def _install_all(self, needed: dict[str, tuple[Kind, Node]]) -> None:
        written: dict[str, Source] = {}
        while needed:
            name, (kind, node) = needed.popitem()
            if name not in written and name not in self.ready:
                written[name] = source = Source(f"def {name}({self.writers[kind][0]}, depth):")
                needed |= self._write(kind, node, source)
        for name, source in written.items():
            self.namespace.install(name, source)
        self.ready.update(written)

    def _write(self, kind: Kind, node: Node, source: Source) -> dict[str, tuple[Kind, Node]]:
        if isinstance(node, Slot):
            if node.cyclic:
                source.add("depth += 1")
                source.add(f"if depth > {self.nesting}: raise Bad", f"too_deep({self.nesting}, locals())")
            node = node.node
        batch = Batch(self, source)
        self.writers[kind][1](batch, node)
        return batch.needed

    # --- constants ----------------------------------------------------------------------------------------------------

    def constant(self, value: Any) -> str:
        """A name for an object."""
        return self.namespace.constant(value)

    def _shared(self, key: str, make: Callable[[], Any]) -> str:
        return self._constants.get(key) or self._constants.setdefault(key, self.constant(make()))

    def unpack_from(self, format_: str) -> str:
        """A name for the function that unpacks this format, little-endian, from a position."""
        return self._shared(f"unpack_from {format_}", lambda: struct.Struct(f"<{format_}").unpack_from)

    def unpack(self, format_: str) -> str:
        """A name for the function that unpacks exactly this format."""
        return self._shared(f"unpack {format_}", lambda: struct.Struct(f"<{format_}").unpack)

    def elastic_unpack(self, before: str, after: str) -> str:
        """A name for a table of functions that unpack exactly these formats and a number of bytes between them."""
        return self._shared(f"elastic_unpack {before} {after}", lambda: checks.ElasticUnpack(before, after))

    def iter_unpack(self, format_: str) -> str:
        """A name for the function that unpacks this format again and again."""
        return self._shared(f"iter_unpack {format_}", lambda: struct.Struct(f"<{format_}").iter_unpack)

    def pack(self, format_: str) -> str:
        """A name for the function that packs this format."""
        return self._shared(f"pack {format_}", lambda: struct.Struct(f"<{format_}").pack)

    def construct(self, variable: str, cls: type[Any], fields: Sequence[tuple[str, str]]) -> list[str]:
        """Lines that make an instance of an attrs class from checked values.

        Args:
            variable: Where the instance goes.
            cls: Its class.
            fields: Attribute names with the expressions of their values, in the class's order.
        """
        if cls is uuid.UUID:
            fields = [*fields, ("is_safe", self.constant(uuid.SafeUUID.unknown))]
        if not fields:
            return [f"{variable} = {self._shared(f'only {id(cls)}', cls)}"]
        made_by = self.blank(cls)
        if made_by is None:
            aliases = [field.alias for field in attrs.fields(cls)]
            arguments = ", ".join(f"{alias}={value}" for alias, (_, value) in zip(aliases, fields, strict=True))
            return [f"{variable} = {self.constant(cls)}({arguments})"]
        stores = [f"{variable}.{name} = {value}" for name, value in fields]
        return [f"{variable} = {made_by}()", *stores, f"{variable}.__class__ = {self.constant(cls)}"]

    def blank(self, cls: type[Any]) -> str | None:
        """A name for what makes the instance that is then filled; None if the class must be called with the values."""
        made_by = self._builders[cls] if cls in self._builders else self._builders.setdefault(cls, builder(cls))
        return None if made_by is None else self.constant(made_by)


@attrs.frozen(eq=False)
class Batch:
    """What a generator works with: one function's source, and the functions that it calls.

    Attributes:
        functions: Where constants come from.
        source: Where to write.
        needed: Functions that have been named, with their kind and node.
    """

    functions: Functions
    source: Source
    needed: dict[str, tuple[Kind, Node]] = attrs.field(init=False, factory=dict[str, "tuple[Kind, Node]"])

    def call(self, kind: Kind, node: Node) -> str:
        """The name of a node's function, which will exist when the one being written is first called."""
        name = self.functions.name(kind, node)
        self.needed[name] = kind, node
        return name
