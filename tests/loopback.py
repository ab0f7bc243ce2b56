"""Sockets on loopback for tests that drive both ends from one thread: they wait for readiness, and never sleep."""

from __future__ import annotations

import select
import selectors
import socket
import ssl
import struct

import trustme

from spacetimedb_proto.uri import Endpoint
from spacetimedb_transports.sockets import Address

PATIENCE = 20.0
"""Seconds after which a test that waits for something has failed."""

FAMILIES = {"IPv4": (socket.AF_INET, "127.0.0.1"), "IPv6": (socket.AF_INET6, "::1")}


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def listener(family=socket.AF_INET, host="127.0.0.1", **options):
    server = socket.create_server((host, 0), family=family, **options)
    server.settimeout(PATIENCE)
    return server


def accept(server):
    """The server's end of the next connection, which waits to be accepted."""
    end, _ = server.accept()
    end.settimeout(PATIENCE)
    return end


def endpoint_of(server, host=None, *, tls=False):
    address, port = server.getsockname()[:2]
    host = host or (f"[{address}]" if ":" in address else address)
    return Endpoint.parse(f"{'wss' if tls else 'ws'}://{host}:{port}")


def address_of(server, host=None):
    return Address(server.family, (host or server.getsockname()[0], server.getsockname()[1]))


def closed_port():
    """A bound socket on whose port nobody listens."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def silent():
    """A server that lets no more connections in, and a connection that takes its only place."""
    server = listener(backlog=0)
    return server, socket.create_connection(server.getsockname(), timeout=PATIENCE)


def reset(end):
    """Close a connection so that the peer is told of a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def break_sending(link):
    """Make sending fail on a link of ours, as after the peer has left; what it has sent is still there."""
    with socket.fromfd(link.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        same.shutdown(socket.SHUT_WR)


def ready(*ends, writable=()):
    """Wait until one of these is readable, or one of those writable."""
    found = select.select(ends, writable, [], PATIENCE)
    assert any(found), "nothing happened for too long"


def tls_contexts():
    """TLS settings of a server called localhost, and of a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def encrypted(end, context):
    """The server's end with TLS, not blocking, its handshake not begun."""
    end.settimeout(0)
    return context.wrap_socket(end, server_side=True, do_handshake_on_connect=False)


def shaken(end):
    """Go on with a server's handshake; returns whether it is over."""
    try:
        end.do_handshake()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    return True


def opened(opening, now=0.0):
    """Poll until the link is open, waiting only for what the opening says."""
    with selectors.DefaultSelector() as selector:
        for _ in range(100):
            link = opening.poll(now)
            if link is not None:
                return link
            selector.register(opening.fileno(), opening.interest)
            assert selector.select(PATIENCE), "nothing happened for too long"
            selector.unregister(opening.fileno())
    raise AssertionError("the opening came to no end")


def opened_with_tls(opening, server, context):
    """The link and the server's end of it."""
    link, end = opening.poll(0), encrypted(accept(server), context)
    is_shaken = False
    for _ in range(100):
        is_shaken = is_shaken or shaken(end)
        link = link or opening.poll(0)
        if link is not None and is_shaken:
            return link, end
    raise AssertionError("the handshake came to no end")


def received(link, size):
    taken = bytearray()
    while len(taken) < size:
        data = link.receive(size - len(taken))
        if data is None:
            ready(link)
        else:
            assert data, "the end came too early"
            taken += data
    return bytes(taken)


def the_end(link):
    """Receive until the end; what came before it."""
    taken = bytearray()
    while (data := link.receive(65536)) != b"":
        if data is None:
            ready(link)
        else:
            taken += data
    assert link.is_ended
    return bytes(taken)
