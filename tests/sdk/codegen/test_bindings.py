"""What generated bindings have beyond dynamic ones. That they behave alike is the behaviour suite's to show."""

from __future__ import annotations

import sys

import pytest

import spacetimedb_sdk
from spacetimedb_sdk import Inserted, Updated, connect
from spacetimedb_sdk.testing import serve
from tests.behaviour_module import behaviour
from tests.sdk.codegen.support import imported

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    yield imported(tmp_path_factory.mktemp("chat"), "chat_bindings", behaviour.schema)
    for name in [name for name in sys.modules if name.partition(".")[0] == "chat_bindings"]:
        del sys.modules[name]


@pytest.fixture
def server():
    with serve(behaviour) as server:
        yield server


async def test_two_ways_to_connect(chat, server):
    async with (
        chat.connect(server.uri, server.database) as one,
        connect(server.uri, server.database, bindings=chat) as other,
    ):
        assert one.schema.hash == other.schema.hash == chat.SCHEMA_HASH
        assert one.types.Pair is other.types.Pair is chat.Pair
        assert one.types.SimpleEnum is chat.SimpleEnum


async def test_rows_come_and_go_as_its_classes(chat, server):
    async with chat.connect(server.uri, server.database) as conn:
        await conn.subscribe(chat.query.pair.where(lambda p: (p.id > 1) & (p.group == 7)))
        stream = conn.db.pair.changes()
        for id_, group in ((1, 7), (2, 8), (3, 7)):
            await conn.reducers.add_pair(id_, str(id_), group, 0)
        await conn.reducers.set_pair(3, "3", 7, 1)
        new = chat.Pair(id=3, key="3", group=7, value=1)
        assert await anext(stream) == Inserted(chat.Pair(3, "3", 7, 0))
        assert await anext(stream) == Updated(chat.Pair(3, "3", 7, 0), new)
        assert list(conn.db.pair.filter(group=7)) == [new]
        assert await conn.query(chat.query.pair.where(lambda p: p.key == "1")) == [chat.Pair(1, "1", 7, 0)]


async def test_its_classes_are_arguments(chat, server):
    async with chat.connect(server.uri, server.database) as conn:
        await conn.subscribe(chat.query.every_type.where())
        primitives = chat.EveryPrimitiveStruct(
            *range(6), *range(6), True, 1.5, 2.5, "p", conn.identity, conn.connection_id,
            spacetimedb_sdk.Timestamp(1), spacetimedb_sdk.TimeDuration(2),
        )  # fmt: skip
        vectors = chat.EveryVecStruct(b"", *([] for _ in range(19)))
        payload = chat.EnumWithPayload.SimpleEnums([chat.SimpleEnum.One])
        await conn.reducers.add_every_type(
            primitives, vectors, chat.SimpleEnum.Two, payload, chat.UnitStruct(), chat.Point(1, 2), None,
            chat.Point(3, 4), spacetimedb_sdk.Some(None), [chat.Point(5, 6)],
            spacetimedb_sdk.ScheduleAt.Time(spacetimedb_sdk.Timestamp(3)),
        )  # fmt: skip
        (row,) = conn.db.every_type
        assert (row.primitives, row.vectors, row.payload) == (primitives, vectors, payload)
        match row:
            case chat.EveryType(
                payload=chat.EnumWithPayload.SimpleEnums([chat.SimpleEnum.One]), points=[chat.Point(5, y)]
            ):
                assert y == 6
            case _:
                pytest.fail("no match")
        assert isinstance(row.payload, chat.AnyEnumWithPayload)


def test_names_for_annotations_are_what_they_stand_for(chat):
    assert chat.Connection is spacetimedb_sdk.Connection
    assert chat.BlockingConnection is spacetimedb_sdk.blocking.Connection
    assert chat.FrameConnection is spacetimedb_sdk.frame.Connection
    assert chat.Context is spacetimedb_sdk.Context
    assert chat.tables.PairTable is chat.tables.NoticeTable is spacetimedb_sdk.TableHandle
