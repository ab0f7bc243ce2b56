"""Sums as unions of classes: with and without payloads, nested, and containing themselves."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import pytest

from spacetimedb_proto.bsatn.types import UNIT, Array, Element, Primitive, Ref, Sum
from spacetimedb_proto.bsatn.values import Err, Ok
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_sdk.testing import Module, Row, f64, i32
from tests.sdk.testing.support import Guest, database

drawing = Module("drawing", convert_names=True)


@attrs.frozen
class Circle:
    radius: f64


@attrs.frozen
class LineTo:
    x: i32
    y: i32


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class Group:
    shapes: list[Shape]


Shape: TypeAlias = Circle | LineTo | Nothing | Group
drawing.union("Shape", Shape)


@drawing.table(public=True)
class Drawn(Row):
    shape: Shape
    maybe: Shape | None
    many: list[Shape]
    outcome: Ok[Shape] | Err[str]


@drawing.reducer
def draw(ctx, shape: Shape):
    ctx.db[Drawn].insert(shape=shape, maybe=None, many=[shape, Nothing()], outcome=Ok(shape))


def test_the_type():
    schema = drawing.schema
    slots = {name: slot for slot, name in schema.type_names.items()}
    assert sorted(slots) == ["Drawn", "LineTo", "Shape"], "only what is a payload itself has a name"
    assert schema.typespace[slots["Shape"]] == Sum(
        (
            Element("circle", Primitive.F64),
            Element("lineTo", Ref(slots["LineTo"])),
            Element("nothing", UNIT),
            Element("group", Array(Ref(slots["Shape"]))),
        )
    )
    assert load_schema(dump_schema(schema, 10)) == schema


@pytest.mark.parametrize(
    "shape", [Circle(2.5), LineTo(1, -1), Nothing(), Group([]), Group([Circle(1.0), Group([Nothing()])])], ids=repr
)
def test_values(shape):
    alice = Guest(database(drawing))
    alice.subscribe("SELECT * FROM drawn")
    alice.session.call_reducer("draw", [shape])
    alice.events()
    (row,) = alice.rows("drawn")
    assert (row.shape, row.maybe, row.many, row.outcome) == (shape, None, [shape, Nothing()], Ok(shape))


def test_a_value_that_is_none_of_them():
    with pytest.raises(Exception, match="Shape"):
        database(drawing).run(lambda ctx: draw(ctx, "round"))


def test_what_is_no_union():
    module = Module("m")
    for union in (Circle, Circle | None, Circle | int, "Circle | LineTo"):
        with pytest.raises(TypeError, match="shape: expected a union of attrs classes"):
            module.union("shape", union)
    module.reducer(draw_line)
    with pytest.raises(TypeError, match="others need module.union"):
        assert module.schema


def test_two_types_of_one_name():
    module = Module("m")
    module.union("LineTo", LineTo | Circle)
    module.reducer(draw_line)
    with pytest.raises(TypeError, match="two types have the name LineTo"):
        assert module.schema


def draw_line(ctx, line: LineTo | Circle):
    pass
