"""The definition out of a compiled module: run just enough of it to have it describe itself.

Needs the package `wasmtime`, which is imported when it is used. Modules in JavaScript are no WebAssembly: ask a server
for theirs, or `spacetimedb-standalone extract-schema`.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final

from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import Schema, load_raw_schema

__all__ = ["describe", "read_schema"]

SINK: Final = 1
"""What the module is told to write to; there is only one."""

SETUP_SINK: Final = 2
"""Where it would say why it cannot be set up."""

MEMORY: Final = 1 << 30
"""Bytes that the module may use: a definition takes some thousand."""

LONGEST: Final = 64 << 20
"""Bytes that the module may say of itself."""

FUEL: Final = 20_000_000_000
"""Instructions that the module may run, so that one that never ends does not hang."""


def read_schema(path: str | os.PathLike[str]) -> Schema:
    """The schema of a compiled module, with the names that a server would give.

    Args:
        path: A `.wasm` file, or its text form.

    Raises:
        SchemaError: It is no SpacetimeDB module, or what it says of itself is malformed or too new.
        ModuleNotFoundError: `wasmtime` is not installed.
        OSError: It cannot be read.
    """
    return load_raw_schema(describe(Path(path).read_bytes(), name=os.fspath(path)))


def describe(module: bytes, *, name: str = "module") -> bytes:
    """What a module says of itself, in BSATN.

    The module sees nothing of this machine: each function that it asks for does nothing, but for the one it writes
    its answer with. Memory and time are limited.

    Args:
        module: The module.
        name: What to call it in errors.

    Raises:
        SchemaError: It is no SpacetimeDB module, or it failed.
        ModuleNotFoundError: `wasmtime` is not installed.
    """
    wasmtime = _wasmtime()
    config = wasmtime.Config()
    config.consume_fuel = True
    try:
        return _Run(wasmtime.Engine(config), module).described()
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SchemaError(f"{name}: expected a module that describes itself, got: {first}") from error
    except _NoModule as error:
        raise SchemaError(f"{name}: {error}") from None


def _wasmtime() -> Any:
    try:
        return importlib.import_module("wasmtime")  # not at the top: it is large, and only generators need it
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading a compiled module needs the package `wasmtime`: run `pip install 'spacetimedb-sdk[wasm]'`, "
            "or read the schema from a server",
            name=error.name,
        ) from error


class _NoModule(Exception):  # noqa: N818 - it never leaves this module
    pass


class _Run:
    """One instance of a module, and what it writes."""

    def __init__(self, engine: Any, module: bytes) -> None:
        wasmtime = _wasmtime()
        self._written: dict[int, bytearray] = {SINK: bytearray(), SETUP_SINK: bytearray()}
        self._memory: Any = None
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=MEMORY)
        self._store.set_fuel(FUEL)
        compiled = wasmtime.Module(engine, module)
        imports = [self._import(wasmtime, item) for item in compiled.imports]
        self._exports: Any = wasmtime.Instance(self._store, compiled, imports).exports(self._store)

    def _import(self, wasmtime: Any, item: Any) -> Any:
        if not isinstance(item.type, wasmtime.FuncType):
            raise _NoModule(f"expected a module that imports functions only, got one that imports {item.name!r}")
        if item.name == "bytes_sink_write":
            return wasmtime.Func(self._store, item.type, self._write)
        zeros = [0] * len(item.type.results)
        answer = None if not zeros else zeros[0] if len(zeros) == 1 else zeros

        def nothing(*_: Any) -> Any:
            return answer

        return wasmtime.Func(self._store, item.type, nothing)

    def _write(self, sink: int, pointer: int, length_pointer: int) -> int:
        """Append so many bytes of the module's memory as it says there (schema reference, 1.3)."""
        if self._memory is None:  # it is not even set up
            return 1
        length = int.from_bytes(self._read(length_pointer, 4), "little")
        written = self._written.setdefault(sink, bytearray())
        if len(written) + length > LONGEST:
            raise _NoModule(f"expected at most {LONGEST:,} bytes of a module about itself, got more")
        written += self._read(pointer, length)
        return 0

    def _read(self, pointer: int, length: int) -> bytes:
        start = pointer & 0xFFFF_FFFF  # WebAssembly's integers have no sign, those of its Python do
        return bytes(self._memory.read(self._store, start, start + length))

    def described(self) -> bytes:
        """What it says of itself, after what it does at its start."""
        exports = dict(self._exports)
        self._memory = exports.get("memory")
        hook = exports.get("__describe_module__") or exports.get("__describe_module_v10__")
        if self._memory is None or hook is None:
            raise _NoModule("expected a SpacetimeDB module, which exports `memory` and `__describe_module__`")
        for name in sorted(name for name in exports if name.startswith("__preinit__")):
            exports[name](self._store)
        if "__setup__" in exports and exports["__setup__"](self._store, SETUP_SINK):
            said = self._written[SETUP_SINK].decode(errors="replace")[:500]
            raise _NoModule(f"the module could not be set up: {said or 'it did not say why'}")
        hook(self._store, SINK)
        return bytes(self._written[SINK])
