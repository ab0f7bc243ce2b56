"""What the modules of tables and of functions have in common: collections, and what stands for their classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .scope import Scope
from .text import class_head, doc, literal, signature

__all__ = ["GENERATED", "TYPED", "collection", "stand_ins"]

TYPED: Final = "spacetimedb_sdk.typed"

GENERATED: Final = "from spacetimedb_sdk.bindings import generated as __generated__"
"""The import of what every module runs on, under a name that no schema's name becomes."""


def collection(
    scope: Scope, name: str, about: str, element: str, things: Sequence[tuple[str, str]], *, has_host: bool = True
) -> list[str]:
    """A class whose properties are the things of a schema that have a name.

    Args:
        scope: The module.
        name: The class.
        about: Its docstring.
        element: What its items are, by any name.
        things: Each property's name and type.
        has_host: Whether the types are those of a host.
    """
    attributes = [attribute for attribute, _ in things]
    decorator = scope.name("builtins", "property", attributes)
    bases = [f"{scope.name(TYPED, 'Things')}[{element}]"]
    if has_host:
        bases.append(f"{scope.name('typing', 'Generic')}[{scope.name(TYPED, 'Host_co')}]")
    lines = [*class_head(name, *bases), f"    {doc(about)}", ""]
    for attribute, type_ in things:
        lines += [f"    @{decorator}", *signature("    ", f"def {attribute}", ["self"], type_)]
    return [*lines, ""] if things else lines


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
