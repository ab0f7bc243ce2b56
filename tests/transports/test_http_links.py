"""Links that wait for the next request. What the drivers do with them is in `tests/sdk/http`."""

import socket

from spacetimedb_transports.http_links import KEEP_TIME, Progress, Spares, Unanswered, has_news


def test_spare_links_are_taken_newest_first_and_not_for_ever():
    spares = Spares()
    spares.put("one", 0.0)
    spares.put("two", 1.0)
    spares.put("three", 2.0)
    assert spares.take(3.0) == ("three", [])
    assert spares.take(KEEP_TIME + 0.5) == ("two", [])
    assert spares.take(KEEP_TIME + 0.5) == (None, ["one"])
    assert spares.take(0.0) == (None, [])
    spares.put("four", 0.0)
    assert spares.clear() == ["four"]
    assert spares.take(0.0) == (None, [])


def test_idle_links_tell_when_something_has_come():
    one, other = socket.socketpair()
    with one, other:
        assert not has_news(one)
        other.send(b"x")
        assert has_news(one)
        assert one.recv(1) == b"x"
        assert not has_news(one)
        other.close()
        assert has_news(one)
    assert has_news(one)


def test_how_far_a_request_has_come():
    progress, cause = Progress(), OSError()
    assert progress.failed("why") == Unanswered("why")
    progress.was_sent = progress.was_reused = True
    assert progress.failed("why", cause, is_timeout=True) == Unanswered("why", True, True, True, cause)
