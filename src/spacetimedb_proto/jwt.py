"""What a token says about itself: JSON Web Tokens, read without checking who signed them.

Only the server can tell whether a token is good. What is read here serves to ask for another one in time, and to tell
a program that its token is too old instead of having the server refuse it. No message repeats any part of a token.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final, cast

import attrs

from .errors import DecodeError

__all__ = ["LEEWAY", "MAX_TOKEN", "Claims", "has_expired", "needs_refresh", "read_claims"]

LEEWAY: Final = 60
"""Seconds that the server still takes a token after its end (protocol reference, 6)."""

MAX_TOKEN: Final = 64 * 1024
"""Characters of a token that are looked at; no server takes headers that long."""

_MARGIN: Final = 30.0
_MARGIN_SHARE: Final = 0.05

_LATEST: Final = 253_402_300_799
"""The last second of the year 9999: what lies beyond is no date."""

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


@attrs.frozen
class Claims:
    """What a token says. A claim that is absent, null or of another type than it should be is None.

    Attributes:
        expires_at: `exp`, the end of its life in seconds since 1970, or None if it has none that can be read. Tokens
            that never expire say `null` or nothing, depending on the server's version (protocol reference, 8).
        issued_at: `iat`, the beginning of its life in the same unit.
        issuer: `iss`, who made it.
        subject: `sub`, whom it stands for.
        identity: `hex_identity`, as which the server that made it knows the subject; others leave it out.
    """

    expires_at: float | None
    issued_at: float | None
    issuer: str | None
    subject: str | None
    identity: str | None = None


def read_claims(token: str) -> Claims:
    """Read a token. Its signature is not looked at.

    Raises:
        DecodeError: It is no JSON Web Token.
    """
    claims = _payload(token)
    if claims is None:
        raise DecodeError(
            "expected a JSON Web Token: three parts joined by dots, the second an object; got another text"
        )
    return Claims(
        expires_at=_time(claims.get("exp")),
        issued_at=_time(claims.get("iat")),
        issuer=_text(claims.get("iss")),
        subject=_text(claims.get("sub")),
        identity=_text(claims.get("hex_identity")),
    )


def needs_refresh(token: str, now: float) -> bool:
    """Whether another token should be fetched before connecting with this one.

    That is so from 30 seconds before its end on, or for the last twentieth of its life if that is longer, which is when
    the official clients ask too. They also ask when they cannot read an end; here such a token never needs it.

    Args:
        token: Any text; one that is no JSON Web Token has no end that can be read.
        now: Seconds since 1970.
    """
    claims = _claims_or_none(token)
    if claims is None or claims.expires_at is None:
        return False
    life = 0.0 if claims.issued_at is None else claims.expires_at - claims.issued_at
    return claims.expires_at - now <= max(_MARGIN, _MARGIN_SHARE * life)


def has_expired(token: str, now: float) -> bool:
    """Whether the server would refuse the token for its age, if its clock shows `now` too (protocol reference, 6).

    Args:
        token: Any text; one that is no JSON Web Token has no end that can be read.
        now: Seconds since 1970.
    """
    claims = _claims_or_none(token)
    return claims is not None and claims.expires_at is not None and now > claims.expires_at + LEEWAY


def _claims_or_none(token: str) -> Claims | None:
    try:
        return read_claims(token)
    except DecodeError:
        return None


def _payload(token: str) -> dict[str, Any] | None:
    """The claims as they stand there, or None. What JSON and base64 raise holds the text, so it ends here."""
    match = _FORM.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if match is None:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)).decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else None


def _time(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        return None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
