"""The shape of the project: who may import what. What importing costs is in `sdk/test_imports.py`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import spacetimedb_proto
import spacetimedb_sdk

SRC = Path(__file__).parents[1] / "src"
PACKAGES = ("spacetimedb_proto", "spacetimedb_transports", "spacetimedb_sdk")
MODULES = sorted(path.relative_to(SRC) for package in PACKAGES for path in (SRC / package).rglob("*.py"))

CORE_MAY_IMPORT = {"attrs", "attr", "wsproto", "h11", "brotli", "spacetimedb_proto"}
CORE_MUST_NOT_IMPORT = {
    "anyio", "asyncio", "concurrent", "contextvars", "http.client", "http.server", "logging", "multiprocessing", "os",
    "pathlib", "queue", "random", "sched", "secrets", "select", "selectors", "signal", "socket", "socketserver",
    "ssl", "subprocess", "threading", "time", "trio", "urllib.request", "warnings",
}  # fmt: skip


def imports_of(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((SRC / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "spacetimedb_proto"], ids=str)
def test_the_core_does_no_io(module):
    for name in imports_of(module):
        top = name.split(".")[0]
        assert name not in CORE_MUST_NOT_IMPORT, f"{module} imports {name}"
        assert top not in CORE_MUST_NOT_IMPORT, f"{module} imports {name}"
        assert top in sys.stdlib_module_names or top in CORE_MAY_IMPORT, f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] != "spacetimedb_sdk"], ids=str)
def test_imports_point_one_way(module):
    forbidden = PACKAGES[PACKAGES.index(module.parts[0]) + 1 :]
    assert not [name for name in imports_of(module) if name.split(".")[0] in forbidden]


@pytest.mark.parametrize("package", PACKAGES)
def test_typed(package):
    assert (SRC / package / "py.typed").exists()


@pytest.mark.parametrize("door", [spacetimedb_proto, spacetimedb_sdk])
def test_the_door_is_guarded(door):
    assert len(door.__all__) == len(set(door.__all__))
    assert all(hasattr(door, name) for name in door.__all__)


def test_modules_stay_readable():
    long = {str(m): n for m in MODULES if (n := (SRC / m).read_text(encoding="utf-8").count("\n")) > 500}
    assert long == {}
