"""Hypothesis strategies for types of the algebra and for values of them.

Types may refer to each other in cycles, carry names that Python cannot spell, nest options and results, and lack names.
"""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import attrs
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.codec import Codec, Types
from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
    TIMESTAMP,
    UNIT,
    UUID,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option,
    option_payload,
    result,
    result_payloads,
)
from spacetimedb_proto.bsatn.values import (
    ConnectionId,
    Err,
    Identity,
    Ok,
    ScheduleAt,
    Some,
    TimeDuration,
    Timestamp,
)

__all__ = ["Drawn", "names", "rows", "types", "types_and_values", "typespaces", "values_of"]

SPECIAL = (IDENTITY, CONNECTION_ID, TIMESTAMP, TIME_DURATION, UUID, SCHEDULE_AT, UNIT, BYTES)

HOSTILE_NAMES = (
    *("class", "None", "True", "self", "mro", "name", "value", "_id", "__x__", "__init__", "__class__", "__slots__"),
    *(
        "_sunder_",
        "ﬁeld",
        "ª",
        "\u017fize",
        "名前",
        "a b",
        "1st",
        "",
        "_",
        "__",
        "data",
        "pos",
        "depth",
        "append",
        "Bad",
    ),
    *("fooBar", "foo_bar", "x", "X", "%s", "{x}", "a'b", 'a"b', "a\\", "a\nb", "some", "none", "ok", "err"),
)

names = st.one_of(st.sampled_from(HOSTILE_NAMES), st.text(max_size=8))
"""Names of types, fields and variants as a server might send them."""


@attrs.frozen
class Drawn:
    """A type in its typespace.

    Attributes:
        types: Makes the codecs.
        type: The type.
        value: One of its values.
        typespace: What the type refers to.
    """

    types: Types
    type: AlgebraicType
    value: Any
    typespace: Sequence[AlgebraicType]

    @property
    def codec(self) -> Codec:
        """The type's codec."""
        return self.types.codec(self.type)


@lru_cache  # building it anew for each example would take most of the time
def types(slots: int) -> st.SearchStrategy[AlgebraicType]:
    """Types that may refer to any of so many slots."""
    leaves: list[st.SearchStrategy[Any]] = [st.sampled_from(Primitive), st.sampled_from(SPECIAL)]
    if slots:
        leaves.append(st.integers(0, slots - 1).map(Ref))
    return st.recursive(st.one_of(leaves), _composites, max_leaves=6)


def _composites(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[AlgebraicType]:
    elements = st.lists(st.builds(Element, st.none() | names, inner), max_size=5).map(tuple)
    units = st.lists(st.builds(Element, names, st.just(UNIT)), max_size=6).map(tuple)
    return st.one_of(
        st.builds(Array, inner),
        inner.map(option),
        st.builds(result, inner, inner),
        st.builds(Product, elements),
        st.builds(Sum, elements),
        st.builds(Sum, units),
    )


@st.composite
def typespaces(draw: st.DrawFn) -> tuple[list[AlgebraicType], dict[int, str]]:
    """Slots and the names of some of them; no slot is a reference and nothing else."""
    slots = draw(st.integers(0, 4))
    typespace = draw(st.lists(types(slots), min_size=slots, max_size=slots))
    typespace = [Product((Element("inner", slot),)) if isinstance(slot, Ref) else slot for slot in typespace]
    return typespace, draw(st.dictionaries(st.integers(0, slots - 1), names)) if slots else {}


@st.composite
def types_and_values(draw: st.DrawFn) -> Drawn:
    """A type that has values, and one of them. No value is NaN, so all equal themselves."""
    typespace, type_names = draw(typespaces())
    made = Types(typespace, type_names)
    type_ = draw(types(len(typespace)).filter(lambda type_: _height(type_, typespace) < math.inf))
    return Drawn(made, type_, _Values(draw, made, typespace).value(type_), typespace)


@st.composite
def values_of(draw: st.DrawFn, made: Types, typespace: Sequence[AlgebraicType], type_: AlgebraicType) -> Any:
    """A value of a type that has values, though never NaN."""
    return _Values(draw, made, typespace).value(type_)


@st.composite
def rows(draw: st.DrawFn) -> Drawn:
    """As `types_and_values`, but the type is a product of at least one column and has a name."""
    typespace, type_names = draw(typespaces())
    columns = draw(st.lists(st.builds(Element, names, types(len(typespace))), min_size=1, max_size=6))
    columns = [column for column in columns if _height(column.type, typespace) < math.inf]
    type_ = Ref(len(typespace))
    typespace.append(Product(tuple(columns)))
    made = Types(typespace, {**type_names, type_.index: "Row"})
    return Drawn(made, type_, _Values(draw, made, typespace).value(type_), typespace)


# --- values -----------------------------------------------------------------------------------------------------------

_BITS = {primitive: int(primitive.value[1:]) for primitive in Primitive if primitive.value[0] in "IU"}


def integers(primitive: Primitive) -> st.SearchStrategy[int]:
    """All integers of a type, with a liking for the ends."""
    bits = _BITS[primitive]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if primitive.value[0] == "I" else (0, (1 << bits) - 1)
    return st.integers(low, high) | st.sampled_from((low, high))


_SPECIAL_VALUES: Mapping[AlgebraicType, st.SearchStrategy[Any]] = {
    UNIT: st.just(()),
    BYTES: st.binary(max_size=40),
    IDENTITY: st.binary(min_size=32, max_size=32).map(Identity),
    CONNECTION_ID: st.binary(min_size=16, max_size=16).map(ConnectionId),
    TIMESTAMP: integers(Primitive.I64).map(Timestamp),
    TIME_DURATION: integers(Primitive.I64).map(TimeDuration),
    UUID: integers(Primitive.U128).map(lambda number: uuid.UUID(int=number)),
    SCHEDULE_AT: st.one_of(
        integers(Primitive.I64).map(TimeDuration).map(ScheduleAt.Interval),
        integers(Primitive.I64).map(Timestamp).map(ScheduleAt.Time),
    ),
    Primitive.STRING: st.text(st.characters(codec="utf-8"), max_size=12),
    Primitive.BOOL: st.booleans(),
    Primitive.F32: st.floats(width=32, allow_nan=False),
    Primitive.F64: st.floats(allow_nan=False),
    **{primitive: integers(primitive) for primitive in _BITS},
}


@attrs.frozen
class _Values:
    """Draws values of the types of one typespace."""

    draw: st.DrawFn
    types: Types
    typespace: Sequence[AlgebraicType]

    def value(self, type_: AlgebraicType, budget: int = 6) -> Any:
        """A value of a type that has some.

        Args:
            type_: The type.
            budget: How deep it may still nest by choice; where none is left the shortest way out is taken.
        """
        if type_ in _SPECIAL_VALUES:
            return self.draw(_SPECIAL_VALUES[type_])
        codec = self.types.codec(type_)
        named = isinstance(type_, Ref) and type_.index in self.types.names
        while isinstance(type_, Ref):
            type_ = self.typespace[type_.index]
        match type_:
            case Array(element) if type_ != BYTES:
                most = 3 if budget > 0 and _height(element, self.typespace) < math.inf else 0
                return [self.value(element, budget - 1) for _ in range(self.draw(st.integers(0, most)))]
            case Product(elements) if named or type_ not in _SPECIAL_VALUES:
                return codec.python_type(*(self.value(element.type, budget - 1) for element in elements))
            case Sum() if named or type_ not in _SPECIAL_VALUES:
                return self._sum(type_, codec, budget, named=named)
            case _:
                return self.draw(_SPECIAL_VALUES[type_])

    def _sum(self, type_: Sum, codec: Codec, budget: int, *, named: bool) -> Any:
        heights = [_height(variant.type, self.typespace) for variant in type_.variants]
        tags = [tag for tag, found in enumerate(heights) if found < math.inf and (budget > 0 or found == min(heights))]
        tag = self.draw(st.sampled_from(tags))
        payload = self.value(type_.variants[tag].type, budget - 1)
        inner = option_payload(type_)
        if inner is not None and not named:
            return None if tag else Some(payload) if self._is_option(inner) else payload
        if result_payloads(type_) and not named:
            return Err(payload) if tag else Ok(payload)
        return _of_variant(codec.python_type, tag, payload)

    def _is_option(self, type_: AlgebraicType) -> bool:
        while isinstance(type_, Ref) and type_.index not in self.types.names:
            type_ = self.typespace[type_.index]
        return option_payload(type_) is not None


def _of_variant(cls: type[Any], tag: int, payload: Any) -> Any:
    if issubclass(cls, enum.Enum):
        return list(cls)[tag]
    variant = [found for found in vars(cls).values() if isinstance(found, type)][tag]
    return variant(payload) if attrs.fields(variant) else variant()


def _height(type_: AlgebraicType, typespace: Sequence[AlgebraicType]) -> float:
    """How deep the shallowest value of a type is; infinite if it has none."""
    heights = [math.inf] * len(typespace)
    for _ in range(len(typespace) + 1):
        heights = [_height_given(slot, heights) for slot in typespace]
    return _height_given(type_, heights)


def _height_given(type_: AlgebraicType, heights: Sequence[float]) -> float:
    match type_:
        case Ref(index):
            return heights[index]
        case Product(elements):
            return 1 + max((_height_given(element.type, heights) for element in elements), default=0)
        case Sum(variants):
            return 1 + min((_height_given(variant.type, heights) for variant in variants), default=math.inf)
        case _:
            return 1
