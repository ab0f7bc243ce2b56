"""Which server and database a command is about, and as whom: from options, the environment, the `spacetime` program.

What is given counts before the environment, and that before the configuration of the `spacetime` program. Its login is
one token for all servers, so it is sent only to servers that stand in that configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, cast

import attrs
import typer

from spacetimedb_proto.errors import AuthenticationError, ConnectError

from .failures import explained

if TYPE_CHECKING:
    from ..blocking import Connection
    from ..http import BlockingHttpClient
    from ..tokens import TokenSource

__all__ = ["Target", "command", "with_target"]

P = ParamSpec("P")

_KNOWN_SERVERS: Final = {"local": "http://127.0.0.1:3000", "maincloud": "https://maincloud.spacetimedb.com"}
"""What the `spacetime` program knows before anybody configures it."""


Server = Annotated[
    str | None,
    typer.Option(
        "--uri", "-s", envvar="SPACETIMEDB_URI", metavar="URI", help="Address, or a nickname that `spacetime` knows."
    ),
]
Database = Annotated[
    str | None,
    typer.Option("--database", "-d", envvar="SPACETIMEDB_DATABASE", metavar="NAME", help="Its name or identity."),
]
TokenPath = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="SPACETIMEDB_TOKEN_FILE", metavar="PATH", help="Token; made there if there is none."
    ),
]
Anonymous = Annotated[bool, typer.Option("--anonymous", help="Send no token: be somebody new.")]
Patience = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Patience for each answer.")]


@attrs.frozen(slots=False)
class Target:
    """What the options say about server, database and token.

    Attributes:
        server: Address or nickname, if given.
        database: Name or identity, if given.
        token_file: Where the token is, if given.
        anonymous: Whether to send none.
        timeout: Seconds to wait for each answer.
    """

    server: str | None = None
    database: str | None = None
    token_file: Path | None = None
    anonymous: bool = False
    timeout: float = 30.0

    @cached_property
    def uri(self) -> str:
        """The server's address.

        Raises:
            typer.BadParameter: There is none, or it is none.
        """
        from spacetimedb_proto.uri import Endpoint

        servers, default = _configured(self._config)
        wanted = self.server or default
        if wanted is None:
            raise typer.BadParameter("no server: expected --uri, SPACETIMEDB_URI, or a default server of `spacetime`")
        uri = ({**_KNOWN_SERVERS, **servers}).get(wanted, wanted)
        try:
            Endpoint.parse(uri)
        except ConnectError as error:
            raise typer.BadParameter(str(error), param_hint="--uri") from None
        return uri

    @property
    def name(self) -> str:
        """The database.

        Raises:
            typer.BadParameter: None is given.
        """
        if not self.database:
            raise typer.BadParameter("no database: expected --database or SPACETIMEDB_DATABASE")
        return self.database

    @cached_property
    def token(self) -> TokenSource | None:
        """Where the token comes from; None for a new identity."""
        import os

        from ..tokens import TokenCli, TokenEnv, TokenFile

        if self.anonymous:
            return None
        if self.token_file is not None:
            return TokenFile(self.token_file)
        if os.environ.get("SPACETIMEDB_TOKEN", "").strip():
            return TokenEnv()
        is_logged_in = isinstance(self._config.get("spacetimedb_token"), str)
        return TokenCli() if is_logged_in and self._is_configured() else None

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        """What stands in the configuration of the `spacetime` program; nothing where there is none to be read."""
        from ..tokens import TokenCli

        try:
            return TokenCli().configuration() or {}
        except OSError:
            return {}

    def _is_configured(self) -> bool:
        """Whether the server is one that the `spacetime` program is used with."""
        from spacetimedb_proto.uri import Endpoint

        servers, _ = _configured(self._config)
        known = {**_KNOWN_SERVERS, **servers}.values()
        return Endpoint.parse(self.uri) in {Endpoint.parse(uri) for uri in known if "://" in uri}

    def client(self, *, needs_database: bool = True) -> BlockingHttpClient:
        """A client of the database over HTTP."""
        from ..http import BlockingHttpClient

        database = self.name if needs_database else self.database
        return BlockingHttpClient(self.uri, database, token=self.token, timeout=self.timeout)

    def connect(self, **options: Any) -> Connection:
        """A connection to the database.

        Raises:
            ConnectError: As `spacetimedb_sdk.blocking.connect`. Of a refused token it says where that is from.
        """
        from ..blocking import connect
        from ..token_keeper import refusal

        try:
            connection: Connection = connect(self.uri, self.name, token=self.token, timeout=self.timeout, **options)
        except AuthenticationError as error:
            if error.status != 401 or self.token is None:
                raise
            raise refusal(error, self.token.description) from error
        return connection


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Have what a command raises be told as users are told, and not as a traceback."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        with explained():
            function(*args, **kwargs)

    return guarded


def with_target(function: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """A command whose first parameter is a `Target`, with the options in its place that say which."""
    own = inspect.signature(function, eval_str=True)
    shared = {
        "uri": Server,
        "database": Database,
        "token_file": TokenPath,
        "anonymous": Anonymous,
        "timeout": Patience,
    }
    defaults = {"anonymous": False, "timeout": 30.0}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=kind)
        for name, kind in shared.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(own.parameters.values())[1:]]

    def run(**given: Any) -> None:
        target = Target(*(given.pop(name) for name in shared))
        with explained():
            function(target, **given)  # type: ignore[call-arg]  # all but the first are given by name

    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    signature = inspect.Signature([*parameters, *options])
    run.__signature__ = signature  # type: ignore[attr-defined]  # what Typer reads
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return run


# --- the configuration of the `spacetime` program ---------------------------------------------------------------------


def _configured(config: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """Addresses of servers by nickname, and which is used where none is named."""
    servers: dict[str, str] = {}
    entries = config.get("server_configs")
    for entry in cast("Sequence[Any]", entries) if isinstance(entries, list) else ():
        match entry:
            case {"nickname": str(name), "host": str(host), "protocol": str(protocol)}:
                servers[name] = f"{protocol}://{host}"
            case _:  # one that this program has no use for
                continue
    default = config.get("default_server")
    return servers, default if isinstance(default, str) else None
