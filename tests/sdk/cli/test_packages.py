"""`generate` and `diff`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from spacetimedb_proto.errors import SchemaMismatch
from spacetimedb_proto.schema import Effect
from spacetimedb_sdk import load_schema
from spacetimedb_sdk.cli import generate
from spacetimedb_sdk.testing import Module, PrimaryKey, serve, u64
from tests.schemas import SCHEMAS


def versions():
    """A module, the same with a column more at the end, and one with another type."""
    made = []
    for columns in ({"id": PrimaryKey[u64]}, {"id": PrimaryKey[u64], "name": str}, {"id": PrimaryKey[str]}):
        module = Module("chat")
        module.table(type("Thing", (), {"__annotations__": columns}), public=True)
        made.append(module)
    return made


OLD, GROWN, OTHER = versions()


@pytest.fixture
def thing():
    with serve(OLD) as server:
        yield server


def test_generate_from_a_server(program, tmp_path):
    out = tmp_path / "chat_bindings"
    assert "14 files written" in program("generate --out", out).ok().out
    assert (out / "__init__.py").exists()
    assert "up to date" in program("generate --out", out).ok().out


@pytest.mark.parametrize(
    ("name", "better"),
    [("my-bindings", "my_bindings"), ("import", "import_bindings"), ("2nd", "bindings_2nd"), ("a.b", "a_b")],
)
@pytest.mark.parametrize("more", [[], ["--check"], ["--legacy"], ["--package-name", "mine"]], ids=str)
def test_a_package_that_nobody_could_import(program, tmp_path, name, better, more):
    done = program("generate --out", tmp_path / name, *more)
    assert done.code == 2
    assert f"such as {better}, got {name}\n" in done.err
    assert not (tmp_path / name).exists()
    program("generate --out", tmp_path / better).ok()


@pytest.mark.parametrize("tag", [None, "V9", "V10"])
def test_generate_from_a_file(alone, tmp_path, tag):
    version = "v9" if tag == "V9" else "v10"
    definition = json.loads((SCHEMAS / f"sdk-test-view.{version}.json").read_text())
    bare = definition.get(tag, definition) if tag else definition
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({tag: bare} if tag else bare))
    out = tmp_path / "package"
    alone("generate --schema", file, "--out", out, "--package-name", "mine").ok()
    assert '"""mine: bindings' in (out / "__init__.py").read_text()


def test_check_for_ci(alone, tmp_path, thing):
    out = tmp_path / "checked"
    options = ["--out", str(out), "--uri", thing.uri, "-d", "chat"]
    assert alone("generate --check", *options).code == 5
    assert not out.exists()
    alone("generate", *options).ok()
    alone("generate --check", *options).ok()
    thing.republish(GROWN)
    done = alone("generate --check", *options)
    assert done.code == 5
    assert f"out of date: {out / '_schema.py'}" in done.lines


def test_somebody_elses_file_stays(program, tmp_path):
    file = tmp_path / "__init__.py"
    file.write_text("mine = 1\n")
    done = program("generate --out", tmp_path)
    assert done.code == 2
    assert file.read_text() == "mine = 1\n"


def test_check_and_watch_are_not_for_each_other(program, tmp_path):
    assert program("generate --check --watch --out", tmp_path / "x").code == 2


def test_watch_writes_again_when_the_module_changes(alone, tmp_path, thing, monkeypatch):
    pauses = iter([lambda: None, lambda: thing.republish(GROWN), _interrupt])
    monkeypatch.setattr(generate, "time", SimpleNamespace(sleep=lambda _seconds: next(pauses)()))
    out = tmp_path / "watched"
    done = alone("generate --watch --out", out, "--uri", thing.uri, "-d", "chat")
    assert done.code == 130
    assert [line.partition(": ")[2] for line in done.lines] == ["14 files written", "6 files written"]
    assert "name: str" in (out / "types.pyi").read_text()


def _interrupt():
    raise KeyboardInterrupt


def test_the_layout_of_0_7(program, tmp_path):
    pytest.importorskip("spacetimedb_sdk.codegen.legacy")
    out = tmp_path / "module_bindings"
    program("generate --legacy --out", out).ok()
    assert {"user.py", "message.py", "send_message_reducer.py"} <= {path.name for path in out.iterdir()}
    program("generate --legacy --check --out", out).ok()


def test_a_compiled_module_that_is_none(alone, tmp_path):
    pytest.importorskip("spacetimedb_sdk.codegen.wasm")
    file = tmp_path / "module.wasm"
    file.write_bytes(b"\0asm\1\0\0\0")
    done = alone("generate --wasm", file, "--out", tmp_path / "package")
    assert done.code == 2
    if find_spec("wasmtime"):
        assert done.err.startswith(f"error: {file}: expected a SpacetimeDB module, which exports ")
    assert not (tmp_path / "package").exists()


def test_one_source_is_enough(alone, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text("{}")
    assert alone("generate --schema", file, "--wasm", file, "--out", tmp_path / "package").code == 2


# --- differences ------------------------------------------------------------------------------------------------------


def test_no_differences(alone, tmp_path, thing):
    file = tmp_path / "schema.json"
    file.write_text(alone("schema --json --uri", thing.uri, "-d", "chat").ok().out)
    assert alone("diff", file, "--uri", thing.uri, "-d", "chat").ok().out == "no differences\n"
    assert alone("diff", file, file).ok().out == "no differences\n"


@pytest.mark.parametrize(("module", "code"), [(GROWN, 0), (OTHER, 5)])
def test_a_package_against_the_server(alone, tmp_path, thing, module, code):
    package = tmp_path / f"known_{code}"
    where = ["--uri", thing.uri, "-d", "chat"]
    alone("generate --out", package, *where).ok()
    thing.republish(module, keep_rows=False)
    done = alone("diff", package, *where)
    assert done.code == code
    if code == 0:
        assert done.out == "differences that break no code:\n- column thing.name added: String, at the end\n"
        assert alone("diff --exact", package, *where).code == 5
    told = json.loads(alone("diff --json", package, *where).out)
    assert {each["breaks_code"] for each in told} == {code == 5}


def test_the_text_is_that_of_the_error(alone, tmp_path):
    files = [tmp_path / name for name in ("old.json", "new.json")]
    for file, name in zip(files, ("sdk-test", "sdk-test-view"), strict=True):
        file.write_bytes((SCHEMAS / f"{name}.v10.json").read_bytes())
    from spacetimedb_proto.schema import compare

    drift = compare(*(load_schema(file.read_bytes()) for file in files))
    with pytest.raises(SchemaMismatch) as caught:
        drift.raise_if_breaking(Effect.API, most=10_000)
    done = alone("diff", *files)
    assert done.code == 5
    assert done.out.startswith(f"{caught.value}\n")


def test_what_is_neither_file_nor_package(alone, tmp_path):
    (tmp_path / "__init__.py").write_text("")
    known = tmp_path / "some.json"
    known.write_text("{}")
    definition = tmp_path / "definition.json"
    definition.write_bytes((SCHEMAS / "sdk-test.v10.json").read_bytes())
    assert alone("diff", tmp_path, definition).code == 2
    commands = (
        ["diff", known, known],
        ["diff", definition, known],
        ["diff", known, definition],
        ["schema --schema", known],
        ["generate --out", tmp_path / "package", "--schema", known],
    )
    for command in commands:
        done = alone(*command)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: {known}: definition")
    assert json.loads(alone("diff --json", known, known).err)["kind"] == "UsageError"


def test_a_compiled_module_whose_description_is_none(alone, tmp_path, monkeypatch):
    wasm = pytest.importorskip("spacetimedb_sdk.codegen.wasm")
    monkeypatch.setattr(wasm, "describe", lambda *_, **__: b"")
    file = tmp_path / "module.wasm"
    file.write_bytes(b"")
    done = alone("generate --wasm", file, "--out", tmp_path / "package")
    assert done.code == 2
    assert done.err.startswith(f"error: {file}: ")
