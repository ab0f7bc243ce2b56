"""Feeds: every transaction once, whatever happens in between."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from spacetimedb_sdk import DecodeError, LocalProtocolError, blocking, connect
from spacetimedb_sdk.export import JsonLinesFeed, SqliteFeed
from spacetimedb_sdk.testing import serve

from .support import THINGS, replayed

pytestmark = pytest.mark.anyio

QUERIES = ("SELECT * FROM thing", "SELECT * FROM note")


def entries_of(path):
    """The transactions of a feed that nobody has open."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with closing(sqlite3.connect(path)) as database:
        found = [
            {"position": position, "event": event, "details": json.loads(details), "changes": []}
            for position, event, details in database.execute("SELECT * FROM transactions ORDER BY position")
        ]
        for position, table, kind, old, new in database.execute(
            "SELECT position, table_name, change, old, new FROM changes ORDER BY position, number"
        ):
            rows = {name: json.loads(row) for name, row in (("old", old), ("new", new)) if row is not None}
            found[position - 1]["changes"].append({"table": table, "change": kind, **rows})
        held = {(table, json.dumps(json.loads(row))) for table, row in database.execute("SELECT * FROM held")}
    assert held == replayed(found)
    return found


def rows_of(db):
    return {("thing", row.id, row.name) for row in db.thing} | {("note", row.text) for row in db.note}


def held_by(path):
    found = ((table, json.loads(row)) for table, row in replayed(entries_of(path)))
    return {(t, row["id"], row["name"]) if t == "thing" else (t, row["text"]) for t, row in found}


def kinds(entry):
    return sorted(change["change"] for change in entry["changes"])


KINDS = [(SqliteFeed, "feed.db"), (JsonLinesFeed, "feed.jsonl")]


@pytest.fixture
def server():
    with serve(THINGS) as server:
        yield server


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_a_feed_goes_on_after_a_restart(kind, name, server, tmp_path):
    path = tmp_path / name
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        await conn.reducers.put(1, "one")
        await conn.reducers.put(2**64 - 1, "last")
        with kind(path) as feed:
            assert feed.position == 0
            stream = feed.follow(conn)
            assert feed.position == 1
            await conn.reducers.put(1, "uno")
            await conn.reducers.jot("hello")
            await conn.reducers.drop(2**64 - 1)
            for _ in range(3):
                feed.write(await anext(stream))
            assert feed.position == 4
        assert held_by(path) == rows_of(conn.db)
        await conn.reducers.put(1, "ein")
        await conn.reducers.put(2, "zwei")
        await conn.reducers.put(2, "deux")
        await conn.reducers.jot("again")
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        with kind(path) as feed:
            assert feed.position == 4
            feed.follow(conn)
            assert feed.position == 5
        with kind(path) as feed:
            feed.follow(conn)
            assert feed.position == 5
        assert held_by(path) == rows_of(conn.db)
    entries = entries_of(path)
    assert [(entry["event"], kinds(entry)) for entry in entries] == [
        ("caught_up", ["insert", "insert"]),
        ("reducer", ["update"]),
        ("reducer", ["insert"]),
        ("reducer", ["delete"]),
        ("caught_up", ["insert", "insert", "update"]),
    ]
    assert entries[1]["details"]["reducer"] == "put"
    update = next(change for change in entries[4]["changes"] if change["change"] == "update")
    assert (update["old"]["name"], update["new"]["name"]) == ("uno", "ein")


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_a_feed_of_some_tables(kind, name, server, tmp_path):
    with blocking.connect(server.uri, server.database) as conn, kind(tmp_path / name) as feed:
        conn.subscribe(*QUERIES)
        with pytest.raises(LocalProtocolError, match="call follow"):
            feed.write(None)
        stream = feed.follow(conn, ["note"])
        conn.reducers.put(1, "one")
        conn.reducers.jot("x")
        for _ in range(2):
            feed.write(stream.get())
        assert feed.position == 1
    assert held_by(tmp_path / name) == {("note", "x")}


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_what_the_feed_has_already_is_not_written_again(kind, name, server, tmp_path):
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        early = conn.transactions()
        await conn.reducers.put(1, "one")
        with kind(tmp_path / name) as feed:
            feed.follow(conn)
            feed.write(await anext(early))
            assert feed.position == 1


# --- crashes ----------------------------------------------------------------------------------------------------------


async def test_lines_that_are_cut_anywhere(server, tmp_path):
    """Whatever part of the file a crash leaves: the transactions that are whole are there, and the feed goes on."""
    path = tmp_path / "feed.jsonl"
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        with JsonLinesFeed(path) as feed:
            stream = feed.follow(conn)
            for call in (conn.reducers.put(5, "fünf"), conn.reducers.jot("a\nb"), conn.reducers.drop(5)):
                await call
                feed.write(await anext(stream))
        whole = path.read_bytes()
        for cut in range(len(whole) + 1):
            path.write_bytes(whole[:cut])
            with JsonLinesFeed(path, sync=False) as feed:
                assert feed.position == whole[:cut].count(b"\n")
                assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]
                if cut % 7 == 0:
                    feed.follow(conn)
                    assert held_by(path) == rows_of(conn.db)


async def test_a_database_that_is_cut_at_every_statement(server, tmp_path):
    """A copy of the files as they are before each statement is what a crash there leaves."""
    path = tmp_path / "feed.db"
    copies = []

    def copy(_statement):
        folder = tmp_path / f"copy{len(copies)}"
        folder.mkdir()
        for part in tmp_path.glob("feed.db*"):
            shutil.copy(part, folder)
        copies.append((folder / "feed.db", feed.position))

    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        await conn.reducers.put(1, "one")
        with SqliteFeed(path) as feed:
            feed._database.set_trace_callback(copy)
            stream = feed.follow(conn)
            for call in (conn.reducers.put(5, "five"), conn.reducers.jot("x"), conn.reducers.put(5, "cinq")):
                await call
                feed.write(await anext(stream))
            feed._database.set_trace_callback(None)
        assert len(copies) > 20
        for copied, position in copies:
            assert len(entries_of(copied)) == position
            with SqliteFeed(copied) as feed:
                assert feed.position == position
                feed.follow(conn)
            assert held_by(copied) == rows_of(conn.db)


class Full(io.FileIO):
    """A disk that is full after some bytes."""

    left = 10

    def write(self, data):
        if not self.left:
            raise OSError(28, "No space left on device")
        part = bytes(data)[: self.left]
        self.left -= len(part)
        return super().write(part)


async def test_a_write_that_fails_is_as_if_it_had_not_been_tried(server, tmp_path):
    path = tmp_path / "feed.jsonl"
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        with JsonLinesFeed(path) as feed:
            stream = feed.follow(conn)
            await conn.reducers.jot("x")
            transaction = await anext(stream)
            good, feed._file = feed._file, Full(path, "a+b")
            with pytest.raises(OSError, match="No space"):
                feed.write(transaction)
            feed._file.close()
            feed._file = good
            assert (feed.position, path.read_bytes()) == (0, b"")
            feed.write(transaction)
        assert held_by(path) == rows_of(conn.db)


async def test_a_database_that_refuses(server, tmp_path):
    async with connect(server.uri, server.database) as conn:
        await conn.subscribe(*QUERIES)
        with SqliteFeed(tmp_path / "feed.db") as feed:
            stream = feed.follow(conn)
            await conn.reducers.jot("x")
            transaction = await anext(stream)
            feed._database.execute("CREATE TRIGGER no BEFORE INSERT ON held BEGIN SELECT RAISE(ABORT, 'no'); END")
            with pytest.raises(sqlite3.IntegrityError):
                feed.write(transaction)
            assert feed.position == 0
            feed._database.execute("DROP TRIGGER no")
            feed.write(transaction)
        assert held_by(tmp_path / "feed.db") == rows_of(conn.db)


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"position":2,"changes":[]}', '{"position":1}'])
def test_a_file_that_is_no_feed(line, tmp_path):
    path = tmp_path / "feed.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(DecodeError, match=r"^feed\.jsonl: "):
        JsonLinesFeed(path)
    assert path.read_text() == f"{line}\n"


@pytest.mark.parametrize("text", ['{"name": "mine"}', "[1,2]", '{"position":7,"event":"transaction"'])
def test_a_file_whose_only_line_has_no_end_is_left_alone(text, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DecodeError, match="mine.json: expected to end with a line or the beginning of one"):
        JsonLinesFeed(path)
    assert path.read_text() == text
