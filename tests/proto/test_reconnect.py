"""What the end of a link means for the next attempt, and how many attempts there are."""

from __future__ import annotations

import pytest

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    DatabaseNotFound,
    IdentityChanged,
    LocalProtocolError,
    RemoteProtocolError,
    SchemaMismatch,
    UnsupportedProtocol,
)
from spacetimedb_proto.events import Disconnected, Retry
from spacetimedb_proto.reconnect import REFUSALS, Attempts, Verdict, judge

NO_BATCH = "unknown tag 0x5 for sum type ClientMessage"


def lost(code=1006, reason=""):
    return Disconnected(ConnectionLost("it is gone", code=code, reason=reason), code, reason)


def refused(code=1006, reason=""):
    return Disconnected(ConnectionRefused("not a word", status=101, body=reason), code, reason)


def failed(status=None):
    return Disconnected(ConnectError("no way", status=status))


def unauthorized(status=401):
    return Disconnected(AuthenticationError("who?", status=status))


# --- one ending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 3000, 4000, 4999])
def test_a_lost_connection_is_made_again(code):
    assert judge(lost(code)) is Verdict.RETRY


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008])
@pytest.mark.parametrize("end", [lost, refused])
def test_a_server_that_blames_this_side_is_left_alone(end, code):
    assert judge(end(code)) is Verdict.STOP


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        (lost(1011, NO_BATCH), Verdict.NO_BATCH),
        (lost(1002, NO_BATCH), Verdict.STOP),
        (lost(1001, NO_BATCH), Verdict.RETRY),
        (lost(1011, "unknown tag 0x6 for sum type ClientMessage"), Verdict.RETRY),
        (lost(1011, "the instance encountered a fatal error"), Verdict.RETRY),
    ],
)
def test_only_one_complaint_is_about_batches(ending, verdict):
    assert judge(ending) is verdict


def test_a_link_that_ends_without_a_word_may_be_a_refusal():
    assert judge(refused()) is Verdict.REFUSED


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
def test_a_server_that_says_goodbye_before_its_first_message_refuses_nobody(code):
    assert judge(refused(code, "module exited")) is Verdict.RETRY


def test_a_session_that_is_still_on_another_link_is_busy():
    assert judge(refused(4000, "session busy")) is Verdict.BUSY


@pytest.mark.parametrize("status", [None, 101, 408, 425, 429, 500, 502, 503, 504, 530])
def test_what_may_pass_is_tried_again(status):
    assert judge(failed(status)) is Verdict.RETRY


@pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 404, 405, 410, 426, 431, 499])
def test_an_answer_that_would_be_the_same_again_is_final(status):
    assert judge(failed(status)) is Verdict.STOP


@pytest.mark.parametrize(
    "error",
    [
        None,
        DatabaseNotFound("none", status=404),
        UnsupportedProtocol("none", status=400),
        IdentityChanged("somebody else"),
        SchemaMismatch("another module"),
        RemoteProtocolError("nonsense"),
        LocalProtocolError("nonsense"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_attempt_would_not_change_is_final(error):
    assert judge(Disconnected(error)) is Verdict.STOP


@pytest.mark.parametrize("status", [None, 401, 403])
def test_a_refused_token_may_be_replaced(status):
    assert judge(unauthorized(status)) is Verdict.NO_TOKEN


# --- many endings -----------------------------------------------------------------------------------------------------


def attempts(chance=0.5, **options):
    return Attempts(Backoff(**options), lambda: chance)


def after(attempts, *endings, is_resuming=False):
    """What follows each of these, one after the other."""
    return [attempts.after(ending, is_resuming=is_resuming) for ending in endings]


def test_attempts_are_counted_until_one_succeeds():
    count = attempts(jitter=0)
    assert after(count, lost(), failed(), failed(503)) == [Retry(1, 1.0), Retry(2, 2.0), Retry(3, 4.0)]
    assert count.failed == 2
    count.greeted()
    assert count.failed == 2, "it may be lost again before it lives"
    assert after(count, lost(), is_resuming=True) == [Retry(4, 8.0)]
    count.greeted()
    count.resumed()
    assert count.failed == 0
    assert after(count, lost()) == [Retry(1, 1.0)]


@pytest.mark.parametrize(("chance", "delay"), [(0, 0.5), (0.5, 1.0), (1, 1.5)])
def test_chance_decides_about_each_wait(chance, delay):
    assert after(attempts(chance), lost()) == [Retry(1, delay)]


def test_it_is_given_up_after_so_many():
    count = attempts(attempts=2, jitter=0)
    assert after(count, lost(), failed(), failed()) == [Retry(1, 1.0), Retry(2, 2.0), None]
    assert count.failed == 2


def test_without_a_backoff_there_is_no_attempt():
    assert Attempts(None, lambda: 0.5).after(lost(), is_resuming=False) is None


def test_a_busy_session_is_no_failure():
    count = attempts(attempts=2, jitter=0)
    assert after(count, lost(), *[refused(4000)] * 9) == [Retry(1, 1.0)] * 10
    assert count.failed == 0
    assert after(count, failed(), refused(4000)) == [Retry(2, 2.0), Retry(2, 1.0)], "soon, however many have failed"
    assert count.failed == 1


def test_a_message_that_is_unknown_is_left_out_from_then_on():
    count = attempts(attempts=1, jitter=0)
    assert count.batches
    assert after(count, lost()) == [Retry(1, 1.0)]
    count.greeted()
    assert after(count, lost(1011, NO_BATCH), is_resuming=True) == [Retry(1, 0.0)]
    assert not count.batches
    assert count.failed == 0


def test_that_complaint_counts_only_once_and_only_for_what_asks_for_sets():
    count = attempts(jitter=0)
    assert after(count, lost(1011, NO_BATCH)) == [Retry(1, 1.0)]
    assert count.batches
    assert after(count, *[lost(1011, NO_BATCH)] * 3, is_resuming=True) == [Retry(1, 0.0), Retry(2, 2.0), Retry(3, 4.0)]


def test_another_token_is_asked_for_once():
    count = attempts(jitter=0)
    assert after(count, lost(), unauthorized()) == [Retry(1, 1.0), Retry(2, 2.0)]
    assert count.token_was_refused
    assert after(count, unauthorized()) == [None]


def test_a_token_that_was_good_once_may_be_refused_again():
    count = attempts(jitter=0)
    after(count, lost(), unauthorized())
    count.greeted()
    assert not count.token_was_refused
    count.resumed()
    assert after(count, lost(), unauthorized()) == [Retry(1, 1.0), Retry(2, 2.0)]


def test_refusals_are_final_after_a_few_in_a_row():
    count = attempts(jitter=0)
    assert after(count, lost(), *[refused()] * REFUSALS) == [Retry(1, 1.0), Retry(2, 2.0), Retry(3, 4.0), None]


def test_a_greeting_in_between_begins_that_count_anew():
    count = attempts(jitter=0)
    after(count, lost(), *[refused()] * (REFUSALS - 1))
    count.greeted()
    assert None not in after(count, lost(), *[refused()] * (REFUSALS - 1), is_resuming=True)
    assert after(count, refused()) == [None]
