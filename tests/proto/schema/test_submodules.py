from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.bsatn.types import Primitive, Ref
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_schema

from .support import (
    NONE,
    STRING,
    U8,
    names,
    product,
    reducer10,
    table10,
    v10,
    view10,
)


def submodule(namespace: str, module: Any) -> dict[str, Any]:
    return {"namespace": namespace, "module": module}


def test_nested_submodules() -> None:
    inner = v10(product(x={"Ref": 1}), STRING, Tables=[table10("t")], Reducers=[reducer10("f")])
    outer = v10(product(y=U8), Tables=[table10("t")], Submodules=[submodule("b", inner)])
    schema = load_schema(
        v10(product(z=U8), product(z=U8), Tables=[table10("t", 1)], Submodules=[submodule("a", outer)])
    )
    assert {name: (table.row, table.columns[0].type) for name, table in schema.tables.items()} == {
        "t": (Ref(1), Primitive.U8),
        "a.t": (Ref(2), Primitive.U8),
        "a.b.t": (Ref(3), Ref(4)),
    }
    assert [(item.namespace, item.first_slot, item.slots) for item in schema.submodules] == [("a", 2, 1), ("a.b", 3, 2)]
    assert schema.resolve(Ref(4)) is Primitive.STRING
    assert schema.reducers["a.b.f"].namespace == "a.b"


def test_namespaces_are_converted_by_newer_servers() -> None:
    """Protocol 2.14, 4: the answer has the source name, and `ExplicitNames` the canonical one."""
    module = v10(
        product(a=U8),
        Tables=[table10("liveSession")],
        Reducers=[reducer10("signOut")],
        Views=[view10("v", {"Array": {"Ref": 0}})],
        Schedules=[
            {"source_name": NONE, "table_name": "live_session", "schedule_at_col": 0, "function_name": "sign_out"}
        ],
        ExplicitNames=names(("Table", "liveSession", "live_session"), ("Function", "signOut", "sign_out")),
    )
    schema = load_schema(
        v10(
            CaseConversionPolicy={"None": []},
            Submodules=[submodule("authLib", module)],
            ExplicitNames=names(("Namespace", "authLib", "auth_lib")),
            Environment=[{"name": "KEY", "ty": {"String": []}, "optional": True}],
            Outboxes=[],
        )
    )
    assert {table.name: table.source_name for table in schema.tables.values()} == {
        "auth_lib.live_session": "authLib.liveSession",
        "auth_lib.v": "authLib.v",
    }
    schedule = schema.tables["auth_lib.live_session"].schedule
    assert schedule is not None
    assert schedule.function == "auth_lib.sign_out"
    assert schema.reducers["auth_lib.sign_out"].is_scheduled
    assert schema.notes == ()


def test_submodules_cannot_refer_to_the_root() -> None:
    module = v10(product(a={"Ref": 1}))
    with pytest.raises(SchemaError, match=r"Submodules\[0\].module.sections\[0\].*below 1, got the number 1"):
        load_schema(v10(U8, U8, Submodules=[submodule("a", module)]))


@pytest.mark.parametrize("namespace", ["", "a.b", "x" * 300, 5])
def test_namespaces_are_identifiers(namespace: Any) -> None:
    with pytest.raises(SchemaError, match=r"Submodules\[0\].namespace: expected"):
        load_schema(v10(Submodules=[submodule(namespace, {"sections": []})]))


def test_namespaces_are_not_used_twice() -> None:
    with pytest.raises(SchemaError, match="expected another namespace"):
        load_schema(v10(Submodules=[submodule("a", {"sections": []}), submodule("a", {"sections": []})]))


def test_submodules_are_not_nested_for_ever() -> None:
    def nest(depth: int) -> Any:
        answer: Any = {"sections": []}
        for _ in range(depth):
            answer = v10(Submodules=[submodule("a", answer)])
        return answer

    assert len(load_schema(nest(15)).submodules) == 15
    with pytest.raises(SchemaError, match="nested at most 16 deep"):
        load_schema(nest(20))
