from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.schema.definitions import (
    HttpRoute,
    Index,
)

from .support import (
    MODULES,
    NONE,
    U8,
    elements,
    names,
    one_table,
    pantry,
    product,
    recorded,
    recorded_schema,
    reducer10,
    shuffled,
    table10,
    v10,
)


def assert_order_does_not_matter(answer: Any, rng: random.Random) -> None:
    """Trap 2: the server's order differs from call to call."""
    schema, other = load_schema(answer), load_schema(shuffled(answer, rng))
    assert schema == other
    assert schema.hash == other.hash
    assert list(schema.tables) == list(other.tables) == sorted(schema.tables)
    assert list(schema.reducers) == sorted(schema.reducers)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_of_recorded_answers_does_not_matter(module: str, seed: int) -> None:
    assert_order_does_not_matter(recorded(module, 10), random.Random(seed))


@given(st.randoms(use_true_random=False))
def test_order_of_any_section_does_not_matter(rng: random.Random) -> None:
    assert_order_does_not_matter(pantry(), rng)


def test_nothing_is_a_module_too() -> None:
    schema = load_schema({"sections": []})
    assert (dict(schema.tables), schema.typespace, schema.notes) == ({}, (), ())


def test_the_first_section_of_a_kind_counts() -> None:
    """Trap 19."""
    answer = one_table()
    answer["sections"].append({"Tables": []})
    schema = load_schema(answer)
    assert list(schema.tables) == ["t"]
    assert schema.notes == ("sections[2]: a second section Tables; the first counts",)


def test_unknown_sections_are_skipped() -> None:
    answer = one_table()
    answer["sections"][:0] = [{"Teleporters": 5}, {"99": []}]
    schema = load_schema(answer)
    assert list(schema.tables) == ["t"]
    assert schema.notes == ("sections[0]: unknown section 'Teleporters'", "sections[1]: unknown section '99'")


def test_sections_by_number() -> None:
    answer = {"sections": [{"0": [[product(a=U8)]]}, [2, [table10("t")]]]}
    assert load_schema(answer).tables["t"].columns[0].name == "a"


def test_structs_as_arrays() -> None:
    index = [None, [0, "by_a"], [0, [0]]]
    table = ["t", 0, [0], [index], [[None, [0, [[0]]]]], [], [1, []], [0, []], [[0, "07"]], True]
    reducer = ["f", [[]], [1, []]]
    schema = load_schema({"sections": [{"Typespace": [[product(a=U8)]]}, [2, [table]], [3, [reducer]]]})
    t = schema.tables["t"]
    assert (t.primary_key, t.unique, t.is_public, t.is_event, t.columns[0].default) == (0, (0,), True, True, b"\7")
    assert t.indexes == (Index(columns=(0,), accessor="by_a"),)
    assert schema.reducers["f"].is_callable


def test_row_level_security_and_http() -> None:
    schema = load_schema(
        v10(
            RowLevelSecurity=[{"sql": "SELECT * FROM b"}, {"sql": "SELECT * FROM a"}],
            HttpHandlers=[{"source_name": "h"}],
            HttpRoutes=[
                {"handler_function": "h", "method": {"Any": []}, "path": "/a"},
                {"handler_function": "h", "method": {"Method": {"Post": []}}, "path": "/b"},
                {"handler_function": "h", "method": {"Method": {"Extension": "PURGE"}}, "path": "/c"},
                {"handler_function": "h", "method": {"Telepathy": []}, "path": "/d"},
            ],
        )
    )
    assert schema.row_level_security == ("SELECT * FROM a", "SELECT * FROM b")
    assert schema.http_handlers == ("h",)
    assert schema.http_routes == (
        HttpRoute(handler="h", method=None, path="/a"),
        HttpRoute(handler="h", method="POST", path="/b"),
        HttpRoute(handler="h", method="PURGE", path="/c"),
    )
    assert schema.notes == ("sections[3].HttpRoutes[3]: unknown kind of method 'Telepathy'",)


def test_explicit_names_are_the_wire_names() -> None:
    """Traps 3, 5, 8 and 9: nothing is converted, everything is looked up."""
    schema = recorded_schema("sdk-test-case-conversion", 10)
    assert {table.name: table.source_name for table in schema.tables.values()} == {
        "Level2Person": "person_at_level_2",
        "Player1Canonical": "player1",
        "person_2": "person2",
    }
    assert sorted(schema.reducers) == ["add_person_2", "banPlayer1", "create_player_1"]
    assert [param.name for param in schema.reducers["banPlayer1"].params] == ["Player1Id", "BanUntil6"]
    assert schema.tables["Player1Canonical"].indexes[0].accessor == "Player1Id"
    assert schema.tables["Player1Canonical"].columns[0].name == "player_1_id"


def test_names_without_an_entry_are_their_own() -> None:
    """Trap 4: no case conversion, whatever the policy says or does not say."""
    for policy in ({}, {"CaseConversionPolicy": {"SnakeCase": []}}, {"CaseConversionPolicy": {"None": []}}):
        schema = load_schema(v10(product(itemId=U8), Tables=[table10("pantryItem")], **policy))
        assert schema.tables["pantryItem"].columns[0].name == "itemId"


def test_kinds_of_names_do_not_mix() -> None:
    """A table, a type and a reducer may share a name (schema reference, 3.2)."""
    schema = load_schema(
        v10(
            product(a=U8),
            Types=[{"source_name": {"scope": [], "source_name": "person"}, "ty": 0, "custom_ordering": True}],
            Tables=[table10("person")],
            Reducers=[reducer10("person")],
            ExplicitNames=names(("Function", "person", "make_person"), ("Index", "person", "x"), ("Star", "s", "t")),
        )
    )
    assert (list(schema.tables), list(schema.reducers)) == (["person"], ["make_person"])
    assert schema.notes == ("sections[4].ExplicitNames.entries[2]: unknown kind of name 'Star'",)


def test_schedules_and_lifecycles_refer_to_canonical_names() -> None:
    answer = v10(
        product(id={"U64": []}, at=U8),
        Tables=[table10("jobA"), table10("job")],
        Reducers=[reducer10("runA"), reducer10("run"), reducer10("hello")],
        Schedules=[
            {"source_name": NONE, "table_name": "job", "schedule_at_col": 1, "function_name": "run"},
            {"source_name": NONE, "table_name": "nowhere", "schedule_at_col": 77, "function_name": "nothing"},
        ],
        LifeCycleReducers=[
            {"lifecycle_spec": {"Init": []}, "function_name": "hello"},
            {"lifecycle_spec": {"OnDoom": []}, "function_name": "nobody"},
        ],
        ExplicitNames=names(("Table", "jobA", "job"), ("Table", "job", "other"), ("Function", "runA", "run"),
                            ("Function", "run", "walk")),
    )  # fmt: skip
    schema = load_schema(answer)
    assert [table.source_name for table in schema.tables.values() if table.schedule] == ["jobA"]
    assert [function.source_name for function in schema.reducers.values() if function.is_scheduled] == ["runA"]
    # The host forces these to be private; an answer that does not is believed no more than that.
    assert [name for name, function in schema.reducers.items() if function.is_callable] == ["walk"]
    assert schema.notes == (
        "sections[3].Schedules: there is no 'nowhere'",
        "sections[4].LifeCycleReducers: there is no 'nobody'",
    )


def test_private_functions_are_not_callable() -> None:
    """Trap 12."""
    private = {"visibility": {"Private": []}}
    procedure = {"source_name": "p", "params": elements(), "return_type": U8, **private}
    schema = load_schema(
        v10(
            Reducers=[reducer10("f", **private), reducer10("g"), reducer10("h", visibility={"Friends": []})],
            Procedures=[procedure],
        )
    )
    callable_ = {name: function.is_callable for name, function in {**schema.reducers, **schema.procedures}.items()}
    assert callable_ == {"f": False, "g": True, "h": False, "p": False}
    assert schema.notes == ("sections[1].Reducers[2].visibility: unknown variant 'Friends'",)
