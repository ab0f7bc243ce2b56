"""What type checkers know of a module that is written in Python: its rows are attrs classes, also to `attrs.evolve`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import spacetimedb_sdk

SRC = Path(spacetimedb_sdk.__file__).parents[1]

PROGRAM = """\
import attrs

from spacetimedb_sdk.testing import AutoInc, Module, PrimaryKey, ReducerContext, Row, u32, u64

arena = Module("arena")


@arena.table(public=True)
class Player(Row):
    id: PrimaryKey[AutoInc[u64]]
    name: str
    level: u32 = 1


@arena.type
class Place(Row):
    x: u32


@arena.reducer
def rise(ctx: ReducerContext, id: u64) -> None:
    for player in ctx.db[Player].filter(id=id):
        ctx.db[Player].insert(attrs.evolve(player, level=player.level + 1))


one: Player = attrs.evolve(Player(0, "Ada"), name="Bea")
two: Place = attrs.evolve(Place(x=1), x=2)
told: dict[str, object] = attrs.asdict(one)
Player(0)  # an argument is missing
Player(id=0, name=5)
one.name = "Cy"  # rows are frozen
"""

LENGTH = PROGRAM.count("\n")
WRONG = [LENGTH - 2, LENGTH - 1, LENGTH]


def run(folder: Path, tool: str, *arguments: str) -> str:
    pytest.importorskip(tool, reason=f"{tool} is not installed")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", tool, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_mypy_knows_rows(tmp_path):
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\nmypy_path = {SRC}\n[mypy-brotli]\nignore_missing_imports = True\n", encoding="utf-8"
    )
    said = [json.loads(line) for line in run(tmp_path, "mypy", "--output=json", "program.py").splitlines()]
    assert [each["line"] for each in said if each["severity"] == "error"] == WRONG, said


def test_pyright_knows_rows(tmp_path):
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(SRC)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    said = json.loads(run(tmp_path, "pyright", "--outputjson", "--pythonpath", sys.executable))["generalDiagnostics"]
    assert [each["range"]["start"]["line"] + 1 for each in said] == WRONG, said
