"""The recorded module of procedures."""

from uuid import UUID

from spacetimedb_proto.bsatn.values import ScheduleAt, Timestamp
from spacetimedb_sdk.testing import AutoInc, Module, PrimaryKey, ReducerContext, Row, u8, u32, u64

procedure = Module("sdk-test-procedure", convert_names=True)


@procedure.type
class ReturnStruct(Row):
    a: u32
    b: str


@procedure.sum
class ReturnEnum:
    A: u32
    B: str


@procedure.table(public=True)
class MyTable(Row):
    field: ReturnStruct


@procedure.table(public=True)
class PkUuid(Row):
    u: UUID
    data: u8


@procedure.table(public=True)
class ProcInsertsInto(Row):
    reducer_ts: Timestamp
    procedure_ts: Timestamp
    x: u8
    y: u8


@procedure.table(scheduled="scheduled_proc")
class ScheduledProcTable(Row):
    scheduled_id: PrimaryKey[AutoInc[u64]]
    scheduled_at: ScheduleAt
    reducer_ts: Timestamp
    x: u8
    y: u8


@procedure.procedure
def return_primitive(ctx: ReducerContext, lhs: u32, rhs: u32) -> u32:
    return lhs + rhs


@procedure.procedure
def return_struct(ctx: ReducerContext, a: u32, b: str) -> ReturnStruct:
    return ReturnStruct(a, b)


@procedure.procedure
def return_enum_a(ctx: ReducerContext, a: u32) -> ReturnEnum:
    return ReturnEnum.A(a)


@procedure.procedure
def return_enum_b(ctx: ReducerContext, b: str) -> ReturnEnum:
    return ReturnEnum.B(b)


@procedure.procedure
def will_panic(ctx: ReducerContext) -> None:
    raise RuntimeError("This procedure is expected to panic")


@procedure.procedure
def read_my_schema(ctx: ReducerContext, server_url: str) -> str:
    raise RuntimeError("procedures make no HTTP requests here; the recorded one could not connect")


@procedure.procedure
def invalid_request(ctx: ReducerContext) -> str:
    return "procedures make no HTTP requests here"


@procedure.procedure
def insert_with_tx_commit(ctx: ReducerContext) -> None:
    ctx.db[MyTable].insert(MyTable(ReturnStruct(42, "magic")))


@procedure.procedure
def insert_with_tx_rollback(ctx: ReducerContext) -> None:
    row = ctx.db[MyTable].insert(MyTable(ReturnStruct(42, "magic")))
    ctx.db[MyTable].delete(row)


@procedure.procedure
def sorted_uuids_insert(ctx: ReducerContext) -> None:
    for _ in range(1000):
        ctx.db[PkUuid].insert(u=ctx.new_uuid_v7(), data=0)


@procedure.reducer
def schedule_proc(ctx: ReducerContext) -> None:
    due = ScheduleAt.Time(Timestamp(ctx.timestamp.micros + 1_000_000))
    ctx.db[ScheduledProcTable].insert(scheduled_at=due, reducer_ts=ctx.timestamp, x=42, y=24)


@procedure.procedure
def scheduled_proc(ctx: ReducerContext, data: ScheduledProcTable) -> None:
    row = ProcInsertsInto(data.reducer_ts, ctx.timestamp, data.x, data.y)
    ctx.db[ProcInsertsInto].insert(row)
