"""What the modules of a package have in common: what they are made of, and what stands for their classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .text import literal

__all__ = ["GENERATED", "TYPED", "stand_ins"]

TYPED: Final = "spacetimedb_sdk.typed"

GENERATED: Final = "from spacetimedb_sdk.bindings import generated as __generated__"
"""The import of what every module runs on, under a name that no schema's name becomes."""


def stand_ins(names: Mapping[str, str]) -> Iterable[str]:
    """Code that has names stand for classes of the SDK, which is what things of these names are while a program runs.

    Args:
        names: Names in `spacetimedb_sdk.typed`, by those of the generated module.
    """
    yield "__getattr__, __dir__ = __generated__.aliases("
    yield "    __name__,"
    yield "    {"
    for name, target in sorted(names.items()):
        yield f'        {literal(name)}: "{TYPED}:{target}",'
    yield "    },"
    yield ")"
