"""Fixtures of programs written for 0.7."""

from __future__ import annotations

import importlib

import pytest

from spacetimedb_sdk.testing import serve
from tests.sdk.compat.support import HERE, PROTOCOLS, chat, importable, old_module


@pytest.fixture(params=PROTOCOLS)
def protocol(request, monkeypatch):
    client = old_module("spacetimedb_client").SpacetimeDBClient
    monkeypatch.setattr(client, "protocols", (request.param,))
    monkeypatch.setattr(client, "instance", None)
    return request.param


@pytest.fixture
def server():
    with serve(chat) as server:
        yield server


@pytest.fixture
def bindings():
    """The package that 0.7's generator would have written for the chat."""
    with importable(HERE):
        yield importlib.import_module("old_chat")
