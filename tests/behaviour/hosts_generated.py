"""The async host with a generated package: the same connections, whose rows are of the package's classes."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import spacetimedb_sdk
from tests.sdk.codegen.support import imported

from .hosts import Host

RECORDED = Path(__file__).parents[1] / "data" / "behaviour.v9.json"


@cache
def package() -> ModuleType:
    """The generated package of the behaviour module, as our own server or a real one has it."""
    from tests.behaviour_module import behaviour

    is_real = "SPACETIMEDB_URI" in os.environ
    schema = spacetimedb_sdk.load_schema(RECORDED.read_bytes()) if is_real else behaviour.schema
    with TemporaryDirectory() as folder:  # once it is imported nobody reads it any more
        return imported(Path(folder), "generated_behaviour", schema)


class Generated(Host):
    """On one loop: what generated bindings add has nothing to do with loops."""

    name = "generated"
    loops = ("asyncio",)

    def connect(self, *args, **options):
        """As `connect`, with the package."""
        return super().connect(*args, **{"bindings": package(), **options})
