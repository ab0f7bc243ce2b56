"""Which proxy the environment names, and the way through it."""

import pytest

from spacetimedb_proto.errors import ConnectError, RemoteProtocolError
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.http_proxy import Proxy, Route, Tunnel, proxy_for
from spacetimedb_proto.uri import Endpoint

PLAIN, SAFE = Endpoint.parse("http://db.example.com"), Endpoint.parse("https://db.example.com:8443")


def named(endpoint=PLAIN, **environ):
    proxy = proxy_for(endpoint, environ)
    return proxy and proxy.endpoint.host


def test_by_the_scheme_of_the_server():
    assert named(http_proxy="http://a:1") == "a"
    assert named(HTTP_PROXY="a:1") == "a"
    assert named(SAFE, http_proxy="a", https_proxy="b") == "b"
    assert named(SAFE, http_proxy="a") is None
    assert named(SAFE, ALL_PROXY="c") == "c"
    assert named(http_proxy="a", HTTP_PROXY="b", all_proxy="c") == "a"
    assert named(http_proxy="", HTTP_PROXY="b") is None
    assert named() is None


def test_what_a_web_client_could_have_set_is_not_believed():
    assert named(HTTP_PROXY="evil", REQUEST_METHOD="GET") is None
    assert named(http_proxy="a", REQUEST_METHOD="GET") == "a"
    assert named(SAFE, HTTPS_PROXY="b", REQUEST_METHOD="GET") == "b"


@pytest.mark.parametrize("uri", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:3000"])
def test_never_to_this_machine(uri):
    assert named(Endpoint.parse(uri), http_proxy="a") is None


@pytest.mark.parametrize(
    ("no_proxy", "is_exempt"),
    [
        ("*", True),
        ("db.example.com", True),
        ("other, EXAMPLE.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("db.example.com:80", True),
        ("db.example.com:81", False),
        ("b.example.com", False),
        ("10.0.0.0/8", False),
        ("", False),
        (",", False),
    ],
)
def test_exceptions(no_proxy, is_exempt):
    assert (named(http_proxy="a", NO_PROXY=no_proxy) is None) == is_exempt


@pytest.mark.parametrize(
    ("uri", "no_proxy", "is_exempt"),
    [
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "11.0.0.0/8", False),
        ("http://[2001:db8::1]", "[2001:db8::1]", True),
        ("http://[2001:db8::1]", "2001:db8::/32", True),
        ("http://10.1.2.3:81", "10.1.2.3:81", True),
    ],
)
def test_exceptions_by_address(uri, no_proxy, is_exempt):
    assert (named(Endpoint.parse(uri), http_proxy="a", no_proxy=no_proxy) is None) == is_exempt


def test_a_user_and_a_password():
    proxy = Proxy.parse("http://me:p%40ss@proxy:3128/")
    assert (proxy.endpoint.host, proxy.endpoint.port) == ("proxy", 3128)
    assert proxy.headers == (("proxy-authorization", "Basic bWU6cEBzcw=="),)
    assert "bWU6" not in repr(proxy)


@pytest.mark.parametrize(
    "uri", ["https://me:secret@a", "socks5://me:secret@a", "http://me:secret@", "http://me:secret@a:0"]
)
def test_no_proxies(uri):
    with pytest.raises(ConnectError, match="^proxy: ") as caught:
        Proxy.parse(uri)
    assert "secret" not in str(caught.value)


def tunnel(answer=b"", uri="http://me:secret@proxy:3128"):
    asked = Tunnel(Proxy.parse(uri), SAFE)
    sent = asked.data_to_send()
    if answer is not None:
        asked.receive_data(answer)
    return sent, asked


def test_a_tunnel():
    sent, asked = tunnel(None)
    assert sent == (
        b"CONNECT db.example.com:8443 HTTP/1.1\r\nhost: db.example.com:8443\r\n"
        b"proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
    )
    assert asked.data_to_send() == b""
    assert asked.next_event() is NEED_DATA
    asked.receive_data(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert asked.next_event() is True


def test_a_tunnel_to_an_address_of_version_6():
    assert (
        b"CONNECT [2001:db8::1]:443 "
        in Tunnel(Proxy.parse("p"), Endpoint.parse("https://[2001:db8::1]")).data_to_send()
    )


def test_no_tunnel():
    with pytest.raises(ConnectError, match=r"answered 407 when asked for a tunnel to db\.example\.com:8443$") as caught:
        tunnel(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n")[1].next_event()
    assert caught.value.status == 407
    with pytest.raises(ConnectError, match="ended the connection before there was a tunnel"):
        tunnel(b"")[1].next_event()
    with pytest.raises(RemoteProtocolError, match="not HTTP"):
        tunnel(b"nonsense\r\n\r\n")[1].next_event()


def test_ways():
    proxy, request = Proxy.parse("http://me:secret@proxy:3128"), HttpRequest("GET", "/v1/ping", (("host", "x"),))
    straight, plain, safe = Route(PLAIN), Route(PLAIN, proxy), Route(SAFE, proxy)
    assert (straight.first, plain.first, safe.first) == (PLAIN, proxy.endpoint, proxy.endpoint)
    assert (straight.tunnel(), plain.tunnel()) == (None, None)
    assert safe.tunnel().data_to_send().startswith(b"CONNECT db.example.com:8443 ")
    assert straight.prepared(request) == safe.prepared(request) == request
    sent = plain.prepared(request)
    assert sent.target == "http://db.example.com/v1/ping"
    assert sent.headers == (("host", "x"), ("proxy-authorization", "Basic bWU6c2VjcmV0"))


def test_what_is_not_http_is_shown_without_tokens():
    tunnel = Tunnel(Proxy.parse("p"), SAFE)
    tunnel.receive_data(b"HTTP/1.1 200 OK\r\neyJhbGciOiJub25lIn0.e30.secret\x00\r\n\r\n")
    with pytest.raises(RemoteProtocolError) as caught:
        tunnel.next_event()
    assert "secret" not in str(caught.value)
