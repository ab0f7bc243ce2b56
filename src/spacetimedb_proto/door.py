"""The door of a package: names whose modules are imported when somebody first asks for them (PEP 562).

A program that only imports the SDK, to print its `--help` or to be collected by pytest, then pays for what it names.
Type checkers and editors read the plain imports that stand beside each door under `TYPE_CHECKING`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["door"]


def door(package: str, homes: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
    """Make the `__getattr__` and the `__dir__` of a package.

    Args:
        package: The package's `__name__`.
        homes: The names behind the door, by the module that each lives in; `.module` is relative to the package.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    rooms = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = rooms[name] = getattr(import_module(home_of[name], package), name)
        return value

    def names() -> Iterable[str]:
        return {*rooms, *home_of}

    return get, names
