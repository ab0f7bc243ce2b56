"""Where a server is: the URI that a user gives, and the request targets made from it.

It knows the paths of the HTTP API (protocol reference, 1.1 and 5), and how a URI is read. It opens nothing and resolves
no names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import attrs

from .errors import ConnectError

__all__ = ["Endpoint"]

_TLS_BY_SCHEME: Final = {"http": False, "ws": False, "https": True, "wss": True}
_DEFAULT_PORTS: Final = {False: 80, True: 443}
_EXPECTED: Final = "expected http://, https://, ws:// or wss://, a host, and perhaps a port and a path"
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~"
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")


@attrs.frozen
class Endpoint:
    """A server's address, checked and taken apart.

    Attributes:
        host: Host name or IP address, without brackets; names outside ASCII in their IDNA form.
        port: TCP port, 1 to 65535.
        is_tls: Whether the link is encrypted.
        base: Path that stands before every target of the API: empty, or with a leading and no trailing slash.
    """

    host: str
    port: int
    is_tls: bool
    base: str = ""

    @classmethod
    def parse(cls, uri: str) -> Endpoint:
        """Read what a user gave as the server's address.

        `http` and `ws` mean the same here, as do `https` and `wss`; no scheme means `ws`; a path is kept in front of
        every target (protocol reference, 1.1, as the Rust SDK reads it).

        Raises:
            ConnectError: It is no such address, or it holds a user name, a query or a fragment. The message repeats
                none of these, since they may be secret.
        """
        if any(char <= " " or char == "\x7f" for char in uri):
            raise _unusable("it contains spaces or control characters")
        scheme, separator, rest = uri.partition("://")
        if not separator:
            scheme, rest = "ws", uri
        is_tls = _TLS_BY_SCHEME.get(scheme.lower())
        if is_tls is None:
            raise _unusable(f"the scheme is {scheme[:40]!r}")
        parts = _split(rest)
        return cls(
            host=_read_host(parts.hostname or ""),
            port=_read_port(parts, is_tls),
            is_tls=is_tls,
            base=quote(parts.path.rstrip("/"), safe=_PATH_SAFE),
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine, going by the name alone."""
        name = self.host.rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return True
        address = _ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None)
        return address is not None and (address.is_loopback or (mapped is not None and mapped.is_loopback))

    @property
    def host_header(self) -> str:
        """Value of the `Host` header: the port only where it is not the scheme's own, IPv6 in brackets, no zone."""
        host = self.host.partition("%")[0]
        if ":" in host:
            host = f"[{host}]"
        return host if self.port == _DEFAULT_PORTS[self.is_tls] else f"{host}:{self.port}"

    def target(self, *segments: str, params: Mapping[str, str] | None = None) -> str:
        """A request target of the API: `target("identity")` is `/v1/identity` below the base path.

        Raises:
            ConnectError: A segment is empty, `.` or `..`: it would name another resource. Or UTF-8 cannot say it.
        """
        for segment in segments:
            if segment in ("", ".", "..") or not _is_utf8(segment):
                raise ConnectError(f"expected a name, got {segment!r}")
        path = "/".join(quote(segment, safe="") for segment in segments)
        query = f"?{urlencode(params)}" if params else ""
        return f"{self.base}/v1/{path}{query}"

    def subscribe_target(self, database: str, params: Mapping[str, str] | None = None) -> str:
        """Target of the WebSocket handshake; `params` are those of the protocol reference, 1.2."""
        return self.target("database", database, "subscribe", params=params)

    def schema_target(self, database: str, version: int) -> str:
        """Target of the module definition, in the layout that `version` names (9 or 10)."""
        return self.target("database", database, "schema", params={"version": str(version)})

    def __str__(self) -> str:
        return f"{'wss' if self.is_tls else 'ws'}://{self.host_header}{self.base}"


def _split(rest: str) -> SplitResult:
    """Take apart what follows the scheme, and refuse the parts that an address of a server has not."""
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError as error:  # brackets that hold no IPv6 address
        raise _unusable("its host is no IPv6 address in brackets") from error
    if "@" in parts.netloc:
        raise _unusable("it contains a user name or password; a token is given on its own")
    if "?" in rest or "#" in rest:
        raise _unusable("it contains a query or a fragment; options are given on their own")
    return parts


def _is_utf8(text: str) -> bool:
    """Whether UTF-8 can say a text: not half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_host(host: str) -> str:
    if not host:
        raise _unusable("it names no host")
    if _ip_address(host) is not None:
        return host
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise _unusable(f"{host[:80]!r} is no host name") from error
    if len(name) > 253 or not _HOST_NAME.fullmatch(name):
        raise _unusable(f"{host[:80]!r} is no host name")
    return name


def _read_port(parts: SplitResult, is_tls: bool) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _unusable("its port is no number from 1 to 65535")
    return port or _DEFAULT_PORTS[is_tls]


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unusable(why: str) -> ConnectError:
    return ConnectError(f"not the address of a server: {_EXPECTED}; {why}")
