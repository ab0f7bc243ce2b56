"""Classes made at run time."""

from __future__ import annotations

import copy

import attrs
import pytest

from spacetimedb_proto.bsatn.classes import attribute_names, builder, make_enum, make_product, make_sum
from spacetimedb_proto.errors import SchemaError


def test_a_product_is_an_attrs_class() -> None:
    cls = make_product("Point", ("x", "_y", "self", "self_"))
    point = cls(1, _y=2, self__=3, self_=4)
    assert repr(point) == "Point(x=1, _y=2, self=3, self_=4)"
    assert attrs.evolve(point, x=5) == cls(5, 2, 3, 4)
    assert hash(point) == hash(copy.deepcopy(point))
    assert not hasattr(point, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        point.x = 2
    match point:
        case cls(1, y):
            assert y == 2
        case _:
            pytest.fail("no match")


def test_a_sum_has_a_class_per_variant() -> None:
    shape = make_sum("Shape", [("Circle", True), ("Empty", False)])
    assert repr(shape.Circle(1.5)) == "Shape.Circle(value=1.5)"
    assert repr(shape.Empty()) == "Shape.Empty()"
    assert shape.Empty() == shape.Empty()
    assert shape.Circle(1) != shape.Empty()
    assert isinstance(shape.Circle(1), shape)
    match shape.Circle(2):
        case shape.Circle(value):
            assert value == 2
        case _:
            pytest.fail("no match")


def test_an_enum_has_the_tags_as_values() -> None:
    assert [(member.name, member.value) for member in make_enum("Color", ("Red", "None_"))] == [
        ("Red", 0),
        ("None_", 1),
    ]
    assert list(make_enum("Nothing", ())) == []


def test_names_that_no_class_can_have() -> None:
    name = "a\0b\ud800"
    assert make_product(name, ()).__name__ == "a?b?"
    assert make_sum(name, [("A", True)]).A(1).__class__.__qualname__ == "a?b?.A"
    assert make_enum(name, ("A",)).__name__ == "a?b?"


def test_only_attrs_classes_have_attributes() -> None:
    with pytest.raises(SchemaError, match="int is no attrs class"):
        attribute_names(int)


def test_a_builder_skips_the_constructor_and_leaves_nothing_behind() -> None:
    @attrs.frozen
    class Checked:
        number: int = attrs.field(validator=attrs.validators.instance_of(int))

    made_by = builder(Checked)
    assert made_by is not None
    made = made_by()
    made.number = 5
    made.__class__ = Checked
    assert made == Checked(5)
    assert type(made) is Checked
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.number = 6


def test_a_constructor_that_does_more_is_not_skipped() -> None:
    @attrs.frozen
    class Counted:
        items: list[int]
        count: int = attrs.field(init=False, default=0)

    @attrs.define
    class Hooked:
        number: int

        def __attrs_post_init__(self) -> None:
            self.number += 1

    assert builder(Counted) is None
    assert builder(Hooked) is None
