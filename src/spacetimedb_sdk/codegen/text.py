"""Lines of code as `ruff format` would leave them, and the server's words in a form that is safe in code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

__all__ = [
    "HEADER",
    "annotated",
    "call",
    "class_head",
    "code_list",
    "doc",
    "left_out_notes",
    "literal",
    "module_text",
    "prose",
    "signature",
    "union",
]

WIDTH: Final = 88
"""Columns of a line: what `ruff format` allows where a project does not say otherwise."""

HEADER: Final = "# Written by `spacetimedb-sdk generate`. Changes to this file will be lost."
"""The first line of every file that is ours to replace."""


def prose(text: str) -> str:
    """Words of the server in a comment: on one line, and nothing that does not print."""
    return "".join(char if char.isprintable() else "?" for char in text)


def left_out_notes(missing: Sequence[str]) -> list[str]:
    """Comment lines that say what a package does not show."""
    return ["#", "# Left out:", *(f"# - {prose(line)}" for line in missing)] if missing else []


def doc(text: str) -> str:
    """A docstring on one line, whatever names are in it."""
    return f'"""{prose(text).replace(chr(92), chr(92) * 2).replace(chr(34), chr(39))}"""'


def literal(text: str) -> str:
    """A string literal, in double quotes where that needs no escapes."""
    shown = ascii(text) if not text.isprintable() else repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def module_text(lines: Iterable[str]) -> str:
    """A whole file."""
    return "\n".join((HEADER, *lines)).rstrip("\n") + "\n"


def code_list(start: str, items: Sequence[str]) -> list[str]:
    """`from x import a, b`, on one line if it fits, else one name a line in parentheses."""
    line = start + ", ".join(items)
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(start) - len(start.lstrip(" ")))
    return [f"{start}(", *(f"{indent}    {item}," for item in items), f"{indent})"]


def signature(indent: str, head: str, params: Sequence[str], returns: str, end: str = ": ...") -> list[str]:
    """A function of a stub, split as far as it must be; one with a docstring ends in a colon."""
    line = f"{indent}{head}({', '.join(params)}) -> {returns}{end}"
    if len(line) <= WIDTH or not params:
        return [line]
    inner = f"{indent}    {', '.join(params)}{',' if len(params) == 1 else ''}"
    lines = [inner] if len(inner) <= WIDTH else [line for param in params for line in _param(f"{indent}    ", param)]
    return [f"{indent}{head}(", *lines, *annotated(f"{indent}) -> ", returns, end)]


def _param(indent: str, param: str) -> list[str]:
    name, colon, annotation = param.partition(": ")
    default = " = ..." if annotation.endswith(" = ...") else ""
    return annotated(f"{indent}{name}{colon}", annotation.removesuffix(default), f"{default},")


def annotated(start: str, annotation: str, end: str = "") -> list[str]:
    """Something with an annotation, which is split at its brackets if it does not fit on a line."""
    line = f"{start}{annotation}{end}"
    name, bracket, inside = annotation.partition("[")
    if len(line) <= WIDTH or not bracket or not annotation.endswith("]"):
        return [line]
    indent = " " * (len(line) - len(line.lstrip(" ")))
    items = _items(inside[:-1])
    inner = f"{indent}    {', '.join(items)}"
    lines = [inner] if len(inner) <= WIDTH else [f"{indent}    {item}," for item in items]
    return [f"{start}{name}[", *lines, f"{indent}]{end}"]


def _items(text: str) -> list[str]:
    """What stands between the commas that are in no brackets."""
    items, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and not depth:
            items.append("")
        else:
            items[-1] += char
    return [item.strip() for item in items]


def class_head(name: str, *bases: str) -> list[str]:
    """The first line of a class, in several if it does not fit on one."""
    base = ", ".join(bases)
    line = f"class {name}({base}):"
    if len(line) <= WIDTH:
        return [line]
    if len(bases) == 1:
        return [f"class {name}(", *annotated("    ", base), "):"]
    inner = [f"    {base}"] if len(base) + 4 <= WIDTH else [f"    {each}," for each in bases]
    return [f"class {name}(", *inner, "):"]


def call(indent: str, start: str, items: Sequence[str], end: str) -> list[str]:
    """Something in brackets: on one line if it fits, else one item a line."""
    line = f"{indent}{start}{', '.join(items)}{end}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{indent}{start}", *(f"{indent}    {item}," for item in items), f"{indent}{end}"]


def union(start: str, members: Sequence[str]) -> list[str]:
    """`start = A | B`, in parentheses if it does not fit on a line."""
    line = f"{start} = {' | '.join(members)}"
    if len(line) <= WIDTH or len(members) < 2:
        return [line]
    inner = f"    {' | '.join(members)}"
    if len(inner) <= WIDTH:
        return [f"{start} = (", inner, ")"]
    first, *others = members
    return [f"{start} = (", f"    {first}", *(f"    | {member}" for member in others), ")"]
