"""Streams of transactions that replace one row each: told as if each had come alone, whatever the sizes of the rows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto import RemoteProtocolError
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList

from .test_client import Pair

PROTOCOLS = ["v2.bsatn.spacetimedb", "v3.bsatn.spacetimedb"]


def text(value):
    data = value.encode()
    return len(data).to_bytes(4, "little") + data


def user(key, name):
    """A row with its key before what has no fixed size."""
    return bytes([key]) * 32 + text(name)


def by_name(key, name):
    """A row whose key itself has no fixed size."""
    return text("k" * key) + bytes([len(name), 0, 0, 0])


ROWS = {"users": user, "pk_string": by_name}


class Stream:
    """A session that has some rows of one table, and is sent transactions."""

    def __init__(self, protocol, table, rows):
        self.table = table
        self.pair = Pair(protocol)
        self.query_set = self.pair.client.subscribe(f"SELECT * FROM {table}")
        *_, request = self.pair.asked()
        tables = m.QueryRows([m.SingleTableRows(table, RowList.of(rows))])
        self.pair.say(m.SubscribeApplied(request.request_id, self.query_set, tables))

    def send(self, replaced):
        """Send transactions that replace one row by another, (old, new) each."""
        for old, new in replaced:
            rows = m.PersistentTableRows(RowList.of([new]), RowList.of([old]))
            self.pair.server.send(
                m.TransactionUpdate([m.QuerySetUpdate(self.query_set, [m.TableUpdate(self.table, [rows])])])
            )
        for payload in self.pair.server.payloads_to_send():
            self.pair.client.receive(payload)

    def stored(self):
        return set(self.pair.client.cache.table(self.table).raw())


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from(["", "a", "bob", "é" * 40])), max_size=40
)


@given(st.sampled_from(PROTOCOLS), st.sampled_from(list(ROWS)), STEPS)
def test_each_transaction_is_told_as_if_it_had_come_alone(protocol, table, steps):
    row = ROWS[table]
    rows = {key: row(key, "first") for key in (1, 2, 3, 4)}
    stream = Stream(protocol, table, list(rows.values()))
    replaced, expected = [], []
    for which, key, name in steps:
        before = list(rows)[which]
        after = before if key in rows else key  # mostly an update, at times another row
        old, new = rows.pop(before), row(after, name)
        rows[after] = new
        replaced.append((old, new))
        told = ([], [], [] if old == new else [(old, new)]) if after == before else ([new], [old], [])
        expected.append((told, set(rows.values())))
    stream.send(replaced)
    for told, stored in expected:
        change = stream.pair.client.next_event().changes[table]
        assert (change.inserts, change.deletes, change.updates) == told
        assert stream.stored() == stored
    assert stream.pair.client.next_event() is NEED_DATA


def pk(number):
    return bytes(8) + bytes([number, 0, 0, 0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("table", "bad", "complaint"),
    [
        ("users", user(1, "")[:-1], "expected rows of at least 36 bytes, got 1 rows in 35 bytes"),
        ("pk_string", by_name(1, "")[:7], "expected rows of at least 8 bytes, got 1 rows in 7 bytes"),
        (
            "pk_string",
            b"\xff" + by_name(1, "")[1:],
            "^table pk_string: PkString.s at byte 0: 259 bytes expected, 9 left",
        ),
        ("pk_u_64", pk(0)[1:], "expected rows of 12 bytes, got 1 rows in 11 bytes"),
        ("pk_u_64", pk(0) + b"x", "expected rows of 12 bytes, got 1 rows in 13 bytes"),
    ],
)
def test_a_row_that_is_none_is_an_error_after_any_number_of_good_ones(protocol, table, bad, complaint):
    row = {"users": user, "pk_string": by_name, "pk_u_64": lambda _key, name: pk(len(name))}[table]
    good = [row(1, "x" * number) for number in range(13)]
    for count in (0, 1, 2, 12):
        stream = Stream(protocol, table, good[:1])
        stream.send([*pairwise(good[: count + 1]), (good[count], bad)])
        for _ in range(count):
            stream.pair.client.next_event()
        with pytest.raises(RemoteProtocolError, match=complaint):
            stream.pair.client.next_event()
        assert stream.stored() == {good[count]}
