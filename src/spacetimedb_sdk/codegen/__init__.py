"""From a schema to a Python package with static types.

`generate` says what files the package consists of, without touching any; `write` puts them on disk, and `check` says
which of them are out of date there. What the package does while a program runs is in `bindings.generated`.
"""

from __future__ import annotations

from .files import check, write
from .package import generate
from .plan import left_out

__all__ = ["check", "generate", "left_out", "write"]
