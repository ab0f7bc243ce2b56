"""The door of this package: `Types` makes the codecs and Python classes of a module's types.

Every type is compiled to Python source once, when it is first used; after that nothing looks at types any more. What
values look like in Python:

=====================  =================================================================================================
bool, integers         `bool`, `int`; anything with `__index__` is taken, bools excepted
f32, f64               `float`; any real number is taken, bools excepted. f32 rounds
string                 `str`
array of u8            `bytes`; `bytearray` and `memoryview` are taken
array                  `list`; any sequence is taken that is no text and no bytes, and numpy's arrays
option                 the payload or `None`; if the payload is an option itself, `Some(payload)` or `None`
result                 `Ok(value)` or `Err(error)`
unit                   `()`; `None` is taken, except inside an option where it means absence
special types          `Identity`, `ConnectionId`, `Timestamp`, `TimeDuration`, `uuid.UUID`, `ScheduleAt`
named product          an attrs class; any attrs instance with the same fields is taken, or a mapping of them
sum of units           an `enum.Enum` whose values are the tags; a name is taken for a member
other sum              a class per variant, `Shape.Circle(value)`; the class of a unit variant is taken for its instance
=====================  =================================================================================================

Inline products (answers to ad-hoc SQL) have a class of their own named `Row`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..limits import Limits
from .compiled import Codec, ParamsCodec, guarded
from .decoding import write_decode
from .encoding import write_encode
from .functions import Functions
from .json_reading import write_read
from .json_writing import write_write
from .layout import CustomNode, Node
from .names import parameter_names
from .resolve import Resolver
from .skipping import write_skip
from .types import AlgebraicType, Product, Ref

__all__ = ["Codec", "ParamsCodec", "Types"]


class Types:
    """The types of one module.

    Attributes:
        names: Names of those slots of the typespace that have one.
    """

    def __init__(
        self,
        typespace: Sequence[AlgebraicType],
        names: Mapping[int, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            typespace: The slots that references refer to.
            names: Names of slots; a slot without a name is an alias for what it holds.
            limits: `nesting` bounds the values of recursive types.
        """
        self.names = dict(names or {})
        self._resolver = Resolver(typespace, self.names)
        self._codecs: dict[AlgebraicType, Codec] = {}
        self._functions = Functions(
            {
                "decode": ("data, pos", write_decode),
                "skip": ("data, pos", write_skip),
                "encode": ("value, append", write_encode),
                "read": ("obj", write_read),
                "write_named": ("value", partial(write_write, positional=False)),
                "write_positional": ("value", partial(write_write, positional=True)),
                "tell_named": ("value", partial(write_write, positional=False, lossy=True)),
                "tell_positional": ("value", partial(write_write, positional=True, lossy=True)),
            },
            (limits or Limits()).nesting,
        )

    def codec(self, type_: AlgebraicType) -> Codec:
        """The codec of a type, the same one each time.

        Raises:
            SchemaError: The type refers to a slot that does not exist, to nothing but itself, or is nested too deeply.
        """
        return guarded(self._codec, type_)

    def _codec(self, type_: AlgebraicType) -> Codec:
        found = self._codecs.get(type_)
        return found or self._codecs.setdefault(type_, Codec(self._functions, self._resolver.node(type_)))

    def node(self, type_: AlgebraicType) -> Node:
        """What a type is to Python, for those who write code of their own about its values: see `bsatn.layout`.

        Raises:
            SchemaError: As for `codec`.
        """
        return guarded(self._resolver.node, type_)

    def python_type(self, index: int) -> type[Any]:
        """The class of a slot's values.

        Raises:
            SchemaError: There is no such slot, or its values have no one class.
        """
        return self.codec(Ref(index)).python_type

    def product_fields_codec(self, params: Product, title: str = "") -> ParamsCodec:
        """The codec of a function's arguments.

        Args:
            params: The parameters.
            title: The function's name, for errors.
        """
        names = parameter_names([element.name for element in params.elements])
        node = guarded(self._resolver.parameters, title or "call", params, names)
        return ParamsCodec(self._functions, node)

    # --- bindings -----------------------------------------------------------------------------------------------------

    def bind(self, index: int, cls: type[Any]) -> None:
        """Let a slot's values be of a class that exists already. Must come before the slot is first used.

        Args:
            index: A slot that holds a product or a sum.
            cls: For a product, an attrs class with as many fields, which belong together by position; names may
                differ. For a sum of units, an enum with the tags as values. For another sum, a base class with its
                variants' classes as attributes, named as `variant_names` names them.

        Raises:
            SchemaError: There is no such slot, or it is in use. That class and type do not fit is found at first use.
        """
        self._resolver.bind(index, lambda: self._resolver.class_node(index, cls))

    def bind_lazily(
        self, index: int, make: Callable[[], type[Any]], *, known: int | None = None, older: str = ""
    ) -> None:
        """As `bind`, with a class that is made when the slot is first used, perhaps for an older form of its type.

        Args:
            index: As for `bind`.
            make: Makes the class.
            known: How many variants of a sum the class has. Values of others are skipped where only their end matters;
                to read one is a `DecodeError` that names the type.
            older: What that error says beside it.

        Raises:
            SchemaError: As for `bind`.
        """
        self._resolver.bind(index, lambda: self._resolver.class_node(index, make(), known, older))

    def bind_union(self, index: int, classes: Sequence[type[Any]]) -> None:
        """Let the values of a sum be of classes that need nothing in common. Must come before the slot is first used.

        Args:
            index: A slot that holds a sum.
            classes: One per variant. It may be the class of the payload itself (`str`, or what the payload's slot is
                bound to), an attrs class with as many fields as the payload has elements, one with a single field
                for the whole payload, or one without fields for a payload of nothing.

        Raises:
            SchemaError: There is no such slot, or it is in use. That class and type do not fit is found at first use.
        """
        self._resolver.bind(index, lambda: self._resolver.union_node(index, classes))

    def bind_custom(
        self,
        index: int,
        decode: Callable[[bytes, int], tuple[Any, int]],
        encode: Callable[[Any, Callable[[bytes], None]], None],
        min_size: int,
        *,
        from_json: Callable[[Any], Any] | None = None,
        to_json: Callable[[Any], Any] | None = None,
    ) -> None:
        """Let a slot's values be read and written by somebody else. Must come before the slot is first used.

        Args:
            index: The slot.
            decode: From data and position to value and end. May raise `DecodeError`, `IndexError` and `struct.error`.
            encode: Hands its parts to the function it is given. May raise `EncodeError`.
            min_size: A lower bound for the bytes of any value.
            from_json: From parsed JSON to a value. May raise `DecodeError`.
            to_json: From a value to what `json.dumps` takes. May raise `EncodeError`.

        Raises:
            SchemaError: There is no such slot, or it is in use.
        """
        title = self.names.get(index, f"type {index}")
        node = CustomNode(title, decode, encode, min_size, from_json, to_json)
        self._resolver.bind(index, lambda: node)
