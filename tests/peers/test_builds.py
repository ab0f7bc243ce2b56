"""Finding and building the programs of the other SDKs; what they say is judged in `tests/judges`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from peers.builds import LANGUAGES, NotThere, build, is_built, run_tool, version_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_tools(monkeypatch, tmp_path):
    """A machine with neither tools nor a cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_tools")
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_built_without_tools(language):
    assert not is_built(language, "judge")
    with pytest.raises(NotThere, match="there is no (cargo|npm|node) on the PATH"):
        build(language, "judge")


@pytest.mark.usefixtures("no_tools")
def test_the_command_line_says_whether_all_is_built():
    command = [sys.executable, "-m", "peers.builds"]
    assert subprocess.run([*command, "--is-built", "judge"], cwd=ROOT, check=False).returncode == 1
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "--is-built judge" in asked.stderr


def test_a_tool_that_fails_says_why():
    with pytest.raises(NotThere, match="exit code 3 and said: no luck"):
        run_tool(sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)", folder=ROOT)


def test_versions_are_pinned():
    assert version_of("rust", "spacetimedb-sdk").startswith("2.")
    assert version_of("typescript", "spacetimedb").startswith("2.")
