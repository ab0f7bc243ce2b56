"""The hosts have the same names: who knows one connection knows all three."""

from __future__ import annotations

import inspect

import pytest

import spacetimedb_sdk.blocking
import spacetimedb_sdk.frame
from spacetimedb_sdk import Connection, connect
from spacetimedb_sdk.async_connection import AsyncStream
from spacetimedb_sdk.blocking import BlockingStream
from spacetimedb_sdk.frame import FrameStream

ASYNC, BLOCKING, FRAME = Connection, spacetimedb_sdk.blocking.Connection, spacetimedb_sdk.frame.Connection

OWN_NAMES = {
    ASYNC: {"aclose", "open", "wake"},
    BLOCKING: {"close", "open"},
    FRAME: {"close", "frame_tick", "is_closed", "on_connect", "opened", "start"},
}
"""What a host has of its own: how it is opened, driven and closed."""

OWN_OPTIONS = {"blocking": {"timeout"}}
"""A default for whoever waits on a thread."""


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


def parameters(function):
    """Names, kinds and defaults, in order; types are each host's own."""
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in found]


@pytest.mark.parametrize("host", [BLOCKING, FRAME], ids=["blocking", "frame"])
def test_connections_have_the_same_names(host):
    assert public(host) - OWN_NAMES[host] == public(ASYNC) - OWN_NAMES[ASYNC]


@pytest.mark.parametrize("host", [BLOCKING, FRAME], ids=["blocking", "frame"])
@pytest.mark.parametrize("name", sorted(public(ASYNC) - OWN_NAMES[ASYNC]))
def test_and_they_take_the_same_arguments(host, name):
    ours, theirs = getattr(ASYNC, name), getattr(host, name)
    assert isinstance(theirs, property) is isinstance(ours, property)
    if not isinstance(ours, property):
        assert parameters(theirs) == parameters(ours)
    assert inspect.getdoc(theirs), "and each says what it does"


@pytest.mark.parametrize("host", ["blocking", "frame"])
def test_connect_takes_the_same_options(host):
    theirs = parameters(getattr(spacetimedb_sdk, host).connect)
    own = OWN_OPTIONS.get(host, set())
    assert [each for each in theirs if each[0] not in own] == parameters(connect)


@pytest.mark.parametrize("stream", [BlockingStream, FrameStream])
def test_streams_tell_the_same_of_themselves(stream):
    assert public(AsyncStream) - {"aclose"} <= public(stream)
