"""`Types`: what is a class, what is a special type, and adopting classes that exist already."""

from __future__ import annotations

import enum
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import (
    BYTES,
    IDENTITY,
    SCHEDULE_AT,
    TIMESTAMP,
    UNIT,
    UUID,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option,
    result,
)
from spacetimedb_proto.bsatn.values import Identity, Ok, ScheduleAt, Timestamp
from spacetimedb_proto.errors import DecodeError, EncodeError, SchemaError

P = Primitive
POINT = Product((Element("x", P.I32), Element("y", P.I32)))


# --- what is what -----------------------------------------------------------------------------------------------------


def test_a_named_type_is_a_class_whatever_its_shape() -> None:
    shapes = [option(P.U8), result(P.U8, P.U8), UUID, SCHEDULE_AT, UNIT, Sum(())]
    made = Types(shapes, dict(enumerate(("Maybe", "Outcome", "Id", "When", "Nothing", "Never"))))
    maybe = made.python_type(0)
    assert repr(made.codec(Ref(0)).decode_exact(b"\0\5")) == "Maybe.Some(value=5)"
    assert made.codec(Ref(0)).encode(maybe.None_) == b"\1"
    assert repr(made.codec(Ref(1)).decode_exact(b"\1\5")) == "Outcome.Err(value=5)"
    assert repr(made.codec(Ref(2)).decode_exact(bytes(16))) == "Id(__uuid___=0)"
    assert repr(made.codec(Ref(3)).decode_exact(bytes(9))) == "When.Interval(value=TimeDuration(micros=0))"
    assert repr(made.codec(Ref(4)).decode_exact(b"")) == "Nothing()"
    assert list(made.python_type(5)) == []
    assert issubclass(made.python_type(5), enum.Enum)


def test_a_slot_without_a_name_is_what_it_holds() -> None:
    slots = [option(P.U8), Ref(0), BYTES, P.U8, UNIT, UUID, POINT]
    made = Types(slots)
    assert made.codec(Ref(1)).decode_exact(b"\0\5") == 5
    assert made.codec(Array(Ref(3))).decode_exact(b"\1\0\0\0\5") == b"\5"
    assert made.codec(option(Ref(0))).decode_exact(b"\1") is None
    assert made.python_type(5) is uuid.UUID
    assert made.python_type(6) is made.codec(POINT).python_type
    units = made.codec(Sum((Element("a", Ref(4)), Element("b", UNIT))))
    assert issubclass(units.python_type, enum.Enum)


def test_an_empty_product_with_a_name_makes_no_enum() -> None:
    made = Types([UNIT], {0: "Nothing"})
    sum_ = made.codec(Sum((Element("a", Ref(0)),)))
    assert repr(sum_.decode_exact(b"\0")) == "Sum.A(value=Nothing())"


def test_a_named_reference_to_a_named_type_is_that_type() -> None:
    made = Types([Ref(1), POINT], {0: "Alias", 1: "Point"})
    assert made.python_type(0) is made.python_type(1)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [(P.BOOL, bool), (P.U256, int), (P.F32, float), (P.STRING, str), (BYTES, bytes), (Array(P.U16), list)],
)
def test_python_types(type_: Any, expected: type) -> None:
    assert Types([type_]).python_type(0) is expected


def test_some_types_have_no_one_class() -> None:
    for type_ in (option(P.U8), UNIT, result(P.U8, P.U8), Sum(())):
        with pytest.raises(SchemaError, match="values have no one class"):
            Types([type_]).python_type(0)


def test_codecs_are_made_once() -> None:
    made = Types([POINT], {0: "Point"})
    assert made.codec(Ref(0)) is made.codec(Ref(0))
    assert made.codec(Ref(0)).encode is made.codec(Ref(0)).encode
    assert made.names == {0: "Point"}


def test_threads_may_meet_in_the_same_types() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            tree = Product((Element("point", Ref(1)), Element("kids", Array(Ref(0))), Element("next", option(Ref(0)))))
            made = Types([tree, Product((Element("name", P.STRING),))], {0: "Tree", 1: "Point"})
            meet = threading.Barrier(4)

            def work(made: Types = made, meet: threading.Barrier = meet) -> tuple[Any, ...]:
                meet.wait()
                value = {"point": {"name": "x"}, "kids": [], "next": None}
                codec = made.codec(Ref(0))
                found = codec.decode_exact(codec.encode({**value, "kids": [value]}))
                return type(found), type(found.point), codec.min_size, codec.from_json(codec.to_json(found)) == found

            with ThreadPoolExecutor(4) as pool:
                results = {future.result() for future in [pool.submit(work) for _ in range(4)]}
            assert results == {(made.python_type(0), made.python_type(1), 9, True)}
    finally:
        sys.setswitchinterval(interval)


def test_scalars_and_floats_can_be_told() -> None:
    made = Types([P.F32])
    row = made.codec(Product((Element("f", Ref(0)), Element("i", IDENTITY), Element("l", Array(P.U16)))))
    assert [row.column(column).is_float for column in range(3)] == [True, False, False]
    assert [row.column(column).is_scalar for column in range(3)] == [True, True, False]
    assert row.field_names == ("f", "i", "l")
    with pytest.raises(SchemaError, match="u8: only products have columns"):
        made.codec(P.U8).column(0)


def test_columns_behind_all_that_varies() -> None:
    made = Types([P.STRING, Sum((Element("a", Ref(0)), Element("b", UNIT)))], {1: "Choice"})
    fields = [Ref(0), Array(Ref(0)), Ref(1), option(Ref(0)), Array(UUID), Array(option(UNIT)), P.U8]
    row = made.codec(Product(tuple(Element(f"c{index}", field) for index, field in enumerate(fields))))
    value = row.python_type("x", ["y", "zz"], made.python_type(1).A("a"), "o", [uuid.UUID(int=1)], [(), None], 7)
    data = row.encode(value)
    assert row.column_reader(6)(data) == 7
    assert [row.column_reader(index)(data) for index in range(7)] == list(attrs.astuple(value, recurse=False))
    with pytest.raises(DecodeError) as caught:
        row.column_reader(6)(data[:17])
    assert str(caught.value) == "Row.c1[1] at byte 14: 4 bytes expected, 3 left"
    with pytest.raises(DecodeError) as caught:
        row.column_slicer(0)(b"\5\0\0\0x")
    assert str(caught.value) == "Row.c0 at byte 0: 9 bytes expected, 5 left"


def test_text_columns_of_many_lengths() -> None:
    row = Types([]).codec(Product((Element("a", P.U8), Element("b", P.STRING), Element("c", P.U8))))
    for length in range(1100):
        assert row.decode_exact(b"\1" + length.to_bytes(4, "little") + b"x" * length + b"\2").b == "x" * length


# --- bindings ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Point:
    left: int
    top: int


@attrs.frozen
class Counted:
    left: int
    top: int

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "left", self.left + 100)


class Color(enum.Enum):
    RED = 0
    GREEN = 1


class Shape:
    """As generated code has it."""


@attrs.frozen
class Dot(Shape):
    value: Point


@attrs.frozen
class Empty(Shape):
    pass


Shape.Dot = Dot  # type: ignore[attr-defined]
Shape.Empty = Empty  # type: ignore[attr-defined]

COLORS = Sum((Element("red", UNIT), Element("green", UNIT)))
SHAPES = Sum((Element("dot", Ref(0)), Element("empty", UNIT)))


def bound(*pairs: tuple[Any, Any]) -> Types:
    made = Types([type_ for type_, _ in pairs], {index: f"T{index}" for index in range(len(pairs))})
    for index, (_, cls) in enumerate(pairs):
        if cls is not None:
            made.bind(index, cls)
    return made


def test_products_sums_and_enums_can_be_classes_that_exist() -> None:
    made = bound((POINT, Point), (SHAPES, Shape), (COLORS, Color))
    assert made.codec(Ref(0)).decode_exact(bytes(8)) == Point(0, 0)
    assert made.codec(Ref(0)).encode({"left": 1, "y": 2}) == made.codec(Ref(0)).encode(Point(1, 2))
    assert made.codec(Ref(1)).decode_exact(bytes(9)) == Dot(Point(0, 0))
    assert made.codec(Ref(1)).encode(Empty) == made.codec(Ref(1)).encode(Empty()) == b"\1"
    assert made.codec(Ref(2)).decode_exact(b"\1") is Color.GREEN
    assert made.codec(Ref(2)).encode("green") == made.codec(Ref(2)).encode("GREEN") == b"\1"
    assert [made.python_type(index) for index in range(3)] == [Point, Shape, Color]
    assert made.codec(Ref(1)).to_json(Dot(Point(1, 2)), False) == {"dot": {"x": 1, "y": 2}}


def test_a_constructor_that_does_more_is_called() -> None:
    assert bound((POINT, Counted)).codec(Ref(0)).decode_exact(bytes(8)) == Counted(0, 0)


@pytest.mark.parametrize(
    ("type_", "cls", "message"),
    [
        (Product((Element("x", P.I32),)), Point, "T0: 1 fields, but its class has 2"),
        (POINT, int, "int is no attrs class"),
        (P.U8, int, "T0: only products and sums can be bound to a class"),
        (SHAPES, Point, "T0: class Point has no variant Dot"),
        (Sum((Element("red", UNIT),)), Color, "T0: the members of Color are not the tags 0 to 0 in order"),
        (
            Sum((Element("dot", UNIT), Element("empty", P.U8))),
            Shape,
            "variant Empty: class Empty has 0 fields, which do not fit the payload",
        ),
    ],
)
def test_classes_that_do_not_fit(type_: Any, cls: Any, message: str) -> None:
    made = bound((type_, cls), (POINT, None))
    with pytest.raises(SchemaError) as caught:
        made.codec(Ref(0)).encode(None)
    assert str(caught.value) == message


class _Light(enum.Enum):
    Red = 0
    Green = 1


class _Shape:
    pass


@attrs.frozen
class _Dot(_Shape):
    pass


_Shape.Dot = _Dot  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cls", "variants", "good", "unknown"),
    [
        (_Light, [("red", UNIT), ("green", UNIT), ("blue", UNIT)], (b"\x01", _Light.Green), b"\x02"),
        (_Shape, [("dot", UNIT), ("line", Array(P.STRING))], (b"\x00", _Dot()), b"\x01\x01\0\0\0\x01\0\0\0a"),
    ],
)
def test_a_class_may_be_older_than_its_type(cls, variants, good, unknown) -> None:
    variant_type = Sum(tuple(Element(name, type_) for name, type_ in variants))
    made = Types([variant_type, Product((Element("it", Ref(0)), Element("number", P.U8)))], {0: "Thing", 1: "Row"})
    made.bind_lazily(0, lambda: cls, known=len(variants) - 1, older=": that is too new")
    codec = made.codec(Ref(0))
    data, value = good
    assert (codec.decode_exact(data), codec.encode(value)) == (value, data)
    with pytest.raises(DecodeError, match=r"tag \d, but Thing has \d variants: that is too new"):
        codec.decode_exact(unknown)
    row = made.codec(Ref(1))
    assert row.column_reader(1)(unknown + b"\x07") == 7, "what comes behind can be found all the same"


def test_a_class_may_be_made_at_first_use() -> None:
    made = Types([Sum((Element("red", UNIT), Element("green", UNIT)))], {0: "Light"})
    asked = []
    made.bind_lazily(0, lambda: asked.append(1) or _Light)
    assert asked == []
    assert made.python_type(0) is made.python_type(0) is _Light
    assert asked == [1]


def test_bindings_come_before_use() -> None:
    made = Types([POINT], {0: "Point"})
    made.codec(Ref(0))
    with pytest.raises(SchemaError, match="Point: bound too late, the type is in use already"):
        made.bind(0, Point)
    with pytest.raises(SchemaError, match="no type 1 in a typespace of 1"):
        made.bind(1, Point)


@attrs.frozen
class Started:
    when: Timestamp
    by: Identity


@attrs.frozen
class Failed:
    error: str


@attrs.frozen
class Idle:
    pass


def test_unions_of_classes_with_nothing_in_common() -> None:
    started = Product((Element("when", TIMESTAMP), Element("by", IDENTITY)))
    sum_ = Sum(
        (
            Element("started", started),
            Element("failed", P.STRING),
            Element("idle", UNIT),
            Element("at", Ref(1)),
            Element("text", P.STRING),
        )
    )
    made = Types([sum_, POINT], {0: "State"})
    made.bind(1, Point)
    made.bind_union(0, (Started, Failed, Idle, Point, str))
    codec = made.codec(Ref(0))
    values = [Started(Timestamp(1), Identity.from_int(2)), Failed("x"), Idle(), Point(1, 2), "text"]
    for tag, value in enumerate(values):
        assert codec.encode(value)[0] == tag
        assert codec.decode_exact(codec.encode(value)) == value
        assert type(codec.decode_exact(codec.encode(value))) is type(value)
        assert codec.from_json(codec.to_json(value)) == codec.from_json(codec.to_json(value, False)) == value
    assert codec.encode(Idle) == b"\2"
    with pytest.raises(EncodeError, match=r"expected State, got 5 \(int\)"):
        codec.encode(5)
    with pytest.raises(SchemaError, match="State: values have no one class"):
        _ = codec.python_type


@pytest.mark.parametrize(
    ("type_", "classes", "message"),
    [
        (SHAPES, (Point,), "T: a sum of 1 variants expected"),
        (POINT, (Point,), "T: a sum of 1 variants expected"),
        (Sum((Element("a", P.U8),)), (Point,), "variant A: class Point has 2 fields, which do not fit the payload"),
    ],
)
def test_unions_that_do_not_fit(type_: Any, classes: Any, message: str) -> None:
    made = Types([type_], {0: "T"})
    made.bind_union(0, classes)
    with pytest.raises(SchemaError) as caught:
        made.codec(Ref(0)).encode(None)
    assert str(caught.value) == message


def decode_pair(data: bytes, pos: int) -> tuple[str, int]:
    if len(data) < pos + 2:
        raise DecodeError("a pair has two bytes")
    return data[pos : pos + 2].decode("ascii", "replace"), pos + 2


def encode_pair(value: Any, append: Callable[[bytes], None]) -> None:
    if not isinstance(value, str):
        raise EncodeError("a pair", repr(value))
    append(value.encode())


def test_a_type_can_be_read_and_written_by_somebody_else() -> None:
    made = Types([BYTES], {0: "Pair"})
    made.bind_custom(0, decode_pair, encode_pair, 2)
    row = made.codec(Product((Element("a", P.U8), Element("pair", Ref(0)), Element("b", P.U8))))
    assert row.min_size == 4
    assert row.fixed_size is None
    data = row.encode({"a": 1, "pair": "xy", "b": 2})
    assert data == b"\1xy\2"
    assert row.decode_exact(data).pair == row.column_reader(1)(data) == "xy"
    assert row.column_reader(2)(data) == 2
    with pytest.raises(DecodeError) as caught:
        row.decode_exact(b"\1x")
    assert str(caught.value) == "Row.pair: a pair has two bytes"
    with pytest.raises(EncodeError) as refused:
        row.encode({"a": 1, "pair": 5, "b": 2})
    assert str(refused.value) == "pair: expected a pair, got 5"
    with pytest.raises(DecodeError, match=r"Row.pair: Pair has no JSON form"):
        row.from_json([1, "xy", 2])
    with pytest.raises(EncodeError, match=r"pair: expected a value with a JSON form for Pair, got 'xy' \(str\)"):
        row.to_json({"a": 1, "pair": "xy", "b": 2})


def test_a_type_of_somebody_else_can_have_json() -> None:
    made = Types([BYTES], {0: "Pair"})
    made.bind_custom(0, decode_pair, encode_pair, 2, from_json="".join, to_json=list)
    codec = made.codec(Array(Ref(0)))
    assert codec.to_json(["xy"]) == [["x", "y"]]
    assert codec.from_json([["x", "y"]]) == ["xy"]


def test_results_and_schedules_can_be_told_apart_from_classes() -> None:
    made = Types([])
    assert made.codec(result(UNIT, P.STRING)).decode_exact(b"\0") == Ok(())
    assert made.codec(SCHEDULE_AT).python_type is ScheduleAt
