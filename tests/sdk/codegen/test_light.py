"""What a generated package costs: to import it, and to use a little of a large one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.schemas import schema
from tests.sdk.codegen.support import written


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    written(folder, "large", schema("sdk-test"))
    return folder


def run(folder, code):
    """What a fresh interpreter prints."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_it_makes_nothing(folder):
    brought = run(folder, "import large; print(*sys.modules)")
    assert "large" in brought
    assert not {name for name in brought if name.startswith("large.")}
    assert not {"attr", "attrs", "anyio", "json", "asyncio", "logging", "pathlib"} & set(brought)


def test_only_classes_that_are_used_are_made(folder):
    code = """
import large
large.OneU8, large.SimpleEnum, large.AnyEnumWithPayload
print(*sorted(large.types.__classes__._made))
"""
    assert run(folder, code) == ["AnyEnumWithPayload", "EnumWithPayload", "OneU8", "SimpleEnum"]


def test_a_connection_makes_no_class_before_it_reads_a_value(folder):
    code = """
import large
from spacetimedb_proto.schema import load_schema
from large._schema import SCHEMA
schema = load_schema(SCHEMA)
large.BINDINGS.prepare(schema, uri="", database="")
print(len(large.types.__classes__._made))
schema.row_codec("one_u_8").python_type
print(*large.types.__classes__._made)
"""
    assert run(folder, code) == ["0", "OneU8"]
