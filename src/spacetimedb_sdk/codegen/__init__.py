"""From a schema to a Python package with static types.

`generate` says what files the package consists of, without touching any; `write` puts them on disk, and `check` says
which of them are out of date there. `legacy` does the same for programs of 0.7, and `wasm` reads a module's schema from
what is published. What the package does while a program runs is in `bindings.generated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacetimedb_proto.door import aliases

from .files import check, write
from .package import generate
from .plan import left_out

if TYPE_CHECKING:
    from . import legacy, wasm
else:
    __getattr__, __dir__ = aliases(__name__, {"legacy": ".legacy:", "wasm": ".wasm:"})

__all__ = ["check", "generate", "left_out", "legacy", "wasm", "write"]
