"""The fixtures, in test suites of their own: under no async plugin, under anyio's, and when nobody uses them."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

MODULE = """
    from spacetimedb_sdk.testing import Module, PrimaryKey, ReducerContext, Timestamp, u32

    notes = Module("notes")

    @notes.table(public=True)
    class Note:
        id: PrimaryKey[u32]
        at: Timestamp

    @notes.reducer
    def add(ctx: ReducerContext, id: u32) -> None:
        ctx.db.note.insert(id=id, at=ctx.timestamp)
"""


@pytest.fixture
def suite(pytester):
    """Runs tests that are given as text, beside a module called `notes`."""
    pytester.makepyfile(the_module=MODULE)
    pytester.syspathinsert()

    def run(text, *arguments, ini=""):
        pytester.makeini(f"[pytest]\naddopts = --strict-markers -W error\n{ini}")
        pytester.makepyfile(test_it=textwrap.dedent(text))
        return pytester.runpytest("-p", "spacetimedb_sdk.pytest_plugin", "-p", "no:cacheprovider", *arguments)

    return run


def test_a_module_by_a_marker(suite):
    suite(
        """
        import pytest
        from the_module import notes

        @pytest.mark.spacetimedb(notes, release="2.8")
        def test_one(spacetimedb_client, spacetimedb_server):
            spacetimedb_client.subscribe("SELECT * FROM note")
            spacetimedb_client.reducers.add(7)
            assert [row.id for row in spacetimedb_client.db.note] == [7]
            assert spacetimedb_server.database == "notes"

        @pytest.mark.spacetimedb(notes)
        def test_each_has_a_database_of_its_own(spacetimedb_client, spacetimedb_connect):
            other = spacetimedb_connect(protocols=["v2.bsatn"])
            other.subscribe("SELECT * FROM note")
            assert len(other.db.note) == 0
            assert other.identity != spacetimedb_client.identity
        """
    ).assert_outcomes(passed=2)


def test_a_module_by_its_name_in_a_marker(suite):
    suite(
        """
        import pytest

        @pytest.mark.spacetimedb("the_module:notes", release="2.8")
        def test_one(spacetimedb_client):
            spacetimedb_client.reducers.add(7)
        """,
        ini="spacetimedb_module = nowhere:else",
    ).assert_outcomes(passed=1)


def test_a_wrong_name_in_a_marker(suite):
    result = suite(
        """
        import pytest

        @pytest.mark.spacetimedb("the_module")
        def test_one(spacetimedb_client): pass
        """
    )
    result.assert_outcomes(errors=1)
    complaint = "@pytest.mark.spacetimedb: expected package.module:name, got 'the_module'"
    result.stdout.fnmatch_lines([f"*{complaint}*"])


def test_a_module_by_an_ini_option(suite):
    suite(
        """
        def test_one(spacetimedb_client):
            spacetimedb_client.reducers.add(7)
        """,
        ini="spacetimedb_module = the_module:notes",
    ).assert_outcomes(passed=1)


def test_a_module_by_a_fixture(suite):
    suite(
        """
        import pytest
        from the_module import notes

        @pytest.fixture
        def spacetimedb_module():
            return notes

        def test_one(spacetimedb_server):
            assert spacetimedb_server.run(lambda ctx: ctx.db.note.count()) == 0
        """
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "complaint"),
    [
        ("", "expected a module to serve"),
        ("spacetimedb_module = nowhere:notes", "expected package.module:name, got 'nowhere:notes': No module named"),
        ("spacetimedb_module = the_module", "expected package.module:name, got 'the_module'"),
    ],
)
def test_no_module(suite, ini, complaint):
    result = suite("def test_one(spacetimedb_client): pass", ini=ini)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{complaint}*"])


def test_the_clock_stands_still(suite):
    suite(
        """
        def test_one(spacetimedb_client, spacetimedb_server, spacetimedb_clock):
            spacetimedb_client.subscribe("SELECT * FROM note")
            spacetimedb_client.reducers.add(1)
            spacetimedb_server.advance(3600)
            spacetimedb_client.reducers.add(2)
            first, second = sorted(row.at.micros for row in spacetimedb_client.db.note)
            assert second - first == 3600 * 1_000_000
            assert second == spacetimedb_clock().micros
        """,
        ini="spacetimedb_module = the_module:notes",
    ).assert_outcomes(passed=1)


ASYNC = """
    import pytest

    {mark}
    async def test_one(spacetimedb_connect_async):
        async with spacetimedb_connect_async() as conn, spacetimedb_connect_async(protocols=["v2.bsatn"]) as other:
            await other.subscribe("SELECT * FROM note")
            changes = other.db.note.changes()
            await conn.reducers.add(7)
            assert (await anext(changes)).row.id == 7
"""
INI = "spacetimedb_module = the_module:notes"


def test_async_tests_under_anyio(suite):
    suite(ASYNC.format(mark="@pytest.mark.anyio"), ini=INI).assert_outcomes(passed=2)  # asyncio and trio


def test_async_tests_under_pytest_asyncio(suite):
    pytest.importorskip("pytest_asyncio")
    suite(ASYNC.format(mark="@pytest.mark.asyncio"), "-p", "no:anyio", ini=INI).assert_outcomes(passed=1)


def test_async_code_without_a_plugin(suite):
    text = ASYNC.format(mark="").replace("async def test_one(", "async def story(")
    text += """
    def test_one(spacetimedb_connect_async):
        import asyncio
        asyncio.run(story(spacetimedb_connect_async))
"""
    suite(text, "-p", "no:anyio", ini=INI).assert_outcomes(passed=1)


def guide():
    """The module of the guide, and its tests."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text("utf-8"), re.DOTALL)
    return blocks[0].split("with serve", maxsplit=1)[0] + "".join(block for block in blocks if "def test_" in block)


def test_the_guides_examples(suite):
    suite(guide()).assert_outcomes(passed=2)


def test_the_guides_example_fails_by_what_a_callback_raises(suite):
    check = "assert message.sender == ctx.identity"
    broken = guide().replace(check, "assert message.sender != ctx.identity")
    result = suite(broken)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*assert errors == []*"])
    suite(broken.replace("assert errors == []", "")).assert_outcomes(passed=2)


def test_who_does_not_use_it_imports_nothing():
    program = "import sys, pytest; before = set(sys.modules); import spacetimedb_sdk.pytest_plugin\n"
    program += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("spacetimedb")}
    light = {"connecting", "sql", "pytest_plugin"}
    assert ours == {"spacetimedb_sdk", "spacetimedb_proto", "spacetimedb_proto.door", "spacetimedb_proto.errors"} | {
        f"spacetimedb_sdk.{name}" for name in light
    }


def test_pytest_finds_it_by_the_name_it_is_imported_by():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"spacetimedb_sdk.pytest_plugin" = "spacetimedb_sdk.pytest_plugin"' in project
