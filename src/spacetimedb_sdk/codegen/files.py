"""Generated files on disk. Only files that begin with our header are ever replaced or removed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from spacetimedb_proto.errors import LocalProtocolError

from .text import HEADER

__all__ = ["check", "write"]

_ENDINGS = frozenset({".py", ".pyi", ".typed"})


def write(package_dir: str | os.PathLike[str], files: Mapping[str, str]) -> list[str]:
    """Have a directory hold these files, and none that an earlier run has written beside them.

    What somebody else put there stays, and a file whose text is right already is not touched.

    Args:
        package_dir: The package's directory; it is made if there is none.
        files: What `generate` returned.

    Returns:
        Paths in the package that were written or removed.

    Raises:
        LocalProtocolError: There is a file of one of these names that is not ours. Nothing is written.
        OSError: The directory cannot be written to.
    """
    folder = Path(package_dir)
    foreign = [path for path in files if (folder / path).exists() and not _is_ours(folder / path)]
    if foreign:
        raise LocalProtocolError(
            f"{folder / foreign[0]}: expected no such file, or one that begins with {HEADER!r}: somebody else wrote it"
        )
    stale = check(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    for path in stale:
        if path in files:
            (folder / path).write_text(files[path], encoding="utf-8", newline="\n")
        else:
            (folder / path).unlink()
    return stale


def check(package_dir: str | os.PathLike[str], files: Mapping[str, str]) -> list[str]:
    """The files that `write` would change: missing, different, or left from an earlier run. Nothing is changed."""
    folder = Path(package_dir)
    different = {path for path, text in files.items() if _text(folder / path) != text}
    return sorted(different | {path for path in _ours(folder) if path not in files})


def _ours(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix in _ENDINGS and not path.is_symlink() and path.is_file() and _is_ours(path):
            yield path.name


def _is_ours(path: Path) -> bool:
    text = _text(path)
    return text is not None and text.startswith(HEADER)


def _text(path: Path) -> str | None:
    """The text of a file; None if there is none, or no text."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
