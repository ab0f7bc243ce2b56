"""What errors come to: an exit code and a line on stderr, instead of a traceback."""

from __future__ import annotations

import enum
import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress

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

__all__ = ["ExitCode", "code_of", "explained", "settings"]


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


@contextmanager
def explained() -> Generator[None]:
    """Turn what a command raises into a line on stderr and an exit code. With `--debug` the traceback comes before it.

    Raises:
        typer.Exit: In place of errors of the SDK and of the system, of Ctrl-C, and of a reader that has left.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _forget_output()
        raise typer.Exit(ExitCode.PIPE) from None
    except SpacetimeDBError as error:
        _tell(error)
        raise typer.Exit(code_of(error)) from None
    except OSError as error:
        _tell(error)
        raise typer.Exit(ExitCode.USAGE) from None


def _tell(error: Exception) -> None:
    if settings.debug:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    print(f"error: {text}", file=sys.stderr)


def _forget_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain of it at its end."""
    with suppress(OSError, ValueError):
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
