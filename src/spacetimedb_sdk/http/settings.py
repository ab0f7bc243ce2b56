"""What both clients are made of: the options that users give."""

from __future__ import annotations

import os
import ssl as tls
from collections.abc import Mapping

import attrs

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.http_api import Api
from spacetimedb_proto.http_proxy import Proxy, Route, proxy_for
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.uri import Endpoint

from ..token_keeper import TokenKeeper
from ..tokens import Token, source_of
from .core import Core

__all__ = ["Settings"]


@attrs.frozen(kw_only=True)
class Settings:
    """The options of a client, as its docstring explains them."""

    uri: str
    database: str | None
    token: Token | None = attrs.field(repr=False)
    timeout: float
    connections: int
    retry: Backoff | None
    proxy: str | bool = attrs.field(repr=False)
    limits: Limits | None
    ssl: tls.SSLContext | None

    def core(self) -> Core:
        """Make what both clients share.

        Raises:
            ConnectError: The address is none.
            LocalProtocolError: There is no connection to use.
            TypeError: The token is none, and no source of one.
        """
        if self.connections < 1:
            raise LocalProtocolError(f"connections: expected at least 1, got {self.connections}")
        api = Api(Endpoint.parse(self.uri), self.database, self.limits)
        return Core(api, TokenKeeper(source_of(self.token)), self.retry)

    def route(self, endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> Route:
        """The way to the server.

        Raises:
            ConnectError: The proxy is none that can be used.
        """
        if self.proxy is True:
            return Route(endpoint, proxy_for(endpoint, environ))
        return Route(endpoint, Proxy.parse(self.proxy) if self.proxy else None)
