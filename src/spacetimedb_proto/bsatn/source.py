"""Generated Python source: writing it, running it, and telling where it failed.

Generated code carries no bookkeeping for errors. Each line that can fail has a *note* instead: an expression that,
given the local variables at the moment of failure, says where in the value that was and what is wrong. When something
is raised, the notes of the lines in the traceback together are the path. The price of a good message is paid only by
those who get one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

import attrs

__all__ = ["MAX_INDENT", "Bad", "Namespace", "Source", "Trail", "dispatch", "path_text"]

MAX_INDENT = 8
"""Deeper code goes into a function of its own: Python refuses more than 20 loops inside each other."""

_LONG_PATH = 16  # steps; recursive values would fill a screen
_LINEAR = 4  # up to here a chain of comparisons is as fast as halving


class Bad(Exception):  # noqa: N818 - never leaves the package; the note of the line that raises it says the rest
    """Raised by generated code."""


class Source:
    """The lines of one function.

    Attributes:
        path: Expressions for the steps from the outermost value to what is being written now.
        indent: Present depth of blocks.
    """

    def __init__(self, header: str) -> None:
        self.lines = [header]
        self.notes: dict[int, str] = {}
        self.path: list[str] = []
        self.indent = 1
        self._variables = 0

    def add(self, text: str, note: str | None = None) -> None:
        """Write one line. `note` is what `note()` makes."""
        self.lines.append(f"{' ' * self.indent}{text}")
        if note is not None:
            self.notes[len(self.lines)] = note

    def variable(self) -> str:
        """A new local name."""
        self._variables += 1
        return f"v{self._variables}"

    def note(self, *details: str) -> str:
        """An expression for the present path and some details, each an expression too."""
        return f"({', '.join((self.here(), *details))},)"

    def here(self) -> str:
        """An expression for the present path."""
        return f"({', '.join(self.path)},)" if self.path else "()"

    @contextmanager
    def block(self, header: str) -> Generator[None]:
        """Write a header and indent what follows."""
        self.add(f"{header}:")
        self.indent += 1
        yield
        self.indent -= 1

    @contextmanager
    def step(self, expression: str) -> Generator[None]:
        """Go one step deeper into the value."""
        self.path.append(expression)
        yield
        self.path.pop()


@attrs.frozen
class Trail:
    """Where generated code failed.

    Attributes:
        path: Field names and indexes from the outside in.
        details: What the innermost note says beside its path; empty when something else raised below it.
    """

    path: list[str | int]
    details: tuple[Any, ...]


class Namespace:
    """What the generated functions of one `Types` share: helpers, constants and each other."""

    def __init__(self, helpers: Mapping[str, Any]) -> None:
        self.globals = dict(helpers)
        self._numbers = itertools.count()
        self._names: dict[int, str] = {}
        self._notes: dict[CodeType, dict[int, str]] = {}

    def constant(self, value: Any) -> str:
        """A name for an object; the same one for the same object."""
        name = self._names.setdefault(id(value), f"k{next(self._numbers)}")
        self.globals[name] = value  # also keeps it alive, so that its id stays its own
        return name

    def install(self, name: str, source: Source) -> Callable[..., Any]:
        """Compile a function and make it known to the others under its name."""
        code = compile("\n".join(source.lines), f"<bsatn {name}>", "exec")
        exec(code, self.globals)  # noqa: S102 - own code: whatever came from a schema stands in it as a literal
        made: Callable[..., Any] = self.globals[name]
        self._notes[made.__code__] = source.notes
        return made

    def trail(self, error: BaseException) -> Trail:
        """Follow the traceback of an error through generated code."""
        path: list[str | int] = []
        details: tuple[Any, ...] = ()
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            notes = self._notes.get(frame.f_code)
            if notes is not None:
                note = notes.get(traceback.tb_lineno, "((),)")
                steps, *rest = eval(note, frame.f_globals, frame.f_locals)  # noqa: S307 - own code, as above
                path += steps
                details = tuple(rest)
            traceback = traceback.tb_next
        return Trail(path if len(path) <= _LONG_PATH else [*path[:6], "…", *path[-6:]], details)


def path_text(title: str, path: Sequence[str | int]) -> str:
    """How a place inside a value is written: `Player.items[3].name`."""
    return title + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def dispatch(source: Source, tag: str, cases: Sequence[Callable[[], None]], first: int = 0) -> None:
    """Write the choice between cases by a tag that is known to be in range."""
    if len(cases) > _LINEAR:
        middle = len(cases) // 2
        with source.block(f"if {tag} < {first + middle}"):
            dispatch(source, tag, cases[:middle], first)
        with source.block("else"):
            dispatch(source, tag, cases[middle:], first + middle)
        return
    for position, case in enumerate(cases):
        last = position == len(cases) - 1
        header = "else" if last else f"{'elif' if position else 'if'} {tag} == {first + position}"
        with source.block("if True" if len(cases) == 1 else header):
            case()
