"""The definitions under `data/schemas`: recorded from a real 2.8.3 server, each module as v9 and as v10."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from spacetimedb_proto.schema import Schema, load_schema

SCHEMAS = Path(__file__).parent / "data" / "schemas"


@cache
def schema(module: str, version: int = 10) -> Schema:
    """A module's definition as the real server gave it."""
    return load_schema((SCHEMAS / f"{module}.v{version}.json").read_text("utf-8"))
