//! The Rust SDK as a judge: it does what it is told on its input, and tells what it sees. Both are lines of JSON.

mod module_bindings;

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};

use module_bindings::*;
use serde_json::{json, Value};
use spacetimedb_sdk::{Compression, DbContext, SubscriptionHandle as _, Table, TableWithPrimaryKey};

fn tell(seen: Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{seen}").expect("somebody listens");
    out.flush().expect("somebody listens");
}

trait Shown {
    fn shown(&self) -> Value;
}

impl Shown for Pair {
    fn shown(&self) -> Value {
        json!([self.id, self.key, self.group, self.value])
    }
}

impl Shown for User {
    fn shown(&self) -> Value {
        json!([self.identity.to_hex().to_string(), self.name, self.online])
    }
}

impl Shown for Message {
    fn shown(&self) -> Value {
        json!([self.id, self.sender.to_hex().to_string(), self.sent.to_micros_since_unix_epoch(), self.text])
    }
}

/// Tells of every change of a table.
macro_rules! watch {
    ($db:expr, $($table:ident),*) => {$(
        let name = stringify!($table);
        $db.$table().on_insert(move |_, row| tell(json!({"saw": "insert", "table": name, "row": row.shown()})));
        $db.$table().on_delete(move |_, row| tell(json!({"saw": "delete", "table": name, "row": row.shown()})));
        $db.$table().on_update(move |_, old, new| {
            tell(json!({"saw": "update", "table": name, "old": old.shown(), "row": new.shown()}))
        });
    )*};
}

/// Calls a reducer with the arguments of a command, and tells what came of it.
macro_rules! call {
    ($conn:expr, $reducer:ident, $args:expr) => {
        $conn.reducers.$reducer($args, |_, outcome| {
            tell(match outcome {
                Ok(Ok(())) => json!({"saw": "done", "reducer": stringify!($reducer)}),
                Ok(Err(text)) => json!({"saw": "refused", "reducer": stringify!($reducer), "text": text}),
                Err(error) => json!({"saw": "fault", "reducer": stringify!($reducer), "text": error.to_string()}),
            })
        })
    };
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn number<T: TryFrom<i64>>(value: &Value) -> T {
    T::try_from(value.as_i64().expect("a number")).ok().expect("a number of this size")
}

fn connect(order: &Value) -> Option<DbConnection> {
    let compression = match order["compression"].as_str() {
        Some("gzip") => Compression::Gzip,
        Some("brotli") => Compression::Brotli,
        _ => Compression::None,
    };
    let built = DbConnection::builder()
        .with_uri(text(&order["uri"]))
        .with_database_name(text(&order["database"]))
        .with_token(order["token"].as_str())
        .with_compression(compression)
        .on_connect(|conn, identity, token| {
            watch!(conn.db, pair, user, message);
            tell(json!({"saw": "connected", "identity": identity.to_hex().to_string(), "token": token}));
        })
        .on_connect_error(|_, error| tell(json!({"saw": "no connection", "text": error.to_string()})))
        .on_disconnect(|_, error| tell(json!({"saw": "disconnected", "is_error": error.is_some()})))
        .build();
    match built {
        Ok(conn) => {
            conn.run_threaded();
            Some(conn)
        }
        Err(error) => {
            tell(json!({"saw": "no connection", "text": error.to_string()}));
            None
        }
    }
}

fn subscribe(conn: &DbConnection, order: &Value) -> SubscriptionHandle {
    let queries: Vec<String> = order["queries"].as_array().expect("queries").iter().map(text).collect();
    conn.subscription_builder()
        .on_applied(|_| tell(json!({"saw": "applied"})))
        .on_error(|_, error| tell(json!({"saw": "no subscription", "text": error.to_string()})))
        .subscribe(queries)
}

fn call(conn: &DbConnection, order: &Value) -> spacetimedb_sdk::Result<()> {
    let args = &order["args"];
    let pair = |args: &Value| (number(&args[0]), text(&args[1]), number(&args[2]), number(&args[3]));
    match order["reducer"].as_str().expect("a name") {
        "add_pair" => {
            let (id, key, group, value) = pair(args);
            call!(conn, add_pair, AddPair { id, key, group, value })
        }
        "set_pair" => {
            let (id, key, group, value) = pair(args);
            call!(conn, set_pair, SetPair { id, key, group, value })
        }
        "remove_pair" => call!(conn, remove_pair, RemovePair { id: number(&args[0]) }),
        "add_pairs" => call!(conn, add_pairs, AddPairs { first: number(&args[0]), count: number(&args[1]) }),
        "send_message" => call!(conn, send_message, SendMessage { text: text(&args[0]) }),
        "set_name" => call!(conn, set_name, SetName { name: text(&args[0]) }),
        "panic_now" => call!(conn, panic_now, PanicNow {}),
        other => panic!("no reducer {other}"),
    }
}

fn rows(conn: &DbConnection) -> Value {
    let mut pairs: Vec<Pair> = conn.db.pair().iter().collect();
    pairs.sort_by_key(|row| row.id);
    let shown: Vec<Value> = pairs.iter().map(Shown::shown).collect();
    json!({"saw": "rows", "pair": shown, "users": conn.db.user().count(), "messages": conn.db.message().count()})
}

fn main() {
    let mut conn: Option<DbConnection> = None;
    let subscription: Arc<Mutex<Option<SubscriptionHandle>>> = Arc::default();
    for line in std::io::stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let what = order["do"].as_str().expect("an order");
        if what == "connect" {
            conn = connect(&order);
            continue;
        }
        let conn = conn.as_ref().expect("a connection");
        match what {
            "subscribe" => *subscription.lock().unwrap() = Some(subscribe(conn, &order)),
            "unsubscribe" => {
                let handle = subscription.lock().unwrap().take().expect("a subscription");
                handle.unsubscribe_then(Box::new(|_| tell(json!({"saw": "unsubscribed"})))).expect("it is active");
            }
            "call" => call(conn, &order).expect("it can be sent"),
            "rows" => tell(rows(conn)),
            "disconnect" => conn.disconnect().expect("it is connected"),
            other => panic!("no order {other}"),
        }
    }
}
