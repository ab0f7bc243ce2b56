"""Files that are there as a whole or not at all, and what is told while they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from ..tabular import Held, Tabular

__all__ = ["Exported", "OnExported", "beside", "check_rows", "parts_of"]

_PART = 4_096


@attrs.frozen
class Exported:
    """How far an export has come.

    Attributes:
        table: What is written: a table's name where there are several.
        rows: Rows that are written.
        total: All its rows.
    """

    table: str
    rows: int
    total: int


OnExported: TypeAlias = "Callable[[Exported], object]"

_NO_ROWS: Final = (
    (str, "SQL is run before, with query() or sql()"),
    (Mapping, "several tables are for write_sqlite()"),
    (list, "it does not say what its rows are"),
)
"""What is likely to be given in place of rows, and why it is none."""


def check_rows(rows: object, what: str) -> None:
    """See that something has rows of a known type.

    Args:
        rows: What was given.
        what: The function that it was given to, for the error.

    Raises:
        TypeError: It has not.
    """
    if isinstance(rows, Tabular):
        return
    kind = type(rows)
    why = next((f": {text}" for other, text in _NO_ROWS if issubclass(kind, other)), "")
    raise TypeError(f"{what}: expected a table of a connection, or the rows of a query, got {kind.__name__}{why}")


@contextmanager
def beside(path: str | os.PathLike[str]) -> Generator[Path]:
    """A name beside `path` to write to. It takes the place of `path` when the block ends well, or else is removed.

    Raises:
        OSError: The file cannot be written. What stood in its place is still there.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}.partial")
    try:
        temporary.touch(exist_ok=False)  # with the permissions of any new file
    except OSError as error:  # about a name that nobody has given
        raise _about(target, error) from None
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _about(target: Path, error: OSError) -> OSError:
    """What the system has said, of what the caller named."""
    if target.parent.is_dir():
        return OSError(error.errno, error.strerror, str(target))
    what = "the folder does not exist" if isinstance(error, FileNotFoundError) else error.strerror
    return OSError(error.errno, what, str(target.parent))


def parts_of(held: Held) -> Iterator[list[Any]]:
    """The rows as objects, some thousand at a time.

    Raises:
        DecodeError: A row is none of its type.
    """
    if held.objects is not None:
        for start in range(0, len(held.objects), _PART):
            yield list(held.objects[start : start + _PART])
    for rows in held.lists:
        assert held.codec is not None
        for part in rows.parts(_PART):
            yield held.codec.decode_rows(part.rows())
