"""Streams whose consumer is behind: what is kept, what is merged, what is dropped."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto import ClientSession
from spacetimedb_proto.cache import Changes
from spacetimedb_proto.cache.changes import RowsChanged, Snapshot
from spacetimedb_proto.wire.rowlist import RowList
from spacetimedb_sdk import DecodeError, Deleted, Inserted, LocalProtocolError, Transaction, Updated
from spacetimedb_sdk.bindings.net import net_changes
from spacetimedb_sdk.bindings.records import NetTransactions, TransactionRecord
from spacetimedb_sdk.bindings.streams import Stream
from spacetimedb_sdk.bindings.unread import Coalescing, Dropping, Refusing, unread_items
from tests.schemas import schema

SDK_TEST = schema("sdk-test")
VIEW_PK = schema("sdk-test-view-pk")
EVENT = Transaction(Changes())
FLOATS = (0.0, -0.0, math.nan, 1.5)


class Model:
    """A table as the server has it: a set of rows, and which of them may replace which."""

    def __init__(self, table, columns, *, definition=SDK_TEST, keyed=True, unique=True):
        self.schema, self.table = definition, definition.table(table)
        self.source = ClientSession(definition).cache.table(table)
        self.columns, self.keyed, self.unique = columns, keyed, unique
        self.row = definition.row_codec(table).decode_exact

    def step(self, rows, n, data):
        """The one change that leads to another set of rows, and that set."""
        new = self.columns(n, data)
        if new in rows:
            return (new, None), rows - {new}
        same = sorted(row for row in rows if self.keyed and row[:1] == new[:1])
        if same and (self.unique or data % 2):
            return (same[0], new), rows - {same[0]} | {new}
        return (None, new), rows | {new}

    def change(self, old, new):
        if old is None:
            return Inserted(self.row(new))
        return Deleted(self.row(old)) if new is None else Updated(self.row(old), self.row(new))


def player(n, data):
    return struct.pack("<QI", n, data) + b"x" * data


MODELS = {
    "integer key": Model("pk_u_32", lambda n, data: struct.pack("<Ii", n, data)),
    "boolean key": Model("pk_bool", lambda n, data: struct.pack("<Bi", n % 2, data)),
    "enum key": Model("pk_simple_enum", lambda n, data: struct.pack("<Bi", n % 3, data)),
    "key of many bytes": Model("pk_identity", lambda n, data: struct.pack("<B31xi", n, data)),
    "no key": Model("one_f_64", lambda n, data: struct.pack("<d", FLOATS[n]), keyed=False),
    "view": Model("all_view_pk_players", player, definition=VIEW_PK),
    "view whose rows share keys": Model("all_view_pk_players", player, definition=VIEW_PK, unique=False),
}
moves = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=6)


class Copy:
    """A consumer's copy of a table, which takes nothing that does not fit what it has."""

    def __init__(self, model):
        self.encode, self.model = model.schema.row_codec(model.table.name).encode, model
        self.rows = frozenset()

    def apply(self, change):
        if isinstance(change, Inserted):
            self._replace(None, change.row)
        elif isinstance(change, Deleted):
            self._replace(change.row, None)
        else:
            self._replace(change.old, change.new)

    def _replace(self, old, new):
        gone = set() if old is None else {self.encode(old)}
        came = set() if new is None else {self.encode(new)}
        assert gone <= self.rows
        assert not came & self.rows
        assert gone != came
        self.rows = self.rows - gone | came
        if self.model.keyed and self.model.unique:
            assert len({row[:1] for row in self.rows}) == len(self.rows), "one row of each key at every moment"


def stream_of(unread):
    return Stream("changes()", lambda _: None, unread)


def read_all(stream):
    items = []
    while (item := stream.next_nowait()) is not None:
        items.append(item)
    return items


@pytest.mark.parametrize("kind", MODELS)
@given(buffer=st.integers(1, 12), turns=st.lists(st.tuples(moves, st.integers(0, 5))))
def test_a_copy_is_the_table_whenever_its_reader_has_caught_up(kind, buffer, turns):
    model = MODELS[kind]
    unread = Coalescing(buffer, net_changes(model.schema, model.table))
    stream, copy, rows, touched = stream_of(unread), Copy(model), frozenset(), set()
    recorded = read = 0
    for turn, reads in [*turns, ([], 1000)]:
        for n, data in turn:
            (old, new), rows = model.step(rows, n, data)
            stream.push(model.change(old, new))
            touched |= {old, new} - {None}
            recorded += 1
            keys = {row[:1] for row in touched} if model.keyed and not model.table.is_view else touched
            assert len(unread) <= buffer + len(keys)
        for _ in range(reads):
            change = stream.next_nowait()
            if change is None:
                break
            copy.apply(change)
            read += 1
        if not unread:
            assert copy.rows == rows
        if not model.table.is_view:  # of which an update is a delete and an insert
            assert recorded == read + len(unread) + stream.coalesced
    assert copy.rows == rows


@given(turns=st.lists(st.tuples(moves, st.integers(0, 5))), buffer=st.integers(1, 12))
def test_a_consumer_that_keeps_up_reads_every_change(turns, buffer):
    model, rows = MODELS["integer key"], frozenset()
    stream = stream_of(Coalescing(buffer, net_changes(model.schema, model.table)))
    for turn, _ in turns:
        expected = []
        for n, data in turn[:buffer]:
            (old, new), rows = model.step(rows, n, data)
            expected.append(model.change(old, new))
            stream.push(expected[-1])
        assert read_all(stream) == expected
    assert stream.coalesced == 0


class TestMerging:
    """What two changes of one row come to."""

    @pytest.fixture
    def row(self):
        return SDK_TEST.row_codec("pk_u_32").python_type

    @pytest.fixture
    def full(self, row):
        stream = stream_of(Coalescing(1, net_changes(SDK_TEST, SDK_TEST.table("pk_u_32"))))
        stream.push(Inserted(row(99, 0)))
        return stream

    def test_net_effects(self, full, row):
        a, b, c = (row(1, data) for data in range(3))
        cases = [
            ([Inserted(a), Updated(a, b), Updated(b, c)], [Inserted(c)]),
            ([Inserted(a), Deleted(a)], []),
            ([Updated(a, b), Updated(b, c)], [Updated(a, c)]),
            ([Updated(a, b), Updated(b, a)], []),
            ([Updated(a, b), Deleted(b)], [Deleted(a)]),
            ([Deleted(a), Inserted(b)], [Updated(a, b)]),
            ([Deleted(a), Inserted(a)], []),
            ([Deleted(a), Inserted(b), Deleted(b)], [Deleted(a)]),
        ]
        for changes, expected in cases:
            read_all(full)
            full.push(Inserted(row(99, 0)))
            before = full.coalesced
            for change in changes:
                full.push(change)
            first, *others = read_all(full)
            assert first == Inserted(row(99, 0))
            assert others == expected
            assert full.coalesced - before == len(changes) - len(expected)

    def test_each_row_stays_where_it_first_changed(self, full, row):
        for n, data in ((1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (1, 2)):
            full.push(Inserted(row(n, 0)) if not data else Updated(row(n, data - 1), row(n, data)))
        assert [(change.row.n, change.row.data) for change in read_all(full)] == [(99, 0), (1, 2), (2, 1), (3, 0)]

    def test_also_rows_that_changed_before_the_buffer_was_full_stay_there(self, row):
        stream = stream_of(Coalescing(4, net_changes(SDK_TEST, SDK_TEST.table("pk_u_32"))))
        for n, data in ((1, 0), (2, 0), (1, 1), (3, 0), (4, 0), (2, 1)):
            stream.push(Inserted(row(n, 0)) if not data else Updated(row(n, data - 1), row(n, data)))
        assert [(change.row.n, change.row.data) for change in read_all(stream)] == [(1, 1), (2, 1), (3, 0), (4, 0)]

    def test_the_newest_of_a_full_buffer_are_merged_first_and_soon_all(self, row):
        unread = Coalescing(100, net_changes(SDK_TEST, SDK_TEST.table("pk_u_32")))
        stream = stream_of(unread)
        stream.push(Inserted(row(1, 0)))
        for data in range(100):
            stream.push(Updated(row(1, data), row(1, data + 1)))
        assert len(unread) < 100
        for data in range(100, 120):
            stream.push(Updated(row(1, data), row(1, data + 1)))
        assert read_all(stream) == [Inserted(row(1, 120))]
        assert stream.coalesced == 120

    def test_bits_tell_floats_apart(self):
        row, table = SDK_TEST.row_codec("one_f_64").python_type, SDK_TEST.table("one_f_64")
        stream = stream_of(Coalescing(1, net_changes(SDK_TEST, table)))
        stream.push(Inserted(row(1.0)))
        for value in (0.0, -0.0, math.nan):
            stream.push(Inserted(row(value)))
        for value in (math.nan, -0.0):
            stream.push(Deleted(row(value)))
        assert [math.copysign(change.row.f, change.row.f) for change in read_all(stream)] == [1.0, 0.0]

    def test_closing_forgets_what_was_merged(self, full, row):
        full.push(Inserted(row(1, 0)))
        full.close()
        with pytest.raises(StopIteration):
            full.next_nowait()


# --- transactions -----------------------------------------------------------------------------------------------------

TABLES = ("integer key", "no key")


def transaction(models, before, after, events):
    """What the cache tells of a message that leads from some rows to others."""
    net = {}
    for name, model in models.items():
        came, gone = sorted(after[name] - before[name]), sorted(before[name] - after[name])
        pairs = [(old, new) for old in gone for new in came if model.keyed and old[:1] == new[:1]]
        net[model.table.name] = RowsChanged(
            model.source,
            inserts=[row for row in came if row not in [new for _, new in pairs]],
            deletes=[row for row in gone if row not in [old for old, _ in pairs]],
            old=[old for old, _ in pairs],
            new=[new for _, new in pairs],
        )
    if events:
        source = ClientSession(SDK_TEST).cache.table("one_u_8")
        net["one_u_8"] = Snapshot(source, [RowList.of([bytes([n]) for n in events])], is_event=True, is_distinct=True)
    return TransactionRecord(EVENT, Changes(net))


@given(
    buffer=st.integers(1, 12),
    turns=st.lists(st.tuples(st.lists(st.tuples(st.dictionaries(st.sampled_from(TABLES), moves),
                                                st.sets(st.integers(0, 9), max_size=2)), max_size=8),
                             st.integers(0, 5))),
)  # fmt: skip
def test_each_record_leaves_all_copies_as_the_tables_were_at_one_moment(buffer, turns):
    models = {name: MODELS[name] for name in TABLES}
    unread = Coalescing(buffer, NetTransactions(SDK_TEST))
    stream, copies = stream_of(unread), {name: Copy(model) for name, model in models.items()}
    states, fired, heard = [dict.fromkeys(TABLES, frozenset())], [], []
    seen = read = 0
    for turn, reads in [*turns, ([], 1000)]:
        for moved, events in turn:
            state = dict(states[-1])
            for name, changes in moved.items():
                for n, data in changes:
                    _, state[name] = models[name].step(state[name], n, data)
            stream.push(transaction(models, states[-1], state, sorted(events)))
            states.append(state)
            fired += sorted(events)
            assert len(unread) <= buffer
        for _ in range(reads):
            record = stream.next_nowait()
            if record is None:
                break
            read += 1
            seen += record.merged
            for name, model in models.items():
                for change in record.changes.get(model.table.name, ()):
                    copies[name].apply(change)
            heard += [change.row.n for change in record.changes.get("one_u_8", ())]
            assert {name: copy.rows for name, copy in copies.items()} == states[seen]
            assert heard == fired[: len(heard)]
        assert len(states) - 1 == read + len(unread) + stream.coalesced
    assert seen == len(states) - 1
    assert heard == fired


class TestMergedRecords:
    @pytest.fixture
    def stream(self):
        return stream_of(Coalescing(2, NetTransactions(SDK_TEST)))

    @pytest.fixture
    def models(self):
        return {name: MODELS[name] for name in TABLES}

    def push(self, stream, models, *states, events=()):
        for before, after in pairwise(states):
            whole = [dict.fromkeys(TABLES, frozenset()) | state for state in (before, after)]
            stream.push(transaction(models, *whole, events))

    def test_they_say_of_how_many_they_are_made(self, stream, models):
        one, two = ({"integer key": frozenset({struct.pack("<Ii", 1, data)})} for data in (1, 2))
        self.push(stream, models, {}, one, two, one)
        (record,) = read_all(stream)
        assert record.merged == 3
        assert repr(record).startswith("<3 transactions up to Transaction(")
        assert repr(record).endswith("on pk_u_32>")
        self.push(stream, models, one, two)
        (record,) = read_all(stream)
        assert record.merged == 1

    def test_a_record_without_changes_still_tells_its_event(self, stream, models):
        one = {"integer key": frozenset({struct.pack("<Ii", 1, 1)})}
        self.push(stream, models, {}, one, {}, {})
        (record,) = read_all(stream)
        assert (record.event, record.changes, record.merged) == (EVENT, {}, 3)
        assert repr(record).endswith("on no tables>")

    def test_the_event_is_the_last_one(self, stream):
        events = [Transaction(Changes()) for _ in range(4)]
        for event in events:
            stream.push(TransactionRecord(event, Changes()))
        (record,) = read_all(stream)
        assert record.event is events[-1]

    def test_events_are_all_kept_in_order(self, stream, models):
        for events in ([1, 2], [2], [1, 3]):
            self.push(stream, models, {}, {}, events=events)
        (record,) = read_all(stream)
        assert [change.row.n for change in record.changes["one_u_8"]] == [1, 2, 2, 1, 3]

    def test_a_row_that_is_none_is_for_whoever_looks(self, stream):
        source = ClientSession(SDK_TEST).cache.table("pk_u_32")
        good, bad = struct.pack("<Ii", 1, 1), b"\1"
        stream.push(TransactionRecord(EVENT, Changes({"pk_u_32": RowsChanged(source, deletes=[good])})))
        stream.push(TransactionRecord(EVENT, Changes({"pk_u_32": RowsChanged(source, inserts=[bad])})))
        stream.push(TransactionRecord(EVENT, Changes()))
        (record,) = read_all(stream)
        with pytest.raises(DecodeError):
            record.changes  # noqa: B018

    def test_a_key_that_is_no_number_replaces_nothing(self):
        definition = attrs.evolve(
            SDK_TEST, tables={**SDK_TEST.tables, "one_f_64": attrs.evolve(SDK_TEST.tables["one_f_64"], primary_key=0)}
        )
        stream = stream_of(Coalescing(2, NetTransactions(definition)))
        source = ClientSession(definition).cache.table("one_f_64")
        zero, minus_zero = struct.pack("<d", 0.0), struct.pack("<d", -0.0)
        odd, even = (struct.pack("<Q", 0x7FF8_0000_0000_0000 + n) for n in (1, 2))
        stream.push(TransactionRecord(EVENT, Changes({"one_f_64": RowsChanged(source, deletes=[zero, odd])})))
        stream.push(TransactionRecord(EVENT, Changes({"one_f_64": RowsChanged(source, inserts=[minus_zero, even])})))
        stream.push(TransactionRecord(EVENT, Changes()))
        (record,) = read_all(stream)
        assert [type(change) for change in record.changes["one_f_64"]] == [Inserted, Deleted, Updated]


# --- the other ways ---------------------------------------------------------------------------------------------------


@given(buffer=st.integers(1, 5), turns=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))))
def test_dropping_drops_exactly_the_oldest(buffer, turns):
    stream, expected, recorded, dropped = stream_of(Dropping(buffer)), [], 0, 0
    for items, reads in turns:
        for _ in range(items):
            stream.push(recorded)
            expected.append(recorded)
            recorded += 1
        dropped += len(expected[:-buffer])
        expected = expected[-buffer:]
        for _ in range(reads):
            assert stream.next_nowait() == (expected.pop(0) if expected else None)
        assert stream.dropped == dropped
    stream.end(None)
    assert [stream.next_nowait() for _ in expected] == expected
    with pytest.raises(StopIteration):
        stream.next_nowait()


def test_what_a_stream_says_of_itself():
    stream = stream_of(Refusing(1))
    assert repr(stream) == "<changes(): 0 unread, overflow='error'>"
    stream.push("a")
    stream.push("b")
    assert repr(stream) == "<changes(): 1 unread, overflow='error', ended>"
    stream = stream_of(Dropping(1))
    stream.push("a")
    stream.push("b")
    assert repr(stream) == "<changes(): 1 unread, overflow='drop_old', 1 dropped>"
    row = SDK_TEST.row_codec("one_u_8").python_type
    stream = stream_of(Coalescing(1, net_changes(SDK_TEST, SDK_TEST.table("one_u_8"))))
    for change in (Inserted(row(1)), Inserted(row(2)), Deleted(row(2))):
        stream.push(change)
    assert repr(stream) == "<changes(): 1 unread, overflow='coalesce', 2 coalesced>"


@pytest.mark.parametrize("buffer", [0, -1, 1.5, "10", None, True])
def test_a_buffer_that_holds_nothing(buffer):
    with pytest.raises(LocalProtocolError) as caught:
        unread_items("changes()", buffer, "error", NetTransactions)
    assert str(caught.value) == f"changes(): expected a buffer of at least 1 item, got {buffer!r}"


def test_a_way_to_overflow_that_there_is_not():
    with pytest.raises(LocalProtocolError) as caught:
        unread_items("changes()", 1, "wait", NetTransactions)
    assert str(caught.value) == "changes(): overflow: expected 'error', 'coalesce' or 'drop_old', got 'wait'"
