"""Generated bindings and a server whose module is another one by now."""

import enum
import itertools
import logging
import pickle
import sys

import attrs
import pytest

from spacetimedb_sdk import DecodeError, SchemaMismatch, connect
from spacetimedb_sdk.testing import Module, PrimaryKey, ReducerContext, serve, u8, u32
from tests.sdk.codegen.support import imported

pytestmark = pytest.mark.anyio
numbers = itertools.count()


def game(*, more=False, columns=(), colours=("Red", "Green"), shapes=(), without=()):
    """A module, as it was or with something more or less."""
    module = Module("game")
    colour = module.type(enum.Enum("Colour", {name: tag for tag, name in enumerate(colours)}))
    shape = module.sum(
        type("Shape", (), {"__annotations__": {"Dot": None, "Circle": u32, **dict.fromkeys(shapes, str)}})
    )
    names = {"id": PrimaryKey[u32], "colour": colour, "shape": shape, "level": u8, **dict.fromkeys(columns, u32)}
    kept = {name: type_ for name, type_ in names.items() if name not in without}
    module.table(public=True)(type("piece", (), {"__annotations__": kept}))

    if "put" not in without:

        @module.reducer
        def put(ctx: ReducerContext, id: u32, colour: colour, shape: shape) -> None:  # noqa: A002
            ctx.db.piece.insert(**dict(zip(kept, (id, colour, shape, 3, *range(10)), strict=False)))

    if more:

        @module.table(public=True)
        class score:  # noqa: N801 - the table's name
            id: PrimaryKey[u32]

    return module


@pytest.fixture
def package(tmp_path):
    name = f"game_{next(numbers)}"
    yield imported(tmp_path, name, game().schema)
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


async def test_the_same_module_is_nothing_to_speak_of(package, caplog):
    with serve(game()) as server, caplog.at_level(logging.WARNING):
        async with connect(server.uri, server.database, bindings=package) as conn:
            assert conn.types.piece is package.piece
    assert caplog.text == ""


async def test_what_was_added_is_tolerated_and_said_once(package, caplog):
    with serve(game(more=True, columns=("x", "y"), colours=("Red", "Green", "Blue"))) as server:
        for _ in range(2):
            async with package.connect(server.uri, server.database) as conn:
                await conn.subscribe_to_all_tables()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    for line in ("table score added", "column piece.x added: U32, at the end", "variant Colour.Blue added"):
        assert line in said[0]
    assert f"spacetimedb-sdk generate --uri {server.uri} --database game --out " in said[0]


async def test_a_row_with_more_columns_is_still_a_row(package):
    with serve(game(columns=("x", "y"))) as server:
        async with package.connect(server.uri, server.database) as conn:
            await conn.subscribe("SELECT * FROM piece")
            await conn.reducers.put(1, package.Colour.Green, package.Shape.Circle(5))
            row = conn.db.piece.find(id=1)
            assert isinstance(row, package.piece)
            assert (row.colour, row.shape, row.level) == (package.Colour.Green, package.Shape.Circle(5), 3)
            assert (row.x, row.y) == (0, 1)
            assert attrs.evolve(row, level=4).x == 0


@pytest.mark.parametrize(
    ("change", "value", "title"),
    [
        ({"colours": ("Red", "Green", "Blue")}, lambda types: ("Blue", types.Shape.Dot()), "Colour has 2 variants"),
        ({"shapes": ("Text",)}, lambda types: ("Red", types.Shape.Text("new")), "Shape has 2 variants"),
    ],
)
async def test_a_value_of_a_new_variant_names_the_type(package, change, value, title):
    with serve(game(**change)) as server:
        async with (
            connect(server.uri, server.database) as dynamic,
            package.connect(server.uri, server.database) as conn,
        ):
            errors, seen = [], []
            conn.on_error(lambda error, where: errors.append((error, where)))
            conn.db.piece.on_insert(lambda ctx, row: seen.append(row.id))
            await conn.subscribe("SELECT * FROM piece")
            await dynamic.reducers.put(1, *value(dynamic.types))
            await dynamic.reducers.put(2, "Red", dynamic.types.Shape.Circle(1))
            await conn.reducers.put(3, package.Colour.Red, package.Shape.Dot())
            assert seen == [2, 3], "other rows are told"
            ((error, where),) = errors
            assert isinstance(error, DecodeError)
            assert where == "a row of piece"
            assert f"tag 2, but {title}; the bindings are older than the server's module" in str(error)
            assert conn.db.piece.find(id=2).id == 2
            assert sorted(conn.db.piece.keys()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"without": ("level",)}, ["column piece.level removed, was U8"]),
        ({"without": ("put",)}, ["reducer put removed"]),
        ({"colours": ("Green", "Red")}, ["order of variants Colour changed"]),
        ({"without": ("level", "put")}, ["column piece.level removed, was U8", "reducer put removed"]),
    ],
)
async def test_what_is_gone_is_listed_with_the_cure(package, change, lines):
    with serve(game(**change)) as server:
        with pytest.raises(SchemaMismatch) as caught:
            await package.connect(server.uri, server.database)
        async with connect(server.uri, server.database) as conn:
            assert conn.db.piece.count() == 0, "without bindings all is well"
    for line in lines:
        assert line in str(caught.value)
    assert f"spacetimedb-sdk generate --uri {server.uri} --database game --out " in str(caught.value)
    assert str(package.__path__[0]) in str(caught.value)


async def test_what_is_no_package():
    with pytest.raises(TypeError, match="expected a package written by `spacetimedb-sdk generate`, got <module 'enum'"):
        await connect("http://127.0.0.1:1", "game", bindings=enum)


def test_how_it_drifted_can_be_asked(package):
    assert str(package.BINDINGS.drift(game().schema)) == "no differences"
    assert package.BINDINGS.drift(game(more=True).schema).fits_bindings


def test_values_can_be_pickled(package):
    for value in (
        package.Colour.Red,
        package.Shape.Circle(1),
        package.piece(1, package.Colour.Red, package.Shape.Dot(), 2),
    ):
        assert pickle.loads(pickle.dumps(value)) == value
