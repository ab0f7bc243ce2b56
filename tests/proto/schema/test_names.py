from __future__ import annotations

from spacetimedb_proto.schema.definitions import TypeDef
from spacetimedb_proto.schema.names import flat_type_names, index_name, local, qualify


def test_qualified_names_come_apart_again() -> None:
    assert qualify("", "t") == local("", "t") == "t"
    assert qualify("a.b", "t") == "a.b.t"
    assert local("a.b", "a.b.t") == "t"


def test_index_names_follow_the_hosts_rule() -> None:
    assert index_name("pantry_item", ["shelf", "label"], "BTree") == "pantry_item_shelf_label_idx_btree"


def test_scopes_are_written_together() -> None:
    defs = [
        TypeDef(slot=3, name="ShelfState", scope=("Kitchen", "Low")),
        TypeDef(slot=1, name="Session", namespace="auth.lib"),
    ]
    assert flat_type_names(defs) == {3: "KitchenLowShelfState", 1: "auth.lib.Session"}


def test_equal_flat_names_are_numbered() -> None:
    defs = [
        TypeDef(slot=0, name="AbC"),
        TypeDef(slot=1, name="AbC_2"),
        TypeDef(slot=2, name="C", scope=("Ab",)),
        TypeDef(slot=3, name="bC", scope=("A",)),
    ]
    assert flat_type_names(defs) == {0: "AbC", 1: "AbC_2", 2: "AbC_3", 3: "AbC_4"}


def test_the_first_name_of_a_slot_counts() -> None:
    assert flat_type_names([TypeDef(slot=0, name="A"), TypeDef(slot=0, name="B")]) == {0: "A"}


def test_very_many_equal_names_take_no_longer_than_different_ones() -> None:
    names = flat_type_names(TypeDef(slot=slot, name="T") for slot in range(20_000))
    assert names[19_999] == "T_20000"
