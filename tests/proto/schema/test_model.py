from __future__ import annotations

import attrs
import pytest

from spacetimedb_proto.bsatn.types import Array, Element, Product, Ref, option
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import Schema, load_schema
from spacetimedb_proto.schema.definitions import Function, Param, View

from .support import U8, one_table, pantry, product, recorded_schema, table10, v10


@pytest.fixture
def schema() -> Schema:
    return load_schema(pantry())


def test_tables_by_canonical_and_source_name(schema: Schema) -> None:
    """SQL takes both (schema reference, 3.4)."""
    assert schema.table("pantry_item") is schema.table("pantryItem") is schema.tables["pantry_item"]
    assert schema.resolve_table("authLib.liveSession") is schema.tables["authLib.live_session"]
    assert schema.resolve_table("Pantry_Item") is None  # trap 25: no folding of any kind
    with pytest.raises(SchemaError, match="the module has no table or view 'nope'"):
        schema.table("nope")


def test_canonical_names_come_before_source_names() -> None:
    entries = [
        {"Table": {"source_name": "a", "canonical_name": "b"}},
        {"Table": {"source_name": "b", "canonical_name": "c"}},
    ]
    schema = load_schema(v10(product(x=U8), Tables=[table10("a"), table10("b")], ExplicitNames={"entries": entries}))
    found = {name: table.name for name in ("a", "b", "c") if (table := schema.resolve_table(name))}
    assert found == {"a": "b", "b": "b", "c": "c"}


def test_functions_by_canonical_and_source_name(schema: Schema) -> None:
    assert schema.resolve_reducer("addItem") is schema.resolve_reducer("add_item") is schema.reducers["add_item"]
    assert schema.resolve_procedure("countItems") is schema.procedures["tally"]
    assert schema.resolve_reducer("tally") is schema.resolve_procedure("add_item") is None


def test_everything_is_immutable(schema: Schema) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        schema.tables["pantry_item"].primary_key = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        schema.tables["x"] = schema.tables["pantry_item"]  # type: ignore[index]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        schema.notes = ()  # type: ignore[misc]


def test_equality_and_hash(schema: Schema) -> None:
    other = load_schema(pantry())
    assert schema == other
    assert len({schema, other}) == 1
    assert attrs.evolve(schema, notes=("x",), version=9) == schema
    assert attrs.evolve(schema, row_level_security=("x",)) != schema


def test_repr_is_short(schema: Schema) -> None:
    assert repr(schema) == "<Schema of 4 tables, 4 reducers, 1 procedures>"


def test_references_are_resolved(schema: Schema) -> None:
    state = schema.tables["pantry_item"].columns[3].type
    assert state == Ref(1)
    assert schema.resolve(state) is schema.typespace[1]


def test_return_types_of_views() -> None:
    assert View(shape="array").return_type(Ref(3)) == Array(Ref(3))
    assert View(shape="option").return_type(Ref(3)) == option(Ref(3))
    assert View(shape="query").return_type(Ref(3)) == Product((Element("__query__", Ref(3)),))


def test_params_product() -> None:
    function = Function(name="f", source_name="f", params=(Param(name="a", type=Ref(0)),))
    assert function.params_product == Product((Element("a", Ref(0)),))
    assert not function.is_procedure


# --- the digest -------------------------------------------------------------------------------------------------------


def test_the_digest_is_stable() -> None:
    """It is kept in generated code, so it must not change by itself."""
    assert load_schema({"sections": []}).hash == "d0ef0e1666c9ed634372aa024dec7654d7a8853689a2017b052bd8413c0212a0"
    assert recorded_schema("sdk-test-view", 9).hash == recorded_schema("sdk-test-view", 10).hash


def test_the_digest_sees_what_clients_see() -> None:
    seen = {load_schema(one_table()).hash}
    for answer in (
        one_table(is_event=True),
        one_table(primary_key=[0]),
        one_table(table_access={"Private": []}),
        one_table(constraints=[{"source_name": None, "data": {"Unique": {"columns": [0]}}}]),
        one_table(indexes=[{"source_name": None, "accessor_name": None, "algorithm": {"BTree": [0]}}]),
        v10(product(a=U8, b=U8, c=U8), Tables=[table10("t")]),
        v10(product(a=U8), Tables=[table10("u")]),
    ):
        digest = load_schema(answer).hash
        assert digest not in seen
        seen.add(digest)


def test_the_digest_leaves_out_what_clients_do_not_see() -> None:
    expected = load_schema(one_table()).hash
    defaults = [{"col_id": 0, "value": "00"}]
    assert load_schema(one_table(default_values=defaults)).hash == expected
    renamed = one_table(source_name="T")
    renamed["sections"].append({"ExplicitNames": {"entries": [{"Table": {"source_name": "T", "canonical_name": "t"}}]}})
    assert load_schema(renamed).hash == expected


# --- codecs -----------------------------------------------------------------------------------------------------------


def test_row_codecs_by_either_name(schema: Schema) -> None:
    codec = schema.row_codec("authLib.live_session")
    assert codec.decode_exact(codec.encode({"user_name": "ada"})).user_name == "ada"
    assert schema.row_codec("authLib.liveSession") is codec
    with pytest.raises(SchemaError):
        schema.row_codec("nope")


def test_params_codecs(schema: Schema) -> None:
    codec = schema.params_codec(schema.reducers["add_item"])
    assert codec.encode(["jam", 3]) == b"\x03\0\0\0jam\x03\0"
    assert schema.params_codec(schema.reducers["add_item"]) is codec


def test_return_codecs(schema: Schema) -> None:
    codec = schema.return_codec(schema.procedures["tally"])
    assert codec.decode_exact(codec.encode(7)) == 7
    with pytest.raises(SchemaError, match="'add_item' is a reducer, which returns nothing"):
        schema.return_codec(schema.reducers["add_item"])


@pytest.mark.parametrize("module", ["sdk-test", "module-test", "sdk-test-procedure"])
def test_every_recorded_type_has_a_codec(module: str) -> None:
    schema = recorded_schema(module, 10)
    for name in schema.tables:
        assert schema.row_codec(name).min_size >= 0
    for function in (*schema.reducers.values(), *schema.procedures.values()):
        assert schema.params_codec(function)
    for procedure in schema.procedures.values():
        assert schema.return_codec(procedure)
