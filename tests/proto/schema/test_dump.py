from __future__ import annotations

from typing import Any, Literal

import pytest

from spacetimedb_proto.schema import dump_schema, load_schema

from .support import (
    MODULES,
    NONE,
    U8,
    elements,
    in_order,
    one_table,
    pantry,
    product,
    recorded,
    recorded_schema,
    reducer10,
    table10,
    v10,
    view10,
)

VERSIONS: tuple[Literal[9], Literal[10]] = (9, 10)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_answers_come_out_as_they_went_in(module: str, version: Literal[9, 10]) -> None:
    schema = recorded_schema(module, version)
    dumped = dump_schema(schema, version)
    assert in_order(dumped) == in_order(recorded(module, version))
    assert load_schema(dumped) == schema


@pytest.mark.parametrize("module", MODULES)
def test_a_v10_schema_knows_the_v9_answer(module: str) -> None:
    """Names of indexes included, which a v10 answer leaves out: they follow the host's rule in all recorded modules."""
    assert in_order(dump_schema(recorded_schema(module, 10), 9)) == in_order(recorded(module, 9))


@pytest.mark.parametrize("module", MODULES)
def test_a_v9_schema_makes_a_v10_answer(module: str) -> None:
    schema = recorded_schema(module, 9)
    again = load_schema(dump_schema(schema, 10))
    assert again.tables.keys() == schema.tables.keys()
    assert again.procedures == schema.procedures
    assert again.reducers == schema.reducers
    # A query's key, which was inferred, is not declared; a declared one is not in a v9 answer.
    assert again.hash == schema.hash


def test_pantry_comes_out_as_it_went_in() -> None:
    schema = load_schema(pantry())
    assert in_order(dump_schema(schema)) == in_order(pantry())
    assert load_schema(dump_schema(schema)) == schema


def test_pantry_as_v9() -> None:
    """What the schema reference shows of it in 1.7: the submodule is gone, and everything has its canonical name."""
    dumped = dump_schema(load_schema(pantry()), 9)
    assert len(dumped["typespace"]["types"]) == 3
    job = next(table for table in dumped["tables"] if table["name"] == "spoil_job")
    assert job == {
        "name": "spoil_job",
        "product_type_ref": 2,
        "primary_key": [0],
        "indexes": [
            {
                "name": {"some": "spoil_job_job_id_idx_btree"},
                "accessor_name": {"some": "jobId"},
                "algorithm": {"BTree": [0]},
            }
        ],
        "constraints": [{"name": {"some": "spoil_job_job_id_key"}, "data": {"Unique": {"columns": [0]}}}],
        "sequences": [
            {
                "name": {"some": "spoil_job_job_id_seq"},
                "column": 0,
                "start": NONE,
                "min_value": NONE,
                "max_value": NONE,
                "increment": 1,
            }
        ],
        "schedule": {"some": {"name": {"some": "spoil_job_sched"}, "reducer_name": "spoil", "scheduled_at_column": 1}},
        "table_type": {"User": []},
        "table_access": {"Private": []},
    }
    assert [reducer["name"] for reducer in dumped["reducers"]] == ["add_item", "on_join", "spoil"]
    assert dumped["reducers"][1] == {"name": "on_join", "params": elements(), "lifecycle": {"some": {"OnConnect": []}}}
    assert {"name": {"scope": ["Kitchen"], "name": "ShelfState"}, "ty": 1, "custom_ordering": True} in dumped["types"]
    assert [next(iter(export)) for export in dumped["misc_exports"]] == ["ColumnDefaultValue", "Procedure", "View"]
    assert dumped["misc_exports"][0] == {"ColumnDefaultValue": {"table": "pantry_item", "col_id": 2, "value": "0700"}}


def test_nothing() -> None:
    assert dump_schema(load_schema({"sections": []})) == {"sections": []}
    empty = dump_schema(load_schema({"sections": []}), 9)
    assert empty["typespace"] == {"types": []}
    assert load_schema(empty) == load_schema({"sections": []})


def both_ways(answer: Any) -> None:
    schema = load_schema(answer)
    assert load_schema(dump_schema(schema)) == schema


def test_what_no_recorded_module_has() -> None:
    option = {"Sum": {"variants": elements(some={"Ref": 0}, none=product())["elements"]}}
    both_ways(
        v10(
            product(a=U8, b={"Array": U8}),
            Tables=[
                table10(
                    "t",
                    primary_key=[0],
                    is_event=True,
                    table_type={"System": []},
                    indexes=[
                        {"source_name": NONE, "accessor_name": NONE, "algorithm": {"Direct": 0}},
                        {"source_name": NONE, "accessor_name": {"some": "h"}, "algorithm": {"Hash": [1, 0]}},
                    ],
                    sequences=[
                        {
                            "source_name": NONE,
                            "column": 0,
                            "start": {"some": 5},
                            "min_value": {"some": -(2**127)},
                            "max_value": {"some": 2**127 - 1},
                            "increment": -1,
                        }
                    ],
                )
            ],
            Views=[
                view10("o", option, params=elements(a=U8), index=7, is_anonymous=True, is_public=False),
                view10("q", product(__query__={"Ref": 0})),
                view10("k", product(__query__={"Ref": 0})),
                view10("a", {"Array": product(x=U8)}),
            ],
            ViewPrimaryKeys=[
                {"view_source_name": "o", "columns": ["b"]},
                {"view_source_name": "k", "columns": ["b"]},
            ],
            HttpHandlers=[{"source_name": "h"}],
            HttpRoutes=[
                {"handler_function": "h", "method": {"Any": []}, "path": "/a"},
                {"handler_function": "h", "method": {"Method": {"Extension": "PURGE"}}, "path": "/b"},
            ],
        )
    )


def test_nested_submodules_with_canonical_namespaces() -> None:
    inner = v10(product(x={"Ref": 1}), U8, Tables=[table10("innerT")])
    outer = v10(
        product(y={"Ref": 0}),
        Submodules=[{"namespace": "bB", "module": inner}],
        Reducers=[reducer10("f")],
        ExplicitNames={"entries": [{"Namespace": {"source_name": "bB", "canonical_name": "b_b"}}]},
    )
    answer = v10(
        U8,
        Submodules=[{"namespace": "aA", "module": outer}, {"namespace": "c", "module": {"sections": []}}],
        ExplicitNames={"entries": [{"Namespace": {"source_name": "aA", "canonical_name": "a_a"}}]},
    )
    schema = load_schema(answer)
    assert list(schema.tables) == ["a_a.b_b.innerT"]
    both_ways(answer)
    assert [submodule.source_name for submodule in schema.submodules] == ["aA", "aA.bB", "c"]


def test_a_direct_index_is_one_column() -> None:
    answer = one_table(indexes=[{"source_name": NONE, "accessor_name": NONE, "algorithm": {"Direct": 2}}])
    index = dump_schema(load_schema(answer), 9)["tables"][0]["indexes"][0]
    assert index["algorithm"] == {"Direct": 2}
    assert index["name"] == {"some": "t_c_idx_direct"}
