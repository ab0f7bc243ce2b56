"""Messages read many at a time against the same messages read one by one: for any bytes, both say the same."""

from __future__ import annotations

from itertools import groupby, product

from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.alike import Alike
from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import Inbox, Run
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_proto.wire.v2 import V2, V3

from .drawn import v2_server


def replacing(query_set, table, came, left):
    rows = m.PersistentTableRows(RowList.of([came]), RowList.of([left]))
    return m.TransactionUpdate([m.QuerySetUpdate(query_set, [m.TableUpdate(table, [rows])])])


# Few tables, sets and sizes, so that many messages are alike and others nearly are.
UNLIKE = st.builds(replacing, st.integers(1, 2), st.sampled_from(["a", "bb"]), *[st.binary(max_size=3)] * 2)
ALIKE = st.builds(replacing, st.just(1), st.just("a"), *[st.binary(min_size=2, max_size=2)] * 2)
MESSAGES = st.lists(st.one_of(UNLIKE, v2_server, st.lists(ALIKE, max_size=20)), max_size=12).map(
    lambda drawn: [message for some in drawn for message in (some if isinstance(some, list) else [some])]
)
PROTOCOLS = st.sampled_from([V2, V3])


def in_inbox(payloads):
    """The payloads as they wait on a connection: those of one length in a row may be together, in their frames."""
    inbox = Inbox()
    for length, group in groupby(payloads, len):
        some = list(group)
        if len(some) == 1 or not length:
            for payload in some:
                inbox.add(payload)
        else:
            alike = Alike(b"".join(b"\x82\x7f" + payload for payload in some), 2, 2 + length)
            inbox.add_many(alike, alike.size)
    assert inbox.size == sum(map(len, payloads))
    return inbox


def one_by_one(kind, payloads):
    protocol, found = kind(Limits()), []
    try:
        for payload in payloads:
            found.extend(protocol.read_server(payload))
    except RemoteProtocolError as error:
        found.append(str(error))
    return found


def together(kind, payloads):
    protocol, found, inbox = kind(Limits()), [], in_inbox(payloads)
    try:
        while inbox:
            for item in protocol.read_waiting(inbox):
                found.extend(map(item.template.message, item.rows) if isinstance(item, Run) else [item])
    except RemoteProtocolError as error:
        found.append(str(error))
    return found


@given(PROTOCOLS, MESSAGES)
def test_whole_messages(kind, messages):
    payloads = kind(Limits()).write_server(messages)
    assert together(kind, payloads) == one_by_one(kind, payloads) == messages


@given(MESSAGES, st.data())
def test_whole_messages_in_payloads_of_few(messages, data):
    """As servers send them: a run may go on in the next payload."""
    payloads = in_payloads(messages, data)
    assert together(V3, payloads) == one_by_one(V3, payloads) == messages


def in_payloads(messages, data):
    protocol, payloads, left = V3(Limits()), [], list(messages)
    size = data.draw(st.integers(1, 8))
    while left:
        if data.draw(st.integers(0, 9)) == 0:
            size = data.draw(st.integers(1, 8))
        payloads += protocol.write_server(left[:size])
        del left[:size]
    return payloads


@given(st.lists(ALIKE, min_size=20, max_size=60), st.data())
def test_damaged_messages_in_payloads_of_few(messages, data):
    payloads = in_payloads(messages, data)
    assert together(V3, damaged(payloads, data)) == one_by_one(V3, payloads)


def damaged(payloads, data):
    """The same list, with some bytes taken out or put in."""
    for _ in range(data.draw(st.integers(0, 3)) if payloads else 0):
        which = data.draw(st.integers(0, len(payloads) - 1))
        payload = payloads[which]
        at = data.draw(st.integers(0, len(payload)))
        other = data.draw(st.sampled_from([b"", b"\0", b"\1", b"\xff"]))
        payloads[which] = payload[:at] + other + payload[at + data.draw(st.integers(0, 2)) :]
    return payloads


@given(PROTOCOLS, MESSAGES, st.data())
def test_damaged_messages(kind, messages, data):
    payloads = kind(Limits()).write_server(messages)
    assert together(kind, damaged(payloads, data)) == one_by_one(kind, payloads)


def test_messages_of_one_template_come_as_runs():
    alike = [replacing(1, "a", n.to_bytes(2), b"\0\0") for n in range(600)]
    unlike = [replacing(1, "a", b"x" * (1 + n % 7), b"y" * (1 + n % 5)) for n in range(600)]
    for kind, messages in product((V2, V3), (alike, unlike)):
        protocol = kind(Limits())
        inbox, items = in_inbox(protocol.write_server(messages)), []
        while inbox:
            items.extend(protocol.read_waiting(inbox))
        assert type(items[0]) is m.TransactionUpdate, "the first one is read in full"
        assert {type(item) for item in items[1:]} == {Run}
        assert len(items) < 20
        assert sum(len(run.rows) for run in items[1:]) == 599
        sizes = min(run.shortest for run in items[1:]), max(run.longest for run in items[1:])
        assert sizes == ((2, 2) if messages is alike else (1, 7))
