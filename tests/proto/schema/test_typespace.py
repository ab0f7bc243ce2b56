from __future__ import annotations

from spacetimedb_proto.bsatn.types import UNIT, Array, Element, Product, Ref
from spacetimedb_proto.schema.typespace import endless_alias, last_slot, resolve


def test_references_are_followed_to_the_end() -> None:
    typespace = [Ref(1), Ref(2), UNIT]
    assert last_slot(typespace, 0) == last_slot(typespace, 2) == 2
    assert resolve(typespace, Ref(0)) == resolve(typespace, UNIT) == UNIT
    assert resolve(typespace, Array(Ref(0))) == Array(Ref(0))


def test_circles_of_references_are_found() -> None:
    assert endless_alias([UNIT, Ref(0), Ref(1)], 0, 64) is None
    assert endless_alias([UNIT, Ref(1)], 0, 64) == 1
    assert endless_alias([UNIT, Ref(2), Ref(3), Ref(2)], 0, 64) == 1


def test_chains_may_not_be_too_long() -> None:
    typespace = [*(Ref(slot + 1) for slot in range(5)), UNIT]
    assert endless_alias(typespace, 0, 5) is None
    assert endless_alias(typespace, 0, 4) == 0
    assert endless_alias(typespace, 1, 4) is None


def test_recursion_is_no_circle() -> None:
    assert endless_alias([Array(Ref(0)), Product((Element("next", Ref(1)),))], 0, 64) is None
