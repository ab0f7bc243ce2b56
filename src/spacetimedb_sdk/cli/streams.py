"""The streams that a process was started with: they may be closed, full, or unable to say everything."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

__all__ = ["forget", "is_utf8", "is_writable", "usable"]


@contextmanager
def usable() -> Generator[None]:
    """Have stdin, stdout and stderr be there, and take any text; as they were at the end.

    A stream that is closed becomes one from or to nowhere. What an encoding cannot say is written as an escape.
    """
    with ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            stream: Any = getattr(sys, name)
            if stream is None:  # as Python has it of what was closed before its start
                nowhere = stack.enter_context(open(os.devnull, mode, encoding="utf-8"))
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, nowhere)
            elif mode == "w" and isinstance(stream, io.TextIOWrapper):
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


def is_utf8(stream: Any) -> bool:
    """Whether all text arrives as it is: in UTF-8, or in no encoding at all."""
    encoding = getattr(stream, "encoding", None)
    return encoding is None or codecs.lookup(encoding).name == "utf-8"


def is_writable(stream: Any) -> bool:
    """Whether all that was written to a stream could be passed on. If not, it is forgotten."""
    try:
        stream.flush()
    except OSError:
        forget(stream)
        return False
    return True


def forget(stream: Any) -> None:
    """Let what is still buffered go nowhere, so that Python does not complain of it at its end."""
    with suppress(OSError, ValueError):
        output = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
