"""How those programs are built: from package registries, at pinned versions, once.

Rust's go into a cache folder, `~/.cache/spacetimedb-sdk-peers` or where XDG_CACHE_HOME says; TypeScript's packages lie
beside its source.

    python -m peers.builds --is-built judge     exit with 0 if nothing is left to build of that program, else with 1
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

__all__ = ["LANGUAGES", "NotThere", "build", "is_built", "run_tool", "version_of"]

PEERS: Final = Path(__file__).parent
RUST: Final = PEERS / "rust"
TYPESCRIPT: Final = PEERS / "typescript"

LANGUAGES: Final = ("rust", "typescript")


class NotThere(Exception):  # noqa: N818 - it is no error of this program
    """What a program needs is not there; the text says what."""


def build(language: str, program: str) -> tuple[str, ...]:
    """Build what is missing of a program; Rust takes minutes the first time.

    Args:
        language: One of `LANGUAGES`.
        program: `bench` or `judge`.

    Returns:
        The command that starts it.

    Raises:
        NotThere: Tools are missing, or cannot get what they need.
    """
    if language == "rust":
        target = _rust_target()
        run_tool(
            "cargo", "build", "--release", "--locked", "--quiet", "--bin", program,
            folder=RUST, CARGO_TARGET_DIR=str(target),
        )  # fmt: skip
        _stamp(program).write_text(_source_key(), "utf-8")
        return (str(target / "release" / program),)
    if not _has_packages():
        run_tool("npm", "ci", "--no-audit", "--no-fund", folder=TYPESCRIPT)
    run_tool("node", "--version", folder=TYPESCRIPT)
    return ("node", str(TYPESCRIPT / f"{program}.js"))


def is_built(language: str, program: str) -> bool:
    """Tell whether `build` would have nothing to do, without asking a registry."""
    if language == "rust":
        stamp = _stamp(program)
        return stamp.exists() and stamp.read_text("utf-8") == _source_key()
    return shutil.which("node") is not None and _has_packages()


def version_of(language: str, package: str) -> str:
    """The version of a package that the programs of a language are made of."""
    if language == "rust":
        manifest = tomllib.loads((RUST / "Cargo.toml").read_text("utf-8"))
        return str(manifest["dependencies"][package]).lstrip("=")
    lock: dict[str, Any] = json.loads((TYPESCRIPT / "package-lock.json").read_text("utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


def run_tool(program: str, *arguments: str, folder: Path, **environment: str) -> str:
    """Run a tool to its end, and return what it printed.

    Raises:
        NotThere: There is no such tool, or it failed.
    """
    if shutil.which(program) is None:
        raise NotThere(f"there is no {program} on the PATH")
    command = [program, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise NotThere(f"`{' '.join(command)}` failed with exit code {done.returncode} and said: {said[0]}")
    return done.stdout


def _rust_target() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "spacetimedb-sdk-peers" / "rust"


def _stamp(program: str) -> Path:
    return _rust_target() / "release" / f"{program}.built"


def _source_key() -> str:
    """Digest everything that decides what the programs become, so that another checkout of the same finds them."""
    digest = hashlib.sha256()
    for path in (RUST / "Cargo.toml", RUST / "Cargo.lock", *sorted((RUST / "src").rglob("*.rs"))):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(RUST).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _has_packages() -> bool:
    lock, installed = TYPESCRIPT / "package-lock.json", TYPESCRIPT / "node_modules" / ".package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--is-built", wanted]:
            sys.exit(0 if all(is_built(language, wanted) for language in LANGUAGES) else 1)
        case _:
            sys.exit(__doc__)
