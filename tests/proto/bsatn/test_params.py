"""Arguments of reducers and procedures."""

from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import Array, Element, Primitive, Product, Ref
from spacetimedb_proto.errors import DecodeError, EncodeError

P = Primitive
TYPES = Types([Product((Element("x", P.U8),))], {0: "Point"})
SEND = TYPES.product_fields_codec(
    Product((Element("text", P.STRING), Element("self", Array(Ref(0))), Element("class", P.BOOL))), "send"
)
NONE = TYPES.product_fields_codec(Product(), "ping")
Point = TYPES.python_type(0)

ARGS = ("hi", [Point(1)], True)
DATA = b"\2\0\0\0hi" + b"\1\0\0\0\1" + b"\1"


def test_arguments_go_by_position_or_name() -> None:
    assert SEND.names == ("text", "self_", "class_")
    assert SEND.wire_names == ("text", "self", "class")
    assert SEND.encode(ARGS) == SEND.encode(list(ARGS)) == DATA
    assert SEND.encode({"class": True, "self_": [{"x": 1}], "text": "hi"}) == DATA
    assert SEND.arrange(("hi",), {"class_": True, "self": []}) == ("hi", [], True)
    assert NONE.encode(()) == NONE.encode({}) == b""


def test_arguments_are_decoded_in_order() -> None:
    assert SEND.decode(DATA) == ARGS
    assert NONE.decode(b"") == ()
    with pytest.raises(DecodeError) as caught:
        SEND.decode(DATA[:-1] + b"\2")
    assert str(caught.value) == "send.class_ at byte 11: a bool is 0 or 1, got 2"
    with pytest.raises(DecodeError, match="ping at byte 0: 1 byte left over"):
        NONE.decode(b"\0")


def test_arguments_have_json() -> None:
    assert SEND.to_json(ARGS) == ["hi", [[1]], True]
    assert SEND.from_json(["hi", [[1]], True]) == ARGS
    assert SEND.from_json({"self": [{"x": 1}], "text": "hi", "class": True}) == ARGS
    assert NONE.to_json([]) == []
    with pytest.raises(DecodeError) as caught:
        SEND.from_json(["hi"])
    assert str(caught.value) == "send: send with 3 fields expected, got an array of 1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hi",), "send(text, self_, class_) is missing 'self_', 'class_'"),
        ((*ARGS, 1), "send(text, self_, class_) takes 3 arguments, 4 were given"),
        ({"text": "x", "more": 1}, "send(text, self_, class_) got an unexpected argument 'more'"),
        ({"self": [], "self_": []}, "send(text, self_, class_) got argument 'self_' twice"),
    ],
)
def test_the_wrong_number_is_a_type_error(args: Any, message: str) -> None:
    for write in (SEND.encode, SEND.to_json):
        with pytest.raises(TypeError) as caught:
            write(args)
        assert str(caught.value) == message


def test_nothing_expected() -> None:
    with pytest.raises(TypeError, match=r"ping\(\) takes no arguments, 1 were given"):
        NONE.encode((1,))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((5, [], True), "text: expected str, got 5 (int)"),
        (("x", [Point(1), Point(256)], True), "self_[1].x: expected u8, got 256 (int)"),
        (("x", [], 1), "class_: expected bool, got 1 (int)"),
    ],
)
def test_a_wrong_argument_is_named(args: Any, message: str) -> None:
    for write in (SEND.encode, SEND.to_json):
        with pytest.raises(EncodeError) as caught:
            write(args)
        assert str(caught.value) == message
