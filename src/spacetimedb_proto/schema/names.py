"""Names that a definition implies but does not spell out.

The names in a served definition are final: the host has applied the module's case conversion already, and applying it
again corrupts modules that chose another one (schema reference, 3.3). Nothing here changes the case of anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .definitions import TypeDef

__all__ = ["flat_type_names", "index_name", "local", "qualify"]


def qualify(namespace: str, name: str) -> str:
    """The name by which something in a submodule is known outside of it: `namespace.name`."""
    return f"{namespace}.{name}" if namespace else name


def index_name(table: str, columns: Sequence[str], kind: str) -> str:
    """The name that the host gives an index when the module does not (schema reference, appendix A)."""
    return f"{table}_{'_'.join(columns)}_idx_{kind.lower()}"


def flat_type_names(type_defs: Iterable[TypeDef]) -> dict[int, str]:
    """One unique name per slot: scope and name written together, behind the namespace and a dot in submodules.

    `Ab.C` and `AbC` would be the same; the later one in the given order becomes `AbC_2` (schema reference, 6.4). Of
    several names for one slot the first counts.
    """
    names: dict[int, str] = {}
    uses: dict[str, int] = {}
    for definition in type_defs:
        if definition.slot in names:
            continue
        flat = name = qualify(definition.namespace, "".join((*definition.scope, definition.name)))
        while name in uses:
            uses[flat] += 1
            name = f"{flat}_{uses[flat]}"
        uses[name] = 1
        names[definition.slot] = name
    return names


def local(namespace: str, name: str) -> str:
    """What `name` is called inside the submodule; the reverse of `qualify`."""
    return name[len(namespace) + 1 :] if namespace else name
