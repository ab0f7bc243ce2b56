"""Packages to test with: of the recorded modules, of the behaviour module, and of one whose names are all odd."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from spacetimedb_proto.schema import Schema, load_schema
from spacetimedb_sdk import codegen
from tests.proto.schema.support import (
    MODULES,
    NONE,
    STRING,
    U8,
    UNIT,
    elements,
    product,
    recorded,
    reducer10,
    some,
    table10,
    v10,
    view10,
)

__all__ = ["RECORDED", "hostile", "imported", "recorded_packages", "written"]

RECORDED = {
    f"{module.replace('-', '_')}_v{version}": (module, version) for module in MODULES for version in (9, 10)
}  # fmt: skip


def recorded_packages() -> dict[str, Schema]:
    """The schemas of all recorded modules, by the names of their packages."""
    return {name: load_schema(recorded(module, version)) for name, (module, version) in RECORDED.items()}


def written(folder: Path, name: str, schema: Schema, **options: Any) -> Path:
    """A package on disk, in a folder from which it can be imported."""
    codegen.write(folder / name, codegen.generate(schema, package_name=name, **options))
    return folder / name


def imported(folder: Path, name: str, schema: Schema, **options: Any) -> ModuleType:
    """A package that was just written, under a name that no other test uses."""
    assert name not in sys.modules
    written(folder, name, schema, **options)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        for part in ("connection", "procedures", "reducers", "tables", "types", "_schema"):
            importlib.import_module(f"{name}.{part}")  # what is asked for later is there without the path
    finally:
        sys.path.remove(str(folder))
    return module


# --- odd names --------------------------------------------------------------------------------------------------------


def ref(slot: int) -> dict[str, Any]:
    return {"Ref": slot}


def array(type_: Any) -> dict[str, Any]:
    return {"Array": type_}


def sum_(**variants: Any) -> dict[str, Any]:
    return {
        "Sum": {"variants": [{"name": some(name), "algebraic_type": type_} for name, type_ in variants.items()]}
    }  # fmt: skip


def optional(type_: Any) -> dict[str, Any]:
    return sum_(some=type_, none=UNIT)


IDENTITY = product(__identity__={"U256": []})

TYPES: dict[str, Any] = {
    # Words of Python, and of the module that the class is in.
    "None": product(**{"class": U8, "None": STRING, "import": U8, "self": U8, "_id": U8, "__x__": U8, "__y": U8}),
    "int": product(int=U8, str=STRING, list=array(U8), value=U8, bytes=array(U8), more=array(STRING), also=STRING),
    "str": product(it=STRING),
    "list": product(it=array(STRING)),
    "Any": sum_(a=U8, b=UNIT),
    "AnyAny": sum_(any=ref(4), anyAny=STRING, value=U8, mro=UNIT),
    "attrs": product(attrs=U8, enum=U8, types=U8, TypeAlias=U8, Empty=ref(13), same=ref(13)),
    "enum": sum_(none=UNIT, true=UNIT, name=UNIT, value=UNIT, mro=UNIT, _private=UNIT),
    # What Python cannot spell, or folds.
    "1st": product(**{"1st": U8, "ﬁeld": U8, "field": U8, "a-b": U8, "a b": U8, "名前": STRING, "": U8}),
    'quo"te\\': product(**{'"""': U8, "\\": U8, "\n": U8}),
    # Columns that are one after conversion.
    "Twice": product(x=U8, x_=U8, fooBar=U8, foo_bar=U8),
    # Recursion.
    "Node": product(next=optional(ref(11)), others=array(ref(11)), tree=ref(12)),
    "Tree": sum_(leaf=UNIT, branch=array(ref(12)), tree=ref(12), node=ref(11)),
    # Nothing in them.
    "Empty": product(),
    "Never": {"Sum": {"variants": []}},
    "Unit": sum_(only=UNIT),
    "Some": sum_(some=U8, none=UNIT),
    # What a package has itself, and what its modules use.
    "Connection": product(identity=IDENTITY),
    "Identity": product(identity=IDENTITY, Identity=ref(18)),
    "Table": product(Table=U8, Column=U8, Iterator=U8, property=U8, find=U8, filter=U8, keys=U8),
    "types": product(types=ref(21)),
    "tables": product(it=optional(optional(U8))),
    "Sequence": product(it=array(ref(22))),
    "VeryLong" * 5: product(**{"long_name_" * 4: array(ref(23)), "other_" * 4: optional(array(array(STRING)))}),
}

TABLES = {
    "class": "None",
    "int": "int",
    "str": "str",
    "from": "1st",
    "person": "Node",
    "Person": "Twice",
    "pErson": "Empty",
    "count": "list",
    "property": "Table",
    "UserTable": "Identity",
    "user": "Connection",
    "Tables": "types",
    "query": "tables",
    "ﬁsh": "attrs",
    "__dunder__": "Sequence",
    "long_table_" * 4: "VeryLong" * 5,
    'a"""b\\': 'quo"te\\',
}


def hostile() -> Schema:
    """A module in which every name is odd, with a submodule in a submodule."""
    slots = list(TYPES)
    params = elements(**{"class": U8, "self": STRING, "args": ref(11), "timeout": ref(12), "AsyncPending": ref(22)})
    unique = {"source_name": NONE, "data": {"Unique": {"columns": [0]}}}
    pairs = [{"source_name": NONE, "data": {"Unique": {"columns": key}}} for key in ([1, 2], [2, 1], [1, 2, 1], [])]
    tables = [
        table10(name, slots.index(row), primary_key=[0] if TYPES[row]["Product"]["elements"] else [])
        for name, row in TABLES.items()
    ]
    for table in tables:
        count = len(list(TYPES.values())[table["product_type_ref"]]["Product"]["elements"])
        table["constraints"] = [unique, *pairs][: 5 if count > 2 else min(count, 1)]
    inner = v10(
        product(id=U8, it=ref(1)),
        sum_(a=U8, b=STRING),
        Types=[_named("Session", 0), _named("Session", 1, "in", "deep")],
        Tables=[table10("liveSession")],
        Reducers=[reducer10("signOut", params=elements(it=ref(1)))],
    )
    middle = v10(
        product(id=U8),
        Types=[_named("Session", 0)],
        Tables=[table10("import", is_event=True)],
        Submodules=[{"namespace": "lib", "module": inner}],
    )
    return load_schema(
        v10(
            *TYPES.values(),
            Types=[_named(name, slot) for slot, name in enumerate(slots)],
            Tables=tables,
            Reducers=[
                *(reducer10(name) for name in ("class", "reducer", "Any", "say", "Say", "property", "1", "Reducers")),
                *(
                    reducer10(name, params=elements(it=array(STRING), own=ref(1)))
                    for name in ("list", "annotations", "int")
                ),
                reducer10("long_reducer_" * 4, params=params),
            ],
            Procedures=[
                {"source_name": name, "params": params, "return_type": returns, "visibility": {"ClientCallable": []}}
                for name, returns in {
                    "procedure": UNIT,
                    "def": {"Sum": {"variants": []}},
                    "result": sum_(ok=ref(11), err=STRING),
                    "nested": optional(optional(array(U8))),
                    "sequence": array(ref(12)),
                }.items()
            ],
            Views=[
                view10("my_people", array(ref(11))),
                view10("one", optional(ref(13)), params=elements(of=U8)),
            ],
            Submodules=[{"namespace": "auth", "module": middle}],
        )
    )


def _named(name: str, slot: int, *scope: str) -> dict[str, Any]:
    return {"source_name": {"scope": list(scope), "source_name": name}, "ty": slot, "custom_ordering": True}
