"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_diagrams_are_the_tables():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "diagrams.py")
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    page = diagrams.PAGE.read_text(encoding="utf-8")
    assert diagrams.drawn(page) == page, "run `python docs/diagrams.py`"
    for name in diagrams.TABLES:
        assert f"<!-- {name} -->\n```mermaid" in page


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in (part.split(")")[0] for part in text.split("](")[1:]):
        path = target.split("#")[0]
        if path and "://" not in path:
            assert ((ROOT / page).parent / path).exists(), f"{page} links to {target}"
