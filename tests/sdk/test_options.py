"""Options of `connect` that are none: said at once, by name, on every host, before anything is opened."""

from __future__ import annotations

import math

import pytest

import spacetimedb_sdk
from spacetimedb_sdk import ConnectError, LocalProtocolError, blocking, frame, opening
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
    ("token", 5, "expected a str, a TokenSource, a function or None, got int"),
    ("bindings", 5, "expected a package written by `spacetimedb-sdk generate`, got 5"),
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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("protocols", ["v9"], r"expected some of v3.bsatn, .*, got v9"),
        ("protocols", [], r"expected some of v3.bsatn, .*, got none"),
        ("compression", "zip", "expected one of brotli, gzip, none, got 'zip'"),
    ],
)
def test_options_of_another_value(connect, option, value, message):
    with pytest.raises(LocalProtocolError, match=f"^{option}: {message}$"):
        connect(NOBODY, "chat", **{option: value})


def test_a_compression_that_is_not_installed(connect, monkeypatch):
    monkeypatch.setattr(opening, "available", lambda: ("gzip", "none"))
    with pytest.raises(LocalProtocolError, match="^compression: expected one of gzip, none, got 'brotli'$"):
        connect(NOBODY, "chat", compression="brotli")


@pytest.mark.parametrize("host", [blocking, frame])
def test_what_is_known_to_be_wrong_without_a_server(host):
    with pytest.raises(ConnectError, match=r"expected a name, got '\\ud800'"):
        connection = host.connect(NOBODY, "\ud800")
        while True:
            connection.frame_tick()


no_timeouts = pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        ("5", TypeError, "timeout: expected seconds or None, got '5'"),
        (True, TypeError, "timeout: expected seconds or None, got True"),
        (-1, LocalProtocolError, "timeout: expected seconds from 0 on, or None, got -1"),
        (math.nan, LocalProtocolError, "timeout: expected seconds from 0 on, or None, got nan"),
    ],
)


@no_timeouts
def test_timeouts_that_are_none_open_nothing(timeout, error, message, tmp_path):
    record = tmp_path / "session.jsonl"
    with pytest.raises(error, match=f"^{message}$"):
        blocking.connect(NOBODY, "chat", timeout=timeout, record=record)
    assert not record.exists()


@no_timeouts
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
