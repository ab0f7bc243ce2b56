"""Rows, lookups, callbacks and streams."""

from __future__ import annotations

import asyncio
import functools
import uuid

import anyio
import attrs
import pytest

from spacetimedb_sdk import (
    ConnectionId,
    Deleted,
    EncodeError,
    Identity,
    Inserted,
    LocalProtocolError,
    ReducerEvent,
    ScheduleAt,
    Some,
    SubscribeApplied,
    TimeDuration,
    Timestamp,
    Transaction,
    Updated,
)

pytestmark = pytest.mark.anyio


async def test_find_and_filter(client):
    conn = await client()
    await conn.reducers.add_pairs(10, 20)
    await conn.subscribe("SELECT * FROM pair")
    pairs = conn.db.pair
    assert pairs.find(id=15).key == "k15"
    assert pairs.find(key="k15").id == 15
    assert pairs.find(id=5) is None
    assert sorted(p.id for p in pairs.filter(group=3)) == [13, 23]
    assert [p.id for p in pairs.filter(group=3, key="k23")] == [23]
    assert pairs.find(id=23, key="k23", group=3) == pairs.find(id=23)
    assert pairs.find(id=23, group=4) is None
    assert sorted(p.id for p in pairs.filter(value=0)) == list(range(10, 30))
    assert list(pairs.filter(group=77)) == []
    await conn.reducers.set_pair(13, "k13", 4, 1)
    await conn.reducers.remove_pair(23)
    assert list(pairs.filter(group=3)) == []
    assert sorted(p.id for p in pairs.filter(group=4)) == [13, 14, 24]


async def test_lookups_say_what_is_wrong(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    with pytest.raises(LocalProtocolError, match=r"pair.find\(\): expected unique columns \(id, key\), got group"):
        conn.db.pair.find(group=1)
    with pytest.raises(TypeError, match="colour"):
        conn.db.pair.filter(colour="red")
    with pytest.raises(EncodeError, match=r"pair\.id: expected u32, got 'x'"):
        conn.db.pair.find(id="x")
    with pytest.raises(AttributeError, match="no table 'pears'"):
        conn.db.pears  # noqa: B018
    with pytest.raises(LocalProtocolError, match="no_key has no primary key"):
        conn.db.no_key.on_update(lambda ctx, old, new: None)
    with pytest.raises(TypeError, match="coroutine function"):

        @conn.db.pair.on_insert
        async def never(ctx, row): ...


async def test_rows_are_values(client):
    conn = await client()
    await conn.reducers.add_pair(1, "one", 2, 10)
    await conn.subscribe("SELECT * FROM pair")
    row = conn.db["pair"].find(id=1)
    assert repr(row).endswith("(id=1, key='one', group=2, value=10)")
    assert attrs.evolve(row, value=11).value == 11
    assert row == attrs.evolve(row)
    assert row in conn.db.pair
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        row.value = 12
    match row:
        case object(id=1, key=key):
            assert key == "one"


async def test_callbacks_and_their_context(client):
    conn, other = await client(), await client()
    await conn.subscribe("SELECT * FROM pair")
    log = []

    @conn.db.pair.on_insert
    def inserted(ctx, row):
        log.append(("insert", row.id, type(ctx.event), len(ctx.db.pair), ctx.identity == conn.identity))

    conn.db.pair.on_update(lambda ctx, old, new: log.append(("update", old.value, new.value)))
    conn.db.pair.on_delete(lambda ctx, row: log.append(("delete", row.id)))
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.reducers.set_pair(1, "one", 0, 11)
    await conn.reducers.remove_pair(1)
    assert log == [("insert", 1, ReducerEvent, 1, True), ("update", 10, 11), ("delete", 1)]
    inserted.remove()
    inserted.remove()
    await conn.reducers.add_pair(2, "two", 0, 0)
    assert len(log) == 3
    stream = conn.transactions()
    await other.reducers.add_pair(3, "three", 0, 0)
    tx = await anext(stream)
    assert isinstance(tx.event, Transaction | ReducerEvent)
    assert inserted.callback is not None


async def test_kinds_come_in_order_and_rows_as_they_arrived(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    await conn.subscribe("SELECT * FROM pair")
    log = []
    conn.db.pair.on_update(lambda ctx, old, new: log.append(("first", new.id)))
    conn.db.pair.on_update(lambda ctx, old, new: log.append(("second", new.id)))
    conn.db.pair.on_changes(lambda ctx, changes: log.append(("changes", len(changes.updates))))
    await conn.reducers.bump_pairs()
    ids = [i for who, i in log if who == "first"]
    assert sorted(ids) == [1, 2, 3]
    assert log == [entry for i in ids for entry in (("first", i), ("second", i))] + [("changes", 3)]


async def test_a_callback_that_raises_is_reported_and_disturbs_nobody(client, caplog):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    log, errors = [], []

    def broken(ctx, row):
        raise ZeroDivisionError("oops")

    conn.db.pair.on_insert(broken)
    conn.db.pair.on_insert(lambda ctx, row: log.append(row.id))
    conn.on_error(lambda error, where: errors.append((type(error), where)))
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.reducers.add_pair(2, "two", 0, 20)
    assert log == [1, 2]
    assert [error for error, _ in errors] == [ZeroDivisionError] * 2
    assert "broken" in errors[0][1]
    assert "broken" in caplog.text


async def test_a_callback_that_asks_a_cancelled_task_is_reported_and_disturbs_nobody(client):
    conn = await client()
    errors = []
    conn.on_error(lambda error, where: errors.append((type(error), where)))

    def broken(*_):
        raise asyncio.CancelledError

    sub = await conn.subscribe("SELECT * FROM pair")
    sub.on_applied(broken)
    conn.db.pair.on_insert(broken)
    conn.db.pair.on_update(broken)
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.reducers.set_pair(1, "one", 0, 11)
    assert [error for error, _ in errors] == [asyncio.CancelledError] * 3
    assert conn.state == "connected"


async def test_a_partial_is_named_as_its_function(client):
    conn = await client()
    errors = []
    conn.on_error(lambda error, where: errors.append(where))

    def broken(_text, _ctx, _row):
        raise ZeroDivisionError

    conn.db.pair.on_insert(functools.partial(functools.partial(broken), "x"))
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    assert [where.rpartition(".")[2] for where in errors] == ["broken"]


async def test_listeners_added_in_a_callback_count_from_the_next_event_on(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    log = []

    def first(ctx, row):
        log.append(("first", row.id))
        listener.remove()
        ctx.db.pair.on_insert(lambda ctx, row: log.append(("second", row.id)))

    listener = conn.db.pair.on_insert(first)
    await conn.reducers.add_pairs(1, 2)
    assert sorted(log) == [("first", 1), ("first", 2)]
    log.clear()
    await conn.reducers.add_pair(3, "three", 0, 0)
    assert log == [("second", 3)] * 2


async def test_a_call_from_a_callback(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair", "SELECT * FROM no_key")
    errors = []
    conn.on_error(lambda error, where: errors.append(str(error)))
    answers = conn.db.no_key.changes()

    @conn.db.pair.on_insert
    def answer(ctx, row):
        ctx.reducers.add_no_key(row.id, "answer")
        ctx.reducers.send_message("")

    await conn.reducers.add_pair(1, "one", 0, 10)
    change = await anext(answers)
    assert (change.row.n, change.row.text) == (1, "answer")
    await conn.reducers.clear()
    assert errors == ["Messages must not be empty"]


async def test_streams_record_from_the_call(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair", "SELECT * FROM no_key")
    changes, transactions = conn.db.pair.changes(), conn.transactions()
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.reducers.set_pair(1, "one", 0, 11)
    await conn.reducers.add_no_key(1, "x")
    await conn.reducers.remove_pair(1)
    assert [type(await anext(changes)) for _ in range(3)] == [Inserted, Updated, Deleted]
    seen = [await anext(transactions) for _ in range(4)]
    assert [list(tx.changes) for tx in seen] == [["pair"], ["pair"], ["no_key"], ["pair"]]
    assert [tx.event.reducer for tx in seen] == ["add_pair", "set_pair", "add_no_key", "remove_pair"]
    assert seen[0].changes["pair"] == [Inserted(row=seen[1].changes["pair"][0].old)]


async def test_a_stream_ends_with_the_connection(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    stream = conn.transactions()
    await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.aclose()
    assert [list(tx.changes) async for tx in stream] == [["pair"]]


async def test_a_stream_sees_subscriptions_too(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 2)
    stream = conn.transactions()
    await conn.subscribe("SELECT * FROM pair")
    tx = await anext(stream)
    assert isinstance(tx.event, SubscribeApplied)
    assert sorted(change.row.id for change in tx.changes["pair"]) == [1, 2]


async def test_waiting_streams_can_be_cancelled(host, client):
    host.need("cancel")
    conn = await client()
    stream = conn.db.pair.changes()
    with anyio.move_on_after(0):
        await anext(stream)
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    assert (await anext(stream)).row.id == 1


async def test_tables_without_a_key_have_inserts_and_deletes(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM no_key")
    stream = conn.db.no_key.changes()
    await conn.reducers.add_no_key(1, "x")
    await conn.reducers.remove_no_key(1)
    assert [type(await anext(stream)) for _ in range(2)] == [Inserted, Deleted]


async def test_event_tables_fire_and_store_nothing(target, client, protocol):
    if protocol.startswith("v1"):
        pytest.skip("v1 has no event tables")
    target.need_own("the real server is older than event tables")
    conn = await client()
    await conn.subscribe("SELECT * FROM notice")
    log = []
    conn.db.notice.on_insert(lambda ctx, row: log.append((row.text, len(ctx.db.notice))))
    await conn.reducers.notify("fire")
    await conn.reducers.notify("fire")
    assert log == [("fire", 0), ("fire", 0)]
    with pytest.raises(LocalProtocolError, match="event table"):
        conn.db.notice.on_update(lambda ctx, old, new: None)


def every_type(types):
    primitives = {
        "a": 255, "b": 2**16 - 1, "c": 2**32 - 1, "d": 2**64 - 1, "e": 2**128 - 1, "f": 2**256 - 1,
        "g": -128, "h": -(2**15), "i": -(2**31), "j": -(2**63), "k": -(2**127), "l": -(2**255),
        "m": True, "n": 0.5, "o": -1.25e30, "p": "h\u00e9llo \u2603",
        "q": Identity.from_hex("c2" + "07" * 31), "r": ConnectionId.from_hex("0f" * 16),
        "s": Timestamp(1_700_000_000_123_456), "t": TimeDuration(-1_500_000),
    }  # fmt: skip
    return {
        "primitives": types.EveryPrimitiveStruct(**primitives),
        "vectors": {name: b"\x00\xff" if name == "a" else [value, value] for name, value in primitives.items()},
        "simple": types.SimpleEnum.One,
        "payload": types.EnumWithPayload.Strings(["a", ""]),
        "unit": types.UnitStruct(),
        "point": types.Point(x=-1, y=2),
        "maybe": None,
        "maybe_point": {"x": 3, "y": 4},
        "nested": Some(None),
        "points": [types.Point(x=i, y=-i) for i in range(3)],
        "schedule": ScheduleAt.Interval(TimeDuration(5_000_000)),
    }


async def test_every_type_there_and_back(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM every_type")
    sent = every_type(conn.types)
    await conn.reducers.add_every_type(**sent)
    (row,) = conn.db.every_type
    types = conn.types
    assert row.primitives == sent["primitives"]
    assert row.vectors == types.EveryVecStruct(**sent["vectors"])
    assert (row.simple, row.simple.value) == (types.SimpleEnum.One, 1)
    assert row.unit == types.UnitStruct()
    assert (row.maybe, row.nested) == (None, Some(None))
    assert row.maybe_point == types.Point(x=3, y=4)
    assert row.points == sent["points"]
    match row.payload:
        case types.EnumWithPayload.Strings(strings):
            assert strings == ["a", ""]
        case other:
            pytest.fail(f"unexpected {other!r}")
    match row.schedule:
        case ScheduleAt.Interval(duration):
            assert duration == TimeDuration(5_000_000)
        case other:
            pytest.fail(f"unexpected {other!r}")


@pytest.mark.parametrize(
    ("variant", "value"),
    [
        ("U8", 7), ("U128", 2**127), ("I256", -5), ("Bool", False), ("F32", 0.25), ("F64", 1e-300), ("Str", "x"),
        ("Bytes", b"\x01\x02"), ("Ints", [-1, 0, 1]), ("Timestamp", Timestamp(-1)),
        ("Identity", Identity.from_hex("c2" + "00" * 31)), ("ConnectionId", ConnectionId.from_hex("00" * 15 + "01")),
    ],
)  # fmt: skip
async def test_each_variant_there_and_back(client, variant, value):
    conn = await client()
    await conn.subscribe("SELECT * FROM every_type")
    payload = getattr(conn.types.EnumWithPayload, variant)(value)
    sent = every_type(conn.types) | {"payload": payload, "maybe": -3, "nested": Some(4), "simple": "Two"}
    await conn.reducers.add_every_type(**sent)
    (row,) = conn.db.every_type
    assert row.payload == payload
    assert type(row.payload.value) is type(value)
    assert (row.maybe, row.nested, row.simple) == (-3, Some(4), conn.types.SimpleEnum.Two)


async def test_a_wrong_value_deep_inside_is_found(client):
    conn = await client()
    sent = every_type(conn.types)
    bad = {
        "points": ([{"x": 1, "y": 2}, {"x": 1, "y": "2"}], r"points\[1\]\.y: expected i32, got '2'"),
        "point": ({"x": 1}, "point: .*y"),
        "simple": (uuid.uuid4(), "simple: expected SimpleEnum"),
    }
    for name, (value, message) in bad.items():
        with pytest.raises(EncodeError, match=message):
            await conn.reducers.add_every_type(**sent | {name: value})


async def test_values_without_columns_are_refused(client):
    conn = await client()
    with pytest.raises(TypeError, match=r"pair\.find\(\) takes values by column, as in find\(id=\.\.\.\)"):
        conn.db.pair.find(5)
    with pytest.raises(TypeError, match=r"pair\.filter\(\) takes values by column"):
        conn.db.pair.filter(5, group=1)
