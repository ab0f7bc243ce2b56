"""Comparing types of two definitions, each in its own typespace: by structure and by name, never by slot.

A named type is compared once, and its differences are told of the type: as its fields and variants. What is inside a
type without a name is told of the place where it stands. Recursion ends because no two types are compared twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import attrs

from ..bsatn.types import (
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
    TIMESTAMP,
    UNIT,
    UUID,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option_payload,
    result_payloads,
)
from .differences import Difference, Effect

if TYPE_CHECKING:
    from .definitions import Table
    from .model import Schema

__all__ = ["MemberKind", "TypeDrift", "in_words"]

MemberKind: TypeAlias = Literal["column", "field", "variant", "parameter"]

_MOST: Final = 500_000
"""Fields, columns and variants that are compared.

Each pair of types is, once; of recursive types an untrusted server can make as many pairs as it sends types, squared.
"""

_SPECIAL: Final[dict[AlgebraicType, str]] = {
    IDENTITY: "Identity",
    CONNECTION_ID: "ConnectionId",
    TIMESTAMP: "Timestamp",
    TIME_DURATION: "TimeDuration",
    UUID: "Uuid",
    SCHEDULE_AT: "ScheduleAt",
    UNIT: "unit",
}
_SHOWN_DEPTH, _SHOWN_WIDTH = 4, 8  # of a type in words


class TypeDrift:
    """Compares types, and notes differences in the order in which it meets them.

    Args:
        known: Whose types come first in every comparison.
        served: Whose types come second.
    """

    def __init__(self, known: Schema, served: Schema) -> None:
        self._known = known
        self._served = served
        self._found: list[Difference | _Place] = []
        self._todo: deque[tuple[_Place, AlgebraicType, AlgebraicType]] = deque()
        self._seen: set[tuple[int | AlgebraicType, int | AlgebraicType]] = set()
        self._renamed: set[tuple[str | None, str | None]] = set()
        self._left = _MOST

    def note(self, difference: Difference) -> None:
        """Add a difference that somebody else has found."""
        self._found.append(difference)

    def at(self, kind: str, name: str, known: AlgebraicType, served: AlgebraicType) -> None:
        """Compare the two types that stand at one place."""
        self._compare(self._place(kind, name, known, served), known, served)

    def rows(self, known: Table, served: Table) -> None:
        """Compare the rows of two tables. What differs is told of the table, whatever else uses its rows."""
        self._names(_behind(self._known, known.row).name, _behind(self._served, served.row).name)
        self.members("column", known.name, known.row_product.elements, served.row_product.elements)

    def differences(self) -> tuple[Difference, ...]:
        """Everything found, after comparing the named types that were met."""
        while self._todo and self._left >= 0:
            place, known, served = self._todo.popleft()
            self._structure(place, known, served)
        if self._left < 0:
            before, after = f"at most {_MOST} fields and variants", "more"
            change = Difference(kind="type", name="*", what="changed", before=before, after=after, effect=Effect.BOTH)
            self._found.append(change)
        return tuple(self._told())

    def _told(self) -> Iterator[Difference]:
        for found in self._found:
            if isinstance(found, Difference):
                yield found
            elif found.is_changed:
                yield found.difference(self._known, self._served)

    def _place(self, kind: str, name: str, known: AlgebraicType, served: AlgebraicType) -> _Place:
        place = _Place(kind, name, known, served)
        self._found.append(place)
        return place

    # --- types --------------------------------------------------------------------------------------------------------

    def _compare(self, place: _Place, known: AlgebraicType, served: AlgebraicType) -> None:
        left, right = _behind(self._known, known), _behind(self._served, served)
        if left.slot is None and right.slot is None:
            self._structure(place, left.type, right.type)
            return
        key = (left.type if left.slot is None else left.slot, right.type if right.slot is None else right.slot)
        if key in self._seen:
            return
        self._seen.add(key)
        self._names(left.name, right.name)
        name = left.name or right.name
        if name is not None:
            place = self._place("type", name, left.type, right.type)
        self._todo.append((place, left.type, right.type))

    def _names(self, known: str | None, served: str | None) -> None:
        """Note once if a type has another name. That is for code alone: names of types are not on the wire."""
        if known == served or (known, served) in self._renamed:
            return
        self._renamed.add((known, served))
        before, after = known or "a type without a name", served or "a type without a name"
        name = known or served or ""
        self.note(Difference(kind="type", name=name, what="changed", before=before, after=after, effect=Effect.API))

    def _structure(self, place: _Place, known: AlgebraicType, served: AlgebraicType) -> None:
        match known, served:
            case Array(), Array():
                self._compare(place, known.element, served.element)
            case Product(), Product():
                self._members(place, "field", known.elements, served.elements)
            case Sum(), Sum():
                self._members(place, "variant", known.variants, served.variants)
            case _ if known != served:
                place.mark(Effect.BOTH)
            case _:
                pass

    def _members(self, place: _Place, kind: MemberKind, known: Sequence[Element], served: Sequence[Element]) -> None:
        if place.kind == "type":
            self.members(kind, place.name, known, served)
        else:
            self._compare_members(kind, place.name, known, served, place)

    # --- fields, columns, variants, parameters ------------------------------------------------------------------------

    def members(self, kind: MemberKind, owner: str, known: Sequence[Element], served: Sequence[Element]) -> None:
        """Compare the parts of a type, a row or a list of parameters."""
        self._compare_members(kind, owner, known, served, None)

    def _compare_members(
        self,
        kind: MemberKind,
        owner: str,
        known: Sequence[Element],
        served: Sequence[Element],
        around: _Place | None,
    ) -> None:
        """As `members`; everything is told of the place `around` them, if there is one."""
        self._left -= len(known) + len(served) + 1
        if self._left < 0:
            return
        pairs = _pair(known, served)
        names = [_name(element, position) for position, element in enumerate(known)]

        def place_of(name: str, before: AlgebraicType, after: AlgebraicType) -> _Place:
            return around or self._place(kind, f"{owner}.{name}", before, after)

        for old, new in pairs.common:
            self._compare(place_of(names[old], known[old].type, served[new].type), known[old].type, served[new].type)
        for old, new in pairs.replaced:
            place = place_of(names[old], known[old].type, served[new].type)
            self._replaced(place, kind, (known[old], old), (served[new], new))
        for position in pairs.removed:
            words = in_words(self._known, known[position].type)
            self._told_of(around, kind, f"{owner}.{names[position]}", "removed", words, Effect.BOTH)
        for position in pairs.added:
            at_end = position >= len(known)
            words = in_words(self._served, served[position].type) + (", at the end" if at_end else "")
            effect = self._effect_of_more(kind, known, served, is_inline=around is not None) if at_end else Effect.BOTH
            name = _name(served[position], position)
            self._told_of(around, kind, f"{owner}.{name}", "added", words, effect)
        if pairs.is_moved:
            place = around or self._place(f"order of {kind}s", owner, Product(tuple(known)), Product(tuple(served)))
            place.mark(Effect.BOTH)

    def _told_of(
        self, around: _Place | None, kind: str, name: str, what: Literal["added", "removed"], words: str, effect: Effect
    ) -> None:
        if around is not None:
            around.mark(effect)
            return
        before, after = (words, "") if what == "removed" else ("", words)
        self.note(Difference(kind=kind, name=name, what=what, before=before, after=after, effect=effect))

    def _replaced(self, place: _Place, kind: MemberKind, old: tuple[Element, int], new: tuple[Element, int]) -> None:
        """Another name at the same position: perhaps a new name of the same thing, perhaps another thing.

        Reading a value under the name of another would go unnoticed, so nothing is assumed. Only parameters go by
        position alone, and 2.14 converts their names where earlier servers do not (schema reference, 3.3).
        """
        if place.kind == kind:
            place.labels = (
                f"{_name(*old)}: {in_words(self._known, old[0].type)}",
                f"{_name(*new)}: {in_words(self._served, new[0].type)}",
            )
        if kind == "parameter":
            place.mark(Effect.API)
            self._compare(place, old[0].type, new[0].type)
        else:
            place.mark(Effect.BOTH)

    def _effect_of_more(
        self, kind: MemberKind, known: Sequence[Element], served: Sequence[Element], *, is_inline: bool
    ) -> Effect:
        """Whom it breaks that there is more behind what was known."""
        if kind == "column":
            return Effect.WIRE  # rows have become longer; code that knows fewer columns can still use them
        if kind != "variant":
            return Effect.BOTH
        # Bytes that were valid mean the same as before. An unknown tag is an error when it arrives, not earlier.
        was_enum = all(_is_unit(self._known, variant) for variant in known)
        is_enum = was_enum and all(_is_unit(self._served, variant) for variant in served)
        changes_form = was_enum != is_enum or (is_inline and _is_special(Sum(tuple(known))))
        return Effect.API if changes_form else Effect.NONE


@attrs.define(eq=False)
class _Place:
    """Where two types stand that are compared. What is found inside of them adds up.

    Attributes:
        labels: Both sides in words, if the types are not what is to be told.
    """

    kind: str
    name: str
    known: AlgebraicType
    served: AlgebraicType
    labels: tuple[str, str] | None = None
    effect: Effect = Effect.NONE
    is_changed: bool = False

    def mark(self, effect: Effect) -> None:
        """Note that something is different here."""
        self.is_changed = True
        self.effect |= effect

    def difference(self, known: Schema, served: Schema) -> Difference:
        before, after = self.labels or (in_words(known, self.known), in_words(served, self.served))
        return Difference(
            kind=self.kind, name=self.name, what="changed", before=before, after=after, effect=self.effect
        )


# --- pairing ----------------------------------------------------------------------------------------------------------


class _Pairs(NamedTuple):
    """Positions in both lists of elements.

    Attributes:
        common: Of the same name, in the known order.
        replaced: At the same position, of names that the other list does not have.
        removed: Other names that only the known list has.
        added: Other names that only the served list has.
        is_moved: Whether those in common have another order.
    """

    common: list[tuple[int, int]]
    replaced: list[tuple[int, int]]
    removed: list[int]
    added: list[int]
    is_moved: bool


def _pair(known: Sequence[Element], served: Sequence[Element]) -> _Pairs:
    old, new = _keys(known), _keys(served)
    common = [(position, new[key]) for key, position in old.items() if key in new]
    gone = {position for key, position in old.items() if key not in new}
    come = {position for key, position in new.items() if key not in old}
    replaced = sorted(gone & come)
    order = [position for _, position in common]
    return _Pairs(
        common=common,
        replaced=[(position, position) for position in replaced],
        removed=sorted(gone.difference(replaced)),
        added=sorted(come.difference(replaced)),
        is_moved=order != sorted(order),
    )


def _keys(elements: Sequence[Element]) -> dict[tuple[str | None, int], int]:
    """Positions by name. Two elements may have the same name (schema reference, 3.2), so those are counted."""
    keys: dict[tuple[str | None, int], int] = {}
    uses: dict[str | None, int] = {}
    for position, element in enumerate(elements):
        count = uses[element.name] = uses.get(element.name, 0) + 1
        keys[element.name, count] = position
    return keys


def _name(element: Element, position: int) -> str:
    return f"field_{position}" if element.name is None else element.name


# --- types as they are seen and told ----------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """A type behind references: its name, the slot of its structure, and that. Inline types have neither."""

    name: str | None
    slot: int | None
    type: AlgebraicType


def _behind(schema: Schema, type_: AlgebraicType) -> _Seen:
    """Follow references to the structure. Only names of products and sums are seen (schema reference, 2.2)."""
    slot: int | None = None
    while isinstance(type_, Ref):
        slot = type_.index
        type_ = schema.typespace[slot]
    is_named = slot is not None and isinstance(type_, Product | Sum)
    return _Seen(schema.type_names.get(slot) if is_named and slot is not None else None, slot, type_)


def _is_unit(schema: Schema, variant: Element) -> bool:
    seen = _behind(schema, variant.type)
    return seen.name is None and seen.type == UNIT


def _is_special(type_: Sum) -> bool:
    return option_payload(type_) is not None or result_payloads(type_) is not None or type_ == SCHEDULE_AT


def in_words(schema: Schema, type_: AlgebraicType, depth: int = 0) -> str:
    """A type in words: named types by name, others by structure, and not more than one can read."""
    seen = _behind(schema, type_)
    if seen.name is not None:
        return seen.name
    if depth == _SHOWN_DEPTH:
        return "…"
    if seen.type in _SPECIAL:
        return _SPECIAL[seen.type]
    match seen.type:
        case Primitive() as primitive:
            return primitive.value
        case Array(element):
            return f"array of {in_words(schema, element, depth + 1)}"
        case Product(elements):
            return f"({_listed(schema, elements, ', ', depth)})"
        case Sum(variants) as type_:
            payload = option_payload(type_)
            if payload is not None:
                return f"option of {in_words(schema, payload, depth + 1)}"
            return f"one of ({_listed(schema, variants, ' | ', depth)})"
        case Ref():
            raise AssertionError("references have been followed")


def _listed(schema: Schema, elements: Sequence[Element], separator: str, depth: int) -> str:
    shown = [
        _name(element, position)
        if _is_unit(schema, element)
        else f"{_name(element, position)}: {in_words(schema, element.type, depth + 1)}"
        for position, element in enumerate(elements[:_SHOWN_WIDTH])
    ]
    return separator.join((*shown, *(["…"] if len(elements) > _SHOWN_WIDTH else [])))
