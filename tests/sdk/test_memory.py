"""The memory report as people read it."""

from __future__ import annotations

import attrs
import pytest

from spacetimedb_sdk import MemoryReport, TableMemory

PAIR = TableMemory("pair", 1_234_567, 9_876_536, 87_654_321, 12, {"id": 1_234_567, "group+value": 7}, 3, 0, False)
USER = TableMemory("user", 5, 400, 450, 0, {}, 0, 40_000, True)


def test_it_is_a_table():
    assert str(MemoryReport((PAIR, USER), 2048)).splitlines() == [
        "table       rows  row bytes    overhead  objects  held    keys  indexes",
        "pair   1,234,567  9,876,536  87,654,321       12     3       0  id: 1,234,567, group+value: 7",
        "user           5        400         450        0     0  40,000  not cut apart yet",
        "all    1,234,572  9,876,936  87,654,771       12     3  40,000",
        "waiting to be applied: 2,048 bytes",
    ]


def test_sums():
    report = MemoryReport((PAIR, USER), 2048)
    assert (report.rows, report.row_bytes, report.overhead_bytes) == (1_234_572, 9_876_936, 87_654_771)
    assert report.total_bytes == 9_876_936 + 87_654_771 + 2048
    assert MemoryReport((), 0).total_bytes == 0


def test_nothing_of_it_can_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        MemoryReport((), 0).backlog_bytes = 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        PAIR.rows = 1
