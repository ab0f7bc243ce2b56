"""The pages of the documentation, and the code in them."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

__all__ = ["PAGES", "ROOT", "blocks", "blocks_by_line"]

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def blocks_by_line(page: str) -> dict[int, str]:
    """Blocks of Python, also those of lists, by the number of their first line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"```python\n(.*?)```", text, re.DOTALL)
    return {text.count("\n", 0, match.start(1)) + 1: dedent(match[1]) for match in found}


def blocks(page: str) -> list[str]:
    """Blocks of Python, in order."""
    return list(blocks_by_line(page).values())
