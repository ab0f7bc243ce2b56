"""The names that one generated module uses, and where they come from.

A schema's names can be any, also those of what annotations need: a type called `int`, a column called `list` before one
that is a list. A name is imported as it is where nothing else has it; else it is reached through its module.
"""

from __future__ import annotations

from collections.abc import Iterable

from .text import code_list

__all__ = ["Scope"]

_STANDARD = frozenset({"builtins", "collections.abc", "enum", "typing", "uuid"})


class Scope:
    """One module that is being written.

    Args:
        home: The module, as others of its package name it: `.types`.
        own: Names that the module defines at its top level.
        inner: All names that are defined inside of its classes and functions.
    """

    def __init__(self, home: str, own: Iterable[str], inner: Iterable[str] = ()) -> None:
        self._home = home
        self._own = set(own)
        self._all = {*self._own, *inner}
        self._from: dict[str, str] = {}
        self._modules: dict[str, str] = {}

    def name(self, module: str, name: str, hidden: Iterable[str] = ()) -> str:
        """How to write a name of another module here.

        Args:
            module: Where it is; `builtins`, or `.types` in the same package.
            name: What it is called there.
            hidden: Names that mean something else where it is written, because of the class around it.
        """
        is_free = name not in self._own and name not in hidden and name not in self._modules.values()
        if is_free and self._from.get(name, module) == module:
            self._from[name] = module
            return name
        return f"{self.module(module)}.{name}"

    def own(self, name: str, hidden: Iterable[str] = ()) -> str:
        """How to write a name that this module itself defines."""
        return name if name not in hidden else f"{self.module(self._home)}.{name}"

    def defines(self, name: str) -> bool:
        """Whether the module has something of that name at its top level."""
        return name in self._own

    def module(self, module: str) -> str:
        """How to write a module, under a name that nothing hides."""
        alias = self._modules.get(module)
        if alias is None:
            alias = _last(module)
            while alias in self._all or alias in self._from or alias in self._modules.values():
                alias = f"_{alias}"
            self._modules[module] = alias
        return alias

    def imports(self, indent: str = "") -> list[str]:
        """The lines at the top of the module, in groups: of Python itself, of others, of the package."""
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        names: dict[str, list[str]] = {}
        for module, alias in sorted(self._modules.items()):
            parent = "." if module[0] == "." else module.rpartition(".")[0]
            what = alias if alias == _last(module) else f"{_last(module)} as {alias}"
            if parent:
                names.setdefault(parent, []).append(what)
            else:
                groups[_group(module)].append(f"{indent}import {what}")
        for name, module in self._from.items():
            if module != "builtins":
                names.setdefault(module, []).append(name)
        for module in sorted(names):
            groups[_group(module)].extend(code_list(f"{indent}from {module} import ", sorted(names[module])))
        return [line for group in groups if group for line in (*group, "")]


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _group(module: str) -> int:
    if module.startswith("."):
        return 2
    return 0 if module in _STANDARD else 1
