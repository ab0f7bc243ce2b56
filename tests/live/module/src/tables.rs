//! One table for each way that a client can know a row: by primary key, unique column, index or not at all.

use spacetimedb::{Identity, ScheduleAt, Timestamp};

use crate::types::{EnumWithPayload, EveryPrimitiveStruct, EveryVecStruct, Point, SimpleEnum, UnitStruct};

#[spacetimedb::table(name = user, public)]
pub struct User {
    #[primary_key]
    pub identity: Identity,
    pub name: Option<String>,
    pub online: bool,
}

#[spacetimedb::table(name = message, public)]
pub struct Message {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub sender: Identity,
    pub sent: Timestamp,
    pub text: String,
}

/// `key` and `group` are words of SQL too, so that a query for them can go wrong in what a client writes.
#[spacetimedb::table(name = pair, public)]
pub struct Pair {
    #[primary_key]
    pub id: u32,
    #[unique]
    pub key: String,
    #[index(btree)]
    pub group: i32,
    pub value: i32,
}

/// Its changes are inserts and deletes alone, and a row equal to one that is there is no second row.
#[spacetimedb::table(name = no_key, public)]
pub struct NoKey {
    pub n: i32,
    pub text: String,
}

/// `schedule` is a plain column here: no `scheduled(...)`, so nothing ever runs because of it.
#[spacetimedb::table(name = every_type, public)]
pub struct EveryType {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub primitives: EveryPrimitiveStruct,
    pub vectors: EveryVecStruct,
    pub simple: SimpleEnum,
    pub payload: EnumWithPayload,
    pub unit: UnitStruct,
    pub point: Point,
    pub maybe: Option<i32>,
    pub maybe_point: Option<Point>,
    pub nested: Option<Option<i32>>,
    pub points: Vec<Point>,
    pub schedule: ScheduleAt,
}

/// Who may not connect.
#[spacetimedb::table(name = banned)]
pub struct Banned {
    #[primary_key]
    pub identity: Identity,
}

/// What no client but the owner may read or subscribe to.
#[spacetimedb::table(name = secret)]
pub struct Secret {
    #[primary_key]
    pub id: u32,
    pub text: String,
}
