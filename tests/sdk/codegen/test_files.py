"""Packages on disk: what is written, what stays, what is out of date."""

from __future__ import annotations

import pytest

from spacetimedb_sdk import LocalProtocolError, codegen
from spacetimedb_sdk.codegen.text import HEADER
from tests.schemas import schema

FILES = {"__init__.py": f"{HEADER}\nx = 1\n", "types.pyi": f"{HEADER}\n", "py.typed": f"{HEADER}\n"}


def test_everything_generated_bears_the_header():
    assert all(
        text.startswith(HEADER) for text in codegen.generate(schema("sdk-test-view"), package_name="it").values()
    )


def test_a_directory_is_made_and_then_left_alone(tmp_path):
    package = tmp_path / "a" / "b"
    assert codegen.check(package, FILES) == sorted(FILES)
    assert not package.exists()
    assert codegen.write(package, FILES) == sorted(FILES)
    assert {path.name: path.read_bytes().decode() for path in package.iterdir()} == FILES
    before = {path: path.stat().st_mtime_ns for path in package.iterdir()}
    assert codegen.check(package, FILES) == []
    assert codegen.write(package, FILES) == []
    assert {path: path.stat().st_mtime_ns for path in package.iterdir()} == before


def test_only_what_differs_is_written(tmp_path):
    codegen.write(tmp_path, FILES)
    (tmp_path / "types.pyi").write_text(f"{HEADER}\nchanged by hand\n")
    (tmp_path / "py.typed").unlink()
    assert codegen.check(tmp_path, FILES) == ["py.typed", "types.pyi"]
    assert codegen.write(tmp_path, FILES) == ["py.typed", "types.pyi"]
    assert codegen.check(tmp_path, FILES) == []


def test_what_an_earlier_run_left_is_removed_and_nothing_else(tmp_path):
    codegen.write(tmp_path, {**FILES, "gone.py": f"{HEADER}\n"})
    (tmp_path / "mine.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text(HEADER)
    (tmp_path / "picture.py").write_bytes(b"\xff\xfe")
    (tmp_path / "linked.py").symlink_to(tmp_path / "__init__.py")
    assert codegen.write(tmp_path, FILES) == ["gone.py"]
    kept = {"mine.py", "notes.txt", "picture.py", "linked.py"}
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, *kept}


@pytest.mark.parametrize("text", ["x = 1\n", "", f"# mine\n{HEADER}\n"])
def test_a_file_of_somebody_else_is_not_replaced(tmp_path, text):
    (tmp_path / "types.pyi").write_text(text)
    with pytest.raises(LocalProtocolError, match=r"types\.pyi: expected no such file, or one that begins with"):
        codegen.write(tmp_path, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["types.pyi"], "nothing is written by halves"
    assert (tmp_path / "types.pyi").read_text() == text
    assert "types.pyi" in codegen.check(tmp_path, FILES)
