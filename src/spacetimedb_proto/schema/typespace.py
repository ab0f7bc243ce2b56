"""Following references. Knows types and slots, nothing of modules.

A slot may hold a reference to another slot. Such a chain must end, which `endless_alias` finds out once; recursion
through a product, a sum or an array is legal (schema reference, 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bsatn.types import AlgebraicType, Ref

__all__ = ["endless_alias", "last_slot", "resolve"]


def endless_alias(typespace: Sequence[AlgebraicType], first_slot: int, longest: int) -> int | None:
    """The first slot whose chain of references is a cycle, or longer than `longest`; None if all chains end.

    A longest chain is part of it because everything that follows references would otherwise cost as much as an
    untrusted server likes.
    """
    for slot in range(first_slot, len(typespace)):
        target = typespace[slot]
        steps = 0
        while isinstance(target, Ref):
            target = typespace[target.index]
            steps += 1
            if steps > longest:
                return slot
    return None


def last_slot(typespace: Sequence[AlgebraicType], slot: int) -> int:
    """The slot at the end of a chain of references."""
    while isinstance(target := typespace[slot], Ref):
        slot = target.index
    return slot


def resolve(typespace: Sequence[AlgebraicType], type_: AlgebraicType) -> AlgebraicType:
    """The structure of a type, behind any references at its outside."""
    while isinstance(type_, Ref):
        type_ = typespace[type_.index]
    return type_
