"""SQLite: tables as they are, and a feed of changes.

What a column holds, and keeps exactly: integers are INTEGER where 64 signed bits hold them and TEXT in decimal else, so
a `u64` column has both if it has such values, and no type of its own, by which SQLite would make floats of them; wider
integers are TEXT always. Floats are REAL, but NaN, which SQLite would store as NULL, is the text `NaN`. Timestamps and
durations are INTEGER microseconds, strings, identities, UUIDs and names of variants are TEXT, bytes are BLOB, absent
options NULL. Everything nested is TEXT: JSON as `tabular/plain.py` writes it.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, cast

from spacetimedb_proto.bsatn.layout import (
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    OptionNode,
    ProductNode,
    ScalarNode,
    TextNode,
    UnitNode,
    plain,
)
from spacetimedb_proto.bsatn.values import TimeDuration, Timestamp
from spacetimedb_proto.errors import LocalProtocolError

from ..tabular import Tabular
from ..tabular.plain import as_json, as_plain
from ..tabular.shapes import column_names, product_of
from .feed import ChangeFeed, Entry, FeedChange
from .files import Exported, OnExported, beside, check_rows, parts_of

__all__ = ["SqliteFeed", "write_sqlite"]

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


def write_sqlite(
    tables: Mapping[str, Tabular], path: str | os.PathLike[str], *, on_progress: OnExported | None = None
) -> int:
    """Write rows to an SQLite database, which is made anew.

    Args:
        tables: The rows by the names that their tables get.
        path: The file. What is there is replaced at the end.
        on_progress: Told after some thousand rows each.

    Returns:
        How many rows were written.

    Raises:
        TypeError: These are no tables by name.
        LocalProtocolError: The rows are not kept, or two tables have one name for SQLite, which knows no case.
        DecodeError: A row is none of its table.
        OSError: The file cannot be written.
    """
    _check_tables(tables)
    if len({name.lower() for name in tables}) < len(tables):
        raise LocalProtocolError(
            f"write_sqlite(): expected names that differ in more than case, got {', '.join(tables)}"
        )
    done = 0
    with beside(path) as temporary, closing(sqlite3.connect(temporary, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")  # the file is renamed when it is whole
        database.execute("BEGIN")
        for name, rows in tables.items():
            done += _write_table(database, name, rows, on_progress)
        database.execute("COMMIT")
    return done


def _check_tables(tables: object) -> None:
    what = "write_sqlite()"
    if not isinstance(tables, Mapping):
        got = type(tables).__name__
        raise TypeError(f'{what}: expected tables by name, as {{"sale": conn.db.sale}}, got {got}')
    for name, rows in cast("Mapping[object, object]", tables).items():
        if not isinstance(name, str):
            raise TypeError(f"{what}: expected names of tables as str, got {type(name).__name__}")
        check_rows(rows, what)


def _write_table(database: sqlite3.Connection, name: str, rows: Tabular, on_progress: OnExported | None) -> int:
    held = rows.held(": write_sqlite()")
    product = product_of(held.row)
    fields = product.fields
    if not fields:
        raise LocalProtocolError(f"write_sqlite(): expected rows with columns, those of {name} have none")
    names = _without_case(column_names(fields))
    columns = [f"{_quoted(n)} {_declared(field.node)}".rstrip() for n, field in zip(names, fields, strict=True)]
    database.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(columns)})")
    insert = f"INSERT INTO {_quoted(name)} VALUES ({', '.join('?' * len(fields))})"
    total, done = held.count, 0
    for part in parts_of(held):
        database.executemany(insert, (_cells(product, row) for row in part))
        done += len(part)
        if on_progress is not None:
            on_progress(Exported(name, done, total))
    return done


def _cells(product: ProductNode, row: Any) -> list[Any]:
    return [_cell(field.node, getattr(row, field.name)) for field in product.fields]


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _without_case(names: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        free = name
        while free.lower() in found:
            free += "_"
        found[free.lower()] = free
    return list(found.values())


def _declared(node: Node) -> str:
    """The type that a column is declared with."""
    match plain(node):
        case OptionNode(payload=payload) as option if not option.wraps:
            return _declared(payload)
        case ScalarNode(kind="f32" | "f64"):
            return "REAL"
        case ScalarNode(kind="wide"):
            return "TEXT"
        case ScalarNode(high=high):
            return "" if high > _MOST else "INTEGER"
        case NewtypeNode(cls=cls) if cls in (Timestamp, TimeDuration):
            return "INTEGER"
        case UnitNode():
            return "INTEGER"
        case BytesNode():
            return "BLOB"
        case _:
            return "TEXT"


def _cell(node: Node, value: Any) -> Any:
    match plain(node):
        case OptionNode(payload=payload) as option if not option.wraps:
            return None if value is None else _cell(payload, value)
        case ScalarNode(kind="f32" | "f64"):
            return "NaN" if math.isnan(value) else value
        case ScalarNode(kind="bool") | UnitNode():
            return int(value == () or value)
        case ScalarNode():
            return value if _LEAST <= value <= _MOST else str(value)
        case NewtypeNode(cls=cls) if cls in (Timestamp, TimeDuration):
            return value.micros
        case BytesNode():
            return value
        case TextNode() | EnumNode() | NewtypeNode():
            return as_plain(node, value)
        case _:
            return None if value is None else as_json(node, value)


# --- the feed ---------------------------------------------------------------------------------------------------------

_LAYOUT: Final = """
CREATE TABLE IF NOT EXISTS transactions (position INTEGER PRIMARY KEY, event TEXT NOT NULL, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
    position INTEGER NOT NULL REFERENCES transactions, number INTEGER NOT NULL, table_name TEXT NOT NULL,
    change TEXT NOT NULL, old TEXT, new TEXT, PRIMARY KEY (position, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    table_name TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (table_name, row)) WITHOUT ROWID;
"""


class SqliteFeed(ChangeFeed):
    """A feed in an SQLite database: tables `transactions`, `changes` and `held`, the rows that the changes add up to.

    Each transaction of the feed is one of the database, which SQLite keeps whole whatever happens to the process or the
    machine. Rows are JSON, `old` and `new` as `change` (`insert`, `update`, `delete`) has them.

    Args:
        path: The database. It is made if there is none; other tables in it are left alone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_LAYOUT)
            (self._position,) = self._database.execute("SELECT COALESCE(MAX(position), 0) FROM transactions").fetchone()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _held_rows(self, table: str) -> set[str]:
        found = self._database.execute("SELECT row FROM held WHERE table_name = ?", (table,))
        return {row for (row,) in found}

    def _holds(self, table: str, row: str) -> bool:
        found = self._database.execute("SELECT 1 FROM held WHERE table_name = ? AND row = ?", (table, row))
        return found.fetchone() is not None

    def _append(self, entry: Entry) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._insert(entry)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _insert(self, entry: Entry) -> None:
        details = json.dumps(entry.details, ensure_ascii=False, separators=(",", ":"))
        self._database.execute("INSERT INTO transactions VALUES (?, ?, ?)", (entry.position, entry.event, details))
        rows = [
            (entry.position, number, change.table, change.kind, change.old, change.new)
            for number, change in enumerate(entry.changes)
        ]
        self._database.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._hold(entry.changes)

    def _hold(self, changes: Sequence[FeedChange]) -> None:
        held = [change for change in changes if not change.is_event]
        left = [(change.table, change.old) for change in held if change.old is not None]
        came = [(change.table, change.new) for change in held if change.new is not None]
        self._database.executemany("DELETE FROM held WHERE table_name = ? AND row = ?", left)
        self._database.executemany("INSERT OR IGNORE INTO held VALUES (?, ?)", came)
