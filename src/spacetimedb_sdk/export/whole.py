"""Rows of one table to one file: Parquet, CSV, JSON lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    OptionNode,
    ProductNode,
    ScalarNode,
    SumNode,
    TextNode,
    plain,
)
from spacetimedb_proto.errors import LocalProtocolError

from ..tabular import Held, Tabular
from ..tabular.exits import batches_for
from ..tabular.plain import as_json, as_plain
from ..tabular.shapes import column_names, product_of
from .database import write_sqlite
from .files import Exported, OnExported, beside, check_rows, parts_of

__all__ = ["FORMATS", "export", "write_csv", "write_json_lines", "write_parquet"]


def write_parquet(
    rows: Tabular, path: str | os.PathLike[str], *, on_progress: OnExported | None = None, compression: str = "zstd"
) -> int:
    """Write rows to a Parquet file, with the column types of `to_arrow`.

    Args:
        rows: A table of a connection, or the rows of a query.
        path: The file. What is there is replaced at the end.
        on_progress: Told after some thousand rows each.
        compression: As pyarrow names it.

    Returns:
        How many rows were written.

    Raises:
        TypeError: These are no rows of a known type, as those of a list.
        LocalProtocolError: pyarrow or numpy is not installed, or the rows are not kept.
        DecodeError: A row is none of this table.
        OSError: The file cannot be written.
    """
    check_rows(rows, "write_parquet()")
    batches = batches_for("write_parquet()")
    held = rows.held(": write_parquet()")
    parquet: Any = import_module("pyarrow.parquet")
    total, done = held.count, 0
    with (
        beside(path) as temporary,
        parquet.ParquetWriter(temporary, batches.arrow_schema(held), compression=compression) as out,
    ):
        for batch in batches.batches_of(held):
            out.write_batch(batch)
            done += batch.num_rows
            _tell(on_progress, path, done, total)
    return done


def write_json_lines(rows: Tabular, path: str | os.PathLike[str], *, on_progress: OnExported | None = None) -> int:
    """Write rows as JSON objects, one in a line, in UTF-8. Arguments and errors are those of `write_parquet`.

    Integers of up to 64 bits are numbers and exact for whoever reads them so; JavaScript does not.
    """
    check_rows(rows, "write_json_lines()")
    held = rows.held(": write_json_lines()")
    product = product_of(held.row)
    return _write_text(held, path, on_progress, lambda row: as_json(product, row), "")


def write_csv(rows: Tabular, path: str | os.PathLike[str], *, on_progress: OnExported | None = None) -> int:
    """Write rows as CSV in UTF-8, with a line of names. Arguments and errors are those of `write_parquet`.

    Texts and bytes are in quotes and absent values are empty, so the two can be told apart. Nested values are JSON.
    """
    check_rows(rows, "write_csv()")
    held = rows.held(": write_csv()")
    product = product_of(held.row)
    names = ",".join(map(_quoted, column_names(product.fields)))
    return _write_text(held, path, on_progress, lambda row: _csv_line(product, row), f"{names}\n")


def _write_text(
    held: Held,
    path: str | os.PathLike[str],
    on_progress: OnExported | None,
    line: Callable[[Any], str],
    head: str,
) -> int:
    total, done = held.count, 0
    with beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(head)
        for part in parts_of(held):
            _write_lines(out, part, line)
            done += len(part)
            _tell(on_progress, path, done, total)
    return done


def _write_lines(out: TextIO, part: list[Any], line: Callable[[Any], str]) -> None:
    out.writelines(f"{line(row)}\n" for row in part)


def _csv_line(product: ProductNode, row: Any) -> str:
    return ",".join(_csv_cell(field.node, getattr(row, field.name)) for field in product.fields)


def _csv_cell(node: Node, value: Any) -> str:
    match plain(node):
        case OptionNode(payload=payload) as option if not option.wraps:
            return "" if value is None else _csv_cell(payload, value)
        case ArrayNode() | ProductNode() | SumNode() | OptionNode():
            return "" if value is None else _quoted(as_json(node, value))
        case TextNode() | BytesNode() | EnumNode() | NewtypeNode():
            return _quoted(as_plain(node, value))
        case ScalarNode(kind="bool"):
            return "true" if value else "false"
        case _:
            return str(as_plain(node, value))


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _tell(on_progress: OnExported | None, path: str | os.PathLike[str], done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(Exported(Path(path).stem, done, total))


def _write_one_sqlite(rows: Tabular, path: str | os.PathLike[str], *, on_progress: OnExported | None = None) -> int:
    return write_sqlite({Path(path).stem: rows}, path, on_progress=on_progress)


FORMATS: Final[Mapping[str, Callable[..., int]]] = {
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".jsonl": write_json_lines,
    ".ndjson": write_json_lines,
    ".sqlite": _write_one_sqlite,
    ".db": _write_one_sqlite,
}
"""What writes files, by the ends of their names. In SQLite, the table is called as the file is."""


def export(rows: Tabular, path: str | os.PathLike[str], *, on_progress: OnExported | None = None) -> int:
    """Write rows to a file whose name says in what format. Otherwise as `write_parquet`.

    Raises:
        LocalProtocolError: The name ends in none of `FORMATS`, or as for `write_parquet`.
    """
    check_rows(rows, "export()")
    write = FORMATS.get(Path(path).suffix.lower())
    if write is None:
        raise LocalProtocolError(
            f"export(): expected a name that ends in {', '.join(FORMATS)}, got {Path(path).name!r}"
        )
    return write(rows, path, on_progress=on_progress)
