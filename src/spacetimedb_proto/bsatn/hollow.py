"""How much a type makes of nothing: products inside each other that have no bytes, only fields.

Bytes bound what a value may cost, and fields without bytes escape that bound: thirty types of two such fields each, one
inside the other, are a thousand million values, and as much code. No module has a use for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from .types import AlgebraicType, Array, Product, Ref, Sum, references

__all__ = ["MOST_HOLLOW", "hollow_fields"]

MOST_HOLLOW: Final = 64
"""Fields of products without bytes that a type may have in all its parts."""

_Measure: TypeAlias = tuple[bool, int]
"""Whether values have no bytes, and the number of fields of products without bytes."""

_BYTES: Final[_Measure] = False, 0


def hollow_fields(typespace: Sequence[AlgebraicType]) -> Mapping[int, int]:
    """For each slot the number of fields, in all its parts, of products that have no bytes.

    What contains itself counts as nothing inside of itself: it has no value, or bytes that tell how deep it goes.
    """
    known: dict[int, _Measure] = {}
    for root in range(len(typespace)):
        _measure_slots(root, typespace, known)
    return {index: count for index, (_, count) in known.items()}


def _measure_slots(root: int, typespace: Sequence[AlgebraicType], known: dict[int, _Measure]) -> None:
    todo, begun = [root], set[int]()
    while todo:
        index = todo[-1]
        inner = [
            each
            for each in references(typespace[index])
            if 0 <= each < len(typespace) and each not in known and each not in begun
        ]
        if index not in known and inner and index not in begun:
            begun.add(index)
            todo += inner
            continue
        todo.pop()
        known.setdefault(index, _measured(typespace[index], known))


def _measured(type_: AlgebraicType, known: Mapping[int, _Measure]) -> _Measure:
    match type_:
        case Ref(index):
            return known.get(index, _BYTES)
        case Array(element):
            return False, _measured(element, known)[1]
        case Product(elements) | Sum(elements):
            parts = [_measured(element.type, known) for element in elements]
            is_hollow = isinstance(type_, Product) and all(hollow for hollow, _ in parts)
            own = len(parts) if is_hollow else 0
            return is_hollow, own + sum(min(count, MOST_HOLLOW + 1) for _, count in parts)
        case _:
            return _BYTES
