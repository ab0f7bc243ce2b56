"""`conn.memory_report()`."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def test_a_report_of_rows_and_of_what_looking_at_them_costs(client):
    conn = await client()
    assert (conn.memory_report().rows, conn.memory_report().tables) == (0, ())
    await conn.reducers.add_pairs(1, 10)
    await conn.subscribe("SELECT * FROM pair", "SELECT * FROM no_key")
    (fresh,) = [table for table in conn.memory_report().tables if table.name == "pair"]
    assert (fresh.rows, fresh.objects, fresh.indexes) == (10, 0, {})
    row_bytes = sum(4 + 4 + len(pair.key) + 4 + 4 for pair in conn.db.pair)
    assert fresh.row_bytes == row_bytes
    assert conn.db.pair.find(key="k3").id == 3
    (looked,) = [table for table in conn.memory_report().tables if table.name == "pair"]
    assert (looked.rows, looked.row_bytes, looked.objects, looked.is_uncut) == (10, row_bytes, 1, False)
    assert looked.indexes == {"key": 10}
    report = conn.memory_report()
    assert report.backlog_bytes == 0
    assert "pair" in str(report)


async def test_what_is_not_kept_is_not_in_it(client, protocol):
    if protocol.startswith("v1"):
        pytest.skip("v1 does not say which rows are a subscription's")
    conn = await client()
    await conn.reducers.add_pairs(1, 10)
    await conn.subscribe("SELECT * FROM pair", cache="none")
    assert conn.memory_report().row_bytes == 0
    await conn.subscribe("SELECT * FROM pair", cache="keys")
    (table,) = conn.memory_report().tables
    assert (table.rows, table.row_bytes, table.keys) == (0, 0, 10)
