"""What is read of tokens, good ones and others."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.jwt import LEEWAY, MAX_TOKEN, Claims, has_expired, needs_refresh, read_claims

NOW = 1_700_000_000
HEADER = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(payload):
    """A token with this payload, given as an object or as the bytes that stand for one."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return f"{HEADER}.{encoded(data)}.c2lnbmF0dXJl"


def test_claims():
    token = jwt({"iss": "localhost", "sub": "alice", "iat": NOW, "exp": NOW + 60.5, "aud": ["spacetimedb"]})
    assert read_claims(token) == Claims(NOW + 60.5, NOW, "localhost", "alice")


@pytest.mark.parametrize("claims", [{"exp": None}, {}])
def test_a_token_may_never_expire(claims):
    token = jwt({"iat": NOW, **claims})
    assert read_claims(token).expires_at is None
    assert not needs_refresh(token, NOW * 1000)
    assert not has_expired(token, NOW * 1000)


def test_a_real_token():
    """The claims of a server's token, from the protocol reference's example."""
    claims = read_claims(
        jwt({"iss": "localhost", "sub": "6d4b5430-00cf-4a99-932c-ad2d07bab841", "iat": 1, "exp": None})
    )
    assert (claims.issuer, claims.subject) == ("localhost", "6d4b5430-00cf-4a99-932c-ad2d07bab841")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"exp": "1700000000"}', b'{"exp": true}', b'{"exp": [1]}', b'{"exp": {}}', b'{"exp": -1}',
        b'{"exp": NaN}', b'{"exp": Infinity}', b'{"exp": 1e999}', b'{"exp": 253402300800}',
        b'{"exp": 1' + b"0" * 4000 + b"}",
    ],
)  # fmt: skip
def test_other_ends_are_none(payload):
    token = jwt(payload)
    assert read_claims(token) == Claims(None, None, None, None)
    assert not needs_refresh(token, NOW)
    assert not has_expired(token, NOW)


def test_other_types_are_none():
    assert read_claims(jwt({"iat": "now", "iss": 1, "sub": ["alice"]})) == Claims(None, None, None, None)


NOT_TOKENS = {
    "empty": "",
    "a word": "secret",
    "two parts": f"{HEADER}.e30",
    "four parts": f"{HEADER}.e30.a.b",
    "no header": ".e30.a",
    "no payload": f"{HEADER}..a",
    "a blank": f"{HEADER}.e30.a ",
    "a line feed": f"{HEADER}.e30.a\n",
    "padding": f"{HEADER}.e30=.a",
    "other alphabet": f"{HEADER}.e3+/.a",
    "digits of another script": f"{HEADER}.e3٣.a",
    "no base64": f"{HEADER}.e30e3.a",
    "no UTF-8": jwt(b'{"iss": "\xff"}'),
    "no JSON": jwt(b"secret"),
    "an array": jwt(b"[1]"),
    "a string": jwt(b'"secret"'),
    "null": jwt(b"null"),
    "too many digits": jwt(b'{"exp": 1' + b"0" * 5000 + b"}"),
    "too deep": jwt(b"[" * 20_000),
    "too long": jwt({"iss": "a" * MAX_TOKEN}),
}


@pytest.mark.parametrize("token", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_what_is_no_token(token):
    with pytest.raises(DecodeError) as caught:
        read_claims(token)
    expected = "expected a JSON Web Token: three parts joined by dots, the second an object; got another text"
    assert str(caught.value) == expected
    assert caught.value.__context__ is None, "which would hold the text"
    assert not needs_refresh(token, NOW)
    assert not has_expired(token, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "iat", "iss", "sub", "aud"]), JSON)
TOKENS = st.one_of(
    st.text(), st.text("eyJabc123-_.="), st.binary().map(jwt), CLAIMS.map(jwt), CLAIMS.map(lambda c: jwt(c)[:-14])
)


@given(TOKENS, st.floats() | st.integers())
def test_nothing_else_is_raised(token, now):
    assert needs_refresh(token, now) in (True, False)
    assert has_expired(token, now) in (True, False)
    try:
        claims = read_claims(token)
    except DecodeError:
        return
    assert type(claims.expires_at) in (int, float, type(None))
    assert type(claims.subject) in (str, type(None))


@pytest.mark.parametrize(
    ("life", "margin"),
    [(60, 30), (600, 30), (1000, 50), (86_400, 4320), (0, 30), (-5, 30), (None, 30)],
)
def test_when_another_one_is_needed(life, margin):
    end = NOW + 100_000
    token = jwt({"exp": end} if life is None else {"exp": end, "iat": end - life})
    assert not needs_refresh(token, end - margin - 0.001)
    assert needs_refresh(token, end - margin)
    assert needs_refresh(token, end + margin)


def test_when_it_is_too_old():
    token = jwt({"exp": NOW})
    assert not has_expired(token, NOW + LEEWAY)
    assert has_expired(token, NOW + LEEWAY + 1)
