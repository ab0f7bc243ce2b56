"""Definitions as compiled modules carry them: read, and given the names that a server gives."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.names import camel, pascal, snake
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_raw_schema, load_schema
from spacetimedb_proto.schema.canonical import canonicalised
from spacetimedb_proto.schema.raw import raw_to_json

from .raw import raw_bytes
from .support import MODULES, NONE, UNIT, elements, pantry, product, recorded, reducer10, some, table10, v10, view10

U64, STRING = {"U64": []}, {"String": []}


@pytest.mark.parametrize("version", [9, 10])
@pytest.mark.parametrize("module", MODULES)
def test_every_recorded_definition_comes_out_as_it_was(module, version):
    definition = recorded(module, version)
    assert raw_to_json(raw_bytes(definition)) == {f"V{version}": definition}


@pytest.mark.parametrize("module", MODULES)
def test_names_of_version_9_are_what_they_are(module):
    definition = recorded(module, 9)
    assert load_raw_schema(raw_bytes(definition)) == load_schema(definition)


def section(definition, name):
    (payload,) = (section[name] for section in definition["sections"] if name in section)
    return payload


def raw_pantry():
    """The module of the schema reference, 1.7, as it was written."""
    definition = pantry()
    item, state, job = section(definition, "Typespace")["types"]
    for name, element in zip(("itemId", "label", "shelf", "state"), item["Product"]["elements"], strict=True):
        element["name"] = some(name)
    for name, variant in zip(("Fresh", "UseBy", "HTTPGone"), state["Sum"]["variants"], strict=True):
        variant["name"] = some(name)
    for name, element in zip(("jobId", "runAt"), job["Product"]["elements"], strict=True):
        element["name"] = some(name)
    for type_ in section(definition, "Types"):
        scoped = type_["source_name"]
        scoped["scope"] = [scope.lower() for scope in scoped["scope"]]
        scoped["source_name"] = scoped["source_name"][0].lower() + scoped["source_name"][1:]
    section(definition, "ViewPrimaryKeys")[0]["columns"] = ["itemId"]
    section(definition, "Schedules")[0]["table_name"] = "spoilJob"
    section(definition, "LifeCycleReducers")[0]["function_name"] = "onJoin"
    names = section(definition, "ExplicitNames")
    names["entries"] = [
        {"Function": {"source_name": "countItems", "canonical_name": "tally"}},
        {"Namespace": {"source_name": "authLib", "canonical_name": "authLib"}},  # as servers of 2.8 have it
    ]
    (inner,) = section(definition, "Submodules")
    inner["module"]["sections"] = [s for s in inner["module"]["sections"] if "ExplicitNames" not in s]
    return definition


def test_the_worked_example_gets_the_names_that_the_server_gave_it():
    assert load_raw_schema(raw_bytes(raw_pantry())) == load_schema(pantry())


def test_without_a_policy_nothing_is_converted():
    definition = raw_pantry()
    definition["sections"].append({"CaseConversionPolicy": {"None": []}})
    schema = load_raw_schema(raw_bytes(definition))
    assert schema.tables["pantryItem"].columns[0].name == "itemId"
    assert "tally" in schema.procedures
    assert schema.type_names[1] == "kitchenshelfState"


def test_special_types_keep_their_names_and_others_do_not():
    definition = v10(
        product(
            id={"Product": {"elements": [{"name": some("__identity__"), "algebraic_type": {"U256": []}}]}},
            someValue={
                "Sum": {
                    "variants": [
                        {"name": some("some"), "algebraic_type": U64},
                        {"name": some("none"), "algebraic_type": UNIT},
                    ]
                }
            },
            __x__={"Array": {"Ref": 1}},
        ),
        {
            "Sum": {
                "variants": [{"name": NONE, "algebraic_type": UNIT}, {"name": some("MyUnit"), "algebraic_type": UNIT}]
            }
        },
        Types=[
            {"source_name": {"scope": ["my"], "source_name": "row_type"}, "ty": 0, "custom_ordering": True},
            {"source_name": {"scope": [], "source_name": "choice"}, "ty": 1, "custom_ordering": True},
        ],
        Tables=[table10("myTable")],
        Reducers=[reducer10("doIt", params=elements(anArg=U64))],
        Views=[view10("myView", {"Array": {"Ref": 0}})],
    )
    for one in definition["sections"]:
        one.pop("ExplicitNames", None)
    schema = load_raw_schema(raw_bytes({"sections": [one for one in definition["sections"] if one]}))
    table = schema.tables["my_table"]
    assert [column.name for column in table.columns] == ["id", "some_value", "x"]
    assert table.source_name == "myTable"
    assert schema.type_names == {0: "MyRowType", 1: "Choice"}
    assert [variant.name for variant in schema.typespace[1].variants] == [None, "myUnit"]
    assert schema.reducers["do_it"].params[0].name == "anArg"
    assert schema.tables["my_view"].is_view


def test_of_several_sections_the_first_counts():
    names = [{"Table": {"source_name": "a", "canonical_name": canonical}} for canonical in ("x", "y")]
    sections = [{"ExplicitNames": {"entries": names}}, {"ExplicitNames": {"entries": []}}, {"Tables": [table10("a")]}]
    (entries,) = (
        one["ExplicitNames"] for one in canonicalised({"sections": sections})["sections"] if "ExplicitNames" in one
    )
    assert entries["entries"] == [{"Table": {"source_name": "a", "canonical_name": "x"}}]


def test_every_section_there_is():
    definition = {
        "sections": [
            {"HttpHandlers": [{"source_name": "hello"}]},
            {"HttpRoutes": [
                {"handler_function": "hello", "method": {"Any": []}, "path": "/"},
                {"handler_function": "hello", "method": {"Method": {"Post": []}}, "path": "/p"},
                {"handler_function": "hello", "method": {"Method": {"Extension": "BREW"}}, "path": "/c"},
            ]},
            {"RowLevelSecurity": [{"sql": "SELECT * FROM a"}]},
            {"Environment": [
                {"name": "a", "ty": {"String": []}, "optional": True},
                {"name": "b", "ty": {"StringLiteral": "x"}, "optional": False},
                {"name": "c", "ty": {"Union": ["x", "y"]}, "optional": False},
            ]},
            {"Outboxes": [{
                "table_name": "a", "remote_reducer": "b", "target_column": 1, "arg_columns": [2, 3],
                "on_result_reducer": some("c"), "signature_hash": "ab" * 32,
            }]},
        ]
    }  # fmt: skip
    data = raw_bytes(definition)
    assert raw_to_json(data) == {"V10": definition}
    schema = load_raw_schema(data)
    assert [(route.path, route.method) for route in schema.http_routes] == [("/", None), ("/c", "BREW"), ("/p", "POST")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected 1 bytes at 0, got 0"),
        (b"\0", "got the tag 0; modules of servers before 1.0 have to be built anew"),
        (b"\3", "expected version 9 or 10, got the tag 3"),
        (b"\2\0\0\0\0\0", "expected its end at byte 5, got 1 more bytes"),
        (b"\2\1\0\0\0\xff", "got the unknown variant 255"),
        (b"\2\xff\xff\xff\xff", "got a list of 4294967295 items"),
        (b"\2\1\0\0\0\x0b\1\0\0\0\1\0\0\0\xff", "text before 15: "),
        (b"\2\1\0\0\0\0\1\0\0\0" + b"\3" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_definition(data, message):
    with pytest.raises(SchemaError, match=message):
        load_raw_schema(data)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\1", b"\2", b"\2\1\0\0\0"]))
def test_any_bytes_are_a_schema_or_an_error(data, start):
    with suppress(SchemaError):
        load_raw_schema(start + data)


@given(st.sampled_from(MODULES), st.sampled_from([9, 10]), st.data())
def test_no_definition_that_was_cut_is_read(module, version, data):
    whole = raw_bytes(recorded(module, version))
    with pytest.raises(SchemaError):
        load_raw_schema(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("name", "as_snake", "as_camel", "as_pascal"),
    [
        ("person2", "person_2", "person2", "Person2"),
        ("Player1Id", "player_1_id", "player1Id", "Player1Id"),
        ("HTTPGone", "http_gone", "httpGone", "HttpGone"),
        ("USD", "usd", "usd", "Usd"),
        ("_id", "id", "id", "Id"),
        ("a__b", "a_b", "aB", "AB"),
        ("", "", "", ""),
    ],
)
def test_cases(name, as_snake, as_camel, as_pascal):
    assert (snake(name), camel(name), pascal(name)) == (as_snake, as_camel, as_pascal)
