"""The door of a package: names whose modules are imported when somebody first asks for them (PEP 562).

A program that only imports the SDK, to print its `--help` or to be collected by pytest, then pays for what it names.
Type checkers and editors read the plain imports that stand beside each door under `TYPE_CHECKING`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["aliases", "door"]


def door(
    package: str, homes: Mapping[str, Iterable[str]], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
    """Make the `__getattr__` and the `__dir__` of a package.

    Args:
        package: The package's `__name__`.
        homes: The names behind the door, by the module that each lives in; `.module` is relative to the package.
        modules: Modules of the package that are themselves behind it.
    """
    names = {name: f"{home}:{name}" for home, names in homes.items() for name in names}
    return aliases(package, names | {name: f".{name}:" for name in modules})


def aliases(module: str, targets: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
    """Make the `__getattr__` and the `__dir__` of a module whose names stand for things elsewhere.

    Args:
        module: The module's `__name__`.
        targets: What each name stands for, as `module:name`, or `module:` for a whole module; `.module` is relative.
    """
    rooms = vars(sys.modules[module])

    def get(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module])
        home, _, original = targets[name].partition(":")
        room = import_module(home, module)
        value = rooms[name] = getattr(room, original) if original else room
        return value

    def names() -> Iterable[str]:
        return {*rooms, *targets}

    return get, names
