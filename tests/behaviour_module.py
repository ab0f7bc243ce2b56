"""The behaviour module in Python: what `tests/live/module` is to a real server, for the server of our own.

Names, types and their order are the Rust module's, so that one suite runs against both. Only what a server of release
1.2.0 cannot have is more here: the event table `notice` with its reducer, and the procedures.
"""

# ruff: noqa: A001, A002, E741, PLR0917 - names and parameters are the Rust module's

import enum

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, ScheduleAt, Some, TimeDuration, Timestamp
from spacetimedb_sdk.testing import (
    AutoInc,
    ConstraintError,
    Index,
    Module,
    PrimaryKey,
    ReducerContext,
    ReducerError,
    Row,
    Unique,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    i128,
    i256,
    u8,
    u16,
    u32,
    u64,
    u128,
    u256,
)

behaviour = Module("behaviour")

# --- types ------------------------------------------------------------------------------------------------------------


class SimpleEnum(enum.Enum):
    Zero = 0
    One = 1
    Two = 2


@behaviour.sum
class EnumWithPayload:
    U8: u8
    U16: u16
    U32: u32
    U64: u64
    U128: u128
    U256: u256
    I8: i8
    I16: i16
    I32: i32
    I64: i64
    I128: i128
    I256: i256
    Bool: bool
    F32: f32
    F64: f64
    Str: str
    Identity: Identity
    ConnectionId: ConnectionId
    Timestamp: Timestamp
    Bytes: bytes
    Ints: list[i32]
    Strings: list[str]
    SimpleEnums: list[SimpleEnum]
    Nothing: None


@behaviour.type
class UnitStruct:
    pass


@behaviour.type
class Point:
    x: i32
    y: i32


@behaviour.type
class EveryPrimitiveStruct:
    a: u8
    b: u16
    c: u32
    d: u64
    e: u128
    f: u256
    g: i8
    h: i16
    i: i32
    j: i64
    k: i128
    l: i256
    m: bool
    n: f32
    o: f64
    p: str
    q: Identity
    r: ConnectionId
    s: Timestamp
    t: TimeDuration


@behaviour.type
class EveryVecStruct:
    a: bytes
    b: list[u16]
    c: list[u32]
    d: list[u64]
    e: list[u128]
    f: list[u256]
    g: list[i8]
    h: list[i16]
    i: list[i32]
    j: list[i64]
    k: list[i128]
    l: list[i256]
    m: list[bool]
    n: list[f32]
    o: list[f64]
    p: list[str]
    q: list[Identity]
    r: list[ConnectionId]
    s: list[Timestamp]
    t: list[TimeDuration]


# --- tables -----------------------------------------------------------------------------------------------------------


@behaviour.table(public=True)
class User:
    identity: PrimaryKey[Identity]
    name: str | None
    online: bool


@behaviour.table(public=True)
class Message:
    id: PrimaryKey[AutoInc[u64]]
    sender: Index[Identity]
    sent: Timestamp
    text: str


@behaviour.table(public=True)
class Pair(Row):
    id: PrimaryKey[u32]
    key: Unique[str]
    group: Index[i32]
    value: i32


@behaviour.table(public=True)
class NoKey:
    n: i32
    text: str


@behaviour.table(public=True)
class EveryType(Row):
    id: PrimaryKey[AutoInc[u64]]
    primitives: EveryPrimitiveStruct
    vectors: EveryVecStruct
    simple: SimpleEnum
    payload: EnumWithPayload
    unit: UnitStruct
    point: Point
    maybe: i32 | None
    maybe_point: Point | None
    nested: Some[i32 | None] | None
    points: list[Point]
    schedule: ScheduleAt


@behaviour.table(public=True, event=True)
class Notice:
    text: str


@behaviour.table
class Banned:
    identity: PrimaryKey[Identity]


@behaviour.table
class Secret:
    id: PrimaryKey[u32]
    text: str


# --- lifecycle --------------------------------------------------------------------------------------------------------


@behaviour.client_connected
def client_connected(ctx: ReducerContext) -> None:
    if ctx.db.banned.find(identity=ctx.sender) is not None:
        raise ReducerError("you are banned")
    set_online(ctx, True)


@behaviour.client_disconnected
def client_disconnected(ctx: ReducerContext) -> None:
    set_online(ctx, False)


def set_online(ctx: ReducerContext, online: bool) -> None:
    user = ctx.db.user.find(identity=ctx.sender)
    if user is None:
        ctx.db.user.insert(identity=ctx.sender, name=None, online=online)
    else:
        ctx.db.user.update(attrs.evolve(user, online=online))


# --- reducers ---------------------------------------------------------------------------------------------------------


@behaviour.reducer
def set_name(ctx: ReducerContext, name: str) -> None:
    if not name:
        raise ReducerError("Names must not be empty")
    user = ctx.db.user.find(identity=ctx.sender)
    if user is None:
        raise ReducerError("no such user")
    ctx.db.user.update(attrs.evolve(user, name=name))


@behaviour.reducer
def send_message(ctx: ReducerContext, text: str) -> None:
    if not text:
        raise ReducerError("Messages must not be empty")
    ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)


@behaviour.reducer
def add_pair(ctx: ReducerContext, id: u32, key: str, group: i32, value: i32) -> None:
    try:
        ctx.db.pair.insert(Pair(id, key, group, value))
    except ConstraintError as error:
        raise ReducerError(str(error)) from error


@behaviour.reducer
def set_pair(ctx: ReducerContext, id: u32, key: str, group: i32, value: i32) -> None:
    if ctx.db.pair.find(id=id) is None:
        raise ReducerError(f"no pair {id}")
    ctx.db.pair.update(Pair(id, key, group, value))


@behaviour.reducer
def remove_pair(ctx: ReducerContext, id: u32) -> None:
    pair = ctx.db.pair.find(id=id)
    if pair is None:
        raise ReducerError(f"no pair {id}")
    ctx.db.pair.delete(pair)


@behaviour.reducer
def add_pairs(ctx: ReducerContext, first: u32, count: u32) -> None:
    for id in range(first, first + count):
        ctx.db.pair.insert(Pair(id, f"k{id}", id % 10, 0))


@behaviour.reducer
def bump_pairs(ctx: ReducerContext) -> None:
    for pair in ctx.db.pair:
        ctx.db.pair.update(attrs.evolve(pair, value=pair.value + 1))


@behaviour.reducer
def add_no_key(ctx: ReducerContext, n: i32, text: str) -> None:
    ctx.db.no_key.insert(n=n, text=text)


@behaviour.reducer
def remove_no_key(ctx: ReducerContext, n: i32) -> None:
    for row in ctx.db.no_key.filter(n=n):
        ctx.db.no_key.delete(row)


@behaviour.reducer
def add_every_type(
    ctx: ReducerContext,
    primitives: EveryPrimitiveStruct,
    vectors: EveryVecStruct,
    simple: SimpleEnum,
    payload: EnumWithPayload,
    unit: UnitStruct,
    point: Point,
    maybe: i32 | None,
    maybe_point: Point | None,
    nested: Some[i32 | None] | None,
    points: list[Point],
    schedule: ScheduleAt,
) -> None:
    row = EveryType(0, primitives, vectors, simple, payload, unit, point, maybe, maybe_point, nested, points, schedule)
    ctx.db.every_type.insert(row)


@behaviour.reducer
def panic_now(ctx: ReducerContext) -> None:
    raise RuntimeError("panicked as asked")


@behaviour.reducer
def ban_me(ctx: ReducerContext) -> None:
    ctx.db.banned.insert(identity=ctx.sender)


@behaviour.reducer
def clear(ctx: ReducerContext) -> None:
    for table in (ctx.db.pair, ctx.db.no_key, ctx.db.every_type, ctx.db.message, ctx.db.banned):
        for row in table:
            table.delete(row)


@behaviour.reducer
def notify(ctx: ReducerContext, text: str) -> None:
    ctx.db.notice.insert(text=text)


# --- procedures -------------------------------------------------------------------------------------------------------


@behaviour.procedure
def add(ctx: ReducerContext, a: u32, b: u32) -> u32:
    return a + b


@behaviour.procedure
def fail_procedure(ctx: ReducerContext) -> None:
    raise RuntimeError("failed as asked")


@behaviour.procedure
def count_pairs(ctx: ReducerContext) -> u64:
    return ctx.db.pair.count()


@behaviour.procedure
def add_pair_procedure(ctx: ReducerContext, id: u32, key: str, group: i32, value: i32) -> bool:
    try:
        ctx.db.pair.insert(Pair(id, key, group, value))
    except ConstraintError:
        return False
    return True
