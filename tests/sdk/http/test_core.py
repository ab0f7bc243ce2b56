"""What is tried again and when, told by flows that a test answers by hand."""

from __future__ import annotations

import pytest

from spacetimedb_proto.http import HttpResponse
from spacetimedb_proto.http_api import Api
from spacetimedb_proto.uri import Endpoint
from spacetimedb_sdk import (
    AuthenticationError,
    Backoff,
    CallTimeout,
    ConnectError,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
)
from spacetimedb_sdk.http.core import Alone, AskToken, Core, Exchange, Pause
from spacetimedb_sdk.token_keeper import TokenKeeper
from spacetimedb_sdk.tokens import source_of
from spacetimedb_transports.http_links import Unanswered
from tests.schemas import SCHEMAS

SCHEMA = (SCHEMAS / "sdk-test.v10.json").read_bytes()
UNSENT = Unanswered("cannot connect to h:80: refused")
LOST = Unanswered("the server ended the connection", was_sent=True)


def core(retry=None, token="t", clock=lambda: 0.0):
    api = Api(Endpoint.parse("http://h"), "db")
    return Core(api, TokenKeeper(source_of(token)), retry, clock=clock, chance=lambda: 0.5)


class Told:
    """Runs a flow with replies in order, and takes down what it asked for."""

    def __init__(self, flow, *replies):
        self.replies, self.effects = list(replies), []
        self.result = self.run(flow)

    def run(self, flow):
        try:
            effect = next(flow)
            while True:
                effect = flow.send(self.reply(effect))
        except StopIteration as done:
            return done.value

    def reply(self, effect):
        if isinstance(effect, Alone):
            return self.run(effect.flow)
        if isinstance(effect, AskToken):
            return "t"
        self.effects.append(effect)
        return None if isinstance(effect, Pause) else self.replies.pop(0)


def call(retry, *replies):
    client = core(retry)
    return Told(client.reducer("insert_pk_u_64", (1, 2), {}), HttpResponse(200, (), SCHEMA), *replies)


RETRY = Backoff(initial=1, factor=2, jitter=0.5, attempts=2)


def test_what_was_not_sent_is_tried_again_after_a_while():
    told = call(RETRY, UNSENT, UNSENT, HttpResponse(200))
    assert told.result.function == "insert_pk_u_64"
    assert [each.seconds for each in told.effects if isinstance(each, Pause)] == [1, 2]
    requests = [each for each in told.effects if isinstance(each, Exchange)]
    assert requests[1] == requests[2] == requests[3]


def test_until_it_is_enough():
    with pytest.raises(NotSent):
        call(RETRY, UNSENT, UNSENT, UNSENT)
    with pytest.raises(NotSent):
        call(None, UNSENT)


def test_not_after_the_end():
    class Closed(Told):
        def reply(self, effect):
            if isinstance(effect, Pause):
                client.close()
            return super().reply(effect)

    client = core(RETRY)
    with pytest.raises(LocalProtocolError, match="^the client was closed"):
        Closed(client.do(client.api.ping()), UNSENT)


@pytest.mark.parametrize("reused", [False, True])
def test_what_was_sent_is_never_sent_again(reused):
    with pytest.raises(OutcomeUnknown):
        call(RETRY, Unanswered("lost", was_sent=True, was_reused=reused))
    with pytest.raises(CallTimeout, match="it was sent and may have been done: late"):
        call(RETRY, Unanswered("late", was_sent=True, is_timeout=True))


def test_timeouts_before_sending():
    with pytest.raises(CallTimeout, match="^reducer insert_pk_u_64: not sent: late$"):
        call(None, Unanswered("late", is_timeout=True))
    with pytest.raises(ConnectError, match="^ping: late$"):
        Told(core().do(core().api.ping()), Unanswered("late", is_timeout=True))
    with pytest.raises(CallTimeout, match="^ping: late$"):
        Told(core().do(core().api.ping()), Unanswered("late", was_sent=True, is_timeout=True))


def test_what_only_reads_is_read_again_from_a_new_link_once():
    client = core()
    told = Told(client.do(client.api.ping()), Unanswered("lost", was_sent=True, was_reused=True), HttpResponse(200))
    assert [each.fresh for each in told.effects] == [False, True]
    with pytest.raises(ConnectError, match="^ping: the server ended the connection$"):
        Told(client.do(client.api.ping()), Unanswered("lost", was_sent=True, was_reused=True), LOST)


TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjEwMCwiZXhwIjoyMDB9.x"  # from 100 to 200
LATER = "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjEwMCwiZXhwIjo5MDB9.x"  # to 900


def test_a_token_is_asked_for_again_near_its_end():
    now, tokens = [110.0], [TOKEN, LATER]
    client = core(token=lambda: tokens.pop(0), clock=lambda: now[0])

    class Asking(Told):
        def reply(self, effect):
            return client.keeper.token_now(now[0]) if isinstance(effect, AskToken) else super().reply(effect)

    def sent():
        (effect,) = Asking(client.do(client.api.ping()), HttpResponse(200)).effects
        return dict(effect.request.headers)["authorization"]

    assert (sent(), sent()) == (f"Bearer {TOKEN}",) * 2
    now[0] = 175.0
    assert (sent(), sent()) == (f"Bearer {LATER}",) * 2


def test_an_identity_that_the_server_does_not_make():
    client = core(token=None)

    class Nobody(Told):
        def reply(self, effect):
            return None if isinstance(effect, AskToken) else super().reply(effect)

    with pytest.raises(AuthenticationError):
        Nobody(client.do(client.api.delete()), HttpResponse(403, (), b"no"))
