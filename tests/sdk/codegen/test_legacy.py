"""Packages in the layout of 0.7, of every recorded module and of one of odd names."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spacetimedb_sdk
from spacetimedb_proto.bsatn.types import Ref
from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.schema import Schema, Table, load_schema
from spacetimedb_proto.schema.definitions import TypeDef
from spacetimedb_proto.schema.model import by_name
from spacetimedb_sdk import codegen
from spacetimedb_sdk.codegen import check, legacy, write
from spacetimedb_sdk.compat import bindings as runtime
from spacetimedb_sdk.compat.packages import ClientCache
from spacetimedb_sdk.compat.plain import from_plain, to_plain
from tests.proto.schema.support import MODULES, recorded, recorded_schema, shuffled
from tests.sdk.codegen.support import RECORDED, hostile, recorded_packages
from tests.sdk.compat.support import importable
from tests.strategies import typespaces, values_of


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """All packages, with the schemas they are of."""
    folder = tmp_path_factory.mktemp("legacy")
    schemas = {f"legacy_{name}": schema for name, schema in {**recorded_packages(), "hostile": hostile()}.items()}
    for name, schema in schemas.items():
        write(folder / name, legacy.generate(schema))
    with importable(folder):
        yield {name: (schema, ClientCache(importlib.import_module(name))) for name, schema in schemas.items()}


@pytest.mark.parametrize("name", [*RECORDED, "hostile"])
def test_everything_that_can_be_said_is_there(packages, name):
    schema, cache = packages[f"legacy_{name}"]
    tables = {n for n, table in schema.tables.items() if table.is_public and not (table.view and table.view.params)}
    assert cache.tables.keys() == tables
    assert cache.reducer_cache.keys() == {n for n, reducer in schema.reducers.items() if reducer.is_callable}
    for table in tables:
        cls = cache.tables[table].table_class
        key = schema.tables[table].primary_key
        assert cls.primary_key == (None if key is None else list(cls.columns)[key])
        assert len(cls.columns) == len(schema.tables[table].columns)


def test_the_layout():
    files = legacy.generate(recorded_schema("module-test", 10))
    assert {"__init__.py", "person.py", "player.py", "add_player_reducer.py", "say_hello_reducer.py"} <= files.keys()
    player, add = files["player.py"], files["add_player_reducer.py"]
    for line in ("class Player(", "def filter_by_player_id(cls, player_id: int) -> __legacy__.Self | None:"):
        assert line in player
    for line in ('reducer_name = "add_player"', "def add_player(name: str) -> None:", "def register_on_add_player("):
        assert line in add
    test_b = files["test_b.py"]
    assert "is_table_class" not in test_b
    assert "class TestB(__legacy__.Row):" in test_b


def test_what_is_left_out_is_said():
    schema = recorded_schema("module-test", 10)
    said = legacy.left_out_of(schema)
    assert "table private_table: it is private" in said
    assert "procedure sleep_one_second: 0.7 had none" in said
    assert "reducer init: the server runs it (Init)" in said
    assert all(f"# - {line}\n" in legacy.generate(schema)["__init__.py"] for line in said)
    assert "private_table.py" in legacy.generate(schema, include_private=True)
    data = "column data of pk_u_64: the class has something of that name, so read `row.data` for it"
    assert data in legacy.left_out_of(recorded_schema("sdk-test", 10))
    odd = "e of one_enum_with_payload: 0.7 had no form for its type, so its values are those of today's SDK"
    assert odd in legacy.left_out_of(recorded_schema("sdk-test", 10))
    assert "view one: it takes parameters" in legacy.left_out_of(hostile())


@pytest.mark.parametrize("module", MODULES)
def test_the_order_of_an_answer_makes_no_difference(module):
    plain = legacy.generate(recorded_schema(module, 10))
    assert legacy.generate(load_schema(shuffled(recorded(module, 10), random.Random(module)))) == plain


def test_a_package_replaces_an_older_one(tmp_path):
    write(tmp_path, legacy.generate(recorded_schema("sdk-test", 10)))
    files = legacy.generate(recorded_schema("module-test", 10), package_name="mine")
    write(tmp_path, files)
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    assert check(tmp_path, files) == []
    assert '"""mine: ' in files["__init__.py"]


@pytest.mark.parametrize("module", ["sdk-test", "module-test", "hostile"])
def test_mypy_takes_it(tmp_path, module):
    name = f"legacy_{module.replace('-', '_')}"
    files = legacy.generate(schema_of(module))
    chosen = {path: text for path, text in files.items() if module != "sdk-test" or path[0] in "_beosu"}
    write(tmp_path / name, chosen)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "-p", name],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"MYPYPATH": f"{Path(spacetimedb_sdk.__file__).parents[1]}:{tmp_path}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_takes_it(tmp_path):
    pytest.importorskip("pyright", reason="pyright is not installed")
    for module in ("sdk-test", "module-test", "hostile"):
        write(tmp_path / f"legacy_{module.replace('-', '_')}", legacy.generate(schema_of(module)))
    sources = str(Path(spacetimedb_sdk.__file__).parents[1])
    settings_ = {"typeCheckingMode": "strict", "extraPaths": [sources], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings_), "utf-8")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def schema_of(module):
    return hostile() if module == "hostile" else recorded_schema(module, 10)


def test_it_is_found_where_the_guide_says():
    assert codegen.legacy is legacy
    assert callable(codegen.wasm.read_schema)
    assert {"legacy", "wasm"} <= set(dir(codegen))


# --- values -----------------------------------------------------------------------------------------------------------


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_classes_read_and_write_the_rows_of_their_tables(packages, data):
    schema, cache = packages["legacy_sdk_test_v10"]
    name = data.draw(st.sampled_from(sorted(cache.tables)))
    node = schema.types.node(schema.tables[name].row)
    value = data.draw(values_of(schema.types, schema.typespace, schema.tables[name].row))
    plain = to_plain(node, value)
    row = cache.tables[name].decode(plain)
    assert row.encode() == plain
    assert from_plain(node, row) == value


def test_what_values_are(packages):
    _, cache = packages["legacy_sdk_test_v10"]
    simple = importlib.import_module("legacy_sdk_test_v10.simple_enum").SimpleEnum
    assert [(member.name, member.value) for member in simple] == [("Zero", 1), ("One", 2), ("Two", 3)]
    row = cache.tables["option_simple_enum"].decode([{"0": {"1": []}}])
    assert row.e is simple.One
    assert row.nothing is None
    assert repr(row) == f"OptionSimpleEnum(e={simple.One!r})"
    with pytest.raises(AttributeError):
        _ = row.__deepcopy__
    one = cache.tables["one_identity"].decode([[Identity.from_int(1).hex()]])
    assert str(one.i) == Identity.from_int(1).hex()
    nobody = cache.tables["one_connection_id"].decode([[ConnectionId.from_int(0).hex()]])
    assert nobody.a is None
    assert nobody.encode() == [[ConnectionId.from_int(0).hex()]]
    struct = cache.tables["vec_byte_struct"].decode([[[1], [2]]])
    assert [item.b for item in struct.s] == [1, 2]


def test_without_a_client_there_is_a_reason(monkeypatch):
    monkeypatch.setattr(runtime.SpacetimeDBClient, "instance", None)
    with pytest.raises(RuntimeError, match="expected a SpacetimeDBClient"):
        runtime.call("say", [], [])


@settings(deadline=None)
@given(typespaces())
def test_any_types_can_be_written_down(drawn):
    typespace, names = drawn
    tables = by_name(
        Table(name=f"t{slot}", source_name=f"t{slot}", row=Ref(slot), columns=())
        for slot, type_ in enumerate(typespace)
        if type(type_).__name__ == "Product"
    )
    schema = Schema(
        typespace=tuple(typespace),
        type_defs=tuple(TypeDef(slot=slot, name=name) for slot, name in names.items()),
        tables=tables,
    )
    for path, text in legacy.generate(schema).items():
        compile(text, path, "exec")
