"""Fixtures of programs written for 0.7."""

from __future__ import annotations

import importlib

import pytest

from spacetimedb_sdk import codegen
from spacetimedb_sdk.codegen import legacy
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


@pytest.fixture(params=["of 0.7", "of today"])
def bindings(request, tmp_path):
    """The package for the chat as 0.7's generator would have written it, and as today's does in that layout."""
    if request.param == "of today":
        codegen.write(tmp_path / "new_chat", legacy.generate(chat.schema))
        with importable(tmp_path):
            yield importlib.import_module("new_chat")
    else:
        with importable(HERE):
            yield importlib.import_module("old_chat")
