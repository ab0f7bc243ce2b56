"""Declaring modules: what the schema says about them, and what is refused."""

from __future__ import annotations

import enum
import json
import uuid
from pathlib import Path

import attrs
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
from spacetimedb_proto.bsatn.values import ConnectionId, Err, Identity, Ok, ScheduleAt, Some, TimeDuration, Timestamp
from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_sdk import testing
from spacetimedb_sdk.testing import (
    AutoInc,
    Index,
    Module,
    PrimaryKey,
    Row,
    Unique,
    f32,
    f64,
    i8,
    i32,
    i256,
    u8,
    u32,
    u64,
    u128,
)
from tests.behaviour_module import EnumWithPayload, Pair, SimpleEnum, User, behaviour

REAL = Path(__file__).parents[2] / "data" / "behaviour.v9.json"


class Colour(enum.Enum):
    RED = 0
    GREEN = 1


def spelled_out(schema, type_):
    """A type without references, to compare types of different typespaces."""
    match schema.resolve(type_):
        case Array(element):
            return Array(spelled_out(schema, element))
        case Product(elements) | Sum(elements) as composite:
            inner = tuple(Element(element.name, spelled_out(schema, element.type)) for element in elements)
            return type(composite)(inner)
        case other:
            return other


# --- the door ---------------------------------------------------------------------------------------------------------


def test_the_door_is_guarded():
    assert len(set(testing.__all__)) == len(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_a_module_imports_its_types_from_one_place():
    values = (ConnectionId, Err, Identity, Ok, ScheduleAt, Some, TimeDuration, Timestamp)
    names = ("ConnectionId", "Err", "Identity", "Ok", "ScheduleAt", "Some", "TimeDuration", "Timestamp")
    assert tuple(getattr(testing, name, None) for name in names) == values
    assert set(names) <= set(testing.__all__)


# --- the behaviour module is the Rust module --------------------------------------------------------------------------


def test_the_behaviour_module_is_what_a_real_server_says_about_the_rust_one():
    real, ours = load_schema(REAL.read_text("utf-8")), behaviour.schema
    assert set(ours.tables) - set(real.tables) == {"notice"}
    assert set(ours.reducers) - set(real.reducers) == {"notify"}
    for name, table in real.tables.items():
        own = ours.tables[name]
        assert spelled_out(ours, own.row) == spelled_out(real, table.row), name
        assert (own.primary_key, own.constraints, own.sequences) == (
            table.primary_key,
            table.constraints,
            table.sequences,
        )
        assert [(index.columns, index.accessor, index.source_name) for index in own.indexes] == [
            (index.columns, index.accessor, index.name) for index in table.indexes
        ]
        assert own.is_public == table.is_public
    for name, reducer in real.reducers.items():
        own = ours.reducers[name]
        assert own.lifecycle == reducer.lifecycle
        assert own.is_callable == reducer.is_callable
        assert [(param.name, spelled_out(ours, param.type)) for param in own.params] == [
            (param.name, spelled_out(real, param.type)) for param in reducer.params
        ]
    assert {item.name for item in ours.type_defs} - {item.name for item in real.type_defs} == {"Notice"}


def test_its_schema_survives_being_served():
    assert load_schema(json.dumps(dump_schema(behaviour.schema, 10))) == behaviour.schema
    v9 = load_schema(json.dumps(dump_schema(behaviour.schema, 9)))
    assert v9.tables.keys() == behaviour.schema.tables.keys()
    assert v9.reducers == behaviour.schema.reducers


def test_rows_are_of_the_modules_own_classes():
    codec = behaviour.schema.row_codec("pair")
    row = codec.decode_exact(codec.encode(Pair(1, "one", 2, 3)))
    assert type(row) is Pair
    assert row == Pair(id=1, key="one", group=2, value=3)
    assert attrs.evolve(row, value=4).value == 4
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        row.value = 4


def test_sums_are_classes_for_match():
    codec = behaviour.schema.types.codec(Ref(behaviour.schema.tables["every_type"].columns[4].type.index))
    for value in (EnumWithPayload.U8(7), EnumWithPayload.Nothing(), EnumWithPayload.SimpleEnums([SimpleEnum.Two])):
        assert isinstance(value, EnumWithPayload)
        assert codec.decode_exact(codec.encode(value)) == value
    match codec.decode_exact(codec.encode(EnumWithPayload.Str("x"))):
        case EnumWithPayload.Str(text):
            assert text == "x"


# --- types ------------------------------------------------------------------------------------------------------------


def column_types(**annotations):
    module = Module("m")
    module.table(name="t")(type("T", (), {"__annotations__": annotations, "__module__": __name__}))
    return [column.type for column in module.schema.tables["t"].columns]


@pytest.mark.parametrize(
    ("annotation", "type_"),
    [
        (u8, Primitive.U8), (u128, Primitive.U128), (i8, Primitive.I8), (i256, Primitive.I256),
        (f32, Primitive.F32), (f64, Primitive.F64), (float, Primitive.F64),
        (bool, Primitive.BOOL), (str, Primitive.STRING), (bytes, BYTES), (list[u8], BYTES),
        (Identity, IDENTITY), (ConnectionId, CONNECTION_ID), (Timestamp, TIMESTAMP), (TimeDuration, TIME_DURATION),
        (ScheduleAt, SCHEDULE_AT), (uuid.UUID, UUID), (None, UNIT),
        (u8 | None, option(Primitive.U8)), (list[str | None], Array(option(Primitive.STRING))),
        (Some[u8 | None] | None, option(option(Primitive.U8))),
        (Some[Some[u8 | None] | None] | None, option(option(option(Primitive.U8)))),
        (Ok[str] | Err[u8], result(Primitive.STRING, Primitive.U8)),
        (PrimaryKey[AutoInc[u64]], Primitive.U64), (Index[Unique[str]], Primitive.STRING),
        (Index[str | None], option(Primitive.STRING)),
    ],
)  # fmt: skip
def test_annotations_are_types(annotation, type_):
    assert column_types(c=annotation) == [type_]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int, "T.c: int has no size; use one of u8 to u256 or i8 to i256"),
        (Some[u8] | None, r"T.c: Some\[...\] is only for options of options"),
        (u8 | str, r"T.c: of unions only T \| None and Ok\[T\] \| Err\[E\] are types"),
        (object, "T.c: object is no type of this module; register it with @module.type or @module.sum"),
        (dict[str, u8], "T.c: .* is no type that a column can have"),
        ("Nowhere", "T: its annotations cannot be evaluated: name 'Nowhere' is not defined"),
        (AutoInc[str], "t.c: only integers can be counted up"),
    ],
)
def test_what_no_column_can_be(annotation, message):
    with pytest.raises(TypeError, match=message):
        column_types(c=annotation)


def test_types_of_types_and_local_classes():
    module = Module("m")

    @module.type
    class Leaf:
        colour: Colour

    @module.type
    class Tree:
        leaf: Leaf | None
        branches: list[Tree]

    @module.sum
    class Shape:
        Circle: f64
        Garden: list[Tree]
        Nothing: None

    @module.table(public=True)
    class Plant:
        tree: Tree
        shape: Shape

    schema = module.schema
    assert [item.name for item in schema.type_defs] == ["Colour", "Leaf", "Plant", "Shape", "Tree"]
    codec = schema.row_codec("plant")
    row = Plant(Tree(None, [Tree(Leaf(Colour.GREEN), [])]), Shape.Garden([Tree(None, [])]))
    assert codec.decode_exact(codec.encode(row)) == row
    assert Plant.__name__ == "Plant"


def test_enums_may_be_registered():
    module = Module("m")
    assert module.type(Colour) is Colour
    assert repr(module) == "<Module 'm' with 0 tables, 0 functions>"


def test_enum_values_are_tags():
    class Odd(enum.Enum):
        A = 1
        B = 2

    with pytest.raises(TypeError, match=r"Odd: expected the values 0 to 1 in order, got \[1, 2\]"):
        column_types(c=Odd)


def test_two_types_of_one_name():
    module = Module("m")

    def declare():
        @module.type
        class Same:
            x: u8

        return Same

    annotations = {"a": declare(), "b": declare()}
    module.table(type("Table", (), {"__annotations__": annotations, "__module__": __name__}))
    with pytest.raises(TypeError, match="two types have the name Same"):
        module.schema  # noqa: B018


def test_names_that_python_cannot_spell():
    module = Module("m")

    @module.table(name="import")
    class Table:
        from_: u8
        class_: str
        type_: str

    @module.reducer
    def lambda_(ctx, def_: u8, id_: u8): ...

    table = module.schema.tables["import"]
    assert [column.name for column in table.columns] == ["from", "class", "type_"]
    assert [param.name for param in module.schema.reducers["lambda"].params] == ["def", "id_"]
    assert Table(from_=1, class_="x", type_="y").from_ == 1


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Message", "message"), ("EveryType", "every_type"), ("Person2", "person_2"), ("HTTPGone", "http_gone"),
        ("snake_case", "snake_case"), ("_Private", "private"),
    ],
)  # fmt: skip
def test_a_table_is_named_after_its_class(name, expected):
    module = Module("m")
    module.table(type(name, (), {"__annotations__": {"x": u8}, "__module__": __name__}))
    assert list(module.tables) == [expected]


def test_keys_indexes_and_sequences():
    module = Module("m")

    @module.table(public=True, indexes=["c", ("b", "c"), ("id",)])
    class Thing:
        id: PrimaryKey[AutoInc[u64]]
        a: Unique[str]
        b: Index[i32]
        c: str | None

    table = module.schema.tables["thing"]
    assert table.primary_key == 0
    assert [unique.name for unique in table.constraints] == ["thing_id_key", "thing_a_key"]
    assert [sequence.name for sequence in table.sequences] == ["thing_id_seq"]
    assert [(index.source_name, index.accessor, index.columns) for index in table.indexes] == [
        ("thing_id_idx_btree", "id", (0,)),
        ("thing_a_idx_btree", "a", (1,)),
        ("thing_b_idx_btree", "b", (2,)),
        ("thing_b_c_idx_btree", "b_c", (2, 3)),
        ("thing_c_idx_btree", "c", (3,)),
    ]
    assert table.is_public
    assert not table.is_event


def test_tables_may_share_a_row_class():
    module = Module("m")

    @module.table(name="old", public=True)
    @module.table(name="new", event=True)
    class Thing:
        id: u8

    schema = module.schema
    assert schema.tables["old"].row == schema.tables["new"].row
    assert (schema.tables["old"].is_event, schema.tables["new"].is_event) == (False, True)


def test_a_base_tells_type_checkers_about_the_constructor():
    module = Module("m")

    @module.table
    class Thing(Row):
        id: u8
        name: str = "nameless"

    assert Thing(1).name == "nameless"
    assert len(module.schema.tables["thing"].columns) == 2


def test_one_primary_key():
    with pytest.raises(TypeError, match="t: at most one column can be the primary key, got 2"):
        column_types(a=PrimaryKey[u8], b=PrimaryKey[u8])


@pytest.mark.parametrize(("indexes", "what"), [(["nope"], "nope"), ([()], "no column")])
def test_indexes_name_columns(indexes, what):
    module = Module("m")
    module.table(indexes=indexes)(User)
    with pytest.raises(TypeError, match=f"user: an index on {what}, which is no column"):
        module.schema  # noqa: B018


# --- functions --------------------------------------------------------------------------------------------------------


def test_functions_are_told_apart():
    module = Module("m")

    @module.reducer
    def poke(ctx, times: u32 = 1): ...

    @module.procedure
    def total(ctx) -> u64 | None: ...

    @module.procedure
    def nothing(ctx): ...

    @module.init
    def setup(ctx): ...

    schema = module.schema
    assert schema.reducers["poke"].is_callable
    assert [param.type for param in schema.reducers["poke"].params] == [Primitive.U32]
    assert schema.procedures["total"].return_type == option(Primitive.U64)
    assert schema.procedures["nothing"].return_type == UNIT
    assert (schema.reducers["setup"].lifecycle, schema.reducers["setup"].is_callable) == ("Init", False)
    assert poke.__name__ == "poke"


def declare(decorate, function):
    module = Module("m")
    decorate(module)(function)
    return module.schema


async def coroutine(ctx): ...
def no_context(): ...
def keywords(ctx, *, a: u8): ...
def any_number(ctx, *args: u8): ...
def bare(ctx, a): ...
def unsized(ctx, a: int): ...
def unknown(ctx: NotThereAtRunTime, a: Nowhere): ...  # noqa: F821
def fine(ctx: NotThereAtRunTime, a: u8) -> NotThereAtRunTime: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (coroutine, r"coroutine\(\): reducers and procedures are plain functions"),
        (no_context, r"no_context\(\): expected the context and then plain parameters"),
        (keywords, r"keywords\(\): expected the context and then plain parameters"),
        (any_number, r"any_number\(\): expected the context and then plain parameters"),
        (bare, r"bare\(\): the parameter 'a' has no annotation"),
        (unsized, r"unsized\(a\): int has no size"),
        (unknown, r"unknown\(\): its annotations cannot be evaluated: name 'Nowhere' is not defined"),
    ],
)
def test_what_no_reducer_can_be(function, message):
    with pytest.raises(TypeError, match=message):
        declare(lambda module: module.reducer, function)


def test_only_annotations_that_matter_are_evaluated():
    schema = declare(lambda module: module.reducer, fine)
    assert [param.name for param in schema.reducers["fine"].params] == ["a"]


def test_names_are_taken_once():
    module = Module("m")
    module.table(User)
    module.reducer(fine)
    module.client_connected(coroutine_free)
    with pytest.raises(TypeError, match="two tables have the name 'user'"):
        module.table(User)
    with pytest.raises(TypeError, match="two functions have the name 'fine'"):
        module.procedure(fine)
    with pytest.raises(TypeError, match="the module has a reducer for OnConnect already"):
        module.client_connected(no_context)


def coroutine_free(ctx): ...


def test_names_are_identifiers():
    module = Module("m")
    with pytest.raises(TypeError, match="'<lambda>' is no name for anything in a module"):
        module.reducer(lambda ctx: None)
    with pytest.raises(TypeError, match="'two words' is no name"):
        module.table(name="two words")(User)


def test_after_the_schema_nothing_can_be_added():
    module = Module("m")
    assert not module.schema.tables
    with pytest.raises(TypeError, match="too late"):
        module.table(User)
    with pytest.raises(TypeError, match="too late"):
        module.reducer(fine)
    with pytest.raises(TypeError, match="too late"):
        module.type(User)
    with pytest.raises(TypeError, match="too late"):
        module.sum(User)


@pytest.mark.parametrize("name", ["", "Chat", "a--b", "-a", "a_b", "a b"])
def test_database_names(name):
    with pytest.raises(ValueError, match="database name"):
        Module(name)
