"""Addresses of servers: what is accepted, what is refused and why, and the targets made from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import ConnectError, SpacetimeDBError
from spacetimedb_proto.uri import Endpoint


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1:3000", Endpoint("127.0.0.1", 3000, False)),
        ("https://maincloud.spacetimedb.com", Endpoint("maincloud.spacetimedb.com", 443, True)),
        ("ws://example.org", Endpoint("example.org", 80, False)),
        ("wss://example.org:8443/", Endpoint("example.org", 8443, True)),
        ("WSS://Example.ORG", Endpoint("example.org", 443, True)),
        ("localhost:3000", Endpoint("localhost", 3000, False)),
        ("localhost", Endpoint("localhost", 80, False)),
        ("my_host.local:1", Endpoint("my_host.local", 1, False)),
        ("localhost:3000/base", Endpoint("localhost", 3000, False, "/base")),
        ("http://h/a/b//", Endpoint("h", 80, False, "/a/b")),
        ("http://h/ä%20b", Endpoint("h", 80, False, "/%C3%A4%20b")),
        ("http://[::1]:3000", Endpoint("::1", 3000, False)),
        ("https://[2001:db8::7]", Endpoint("2001:db8::7", 443, True)),
        ("http://[fe80::1%eth0]:3000", Endpoint("fe80::1%eth0", 3000, False)),
        ("http://bücher.example", Endpoint("xn--bcher-kva.example", 80, False)),
        ("http://example.org.:3000", Endpoint("example.org.", 3000, False)),
    ],
)
def test_accepted(uri, expected):
    assert Endpoint.parse(uri) == expected


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "it names no host"),
        ("http://", "it names no host"),
        ("http:///path", "it names no host"),
        (":3000", "it names no host"),
        ("ftp://h", "the scheme is 'ftp'"),
        ("://h", "the scheme is ''"),
        ("http://h?a=b", "it contains a query or a fragment; options are given on their own"),
        ("http://h?", "it contains a query or a fragment; options are given on their own"),
        ("http://h/#x", "it contains a query or a fragment; options are given on their own"),
        ("http://me:secret@h", "it contains a user name or password; a token is given on its own"),
        ("http://h:0", "its port is no number from 1 to 65535"),
        ("http://h:65536", "its port is no number from 1 to 65535"),
        ("http://h:x", "its port is no number from 1 to 65535"),
        ("http://[::1", "its host is no IPv6 address in brackets"),
        ("http://[h]", "its host is no IPv6 address in brackets"),
        ("http://a b", "it contains spaces or control characters"),
        ("http://h\r\nX: y", "it contains spaces or control characters"),
        ("http://a..b", "'a..b' is no host name"),
        ("http://-a-", "'-a-' is no host name"),
        ("http://h%41", "'h%41' is no host name"),
        (f"http://{'ä' * 80}", f"{'ä' * 80!r} is no host name"),
        (f"http://{'a.' * 130}b", f"{('a.' * 130 + 'b')[:80]!r} is no host name"),
    ],
)
def test_refused(uri, why):
    with pytest.raises(ConnectError) as caught:
        Endpoint.parse(uri)
    expected = "expected http://, https://, ws:// or wss://, a host, and perhaps a port and a path"
    assert str(caught.value) == f"not the address of a server: {expected}; {why}"
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60) | st.text(alphabet="htps:/[]@?#%.1a\\ ", max_size=30))
def test_any_text_is_an_address_or_an_sdk_error(text):
    try:
        endpoint = Endpoint.parse(text)
    except SpacetimeDBError:
        return
    assert endpoint.host
    assert 1 <= endpoint.port <= 65535
    assert endpoint.subscribe_target("chat").isascii()
    assert endpoint.host_header.isascii()


@pytest.mark.parametrize(
    ("uri", "header", "text"),
    [
        ("http://h", "h", "ws://h"),
        ("http://h:80/x", "h", "ws://h/x"),
        ("http://h:443", "h:443", "ws://h:443"),
        ("https://h:443", "h", "wss://h"),
        ("http://[::1]:3000", "[::1]:3000", "ws://[::1]:3000"),
        ("https://[::1]", "[::1]", "wss://[::1]"),
        ("http://[fe80::1%eth0]:3000", "[fe80::1]:3000", "ws://[fe80::1]:3000"),
    ],
)
def test_host_header_and_text(uri, header, text):
    assert Endpoint.parse(uri).host_header == header
    assert str(Endpoint.parse(uri)) == text


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("[::ffff:10.0.0.1]", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("notlocalhost", False),
    ],
)
def test_loopback(host, expected):
    assert Endpoint.parse(f"http://{host}:3000").is_loopback is expected


def test_targets():
    plain, based = Endpoint.parse("http://h"), Endpoint.parse("http://h/base/")
    assert plain.subscribe_target("chat") == "/v1/database/chat/subscribe"
    assert based.subscribe_target("chat", {"compression": "None", "light": "true"}) == (
        "/base/v1/database/chat/subscribe?compression=None&light=true"
    )
    assert plain.schema_target("chat", 9) == "/v1/database/chat/schema?version=9"
    assert based.target("identity") == "/base/v1/identity"
    assert plain.target("database", "c", "call", "f") == "/v1/database/c/call/f"


def test_names_are_quoted():
    assert Endpoint.parse("h").subscribe_target("a/b c?d#ä%") == "/v1/database/a%2Fb%20c%3Fd%23%C3%A4%25/subscribe"
    assert Endpoint.parse("h").target("x", params={"sql": "a&b=ü"}) == "/v1/x?sql=a%26b%3D%C3%BC"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_would_lead_elsewhere_are_refused(name):
    with pytest.raises(ConnectError, match=r"^expected a name, got '\.*'$"):
        Endpoint.parse("h").subscribe_target(name)
