"""Who somebody is: tokens that only this server can have made, and the identities that they stand for.

Tokens have the form and the claims of the real server's (protocol reference, 6). They are signed with a secret of the
process instead of a key pair, and identities are made with SHA-256 instead of BLAKE3: nobody else's tokens are of use
here, nor are these elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any, Final

from spacetimedb_proto.bsatn.values import Identity, Timestamp
from spacetimedb_proto.errors import AuthenticationError
from spacetimedb_proto.jwt import has_expired, read_claims

__all__ = ["TokenIssuer", "derive_identity"]

ISSUER: Final = "localhost"
"""What the real standalone server calls itself."""

_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)


def derive_identity(subject: str, issuer: str = ISSUER) -> Identity:
    """The identity of a subject: always the same, and hexadecimal that begins with c200 as everywhere."""
    digest = hashlib.sha256(f"{issuer}|{subject}".encode()).digest()[:26]
    checksum = hashlib.sha256(b"\xc2\x00" + digest).digest()[:4]
    return Identity.from_wire((b"\xc2\x00" + checksum + digest)[::-1])


class TokenIssuer:
    """Makes tokens and knows its own again.

    Args:
        secret: What they are signed with.
        writes_null: Whether tokens without end say so by `null`, as those of 2.8, or leave the claim out (protocol
            reference, 8).
    """

    def __init__(self, secret: bytes, *, writes_null: bool = False) -> None:
        self._secret = secret
        self._writes_null = writes_null

    def issue(self, subject: str, now: Timestamp, lifetime: int | None = None) -> str:
        """A token that is good for `lifetime` seconds, or for ever."""
        issued = now.micros // 1_000_000
        claims: dict[str, Any] = {
            "hex_identity": derive_identity(subject).hex(),
            "sub": subject,
            "iss": ISSUER,
            "aud": ["spacetimedb"],
            "iat": issued,
        }
        if lifetime is not None or self._writes_null:
            claims["exp"] = None if lifetime is None else issued + lifetime
        signed = f"{_encoded_json({'typ': 'JWT', 'alg': 'HS256'})}.{_encoded_json(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def subject(self, token: str, now: Timestamp) -> str:
        """Whose token it is.

        Raises:
            AuthenticationError: It was not made here, or is too old. The text is the real server's for the first, and
                does not repeat the token.
        """
        match = _PARTS.fullmatch(token)
        if match is None or not hmac.compare_digest(self._signature(match[1]), match[2]):
            raise AuthenticationError("Invalid token: InvalidToken", status=401)
        if has_expired(token, now.micros // 1_000_000):
            raise AuthenticationError("Invalid token: ExpiredSignature", status=401)
        return read_claims(token).subject or ""

    def _signature(self, signed: str) -> str:
        return _encoded(hmac.new(self._secret, signed.encode(), hashlib.sha256).digest())


def _encoded_json(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
