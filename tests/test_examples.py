"""The examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *options: str) -> str:
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_frame_loop():
    assert re.fullmatch(r"30 frames, \d+ rows, longest tick \d+\.\d ms\n", run("frame_loop.py", "--frames", "30"))
