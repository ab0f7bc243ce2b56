"""Which rows outlive a new version of their module, by the shape of their types."""

import enum

import attrs
import pytest

from spacetimedb_proto.bsatn.values import Identity, Timestamp
from spacetimedb_sdk.testing import AutoInc, Module, PrimaryKey, Unique, i32, i64, u8, u32
from spacetimedb_sdk.testing.migration import carry_rows
from spacetimedb_sdk.testing.storage import Storage


def with_type(make):
    """A module whose only table has a column of the type that `make` makes in it."""
    module = Module("shapes")
    kind = make(module)

    @module.table(public=True)
    class Thing:
        id: PrimaryKey[AutoInc[u32]]
        value: kind

    return module


def carried(old, new, value):
    """What becomes of a row with this value."""
    before, after = Storage(with_type(old).schema), Storage(with_type(new).schema)
    with before.transaction():
        table = before.tables["thing"]
        table.insert(table.make({"value": value(table.row_class) if callable(value) else value}))
    carry_rows(before, after)
    assert after.tables["thing"].rows.keys() == before.tables["thing"].rows.keys()
    with after.transaction():
        (row,) = after.tables["thing"].filter({})
        return row.value


def plain(kind):
    return lambda _: kind


def colours(*names):
    """An enum; each call makes a class of its own."""
    return lambda module: module.type(enum.Enum("Colour", {name: at for at, name in enumerate(names)}))


def point(**columns):
    def make(module):
        return module.type(type("Point", (), {"__annotations__": columns}))

    return make


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "text"),
        (i32 | None, None),
        (list[list[i64]], [[1], []]),
        (bytes, b"123"),
        (Identity, Identity.from_int(7)),
        (Timestamp, Timestamp(8)),
    ],
)
def test_types_that_stay(kind, value):
    assert carried(plain(kind), plain(kind), value) == value


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (plain(str), plain(bytes), "text"),
        (plain(i32), plain(u32), 1),
        (plain(i32), plain(i32 | None), 1),
        (plain(list[i32]), plain(list[i64]), []),
        (plain(Timestamp), plain(i64), Timestamp(8)),
    ],
)
def test_types_that_do_not(old, new, value):
    with pytest.raises(ValueError, match="table `thing` has rows, and has other columns in the new module"):
        carried(old, new, value)


def variant(storage_class):
    """The first member of the enum that a column holds."""
    kind = storage_class.__annotations__["value"]
    return next(iter(kind))


def test_variants_may_be_added_at_the_end():
    assert carried(colours("Red", "Green"), colours("Red", "Green", "Blue"), variant).name == "Red"
    for names in (("Green", "Red"), ("Red",), ("Blue", "Red", "Green")):
        with pytest.raises(ValueError, match="other columns"):
            carried(colours("Red", "Green"), colours(*names), variant)


def origin(storage_class):
    kind = storage_class.__annotations__["value"]
    return kind(**dict.fromkeys(kind.__annotations__, 0))


def test_products_stay_or_do_not():
    old = point(x=i32, y=i32)
    assert carried(old, point(x=i32, y=i32), origin).x == 0
    for columns in ({"x": i32}, {"x": i32, "y": i64}, {"y": i32, "x": i32}, {"x": i32, "y": i32, "z": i32}):
        with pytest.raises(ValueError, match="other columns"):
            carried(old, point(**columns), origin)


def tree(leaf):
    """A type that contains itself."""

    def make(module):
        cls = type("Tree", (), {"__annotations__": {"leaf": leaf, "branches": "list[Tree]"}})
        cls.__module__ = __name__
        return module.type(cls)

    return make


def sapling(storage_class):
    kind = storage_class.__annotations__["value"]
    return kind(leaf=1, branches=[kind(leaf=2, branches=[])])


def test_types_that_contain_themselves():
    assert carried(tree(u8), tree(u8), sapling).branches[0].leaf == 2
    with pytest.raises(ValueError, match="other columns"):
        carried(tree(u8), tree(i32), sapling)


def test_tables_without_rows_may_go_or_change():
    old, new = Storage(with_type(plain(str)).schema), Storage(Module("shapes").schema)
    carry_rows(old, new)
    carry_rows(old, Storage(with_type(plain(i32)).schema))


# --- added columns ----------------------------------------------------------------------------------------------------


def items(**defaults):
    """A table of three columns, and more with these defaults."""
    module = Module("items")
    annotations = {"id": PrimaryKey[AutoInc[u32]], "name": str, **{name: kind for name, (kind, *_) in defaults.items()}}
    values = {name: rest[0] for name, (_, *rest) in defaults.items() if rest}
    module.table(name="item", public=True)(type("Item", (), {"__annotations__": annotations, **values}))
    return module


def with_names(module, *names):
    """A storage with rows of these names."""
    storage = Storage(module.schema)
    with storage.transaction():
        for name in names:
            storage.tables["item"].insert(storage.tables["item"].make({"name": name}))
    return storage


def test_new_columns_at_the_end_are_filled_in():
    newer = items(
        shelf=(u8, 7),
        note=(str | None, None),
        words=(list[str], attrs.field(factory=lambda: ["new"])),
    )
    storage = Storage(newer.schema)
    carry_rows(with_names(items(), "a", "b"), storage)
    with storage.transaction():
        table = storage.tables["item"]
        assert [(row.id, row.name, row.shelf, row.note, row.words) for row in table.filter({})] == [
            (1, "a", 7, None, ["new"]),
            (2, "b", 7, None, ["new"]),
        ]
        assert table.insert(table.make({"name": "c"})).id == 3, "and are defaults of the constructor too"
        assert table.find(0, 2).name == "b"


def test_new_columns_without_a_default():
    storage = with_names(items(), "a")
    with pytest.raises(ValueError, match="table `item` has rows, and no default for its new column `shelf`"):
        carry_rows(storage, Storage(items(shelf=(u8,)).schema))
    carry_rows(with_names(items()), Storage(items(shelf=(u8,)).schema))


def test_new_columns_elsewhere():
    with pytest.raises(ValueError, match="has other columns"):
        carry_rows(with_names(items(shelf=(u8, 1)), "a"), Storage(items(place=(i32, 1), shelf=(u8, 1)).schema))
    with pytest.raises(ValueError, match="has other columns"):
        carry_rows(with_names(items(shelf=(u8, 1)), "a"), Storage(items().schema))


def test_defaults_in_the_schema():
    columns = items(shelf=(u8, 7), code=(Unique[str], "x")).schema.tables["item"].columns
    assert [column.default for column in columns] == [None, None, b"\7", None], "unique columns have none"


@pytest.mark.parametrize(
    ("default", "text"),
    [
        ((u8, 256), r"item\.shelf: its default is no value of its type"),
        (
            (u8, attrs.field(default=attrs.Factory(len, takes_self=True))),
            "its default depends on the row",
        ),
    ],
)
def test_defaults_that_are_none(default, text):
    with pytest.raises(TypeError, match=text):
        assert items(shelf=default).schema
