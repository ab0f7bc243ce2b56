"""Questions to a server that no client asks: how quick it is, what time it has there, which version it is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from spacetimedb_proto.handshake import bearer
from spacetimedb_proto.http import HttpRequest, HttpResponse
from spacetimedb_proto.http_proxy import Route, proxy_for
from spacetimedb_proto.limits import MIB
from spacetimedb_proto.uri import Endpoint
from spacetimedb_transports.blocking_http import BlockingHttpLinks
from spacetimedb_transports.http_links import Unanswered

__all__ = ["Probe"]


class Probe:
    """Asks one server.

    Args:
        endpoint: The server.
        timeout: Seconds for each answer.
        now: Seconds since 1970.
    """

    def __init__(self, endpoint: Endpoint, timeout: float, now: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._now = now
        self._links = BlockingHttpLinks(Route(endpoint, proxy_for(endpoint, os.environ)), size=MIB)

    def close(self) -> None:
        """Let go of its connections."""
        self._links.close()

    def ping(self, token: str | None = None) -> tuple[HttpResponse | Unanswered, float]:
        """Whether the server answers, and takes a token; beside that the seconds that it took."""
        before = self._now()
        answer = self._get("ping", token=token)
        return answer, self._now() - before

    def version(self) -> str | None:
        """The version that the server says it has; None if it does not say."""
        found = _object(self._get("health")).get("version")
        return found if isinstance(found, str) else None

    def clock_difference(self, database: str) -> float | None:
        """By how many seconds the server's clock is ahead of ours, to within half the time that asking takes."""
        before = self._now()
        micros = _object(self._get("database", database, "unstable", "timestamp")).get(
            "__timestamp_micros_since_unix_epoch__"
        )
        between = (before + self._now()) / 2
        return micros / 1_000_000 - between if isinstance(micros, int) else None

    def _get(self, *segments: str, token: str | None = None) -> HttpResponse | Unanswered:
        headers = [("host", self._endpoint.host_header)]
        if token is not None:
            headers.append(("authorization", bearer(token)))
        request = HttpRequest("GET", self._endpoint.target(*segments), tuple(headers))
        return self._links.exchange(request, time=self._timeout)


def _object(answer: HttpResponse | Unanswered) -> Mapping[str, Any]:
    """The JSON object of a good answer, or an empty one."""
    if isinstance(answer, Unanswered) or answer.status != 200:
        return {}
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}
