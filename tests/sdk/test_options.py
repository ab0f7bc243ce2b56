"""Options of `connect` that are none: said at once, by name, on every host, before anything is opened."""

from __future__ import annotations

import math

import pytest

import spacetimedb_sdk
from spacetimedb_sdk import ConnectError, LocalProtocolError, blocking, frame
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour

NOBODY = "http://127.0.0.1:1"
WRONG = [
    ("timeouts", 5, "expected Timeouts or None, got 5"),
    ("limits", 5, "expected Limits or None, got 5"),
    ("reconnect", 5, "expected a Backoff, a bool or None, got 5"),
    ("confirmed", "yes", "expected a bool or None, got 'yes'"),
    ("light", "no", "expected a bool, got 'no'"),
    ("compression", 5, "expected a text or None, got 5"),
    ("ssl", True, "expected an SSLContext or None, got True"),
    ("record", 5, "expected a path or None, got 5"),
    ("protocols", "v3.bsatn", r"expected several texts, such as \('v3.bsatn', 'v2.bsatn'\), got 'v3.bsatn'"),
    ("protocols", (5,), r"expected several texts, .*got \(5,\)"),
]


@pytest.fixture(params=[spacetimedb_sdk, blocking, frame], ids=["async", "blocking", "frame"])
def connect(request):
    return request.param.connect


@pytest.mark.parametrize(("option", "value", "message"), WRONG)
def test_options_of_another_type(connect, option, value, message):
    with pytest.raises(TypeError, match=f"^{option}: {message}"):
        connect(NOBODY, "chat", **{option: value})


@pytest.mark.parametrize(("place", "message"), [((None, "chat"), "uri: .*None"), ((NOBODY, 5), "database: .*5")])
def test_places_of_another_type(connect, place, message):
    with pytest.raises(TypeError, match=message):
        connect(*place)


@pytest.mark.parametrize("host", [blocking, frame])
def test_what_is_known_to_be_wrong_without_a_server(host):
    with pytest.raises(LocalProtocolError, match=r"protocols: expected some of v3.bsatn, .*, got v9"):
        host.connect(NOBODY, "chat", protocols=["v9"])
    with pytest.raises(ConnectError, match=r"expected a name, got '\\ud800'"):
        connection = host.connect(NOBODY, "\ud800")
        while True:
            connection.frame_tick()


@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        ("5", TypeError, "timeout: expected seconds or None, got '5'"),
        (True, TypeError, "timeout: expected seconds or None, got True"),
        (-1, LocalProtocolError, "timeout: expected seconds from 0 on, or None, got -1"),
        (math.nan, LocalProtocolError, "timeout: expected seconds from 0 on, or None, got nan"),
    ],
)
def test_timeouts_that_are_none_send_nothing(timeout, error, message):
    with serve(behaviour) as server, blocking.connect(server.uri, "behaviour") as conn:
        sent = conn.statistics().bytes_sent
        for ask in (
            lambda: conn.query("SELECT * FROM pair", timeout=timeout),
            lambda: conn.subscribe("SELECT * FROM pair", timeout=timeout),
            lambda: conn.reducers.add_pair.options(timeout=timeout),
        ):
            with pytest.raises(error, match=f"^{message}$"):
                ask()
        assert conn.statistics().bytes_sent == sent
