"""The documentation says what the code does."""

from __future__ import annotations

import ast
import importlib.util
import re

import pytest

from tests.pages import PAGES, ROOT, blocks

pytest_plugins = ["spacetimedb_sdk.pytest_plugin"]  # the guide's examples use its marker


def test_the_diagrams_are_the_tables():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "diagrams.py")
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    page = diagrams.PAGE.read_text(encoding="utf-8")
    assert diagrams.drawn(page) == page, "run `python docs/diagrams.py`"
    for name in diagrams.TABLES:
        assert f"<!-- {name} -->\n```mermaid" in page


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in (part.split(")")[0] for part in text.split("](")[1:]):
        path = target.split("#")[0]
        if path and "://" not in path:
            assert ((ROOT / page).parent / path).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_code_is_python(page):
    for code in blocks(page):
        compile(code, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def run_as_one(page):
    names = {"__name__": "guide"}
    for code in blocks(page):
        exec(compile(code, page, "exec", dont_inherit=True), names)
    return names


def test_the_testing_guide_runs():
    names = run_as_one("docs/testing.md")
    assert names["link"].is_cut
    assert names["link"].is_over


def test_the_tutorial_runs(capsys):
    run_as_one("docs/tutorial.md")
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == ["0 0", "Ada ['hello']", "Messages must not be empty", "new: is anybody there?"]


def test_the_site_shows_each_example():
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for path in (ROOT / "examples").iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert f"examples/{path.name}" in pages, f"no page speaks of {path.name}"


@pytest.mark.parametrize("name", ["protocol", "schema"])
def test_what_docstrings_cite_is_there(name):
    """Sections by their headings, traps by their bold or listed numbers."""
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^#+ ([0-9.]+|Appendix A)", page, re.MULTILINE))
    for path in (*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        for cited in re.findall(rf"{name} reference, ([0-9]+(?:\.[0-9]+)?)", path.read_text(encoding="utf-8")):
            assert cited in {section.rstrip(".") for section in sections}, f"{path} cites {name} reference, {cited}"
        for trap in re.findall(rf"{name} reference, trap ([0-9]+)", path.read_text(encoding="utf-8")):
            assert re.search(rf"^{trap}\. |\*\*{trap}\.?\*\*", page, re.MULTILINE), f"{path} cites trap {trap}"
