"""Values of one connection are those of another: the same classes, or others that are called the same."""

from __future__ import annotations

import enum
import gc
from weakref import ref

import attrs
import pytest

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import Element, Primitive, Product, Ref, Sum
from spacetimedb_proto.errors import EncodeError

UNIT = Product(())
TYPESPACE = [
    Product((Element("n", Primitive.U8), Element("colour", Ref(1)), Element("shape", Ref(2)))),
    Sum((Element("red", UNIT), Element("blue", UNIT))),
    Sum((Element("circle", Primitive.U8), Element("empty", UNIT))),
]
NAMES = {0: "Thing", 1: "Colour", 2: "Shape"}


def types(names=NAMES):
    return Types(TYPESPACE, names)


def thing(made):
    thing, colour, shape = map(made.python_type, range(3))
    return thing(1, colour.Red, shape.Circle(2))


def test_two_definitions_that_say_the_same_have_the_same_classes():
    one, other = types(), types()
    assert thing(one) == thing(other)
    assert [one.python_type(n) is other.python_type(n) for n in range(3)] == [True] * 3
    assert other.codec(Ref(0)).encode(thing(one)) == one.codec(Ref(0)).encode(thing(one))


def test_other_names_are_other_classes():
    other = types({0: "Thing", 1: "Color", 2: "Form"})
    assert types().python_type(1) is not other.python_type(1)
    with pytest.raises(EncodeError, match="expected Color"):
        other.codec(Ref(1)).encode(types().python_type(1).Red)
    with pytest.raises(EncodeError, match="expected Form"):
        other.codec(Ref(2)).encode(types().python_type(2).Empty())


def test_classes_that_nobody_uses_are_forgotten():
    found = ref(Types([Product((Element("only_here", Primitive.U8),))], {0: "Forgotten"}).python_type(0))
    gc.collect()
    assert found() is None


class Colour(enum.Enum):
    Red = 0
    Blue = 1


class Shape:
    """As a module in Python, or a generated package, has it."""

    @attrs.frozen
    class Circle:
        value: int

    @attrs.frozen
    class Empty:
        pass


@pytest.mark.parametrize(
    ("slot", "value", "data"), [(1, Colour.Blue, b"\1"), (2, Shape.Circle(7), b"\0\7"), (2, Shape.Empty(), b"\1")]
)
def test_values_of_classes_that_are_called_the_same(slot, value, data):
    assert types().codec(Ref(slot)).encode(value) == data


def test_values_that_are_only_nearly_the_same():
    class Other:
        Colour = enum.Enum("Colour", {"Red": 1, "Blue": 0})

        @attrs.frozen
        class Circle:
            value: int

        class Shape:
            @attrs.frozen
            class Circle:
                radius: int

    for slot, value in ((1, Other.Colour.Red), (2, Other.Circle(1)), (2, Other.Shape.Circle(1))):
        with pytest.raises(EncodeError, match=f"expected {NAMES[slot]}"):
            types().codec(Ref(slot)).encode(value)
