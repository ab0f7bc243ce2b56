"""How an old program is told that there is something newer."""

from __future__ import annotations

import warnings

__all__ = ["deprecated"]

GUIDE = "docs/from-0.7.md shows both side by side"


def deprecated(module: str, instead: str) -> None:
    """Warn whoever imports a module of 0.7; once, as modules are imported once.

    Args:
        module: Its name below `spacetimedb_sdk`.
        instead: What to write instead.
    """
    text = f"spacetimedb_sdk.{module} is kept for programs written for 0.7: use {instead} instead ({GUIDE})"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
