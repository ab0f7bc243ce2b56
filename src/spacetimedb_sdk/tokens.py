"""Where tokens come from: a text, a file, an environment variable, the `spacetime` program's login, or a function.

Each is a `TokenSource`, and `fetch_now` and `fetch_async` ask it. What is done with the answer is the same for all of
them and stands in `token_keeper`. No token is ever part of a message, a `repr` or a log.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from spacetimedb_proto.errors import AuthenticationError, DecodeError, LocalProtocolError, SpacetimeDBError
from spacetimedb_proto.jwt import MAX_TOKEN, read_claims

from .private_files import create_private, read_small

__all__ = [
    "Fetched",
    "Token",
    "TokenCli",
    "TokenEnv",
    "TokenFile",
    "TokenSource",
    "blaming",
    "cli_config_path",
    "fetch_async",
    "fetch_now",
    "source_of",
    "usable",
]

log = logging.getLogger("spacetimedb_sdk")

Fetched: TypeAlias = str | Awaitable[str | None] | None
"""What a source answers: a token, None for an anonymous identity, or either of them after some waiting."""

_VISIBLE: Final = re.compile(r"[!-~]+")

_FILE_SIZE: Final = MAX_TOKEN + 8
"""Bytes that a token file may have: a token, perhaps a mark in front of it, and the end of its line."""

_CONFIG_SIZE: Final = 1024 * 1024
"""Bytes that the configuration of the `spacetime` program may have."""


class TokenSource(ABC):
    """One place that tokens come from. It is asked anew before each attempt to connect.

    Attributes:
        can_renew: Whether asking again may give a token that the server takes after it has refused one.
    """

    can_renew: ClassVar[bool] = False

    @property
    def description(self) -> str:
        """The source in words, for messages: never with a token in them."""
        return f"the token source {type(self).__name__}"

    @abstractmethod
    def fetch(self) -> Fetched:
        """The token to connect with, or None to be given a new anonymous identity; perhaps to be awaited.

        Only connections that run on an event loop can await.

        Raises:
            AuthenticationError: There should be a token, and there is none that can be used.
        """

    def store(self, token: str) -> bool:  # noqa: ARG002 - what a subclass stores
        """Keep the token that the server issued with a new anonymous identity, if this source keeps tokens.

        Called once, after the first connection, if `fetch` gave None before it.

        Returns:
            Whether it was stored.

        Raises:
            AuthenticationError: It should have been stored, and could not be.
        """
        return False

    def __repr__(self) -> str:
        return f"<{self.description}>"


Token: TypeAlias = str | TokenSource | Callable[[], Fetched]
"""What a user may give as a token: the text, a source, or a function, sync or async, that is asked for it."""


class TokenFile(TokenSource):
    """A token in a file of its own, as one line of text.

    As long as there is no such file, the connection is anonymous, and the token that the server issues for the new
    identity is stored in it: the next start is the same identity. The file is created with mode 0600 whatever the
    umask, missing directories with 0700, and whole or not at all. A file that is there is never written to, whatever
    is in it. One that others may read is tightened to its owner's rights, and a warning is logged; but not a file that
    holds no JSON Web Token, which somebody may have named by mistake.

    Args:
        path: Where the file is; `~` is the user's home.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()

    @property
    def description(self) -> str:
        """The source in words."""
        return f"the token file {str(self.path)!r}"

    def fetch(self) -> str | None:
        """Read the file; None if there is none.

        Raises:
            AuthenticationError: It cannot be read, or what it holds is no token.
        """
        try:
            data = read_small(self.path, _FILE_SIZE, is_secret=_holds_token)
        except OSError as error:
            raise AuthenticationError(f"{self.description} cannot be read: {error.strerror}") from error
        return None if data is None else usable(_text_of(data), self.description)

    def store(self, token: str) -> bool:
        """Create the file. Where another process was quicker, its file is kept.

        Raises:
            AuthenticationError: The file cannot be written.
        """
        try:
            is_stored = create_private(self.path, usable(token, self.description).encode() + b"\n")
        except OSError as error:
            raise AuthenticationError(
                f"{self.description} cannot be written, so the new identity would be lost: {error.strerror}"
            ) from error
        if not is_stored:
            log.warning("%s was created by somebody else meanwhile and is kept; this identity is not", self.description)
        return is_stored


class TokenEnv(TokenSource):
    """A token in an environment variable. Blanks around it do not count.

    Args:
        variable: Name of the variable.
        optional: Whether to connect anonymously where the variable is not set or empty. Otherwise that is an error.
    """

    def __init__(self, variable: str = "SPACETIMEDB_TOKEN", *, optional: bool = False) -> None:
        self.variable = variable
        self.optional = optional

    @property
    def description(self) -> str:
        """The source in words."""
        return f"the environment variable {self.variable}"

    def fetch(self) -> str | None:
        """Read the variable.

        Raises:
            AuthenticationError: It is not set or empty and not optional, or what it holds is no token.
        """
        text = os.environ.get(self.variable, "").strip()
        if text:
            return usable(text, self.description)
        if self.optional:
            return None
        raise AuthenticationError(f"{self.description}: expected a token, it is not set or empty")


class TokenCli(TokenSource):
    """The login of the `spacetime` program: what `spacetime login` has written.

    That is one token for all servers. It stands as `spacetimedb_token` in the program's `cli.toml`; the
    `web_session_token` beside it is for the website and of no use to a server. The file is only read.

    Args:
        config_path: The file, where it is not at its usual place; `~` is the user's home.
    """

    def __init__(self, config_path: str | os.PathLike[str] | None = None) -> None:
        given = None if config_path is None else Path(config_path).expanduser()
        self.path = given or cli_config_path(os.environ, is_windows=sys.platform == "win32")

    @property
    def description(self) -> str:
        """The source in words."""
        return f"the login of the spacetime program in {str(self.path)!r}"

    def configuration(self) -> dict[str, Any] | None:
        """All that stands in the file; None if there is none, or it is no TOML.

        Raises:
            OSError: It cannot be read.
        """
        data = read_small(self.path, _CONFIG_SIZE)
        return None if data is None else _parsed(data)

    def fetch(self) -> str | None:
        """Read the file.

        Raises:
            AuthenticationError: Nobody is logged in, or the file cannot be understood.
        """
        try:
            data = read_small(self.path, _CONFIG_SIZE)
        except OSError as error:
            raise AuthenticationError(f"{self.description} cannot be read: {error.strerror}") from error
        if data is None:
            raise AuthenticationError(f"{self.description}: there is no such file; run `spacetime login`")
        config = _parsed(data)
        if config is None:
            raise AuthenticationError(f"{self.description}: expected TOML, got another text")
        if "spacetimedb_token" not in config:
            raise AuthenticationError(f"{self.description}: nobody is logged in; run `spacetime login`")
        return usable(config["spacetimedb_token"], self.description)


def source_of(token: Token | None) -> TokenSource:
    """The source that something stands for which a user gave as a token.

    Raises:
        TypeError: It is nothing that tokens come from.
    """
    if token is None:
        return _NoToken()
    if isinstance(token, TokenSource):
        return token
    if isinstance(token, str):
        return _GivenToken(token)
    if callable(token):
        return _AskedToken(token)
    raise TypeError(f"token: expected a str, a TokenSource, a function or None, got {type(token).__name__}")


def fetch_now(source: TokenSource) -> str | None:
    """Ask a source where nothing can be awaited: in a thread, or in a frame loop.

    Raises:
        AuthenticationError: The source failed, or gave something that is no token.
        LocalProtocolError: It wants to be awaited.
    """
    with blaming(source):
        fetched = source.fetch()
    if isinstance(fetched, Awaitable):
        if isinstance(fetched, Coroutine):
            fetched.close()  # or Python complains that nobody awaited it
        raise LocalProtocolError(
            f"{source.description} is async, and this connection cannot await it: expected a plain function"
        )
    return None if fetched is None else usable(fetched, source.description)


async def fetch_async(source: TokenSource) -> str | None:
    """Ask a source on an event loop. What is not async runs on the loop, too, so it should not take long.

    Raises:
        AuthenticationError: The source failed, or gave something that is no token.
    """
    with blaming(source):
        fetched = source.fetch()
        if isinstance(fetched, Awaitable):
            fetched = await fetched
    return None if fetched is None else usable(fetched, source.description)


def usable(token: object, origin: str) -> str:
    """A token that can be sent.

    Args:
        token: What came.
        origin: Where from, in words.

    Raises:
        AuthenticationError: It cannot. The message does not repeat it.
    """
    if not isinstance(token, str):
        raise AuthenticationError(f"{origin}: expected a token as str, got {type(token).__name__}")
    if len(token) > MAX_TOKEN:
        raise AuthenticationError(f"{origin}: expected at most {MAX_TOKEN:,} characters, got {len(token):,}")
    if not _VISIBLE.fullmatch(token):
        got = "blanks or others among them" if token else "an empty text"
        raise AuthenticationError(f"{origin}: expected visible ASCII characters, got {got}")
    return token


def cli_config_path(environ: Mapping[str, str], *, is_windows: bool) -> Path:
    """Where the `spacetime` program keeps its configuration, unless it was installed with `--root-dir`.

    On Windows that is below `%LOCALAPPDATA%`, elsewhere, macOS included, where the XDG Base Directory Specification
    says, by which a relative `XDG_CONFIG_HOME` counts as none.
    """
    if is_windows:
        local = environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
        return base / "SpacetimeDB" / "config" / "cli.toml"
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".config") / "spacetime" / "cli.toml"


class _NoToken(TokenSource):
    @property
    def description(self) -> str:
        return "no token"

    def fetch(self) -> None:
        return None


class _GivenToken(TokenSource):
    def __init__(self, token: str) -> None:
        self._token = token

    @property
    def description(self) -> str:
        return "the token that was given"

    def fetch(self) -> str:
        return self._token


class _AskedToken(TokenSource):
    can_renew = True

    def __init__(self, ask: Callable[[], Fetched]) -> None:
        self._ask = ask

    @property
    def description(self) -> str:
        # Its name only: the `repr` of a partial function shows its arguments.
        return f"the token function {getattr(self._ask, '__qualname__', type(self._ask).__name__)}"

    def fetch(self) -> Fetched:
        return self._ask()


def _text_of(data: bytes) -> str:
    # Editors of Windows put a mark in front of text and most editors a line feed behind it.
    return data.decode("utf-8-sig", "replace").strip()


def _holds_token(data: bytes) -> bool:
    try:
        read_claims(_text_of(data))
    except DecodeError:
        return False
    return True


@contextmanager
def blaming(source: TokenSource) -> Generator[None]:
    """Turn what a user's code raises into an error of the SDK. Its text is left to the cause: it may hold a token."""
    try:
        yield
    except SpacetimeDBError:
        raise
    except Exception as error:
        raise AuthenticationError(f"{source.description} raised {type(error).__name__}") from error


def _parsed(data: bytes) -> dict[str, Any] | None:
    """A TOML document, or None. What the parser raises holds the text, so it ends here."""
    import tomllib  # noqa: PLC0415 - hardly any program reads this file

    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return None
