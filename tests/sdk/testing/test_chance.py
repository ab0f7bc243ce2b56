"""Random numbers and ids of modules: the same in each run, and no two alike."""

from __future__ import annotations

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_sdk.testing import Database, ManualClock, Module
from spacetimedb_sdk.testing.chance import Chance

MOMENT = Timestamp(1_700_000_000_123_456)


def test_uuids_of_version_7():
    chance = Chance("seed")
    found = [chance.uuid_v7(MOMENT) for _ in range(1000)] + [chance.uuid_v7(Timestamp(MOMENT.micros + 1000))]
    assert found == sorted(set(found))
    assert {each.version for each in found} == {7}
    assert {each.variant for each in found} == {"specified in RFC 4122"}
    assert found[0].int >> 80 == 1_700_000_000_123


def test_random_uuids():
    chance = Chance("seed")
    found = {chance.uuid_v4() for _ in range(100)}
    assert len(found) == 100
    assert {each.version for each in found} == {4}


def drawn(database):
    return database.run(lambda ctx: (ctx.random.random(), ctx.new_uuid_v4(), ctx.new_uuid_v7()))


def test_databases_alike_draw_alike():
    module = Module("m")
    first, second = (Database(module, clock=ManualClock()) for _ in range(2))
    drawings = [drawn(first), drawn(first)]
    assert drawings[0] != drawings[1], "though the clock stands still"
    assert [drawn(second), drawn(second)] == drawings
    later = Database(module, clock=ManualClock(), rows_of=first)
    assert drawn(later) not in drawings, "what has rows goes on"
