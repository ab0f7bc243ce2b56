"""Messages read many at a time against the same messages read one by one: for any bytes, both say the same."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import RemoteProtocolError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.wire import Run
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_proto.wire.v2 import V2, V3

from .drawn import v2_server


def replacing(query_set, table, came, left):
    rows = m.PersistentTableRows(RowList.of([came]), RowList.of([left]))
    return m.TransactionUpdate([m.QuerySetUpdate(query_set, [m.TableUpdate(table, [rows])])])


def rows(size):
    return st.binary(min_size=size, max_size=size)


# Few tables, sets and sizes, so that many messages are alike and others nearly are.
ALIKE = st.integers(1, 3).flatmap(
    lambda size: st.builds(replacing, st.integers(1, 2), st.sampled_from(["a", "bb"]), rows(size), rows(size))
)
MESSAGES = st.lists(st.one_of(ALIKE, ALIKE, ALIKE, ALIKE, v2_server), max_size=12)
PROTOCOLS = st.sampled_from([V2, V3])


def one_by_one(kind, payloads):
    protocol, found = kind(Limits()), []
    try:
        for payload in payloads:
            found.extend(protocol.read_server(payload))
    except RemoteProtocolError as error:
        found.append(str(error))
    return found


def together(kind, payloads):
    protocol, found, waiting, taken = kind(Limits()), [], deque(payloads), 0
    try:
        while waiting:
            items, size = protocol.read_waiting(waiting)
            taken += size
            assert taken == sum(map(len, payloads)) - sum(map(len, waiting))
            for item in items:
                found.extend(map(item.template.message, item.rows) if isinstance(item, Run) else [item])
    except RemoteProtocolError as error:
        found.append(str(error))
    return found


@given(PROTOCOLS, MESSAGES)
def test_whole_messages(kind, messages):
    payloads = kind(Limits()).write_server(messages)
    assert together(kind, payloads) == one_by_one(kind, payloads) == messages


@given(PROTOCOLS, MESSAGES, st.data())
def test_damaged_messages(kind, messages, data):
    payloads = kind(Limits()).write_server(messages)
    for _ in range(data.draw(st.integers(0, 3)) if payloads else 0):
        which = data.draw(st.integers(0, len(payloads) - 1))
        payload = payloads[which]
        at = data.draw(st.integers(0, len(payload)))
        other = data.draw(st.sampled_from([b"", b"\0", b"\1", b"\xff"]))
        payloads[which] = payload[:at] + other + payload[at + data.draw(st.integers(0, 2)) :]
    assert together(kind, payloads) == one_by_one(kind, payloads)


def test_alike_messages_come_as_runs():
    messages = [replacing(1, "a", n.to_bytes(2), b"\0\0") for n in range(600)]
    for kind in (V2, V3):
        protocol = kind(Limits())
        waiting, items = deque(protocol.write_server(messages)), []
        while waiting:
            items.extend(protocol.read_waiting(waiting)[0])
        assert type(items[0]) is m.TransactionUpdate, "the first one is read in full"
        assert {type(item) for item in items[1:]} == {Run}
        assert len(items) < 20
