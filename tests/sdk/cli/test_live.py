"""What is seen of tables that change, without a terminal."""

from __future__ import annotations

import io

import attrs
import pytest
from rich.console import Console

from spacetimedb_sdk import Deleted, Identity, Inserted, Updated
from spacetimedb_sdk.cli.live import LIT_TIME, LiveTable, LiveView

GREEN, YELLOW, RED = "\x1b[1;32m", "\x1b[1;33m", "\x1b[9;31m"


@attrs.frozen
class Row:
    id: int
    name: str


def drawn(thing):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="standard", _environ={})
    console.print(thing)
    return console.file.getvalue().replace("\x1b[0m", "").replace("\x1b[2m", "")


@pytest.fixture
def table():
    return LiveTable("person", ["id", "name"], 0)


def test_the_first_rows_are_no_news(table):
    table.take([Inserted(Row(1, "Ada"))], 0.0, is_lit=False)
    table.fade(0.0)
    assert "Ada" in drawn(table.drawn(10))
    assert GREEN not in drawn(table.drawn(10))


def test_changes_are_lit_up_for_a_while(table):
    table.take([Inserted(Row(1, "Ada")), Inserted(Row(2, "Bob"))], 0.0)
    assert drawn(table.drawn(10)).count(GREEN) == 4
    table.fade(LIT_TIME)
    table.take([Updated(Row(1, "Ada"), Row(1, "Eve")), Deleted(Row(2, "Bob"))], LIT_TIME)
    seen = drawn(table.drawn(10))
    assert f"{YELLOW}Eve" in seen
    assert f"{RED}Bob" in seen
    assert "1 row" in seen
    table.fade(2 * LIT_TIME)
    seen = drawn(table.drawn(10))
    assert "Bob" not in seen
    assert YELLOW not in seen


def test_a_row_that_comes_back_while_it_is_struck_out(table):
    table.take([Inserted(Row(1, "Ada")), Deleted(Row(1, "Ada")), Inserted(Row(1, "Eve"))], 0.0)
    assert table.count == 1
    assert f"{GREEN}Eve" in drawn(table.drawn(10))


def test_an_update_of_the_key_is_two_rows(table):
    table.take([Updated(Row(1, "Ada"), Row(2, "Ada"))], 0.0)
    seen = drawn(table.drawn(10))
    assert f"{RED}1" in seen
    assert f"{YELLOW}2" in seen


def test_what_there_is_room_for(table):
    table.take([Inserted(Row(number, f"n{number}")) for number in range(100)], 0.0, is_lit=False)
    table.fade(0.0)
    table.take([Updated(Row(3, "n3"), Row(3, "news"))], 0.0)
    seen = drawn(table.drawn(3))
    assert "100 rows" in seen
    assert [name for name in ("news", "n97", "n98", "n99") if name in seen] == ["news", "n98", "n99"]


def test_rows_without_a_key_are_told_apart_by_all_they_hold():
    table = LiveTable("log", ["id", "name"], None)
    table.take([Inserted(Row(1, "a")), Inserted(Row(1, "b")), Deleted(Row(1, "a"))], 0.0)
    assert table.count == 1


def test_identities_are_short_and_escapes_harmless():
    @attrs.frozen
    class User:
        identity: Identity
        name: str

    table = LiveTable("user", ["identity", "name"], 0)
    table.take([Inserted(User(Identity(bytes(32)), "\x1b[2J"))], 0.0)
    seen = drawn(table.drawn(5))
    assert f"{'0' * 12}…" in seen
    assert "\\x1b[2J" in seen


def test_a_view_of_several_tables():
    view = LiveView("chat", [LiveTable("a", ["id", "name"], 0), LiveTable("b", ["id", "name"], 0)])
    view.take({"a": [Inserted(Row(1, "Ada"))], "unknown": []}, 0.0)
    seen = drawn(view.drawn(0.0, 30, "live"))
    assert "live" in seen
    assert "Ada" in seen
    assert "a, 1 row\n" in seen
    assert "b, 0 rows\n" in seen
