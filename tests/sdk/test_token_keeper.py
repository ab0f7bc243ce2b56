"""Which token each attempt to connect is made with."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_proto.errors import AuthenticationError, LocalProtocolError
from spacetimedb_sdk import TokenEnv, TokenFile, TokenSource
from spacetimedb_sdk.testing.tokens import TokenIssuer
from spacetimedb_sdk.token_keeper import TokenKeeper
from spacetimedb_sdk.tokens import source_of

NOW = 1_700_000_000
ISSUER = TokenIssuer(b"secret")
SHORT = ISSUER.issue("alice", Timestamp(NOW * 1_000_000), 300)


def keeper_of(token):
    return TokenKeeper(source_of(token))


def answers(*tokens):
    """A function that gives these tokens one after the other."""
    return iter(tokens).__next__


def test_an_anonymous_session_keeps_its_identity():
    keeper = keeper_of(None)
    assert keeper.token_now(NOW) is None
    assert keeper.token_now(NOW) is None, "the first attempt failed"
    keeper.issued("first")
    assert keeper.token_now(NOW) == "first"
    keeper.issued("first again")
    assert keeper.token_now(NOW) == "first"
    assert not keeper.is_user_given


def test_a_given_token_stays():
    keeper = keeper_of("mine")
    assert keeper.token_now(NOW) == "mine"
    assert keeper.is_user_given
    keeper.issued("other")
    assert keeper.token_now(NOW) == "mine"


def test_a_function_is_asked_for_each_attempt():
    keeper = keeper_of(answers("one", "two"))
    assert keeper.token_now(NOW) == "one"
    keeper.issued("one")
    assert keeper.token_now(NOW) == "two"


def test_a_given_token_is_never_replaced_by_a_new_identity():
    keeper = keeper_of(answers("mine", None))
    assert keeper.token_now(NOW) == "mine"
    keeper.issued("mine")
    with pytest.raises(AuthenticationError) as caught:
        keeper.token_now(NOW)
    assert str(caught.value).endswith("gave a token before and none now; no new identity is made in its place")


def test_that_holds_before_the_first_connection_too():
    keeper = keeper_of(answers("mine", None))
    keeper.token_now(NOW)
    with pytest.raises(AuthenticationError):
        keeper.token_now(NOW)


def test_a_function_may_have_a_token_later():
    keeper = keeper_of(answers(None, None, "mine"))
    assert keeper.token_now(NOW) is None
    keeper.issued("issued")
    assert keeper.token_now(NOW) == "issued"
    assert keeper.token_now(NOW) == "mine"
    assert keeper.is_user_given


def test_other_sources_are_somebody_else_once_the_session_is_anonymous(monkeypatch):
    monkeypatch.delenv("SPACETIMEDB_TOKEN", raising=False)
    keeper = TokenKeeper(TokenEnv(optional=True))
    assert keeper.token_now(NOW) is None
    keeper.issued("issued")
    monkeypatch.setenv("SPACETIMEDB_TOKEN", "mine")
    assert keeper.token_now(NOW) == "issued"


def test_a_variable_is_read_for_each_attempt(monkeypatch):
    monkeypatch.setenv("SPACETIMEDB_TOKEN", "one")
    keeper = TokenKeeper(TokenEnv(optional=True))
    assert keeper.token_now(NOW) == "one"
    monkeypatch.setenv("SPACETIMEDB_TOKEN", "two")
    assert keeper.token_now(NOW) == "two"
    monkeypatch.delenv("SPACETIMEDB_TOKEN")
    with pytest.raises(AuthenticationError, match="no new identity"):
        keeper.token_now(NOW)


def test_a_file_keeps_the_identity_for_the_next_start(tmp_path):
    file = TokenFile(tmp_path / "token")
    first = TokenKeeper(file)
    assert first.token_now(NOW) is None
    first.issued("issued")
    assert first.token_now(NOW) == "issued"
    second = TokenKeeper(file)
    assert second.token_now(NOW) == "issued"
    second.issued("other")
    assert (tmp_path / "token").read_text() == "issued\n"


def test_two_that_start_at_once_keep_apart_until_they_end(tmp_path):
    file = TokenFile(tmp_path / "token")
    first, second = TokenKeeper(file), TokenKeeper(file)
    assert first.token_now(NOW) is second.token_now(NOW) is None
    first.issued("first")
    second.issued("second")
    assert (first.token_now(NOW), second.token_now(NOW)) == ("first", "second")
    assert TokenKeeper(file).token_now(NOW) == "first"


def test_a_file_that_vanishes(tmp_path):
    (tmp_path / "token").write_text("mine")
    keeper = TokenKeeper(TokenFile(tmp_path / "token"))
    assert keeper.token_now(NOW) == "mine"
    (tmp_path / "token").unlink()
    with pytest.raises(AuthenticationError, match="no new identity"):
        keeper.token_now(NOW)


class Broken(TokenSource):
    def fetch(self):
        return None

    def store(self, token):
        raise ValueError(token)


def test_storing_that_fails_is_told_and_the_identity_kept():
    keeper = TokenKeeper(Broken())
    keeper.token_now(NOW)
    with pytest.raises(AuthenticationError, match="^the token source Broken raised ValueError$"):
        keeper.issued("issued")
    assert keeper.token_now(NOW) == "issued"


def test_a_server_that_issues_no_token():
    keeper = keeper_of(None)
    keeper.token_now(NOW)
    with pytest.raises(AuthenticationError) as caught:
        keeper.issued("two\nlines")
    assert str(caught.value) == (
        "the token that the server issued: expected visible ASCII characters, got blanks or others among them"
    )
    assert keeper.token_now(NOW) is None


# --- age --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [SHORT, lambda: SHORT])
def test_a_token_that_is_too_old_is_not_sent(given):
    keeper = keeper_of(given)
    assert keeper.token_now(NOW + 360) == SHORT, "the server takes it for a minute more"
    with pytest.raises(AuthenticationError) as caught:
        keeper.token_now(NOW + 361.5)
    assert str(caught.value) == (
        f"{source_of(given).description}: the token expired at 2023-11-14 22:18:20 UTC; "
        "this machine's clock says 2023-11-14 22:19:21 UTC"
    )
    assert caught.value.status is None


def test_an_issued_token_that_is_too_old():
    keeper = keeper_of(None)
    keeper.token_now(NOW)
    keeper.issued(SHORT)
    with pytest.raises(AuthenticationError, match="^the token that the server issued: the token expired at"):
        keeper.token_now(NOW + 361)


def test_a_function_that_gives_another_one_in_time():
    later = ISSUER.issue("alice", Timestamp((NOW + 300) * 1_000_000), 300)
    keeper = keeper_of(answers(SHORT, later))
    assert keeper.token_now(NOW) == SHORT
    assert keeper.token_now(NOW + 361) == later


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "mine"])
def test_what_cannot_change_is_refused_for_good(given):
    keeper = keeper_of(given)
    keeper.token_now(NOW)
    assert not keeper.refused()


def test_a_function_is_asked_once_more():
    keeper = keeper_of(answers("one", "two", "three", "four"))
    keeper.token_now(NOW)
    assert keeper.refused()
    assert keeper.token_now(NOW) == "two"
    assert not keeper.refused()
    assert not keeper.refused()
    keeper.issued("two")
    assert keeper.refused(), "that was another connection's refusal"


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_async_functions():
    async def ask():
        await anyio.lowlevel.checkpoint()
        return "mine"

    keeper = keeper_of(ask)
    assert await keeper.token_async(NOW) == "mine"
    with pytest.raises(LocalProtocolError, match="cannot await it"):
        keeper.token_now(NOW)


@pytest.mark.anyio
async def test_the_rules_are_the_same():
    keeper = keeper_of(None)
    assert await keeper.token_async(NOW) is None
    keeper.issued(SHORT)
    assert await keeper.token_async(NOW) == SHORT
    with pytest.raises(AuthenticationError, match="expired"):
        await keeper.token_async(NOW + 361)


def test_nobody_sees_a_token():
    keeper = keeper_of(SHORT)
    keeper.token_now(NOW)
    assert repr(keeper) == "<TokenKeeper of <the token that was given>>"


@given(
    st.lists(st.sampled_from(["mine", "mine-too", None])),
    st.lists(st.sampled_from(["accepted", "refused", "lost"])),
)
def test_an_identity_is_never_lost(given_tokens, ends):
    """Whatever a function gives and however attempts end: after an identity there is no new one."""
    gives = iter(given_tokens)
    keeper = keeper_of(lambda: next(gives, None))
    had, was_given = False, False
    for end in ends:
        try:
            token = keeper.token_now(NOW)
        except AuthenticationError:
            assert was_given
            return
        assert token is not None or not had
        was_given = was_given or (token or "").startswith("mine")
        had = had or was_given
        if end == "accepted":
            keeper.issued(token or "issued")
            had = True
        elif end == "refused":
            keeper.refused()
