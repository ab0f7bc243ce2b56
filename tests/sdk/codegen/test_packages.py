"""Every recorded module, and one of odd names, as a package: the same text each time, tidy, and it can be imported."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings

from spacetimedb_proto.bsatn.types import Ref
from spacetimedb_proto.schema import Column, Function, Param, Schema, Table, load_schema
from spacetimedb_proto.schema.definitions import TypeDef
from spacetimedb_proto.schema.model import by_name
from spacetimedb_sdk import codegen
from tests.proto.schema.support import MODULES, recorded, recorded_schema, shuffled
from tests.sdk.codegen.support import RECORDED, hostile, imported, recorded_packages, written
from tests.strategies import typespaces

PARTS = ("types", "tables", "reducers", "procedures", "connection")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """All packages, imported."""
    folder = tmp_path_factory.mktemp("packages")
    schemas = {**recorded_packages(), "hostile": hostile()}
    yield {name: (schema, imported(folder, name, schema)) for name, schema in schemas.items()}
    for name in [name for name in sys.modules if name.partition(".")[0] in schemas]:
        del sys.modules[name]


def stub_of(module):
    return ast.parse(Path(module.__file__).with_suffix(".pyi").read_text("utf-8"))


@pytest.mark.parametrize("name", [*RECORDED, "hostile"])
def test_every_name_that_a_stub_has_is_there(packages, name):
    _, package = packages[name]
    for part in ("", *PARTS):
        module = getattr(package, part) if part else package
        for node in stub_of(module).body:
            for defined in _defined(node):
                assert hasattr(module, defined), f"{name}.{part} has no {defined}"


def _defined(node):
    match node:
        case ast.ClassDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.ImportFrom(names=names):
            return [alias.asname for alias in names if alias.asname == alias.name]
        case _:
            return []


@pytest.mark.parametrize("name", [*RECORDED, "hostile"])
def test_classes_are_what_their_stubs_say(packages, name):
    _, package = packages[name]
    for node in stub_of(package.types).body:
        if not isinstance(node, ast.ClassDef):
            continue
        cls = getattr(package.types, node.name)
        fields = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]
        members = [item.targets[0].id for item in node.body if isinstance(item, ast.Assign)]
        variants = [item for item in node.body if isinstance(item, ast.ClassDef)]
        if attrs.has(cls):
            assert [field.name for field in attrs.fields(cls)] == fields
        elif variants:
            for variant in variants:
                holds = [item.target.id for item in variant.body if isinstance(item, ast.AnnAssign)]
                assert [field.name for field in attrs.fields(getattr(cls, variant.name))] == holds
                assert issubclass(getattr(cls, variant.name), cls)
        else:
            assert list(cls.__members__) == members


@pytest.mark.parametrize("module", MODULES)
def test_the_order_of_an_answer_makes_no_difference(module):
    plain = codegen.generate(recorded_schema(module, 10), package_name="it")
    assert codegen.generate(recorded_schema(module, 10), package_name="it") == plain
    other = load_schema(shuffled(recorded(module, 10), random.Random(module)))
    assert codegen.generate(other, package_name="it") == plain


def test_the_formatter_has_nothing_to_do(tmp_path):
    pytest.importorskip("ruff", reason="ruff is not installed")
    for name, schema in {**recorded_packages(), "hostile": hostile()}.items():
        written(tmp_path, name, schema)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[:5000] + done.stderr


def test_what_is_left_out_is_said():
    schema = recorded_schema("module-test", 10)
    said = codegen.left_out(schema)
    assert "table private_table: it is private" in said
    assert "reducer init: the server runs it (Init)" in said
    assert "reducer repeating_test: a table schedules it" in said
    assert all(f"# - {line}" in codegen.generate(schema, package_name="it")["__init__.pyi"] for line in said)
    assert not [line for line in codegen.left_out(schema, include_private=True) if line.startswith("table")]


def test_private_tables_are_there_on_request(tmp_path):
    schema = recorded_schema("module-test", 10)
    assert "private_table" not in codegen.generate(schema, package_name="it")["tables.pyi"]
    files = codegen.generate(schema, package_name="it", include_private=True)
    assert "def private_table(self)" in files["tables.pyi"]
    assert "private=True" in files["__init__.py"]


def test_names_that_the_package_has_itself_are_in_types_only():
    schema = hostile()
    assert "class Connection: the package itself has something of that name, so it is in `types` only" in (
        codegen.left_out(schema)
    )
    files = codegen.generate(schema, package_name="it")
    assert "Connection as Connection" in files["__init__.pyi"]
    assert "class Connection:" in files["types.pyi"]


def test_the_schema_inside_is_the_whole_one(packages):
    for name, (schema, package) in packages.items():
        known = load_schema(sys.modules[f"{name}._schema"].SCHEMA)
        assert (known, known.hash, known.version) == (schema, package.SCHEMA_HASH, schema.version)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(typespaces().filter(lambda drawn: drawn[1]))
def test_whatever_a_module_holds_is_written_as_python(drawn):
    typespace, names = drawn
    params = tuple(Param(name=name, type=Ref(slot)) for slot, name in names.items())
    columns = tuple(Column(name=name, type=Ref(slot), index=at) for at, (slot, name) in enumerate(names.items()))
    table = Table(name="table", source_name="table", row=Ref(0), columns=columns, primary_key=0 if columns else None)
    schema = Schema(
        typespace=tuple(typespace),
        type_defs=tuple(TypeDef(slot=slot, name=name) for slot, name in names.items()),
        tables=by_name([table]),
        reducers=by_name([Function(name=name, source_name=name, params=params) for name in names.values()]),
    )
    for path, text in codegen.generate(schema, package_name="it").items():
        text.encode()
        ast.parse(text, path)
