"""Arguments whose bytes end too early, in the real server's words."""

from __future__ import annotations

import pytest

from spacetimedb_proto.errors import DecodeError
from spacetimedb_sdk.testing import Module, i32, u8, u64, u256
from spacetimedb_sdk.testing.call_bsatn import read_bsatn

module = Module("m")


@module.type
class Point:
    x: i32
    y: i32


@module.sum
class Shape:
    Empty: None
    At: Point


@module.type
class Tree:
    branches: list[Tree]


@module.type
class Nothing:
    pass


@module.reducer
def take(ctx, n: u64, text: str, points: list[Point], shape: Shape, maybe: u8 | None):
    pass


@module.reducer
def others(ctx, tree: Tree, nothings: list[Nothing], flag: bool, big: u256):
    pass


WHOLE = b"\1" + bytes(7) + b"\2\0\0\0hi" + b"\1\0\0\0" + bytes(8) + b"\1" + bytes(8) + b"\0\7"
TREE = b"\1\0\0\0\0\0\0\0" + b"\xff\xff\xff\xff"


def read(data, name="take"):
    return read_bsatn(module.schema, module.schema.reducers[name], data)


def test_whole_arguments():
    assert read(WHOLE) == (1, "hi", [Point(0, 0)], Shape.At(Point(0, 0)), 7)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "data too short for u64: Expected 8, given 0"),
        (2, "data too short for u64: Expected 8, given 2"),
        (10, "data too short for u32: Expected 4, given 2"),
        (13, "data too short for [u8]: Expected 2, given 1"),
        (19, "data too short for i32: Expected 4, given 1"),
        (26, "data too short for u8: Expected 1, given 0"),
        (28, "data too short for i32: Expected 4, given 1"),
        (len(WHOLE) - 1, "data too short for u8: Expected 1, given 0"),
    ],
)
def test_arguments_that_end_too_early(size, text):
    with pytest.raises(DecodeError) as caught:
        read(WHOLE[:size])
    assert str(caught.value) == text


def test_types_that_contain_themselves_and_values_without_bytes():
    with pytest.raises(DecodeError, match="^data too short for bool: Expected 1, given 0$"):
        read(TREE, "others")
    with pytest.raises(DecodeError, match="^data too short for u256: Expected 32, given 3$"):
        read(TREE + bytes(4), "others")


@pytest.mark.parametrize("data", [WHOLE + b"x", WHOLE[:-2] + b"\7", WHOLE[:12] + b"\xff" + WHOLE[13:]])
def test_what_else_is_wrong_is_told_in_words_of_our_own(data):
    with pytest.raises(DecodeError, match="take"):
        read(data)
