"""The clients: how each is started, what it can do, and whether it is there at all.

How the other SDKs' clients are built is in `peers`. What cannot be had is left out, with a reason for the report.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import attrs

from peers.builds import NotThere, build, run_tool, version_of

from .ours import HOSTS

__all__ = ["NAMES", "OURS", "Absent", "Client", "prepare"]

ROOT: Final = Path(__file__).parents[1]

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


def prepare(names: Iterable[str]) -> list[Client | Absent]:
    """Build what is to be run; Rust takes minutes the first time."""
    return [_prepare(name) for name in names]


def _prepare(name: str) -> Client | Absent:
    try:
        if name == "rust":
            return _rust()
        if name == "typescript":
            return _typescript()
    except NotThere as reason:
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
    command = build("rust", "bench")
    rustc = " ".join(run_tool("rustc", "--version", folder=ROOT).split()[:2])
    sdk = version_of("rust", "spacetimedb-sdk")
    return Client("rust", command, f"spacetimedb-sdk {sdk} (release build), {rustc}", frozenset({"v2"}))


def _typescript() -> Client:
    command = build("typescript", "bench")
    node = run_tool("node", "--version", folder=ROOT).strip()
    sdk, ws = (version_of("typescript", name) for name in ("spacetimedb", "ws"))
    compressions = ("none", "gzip", "brotli") if _node_has_brotli() else ("none", "gzip")
    return Client(
        "typescript",
        command,
        f"spacetimedb {sdk} with ws {ws}, node {node.removeprefix('v')}",
        compressions=frozenset(compressions),
    )


def _node_has_brotli() -> bool:
    """The SDK inflates with `DecompressionStream`, which knows brotli only in newer versions of node."""
    probe = ["node", "-e", "new DecompressionStream('brotli')"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
