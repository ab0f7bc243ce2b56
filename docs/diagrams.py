"""Draws the diagrams in `design.md` from the transition tables themselves.

`python docs/diagrams.py` rewrites them in place; a test fails when the page and the tables disagree.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from pathlib import Path

from spacetimedb_proto.connection import TRANSITIONS
from spacetimedb_proto.states import CALL, QUERY_SET, SESSION

PAGE = Path(__file__).with_name("design.md")
TABLES: Mapping[str, Mapping[enum.Enum, Mapping[enum.Enum, enum.Enum]]] = {
    "session": SESSION,
    "connection": TRANSITIONS,
    "query set": QUERY_SET,
    "call": CALL,
}


def diagram(table: Mapping[enum.Enum, Mapping[enum.Enum, enum.Enum]]) -> str:
    """One table as a Mermaid state diagram, from its first state to those without an exit."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{state.value}" as {state.name}' for state in table if str(state.value) != state.name]
    lines.append(f"    [*] --> {next(iter(table)).name}")
    for state, moves in table.items():
        lines += [f"    {state.name} --> {after.name}: {event.value}" for event, after in moves.items()]
        if all(after is state for after in moves.values()):
            lines.append(f"    {state.name} --> [*]")
    return "\n".join([*lines, "```"])


def drawn(page: str) -> str:
    """The page with each marked diagram as its table has it."""
    for name, table in TABLES.items():
        marks = f"<!-- {name} -->", f"<!-- /{name} -->"
        body = f"{marks[0]}\n{diagram(table)}\n{marks[1]}"
        page = re.sub(f"{marks[0]}.*?{marks[1]}", lambda _, body=body: body, page, flags=re.DOTALL)
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
