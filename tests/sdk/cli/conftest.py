"""Servers and the program, without anything of whoever runs the tests."""

from __future__ import annotations

import pytest

from spacetimedb_sdk.cli.serve import load_module
from spacetimedb_sdk.testing import serve
from tests.sdk.cli.support import EXAMPLES, Program

chat = load_module(EXAMPLES / "chat_module.py")


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """Nobody is logged in, and no server is configured."""
    for name in ("URI", "DATABASE", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"SPACETIMEDB_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="package")
def shared_server():
    with serve(chat) as server:
        yield server


@pytest.fixture
def server(shared_server):
    shared_server.restart(keep_rows=False)
    return shared_server


@pytest.fixture
def program(capsys, server):
    return Program(capsys, server)


@pytest.fixture
def alone(capsys):
    """The program, which is told of no server."""
    return Program(capsys)


@pytest.fixture
def owner(server, monkeypatch):
    monkeypatch.setenv("SPACETIMEDB_TOKEN", server.owner_token)
    return server.owner_token


@pytest.fixture
def module():
    """What the server serves."""
    return chat
