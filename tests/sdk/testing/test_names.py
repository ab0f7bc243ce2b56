"""Names that the server converts, and those that a module gives itself: the recorded module of many cases."""

from __future__ import annotations

import enum

import pytest

from spacetimedb_proto.schema import dump_schema, load_schema
from spacetimedb_sdk.testing import AutoInc, Module, PrimaryKey, u32, u64
from spacetimedb_sdk.testing.cases import CONVERTED
from tests.sdk.testing.support import Guest, database

shop = Module("shop", convert_names=True)


@shop.type
class shelfInfo:  # noqa: N801 - to be converted
    rowNumber: u32  # noqa: N815
    shelf2Name: str  # noqa: N815


class itemState(enum.Enum):  # noqa: N801
    InStock = 0
    SoldOut2 = 1


@shop.sum
class Price:
    USDCents: u32
    Nothing: None


@shop.table(source_name="stockItem", public=True, indexes={"byShelf": ["shelfInfo", "label"]})
class StockItem:
    itemId: PrimaryKey[AutoInc[u64]]  # noqa: N815
    label: str
    shelfInfo: shelfInfo  # noqa: N815
    state: itemState
    price: Price


@shop.table(name="Item2Canonical", source_name="item2")
class Other:
    n: u32


@shop.reducer
def addItem(ctx, itemLabel: str):  # noqa: N803
    ctx.db.stockItem.insert(
        label=itemLabel, shelfInfo=shelfInfo(1, "a"), state=itemState.SoldOut2, price=Price.USDCents(5)
    )
    assert len(ctx.db.stock_item) == len(ctx.db[StockItem]), "both names mean it"


@shop.reducer(name="clearAll")
def ClearItems(ctx):
    for row in ctx.db.stockItem:
        ctx.db.stockItem.delete(row)


@pytest.mark.parametrize(
    ("name", "snake", "camel", "pascal"),
    [
        ("person2", "person_2", "person2", "Person2"),
        ("HTTPGone", "http_gone", "httpGone", "HttpGone"),
        ("USD", "usd", "usd", "Usd"),
        ("one_u8", "one_u_8", "oneU8", "OneU8"),
        ("currentLevel2", "current_level_2", "currentLevel2", "CurrentLevel2"),
        ("__x", "x", "x", "X"),
        ("", "", "", ""),
    ],
)
def test_cases(name, snake, camel, pascal):
    assert (CONVERTED.snake(name), CONVERTED.camel(name), CONVERTED.pascal(name)) == (snake, camel, pascal)


def test_converted_names():
    schema = shop.schema
    item = schema.tables["stock_item"]
    assert item.source_name == "stockItem"
    assert [column.name for column in item.columns] == ["item_id", "label", "shelf_info", "state", "price"]
    assert [unique.name for unique in item.constraints] == ["stock_item_item_id_key"]
    assert [(index.source_name, index.accessor) for index in item.indexes] == [
        ("stockItem_itemId_idx_btree", "itemId"),
        ("stockItem_shelfInfo_label_idx_btree", "byShelf"),
    ]
    assert sorted(schema.type_names.values()) == ["ItemState", "Other", "Price", "ShelfInfo", "StockItem"]
    named = {schema.type_names[slot]: type_ for slot, type_ in enumerate(schema.typespace)}
    variants = {name: [each.name for each in named[name].variants] for name in ("ItemState", "Price")}
    assert variants == {"ItemState": ["inStock", "soldOut2"], "Price": ["usdCents", "nothing"]}
    assert [element.name for element in named["ShelfInfo"].elements] == ["row_number", "shelf_2_name"]


def test_given_names_stay():
    assert shop.schema.tables["Item2Canonical"].source_name == "item2"
    reducers = {name: (each.source_name, [p.name for p in each.params]) for name, each in shop.schema.reducers.items()}
    assert reducers == {"add_item": ("addItem", ["itemLabel"]), "clearAll": ("ClearItems", [])}


def test_a_client_uses_the_canonical_names():
    alice = Guest(database(shop))
    alice.subscribe("SELECT * FROM stock_item WHERE item_id > 0")
    assert alice.call("add_item", "book").outcome
    (row,) = alice.rows("stock_item")
    assert (row.itemId, row.price, row.shelfInfo.shelf2Name) == (1, Price.USDCents(5), "a")
    assert list(alice.query("SELECT * FROM stockItem").tables) == ["stock_item"], "the source name too"
    assert alice.call("clearAll").outcome
    assert alice.rows("stock_item") == []


def test_names_as_they_are_written():
    module = Module("m")

    @module.table(source_name="wordList", name="words")
    class Words:
        fooBar: str  # noqa: N815

    assert module.schema.tables["words"].source_name == "wordList"
    assert [column.name for column in module.schema.tables["words"].columns] == ["fooBar"]


def test_names_that_meet_after_conversion():
    module = Module("m", convert_names=True)
    module.reducer(source_name="addItem")(lambda ctx: None)
    with pytest.raises(TypeError, match="two functions have the name 'add_item'"):
        module.reducer(source_name="add_item")(lambda ctx: None)
    with pytest.raises(TypeError, match="'a b' is no name"):
        module.reducer(source_name="a b")(lambda ctx: None)


# --- two things of one source name ------------------------------------------------------------------------------------


def made(name):
    """A function that says that it is called like this."""

    def function(ctx):
        pass

    function.__name__ = name
    return function


def view_of(name, row):
    function = made(name)
    function.__annotations__["return"] = list[row]
    return function


def with_row():
    module = Module("m")

    @module.table(name="rows", source_name="rowList")
    class Row:
        n: u32

    return module, Row


def read_again(module):
    """Source names by canonical ones, as clients know them."""
    schema = load_schema(dump_schema(module.schema))
    return {name: each.source_name for things in (schema.reducers, schema.tables) for name, each in things.items()}


def test_functions_made_in_one_place_are_told_apart_by_name():
    module, row = with_row()
    for name in ("a", "b", "c"):
        module.reducer(name=name)(made("of_factory"))
    module.view(name="v")(view_of("of_factory", row))
    module.view(name="w")(view_of("of_factory", row))
    functions = {"a": "of_factory", "b": "b", "c": "c", "v": "v", "w": "w"}
    assert read_again(module) == {**functions, "rows": "rowList"}


def test_a_source_name_stays_with_whoever_has_it_first():
    module, _ = with_row()
    module.reducer(name="g")(made("f"))
    module.reducer(name="f")(made("g"))
    assert read_again(module) == {"g": "f", "f": "g", "rows": "rowList"}


def test_two_things_of_one_source_name_are_refused():
    module, row = with_row()
    module.reducer(name="a")(made("f"))
    module.reducer(name="x")(made("b"))
    for decorate, function in (
        (module.reducer, made("f")),
        (module.init, made("f")),
        (module.view, view_of("f", row)),
        (module.reducer(name="c", source_name="f"), made("g")),
        (module.view(name="c", source_name="f"), view_of("g", row)),
    ):
        with pytest.raises(TypeError, match="the source name 'f' is that of 'a': .* needs a source_name of its own"):
            decorate(function)
    with pytest.raises(TypeError, match="the source name 'b' is that of 'x': 'b' needs"):
        module.reducer(name="b")(made("f"))
    with pytest.raises(TypeError, match="the source name 'rowList' is that of 'rows': 'others' needs"):
        module.table(name="others", source_name="rowList")(type("Other", (), {"__annotations__": {"n": u32}}))
    assert read_again(module) == {"a": "f", "x": "b", "rows": "rowList"}, "nothing came of those"
