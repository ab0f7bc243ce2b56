"""Definitions to test with: the recorded ones, the worked example of the schema reference, and small made-up ones."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from spacetimedb_proto.schema import Schema, load_schema

HERE = Path(__file__).parent
RECORDED = HERE.parents[1] / "data" / "schemas"
MODULES = sorted(path.name.removesuffix(".v10.json") for path in RECORDED.glob("*.v10.json"))

# Lists whose order the server does not keep, or that have none.
UNORDERED = {
    "sections", "Types", "Tables", "Reducers", "Procedures", "Views", "ViewPrimaryKeys", "Schedules", "Submodules",
    "LifeCycleReducers", "RowLevelSecurity", "HttpHandlers", "HttpRoutes", "entries", "indexes", "constraints",
    "sequences", "tables", "reducers", "misc_exports", "row_level_security",
}  # fmt: skip


def recorded(module: str, version: int) -> Any:
    return json.loads((RECORDED / f"{module}.v{version}.json").read_bytes())


def recorded_schema(module: str, version: int) -> Schema:
    return load_schema((RECORDED / f"{module}.v{version}.json").read_bytes())


def pantry() -> Any:
    """The worked example: what version=10 answers (schema reference, 1.7)."""
    return json.loads((HERE / "pantry.json").read_text())


def _is_unordered(key: str, value: list[Any]) -> bool:
    # `types` is the typespace, whose order counts, or v9's list of names.
    return key in UNORDERED or (key == "types" and bool(value) and "ty" in value[0])


def in_order(value: Any, key: str = "") -> Any:
    """The same JSON with every list that has no order sorted."""
    if isinstance(value, dict):
        return {name: in_order(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [in_order(item) for item in value]
        return sorted(items, key=json.dumps) if _is_unordered(key, items) else items
    return value


def shuffled(value: Any, rng: random.Random, key: str = "") -> Any:
    """The same JSON in another order, where the server may choose one."""
    if isinstance(value, dict):
        return {name: shuffled(item, rng, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [shuffled(item, rng) for item in value]
        if _is_unordered(key, items):
            rng.shuffle(items)
        return items
    return value


def some(value: Any) -> dict[str, Any]:
    return {"some": value}


NONE: dict[str, Any] = {"none": []}
U8: dict[str, Any] = {"U8": []}
STRING: dict[str, Any] = {"String": []}
UNIT: dict[str, Any] = {"Product": {"elements": []}}


def elements(**types: Any) -> dict[str, Any]:
    return {"elements": [{"name": some(name), "algebraic_type": type_} for name, type_ in types.items()]}


def product(**types: Any) -> dict[str, Any]:
    return {"Product": elements(**types)}


def table10(name: str, ref: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "source_name": name,
        "product_type_ref": ref,
        "primary_key": [],
        "indexes": [],
        "constraints": [],
        "sequences": [],
        "table_type": {"User": []},
        "table_access": {"Public": []},
        "default_values": [],
        "is_event": False,
        **fields,
    }


def view10(name: str, return_type: Any, **fields: Any) -> dict[str, Any]:
    return {
        "source_name": name,
        "index": 0,
        "is_public": True,
        "is_anonymous": False,
        "params": elements(),
        "return_type": return_type,
        **fields,
    }


def reducer10(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "source_name": name,
        "params": elements(),
        "visibility": {"ClientCallable": []},
        "ok_return_type": UNIT,
        "err_return_type": STRING,
        **fields,
    }


def v10(*types: Any, **sections: Any) -> dict[str, Any]:
    """A definition of some types, and sections by name."""
    return {"sections": [{"Typespace": {"types": list(types)}}, *({name: body} for name, body in sections.items())]}


def one_table(**fields: Any) -> dict[str, Any]:
    """A definition of one table `t` with the columns a, b and c."""
    return v10(product(a=U8, b=STRING, c=U8), Tables=[table10("t", **fields)])


def names(*entries: tuple[str, str, str]) -> dict[str, Any]:
    """The section `ExplicitNames` of (kind, source name, canonical name)."""
    return {"entries": [{kind: {"source_name": source, "canonical_name": name}} for kind, source, name in entries]}
