from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.types import (
    NEVER,
    SCHEDULE_AT,
    UNIT,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option,
)
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema.reader import Node
from spacetimedb_proto.schema.types_json import TypeReader, type_to_json

from .support import NONE, STRING, U8, elements, product, some

SLOTS, FIRST = 8, 100


def read(value: Any, nesting: int = 64) -> AlgebraicType:
    return TypeReader(SLOTS, FIRST, nesting).read(Node(value))


def nested(type_: Any, depth: int) -> Any:
    for _ in range(depth):
        type_ = {"Array": type_}
    return type_


@pytest.mark.parametrize("primitive", Primitive)
def test_primitives_by_name_and_by_tag(primitive: Primitive) -> None:
    tag = 4 + list(Primitive).index(primitive)
    assert read({primitive.value: []}) is read({str(tag): []}) is read([tag, []]) is primitive


def test_structures() -> None:
    assert read({"Ref": 3}) == Ref(103)
    assert read({"Array": U8}) == Array(Primitive.U8)
    assert read(product(a=U8)) == Product((Element("a", Primitive.U8),))
    assert read({"Sum": {"variants": [{"name": some("a"), "algebraic_type": U8}]}}) == Sum(
        (Element("a", Primitive.U8),)
    )
    assert read({"Product": {"elements": [{"name": NONE, "algebraic_type": U8}]}}) == Product(
        (Element(None, Primitive.U8),)
    )


def test_structs_as_arrays_and_sums_as_pairs() -> None:
    assert read([2, [[[[0, "a"], [7, []]]]]]) == Product((Element("a", Primitive.U8),))
    assert read({"1": [[[None, {"0": 2}]]]}) == Sum((Element(None, Ref(102)),))


def test_special_types_keep_their_structure() -> None:
    interval = product(__time_duration_micros__={"I64": []})
    time = product(__timestamp_micros_since_unix_epoch__={"I64": []})
    variants = elements(Interval=interval, Time=time)["elements"]
    assert read({"Sum": {"variants": variants}}) == SCHEDULE_AT
    assert read(product()) == UNIT
    assert read({"Sum": {"variants": []}}) == NEVER


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": 8}, "Ref: expected a slot of the typespace below 8, got the number 8"),
        ({"Ref": -1}, "Ref: expected a slot"),
        ({"Ref": True}, "Ref: expected a slot"),
        ({"Map": {}}, "definition: expected a type, got the unknown kind 'Map'"),
        ([20, []], "expected a type, got the unknown kind '20'"),
        ({"Array": {"Array": None}}, "Array.Array: expected an object with one key"),
        ({"Product": {"fields": []}}, "Product: expected a field 'elements'"),
        (product(a=U8, b=5), r"Product.elements\[1\].algebraic_type: expected an object with one key.*the number 5"),
        ({"Sum": {"variants": [{"name": some(5), "algebraic_type": U8}]}}, r"variants\[0\].name.some: expected text"),
    ],
)
def test_malformed_types(value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(value)


def test_nesting_has_a_limit() -> None:
    read(nested(U8, 10), nesting=10)
    with pytest.raises(SchemaError, match="a type nested at most 10 deep"):
        read(nested(U8, 11), nesting=10)
    with pytest.raises(SchemaError, match="nested at most 10 deep"):
        read(nested(product(a=U8), 10), nesting=10)


def test_parameters_are_a_product_without_a_tag() -> None:
    read_params = TypeReader(0, 0, 64).product
    assert read_params(Node(elements(a=STRING))) == Product((Element("a", Primitive.STRING),))


names = st.none() | st.text(max_size=4)
types: st.SearchStrategy[AlgebraicType] = st.recursive(
    st.sampled_from(Primitive) | st.integers(FIRST, FIRST + SLOTS - 1).map(Ref),
    lambda inner: (
        st.builds(Array, inner)
        | st.builds(option, inner)
        | st.lists(st.builds(Element, names, inner), max_size=3).map(lambda found: Product(tuple(found)))
        | st.lists(st.builds(Element, names, inner), max_size=3).map(lambda found: Sum(tuple(found)))
    ),
    max_leaves=8,
)


@given(types)
def test_types_survive_the_way_out_and_in(type_: AlgebraicType) -> None:
    assert read(type_to_json(type_, FIRST)) == type_
