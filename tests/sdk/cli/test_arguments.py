"""Words and JSON as arguments, and back."""

from __future__ import annotations

import itertools

import pytest

from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
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
from spacetimedb_proto.schema.definitions import Function, Param, TypeDef
from spacetimedb_sdk import EncodeError, Identity, Schema, TimeDuration, Timestamp
from spacetimedb_sdk.cli.arguments import read_json, read_words
from spacetimedb_sdk.cli.values import plain, text

COLOR = Sum((Element("Red", UNIT), Element("Green", UNIT)))
SHAPE = Sum((Element("Empty", UNIT), Element("Circle", Primitive.F64), Element("At", Ref(0))))
POINT = Product((Element("x", Primitive.I32), Element("class", option(Primitive.STRING))))
LAMP = Product((Element("in", option(Sum((Element("dark", Ref(1)), Element("lit", UNIT))))),))
SHADE = Sum((Element("dark", UNIT), Element("veryDark", UNIT)))
OTHER = Sum((Element("notAny", UNIT), Element("someMore", Primitive.U8)))
NAMES = ["Point", "Color", "Shape", "Lamp", "Shade", "Other"]
NUMBERS = itertools.count()
SCHEMA = Schema(
    typespace=(POINT, COLOR, SHAPE, LAMP, SHADE, OTHER),
    type_defs=tuple(TypeDef(slot=slot, name=name) for slot, name in enumerate(NAMES)),
)
IDENTITY_HEX = "c2" + "0" * 61 + "1"


def function(*types):
    params = tuple(Param(name=f"p{number}", type=type_) for number, type_ in enumerate(types))
    name = f"f{next(NUMBERS)}"  # a schema keeps the codecs of its functions by name
    return Function(name=name, source_name=name, params=params)


def read(type_, word):
    (value,) = read_words(SCHEMA, function(type_), [word])
    return value


WORDS = [
    (Primitive.STRING, "hello there", "hello there"),
    (Primitive.STRING, "42", "42"),
    (Primitive.STRING, "null", "null"),
    (Primitive.STRING, '"quoted"', "quoted"),
    (Primitive.STRING, "[1, 2]", "[1, 2]"),
    (Primitive.STRING, '"', '"'),
    (Primitive.BOOL, "true", True),
    (Primitive.I32, "-5", -5),
    (Primitive.U64, str(2**64 - 1), 2**64 - 1),
    (Primitive.U256, str(2**255 + 1), 2**255 + 1),
    (Primitive.F64, "1", 1.0),
    (BYTES, "00ff", b"\x00\xff"),
    (BYTES, "[1, 2]", b"\x01\x02"),
    (IDENTITY, IDENTITY_HEX, Identity.from_hex(IDENTITY_HEX)),
    (IDENTITY, f"0x{IDENTITY_HEX}", Identity.from_hex(IDENTITY_HEX)),
    (TIMESTAMP, "2026-01-02T03:04:05Z", Timestamp.from_text("2026-01-02T03:04:05Z")),
    (TIMESTAMP, '{"__timestamp_micros_since_unix_epoch__": 7}', Timestamp(7)),
    (TIME_DURATION, "1.5", TimeDuration(1_500_000)),
    (option(Primitive.STRING), "null", None),
    (option(Primitive.STRING), "x", "x"),
    (option(Primitive.U8), "3", 3),
    (option(Primitive.U8), '{"some": 3}', 3),
    (Array(Primitive.U16), "[1, 2]", [1, 2]),
]


@pytest.mark.parametrize(("type_", "word", "value"), WORDS)
def test_words(type_, word, value):
    assert read(type_, word) == value


def test_words_for_types_with_names():
    color, shape, point = (SCHEMA.types.python_type(slot) for slot in (1, 2, 0))
    assert read(Ref(1), "Green") is color.Green
    assert read(Ref(2), "Empty") == shape.Empty()
    assert read(Ref(2), '{"Circle": 2}') == shape.Circle(2.0)
    assert read(Ref(2), '{"At": {"x": 1, "class": null}}') == shape.At(point(1, None))
    assert read(Ref(0), '{"x": 1, "class_": "c"}') == point(1, "c")
    assert read(Ref(0), '[1, {"some": "c"}]') == point(1, "c")


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (Primitive.U8, "300"),
        (Primitive.U8, "x"),
        (Primitive.BOOL, "yes"),
        (IDENTITY, "abc"),
        (TIMESTAMP, "yesterday"),
        (UUID, "no"),
        (BYTES, "xyz"),
        (Ref(0), '{"x": 1, "nobody": 2}'),
        (Array(Primitive.U8), "7"),
    ],
)
def test_words_that_do_not_fit(type_, word):
    with pytest.raises(EncodeError, match=r"^expected arguments of f\d+\(p0\), got ") as caught:
        read(type_, word)
    assert f"got {word!r} for p0: " in str(caught.value)


@pytest.mark.parametrize("type_", [Primitive.U8, Primitive.BOOL, IDENTITY, BYTES, Ref(0), Ref(1), option(Ref(2))])
@pytest.mark.parametrize("word", ["{x", "{x: 1}", "[1,", '{"x": 1'])
def test_words_that_look_like_json_and_are_none(type_, word):
    with pytest.raises(EncodeError) as caught:
        read(type_, word)
    told = str(caught.value)
    assert "expected arguments of f" in told
    assert f"got {word!r} for p0: it looks like JSON and is none: " in told


def test_words_that_are_too_deep_for_json():
    with pytest.raises(EncodeError, match=r"'\.* for p0: it looks like JSON and is none: it is nested too deeply$"):
        read(Ref(0), "[" * 100_000)


def test_texts_may_look_like_json():
    for word in ("{x", "[1,", '"a', '"\\x"'):
        assert read(Primitive.STRING, word) == word


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("a", 'got "a" for p0: u8 expected, got a string'),
        (300, "got 300 for p0: u8 expected, got a number out of range"),
        ({"x": [None]}, 'got {"x": [null]} for p0: u8 expected, got an object'),
    ],
)
def test_json_that_does_not_fit(value, complaint):
    with pytest.raises(EncodeError) as caught:
        read_json(SCHEMA, function(Primitive.U8), [value])
    assert str(caught.value).endswith(complaint)


def test_where_in_an_argument_it_does_not_fit():
    with pytest.raises(EncodeError, match=r'got \["a", null\] for p0.x: i32 expected, got a string$'):
        read_json(SCHEMA, function(Ref(0)), [["a", None]])
    with pytest.raises(EncodeError, match=r"got '\[1, true\]' for p0\[1\]: u16 expected, got a bool$"):
        read(Array(Primitive.U16), "[1, true]")


def test_values_in_messages_are_short():
    with pytest.raises(EncodeError) as caught:
        read(Primitive.U8, "x" * 10_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("type_", "value", "complaint"),
    [
        (Ref(1), "Blue", "p0: expected Color (Red, Green), got 'Blue' (str)"),
        (Ref(2), "Blue", "p0: expected Shape (Empty, Circle, At), got 'Blue' (str)"),
        (Array(Ref(1)), ["Red", "Blue"], "p0[1]: expected Color (Red, Green), got 'Blue' (str)"),
        (
            Ref(3),
            {"in": {"some": {"dark": "Blue"}}},
            "p0.in.some.dark: expected Color (Red, Green), got 'Blue' (str)",
        ),
    ],
)
def test_a_variant_that_there_is_not(type_, value, complaint):
    with pytest.raises(EncodeError) as caught:
        read_json(SCHEMA, function(type_), [value])
    assert str(caught.value) == complaint


def test_what_is_wrong_with_bytes():
    with pytest.raises(EncodeError, match="an odd number of hex digits$"):
        read(BYTES, "abc")


def test_variants_are_called_as_in_python_or_as_in_the_schema():
    shade, other = SCHEMA.types.python_type(4), SCHEMA.types.python_type(5)
    assert read(Ref(4), "veryDark") is read(Ref(4), "VeryDark") is shade.VeryDark
    assert read(Ref(5), "notAny") == read(Ref(5), "NotAny") == other.NotAny()
    assert read(Ref(5), '{"someMore": 1}') == read(Ref(5), '{"SomeMore": 1}') == other.SomeMore(1)


@pytest.mark.parametrize("words", [[], ["1", "2"]])
def test_the_wrong_number_of_words(words):
    with pytest.raises(TypeError, match=r"f\d+\(p0\)"):
        read_words(SCHEMA, function(Primitive.U8), words)


def test_json_is_an_array_or_an_object():
    two = function(Primitive.U8, Primitive.STRING)
    assert read_json(SCHEMA, two, [1, "a"]) == (1, "a")
    assert read_json(SCHEMA, two, {"p1": "a", "p0": 1}) == (1, "a")
    with pytest.raises(EncodeError, match="^expected arguments as a JSON array or object, got 5$"):
        read_json(SCHEMA, two, 5)


EVERYTHING = [
    *(Primitive.I128, Primitive.U256, Primitive.F32, Primitive.STRING, Primitive.BOOL),
    *(BYTES, IDENTITY, CONNECTION_ID, TIMESTAMP, TIME_DURATION, UUID, SCHEDULE_AT),
    *(option(Primitive.STRING), Array(Ref(0)), Ref(0), Ref(1), Ref(2), option(Ref(2)), Ref(4), Ref(5)),
    result(Primitive.U8, Primitive.STRING),
]


@pytest.mark.parametrize("type_", EVERYTHING, ids=str)
def test_what_is_shown_can_be_given_again(type_):
    codec = SCHEMA.types.codec(type_)
    for data in (bytes(64), b"\x01" + bytes(63), b"\x02" + bytes(63)):
        try:
            value, _ = codec.decode(data)
        except ValueError:
            continue  # no such variant, or no such bool
        assert read_json(SCHEMA, function(type_), [plain(value)]) == (value,)


def test_text_cannot_steer_a_terminal():
    assert text("a\x1b[31m\x9b\n") == "a\\x1b[31m\\x9b\\n"
    assert text(None) == "null"
    assert text({"x": 1}) == '{"x": 1}'


def test_what_json_cannot_say_is_a_word():
    assert [plain(value) for value in (float("nan"), float("inf"), 1.5)] == ["nan", "inf", 1.5]
