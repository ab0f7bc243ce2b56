"""Definitions out of compiled modules, which are put together by hand here, and describe themselves."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from spacetimedb_proto.schema import load_schema
from spacetimedb_sdk import SchemaError, codegen
from spacetimedb_sdk.codegen import wasm
from tests.proto.schema.raw import raw_bytes
from tests.proto.schema.support import recorded

pytestmark = pytest.mark.skipif(importlib.util.find_spec("wasmtime") is None, reason="wasmtime is not installed")

WRITE = '(import "spacetime_10.0" "bytes_sink_write" (func $write (param i32 i32 i32) (result i32)))'
OTHER = '(import "spacetime_10.3" "something_new" (func $new (param i64) (result i32)))'
NOTHING = '(import "spacetime_10.0" "console_log" (func $log (param i32)))'


def module(data, *more, imports=(WRITE, OTHER, NOTHING), hook="__describe_module__", describe=None, memory="memory"):
    """A module that says these bytes of itself, in two pieces."""
    half = len(data) // 2
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    describe = (
        describe
        or f"""
        (drop (call $new (i64.const 1)))
        (call $log (i32.const 1))
        (i32.store (i32.const 16) (i32.const {half}))
        (drop (call $write (local.get 0) (i32.const 1024) (i32.const 16)))
        (i32.store (i32.const 16) (i32.const {len(data) - half}))
        (drop (call $write (local.get 0) (i32.const {1024 + half}) (i32.const 16)))
    """
    )
    return f"""(module {" ".join(imports)}
        (memory (export "{memory}") 32)
        (data (i32.const 1024) "{escaped}")
        (func (export "{hook}") (param i32) {describe})
        {" ".join(more)})"""


def schema_of(tmp_path, text):
    path = tmp_path / "module.wasm"
    path.write_text(text)
    return wasm.read_schema(path)


@pytest.mark.parametrize("version", [9, 10])
@pytest.mark.parametrize("hook", ["__describe_module__", "__describe_module_v10__"])
def test_a_module_describes_itself(tmp_path, version, hook):
    definition = recorded("module-test", version)
    schema = schema_of(tmp_path, module(raw_bytes(definition), hook=hook))
    assert schema == load_schema(definition)
    assert "tables.pyi" in codegen.generate(schema, package_name="it")


def test_a_module_made_to_bytes(tmp_path):
    wasmtime = pytest.importorskip("wasmtime")
    data = raw_bytes(recorded("sdk-test", 10))
    assert wasm.describe(bytes(wasmtime.wat2wasm(module(data)))) == data


def test_what_it_does_at_its_start_is_done_before_in_order(tmp_path):
    """Each step adds a byte; in any other order, or without one of them, it would be another definition."""
    step = "(i32.store8 (i32.add (i32.const 1024) (global.get $n)) (i32.const {byte}))"
    count = "(global.set $n (i32.add (global.get $n) (i32.const 1)))"
    empty = bytes([2, 0, 0, 0, 0])
    more = ["(global $n (mut i32) (i32.const 0))"]
    for name, byte in (("__preinit__20", 9), ("__preinit__10", 2)):
        more.append(f'(func (export "{name}") {step.format(byte=byte)} {count})')
    more.append(
        '(func (export "__setup__") (param i32) (result i32) (i32.store8 (i32.const 1025) (i32.const 0)) (i32.const 0))'
    )
    schema = schema_of(tmp_path, module(bytes([7, 7]) + empty[2:], *more))
    assert schema.tables == {}


def test_a_module_that_cannot_be_set_up_says_why(tmp_path):
    setup = """(data (i32.const 4096) "no luck")
        (func (export "__setup__") (param i32) (result i32)
            (i32.store (i32.const 16) (i32.const 7))
            (drop (call $write (local.get 0) (i32.const 4096) (i32.const 16)))
            (i32.const 1))"""
    with pytest.raises(SchemaError, match=r"module\.wasm: the module could not be set up: no luck"):
        schema_of(tmp_path, module(b"\2", setup))
    silent = '(func (export "__setup__") (param i32) (result i32) (i32.const 1))'
    with pytest.raises(SchemaError, match="it did not say why"):
        schema_of(tmp_path, module(b"\2", silent))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "expected a module that describes itself, got: "),
        ("(module)", "expected a SpacetimeDB module, which exports `memory` and `__describe_module__`"),
        (module(b"", memory="other"), "expected a SpacetimeDB module"),
        ('(module (import "env" "memory" (memory 1)))', "imports functions only, got one that imports 'memory'"),
        (module(b"", describe="unreachable"), "got: error while executing"),
        (module(b"", describe="(loop $l (br $l))"), "got: "),
        (module(b"\2"), "expected 4 bytes at 1, got 0"),
        (
            module(
                b"",
                describe="(i32.store (i32.const 16) (i32.const -1))"
                "(drop (call $write (local.get 0) (i32.const -1) (i32.const 16)))",
            ),
            "expected at most 67,108,864 bytes",
        ),
    ],
)
def test_what_is_no_module(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(wasm, "FUEL", 1_000_000)
    with pytest.raises(SchemaError, match=message):
        schema_of(tmp_path, text)


def test_writing_before_there_is_memory(tmp_path):
    start = "(func $early (drop (call $write (i32.const 1) (i32.const 0) (i32.const 16)))) (start $early)"
    assert schema_of(tmp_path, module(bytes([2, 0, 0, 0, 0]), start)).tables == {}


def test_without_wasmtime_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'spacetimedb-sdk\[wasm\]'"):
        wasm.describe(b"")
