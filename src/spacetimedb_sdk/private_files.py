"""Small files that only their owner may read: read with care, and created whole or not at all.

Nothing here knows what is in them. Errors are those of the operating system, `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

__all__ = ["create_private", "open_private", "read_small"]

log = logging.getLogger("spacetimedb_sdk")

OWNER_ONLY: Final = 0o600


def read_small(path: Path, limit: int, *, is_secret: Callable[[bytes], bool] | None = None) -> bytes | None:
    """The content of a file, or None if there is no such file.

    Args:
        path: Where it is. Links are followed.
        limit: Bytes that it may have.
        is_secret: Whether this content is for the owner alone. Then what rights others have to the file are taken away,
            and a warning is logged if they had any. A file that somebody has named by mistake stays as it is. Windows
            keeps rights elsewhere; they are left alone there.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than the limit.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            data = file.read(limit + 1)
            if is_secret is not None and len(data) <= limit and is_secret(data):
                _tighten(file.fileno(), path)
    except FileNotFoundError:
        return None
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"expected at most {limit:,} bytes, it has more")
    return data


def create_private(path: Path, data: bytes) -> bool:
    """Create a file that only its owner may read; directories that are missing are made for the owner alone, too.

    Whoever looks finds the whole file or none, also after a crash. A file that is there already is never touched, not
    even one that another process creates at the same moment.

    Returns:
        Whether the file was created; False: there is one.

    Raises:
        OSError: It could not be written. Nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    for directory in reversed([parent for parent in target.parents if not parent.exists()]):
        directory.mkdir(mode=0o700, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=OWNER_ONLY)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not _put_in_place(temporary, target):
            return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(target.parent)
    return True


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: only the owner may use the file, also if it was there before."""
    descriptor = os.open(path, flags, OWNER_ONLY)
    if hasattr(os, "fchmod") and stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, OWNER_ONLY)
    return descriptor


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody to open the other end, as opening a pipe does."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _tighten(descriptor: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if not mode & 0o077:
        return
    try:
        os.fchmod(descriptor, mode & OWNER_ONLY)
    except OSError as error:
        log.warning("%s has mode %04o, so that others may use it; it cannot be changed: %s", path, mode, error.strerror)
    else:
        log.warning("%s had mode %04o, so that others could use it; now it has %04o", path, mode, mode & OWNER_ONLY)


def _put_in_place(temporary: Path, target: Path) -> bool:
    """Give the file its name unless that is taken."""
    try:
        os.link(temporary, target)  # unlike a rename, this never replaces a file
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if target.exists():
            return False
        os.replace(temporary, target)
    return True


def _sync_directory(directory: Path) -> None:
    """Make the name durable, too, where directories can be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
