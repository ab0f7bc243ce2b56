"""Requests and answers of the HTTP API: what a request names, and the ways to answer it.

Nothing here knows what is served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.websocket import UpgradeRequest

__all__ = ["Answer", "Headers", "Refusal", "check_method", "header_of", "target_of"]

Headers: TypeAlias = Sequence[tuple[str, str]]


@attrs.frozen
class Answer:
    """What an HTTP request gets."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def json(cls, value: Any) -> Answer:
        """A good answer."""
        return cls(HTTPStatus.OK, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def headers(self, more: Headers) -> Headers:
        """Its headers, and more."""
        own = [("content-type", self.content_type)] if self.body else []
        return [*own, ("access-control-allow-origin", "*"), *more]


class Refusal(Exception):  # noqa: N818
    """Not a fault, but the way out of several steps, with what to answer."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.answer = Answer(status, text.encode())


def header_of(request: HttpRequest | UpgradeRequest, name: str) -> str | None:
    """The value of a header, whose name is given in lower case."""
    return next((value for each, value in request.headers if each == name), None)


def target_of(request: HttpRequest | UpgradeRequest) -> tuple[list[str], dict[str, str]]:
    """The path's segments and the parameters of a request.

    Raises:
        Refusal: Its target is no URL.
    """
    try:
        parts = urlsplit(request.target)
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the target is no URL") from error
    segments = [unquote(segment) for segment in parts.path.removeprefix("/").split("/")]
    return segments, dict(parse_qsl(parts.query, keep_blank_values=True))


def check_method(request: HttpRequest, method: str) -> None:
    """Refuse a request that is not of the one method that its route knows."""
    if request.method != method:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED)
