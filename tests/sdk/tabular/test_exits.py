"""Columns where users ask for them: tables and queries of every host, SQL over HTTP, polars and pandas."""

from __future__ import annotations

import sys

import pytest

from spacetimedb_sdk import BlockingHttpClient, LocalProtocolError, Rows, blocking, connect, frame
from spacetimedb_sdk.testing import Module, PrimaryKey, serve, u64
from tests.schemas import schema
from tests.sdk.codegen.support import imported

from .reading import rows_of

pytestmark = pytest.mark.anyio

SHOP = Module("shop")


@SHOP.table(public=True)
class Item:
    id: PrimaryKey[u64]
    name: str
    price: float | None


@SHOP.table(public=True)
class Sale:
    id: PrimaryKey[u64]
    item: u64


@SHOP.reducer
def sell(ctx, item: u64):
    ctx.db.sale.insert(Sale(id=len(list(ctx.db.sale)) + 2**63, item=item))


@SHOP.init
def fill(ctx):
    ctx.db.item.insert(Item(id=2**64 - 1, name="tea", price=None))
    ctx.db.item.insert(Item(id=7, name="café", price=1.5))
    for number in range(3):
        ctx.db.sale.insert(Sale(id=number, item=7))


@pytest.fixture
def server():
    with serve(SHOP) as server:
        yield server


ITEMS = [{"id": 7, "name": "café", "price": 1.5}, {"id": 2**64 - 1, "name": "tea", "price": None}]


def by_id(table):
    return sorted(table.to_pylist(), key=lambda row: row["id"])


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return imported(tmp_path_factory.mktemp("generated"), "generated_shop", SHOP.schema)


@pytest.mark.parametrize("is_generated", [False, True])
async def test_tables_and_queries(server, is_generated, package):
    options = {"bindings": package} if is_generated else {}
    async with connect(server.uri, server.database, **options) as conn:
        assert conn.db.item.to_arrow().num_rows == 0
        await conn.subscribe("SELECT * FROM item", "SELECT * FROM sale")
        assert by_id(conn.db.item.to_arrow()) == ITEMS
        assert conn.db.sale.to_arrow()["id"].to_pylist() == [row.id for row in conn.db.sale]
        await conn.reducers.sell(9)
        assert conn.db.sale.to_arrow().to_pylist() == [{"id": row.id, "item": row.item} for row in conn.db.sale]
        found = await conn.query("SELECT * FROM item WHERE id = 7")
        assert type(found) is Rows
        assert (found.to_arrow().to_pylist(), len(found)) == (ITEMS[:1], 1)
        assert by_id(conn.db.item.to_polars().to_arrow()) == ITEMS
        assert conn.db.item.to_polars()["id"].to_list() == [row.id for row in conn.db.item]
        frame = conn.db.item.to_pandas()
        assert {str(each) for each in frame.dtypes} == {"uint64[pyarrow]", "string[pyarrow]", "double[pyarrow]"}
        assert sorted(int(each) for each in frame["id"]) == [7, 2**64 - 1]
        assert rows_of(conn.db.item.to_arrow(), conn.schema.types.node(conn.schema.table("item").row)) == list(
            conn.db.item
        )


def test_blocking(server):
    with blocking.connect(server.uri, server.database) as conn:
        conn.subscribe("SELECT * FROM item")
        assert by_id(conn.db.item.to_arrow()) == ITEMS
        assert by_id(conn.query("SELECT * FROM item").to_arrow()) == ITEMS


def test_a_frame_loop(server):
    with frame.connect(server.uri, server.database) as conn:
        conn.on_connect(lambda conn: conn.subscribe("SELECT * FROM item"))
        while not (conn.identity and len(conn.db.item)):
            conn.frame_tick(budget=0.01)
        assert by_id(conn.db.item.to_arrow()) == ITEMS


def test_sql_over_http(server):
    with BlockingHttpClient(server.uri, server.database, token=server.owner_token) as client:
        result = client.sql("SELECT * FROM item")
        assert by_id(result.to_arrow()) == ITEMS
        assert client.sql("SELECT name FROM item WHERE id = 7").to_arrow().to_pylist() == [{"name": "café"}]
        assert client.sql("SELECT COUNT(*) AS n FROM item").to_polars()["n"].to_list() == [2]


async def test_rows_that_are_not_kept(server):
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe("SELECT * FROM item", cache="none")
        with pytest.raises(
            LocalProtocolError, match=r"^item\.to_polars\(\): expected a live subscription with cache='full'"
        ):
            conn.db.item.to_polars()


def test_rows_of_nothing():
    with pytest.raises(LocalProtocolError, match=r"^rows\.to_arrow\(\): expected rows of one table"):
        Rows([1, 2]).to_arrow()


@pytest.mark.parametrize(
    ("module", "method", "extra"),
    [
        ("pyarrow", "to_arrow", "arrow"),
        ("numpy", "to_arrow", "arrow"),
        ("polars", "to_polars", "polars"),
        ("pandas", "to_pandas", "pandas"),
    ],
)
def test_what_is_not_installed(module, method, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    node = schema("sdk-test").types.node(schema("sdk-test").tables["one_u_8"].row)
    with pytest.raises(LocalProtocolError) as caught:
        getattr(Rows([], node), method)()
    assert f"{method}() needs {module}" in str(caught.value)
    assert f"pip install 'spacetimedb-sdk[{extra}]'" in str(caught.value)


def test_every_type_is_taken_by_polars_and_pandas():
    definition = schema("sdk-test")
    for table in definition.tables.values():
        rows = Rows([], definition.types.node(table.row))
        assert list(rows.to_polars().columns) == [column.name for column in table.columns]
        assert list(rows.to_pandas().columns) == [column.name for column in table.columns]
