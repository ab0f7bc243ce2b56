"""Codecs: the generated functions of one type, each compiled when it is first used, and what is known about the type.

What generated code stumbles over becomes a `DecodeError` or `EncodeError` here, and nothing else gets out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ParamSpec, TypeVar

from ..errors import DecodeError, EncodeError, SchemaError
from .checks import shown
from .decoding import (
    Reader,
    is_elastic,
    write_decode,
    write_decode_block,
    write_decode_elastic,
    write_decode_elastic_rows,
    write_decode_exact,
)
from .encoding import write_encode_entry
from .functions import Batch, Functions
from .json_reading import write_read
from .json_writing import write_write
from .layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    ProductNode,
    ScalarNode,
    Slot,
    SumNode,
    TextNode,
    least_size,
    plain,
)
from .skipping import Skipper
from .source import path_text

__all__ = ["Codec", "ParamsCodec", "guarded"]

P = ParamSpec("P")
T = TypeVar("T")


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what walks types; those that are nested beyond all reason are the schema's fault."""
    try:
        return function(*args, **kwargs)
    except RecursionError:
        raise SchemaError("types are nested too deeply") from None


class _Compiled:
    """The functions that every codec has, each compiled at its first use."""

    def __init__(self, functions: Functions, node: Node) -> None:
        self._functions = functions
        self._node = node

    def _entry(
        self, parameters: str, failed: Any, write: Callable[[Batch, Node], None], again: str = ""
    ) -> Callable[..., Any]:
        def body(batch: Batch) -> None:
            node = self._node
            while isinstance(node, Slot) and not node.cyclic:
                node = node.node  # one call less for each value
            write(batch, node)

        return guarded(self._functions.entry, parameters, failed, body, again)

    @cached_property
    def _encode(self) -> Callable[[Any], bytes]:
        return self._entry("value", self._encode_failed, write_encode_entry)

    @cached_property
    def _decode_exact(self) -> Callable[[bytes], Any]:
        if not guarded(is_elastic, guarded(plain, self._node)):
            return self._decode_carefully
        again = f"return {self._functions.constant(self._decode_again)}(data)"
        return self._entry("data", self._decode_failed, write_decode_elastic, again)

    @cached_property
    def _decode_carefully(self) -> Callable[[bytes], Any]:
        return self._entry("data", self._decode_failed, write_decode_exact)

    def _decode_again(self, data: bytes) -> Any:
        return self._decode_carefully(data)

    @cached_property
    def _from_json(self) -> Callable[[Any], Any]:
        return self._entry("obj", self._from_json_failed, write_read)

    @cached_property
    def _to_named(self) -> Callable[[Any], Any]:
        return self._entry("value", self._encode_failed, partial(write_write, positional=False))

    @cached_property
    def _to_positional(self) -> Callable[[Any], Any]:
        return self._entry("value", self._encode_failed, partial(write_write, positional=True))

    @cached_property
    def _tell_named(self) -> Callable[[Any], Any]:
        return self._entry("value", self._encode_failed, partial(write_write, positional=False, lossy=True))

    @cached_property
    def _tell_positional(self) -> Callable[[Any], Any]:
        return self._entry("value", self._encode_failed, partial(write_write, positional=True, lossy=True))

    # --- errors -------------------------------------------------------------------------------------------------------

    def _encode_failed(self, error: Exception) -> Exception:
        trail = self._functions.namespace.trail(error)
        if isinstance(error, EncodeError):
            for step in reversed(trail.path):
                error.within(step)
            return error
        if isinstance(error, RecursionError):
            return EncodeError("values nested less deeply", "more")
        expected, value = trail.details
        return EncodeError(expected, shown(value), trail.path)

    def _decode_failed(self, error: Exception) -> Exception:
        trail = self._functions.namespace.trail(error)
        if isinstance(error, RecursionError):
            return DecodeError(f"{self._node.title}: values nested less deeply expected")
        where = path_text(self._node.title, trail.path)
        if isinstance(error, DecodeError) or not trail.details:
            return DecodeError(f"{where}: {error}")
        position, text = trail.details
        return DecodeError(f"{where} at byte {position}: {text}")

    def _from_json_failed(self, error: Exception) -> Exception:
        trail = self._functions.namespace.trail(error)
        if isinstance(error, RecursionError):
            return DecodeError(f"{self._node.title}: values nested less deeply expected")
        text = error if isinstance(error, DecodeError) or not trail.details else trail.details[0]
        return DecodeError(f"{path_text(self._node.title, trail.path)}: {text}")


class Codec(_Compiled):
    """Reads and writes the values of one type. Made by `Types.codec`.

    The functions below are compiled when they are first looked up, so a loop should look them up once.
    """

    @property
    def encode(self) -> Callable[[Any], bytes]:
        """`(value) -> bytes`. Raises `EncodeError`, which names the place in the value."""
        return self._encode

    @property
    def decode_exact(self) -> Callable[[bytes], Any]:
        """`(data) -> value`, where the value must fill the data. Raises `DecodeError` for all other data."""
        return self._decode_exact

    @cached_property
    def decode(self) -> Callable[..., tuple[Any, int]]:
        """`(data, pos=0) -> (value, end)`. Raises `DecodeError` if no value stands at that position."""
        return self._entry("data, pos=0", self._decode_failed, write_decode)

    @cached_property
    def cut(self) -> Callable[[bytes], bytes]:
        """`(data) -> bytes` of the value that stands at the beginning, of which only the length is checked.

        Raises `DecodeError` if the data end before it does.
        """

        def write(batch: Batch, node: Node) -> None:
            batch.source.add("pos = 0")
            _write_slice(batch, node)

        return self._entry("data", self._decode_failed, write)

    @cached_property
    def decode_rows(self) -> Callable[[Sequence[bytes]], list[Any]]:
        """`(rows) -> values`: `decode_exact` for many at once. Raises `DecodeError` for the first that is no value."""
        again = self._functions.constant(self._decode_rows_again)
        if guarded(is_elastic, guarded(plain, self._node)):
            return self._entry("rows", self._decode_failed, write_decode_elastic_rows, f"return {again}(rows)")
        return self._decode_rows_again

    def _decode_rows_again(self, rows: Sequence[bytes]) -> list[Any]:
        return list(map(self._decode_exact, rows))

    @cached_property
    def decode_block(self) -> Callable[[bytes], list[Any]] | None:
        """`(data) -> values` for values of one size that lie end to end; None for types of which that cannot be told.

        Raises `DecodeError` for the first that is no value. The length must be a multiple of `fixed_size`.
        """
        size = self.fixed_size
        if not size or not guarded(lambda: self._node.run):
            return None

        def one_by_one(data: bytes) -> list[Any]:
            return [self._decode_exact(data[at : at + size]) for at in range(0, len(data), size)]

        again = f"return {self._functions.constant(one_by_one)}(data)"
        return self._entry("data", self._decode_failed, write_decode_block, again)

    @property
    def from_json(self) -> Callable[[Any], Any]:
        """`(parsed JSON) -> value`, in any form that servers write or accept. Raises `DecodeError`."""
        return self._from_json

    def to_json(self, value: Any, positional: bool = True) -> Any:
        """Make what `json.dumps` takes.

        Args:
            value: As for `encode`.
            positional: Whether products are arrays and sums `[tag, payload]`, or objects by name.

        Raises:
            EncodeError: The value is not one of this type, or holds a number that JSON cannot carry.
        """
        return self._to_positional(value) if positional else self._to_named(value)

    def tell_json(self, value: Any, positional: bool = True) -> Any:
        """As `to_json`, but in the way of servers, who write `null` for a number that JSON cannot carry.

        `from_json` reads that as NaN: infinities do not come back (protocol reference, trap 49).

        Raises:
            EncodeError: The value is not one of this type.
        """
        return self._tell_positional(value) if positional else self._tell_named(value)

    # --- what is known about the type ---------------------------------------------------------------------------------

    @cached_property
    def fixed_size(self) -> int | None:
        """Bytes of every value, or None if values differ."""
        return guarded(lambda: self._node.fixed)

    @cached_property
    def min_size(self) -> int:
        """A lower bound for the bytes of any value, exact unless the type contains itself."""
        return guarded(least_size, self._node)

    @property
    def is_float(self) -> bool:
        """Whether values are floats, which are not always equal to themselves."""
        node = plain(self._node)
        return isinstance(node, ScalarNode) and node.kind in ("f32", "f64")

    @property
    def is_number(self) -> bool:
        """Whether values are numbers or bools."""
        return isinstance(plain(self._node), ScalarNode)

    @property
    def integer_format(self) -> str | None:
        """The format in `struct` of an integer of at most 64 bits; None for all other types."""
        node = plain(self._node)
        return node.code if isinstance(node, ScalarNode) and node.kind == "int" else None

    @property
    def is_scalar(self) -> bool:
        """Whether values are hashable and have no parts: numbers, bools, text, bytes, special types and enums."""
        return isinstance(plain(self._node), ScalarNode | NewtypeNode | TextNode | BytesNode | EnumNode)

    @property
    def python_type(self) -> type[Any]:
        """The class of the values.

        Raises:
            SchemaError: They have no one class: an option, a result, a union.
        """
        match plain(self._node):
            case ScalarNode(kind=kind):
                return {"bool": bool, "f32": float, "f64": float}.get(kind, int)
            case TextNode():
                return str
            case BytesNode():
                return bytes
            case ArrayNode():
                return list
            case NewtypeNode(cls=cls) | EnumNode(cls=cls) | ProductNode(cls=cls) | SumNode(cls=cls) if cls is not None:
                return cls
            case _:
                raise SchemaError(f"{self._node.title}: values have no one class")

    # --- columns ------------------------------------------------------------------------------------------------------

    @property
    def _product(self) -> ProductNode:
        node = guarded(plain, self._node)
        if not isinstance(node, ProductNode):
            raise SchemaError(f"{self._node.title}: only products have columns")
        return node

    @property
    def field_names(self) -> tuple[str, ...]:
        """Attribute names of a product's columns in order."""
        return tuple(field.name for field in self._product.fields)

    @cached_property
    def _columns(self) -> list[Codec]:
        return [Codec(self._functions, field.node) for field in self._product.fields]

    def column(self, index: int) -> Codec:
        """The codec of one column of a product."""
        return self._columns[index]

    def column_offset(self, index: int) -> int | None:
        """Where a column begins in every row, in bytes; None if that depends on the row."""
        offset = 0
        for column in self._columns[:index]:
            if column.fixed_size is None:
                return None
            offset += column.fixed_size
        return offset

    @cached_property
    def _readers(self) -> dict[int, Callable[[bytes], Any]]:
        return {}

    @cached_property
    def _slicers(self) -> dict[int, Callable[[bytes], bytes]]:
        return {}

    def column_reader(self, index: int) -> Callable[[bytes], Any]:
        """The function from a row to the value of one column, the same one each time.

        What stands before the column is skipped, what stands after it is not looked at. Raises `DecodeError` where it
        cannot.
        """
        found = self._readers.get(index)
        return found or self._readers.setdefault(index, self._new_reader(index))

    def _new_reader(self, index: int) -> Callable[[bytes], Any]:
        field = self._product.fields[index]

        def write(batch: Batch, _node: Node) -> None:
            source = batch.source
            self._write_skip(batch, index)
            with source.step(repr(field.name)):
                reader = Reader(batch)
                value = reader.read(field.node)
                reader.flush(last=True)
            source.add(f"return {value}")

        return self._entry("data", self._decode_failed, write)

    def column_slicer(self, index: int) -> Callable[[bytes], bytes]:
        """The function from a row to the bytes of one column, of which only the length is checked."""
        found = self._slicers.get(index)
        return found or self._slicers.setdefault(index, self._new_slicer(index))

    def _new_slicer(self, index: int) -> Callable[[bytes], bytes]:
        field = self._product.fields[index]

        def write(batch: Batch, _node: Node) -> None:
            self._write_skip(batch, index)
            with batch.source.step(repr(field.name)):
                _write_slice(batch, field.node)

        return self._entry("data", self._decode_failed, write)

    def _write_skip(self, batch: Batch, index: int) -> None:
        source = batch.source
        source.add("pos = 0")
        skipper = Skipper(batch)
        for field in self._product.fields[:index]:
            with source.step(repr(field.name)):
                skipper.skip(field.node)
        skipper.settle()


def _write_slice(batch: Batch, node: Node) -> None:
    """Write the end of a function that returns the bytes of the value at its position."""
    source = batch.source
    source.add("start = pos")
    skipper = Skipper(batch)
    skipper.skip(node)
    skipper.settle()
    text = "'%d bytes expected, %d left' % (pos - start, max(len(data) - start, 0))"
    source.add("if pos > len(data): raise Bad", source.note("start", text))
    source.add("return data[start:pos]")


class ParamsCodec(_Compiled):
    """Reads and writes the arguments of one reducer or procedure. Made by `Types.product_fields_codec`.

    Attributes:
        title: The function's name.
        names: The parameters' names in Python.
        wire_names: Their names in the definition.
    """

    def __init__(self, functions: Functions, node: ProductNode) -> None:
        super().__init__(functions, node)
        self.title = node.title
        self.names = tuple(field.name for field in node.fields)
        self.wire_names = tuple(field.wire_name for field in node.fields)

    def arrange(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put arguments into declared order.

        Args:
            args: Those given by position.
            kwargs: Those given by name, in Python or on the wire.

        Raises:
            TypeError: One is missing, too much, or given twice; says so as Python would.
        """
        if len(args) > len(self.names):
            raise TypeError(f"{self._signature} takes {_arguments(len(self.names))}, {len(args)} were given")
        given: dict[str, Any] = dict(zip(self.names, args, strict=False))
        for key, value in kwargs.items():
            name = self._parameter(key)
            if name in given:
                raise TypeError(f"{self._signature} got argument {name!r} twice")
            given[name] = value
        missing = [name for name in self.names if name not in given]
        if missing:
            raise TypeError(f"{self._signature} is missing {', '.join(map(repr, missing))}")
        return tuple(given[name] for name in self.names)

    def _parameter(self, key: str) -> str:
        if key in self.names:
            return key
        if key in self.wire_names:
            return self.names[self.wire_names.index(key)]
        raise TypeError(f"{self._signature} got an unexpected argument {key!r}")

    @property
    def _signature(self) -> str:
        return f"{self.title}({', '.join(self.names)})"

    def _arranged(self, args: Sequence[Any] | Mapping[str, Any]) -> tuple[Any, ...]:
        return self.arrange((), args) if isinstance(args, Mapping) else self.arrange(args, {})

    def encode(self, args: Sequence[Any] | Mapping[str, Any]) -> bytes:
        """Encode arguments given in order or by name.

        Raises:
            TypeError: The wrong number of arguments, or unknown names.
            EncodeError: One does not fit its type; the path begins with the parameter's name.
        """
        return self._encode(self._arranged(args))

    def to_json(self, args: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """Make the JSON array that servers take as arguments; raises as `encode` does."""
        found: list[Any] = self._to_positional(self._arranged(args))
        return found

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Decode arguments in declared order.

        Raises:
            DecodeError: The data are not exactly these arguments.
        """
        found: tuple[Any, ...] = self._decode_exact(data)
        return found

    def from_json(self, obj: Any) -> tuple[Any, ...]:
        """Read arguments from parsed JSON: an array in order, or an object by the definition's names.

        Raises:
            DecodeError: They are not these arguments.
        """
        found: tuple[Any, ...] = self._from_json(obj)
        return found


def _arguments(count: int) -> str:
    return f"{count or 'no'} argument{'s' * (count != 1)}"
