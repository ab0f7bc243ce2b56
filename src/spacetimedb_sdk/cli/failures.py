"""What errors come to: an exit code and a line on stderr, in words or JSON, instead of a traceback."""

from __future__ import annotations

import enum
import re
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import typer

from spacetimedb_proto.errors import (
    AuthenticationError,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    EncodeError,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    SchemaMismatch,
    SpacetimeDBError,
    WaitTimeout,
)

from .output import json_line
from .streams import forget, is_writable
from .values import text

__all__ = ["ExitCode", "code_of", "ended", "explained", "settings"]


class ExitCode(enum.IntEnum):
    """What the program's exit codes mean.

    Attributes:
        OK: It is done.
        REFUSED: The server or the module said no.
        USAGE: The command cannot be meant like that.
        NO_CONNECTION: There is no server, or the connection was lost.
        AUTHENTICATION: The token was refused, or there is none that could be sent.
        DIFFERENT: Something is out of date, or not as expected.
        UNKNOWN: It was sent, and nobody can tell whether it was done.
        INTERRUPTED: Ctrl-C.
        PIPE: Whoever read the output has left; as a shell tells of a program that SIGPIPE has ended.
    """

    OK = 0
    REFUSED = 1
    USAGE = 2
    NO_CONNECTION = 3
    AUTHENTICATION = 4
    DIFFERENT = 5
    UNKNOWN = 6
    INTERRUPTED = 130
    PIPE = 141


class _Settings:
    """What the options before the command say."""

    debug = False
    as_json = False


settings = _Settings()

_CODES: tuple[tuple[type[SpacetimeDBError] | tuple[type[SpacetimeDBError], ...], ExitCode], ...] = (
    (AuthenticationError, ExitCode.AUTHENTICATION),
    ((OutcomeUnknown, CallTimeout), ExitCode.UNKNOWN),
    ((NotSent, ConnectionLost, WaitTimeout), ExitCode.NO_CONNECTION),
    ((EncodeError, LocalProtocolError), ExitCode.USAGE),
    (SchemaMismatch, ExitCode.DIFFERENT),
)


def code_of(error: SpacetimeDBError) -> ExitCode:
    """The exit code of an error of the SDK."""
    if type(error) is ConnectError and error.status is None:
        return ExitCode.NO_CONNECTION
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), ExitCode.REFUSED)


_BREAK: Final = re.compile(r"\s*\n\s*")

_USAGE_ERROR: Final[Any] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
"""What Typer raises of a command line; it has no name that all its versions share."""


def ended(work: Callable[[], object]) -> int:
    """Run the program to its end.

    Args:
        work: Runs it, and returns its exit code; anything but an int is none.

    Returns:
        The exit code, also of what `work` raises and `explained` knows.
    """
    try:
        with explained():
            code = work()
    except (typer.Exit, SystemExit) as end:
        code = end.exit_code if isinstance(end, typer.Exit) else end.code
    return code if isinstance(code, int) else ExitCode.OK


@contextmanager
def explained() -> Generator[None]:
    """Turn what a command raises into a line on stderr and an exit code. With `--debug` the traceback comes before it.

    Raises:
        typer.Exit: In place of errors of the SDK, of the system and of usage, of Ctrl-C, and of a reader that has left.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        forget(sys.stdout)
        raise typer.Exit(ExitCode.PIPE) from None
    except SpacetimeDBError as error:
        _tell(error)
        raise typer.Exit(code_of(error)) from None
    except OSError as error:
        _tell(error, str(error) if is_writable(sys.stdout) else f"stdout cannot be written: {error.strerror or error}")
        raise typer.Exit(ExitCode.USAGE) from None
    except typer.Abort as error:
        _tell(error, "nobody has agreed")
        raise typer.Exit(ExitCode.REFUSED) from None
    except _USAGE_ERROR as error:
        _tell(error, _complaint(error), kind="UsageError")
        raise typer.Exit(error.exit_code) from None


def _complaint(error: Any) -> str:
    """What is wrong with a command line. Where Typer cannot say at which word, its prefix says nothing, either."""
    is_bare = isinstance(error, typer.BadParameter) and error.param is None and error.param_hint is None
    message: str = error.message if is_bare else error.format_message()
    return message


def _tell(error: Exception, message: str | None = None, *, kind: str | None = None) -> None:
    """One line on stderr: words, or with `--json` an object. An empty message is one that Typer has shown itself."""
    words = message if message is not None else str(error) or type(error).__name__
    if not words:
        return
    with suppress(OSError):  # there is nobody left to be told
        if settings.debug:
            traceback.print_exception(error)
        if settings.as_json:
            line = json_line({"error": words, "kind": kind or type(error).__name__}, sys.stderr)
        else:
            line = f"error: {text(_BREAK.sub(' ', words))}"
        print(line, file=sys.stderr, flush=True)
    is_writable(sys.stderr)
