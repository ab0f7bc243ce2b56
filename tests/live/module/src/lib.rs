//! The behaviour module: small things that a client can make a server do, so that a test can ask a real one.
//!
//! It is written for release 1.2.0, the newest server that can be built from package registries alone.

mod tables;
mod types;

use spacetimedb::{reducer, ReducerContext, ScheduleAt, Table};

use tables::{banned, every_type, message, no_key, pair, user};
use tables::{Banned, EveryType, Message, NoKey, Pair, User};
use types::{EnumWithPayload, EveryPrimitiveStruct, EveryVecStruct, Point, SimpleEnum, UnitStruct};

#[reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) -> Result<(), String> {
    if ctx.db.banned().identity().find(ctx.sender).is_some() {
        return Err("you are banned".to_string());
    }
    set_online(ctx, true);
    Ok(())
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    set_online(ctx, false);
}

fn set_online(ctx: &ReducerContext, online: bool) {
    let users = ctx.db.user();
    match users.identity().find(ctx.sender) {
        Some(user) => users.identity().update(User { online, ..user }),
        None => users.insert(User { identity: ctx.sender, name: None, online }),
    };
}

#[reducer]
pub fn set_name(ctx: &ReducerContext, name: String) -> Result<(), String> {
    if name.is_empty() {
        return Err("Names must not be empty".to_string());
    }
    let user = ctx.db.user().identity().find(ctx.sender).ok_or("no such user")?;
    ctx.db.user().identity().update(User { name: Some(name), ..user });
    Ok(())
}

#[reducer]
pub fn send_message(ctx: &ReducerContext, text: String) -> Result<(), String> {
    if text.is_empty() {
        return Err("Messages must not be empty".to_string());
    }
    ctx.db.message().insert(Message { id: 0, sender: ctx.sender, sent: ctx.timestamp, text });
    Ok(())
}

#[reducer]
pub fn add_pair(ctx: &ReducerContext, id: u32, key: String, group: i32, value: i32) -> Result<(), String> {
    let added = ctx.db.pair().try_insert(Pair { id, key, group, value });
    added.map(|_| ()).map_err(|error| error.to_string())
}

#[reducer]
pub fn set_pair(ctx: &ReducerContext, id: u32, key: String, group: i32, value: i32) -> Result<(), String> {
    if ctx.db.pair().id().find(id).is_none() {
        return Err(format!("no pair {id}"));
    }
    ctx.db.pair().id().update(Pair { id, key, group, value });
    Ok(())
}

#[reducer]
pub fn remove_pair(ctx: &ReducerContext, id: u32) -> Result<(), String> {
    if ctx.db.pair().id().delete(id) {
        Ok(())
    } else {
        Err(format!("no pair {id}"))
    }
}

#[reducer]
pub fn add_pairs(ctx: &ReducerContext, first: u32, count: u32) {
    for id in first..first + count {
        ctx.db.pair().insert(Pair { id, key: format!("k{id}"), group: (id % 10) as i32, value: 0 });
    }
}

#[reducer]
pub fn bump_pairs(ctx: &ReducerContext) {
    for pair in rows(ctx.db.pair()) {
        ctx.db.pair().id().update(Pair { value: pair.value + 1, ..pair });
    }
}

#[reducer]
pub fn add_no_key(ctx: &ReducerContext, n: i32, text: String) {
    ctx.db.no_key().insert(NoKey { n, text });
}

#[reducer]
pub fn remove_no_key(ctx: &ReducerContext, n: i32) {
    for row in rows(ctx.db.no_key()).into_iter().filter(|row| row.n == n) {
        ctx.db.no_key().delete(row);
    }
}

/// Its parameters are the columns of the table one by one, so that arguments take every shape too.
#[reducer]
#[allow(clippy::too_many_arguments)]
pub fn add_every_type(
    ctx: &ReducerContext,
    primitives: EveryPrimitiveStruct,
    vectors: EveryVecStruct,
    simple: SimpleEnum,
    payload: EnumWithPayload,
    unit: UnitStruct,
    point: Point,
    maybe: Option<i32>,
    maybe_point: Option<Point>,
    nested: Option<Option<i32>>,
    points: Vec<Point>,
    schedule: ScheduleAt,
) {
    ctx.db.every_type().insert(EveryType {
        id: 0,
        primitives,
        vectors,
        simple,
        payload,
        unit,
        point,
        maybe,
        maybe_point,
        nested,
        points,
        schedule,
    });
}

#[reducer]
pub fn panic_now(_ctx: &ReducerContext) {
    panic!("panicked as asked");
}

#[reducer]
pub fn ban_me(ctx: &ReducerContext) -> Result<(), String> {
    let banned = ctx.db.banned().try_insert(Banned { identity: ctx.sender });
    banned.map(|_| ()).map_err(|error| error.to_string())
}

#[reducer]
pub fn clear(ctx: &ReducerContext) {
    empty(ctx.db.pair());
    empty(ctx.db.no_key());
    empty(ctx.db.every_type());
    empty(ctx.db.message());
    empty(ctx.db.banned());
}

fn empty<T: Table>(table: &T) {
    for row in rows(table) {
        table.delete(row);
    }
}

/// The rows as they are now, taken out first: a table is not to be changed under its own iterator.
fn rows<T: Table>(table: &T) -> Vec<T::Row> {
    table.iter().collect()
}
