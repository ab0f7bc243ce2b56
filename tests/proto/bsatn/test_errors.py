"""What errors say, word for word."""

from __future__ import annotations

import copy
import pickle
import re
from collections import UserList
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import (
    BYTES,
    IDENTITY,
    SCHEDULE_AT,
    UNIT,
    UUID,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option,
)
from spacetimedb_proto.bsatn.values import Identity, Some, Timestamp
from spacetimedb_proto.errors import DecodeError, EncodeError, SchemaError
from spacetimedb_proto.limits import Limits

P = Primitive
TYPESPACE = (
    Product((Element("id", P.U64), Element("name", P.STRING), Element("online", P.BOOL))),  # 0 Player
    Sum((Element("circle", P.F32), Element("player", Ref(0)), Element("empty", UNIT))),  # 1 Shape
    Sum((Element("red", UNIT), Element("green", UNIT))),  # 2 Color
    Product((Element("value", P.U8), Element("next", option(Ref(3))))),  # 3 Node
    Product(  # 4 World
        (
            Element("players", Array(Ref(0))),
            Element("shapes", Array(Ref(1))),
            Element("colors", Array(Ref(2))),
            Element("bits", Array(P.BOOL)),
            Element("nested", option(option(P.U8))),
            Element("owner", IDENTITY),
        )
    ),
)
NAMES = {0: "Player", 1: "Shape", 2: "Color", 3: "Node", 4: "World"}

TYPES = Types(TYPESPACE, NAMES)
PLAYER, SHAPE, COLOR, NODE, WORLD = (TYPES.codec(Ref(index)) for index in range(5))
Player, Shape = PLAYER.python_type, SHAPE.python_type
U8 = TYPES.codec(P.U8)

PLAYER_BYTES = PLAYER.encode(Player(1, "né", True))
A_WORLD = {"players": [], "shapes": [], "colors": [], "bits": [], "nested": None, "owner": Identity.from_int(1)}


def said(error: type[Exception], function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(error) as caught:
        function(*args)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("codec", "data", "message"),
    [
        (PLAYER, b"", "Player.id at byte 0: 8 bytes expected, 0 left"),
        (PLAYER, PLAYER_BYTES[:10], "Player.name at byte 8: 4 bytes expected, 2 left"),
        (PLAYER, PLAYER_BYTES[:13], "Player.name at byte 12: 3 bytes expected, 1 left"),
        (PLAYER, PLAYER_BYTES[:-1], "Player.online at byte 15: 1 byte expected, 0 left"),
        (PLAYER, PLAYER_BYTES[:-1] + b"\2", "Player.online at byte 15: a bool is 0 or 1, got 2"),
        (PLAYER, PLAYER_BYTES + b"ab", "Player at byte 16: 2 bytes left over"),
        (PLAYER, PLAYER_BYTES.replace(b"\xa9", b"\xff"), "Player.name at byte 12: invalid UTF-8"),
        (SHAPE, b"\3", "Shape at byte 0: tag 3, but Shape has 3 variants"),
        (SHAPE, b"\0", "Shape.Circle at byte 1: 4 bytes expected, 0 left"),
        (SHAPE, b"\1" + PLAYER_BYTES[:-1], "Shape.Player.online at byte 16: 1 byte expected, 0 left"),
        (COLOR, b"\2", "Color at byte 0: tag 2, but Color has 2 variants"),
        (COLOR, b"\0\0", "Color at byte 1: 1 byte left over"),
        (
            WORLD,
            b"\xff\xff\xff\xff",
            "World.players at byte 0: an array of 4294967295 needs at least 55834574835 bytes, 0 left",
        ),
        (
            WORLD,
            b"\2\0\0\0" + PLAYER_BYTES + PLAYER_BYTES[:-1] + b"\7",
            "World.players[1].online at byte 35: a bool is 0 or 1, got 7",
        ),
        (
            WORLD,
            b"\0\0\0\0" + b"\1\0\0\0\1" + PLAYER_BYTES[:-1] + b"\7",
            "World.shapes[0].Player.online at byte 24: a bool is 0 or 1, got 7",
        ),
        (WORLD, bytes(8) + b"\2\0\0\0\1\5", "World.colors[1] at byte 13: tag 5, but Color has 2 variants"),
        (WORLD, bytes(12) + b"\2\0\0\0\1\5", "World.bits[1] at byte 17: a bool is 0 or 1, got 5"),
        (WORLD, bytes(16) + b"\0\7", "World.nested at byte 17: tag 7, but option has 2 variants"),
        (WORLD, bytes(16) + b"\1", "World.owner at byte 17: 32 bytes expected, 0 left"),
        (TYPES.codec(SCHEDULE_AT), b"\2", "ScheduleAt at byte 0: tag 2, but ScheduleAt has 2 variants"),
        (TYPES.codec(BYTES), b"\5\0\0\0ab", "bytes at byte 4: 5 bytes expected, 2 left"),
        (U8, b"", "u8 at byte 0: 1 byte expected, 0 left"),
        (
            TYPES.codec(Array(UNIT)),
            b"\1\4\0\0",
            "array of unit () at byte 0: at most 1024 elements without bytes expected, got 1025",
        ),
    ],
)
def test_bad_bytes(codec: Any, data: bytes, message: str) -> None:
    assert said(DecodeError, codec.decode_exact, data) == message
    if "left over" not in message:
        shifted = said(DecodeError, codec.decode, b"\xff" * 100 + data, 100)
        position = int(re.findall(r" at byte (\d+)", message)[0])
        assert shifted == message.replace(f"byte {position}:", f"byte {position + 100}:")


@pytest.mark.parametrize(
    ("codec", "value", "message"),
    [
        (U8, 256, "expected u8, got 256 (int)"),
        (U8, True, "expected u8, got True (bool)"),
        (U8, 1.0, "expected u8, got 1.0 (float)"),
        (U8, "1", "expected u8, got '1' (str)"),
        (TYPES.codec(P.I128), 1 << 127, f"expected i128, got {1 << 127} (int)"),
        (TYPES.codec(P.U256), -1, "expected u256, got -1 (int)"),
        (TYPES.codec(P.BOOL), 1, "expected bool, got 1 (int)"),
        (TYPES.codec(P.F64), "1", "expected f64, got '1' (str)"),
        (TYPES.codec(P.F64), True, "expected f64, got True (bool)"),
        (TYPES.codec(P.F32), 1e39, "expected f32, got 1e+39 (float)"),
        (TYPES.codec(P.F64), 10**400, "expected f64, got 100000000000000000...0000000000000000000 (int)"),
        (TYPES.codec(P.STRING), b"x", "expected str, got b'x' (bytes)"),
        (TYPES.codec(P.STRING), "\ud800", r"expected str without lone surrogates, got '\ud800' (str)"),
        (TYPES.codec(BYTES), "x", "expected bytes, got 'x' (str)"),
        (TYPES.codec(BYTES), [1], "expected bytes, got [1] (list)"),
        (TYPES.codec(Array(P.U8)), [1], "expected bytes, got [1] (list)"),
        (TYPES.codec(Array(P.U16)), "ab", "expected array of u16, got 'ab' (str)"),
        (TYPES.codec(Array(P.U16)), {1, 2}, "expected array of u16, got {1, 2} (set)"),
        (TYPES.codec(Array(P.U16)), [1, 70000], "[1]: expected u16, got 70000 (int)"),
        (TYPES.codec(Array(P.U16)), [1, None], "[1]: expected u16, got None (NoneType)"),
        (TYPES.codec(Array(P.F32)), [1, 1e39], "[1]: expected f32, got 1e+39 (float)"),
        (TYPES.codec(Array(P.F64)), [1.0, True], "[1]: expected f64, got True (bool)"),
        (TYPES.codec(Array(P.U128)), [1, -1], "[1]: expected u128, got -1 (int)"),
        (
            TYPES.codec(Array(UNIT)),
            [()] * 1025,
            "expected at most 1024 elements without bytes, got [(), (), (), (), ...] (list)",
        ),
        (TYPES.codec(UNIT), 0, "expected unit (), got 0 (int)"),
        (TYPES.codec(option(UNIT)), 0, "expected unit (), got 0 (int)"),
        (
            TYPES.codec(IDENTITY),
            bytes(32),
            r"expected Identity, got b'\x00\x00\x00\x00\x00\x00\x...\x00\x00\x00\x00\x00\x00\x00' (bytes)",
        ),
        (TYPES.codec(UUID), "x", "expected UUID, got 'x' (str)"),
        (TYPES.codec(SCHEDULE_AT), Timestamp(1), "expected ScheduleAt, got Timestamp(micros=1) (Timestamp)"),
        (TYPES.codec(option(option(P.U8))), 5, "expected Some(u8 or None) or None, got 5 (int)"),
        (TYPES.codec(option(option(P.U8))), Some(Some(5)), "expected u8, got Some(value=5) (Some)"),
        (TYPES.codec(option(P.U8)), Some(5), "expected u8, got Some(value=5) (Some)"),
        (COLOR, "blue", "expected Color (Red, Green), got 'blue' (str)"),
        (COLOR, 0, "expected Color (Red, Green), got 0 (int)"),
        (SHAPE, 5, "expected Shape, got 5 (int)"),
        (SHAPE, Shape.Player, "expected Shape, got <class 'spacetimedb_proto.bsatn.classes.Shape.Player'> (type)"),
        (SHAPE, Shape.Player(5), "Player: expected Player, got 5 (int)"),
        (PLAYER, None, "expected Player, got None (NoneType)"),
        (PLAYER, Player(1, 2, True), "name: expected str, got 2 (int)"),
        (PLAYER, Player(-1, "x", True), "id: expected u64, got -1 (int)"),
        (PLAYER, {"id": 1}, "expected Player, got a mapping without 'name', 'online'"),
        (
            PLAYER,
            {"id": 1, "nme": "x", "online": True},
            "expected Player, got a mapping without 'name' and with unknown 'nme'",
        ),
        (WORLD, {**A_WORLD, 5: 1}, "expected World, got a mapping with unknown 5"),
        (
            WORLD,
            {**A_WORLD, "players": [{"id": 1, "name": 2, "online": 3}]},
            "players[0].name: expected str, got 2 (int)",
        ),
        (
            WORLD,
            {**A_WORLD, "shapes": [Shape.Empty, Shape.Circle("x")]},
            "shapes[1].Circle: expected f32, got 'x' (str)",
        ),
        (WORLD, {**A_WORLD, "bits": [True, 1]}, "bits[1]: expected bool, got 1 (int)"),
        (WORLD, {**A_WORLD, "nested": Some(300)}, "nested: expected u8, got 300 (int)"),
    ],
)
def test_bad_values(codec: Any, value: Any, message: str) -> None:
    assert said(EncodeError, codec.encode, value) == message
    assert said(EncodeError, codec.to_json, value) == message
    assert said(EncodeError, codec.to_json, value, False) == message


def test_an_encode_error_can_be_taken_apart() -> None:
    with pytest.raises(EncodeError) as caught:
        WORLD.encode({**A_WORLD, "players": [Player(1, "x", 2)]})
    assert caught.value.path == ["players", 0, "online"]
    assert caught.value.expected == "bool"
    assert caught.value.got == "2 (int)"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


def test_values_are_shown_shortened() -> None:
    for value in (Hostile(), 10**5000, "x" * 1000, [[["x" * 100] * 100] * 100] * 100):
        text = said(EncodeError, U8.encode, value)
        assert len(text) < 400
        assert f"({type(value).__name__})" in text


@pytest.mark.parametrize(
    ("codec", "obj", "message"),
    [
        (U8, 300, "u8: u8 expected, got a number out of range"),
        (U8, 1.5, "u8: u8 expected, got a fraction"),
        (U8, "1", "u8: u8 expected, got a string"),
        (U8, True, "u8: u8 expected, got a bool"),
        (U8, None, "u8: u8 expected, got null"),
        (U8, {1}, "u8: u8 expected, got Python's set"),
        (TYPES.codec(P.U256), 5, "u256: u256 as a string of hex with 0x expected, got a number"),
        (TYPES.codec(P.U256), "5", "u256: u256 as a string of hex with 0x expected, got another string"),
        (TYPES.codec(P.U256), "-0x5", "u256: u256 expected, got a number out of range"),
        (TYPES.codec(P.U256), "0x" + "f" * 65, "u256: u256 as a string of hex with 0x expected, got another string"),
        (TYPES.codec(P.BOOL), 1, "bool: bool expected, got a number"),
        (TYPES.codec(P.STRING), 1, "str: string expected, got a number"),
        (TYPES.codec(P.STRING), "\ud800", "str: a string without lone surrogates expected"),
        (TYPES.codec(P.F32), 1e39, "f32: f32 expected, got a number out of range"),
        (TYPES.codec(P.F64), 10**400, "f64: f64 expected, got a number out of range"),
        (TYPES.codec(P.F64), "1", "f64: f64 expected, got a string"),
        *(
            (TYPES.codec(BYTES), obj, f"bytes: bytes as a string of hex or an array of numbers expected, got {got}")
            for obj, got in [
                ("abc", "an odd number of hex digits"),
                ("0xab", "a string of something else"),
                ([256], "an array of something else"),
                ({}, "an object"),
            ]
        ),
        (TYPES.codec(Array(P.U16)), {}, "array of u16: array of u16 expected, got an object"),
        (TYPES.codec(Array(UNIT)), [[]] * 1025, "array of unit (): at most 1024 elements without bytes expected"),
        (TYPES.codec(UNIT), None, "unit (): an empty array or object expected, got null"),
        (TYPES.codec(IDENTITY), "0x5", "Identity: Identity as an object or array expected, got a string"),
        (
            TYPES.codec(IDENTITY),
            {"__identity__": 5},
            "Identity.__identity__: u256 as a string of hex with 0x expected, got a number",
        ),
        (COLOR, "red", "Color: Color (red, green) as an object of one field or an array of two expected, got a string"),
        (COLOR, {"red": 5}, "Color: an empty array or object expected, got a number"),
        (COLOR, {"blue": []}, "Color: Color has no such variant; there are: red, green"),
        (COLOR, [True, []], "Color: Color as an object of one field or an array of two expected, got an array"),
        (
            TYPES.codec(option(P.U8)),
            5,
            "u8 or None: option as an object of one field or an array of two expected, got a number",
        ),
        (PLAYER, [1, "x"], "Player: Player with 3 fields expected, got an array of 2"),
        (PLAYER, {"id": 1, "name": "x"}, "Player: Player with 3 fields expected, got an object without 'online'"),
        (
            PLAYER,
            {"id": 1, "name": "x", "online": True, "x": 1},
            "Player: Player with 3 fields expected, got an object of 4 fields",
        ),
        (SHAPE, {"player": [1, 2, True]}, "Shape.Player.name: string expected, got a number"),
        (WORLD, [[[1, "x", 5]], [], [], [], None, ["0x1"]], "World.players[0].online: bool expected, got a number"),
    ],
)
def test_bad_json(codec: Any, obj: Any, message: str) -> None:
    assert said(DecodeError, codec.from_json, obj) == message


# --- depth ------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    node = None
    for _ in range(depth):
        node = NODE.python_type(1, node)
    return node


def test_recursive_values_may_be_nested_as_deep_as_the_limit() -> None:
    data = NODE.encode(nested(64))
    assert NODE.decode_exact(data) == nested(64)
    assert NODE.from_json(NODE.to_json(nested(64))) == nested(64)
    short = "next.next.next.next.next.next.….next.next.next.next.next.next"
    text = "values nested at most 64 deep"
    assert (
        said(DecodeError, NODE.decode_exact, b"\1\0" + data) == f"Node.{short} at byte 128: {text} expected, got more"
    )
    assert said(EncodeError, NODE.encode, nested(65)).startswith(f"{short}: expected {text}, got Node(")
    assert said(EncodeError, NODE.to_json, nested(65)).startswith(f"{short}: expected {text}, got Node(")
    assert (
        said(DecodeError, NODE.from_json, [1, [0, NODE.to_json(nested(64))]])
        == f"Node.{short}: {text} expected, got more"
    )


def test_the_limit_can_be_chosen_and_a_value_may_not_contain_itself() -> None:
    made = Types([Product((Element("kids", Array(Ref(0))),))], {0: "Tree"}, Limits(nesting=2))
    tree = made.codec(Ref(0))
    with pytest.raises(DecodeError, match="values nested at most 2 deep expected"):
        tree.decode_exact(b"\1\0\0\0" * 3 + bytes(4))
    kids: list[Any] = []
    kids.append(made.python_type(0)(kids))
    with pytest.raises(EncodeError, match="expected values nested at most 2 deep"):
        tree.encode({"kids": kids})


def test_a_type_that_contains_nothing_but_itself_has_no_values() -> None:
    made = Types([Product((Element("next", Ref(0)),))], {0: "Endless"}).codec(Ref(0))
    assert made.min_size == 0
    assert made.fixed_size is None
    with pytest.raises(DecodeError, match="values nested at most 64 deep"):
        made.decode_exact(b"")
    with pytest.raises(DecodeError, match="values nested at most 64 deep"):
        made.column_slicer(0)(b"")
    with pytest.raises(DecodeError, match="values nested at most 64 deep"):
        made.cut(b"")


def test_long_chains_of_types_are_the_schemas_fault_or_the_datas() -> None:
    chain = [Product((Element("next", Ref(index + 1)),)) for index in range(5000)]
    scalars = Types([*chain, P.U8], dict.fromkeys(range(5000), "Link"))
    with pytest.raises(SchemaError, match="types are nested too deeply"):
        scalars.codec(Ref(0)).decode_exact(b"\0")
    options = [Product((Element("next", option(Ref(index + 1))),)) for index in range(3000)]
    codec = Types([*options, P.U8], dict.fromkeys(range(3000), "Link")).codec(Ref(0))
    with pytest.raises(DecodeError, match="Link: values nested less deeply expected"):
        codec.decode_exact(bytes(3001))
    value: Any = 5
    for _ in range(3000):
        value = {"next": value}
    with pytest.raises(EncodeError, match="expected values nested less deeply, got more"):
        codec.encode(value)
    json: Any = 5
    for _ in range(3000):
        json = [[0, json]]
    with pytest.raises(DecodeError, match="Link: values nested less deeply expected"):
        codec.from_json(json)


@pytest.mark.parametrize(
    ("typespace", "type_", "message"),
    [
        ([], Ref(0), "type 0 refers to no type in the end"),
        ([Ref(1), Ref(0)], Ref(0), "type 0 refers to no type in the end"),
        ([Ref(0)], Array(Ref(0)), "type 0 refers to no type in the end"),
    ],
)
def test_references_to_nothing(typespace: Any, type_: Any, message: str) -> None:
    assert said(SchemaError, Types(typespace).codec, type_) == message


def test_types_inside_each_other_end_somewhere() -> None:
    type_: Any = P.U8
    for _ in range(66):
        type_ = option(type_)
    with pytest.raises(SchemaError, match="types are nested more than 64 deep"):
        Types([]).codec(type_)
    for _ in range(3000):
        type_ = option(type_)
    with pytest.raises(SchemaError, match="types are nested too deeply"):
        Types([]).codec(type_)


def nest_of_nothing(levels: int, leaf: Any) -> list[Any]:
    """Slots of which each holds the next one twice."""
    inner = [Product((Element("a", Ref(n + 1)), Element("b", Ref(n + 1)))) for n in range(levels)]
    return [*inner, leaf]


def test_types_that_make_much_of_nothing_are_refused() -> None:
    most = nest_of_nothing(5, UNIT)
    assert Types(most).codec(Ref(0)).min_size == 0
    for typespace, title in (
        (nest_of_nothing(6, UNIT), "type 0"),
        ([Product((Element("x", Ref(2)), Element("y", P.U8))), P.U8, *shifted(nest_of_nothing(40, UNIT), 2)], "type 0"),
        ([Sum((Element("x", Array(Ref(1))),)), *shifted(nest_of_nothing(6, UNIT), 1)], "type 0"),
    ):
        said_ = said(SchemaError, Types(typespace).codec, Ref(0))
        assert said_ == f"{title}: expected at most 64 fields of products without bytes, got more"
    assert Types(nest_of_nothing(6, P.U8)).codec(Ref(0)).min_size == 64, "bytes bound what has some"
    assert Types([Product((Element("next", option(Ref(0))),))]).codec(Ref(0)).min_size == 1


def shifted(typespace: list[Any], by: int) -> list[Any]:
    def moved(type_: Any) -> Any:
        if not isinstance(type_, Product):
            return type_
        return Product(tuple(Element(e.name, Ref(e.type.index + by)) for e in type_.elements))

    return [moved(type_) for type_ in typespace]


def test_code_for_deeply_nested_arrays_is_spread_over_functions() -> None:
    type_: Any = P.U16
    value: Any = 5
    for _ in range(40):
        type_, value = Array(option(type_)) if _ % 2 else Array(type_), [value]
    codec = Types([]).codec(type_)
    assert codec.decode_exact(codec.encode(value)) == value
    assert codec.from_json(codec.to_json(value)) == value
    row = Types([]).codec(Product((Element("a", type_), Element("b", P.U8))))
    assert row.column_reader(1)(row.encode({"a": value, "b": 7})) == 7


# --- what is taken ----------------------------------------------------------------------------------------------------


class Index:
    def __index__(self) -> int:
        return 7


class Text(str):
    __slots__ = ()


@attrs.define
class Lookalike:
    online: bool
    name: str
    id: int
    more: int = 0


def test_other_classes_that_are_as_good() -> None:
    assert U8.encode(Index()) == b"\7"
    assert TYPES.codec(Array(P.U16)).encode((1, Index())) == TYPES.codec(Array(P.U16)).encode(UserList([1, 7]))
    assert TYPES.codec(Array(P.F64)).encode(range(2)) == TYPES.codec(Array(P.F64)).encode([0.0, 1.0])
    assert TYPES.codec(P.F64).encode(2) == TYPES.codec(P.F64).encode(2.0)
    assert TYPES.codec(P.STRING).encode(Text("x")) == b"\1\0\0\0x"
    for octets in (bytearray(b"ab"), memoryview(b"a-b-")[::2]):
        assert TYPES.codec(BYTES).encode(octets)[:5] == b"\2\0\0\0a"
    assert TYPES.codec(UNIT).encode(None) == b""
    assert COLOR.encode("Green") == COLOR.encode("green") == b"\1"
    assert SHAPE.encode(Shape.Empty) == SHAPE.encode(Shape.Empty()) == b"\2"
    player = Player(1, "né", True)
    for other in ({"online": True, "id": 1, "name": "né"}, Lookalike(True, "né", 1)):
        assert PLAYER.encode(other) == PLAYER.encode(player) == PLAYER_BYTES
        assert PLAYER.to_json(other) == PLAYER.to_json(player)


class Me(Identity):
    __slots__ = ()


def test_instances_of_subclasses() -> None:
    assert TYPES.codec(IDENTITY).encode(Me(bytes(32))) == bytes(32)

    class Round(Shape.Circle):  # type: ignore[name-defined, misc]
        pass

    assert SHAPE.encode(Round(1.5)) == SHAPE.encode(Shape.Circle(1.5))


class Grid:
    """As numpy's arrays: no `Sequence`, but one can iterate."""

    def __array__(self) -> None: ...

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return (5, 6)[index]


class Cell(Grid):
    """As numpy's arrays without dimensions."""

    def __iter__(self) -> Any:
        raise TypeError


def test_arrays_of_other_libraries() -> None:
    assert TYPES.codec(Array(P.U16)).encode(Grid()) == b"\2\0\0\0\5\0\6\0"
    with pytest.raises(EncodeError, match="expected array of u16, got "):
        TYPES.codec(Array(P.U16)).encode(Cell())


def test_fields_go_by_either_name() -> None:
    made = Types([Product((Element("class", P.U8), Element("from", P.U8)))], {0: "Odd"}).codec(Ref(0))
    assert made.encode({"class": 1, "from_": 2}) == made.encode({"class_": 1, "from": 2}) == b"\1\2"
    with pytest.raises(EncodeError) as caught:
        made.encode({"class": 1, "class_": 1, "from": 2})
    assert str(caught.value) == "expected Odd, got a mapping that names a field twice"


def test_tags_are_one_byte() -> None:
    units = tuple(Element(f"v{number}", UNIT) for number in range(300))
    colors = Types([Sum(units)], {0: "Many"}).codec(Ref(0))
    members = list(colors.python_type)
    assert colors.decode_exact(b"\xff") is members[255]
    for write in (colors.encode, colors.to_json):
        assert said(EncodeError, write, members[256]) == "expected Many with a tag below 256, got 256 (int)"
    shapes = Types([Sum((*units, Element("last", P.U8)))], {0: "Many"}).codec(Ref(0))
    assert shapes.decode_exact(shapes.encode(shapes.python_type.V255())) == shapes.python_type.V255()
    for tag in range(256):
        assert shapes.encode(shapes.decode_exact(bytes([tag]))) == bytes([tag])
    assert said(EncodeError, shapes.encode, shapes.python_type.Last(5)).startswith("expected Many, got Many.Last(")


def test_copies_of_an_error_keep_the_place() -> None:
    error = EncodeError("u8", "'x' (str)", ["items", 3, "n"])
    assert repr(error) == "EncodeError(\"items[3].n: expected u8, got 'x' (str)\")"
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(again), again.path) == (str(error), ["items", 3, "n"])
