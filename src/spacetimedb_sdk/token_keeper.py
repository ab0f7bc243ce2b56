"""Which token each attempt to connect is made with: the rules that are the same for every source.

Above all: a token which the user gave is never replaced by a new anonymous identity. Time is an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from spacetimedb_proto.errors import AuthenticationError, SpacetimeDBError
from spacetimedb_proto.jwt import has_expired, read_claims

from .tokens import TokenSource, blaming, fetch_async, fetch_now, usable

__all__ = ["TokenKeeper", "refusal"]

_ISSUED: Final = "the token that the server issued"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TokenKeeper:
    """Decides which token each attempt to connect is made with, for the life of one connection.

    - The source is asked for each attempt. Once it has given a token, it must give one every time.
    - If it gives none, the connection is anonymous: the first time a new identity, afterwards the same one by the token
      that the server issued with it. From then on only sources that can renew are asked whether they have one now.
    - A token whose time is over is an error before anything is sent.

    Args:
        source: Where tokens come from.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._issued: str | None = None
        self._is_user_given = False
        self._was_refused = False

    @property
    def is_user_given(self) -> bool:
        """Whether the source has given a token, so that no anonymous identity may take its place."""
        return self._is_user_given

    @property
    def origin(self) -> str:
        """Where the token is from that was given last, in words."""
        return self._source.description if self._is_user_given else _ISSUED

    def token_now(self, now: float) -> str | None:
        """The token for this attempt, or None for a new anonymous identity.

        Args:
            now: Seconds since 1970.

        Raises:
            AuthenticationError: There should be one, and there is none that can be used.
            LocalProtocolError: The source wants to be awaited.
        """
        return self._settled(None if self._is_settled else fetch_now(self._source), now)

    async def token_async(self, now: float) -> str | None:
        """The token for this attempt, or None for a new anonymous identity; the source may be awaited.

        Args:
            now: Seconds since 1970.

        Raises:
            AuthenticationError: There should be one, and there is none that can be used.
        """
        return self._settled(None if self._is_settled else await fetch_async(self._source), now)

    def issued(self, token: str) -> None:
        """The server has accepted the connection and told its token. Call it each time that happens.

        Raises:
            AuthenticationError: The source should have stored it and could not; the keeper goes on with it even so.
                Or it cannot be sent, so that the new identity is lost with the connection.
        """
        self._was_refused = False
        if self._is_user_given or self._issued is not None:
            return
        self._issued = usable(token, _ISSUED)
        with blaming(self._source):
            self._source.store(token)

    def refused(self) -> bool:
        """The server has refused the attempt (401 or 403).

        Returns:
            Whether one more attempt makes sense: the source may give another token, and the refusal is the first since
            a connection was accepted.
        """
        is_first = not self._was_refused
        self._was_refused = True
        return is_first and self._source.can_renew

    @property
    def _is_settled(self) -> bool:
        """Whether the session is anonymous for good, so that what its source may have now would be somebody else."""
        return self._issued is not None and not self._source.can_renew

    def _settled(self, fetched: str | None, now: float) -> str | None:
        if fetched is None and self._is_user_given:
            raise AuthenticationError(
                f"{self._source.description} gave a token before and none now; no new identity is made in its place"
            )
        self._is_user_given = fetched is not None
        token = fetched or self._issued
        if token is not None and has_expired(token, now):
            raise AuthenticationError(f"{self.origin}: {_age(token, now)}")
        return token

    def __repr__(self) -> str:
        return f"<TokenKeeper of {self._source!r}>"


def refusal(error: SpacetimeDBError, origin: str) -> AuthenticationError:
    """The error that a token was refused (401), with where it is from: there may be several that could have been it."""
    return AuthenticationError(f"{origin}: {error}", status=401, body=getattr(error, "body", ""))


def _age(token: str, now: float) -> str:
    expiry = read_claims(token).expires_at or 0
    return f"the token expired at {_moment(expiry)}; this machine's clock says {_moment(now)}"


def _moment(seconds: float) -> str:
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} UTC"
