from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.bsatn.types import Element, Primitive, Product, Ref
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.schema.definitions import (
    Index,
    Sequence,
)

from .support import (
    NONE,
    STRING,
    U8,
    elements,
    names,
    one_table,
    product,
    reducer10,
    some,
    table10,
    v10,
    view10,
)


def test_keys_constraints_and_indexes() -> None:
    table = load_schema(
        one_table(
            primary_key=[2],
            constraints=[
                {"source_name": NONE, "data": {"Unique": {"columns": [2]}}},
                {"source_name": NONE, "data": {"Unique": {"columns": [1, 0]}}},
                {"source_name": NONE, "data": {"Unique": {"columns": [0, 0]}}},
            ],
            indexes=[
                {"source_name": some("d"), "accessor_name": NONE, "algorithm": {"Direct": 2}},
                {"source_name": some("h"), "accessor_name": some("Hash"), "algorithm": {"Hash": [1, 0]}},
            ],
        )
    ).tables["t"]
    assert table.primary_key == 2
    assert table.unique == (0, 2)
    assert table.unique_sets == ((0,), (1, 0), (2,))
    assert table.unique_keys == ((2,), (0,), (1, 0))
    assert table.indexes == (
        Index(columns=(1, 0), kind="Hash", source_name="h", accessor="Hash"),
        Index(columns=(2,), kind="Direct", source_name="d"),
    )


@pytest.mark.parametrize(
    ("constraints", "keys"),
    [
        ([[1, 1]], ((2,), (1,))),
        ([[0, 1, 0], [1, 0], [0, 1]], ((2,), (0, 1))),
        ([[2, 2], [2]], ((2,),)),
        ([[]], ((2,),)),
    ],
)
def test_constraints_that_say_the_same(constraints: list[list[int]], keys: tuple[tuple[int, ...], ...]) -> None:
    said = [{"source_name": NONE, "data": {"Unique": {"columns": columns}}} for columns in constraints]
    assert load_schema(one_table(primary_key=[2], constraints=said)).tables["t"].unique_keys == keys


def test_sequences_with_bounds() -> None:
    big = 2**127 - 1
    sequence = {"source_name": NONE, "column": 0, "start": some(5), "min_value": some(-big), "max_value": some(big)}
    table = load_schema(one_table(sequences=[{**sequence, "increment": -2}])).tables["t"]
    assert table.sequences == (Sequence(name=None, column=0, start=5, min_value=-big, max_value=big, increment=-2),)


def test_of_two_defaults_the_first_counts() -> None:
    """Trap 15: defaults are BSATN in hexadecimal."""
    defaults = [{"col_id": 2, "value": "07"}, {"col_id": 2, "value": [9]}]
    assert load_schema(one_table(default_values=defaults)).tables["t"].columns[2].default == b"\x07"


def test_several_tables_of_one_row_type() -> None:
    schema = load_schema(v10(product(a=U8), Tables=[table10("b"), table10("a", primary_key=[0])]))
    assert [(table.name, table.row, table.primary_key) for table in schema.tables.values()] == [
        ("a", Ref(0), 0),
        ("b", Ref(0), None),
    ]


def test_row_types_behind_other_slots() -> None:
    schema = load_schema(v10({"Ref": 1}, {"Ref": 2}, product(a=U8), Tables=[table10("t", 0)]))
    assert schema.tables["t"].row == Ref(2)
    assert schema.tables["t"].row_product == Product((Element("a", Primitive.U8),))


def test_unnamed_columns_and_parameters_get_names() -> None:
    unnamed = {"elements": [{"name": NONE, "algebraic_type": U8}]}
    schema = load_schema(v10({"Product": unnamed}, Tables=[table10("t")], Reducers=[reducer10("f", params=unnamed)]))
    assert schema.tables["t"].columns[0].name == "field_0"
    assert schema.reducers["f"].params[0].name == "arg_0"


def test_unknown_variants_cost_only_what_they_are_part_of() -> None:
    schema = load_schema(
        one_table(
            table_access={"Members": []},
            primary_key=[0, 1],
            indexes=[{"source_name": NONE, "accessor_name": NONE, "algorithm": {"Learned": {"model": 5}}}],
            constraints=[{"source_name": NONE, "data": {"Check": {"sql": "a > 5"}}}],
        )
    )
    table = schema.tables["t"]
    assert (table.is_public, table.primary_key, table.indexes, table.constraints) == (False, None, (), ())
    place = "sections[1].Tables[0]"
    assert set(schema.notes) == {
        f"{place}: a primary key of several columns; the table is taken to have none",
        f"{place}.indexes[0]: unknown index algorithm 'Learned'; the index is left out",
        f"{place}.constraints[0]: unknown constraint 'Check'",
        f"{place}.table_access: unknown variant 'Members'",
    }


def test_early_answers_lack_event_tables() -> None:
    answer = one_table()
    del answer["sections"][1]["Tables"][0]["is_event"]
    assert load_schema(answer).tables["t"].is_event is False


NAMELESS = {"source_name": NONE, "accessor_name": NONE}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"product_type_ref": 1}, "product_type_ref: expected a slot of the typespace below 1, got the number 1"),
        ({"primary_key": [3]}, r"primary_key\[0\]: expected a column below 3, got the number 3"),
        ({"primary_key": 0}, "primary_key: expected an array, got the number 0"),
        ({"indexes": [{**NAMELESS, "algorithm": 5}]}, r"indexes\[0\].algorithm: expected an object with one key"),
        ({"indexes": [{**NAMELESS, "algorithm": {"BTree": [9]}}]}, r"indexes\[0\].algorithm.BTree\[0\]: expected"),
        ({"indexes": [{**NAMELESS, "algorithm": {"Direct": [0]}}]}, r"indexes\[0\].algorithm.Direct: expected"),
        (
            {"constraints": [{"source_name": NONE, "data": {"Unique": {"columns": ["a"]}}}]},
            r"constraints\[0\].data.Unique.columns\[0\]: expected a column",
        ),
        ({"sequences": [{"source_name": NONE}]}, r"sequences\[0\]: expected a field 'column'"),
        ({"default_values": [{"col_id": 3, "value": ""}]}, r"default_values\[0\].col_id: expected a column below 3"),
        ({"default_values": [{"col_id": 0, "value": "xy"}]}, r"default_values\[0\].value: expected bytes as hex"),
        ({"is_event": "yes"}, "is_event: expected true or false, got text 'yes'"),
        ({"source_name": None}, "source_name: expected text, got null"),
    ],
)
def test_malformed_tables(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=r"^sections\[1\].Tables\[0\]." + message):
        load_schema(one_table(**fields))


def test_row_types_must_be_products() -> None:
    with pytest.raises(SchemaError, match="expected a slot that holds a product, got one that holds a Primitive"):
        load_schema(v10(U8, Tables=[table10("t")]))


def test_tables_cannot_multiply_columns_without_end() -> None:
    wide = product(**{f"c{n}": U8 for n in range(2001)})
    with pytest.raises(SchemaError, match="more than 200000 columns together"):
        load_schema(v10(wide, Tables=[table10(f"t{n}") for n in range(100)]))


# --- views ------------------------------------------------------------------------------------------------------------


def test_the_three_shapes_of_views() -> None:
    """Trap 10: all three mean rows."""
    query = product(__query__={"Ref": 0})
    option = {"Sum": {"variants": elements(some={"Ref": 0}, none=product())["elements"]}}
    schema = load_schema(
        v10(product(a=U8), Views=[view10("q", query), view10("o", option), view10("a", {"Array": {"Ref": 0}})])
    )
    assert {name: table.view.shape for name, table in schema.tables.items() if table.view} == {
        "a": "array",
        "o": "option",
        "q": "query",
    }
    assert {table.row for table in schema.tables.values()} == {Ref(0)}


def test_views_behind_aliases_and_of_inline_rows() -> None:
    schema = load_schema(
        v10(
            {"Ref": 1},
            {"Array": {"Ref": 2}},
            {"Ref": 3},
            product(a=U8),
            Views=[view10("far", {"Ref": 0}), view10("inline", {"Array": product(b=STRING)})],
        )
    )
    assert schema.tables["far"].row == Ref(3)
    assert schema.tables["inline"].row == Product((Element("b", Primitive.STRING),))
    assert schema.tables["inline"].columns[0].name == "b"


@pytest.mark.parametrize("returned", [U8, {"Array": U8}, product(a=U8), {"Array": {"Ref": 1}}, product(__query__=U8)])
def test_views_without_rows_are_left_out(returned: Any) -> None:
    schema = load_schema(v10(product(a=U8), U8, Views=[view10("v", returned)]))
    assert dict(schema.tables) == {}
    assert schema.notes == ("sections[1].Views[0]: the view 'v' returns no rows; left out",)


def test_view_keys() -> None:
    answer = v10(
        product(a=U8, b=U8),
        Views=[view10(name, {"Array": {"Ref": 0}}) for name in ("one", "two", "wrong", "none", "unsaid")],
        ViewPrimaryKeys=[
            {"view_source_name": "one", "columns": ["b"]},
            {"view_source_name": "two", "columns": ["a", "b"]},
            {"view_source_name": "wrong", "columns": ["c"]},
            {"view_source_name": "none", "columns": []},
        ],
        ExplicitNames=names(("Function", "one", "uno")),
    )
    schema = load_schema(answer)
    keys = {name: table.primary_key for name, table in schema.tables.items()}
    assert keys == {"uno": 1, "two": None, "wrong": None, "none": None, "unsaid": None}
    assert len(schema.notes) == 2


def test_views_with_parameters() -> None:
    """Protocol 2.14, 5."""
    params = elements(level=U8, name=STRING)
    schema = load_schema(v10(product(a=U8), Views=[view10("v", {"Array": {"Ref": 0}}, params=params)]))
    view = schema.tables["v"].view
    assert view is not None
    assert view.params_product == Product((Element("level", Primitive.U8), Element("name", Primitive.STRING)))
