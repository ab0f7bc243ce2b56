"""What an import brings along, told by a fresh interpreter: time to start is paid by every program, on every run."""

from __future__ import annotations

import subprocess
import sys

import pytest

import spacetimedb_proto
import spacetimedb_sdk

STDLIB = {*sys.stdlib_module_names, "_missing_stdlib_info"}  # the last is of 3.15, and not in its own list
OURS = {"spacetimedb_proto", "spacetimedb_transports", "spacetimedb_sdk"}


def brought(code: str) -> set[str]:
    """Modules that running `code` imports in a fresh interpreter."""
    program = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def third_party(modules: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    return tops - OURS - STDLIB


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in OURS}


@pytest.mark.parametrize("code", ["import spacetimedb_sdk", "from spacetimedb_sdk import ReducerError, connect, sql"])
def test_the_import_brings_nothing_else(code):
    cheap = brought("import __future__, collections.abc, importlib, math, string, typing")
    assert brought(code) - cheap == {
        "spacetimedb_proto",
        "spacetimedb_proto.door",
        "spacetimedb_proto.errors",
        "spacetimedb_sdk",
        "spacetimedb_sdk.connecting",
        "spacetimedb_sdk.sql",
    }


def test_a_value_brings_no_network():
    modules = brought("from spacetimedb_sdk import Identity, SubscribeApplied; Identity(bytes(32))")
    assert third_party(modules) == {"attr", "attrs"}
    assert not modules & {"asyncio", "http", "json", "socket", "ssl"}


def test_connecting_brings_what_a_present_server_needs():
    modules = brought("import spacetimedb_sdk; spacetimedb_sdk.connect('http://127.0.0.1:3000', 'chat')")
    assert third_party(modules) <= {
        *("anyio", "attr", "attrs", "h11", "wsproto"),
        *("exceptiongroup", "idna", "sniffio", "typing_extensions"),  # as anyio's releases need them
    }
    unneeded = {
        "spacetimedb_proto.schema.dump",  # servers write definitions
        "spacetimedb_proto.wire.v1",  # old servers
        "spacetimedb_proto.wire.v1_messages",
        "spacetimedb_proto.wire.v1_translation",
        "spacetimedb_sdk.testing",
        "spacetimedb_transports.memory",
    }
    assert ours(modules) & unneeded == set()


def test_polling_brings_no_event_loop():
    modules = brought("import spacetimedb_transports.poller")
    assert third_party(modules) <= {"attr", "attrs"}
    assert "asyncio" not in modules


def test_the_blocking_door_is_as_light():
    modules = brought("from spacetimedb_sdk.blocking import connect")
    assert ours(modules) - ours(brought("import spacetimedb_sdk")) == {"spacetimedb_sdk.blocking"}
    assert third_party(modules) == set()


def test_blocking_brings_no_event_loop():
    modules = brought("import spacetimedb_sdk.blocking_connection")
    assert third_party(modules) <= {"attr", "attrs", "h11", "wsproto"}
    assert "asyncio" not in modules


def test_a_frame_loop_brings_no_event_loop():
    modules = brought("import spacetimedb_sdk.frame; spacetimedb_sdk.frame.connect('http://127.0.0.1:3000', 'chat')")
    assert third_party(modules) <= {"attr", "attrs", "h11", "wsproto", "brotli", "_brotli"}
    assert not modules & {"asyncio", "concurrent.futures.thread", "spacetimedb_sdk.async_connection"}


def test_blocking_requests_bring_no_event_loop():
    modules = brought("import spacetimedb_sdk; spacetimedb_sdk.BlockingHttpClient('http://127.0.0.1:3000', 'chat')")
    assert third_party(modules) <= {"attr", "attrs", "h11", "wsproto"}
    assert "asyncio" not in modules
    unneeded = {"spacetimedb_proto.client", "spacetimedb_proto.cache", "spacetimedb_sdk.bindings"}
    assert ours(modules) & unneeded == set()


DOORS = ["spacetimedb_proto", "spacetimedb_sdk", "spacetimedb_sdk.blocking", "spacetimedb_sdk.http"]


@pytest.mark.parametrize("package", DOORS)
def test_every_name_is_there_when_asked_for(package):
    brought(f"from {package} import *\nimport {package} as door\nassert set(door.__all__) <= set(globals())")
    brought(f"import {package} as door\nassert set(door.__all__) <= set(dir(door))")


@pytest.mark.parametrize("door", [spacetimedb_proto, spacetimedb_sdk])
def test_what_is_not_behind_the_door(door):
    with pytest.raises(AttributeError, match=f"^module '{door.__name__}' has no attribute 'Nobody'$"):
        _ = door.Nobody


@pytest.mark.parametrize("name", ["blocking.connect", "frame.connect", "testing.serve", "codegen.generate", "export"])
def test_modules_are_there_when_asked_for(name):
    brought(f"import spacetimedb_sdk\nassert spacetimedb_sdk.{name}")


def test_a_function_keeps_its_name_from_the_module_of_that_name():
    brought("import spacetimedb_sdk.bindings.tables, spacetimedb_sdk\nassert callable(spacetimedb_sdk.sql)")


def test_the_program_brings_only_what_all_its_commands_need():
    assert third_party(brought("import spacetimedb_sdk.cli")) == set()
    modules = brought("import spacetimedb_sdk.cli.app")
    unneeded = ("spacetimedb_sdk.bindings", "spacetimedb_sdk.http", "spacetimedb_sdk.testing", "spacetimedb_transports")
    assert not [name for name in ours(modules) if name.startswith(unneeded)]
    assert not modules & {"asyncio", "rich.live", "rich.table"}
