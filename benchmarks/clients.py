"""The clients: how each is started, what it can do, and whether it is there at all.

The other SDKs' clients are built from package registries: Rust's into a cache folder, TypeScript's beside its source.
What cannot be had is left out, with a reason for the report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs

from .ours import HOSTS

__all__ = ["NAMES", "OURS", "Absent", "Client", "prepare"]

PEERS: Final = Path(__file__).parent / "peers"
RUST: Final = PEERS / "rust"
TYPESCRIPT: Final = PEERS / "typescript"

OURS: Final = tuple(f"ours-{host}" for host in HOSTS)
NAMES: Final = (*OURS, "rust", "typescript")


@attrs.frozen
class Client:
    """A client that can be run.

    Attributes:
        name: What reports and options call it.
        command: Starts it; options follow.
        made_of: Names and versions of what it is made of.
        protocols: What it can speak.
        compressions: What it can inflate.
        callbacks: What it can call for a transaction.
    """

    name: str
    command: tuple[str, ...]
    made_of: str
    protocols: frozenset[str] = frozenset({"v2", "v3"})
    compressions: frozenset[str] = frozenset({"none", "gzip", "brotli"})
    callbacks: frozenset[str] = frozenset({"none", "row"})


@attrs.frozen
class Absent:
    """A client that is left out, and why."""

    name: str
    reason: str


class _NotThere(Exception):  # noqa: N818 - it is no error of this program
    """What a client needs is not there; the text says what."""


def prepare(names: Iterable[str]) -> list[Client | Absent]:
    """Build what is to be run; Rust takes minutes the first time."""
    return [_prepare(name) for name in names]


def _prepare(name: str) -> Client | Absent:
    try:
        if name == "rust":
            return _rust()
        if name == "typescript":
            return _typescript()
    except _NotThere as reason:
        return Absent(name, str(reason))
    return _ours(name)


def _ours(name: str) -> Client:
    host = name.removeprefix("ours-")
    loop = f" on trio {version('trio')}" if host == "trio" else ""
    return Client(
        name,
        (sys.executable, "-m", "benchmarks.ours", "--host", host),
        f"spacetimedb-sdk {version('spacetimedb-sdk')}{loop}, {sys.implementation.name} {sys.version.split()[0]}",
        callbacks=frozenset({"none", "row", "once"}),
    )


def _rust() -> Client:
    target = _cache_folder() / "rust"
    _do("cargo", "build", "--release", "--locked", "--quiet", folder=RUST, CARGO_TARGET_DIR=str(target))
    package = tomllib.loads((RUST / "Cargo.toml").read_text("utf-8"))
    sdk = package["dependencies"]["spacetimedb-sdk"].lstrip("=")
    rustc = " ".join(_do("rustc", "--version", folder=RUST).split()[:2])
    program = target / "release" / package["package"]["name"]
    return Client("rust", (str(program),), f"spacetimedb-sdk {sdk} (release build), {rustc}", frozenset({"v2"}))


def _typescript() -> Client:
    node = _do("node", "--version", folder=TYPESCRIPT).strip()
    lock, installed = TYPESCRIPT / "package-lock.json", TYPESCRIPT / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _do("npm", "ci", "--no-audit", "--no-fund", folder=TYPESCRIPT)
    packages: dict[str, Any] = json.loads(lock.read_text("utf-8"))["packages"]
    sdk, ws = (packages[f"node_modules/{name}"]["version"] for name in ("spacetimedb", "ws"))
    compressions = ("none", "gzip", "brotli") if _node_has_brotli() else ("none", "gzip")
    return Client(
        "typescript",
        ("node", str(TYPESCRIPT / "client.js")),
        f"spacetimedb {sdk} with ws {ws}, node {node.removeprefix('v')}",
        compressions=frozenset(compressions),
    )


def _node_has_brotli() -> bool:
    """The SDK inflates with `DecompressionStream`, which knows brotli only in newer versions of node."""
    probe = ["node", "-e", "new DecompressionStream('brotli')"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _cache_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "spacetimedb-sdk-benchmarks"


def _do(program: str, *arguments: str, folder: Path, **environment: str) -> str:
    if shutil.which(program) is None:
        raise _NotThere(f"there is no {program} on the PATH")
    command = [program, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise _NotThere(f"`{' '.join(command)}` failed with exit code {done.returncode} and said: {said[0]}")
    return done.stdout
