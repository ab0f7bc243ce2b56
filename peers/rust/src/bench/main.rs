//! The Rust SDK under measurement. It takes the options and prints the fields of `benchmarks/ours.py`.

mod meter;
mod module_bindings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use meter::{Clock, Memory};
use module_bindings::{pk_u_64, player, DbConnection, RemoteTables, SubscriptionEventContext};
use spacetimedb_sdk::{Compression, DbContext, Table, TableWithPrimaryKey};

/// What was measured and found, as JSON fields; and whether there is more to come.
#[derive(Default)]
struct Found {
    fields: Vec<(String, String)>,
    updates: u64,
    updates_sum: i64,
    is_loaded: bool,
    is_done: bool,
}

impl Found {
    fn set(&mut self, name: &str, value: impl ToString) {
        self.fields.push((name.to_owned(), value.to_string()));
    }

    fn note(&mut self, name: &str, start: Clock) {
        let (wall, cpu) = start.since();
        self.set(name, wall);
        self.set(&format!("{name}_cpu"), cpu);
    }
}

type Shared = Arc<Mutex<Found>>;

/// What is measured of a table, whichever it is.
struct Shape {
    key: &'static str,
    count: fn(&RemoteTables) -> u64,
    find: fn(&RemoteTables, u64) -> i32,
    values_sum: fn(&RemoteTables) -> i64,
    keys_sum: fn(&RemoteTables) -> u64,
    on_update: fn(&RemoteTables, Shared),
}

const PK_U64: Shape = Shape {
    key: "n",
    count: |db| db.pk_u_64().count(),
    find: |db, key| db.pk_u_64().n().find(&key).expect("the key is there").data,
    values_sum: |db| db.pk_u_64().iter().map(|row| i64::from(row.data)).sum(),
    keys_sum: |db| db.pk_u_64().iter().fold(0, |sum, row| sum.wrapping_add(row.n)),
    on_update: |db, found| {
        db.pk_u_64().on_update(move |_, _, new| {
            let mut found = found.lock().unwrap();
            found.updates += 1;
            found.updates_sum += i64::from(new.data);
        });
    },
};

const PLAYER: Shape = Shape {
    key: "id",
    count: |db| db.player().count(),
    find: |db, key| db.player().id().find(&key).expect("the key is there").score,
    values_sum: |db| db.player().iter().map(|row| i64::from(row.score)).sum(),
    keys_sum: |db| db.player().iter().fold(0, |sum, row| sum.wrapping_add(row.id)),
    on_update: |db, found| {
        db.player().on_update(move |_, _, new| {
            let mut found = found.lock().unwrap();
            found.updates += 1;
            found.updates_sum += i64::from(new.score);
        });
    },
};

/// Lookups after which every client has what it needs for many.
const SOME: usize = 20;

/// What one run is to do.
struct Plan {
    table: String,
    then: String,
    shape: &'static Shape,
    keys: Vec<u64>,
}

impl Plan {
    fn new(options: &HashMap<String, String>) -> Self {
        let finds = options.get("finds").map_or(10_000, |text| text.parse().unwrap());
        let text = std::fs::read_to_string(&options["keys"]).unwrap();
        Self {
            table: options["table"].clone(),
            then: options["then"].clone(),
            shape: if options["table"] == "player" { &PLAYER } else { &PK_U64 },
            keys: text.lines().take(finds).map(|line| line.parse().unwrap()).collect(),
        }
    }

    /// Runs when the snapshot has been applied.
    fn loaded(&self, db: &RemoteTables, found: &mut Found, start: Clock, memory: Memory) {
        found.note("applied", start);
        found.set("applied_memory", memory.growth());
        match self.then.as_str() {
            "find" => self.find_all(db, found, start, memory),
            "scan" => {
                let sum = (self.shape.values_sum)(db);
                found.note("scan", start);
                found.set("scan_sum", sum);
            }
            _ => {}
        }
        found.is_loaded = true;
    }

    fn find_all(&self, db: &RemoteTables, found: &mut Found, start: Clock, memory: Memory) {
        std::hint::black_box((self.shape.find)(db, self.keys[0]));
        found.note("find", start);
        found.set("find_memory", memory.growth());
        for key in self.keys.iter().take(SOME).skip(1) {
            std::hint::black_box((self.shape.find)(db, *key));
        }
        found.note("find_some", start);
        found.set("find_some_memory", memory.growth());
        let start = Clock::now();
        let sum: i64 = self.keys.iter().map(|key| i64::from((self.shape.find)(db, *key))).sum();
        found.set("find_each", start.since().0 / self.keys.len() as f64);
        found.set("finds", self.keys.len());
        found.set("finds_sum", sum);
    }
}

fn connect(options: &HashMap<String, String>) -> DbConnection {
    let compression = match options.get("compression").map(String::as_str) {
        Some("gzip") => Compression::Gzip,
        Some("brotli") => Compression::Brotli,
        _ => Compression::None,
    };
    let conn = DbConnection::builder()
        .with_uri(format!("http://127.0.0.1:{}", options["port"]))
        .with_database_name("bench")
        .with_compression(compression)
        .build()
        .expect("the server accepts");
    conn.advance_one_message_blocking().expect("the first message comes");
    conn
}

fn load(conn: &DbConnection, plan: &Arc<Plan>, found: &Shared) {
    let memory = Memory::start();
    let start = Clock::now();
    let (plan_then, found_then) = (Arc::clone(plan), Arc::clone(found));
    conn.subscription_builder()
        .on_applied(move |ctx: &SubscriptionEventContext| {
            plan_then.loaded(&ctx.db, &mut found_then.lock().unwrap(), start, memory);
        })
        .on_error(|_, error| panic!("{error}"))
        .subscribe(format!("SELECT * FROM {}", plan.table));
    while !found.lock().unwrap().is_loaded {
        conn.advance_one_message_blocking().expect("messages come");
    }
}

fn stream(conn: &DbConnection, plan: &Plan, found: &Shared) {
    let start = Clock::now();
    let found_then = Arc::clone(found);
    conn.subscription_builder()
        .on_applied(move |_: &SubscriptionEventContext| {
            let mut found = found_then.lock().unwrap();
            found.note("stream", start);
            found.is_done = true;
        })
        .on_error(|_, error| panic!("{error}"))
        .subscribe(format!("SELECT * FROM {} WHERE {} = 0", plan.table, plan.shape.key));
    while !found.lock().unwrap().is_done {
        conn.advance_one_message_blocking().expect("messages come");
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<String, String> = args
        .chunks(2)
        .map(|pair| (pair[0].trim_start_matches("--").to_owned(), pair[1].clone()))
        .collect();
    let plan = Arc::new(Plan::new(&options));
    let found = Shared::default();
    let conn = connect(&options);
    if options.get("callback").is_some_and(|callback| callback == "row") {
        (plan.shape.on_update)(&conn.db, Arc::clone(&found));
    }
    load(&conn, &plan, &found);
    if plan.then == "stream" {
        stream(&conn, &plan, &found);
    }
    let mut found = found.lock().unwrap();
    let (updates, updates_sum) = (found.updates, found.updates_sum);
    found.set("rows", (plan.shape.count)(&conn.db));
    found.set("keys_sum", (plan.shape.keys_sum)(&conn.db));
    found.set("values_sum", (plan.shape.values_sum)(&conn.db));
    found.set("updates", updates);
    found.set("updates_sum", updates_sum);
    let fields: Vec<String> = found.fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    println!("{{{}}}", fields.join(", "));
}
