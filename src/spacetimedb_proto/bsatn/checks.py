"""What generated code calls when the common case does not hold, and what its notes call to say why.

Nothing here is reached by a value that is right at the first look, apart from a few conversions that Python has no
builtin for.
"""

from __future__ import annotations

import enum
import math
import numbers
import operator
import reprlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat, starmap
from typing import Any, TypeAlias

import attrs

from ..errors import DecodeError, EncodeError
from .source import Bad
from .values import Some

__all__ = ["HELPERS", "ZERO_SIZE_ELEMENTS", "shown"]

ZERO_SIZE_ELEMENTS = 1024
"""How many elements without any bytes an array may have. Nothing else bounds them: four bytes of count would buy as
much memory as the sender likes (protocol reference, trap 17)."""

Path: TypeAlias = tuple[str | int, ...]

_F32 = struct.Struct("<f")
_F32_BITS = struct.Struct("<I")
_F64 = struct.Struct("<d")
_F64_BITS = struct.Struct("<Q")
_SIGN, _EXPONENT, _MANTISSA, _QUIET = 0x8000_0000, 0x7F80_0000, 0x007F_FFFF, 0x0040_0000  # of an f32
_WIDE_EXPONENT = 0x7FF0_0000_0000_0000  # of an f64, whose mantissa is 29 bits longer

_BYTES: tuple[type[Any], ...] = (bytes, bytearray, memoryview)

_LONG_TEXT = 120  # characters of a value in a message
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxdict = _REPR.maxlist = _REPR.maxtuple = 4


def _class_of(value: Any) -> type[Any]:
    return value.__class__  # type: ignore[no-any-return]


def _is_a(value: Any, cls: type[Any]) -> bool:
    return isinstance(value, cls)


def shown(value: Any) -> str:
    """A value for an error message: shortened, with its type."""
    try:
        text = _REPR.repr(value)
    except Exception:  # somebody else's `__repr__`, or an int of more digits than Python prints
        text = "a value"
    if len(text) > _LONG_TEXT:
        text = f"{text[: _LONG_TEXT // 2]}...{text[-_LONG_TEXT // 2 :]}"
    return f"{text} ({type(value).__name__})"


class ElasticUnpack(dict[int, Any]):
    """Functions that unpack scalars with one part of variable size among them, by the size of that part."""

    _MOST = 512  # sizes to remember: strings that differ more than this gain nothing from being remembered

    def __init__(self, before: str, after: str) -> None:
        """Start with no size.

        Args:
            before: Format of the scalars before the part.
            after: Format of those after it.
        """
        super().__init__()
        self._before = before
        self._after = after

    def __missing__(self, size: int) -> Any:
        if len(self) >= self._MOST:
            self.clear()
        unpack = self[size] = struct.Struct(f"<{self._before}{size}s{self._after}").unpack
        return unpack


# --- decoding ---------------------------------------------------------------------------------------------------------


def short(data: bytes, position: int, fields: Iterable[tuple[Path, int]]) -> tuple[Path, int, str]:
    """The note of a run of scalars: the first that the data does not reach."""
    for path, size in fields:
        left = max(len(data) - position, 0)
        if left < size:
            return path, position, f"{_bytes(size)} expected, {left} left"
        position += size
    return (), position, f"{_bytes(len(data) - position)} left over"


def _bytes(count: int) -> str:
    return f"{count} byte{'s' * (count != 1)}"


def too_deep(limit: int, variables: Mapping[str, Any]) -> tuple[Any, ...]:
    """The note of the check on recursive types, which is the same for all kinds of functions."""
    text = f"values nested at most {limit} deep"
    if "pos" in variables:
        return (), variables["pos"], f"{text} expected, got more"
    if "append" in variables or "value" in variables:
        return (), text, variables["value"]
    return (), f"{text} expected, got more"


def nan32(data: bytes, position: int) -> float:
    """An f32 NaN as a float that still tells all of its bits; plain conversion would make it quiet."""
    (bits,) = _F32_BITS.unpack_from(data, position)
    wide = (bits & _SIGN) << 32 | _WIDE_EXPONENT | (bits & _MANTISSA) << 29
    number: float = _F64.unpack(_F64_BITS.pack(wide))[0]
    return number


def floats32(data: bytes, position: int, count: int) -> list[float]:
    """An array of f32."""
    found = list(struct.unpack_from(f"<{count}f", data, position))
    if math.isnan(sum(found)):  # also if infinities cancel out, which costs a look and no more
        found = [x if x == x else nan32(data, position + 4 * i) for i, x in enumerate(found)]  # noqa: PLR0124
    return found


def blanks(cls: type[Any], count: int) -> list[Any]:
    """Instances to be filled, made in one call: that saves a tenth of what making one after the other takes."""
    return list(starmap(cls, repeat((), count)))


# --- encoding ---------------------------------------------------------------------------------------------------------


def as_int(value: Any, expected: str) -> int:
    """An integer from anything that is one, bools excepted."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise EncodeError(expected, shown(value))


def as_float(value: Any, expected: str) -> float:
    """A float from any real number, bools excepted."""
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            pass
    raise EncodeError(expected, shown(value))


def as_bool(value: Any) -> bool:
    """Only called for what is neither True nor False."""
    raise EncodeError("bool", shown(value))


def as_text(value: Any) -> str:
    """A string from a subclass of `str`."""
    if isinstance(value, str):
        return str.__str__(value)
    raise EncodeError("str", shown(value))


def as_bytes(value: Any) -> bytes:
    """Bytes from anything that is bytes; a list of numbers is not."""
    if isinstance(value, _BYTES):
        return bytes(value)
    raise EncodeError("bytes", shown(value))


def as_items(value: Any, expected: str) -> Sequence[Any]:
    """The elements of any sequence that is no text and no bytes."""
    # numpy's arrays are no `Sequence`; those without dimensions cannot be iterated.
    if not isinstance(value, (str, *_BYTES)) and (_is_a(value, Sequence) or hasattr(value, "__array__")):
        try:
            return list(value)
        except TypeError:
            pass
    raise EncodeError(expected, shown(value))


def as_instance(value: Any, cls: type[Any]) -> Any:
    """An instance of a subclass."""
    if isinstance(value, cls):
        return value
    raise EncodeError(cls.__name__, shown(value))


def as_unit(value: Any) -> None:
    """Nothing: an empty tuple or None."""
    if value is not None and not (isinstance(value, tuple) and value == ()):
        raise EncodeError("unit ()", shown(value))


def as_member(value: Any, cls: type[enum.Enum], wire_names: Sequence[str | None]) -> Any:
    """A member from its name, in Python or on the wire, or from its like in another class that is called the same."""
    if isinstance(value, enum.Enum) and type(value).__name__ == cls.__name__:
        found = cls.__members__.get(value.name)
        if found is not None and found.value == value.value:
            return found
    if isinstance(value, str):
        found = cls.__members__.get(value)
        if found is not None:
            return found
        if value in wire_names:
            return list(cls)[wire_names.index(value)]
    names = ", ".join(cls.__members__)
    raise EncodeError(f"{cls.__name__} ({_REPR.repr_str(names, 1) if len(names) > 200 else names})", shown(value))


def as_fields(value: Any, title: str, names: Sequence[str], wire_names: Sequence[str | None]) -> tuple[Any, ...]:
    """The values of a product's fields from a mapping, or from an instance of another class with the same fields."""
    if _is_a(value, Mapping):
        return _from_mapping(value, title, names, wire_names)
    cls = _class_of(value)
    if attrs.has(cls) and {field.name for field in attrs.fields(cls)}.issuperset(names or [None]):
        return tuple(getattr(value, name) for name in names)
    raise EncodeError(title, shown(value))


def _from_mapping(
    value: Mapping[Any, Any], title: str, names: Sequence[str], wire_names: Sequence[str | None]
) -> tuple[Any, ...]:
    found = [
        value[name] if name in value else value.get(wire_name, Bad) if wire_name is not None else Bad
        for name, wire_name in zip(names, wire_names, strict=True)
    ]
    missing = [name for name, item in zip(names, found, strict=True) if item is Bad]
    unknown = [key for key in value if key not in names and (key is None or key not in wire_names)]
    if missing or unknown or len(value) != len(names):
        problems = [f"without {', '.join(map(repr, missing))}"] if missing else []
        problems += [f"with unknown {', '.join(_REPR.repr(key) for key in unknown[:4])}"] if unknown else []
        problems = problems or ["that names a field twice"]
        raise EncodeError(title, f"a mapping {' and '.join(problems)}")
    return tuple(found)


def as_variant(value: Any, title: str, classes: Mapping[type[Any], int], units: Mapping[type[Any], Any]) -> Any:
    """A value and its tag, from the class of a variant without payload, or from an instance of a subclass.

    Or from an instance of another class that is called the same and has the same attributes: what another connection,
    a generated package or a module has made for the same type.
    """
    if isinstance(value, type) and value in units:
        return units[value], classes[value]
    for cls, tag in classes.items():
        if isinstance(value, cls) and not isinstance(value, bool):
            return value, tag
    names = _names_of(_class_of(value))
    for cls, tag in classes.items():
        if names is not None and names == _names_of(cls):
            return value, tag
    raise EncodeError(title, shown(value))


def _names_of(cls: type[Any]) -> tuple[str, ...] | None:
    """What a variant's class is called, with the sum that it is in, and its attributes; None of one without such."""
    if not attrs.has(cls):
        return None
    return *cls.__qualname__.split(".")[-2:], *(field.name for field in attrs.fields(cls))


def as_some(value: Any, expected: str) -> Any:
    """Only called for what is neither None nor a `Some`, where the payload can be None itself."""
    raise EncodeError(expected, shown(value))


def keep_nan32(part: bytes, fields: Iterable[tuple[int, float]]) -> bytes:
    """Put back what packing took from NaNs: each f32 field by its offset."""
    for offset, value in fields:
        if math.isnan(value):
            part = part[:offset] + pack32(value) + part[offset + 4 :]
    return part


def pack32(value: float) -> bytes:
    """An f32; of NaNs all bits that fit."""
    if not math.isnan(value):
        return _F32.pack(value)
    (wide,) = _F64_BITS.unpack(_F64.pack(value))
    mantissa = wide >> 29 & _MANTISSA
    return _F32_BITS.pack(wide >> 32 & _SIGN | _EXPONENT | (mantissa or _QUIET))


def integers(values: Sequence[Any], expected: str) -> list[int]:
    """An array of integers that are not all plain ints."""
    found: list[int] = []
    for i, value in enumerate(values):
        try:
            found.append(as_int(value, expected))
        except EncodeError as error:
            raise error.within(i) from None
    return found


def floats(values: Sequence[Any], expected: str) -> list[float]:
    """An array of numbers that are not all plain floats."""
    found: list[float] = []
    for i, value in enumerate(values):
        try:
            found.append(as_float(value, expected))
        except EncodeError as error:
            raise error.within(i) from None
    return found


def pack_floats32(values: Sequence[float]) -> bytes:
    """An array of f32."""
    if math.isnan(sum(values)):
        return b"".join(map(pack32, values))
    return struct.pack(f"<{len(values)}f", *values)


def misfit(fields: Iterable[tuple[Path, str, str, Any]]) -> tuple[Path, str, Any]:
    """The note of a run of scalars: the first whose format refuses its value. Fields are path, type, format, value."""
    path: Path = ()
    title, value = "", None
    for path, title, code, value in fields:  # noqa: B007 - the loop ends at the one to blame
        try:
            struct.pack(f"<{code}", value)
        except (struct.error, OverflowError):
            break
    return path, title, value


def misfit_item(path: Path, title: str, code: str, values: Sequence[Any]) -> tuple[Path, str, Any]:
    """The note of an array of scalars."""
    return misfit(((*path, i), title, code, value) for i, value in enumerate(values))


HELPERS: dict[str, Any] = {
    "BOOLS": (False, True),
    "FAULTS": (
        Bad,
        struct.error,
        IndexError,
        KeyError,
        OverflowError,
        UnicodeError,
        RecursionError,
        DecodeError,
        EncodeError,
    ),
    "U32": struct.Struct("<I").unpack_from,
    "unpack_from": struct.unpack_from,
    "pack_items": struct.pack,
    "int_from_bytes": int.from_bytes,
    "Some": Some,
    "INTS": frozenset((int,)),
    "FLOATS": frozenset((float,)),
}
HELPERS.update(
    (function.__name__, function)
    for function in (
        *(short, too_deep, nan32, floats32, blanks),
        *(as_int, as_float, as_bool, as_text, as_bytes, as_items, as_instance, as_unit, as_member, as_fields),
        *(as_variant, as_some, keep_nan32, integers, floats, pack_floats32, misfit, misfit_item),
    )
)
