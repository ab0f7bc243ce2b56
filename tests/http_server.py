"""A server on loopback that answers HTTP as a test says, on connections that it keeps, from threads of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

import attrs

from spacetimedb_proto.http import HttpRequest
from tests.loopback import PATIENCE
from tests.transcripts import load

Answer = Callable[[HttpRequest, socket.socket], "bytes | None"]
"""Gives the bytes of an answer; None ends the connection. It may also send by itself, and give no bytes."""


def reply(status=200, body=b"", *headers):
    """An answer."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} X\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


def recorded(case):
    """The answer of a recorded exchange, byte for byte."""
    response = load(f"http/{case}.1").response
    head = "".join(f"{name}: {value}\r\n" for name, value in response["headers"])
    return f"HTTP/1.1 {response['status']} \r\n{head}\r\n{response['body']}".encode()


def hang_up(link):
    """Close a socket on which another thread may be waiting."""
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()


@attrs.define
class HttpServer:
    """The server, running between `with`.

    Attributes:
        requests: What has been asked, in the order of arrival.
        connections: How many have been opened.
    """

    answer: Answer
    tls: ssl.SSLContext | None = None
    requests: list[HttpRequest] = attrs.field(factory=list)
    connections: int = 0
    faults: list[BaseException] = attrs.field(factory=list)
    _listener: socket.socket = attrs.field(factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _links: list[socket.socket] = attrs.field(factory=list)

    @property
    def port(self):
        return self._listener.getsockname()[1]

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    def targets(self, *methods):
        """What has been asked for, as `METHOD /target`, perhaps of some methods only."""
        return [f"{each.method} {each.target}" for each in self.requests if not methods or each.method in methods]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for link in (self._listener, *self._links):
            hang_up(link)
        assert not self.faults

    def _accept(self):
        try:
            while True:
                link, _ = self._listener.accept()
                self.connections += 1
                self._links.append(link)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()
        except OSError:
            pass  # the listener is closed

    def _serve(self, link):
        try:
            link.settimeout(PATIENCE)
            link = self.tls.wrap_socket(link, server_side=True) if self.tls else link
            while (request := _read(link)) is not None:
                self.requests.append(request)
                data = self.answer(request, link)
                if data is None:
                    break
                link.sendall(data)
                if request.method == "CONNECT":
                    return
        except OSError:
            pass  # the client has gone
        except BaseException as fault:
            self.faults.append(fault)
            raise
        hang_up(link)


def _read(link):
    data = b""
    while b"\r\n\r\n" not in data:
        more = link.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = tuple((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines))
    size = int(dict(headers).get("content-length", "0"))
    while len(body) < size:
        body += link.recv(65536)
    return HttpRequest(method, target, headers, body)
