"""The server: a process of its own that sends bytes made beforehand, as fast as the client takes them.

It serves one workload to one client after the other. A first subscription is answered with the rows, a second one with
all transactions. It prints one line of JSON when it is ready, and runs until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Final

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity
from spacetimedb_proto.events import NEED_DATA, Disconnected
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.schema import dump_schema
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.websocket import ServerConnection, ServerEvent, UpgradeRequest
from spacetimedb_proto.wire.messages import InitialConnection, Subscribe

from .script import Script
from .workloads import MODULE, WORKLOADS, Content

__all__ = ["main"]

HELLO: Final = InitialConnection(Identity.from_int(1), ConnectionId.from_int(1), "a-token")

FIRST_IDS: Final = (2, 1)
"""Request and query set of the first subscription, as this SDK numbers them."""

QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
"""Without it a client that leaves Nagle's algorithm on would wait 40 ms to send its second request.

That is the time after which the kernel acknowledges the pong before it, and a quarter of the whole of W3.
"""


class _Link:
    """One client's link, from its request to its end."""

    def __init__(self, link: socket.socket, script: Script, schema: bytes) -> None:
        self._link = link
        self._script = script
        self._schema = schema
        self._connection = ServerConnection()
        self._first_set: int | None = None

    def run(self) -> None:
        """Serve it to its end."""
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_open = True
        while is_open:
            data = self._link.recv(65536)
            if QUICK_ACK is not None:
                self._link.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)  # which lasts until the next data
            self._connection.receive_data(data)
            is_open = bool(data)
            while (event := self._connection.next_event()) is not NEED_DATA:
                self._flush()
                is_open = self._handle(event) and is_open
            self._flush()

    def _flush(self) -> None:
        self._link.sendall(self._connection.data_to_send())

    def _handle(self, event: ServerEvent) -> bool:
        match event:
            case HttpRequest():
                self._respond(event)
            case UpgradeRequest():
                self._accept(event)
            case Subscribe():
                self._subscribe(event)
            case Disconnected():
                return False
            case _:
                raise ValueError(f"expected subscriptions only, got {event!r}")
        return True

    def _respond(self, request: HttpRequest) -> None:
        if request.method == "GET" and "/schema?version=10" in request.target:
            self._connection.respond(200, [("content-type", "application/json")], self._schema)
        else:
            self._connection.respond(404)

    def _accept(self, request: UpgradeRequest) -> None:
        name = self._script.protocol_name
        if name not in request.protocols:
            self._connection.respond(400, (), f"expected {name}, got {', '.join(request.protocols)}".encode())
            return
        session = ServerSession(MODULE.schema, protocol=name)
        self._connection.accept(session)
        session.send(HELLO)
        self._connection.ping()

    def _subscribe(self, request: Subscribe) -> None:
        if self._first_set is None:
            self._first_set = request.query_set_id
            self._link.sendall(self._script.snapshot(request.request_id, request.query_set_id))
        else:
            self._link.sendall(self._script.stream(self._first_set, request.request_id, request.query_set_id))


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--protocol", choices=["v2", "v3"], default="v2")
    parser.add_argument("--compression", choices=["none", "gzip", "brotli"], default="none")
    parser.add_argument("--quick", action="store_true", help="few rows and transactions")
    parser.add_argument("--keys", type=Path, required=True, help="where to write the keys that clients look up")
    options = parser.parse_args()
    workload = WORKLOADS[options.workload]
    content = Content(workload.quick() if options.quick else workload)
    script = Script(content, options.protocol, options.compression)
    script.snapshot(*FIRST_IDS)
    options.keys.write_text("".join(f"{key}\n" for key in content.find_keys))
    schema = json.dumps(dump_schema(MODULE.schema, 10)).encode()
    listener = socket.create_server(("127.0.0.1", 0))
    ready = {"port": listener.getsockname()[1], "expected": attrs.asdict(content.expected)}
    print(json.dumps(ready), flush=True)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    while True:
        link, _ = listener.accept()
        with link:
            try:
                _Link(link, script, schema).run()
            except OSError as error:  # a client that has left, or was ended
                print(f"blaster: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
