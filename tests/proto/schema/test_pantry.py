"""The worked example of the schema reference, 1.7, section by section."""

from __future__ import annotations

from spacetimedb_proto.bsatn.types import SCHEDULE_AT, Primitive, Ref, Sum
from spacetimedb_proto.schema import load_schema
from spacetimedb_proto.schema.definitions import (
    Column,
    Function,
    Index,
    Param,
    Schedule,
    Sequence,
    Submodule,
    TypeDef,
    Unique,
    View,
)

from .support import (
    pantry,
)


def test_pantry_table() -> None:
    item = load_schema(pantry()).tables["pantry_item"]
    assert (item.source_name, item.row, item.primary_key, item.is_public) == ("pantryItem", Ref(0), 0, True)
    assert item.columns == (
        Column(name="item_id", type=Primitive.U64, index=0),
        Column(name="label", type=Primitive.STRING, index=1),
        Column(name="shelf", type=Primitive.U16, index=2, default=b"\x07\x00"),
        Column(name="state", type=Ref(1), index=3),
    )
    assert [column.has_default for column in item.columns] == [False, False, True, False]
    assert item.constraints == (Unique(name="pantry_item_item_id_key", columns=(0,)),)
    assert (item.unique, item.unique_sets) == ((0,), ((0,),))
    assert item.sequences == (Sequence(name="pantry_item_item_id_seq", column=0),)
    # Accessors and source names keep the module's spelling, and an index keeps the order of its columns.
    assert item.indexes == (
        Index(columns=(0,), source_name="pantryItem_itemId_idx_btree", accessor="itemId"),
        Index(columns=(2, 1), source_name="pantryItem_shelf_label_idx_btree", accessor="byShelf"),
    )
    assert not item.is_view
    assert not item.is_event
    assert item.schedule is None


def test_pantry_scheduled_table() -> None:
    schema = load_schema(pantry())
    job = schema.tables["spoil_job"]
    assert job.schedule == Schedule(name="spoil_job_sched", column=1, function="spoil")
    assert (job.is_public, job.columns[1].type) == (False, SCHEDULE_AT)


def test_pantry_view() -> None:
    schema = load_schema(pantry())
    view = schema.tables["my_items"]
    assert (view.source_name, view.row, view.primary_key) == ("myItems", Ref(0), 0)
    assert view.view == View(shape="array", index=0)
    assert view.is_view
    # Constraints of the table behind it are not the view's, and neither are defaults.
    assert (view.unique, view.indexes, view.columns[2].default) == ((), (), None)


def test_pantry_functions() -> None:
    schema = load_schema(pantry())
    assert schema.reducers["add_item"] == Function(
        name="add_item",
        source_name="addItem",
        params=(Param(name="itemLabel", type=Primitive.STRING), Param(name="shelf2", type=Primitive.U16)),
    )
    spoil, on_join, tally = schema.reducers["spoil"], schema.reducers["on_join"], schema.procedures["tally"]
    assert (spoil.is_callable, spoil.is_scheduled, spoil.lifecycle) == (False, True, None)
    assert (on_join.is_callable, on_join.is_scheduled, on_join.lifecycle) == (False, False, "OnConnect")
    assert (tally.is_callable, tally.source_name, tally.return_type) == (True, "countItems", Primitive.U64)


def test_pantry_types() -> None:
    schema = load_schema(pantry())
    assert schema.type_names == {0: "PantryItem", 1: "KitchenShelfState", 2: "SpoilJob", 3: "authLib.Session"}
    assert TypeDef(slot=1, name="ShelfState", scope=("Kitchen",)) in schema.type_defs
    assert isinstance(schema.typespace[1], Sum)
    # Variants are camelCase and have lost the case of acronyms (trap 7); nobody converts them back here.
    assert [variant.name for variant in schema.typespace[1].variants] == ["fresh", "useBy", "httpGone"]


def test_pantry_submodule_has_its_own_slots() -> None:
    """Trap 18: a submodule's slot 0 is not the root's."""
    schema = load_schema(pantry())
    assert schema.submodules == (Submodule(namespace="authLib", source_name="authLib", first_slot=3, slots=1),)
    session = schema.tables["authLib.live_session"]
    assert (session.row, session.source_name, session.namespace) == (Ref(3), "authLib.liveSession", "authLib")
    assert [column.name for column in session.columns] == ["user_name"]
    assert schema.reducers["authLib.sign_out"].source_name == "authLib.signOut"


def test_pantry_reads_without_a_note() -> None:
    schema = load_schema(pantry())
    assert (schema.notes, schema.version) == ((), 10)
