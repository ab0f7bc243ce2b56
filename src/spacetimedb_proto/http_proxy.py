"""Proxies: which one stands before a server, by the environment's word, and the way through it.

The variables are those that curl and most programs read: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, of
which the lower-case spelling counts first. The environment is an argument. A plain server is asked through the proxy
by whole addresses; to one with TLS the proxy opens a tunnel (RFC 9110, 9.3.6), which `Tunnel` asks for.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import attrs
import h11

from .errors import ConnectError, RemoteProtocolError
from .events import NEED_DATA, NeedData
from .http import HttpRequest, shown, written
from .uri import Endpoint

__all__ = ["Proxy", "Route", "Tunnel", "proxy_for"]


@attrs.frozen
class Proxy:
    """A proxy.

    Attributes:
        endpoint: Where it is; without TLS.
        authorization: Value of the `Proxy-Authorization` header, or None. Never shown, since it is a password.
    """

    endpoint: Endpoint
    authorization: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, uri: str) -> Proxy:
        """Read `http://host:port`, perhaps with a user and a password; no scheme means `http`.

        Raises:
            ConnectError: It is no such address. The message does not repeat it, since it may hold a password.
        """
        scheme, separator, rest = uri.strip().partition("://")
        if not separator:
            scheme, rest = "http", uri.strip()
        if scheme.lower() != "http":
            raise ConnectError(f"proxy: expected an address that begins with http://, got one of {scheme[:40]!r}")
        user, is_known, place = rest.rpartition("@")
        authorization = None
        if is_known:
            authorization = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
        try:
            endpoint = Endpoint.parse(f"http://{place.rstrip('/')}")
        except ConnectError as error:
            raise ConnectError(f"proxy: {error}") from None
        return cls(endpoint, authorization)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What to send to the proxy beside the request."""
        return () if self.authorization is None else (("proxy-authorization", self.authorization),)


def proxy_for(endpoint: Endpoint, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names for a server, or None.

    Loopback is never asked for through a proxy. `HTTP_PROXY` in capitals is not believed where `REQUEST_METHOD` is set,
    since a web server's client could have set it there (CVE-2016-5385).

    Raises:
        ConnectError: What it names is no proxy that can be used.
    """
    scheme = "https" if endpoint.is_tls else "http"
    uri = _variable(environ, f"{scheme}_proxy") or _variable(environ, "all_proxy")
    if not uri or endpoint.is_loopback or _is_exempt(endpoint, _variable(environ, "no_proxy")):
        return None
    return Proxy.parse(uri)


def _variable(environ: Mapping[str, str], name: str) -> str:
    if name in environ:
        return environ[name]
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return ""
    return environ.get(name.upper(), "")


def _is_exempt(endpoint: Endpoint, no_proxy: str) -> bool:
    return any(_matches(endpoint, entry.strip()) for entry in no_proxy.split(",") if entry.strip())


def _matches(endpoint: Endpoint, entry: str) -> bool:
    """Whether an entry of `NO_PROXY` means a server: `*`, a domain with all below it, an address, or a network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(endpoint.host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass  # one of them is a name
    domain, _, port = entry.rpartition(":") if entry.rpartition(":")[2].isdecimal() else (entry, "", "")
    if port and int(port) != endpoint.port:
        return False
    domain = domain.strip("[]").removeprefix("*").strip(".").lower()
    host = endpoint.host.rstrip(".").lower()
    return host == domain or host.endswith(f".{domain}")


@attrs.frozen
class Route:
    """The way to a server, straight or through a proxy.

    Attributes:
        endpoint: The server.
        proxy: What stands before it, or None.
    """

    endpoint: Endpoint
    proxy: Proxy | None = None

    @property
    def first(self) -> Endpoint:
        """Where to open a connection to."""
        return self.endpoint if self.proxy is None else self.proxy.endpoint

    def tunnel(self) -> Tunnel | None:
        """What to ask the proxy for first, before TLS begins; None where nothing is asked for."""
        return Tunnel(self.proxy, self.endpoint) if self.proxy is not None and self.endpoint.is_tls else None

    def prepared(self, request: HttpRequest) -> HttpRequest:
        """A request as it is sent: through a proxy without a tunnel it tells the whole address."""
        if self.proxy is None or self.endpoint.is_tls:
            return request
        target = f"http://{self.endpoint.host_header}{request.target}"
        return attrs.evolve(request, target=target, headers=(*request.headers, *self.proxy.headers))


_HEAD_SIZE: Final = 64 * 1024
"""Bytes that a proxy's answer may have before the tunnel is open."""


class Tunnel:
    """Asks a proxy for a tunnel to a server. Bytes in, bytes out.

    Args:
        proxy: Whom to ask.
        endpoint: Where the tunnel leads.
    """

    def __init__(self, proxy: Proxy, endpoint: Endpoint) -> None:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self._where = f"{host}:{endpoint.port}"
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_SIZE)
        self._is_ended = False
        self._out = written(self._h11, HttpRequest("CONNECT", self._where, (("host", self._where), *proxy.headers)))

    def data_to_send(self) -> bytes:
        """Take what must go out."""
        out, self._out = self._out, b""
        return out

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; an empty string says that no more will come."""
        self._is_ended = not data
        self._h11.receive_data(data)

    def next_event(self) -> bool | NeedData:
        """True when the tunnel is open, `NEED_DATA` before.

        Raises:
            ConnectError: The proxy refused, or ended the connection.
            RemoteProtocolError: Its answer is not HTTP.
        """
        try:
            event: object = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            if self._is_ended:
                text = f"the proxy ended the connection before there was a tunnel to {self._where}"
                raise ConnectError(text) from None
            raise RemoteProtocolError(f"proxy: the answer is not HTTP: {shown(str(error))}") from None
        if isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                return True
            text = f"the proxy answered {event.status_code} when asked for a tunnel to {self._where}"
            raise ConnectError(text, status=event.status_code)
        return NEED_DATA
