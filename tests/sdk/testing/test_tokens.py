"""Tokens and the identities that they stand for."""

import base64
import json

import pytest

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.errors import AuthenticationError
from spacetimedb_sdk.testing.tokens import TokenIssuer, derive_identity

NOW = Timestamp(1_700_000_000_123_456)


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_identities_are_derived():
    assert derive_identity("alice") == derive_identity("alice", "localhost")
    assert len({derive_identity("alice"), derive_identity("bob"), derive_identity("alice", "elsewhere")}) == 3
    assert derive_identity("alice").hex().startswith("c200")


def test_a_token_says_who_one_is():
    issuer = TokenIssuer(b"secret")
    token = issuer.issue("alice", NOW)
    assert issuer.subject(token, NOW) == "alice"
    assert token.startswith("eyJ"), "so that it is taken for a secret wherever tokens are"
    assert claims_of(token) == {
        "hex_identity": derive_identity("alice").hex(),
        "sub": "alice",
        "iss": "localhost",
        "aud": ["spacetimedb"],
        "iat": 1_700_000_000,
    }


def test_older_servers_write_that_a_token_has_no_end():
    issuer = TokenIssuer(b"secret", writes_null=True)
    token = issuer.issue("alice", NOW)
    assert claims_of(token)["exp"] is None
    assert issuer.subject(token, NOW) == "alice"
    assert claims_of(issuer.issue("alice", NOW, 60))["exp"] == 1_700_000_060


def forged():
    header, payload, signature = TokenIssuer(b"secret").issue("alice", NOW).split(".")
    _, other_payload, other_signature = TokenIssuer(b"secret").issue("mallory", NOW).split(".")
    stranger = TokenIssuer(b"another secret").issue("alice", NOW)
    return [
        "", ".", "..", "abc", "a.b", "a.b.c", "a.b.c.d", "é.b.c", stranger,
        f"{header}.{payload}", f"{header}.{payload}.", f"{header}.{other_payload}.{signature}",
        f"{header}.{payload}.{other_signature}", f"{header}.{payload}.{signature}=", f" {header}.{payload}.{signature}",
    ]  # fmt: skip


@pytest.mark.parametrize("token", forged())
def test_others_are_refused_without_being_repeated(token):
    with pytest.raises(AuthenticationError) as caught:
        TokenIssuer(b"secret").subject(token, NOW)
    assert (str(caught.value), caught.value.status) == ("Invalid token: InvalidToken", 401)


def test_tokens_may_end():
    issuer = TokenIssuer(b"secret")
    token = issuer.issue("alice", NOW, 60)
    assert claims_of(token)["exp"] == 1_700_000_060
    later = [Timestamp(NOW.micros + seconds * 1_000_000) for seconds in (59, 120, 121)]
    assert [issuer.subject(token, now) for now in later[:2]] == ["alice", "alice"], "a minute late is not too late"
    with pytest.raises(AuthenticationError, match="ExpiredSignature"):
        issuer.subject(token, later[2])
