from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.bsatn.types import Primitive, Ref
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.schema.definitions import Index, Schedule

from .support import NONE, U8, elements, product, recorded, some


def table9(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "product_type_ref": 0,
        "primary_key": [],
        "indexes": [],
        "constraints": [],
        "sequences": [],
        "schedule": NONE,
        "table_type": {"User": []},
        "table_access": {"Public": []},
        **fields,
    }


def v9(*types: Any, **fields: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {"tables": [], "reducers": [], "types": [], "misc_exports": [], "row_level_security": []}
    return {"typespace": {"types": list(types)}, **lists, **fields}


def test_names_are_canonical() -> None:
    schema = load_schema(recorded("sdk-test-case-conversion", 9))
    table = schema.tables["Player1Canonical"]
    assert (table.source_name, schema.version) == ("Player1Canonical", 9)
    assert table.indexes == (Index(columns=(0,), name="Player1Canonical_player_1_id_idx_btree", accessor="Player1Id"),)
    assert schema.reducers["banPlayer1"].source_name == "banPlayer1"


def test_schedules_stand_in_their_tables() -> None:
    schedule = some({"name": some("s"), "reducer_name": "run", "scheduled_at_column": 1})
    lifecycle = some({"OnDisconnect": []})
    schema = load_schema(
        v9(
            product(id=U8, at=U8),
            tables=[table9("job", schedule=schedule)],
            reducers=[
                {"name": "run", "params": elements(), "lifecycle": NONE},
                {"name": "bye", "params": elements(), "lifecycle": lifecycle},
                {"name": "walk", "params": elements(), "lifecycle": None},
            ],
        )
    )
    assert schema.tables["job"].schedule == Schedule(name="s", column=1, function="run")
    # Trap 13: this form does not say that the host alone runs these.
    run, bye = schema.reducers["run"], schema.reducers["bye"]
    assert (run.is_callable, run.is_scheduled) == (False, True)
    assert (bye.is_callable, bye.lifecycle) == (False, "OnDisconnect")
    assert schema.reducers["walk"].is_callable


def test_a_procedure_may_be_scheduled() -> None:
    schema = load_schema(recorded("sdk-test-procedure", 9))
    procedure = schema.procedures["scheduled_proc"]
    assert (procedure.is_scheduled, procedure.is_callable, procedure.is_procedure) == (True, False, True)


def test_exports_by_kind() -> None:
    view = {"name": "v", "index": 3, "is_public": False, "is_anonymous": True, "params": elements(a=U8)}
    procedure = {"name": "p", "params": elements(), "return_type": {"Ref": 0}}
    schema = load_schema(
        v9(
            product(a=U8),
            tables=[table9("t")],
            misc_exports=[
                {"View": {**view, "return_type": {"Array": {"Ref": 0}}}},
                {"View": {**view, "name": "w", "return_type": U8}},
                {"Procedure": procedure},
                {"ColumnDefaultValue": {"table": "t", "col_id": 0, "value": "05"}},
                {"ColumnDefaultValue": {"table": "u", "col_id": 9, "value": "05"}},
                {"Teleporter": 5},
            ],
        )
    )
    found = schema.tables["v"]
    assert found.view is not None
    assert (found.is_public, found.view.is_anonymous, found.view.index, len(found.view.params)) == (False, True, 3, 1)
    assert schema.procedures["p"].return_type == Ref(0)
    # Trap 16: defaults name their table by its canonical name.
    assert schema.tables["t"].columns[0].default == b"\x05"
    assert set(schema.notes) == {
        "misc_exports[1].View: the view 'w' returns no rows; left out",
        "misc_exports[4].ColumnDefaultValue: the default value belongs to no table",
        "misc_exports[5]: unknown export 'Teleporter'",
    }


def test_lists_may_be_missing() -> None:
    schema = load_schema({"typespace": {"types": [U8]}})
    assert (schema.typespace, dict(schema.tables)) == ((Primitive.U8,), {})


def test_a_whole_definition_as_an_array() -> None:
    reducer = ["f", [[[[0, "a"], [7, []]]]], [1, []]]
    schema = load_schema({"V9": [[[product(a=U8)]], [], [reducer], [[[[], "T"], 0, True]], [], [["SELECT 1"]]]})
    assert schema.reducers["f"].params[0].name == "a"
    assert (schema.type_names, schema.row_level_security) == ({0: "T"}, ("SELECT 1",))


NO_RETURN_TYPE = {"Procedure": {"name": "p", "params": {}}}
WRONG_SLOT = {"name": {"scope": [], "name": "T"}, "ty": 5}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tables": [{}]}, r"tables\[0\]: expected a field 'name'"),
        ({"tables": [table9("t", schedule=5)]}, r"tables\[0\].schedule: expected an object with one key"),
        ({"reducers": [{"name": "f"}]}, r"reducers\[0\]: expected a field 'lifecycle'"),
        ({"misc_exports": [NO_RETURN_TYPE]}, r"misc_exports\[0\].Procedure: expected a field 'return_type'"),
        ({"types": [WRONG_SLOT]}, r"types\[0\].ty: expected a slot of the typespace below 1"),
        ({"row_level_security": [{"sql": 5}]}, r"row_level_security\[0\].sql: expected text"),
    ],
)
def test_malformed_definitions(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match="^" + message):
        load_schema(v9(product(a=U8), **fields))
