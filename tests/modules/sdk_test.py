"""The module that the test suite of the official SDKs uses most: a table for each type, and reducers for each table."""

import enum
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Err, Identity, Ok, ScheduleAt, TimeDuration, Timestamp
from spacetimedb_sdk.testing import (
    AutoInc,
    Index,
    Module,
    PrimaryKey,
    ReducerContext,
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

sdk_test = Module("sdk-test", convert_names=True)

# --- types ------------------------------------------------------------------------------------------------------------


class SimpleEnum(enum.Enum):
    Zero = 0
    One = 1
    Two = 2


@sdk_test.sum
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
    Uuid: UUID
    Bytes: bytes
    Ints: list[i32]
    Strings: list[str]
    SimpleEnums: list[SimpleEnum]


@sdk_test.type
class UnitStruct:
    pass


@sdk_test.type
class ByteStruct:
    b: u8


PRIMITIVES = (
    u8, u16, u32, u64, u128, u256, i8, i16, i32, i64, i128, i256, bool, f32, f64, str,
    Identity, ConnectionId, Timestamp, TimeDuration, UUID,
)  # fmt: skip


def lettered(types: Any) -> dict[str, Any]:
    """Fields that are called a, b, c and so on."""
    return {chr(ord("a") + at): type_ for at, type_ in enumerate(types)}


def array(type_: Any) -> Any:
    return bytes if type_ is u8 else list[type_]


EveryPrimitiveStruct: Any = sdk_test.type(
    type("EveryPrimitiveStruct", (), {"__annotations__": lettered(PRIMITIVES)}),
)
EveryVecStruct: Any = sdk_test.type(
    type("EveryVecStruct", (), {"__annotations__": lettered(map(array, PRIMITIVES))}),
)

KEYS: dict[str, tuple[str, Any]] = {
    "U8": ("n", u8), "U16": ("n", u16), "U32": ("n", u32), "U64": ("n", u64), "U128": ("n", u128), "U256": ("n", u256),
    "I8": ("n", i8), "I16": ("n", i16), "I32": ("n", i32), "I64": ("n", i64), "I128": ("n", i128), "I256": ("n", i256),
    "Bool": ("b", bool), "String": ("s", str), "Identity": ("i", Identity), "ConnectionId": ("a", ConnectionId),
    "Uuid": ("u", UUID),
}  # fmt: skip

TYPES: dict[str, tuple[str, Any]] = KEYS | {
    "F32": ("f", f32), "F64": ("f", f64), "Timestamp": ("t", Timestamp), "SimpleEnum": ("e", SimpleEnum),
    "EnumWithPayload": ("e", EnumWithPayload), "UnitStruct": ("s", UnitStruct), "ByteStruct": ("s", ByteStruct),
    "EveryPrimitiveStruct": ("s", EveryPrimitiveStruct), "EveryVecStruct": ("s", EveryVecStruct),
}  # fmt: skip

OPTIONS: dict[str, tuple[str, Any]] = {
    **{name: TYPES[name] for name in ("I32", "String", "Identity", "Uuid", "SimpleEnum", "EveryPrimitiveStruct")},
    "VecOptionI32": ("v", list[i32 | None]),
}

RESULTS: dict[str, Any] = {
    "I32String": Ok[i32] | Err[str],
    "StringI32": Ok[str] | Err[i32],
    "IdentityString": Ok[Identity] | Err[str],
    "SimpleEnumI32": Ok[SimpleEnum] | Err[i32],
    "EveryPrimitiveStructString": Ok[EveryPrimitiveStruct] | Err[str],
    "VecI32String": Ok[list[i32]] | Err[str],
}

# --- tables with reducers of their own --------------------------------------------------------------------------------


def reducer(name: str, params: Mapping[str, Any], body: Callable[..., object]) -> None:
    """Make a reducer of a body that takes the context and any arguments."""

    def call(ctx: ReducerContext, *args: Any) -> None:
        body(ctx, *args)

    names = ["ctx", *params]
    signature = inspect.Signature([inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in names])
    vars(call).update(__signature__=signature)
    call.__name__, call.__annotations__ = name, dict(params)
    sdk_test.reducer(call)


ROWS: dict[str, Any] = {}
"""The classes of rows that `table` makes."""


def table(title: str, columns: Mapping[str, Any], *, key: Any = None, reducers: str = "insert delete_all") -> Any:
    """Make a table and its reducers.

    Args:
        title: What its rows are called.
        columns: Their columns.
        key: What the first column is, beyond its type.
        reducers: What there is to be done with rows.
    """
    name = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", title).lower()
    first, *_ = columns
    annotations = {**columns, first: key[columns[first]]} if key else dict(columns)
    row: Any = sdk_test.table(public=True, source_name=name)(type(title, (), {"__annotations__": annotations}))
    ROWS[title] = row

    def insert(ctx: ReducerContext, *values: Any) -> None:
        ctx.db[name].insert(row(*values))

    def delete_all(ctx: ReducerContext, *values: Any) -> None:
        ctx.db[name].delete(row(*values))

    def delete(ctx: ReducerContext, value: Any) -> None:
        ctx.db[name].delete(ctx.db[name].find(**{first: value}))

    def update(ctx: ReducerContext, *values: Any) -> None:
        delete(ctx, values[0])
        insert(ctx, *values)

    bodies = {"insert": insert, "delete_all": delete_all, "delete": delete, "update": update}
    for each in reducers.split():
        params = {first: columns[first]} if each == "delete" else columns
        reducer(f"{each}_{name}", params, bodies[each])
    return row


ALL = "insert update delete delete_all"

for title, (field, type_) in TYPES.items():
    reducers = "insert" if title == "ConnectionId" else "insert delete_all"
    table(f"One{title}", {field: type_}, reducers=reducers)
    table(f"Vec{title}", {field: array(type_)}, reducers=reducers)
for title, (field, type_) in OPTIONS.items():
    table(f"Option{title}", {field: type_ | None})
for title, type_ in RESULTS.items():
    table(f"Result{title}", {"r": type_}, reducers="insert")
for title, (field, type_) in KEYS.items():
    table(f"Unique{title}", {field: type_, "data": i32}, key=Unique, reducers=ALL)
    table(f"Pk{title}", {field: type_, "data": i32}, key=PrimaryKey, reducers=ALL)
PkU32Two = table("PkU32Two", {"n": u32, "data": i32}, key=PrimaryKey, reducers=ALL)
table("PkSimpleEnum", {"a": SimpleEnum, "data": i32}, key=PrimaryKey, reducers="insert update")
table("TableHoldsTable", {"a": ROWS["OneU8"], "b": ROWS["VecU8"]}, reducers="insert")
LARGE = (*PRIMITIVES[:16], SimpleEnum, EnumWithPayload, UnitStruct, ByteStruct, EveryPrimitiveStruct, EveryVecStruct)
LargeTable = table("LargeTable", lettered(LARGE), reducers="insert")
PkU32 = ROWS["PkU32"]

# --- other tables -----------------------------------------------------------------------------------------------------


@sdk_test.table(public=True)
class Users(Row):
    identity: PrimaryKey[Identity]
    name: str


@sdk_test.table(public=True, source_name="btree_u32")
class BTreeU32(Row):
    n: Index[u32]
    data: i32


@sdk_test.table(public=True)
class IndexedSimpleEnum(Row):
    n: Index[SimpleEnum]


@sdk_test.table
class IndexedTable(Row):
    player_id: Index[u32]


@sdk_test.table(source_name="indexed_table_2", indexes={"player_id_snazz_index": ["player_id", "player_snazz"]})
class IndexedTable2(Row):
    player_id: u32
    player_snazz: f32


@sdk_test.table(public=True, scheduled="send_scheduled_message")
class ScheduledTable(Row):
    scheduled_id: PrimaryKey[AutoInc[u64]]
    scheduled_at: ScheduleAt
    text: str


# Of these only rows that somebody may see are there for him.
sdk_test.client_visibility_filter("SELECT * FROM one_u_8")
sdk_test.client_visibility_filter("SELECT * FROM users WHERE identity = :sender")

# --- other reducers ---------------------------------------------------------------------------------------------------


def delete_large_table(ctx: ReducerContext, *values: Any) -> None:
    ctx.db[LargeTable].delete(LargeTable(*values))


reducer("delete_large_table", lettered(LARGE), delete_large_table)


@sdk_test.reducer
def insert_user(ctx: ReducerContext, name: str, identity: Identity) -> None:
    ctx.db[Users].insert(Users(identity, name))


@sdk_test.reducer
def insert_caller_one_identity(ctx: ReducerContext) -> None:
    ctx.db.one_identity.insert(i=ctx.sender)


@sdk_test.reducer
def insert_caller_vec_identity(ctx: ReducerContext) -> None:
    ctx.db.vec_identity.insert(i=[ctx.sender])


@sdk_test.reducer
def insert_caller_unique_identity(ctx: ReducerContext, data: i32) -> None:
    ctx.db.unique_identity.insert(i=ctx.sender, data=data)


@sdk_test.reducer
def insert_caller_pk_identity(ctx: ReducerContext, data: i32) -> None:
    ctx.db.pk_identity.insert(i=ctx.sender, data=data)


@sdk_test.reducer
def insert_caller_one_connection_id(ctx: ReducerContext) -> None:
    ctx.db.one_connection_id.insert(a=ctx.connection_id)


@sdk_test.reducer
def insert_caller_vec_connection_id(ctx: ReducerContext) -> None:
    ctx.db.vec_connection_id.insert(a=[ctx.connection_id])


@sdk_test.reducer
def insert_caller_unique_connection_id(ctx: ReducerContext, data: i32) -> None:
    ctx.db.unique_connection_id.insert(a=ctx.connection_id, data=data)


@sdk_test.reducer
def insert_caller_pk_connection_id(ctx: ReducerContext, data: i32) -> None:
    ctx.db.pk_connection_id.insert(a=ctx.connection_id, data=data)


@sdk_test.reducer
def insert_call_timestamp(ctx: ReducerContext) -> None:
    ctx.db.one_timestamp.insert(t=ctx.timestamp)


@sdk_test.reducer
def insert_call_uuid_v4(ctx: ReducerContext) -> None:
    ctx.db.one_uuid.insert(u=ctx.new_uuid_v4())


@sdk_test.reducer
def insert_call_uuid_v7(ctx: ReducerContext) -> None:
    ctx.db.one_uuid.insert(u=ctx.new_uuid_v7())


@sdk_test.reducer
def sorted_uuids_insert(ctx: ReducerContext) -> None:
    for _ in range(1000):
        ctx.db.pk_uuid.insert(u=ctx.new_uuid_v7(), data=0)


@sdk_test.reducer
def insert_primitives_as_strings(ctx: ReducerContext, s: EveryPrimitiveStruct) -> None:
    ctx.db.vec_string.insert(s=[shown(value) for value in attrs.astuple(s, recurse=False)])


def shown(value: Any) -> str:
    """A value as the recorded module's language writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@sdk_test.reducer
def insert_into_btree_u32(ctx: ReducerContext, rows: list[BTreeU32]) -> None:
    for row in rows:
        ctx.db[BTreeU32].insert(row)


@sdk_test.reducer
def delete_from_btree_u32(ctx: ReducerContext, rows: list[BTreeU32]) -> None:
    for row in rows:
        ctx.db[BTreeU32].delete(row)


@sdk_test.reducer
def insert_into_pk_btree_u32(ctx: ReducerContext, pk_u32: list[PkU32], bt_u32: list[BTreeU32]) -> None:
    for row in pk_u32:
        ctx.db[PkU32].insert(row)
    insert_into_btree_u32(ctx, bt_u32)


@sdk_test.reducer
def insert_unique_u32_update_pk_u32(ctx: ReducerContext, n: u32, d_unique: i32, d_pk: i32) -> None:
    ctx.db.unique_u32.insert(n=n, data=d_unique)
    ctx.db[PkU32].update(PkU32(n, d_pk))


@sdk_test.reducer
def delete_pk_u32_insert_pk_u32_two(ctx: ReducerContext, n: u32, data: i32) -> None:
    ctx.db[PkU32].delete(PkU32(n, data))
    ctx.db[PkU32Two].insert(PkU32Two(n, data))


@sdk_test.reducer
def insert_into_indexed_simple_enum(ctx: ReducerContext, n: SimpleEnum) -> None:
    ctx.db[IndexedSimpleEnum].insert(IndexedSimpleEnum(n))


@sdk_test.reducer
def update_indexed_simple_enum(ctx: ReducerContext, a: SimpleEnum, b: SimpleEnum) -> None:
    if ctx.db[IndexedSimpleEnum].delete(IndexedSimpleEnum(a)):
        ctx.db[IndexedSimpleEnum].insert(IndexedSimpleEnum(b))


@sdk_test.reducer
def send_scheduled_message(ctx: ReducerContext, arg: ScheduledTable) -> None:
    pass


@sdk_test.reducer
def no_op_succeeds(ctx: ReducerContext) -> None:
    pass
