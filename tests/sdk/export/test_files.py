"""Files that are written as a whole."""

from __future__ import annotations

import csv
import json
import math
import os
import sqlite3

import pyarrow.parquet
import pytest

from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk import DecodeError, Identity, LocalProtocolError, Rows
from spacetimedb_sdk.export import (
    Exported,
    export,
    write_csv,
    write_json_lines,
    write_parquet,
    write_sqlite,
)
from spacetimedb_sdk.sql import select
from spacetimedb_sdk.tabular import Held, Tabular
from spacetimedb_sdk.testing import Module, PrimaryKey, u64

from .support import THINGS, thing

NODE = THINGS.schema.types.node(THINGS.schema.table("thing").row)
CODEC = THINGS.schema.row_codec("thing")
OBJECTS = [
    CODEC.decode_exact(CODEC.encode(row))
    for row in (
        thing(2**64 - 1, 'say "hi",\nyou', score=math.nan, wide=0, note=""),
        thing(7, "", score=-0.5, tags=[], is_open=False),
    )
]
ROWS = Rows(OBJECTS, NODE)


class Bytes(Tabular):
    """Rows that are held as bytes."""

    def __init__(self, *lists):
        self.lists = [RowList.of(rows) for rows in lists]

    def held(self, what):
        return Held(NODE, lists=self.lists, codec=CODEC)


def test_parquet(tmp_path):
    assert write_parquet(ROWS, tmp_path / "t.parquet") == 2
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert table.schema == ROWS.to_arrow().schema
    assert table.drop_columns("score").to_pylist() == ROWS.to_arrow().drop_columns("score").to_pylist()


def test_json_lines(tmp_path):
    write_json_lines(ROWS, tmp_path / "t.jsonl")
    first, second = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    assert (first["id"], first["wide"], first["score"], first["note"]) == (2**64 - 1, "0", "NaN", "")
    assert (second["wide"], second["note"], second["tags"]) == (str(2**128 - 1), None, [])
    assert second["owner"] == Identity.from_int(7).hex()
    assert second["at"] == "2023-11-14T22:13:20.000001+00:00"


def test_csv(tmp_path):
    write_csv(ROWS, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["name"], first["score"]) == (str(2**64 - 1), 'say "hi",\nyou', "NaN")
    assert (second["is_open"], second["data"], second["tags"]) == ("false", "00ff", "[]")
    last = (tmp_path / "t.csv").read_text("utf-8").splitlines()[-1]
    assert last.startswith('7,"",340282366920938463463374607431768211455,-0.5,"[]",,"')


def test_csv_tells_what_is_absent_from_what_is_empty(tmp_path):
    module = Module("files")

    @module.table(public=True)
    class File:
        id: PrimaryKey[u64]
        data: bytes | None
        name: str | None

    codec = module.schema.row_codec("file")
    made = [
        codec.decode_exact(codec.encode(each)) for each in (File(1, b"", ""), File(2, None, None), File(3, b"0", "0"))
    ]
    write_csv(Rows(made, module.schema.types.node(module.schema.table("file").row)), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text("utf-8").splitlines()[1:] == ['1,"",""', "2,,", '3,"30","0"']


def test_sqlite(tmp_path):
    assert write_sqlite({"thing": ROWS, "other": Rows([], NODE)}, tmp_path / "t.db") == 2
    with sqlite3.connect(tmp_path / "t.db") as database:
        assert database.execute("SELECT COUNT(*) FROM other").fetchone() == (0,)
        found = database.execute(
            "SELECT id, typeof(id), wide, score, tags, note, at, is_open, data FROM thing"
        ).fetchall()
    database.close()
    at = 1_700_000_000_000_001
    assert found == [
        (str(2**64 - 1), "text", "0", "NaN", '["a","b\\""]', "", at, 1, b"\x00\xff"),
        (7, "integer", str(2**128 - 1), -0.5, "[]", None, at, 0, b"\x00\xff"),
    ]


def test_names_that_sqlite_cannot_tell_apart(tmp_path):
    with pytest.raises(LocalProtocolError, match="differ in more than case, got a, A$"):
        write_sqlite({"a": ROWS, "A": ROWS}, tmp_path / "t.db")


@pytest.mark.parametrize("end", ["parquet", "csv", "jsonl", "ndjson", "sqlite", "db"])
def test_the_name_says_the_format(end, tmp_path):
    told = []
    rows = Bytes(*([CODEC.encode(row) for row in OBJECTS] for _ in range(3)))
    assert export(rows, tmp_path / f"thing.{end}", on_progress=told.append) == 6
    assert told == [Exported("thing", done, 6) for done in (2, 4, 6)]
    assert os.listdir(tmp_path) == [f"thing.{end}"]


def test_other_names(tmp_path):
    with pytest.raises(LocalProtocolError, match=r"expected a name that ends in \.parquet, .*, got 'thing\.xls'$"):
        export(ROWS, tmp_path / "thing.xls")


WRITERS = {
    "export": lambda rows, path: export(rows, path.with_suffix(".csv")),
    "write_csv": write_csv,
    "write_json_lines": write_json_lines,
    "write_parquet": write_parquet,
    "write_sqlite": lambda rows, path: write_sqlite({"thing": rows}, path),
}
NO_ROWS = [
    (OBJECTS, "list: it does not say what its rows are"),
    (OBJECTS[0], "Thing"),
    ("SELECT * FROM thing", "str: SQL is run before, with query() or sql()"),
    (select("thing"), "Query: SQL is run before, with query() or sql()"),
    ({"thing": ROWS}, "dict: several tables are for write_sqlite()"),
    (None, "NoneType"),
    (3, "int"),
]


@pytest.mark.parametrize(("given", "got"), NO_ROWS, ids=[got for _, got in NO_ROWS])
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_no_table(name, given, got, tmp_path):
    with pytest.raises(TypeError) as caught:
        WRITERS[name](given, tmp_path / "thing.db")
    assert str(caught.value) == f"{name}(): expected a table of a connection, or the rows of a query, got {got}"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "got"), [(ROWS, "Rows"), (OBJECTS, "list"), ("thing", "str"), ([("thing", ROWS)], "list")]
)
def test_sqlite_takes_tables_by_name(given, got, tmp_path):
    expected = f'^write_sqlite\\(\\): expected tables by name, as {{"sale": conn.db.sale}}, got {got}$'
    with pytest.raises(TypeError, match=expected):
        write_sqlite(given, tmp_path / "thing.db")
    with pytest.raises(TypeError, match="^write_sqlite\\(\\): expected names of tables as str, got int$"):
        write_sqlite({1: ROWS}, tmp_path / "thing.db")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("end", ["parquet", "csv", "jsonl", "db"])
def test_what_fails_leaves_what_was_there(end, tmp_path):
    (tmp_path / f"t.{end}").write_text("before")
    good = [CODEC.encode(row) for row in OBJECTS]
    with pytest.raises(DecodeError):
        export(Bytes(good, [good[0][:-1]]), tmp_path / f"t.{end}")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"t.{end}", "before")]


@pytest.mark.skipif(os.name != "posix", reason="permissions are of another kind")
def test_permissions_are_those_of_any_file(tmp_path):
    (tmp_path / "other").touch()
    export(ROWS, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("end", ["parquet", "csv", "jsonl", "db"])
def test_an_error_is_about_what_was_named(end, tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder does not exist") as caught:
        export(ROWS, tmp_path / "nowhere" / f"t.{end}")
    assert caught.value.filename == str(tmp_path / "nowhere")


@pytest.mark.skipif(os.name != "posix", reason="such names are allowed elsewhere, or refused otherwise")
def test_a_name_that_is_too_long(tmp_path):
    path = tmp_path / ("t" * 300 + ".csv")
    with pytest.raises(OSError, match="too long") as caught:
        export(ROWS, path)
    assert caught.value.filename == str(path)
