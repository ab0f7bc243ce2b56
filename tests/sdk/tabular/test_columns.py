"""Every type as a column and back: whatever the rows are, and whichever way the column is made."""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.layout import plain
from spacetimedb_proto.bsatn.types import (
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
    TIMESTAMP,
    UUID,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
)
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk.tabular.batches import arrow_table
from spacetimedb_sdk.tabular.exits import Held
from tests.schemas import SCHEMAS, schema
from tests.strategies import rows, values_of

from .reading import rows_of

TABLES = [
    (module, table)
    for module in sorted({path.name.partition(".")[0] for path in SCHEMAS.glob("*.v10.json")})
    for table in schema(module).tables
]


def held_as_bytes(codec, node, values):
    return Held(node, lists=[RowList.of([codec.encode(value) for value in values])], codec=codec)


def check(codec, node, values):
    """Both ways to make columns give the same, and the rows come out of it again."""
    expected = [codec.decode_exact(codec.encode(value)) for value in values]
    of_bytes = arrow_table(held_as_bytes(codec, node, values))
    of_objects = arrow_table(Held(node, expected))
    assert rows_of(of_bytes, node) == rows_of(of_objects, node) == expected
    assert of_bytes.schema == of_objects.schema
    of_bytes.validate(full=True)
    of_objects.validate(full=True)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_tables_of_recorded_modules(data):
    module, table = data.draw(st.sampled_from(TABLES))
    definition = schema(module)
    type_ = definition.tables[table].row
    values = data.draw(st.lists(values_of(definition.types, definition.typespace, type_), max_size=20))
    check(definition.types.codec(type_), definition.types.node(type_), values)


@pytest.mark.parametrize(("module", "table"), TABLES, ids=["/".join(each) for each in TABLES])
def test_each_table_of_recorded_modules(module, table):
    type_ = schema(module).tables[table].row
    check(schema(module).types.codec(type_), schema(module).types.node(type_), [])


@given(rows())
@settings(max_examples=50, deadline=None)
def test_rows_of_any_type(drawn):
    node = drawn.types.node(drawn.type)
    if plain(node).fields:
        check(drawn.codec, node, [drawn.value] * 3)


FIXED = [
    *(primitive for primitive in Primitive if primitive is not Primitive.STRING),
    *(IDENTITY, CONNECTION_ID, UUID, TIMESTAMP, TIME_DURATION),
    *(Ref(0), Ref(1)),
]
TYPESPACE = (
    Sum(tuple(Element(name, Product()) for name in ("Red", "Green", "Blue"))),
    Product((Element("flag", Primitive.BOOL), Element("at", TIMESTAMP), Element("colour", Ref(0)))),
)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_rows_of_one_size_at_any_offset(data):
    columns = data.draw(st.lists(st.sampled_from([*FIXED, SCHEDULE_AT]), min_size=1, max_size=6))
    elements = tuple(Element(f"c{n}", column) for n, column in enumerate(columns))
    types = Types((*TYPESPACE, Product(elements)), {0: "Colour", 1: "Point", 2: "Row"})
    few = data.draw(st.lists(values_of(types, (*TYPESPACE, Product(elements)), Ref(2)), min_size=1, max_size=5))
    check(types.codec(Ref(2)), types.node(Ref(2)), few * data.draw(st.integers(1, 30)))


@pytest.mark.parametrize("count", [31, 32, 33, 65_535, 65_536, 65_537, 200_001])
def test_blocks_of_many_rows(count):
    elements = (
        Element("b", Primitive.BOOL),
        Element("n", Primitive.U64),
        Element("i", IDENTITY),
        Element("m", Primitive.I32),
    )
    types = Types((Product(elements),), {0: "Row"})
    rows = [struct.pack("<?QQ24xi", n % 3 == 0, n * n, n, -n) for n in range(count)]
    table = arrow_table(Held(types.node(Ref(0)), lists=[RowList.of(rows)], codec=types.codec(Ref(0))))
    assert table["b"].to_pylist() == [n % 3 == 0 for n in range(count)]
    assert table["n"].to_pylist() == [n * n for n in range(count)]
    assert table["i"].to_pylist() == [f"{n:064x}" for n in range(count)]
    assert table["m"].to_pylist() == [-n for n in range(count)]


def test_numbers_that_are_no_numbers_stay():
    types = Types((Product((Element("x", Primitive.F64), Element("y", Primitive.F32))),), {0: "Row"})
    data = struct.pack("<Qf", 0x7FF8_0000_DEAD_BEEF, float("-inf")) * 40
    table = arrow_table(Held(types.node(Ref(0)), lists=[RowList(data, row_size=12)], codec=types.codec(Ref(0))))
    column = table["x"].combine_chunks()
    assert pa.compute.is_nan(column).to_pylist() == [True] * 40
    assert table["y"].to_pylist() == [float("-inf")] * 40
    assert column.null_count == 0


@pytest.mark.parametrize("type_", [Primitive.BOOL, Ref(0), SCHEDULE_AT])
def test_bytes_that_are_no_value(type_):
    types = Types((TYPESPACE[0], Product((Element("n", Primitive.U64), Element("x", type_)))), {0: "Colour", 1: "Row"})
    codec = types.codec(Ref(1))
    rest = bytes(codec.fixed_size - 9)
    rows = [bytes(8) + b"\1" + rest] * 40 + [bytes(8) + b"\7" + rest]
    with pytest.raises(DecodeError, match="^Row.x"):
        arrow_table(Held(types.node(Ref(1)), lists=[RowList.of(rows)], codec=codec))


def test_the_types():
    table = arrow_table(held_as_bytes(*_codec_and_node("every_primitive_struct"), []))
    inner = table.schema.field(0).type
    assert [str(inner.field(n).type) for n in range(inner.num_fields)] == [
        *("uint8", "uint16", "uint32", "uint64", "string", "string"),
        *("int8", "int16", "int32", "int64", "string", "string"),
        *("bool", "float", "double", "string", "string", "string"),
        *("timestamp[us, tz=UTC]", "duration[us]", "string"),
    ]
    assert [
        f"{field.name}: {field.type}"
        for field in arrow_table(held_as_bytes(*_codec_and_node("one_enum_with_payload"), [])).schema[0].type
    ][:3] == [
        "tag: dictionary<values=string, indices=uint8, ordered=0>",
        "u8: uint8",
        "u16: uint16",
    ]


def _codec_and_node(table):
    definition = schema("sdk-test")
    type_ = definition.tables[definition.table(table if table in definition.tables else f"one_{table}").name].row
    return definition.types.codec(type_), definition.types.node(type_)
