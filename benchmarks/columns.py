"""What rows cost as columns: `python -m benchmarks --only columns`.

A million rows of one size, as a first snapshot brings them, to an Arrow table; beside that one copy of their bytes, and
making row objects of them.
"""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from spacetimedb_proto.bsatn.codec import Codec, Types
from spacetimedb_proto.bsatn.types import TIMESTAMP, AlgebraicType, Element, Primitive, Product, Ref
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk.tabular import Held
from spacetimedb_sdk.tabular.batches import arrow_table

from .report import machine
from .tables import markdown, shown

__all__ = ["ROWS", "TABLES", "columns_report", "columns_table", "measure_columns"]

ROWS: Final = 1_000_000

QUICK_ROWS: Final = 10_000

TABLES: Final[Mapping[str, tuple[AlgebraicType, ...]]] = {
    "u64, i32": (Primitive.U64, Primitive.I32),
    "u64, i64, f64, timestamp": (Primitive.U64, Primitive.I64, Primitive.F64, TIMESTAMP),
}
"""Columns of the rows."""


def _rows(columns: tuple[AlgebraicType, ...], count: int) -> tuple[Held, Codec, bytes]:
    elements = tuple(Element(f"c{number}", column) for number, column in enumerate(columns))
    types = Types((Product(elements),), {0: "Row"})
    codec = types.codec(Ref(0))
    size = codec.fixed_size
    assert size is not None
    data = b"".join(struct.pack("<Q", number) + bytes(size - 8) for number in range(count))
    return Held(types.node(Ref(0)), lists=[RowList(data, row_size=size)], codec=codec), codec, data


def _seconds(do: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    result = do()
    seconds = time.perf_counter() - start
    del result
    return seconds


def measure_columns(*, runs: int, rows: int, say: Callable[[str], object]) -> dict[str, tuple[float, float, float]]:
    """Measure all tables in turn, `runs` times after one that is not counted.

    Returns:
        Seconds of a copy of the bytes, of `to_arrow`, and of making the row objects: the least that were found.
    """
    found: dict[str, tuple[float, float, float]] = {}
    for name, columns in TABLES.items():
        say(f"columns of {name}")
        held, codec, data = _rows(columns, rows)
        make = codec.decode_block
        assert make is not None
        arrow_table(held)
        ways: list[Callable[[], object]] = [partial(bytearray, data), partial(arrow_table, held), partial(make, data)]
        turns = [[_seconds(way) for way in ways] for _ in range(runs)]
        copied, arrow, objects = (min(each) for each in zip(*turns, strict=True))
        found[name] = copied, arrow, objects
    return found


def columns_table(found: Mapping[str, tuple[float, float, float]]) -> str:
    """Milliseconds, and how they compare."""
    rows = [
        [
            name,
            shown(copied * 1e3),
            shown(arrow * 1e3),
            shown(objects * 1e3),
            f"{shown(arrow / copied)}x",
            f"{shown(objects / arrow)}x",
        ]
        for name, (copied, arrow, objects) in found.items()
    ]
    head = ["rows of", "one copy, ms", "to_arrow, ms", "row objects, ms", "to_arrow / copy", "objects / to_arrow"]
    return markdown(head, rows)


def columns_report(*, runs: int, quick: bool, say: Callable[[str], object]) -> str:
    """Everything, with what it needs to be understood."""
    count = QUICK_ROWS if quick else ROWS
    table = columns_table(measure_columns(runs=runs, rows=count, say=say))
    words = f"`to_arrow()` of {count:,} rows of one size that came as one snapshot; the least of {runs} runs."
    return "\n\n".join([machine(), words, table])
