"""Requests and answers of the HTTP API: what a request names, and the ways to answer it.

Nothing here knows what is served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.limits import MIB
from spacetimedb_proto.websocket import UpgradeRequest

from .logs import Log

__all__ = ["TEXT", "Answer", "Headers", "Refusal", "check_method", "header_of", "target_of", "text_of"]

Headers: TypeAlias = Sequence[tuple[str, str]]

TEXT: Final = "text/plain; charset=utf-8"

BODY_LIMIT: Final = 2 * MIB
"""As much as the real server takes in the body of a request that is no module (protocol reference, 5)."""


@attrs.frozen
class Answer:
    """What an HTTP request gets.

    Attributes:
        status: Of the answer.
        body: Its body, or the beginning of it.
        content_type: Of the body.
        more_headers: Headers beside those that every answer has.
        follows: The log whose new lines are added to the body for as long as the client stays, or None.
    """

    status: int
    body: bytes = b""
    content_type: str = TEXT
    more_headers: Headers = ()
    follows: Log | None = None

    @classmethod
    def json(cls, value: Any, more_headers: Headers = ()) -> Answer:
        """A good answer."""
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", errors="replace")
        return cls(HTTPStatus.OK, body, "application/json", more_headers)

    def headers(self, more: Headers) -> Headers:
        """Its headers, and more."""
        own = [("content-type", self.content_type)] if self.body or self.content_type != TEXT else []
        return [*own, ("access-control-allow-origin", "*"), *self.more_headers, *more]


class Refusal(Exception):  # noqa: N818
    """Not a fault, but the way out of several steps, with what to answer."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.answer = Answer(status, text.encode("utf-8", errors="replace"))


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


def text_of(request: HttpRequest) -> str:
    """The body of a request.

    Raises:
        Refusal: It is too long, or no text.
    """
    if len(request.body) > BODY_LIMIT:
        text = "Failed to buffer the request body: length limit exceeded"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    try:
        return request.body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"Request body didn't contain valid UTF-8: {error.reason}") from error
