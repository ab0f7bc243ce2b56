"""What a real server said on v1, told to a program of 0.7."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import logging
import time

import pytest

from spacetimedb_sdk import SchemaMismatch
from tests.http_server import HttpServer, reply
from tests.loopback import PATIENCE
from tests.proto.schema.support import recorded
from tests.sdk.compat.support import HERE, importable, old_module
from tests.transcripts import load
from tests.websocket_bytes import BINARY, GUID, frame, read_frames

SESSION = load("protocol-v1/None.1")
Client = old_module("spacetimedb_client").SpacetimeDBClient


def playing(request, link):
    """The server of the recording: its definition, then its frames, most of them once there is a subscription."""
    if "/schema" in request.target:
        return reply(body=json.dumps(recorded("sdk-test", 10)).encode())
    (key,) = (value for name, value in request.headers if name.lower() == "sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(f"{key}{GUID}".encode()).digest()).decode()
    head = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    head += "Sec-WebSocket-Protocol: v1.bsatn.spacetimedb\r\n"
    hello, *rest = SESSION.payloads("server")
    link.sendall(f"HTTP/1.1 101 X\r\n{head}\r\n".encode() + frame(BINARY, hello))
    ((_, _, subscribe),) = read_frames(link.recv(4096))
    applied, *rest = rest
    ours = subscribe[-8:-4]  # requests are numbered by whoever makes them
    link.sendall(b"".join(frame(BINARY, payload) for payload in (applied[:2] + ours + applied[6:], *rest[:16])))
    return None


@pytest.fixture
def package(monkeypatch):
    monkeypatch.setattr(Client, "instance", None)
    with importable(HERE):
        yield importlib.import_module("old_sdk_test")


def test_a_recorded_session(package, caplog):
    table, reducer = (importlib.import_module(f"old_sdk_test.{name}") for name in ("pk_u_64", "insert_pk_u_64_reducer"))
    client = Client(package)
    rows, outcomes, ends = [], [], []

    def on_row(row_op, old, new, event):
        rows.append((row_op, (new or old).n, old and old.data["data"], new and new.data["data"], event.reducer_name))

    def on_insert(sender, address, status, message, n, data):
        outcomes.append((sender == client.identity, address == client.address, status, message, n, data))

    table.PkU64.register_row_update(on_row)
    reducer.register_on_insert_pk_u64(on_insert)
    with HttpServer(playing) as server, caplog.at_level(logging.WARNING, "spacetimedb_sdk"):
        client.connect(None, f"127.0.0.1:{server.port}", "t-mini", False, None, ends.append, None, None)
        client.subscribe(["SELECT * FROM PkU64", "SELECT * FROM one_string"])
        end = time.monotonic() + PATIENCE
        while not ends:
            assert time.monotonic() < end, "it came to no end"
            client.update()
    insert = "insert_pk_u64"
    assert rows == [
        ("insert", 0, None, 0, insert),
        ("insert", 3, None, 3, None),
        *(("insert", n, None, n, insert) for n in (1, 2, 4, 5, 6, 7)),
        ("insert", 500, None, 5, insert),
        ("update", 3, 3, 5, "update_pk_u_64"),
        ("update", 3, 5, 50, "update_pk_u_64"),
        ("delete", 4, 4, None, "delete_pk_u_64"),
        ("insert", 77, None, 7, None),
    ]
    assert outcomes == [(True, True, "committed", "", n, 5 if n == 500 else n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 500)]
    assert sorted((row.n, row.data["data"]) for row in table.PkU64.iter()) == [
        (0, 0), (1, 1), (2, 2), (3, 50), (5, 5), (6, 6), (7, 7), (77, 7), (500, 5),
    ]  # fmt: skip
    assert importlib.import_module("old_sdk_test.gone_table").GoneTable.iter() == []
    assert "the bindings have a table 'GoneTable', which the module has not" in caplog.text


def test_a_class_that_has_fallen_behind_says_so(package):
    client = Client(package)
    importlib.import_module("old_sdk_test.one_string").OneString.register_row_update(lambda *args: None)
    with HttpServer(playing) as server:
        client.connect(None, f"127.0.0.1:{server.port}", "t-mini", False, None, print, None, None)
        client.subscribe(["SELECT * FROM pk_u_64", "SELECT * FROM one_string"])
        end = time.monotonic() + PATIENCE
        with pytest.raises(SchemaMismatch, match=r"old_sdk_test.one_string.OneString: expected a class that reads"):
            while time.monotonic() < end:
                client.update()
    client.close()
