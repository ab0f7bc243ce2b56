//! What the judge knows of the behaviour module.

use spacetimedb_sdk::{Identity, Timestamp};

spacetimedb_peers::module! {
    tables {
        pair: Pair, PairTableHandle, PairIdUnique, id: u32 { id: u32, key: String, group: i32, value: i32 }
        user: User, UserTableHandle, UserIdentityUnique, identity: Identity {
            identity: Identity, name: Option<String>, online: bool
        }
        message: Message, MessageTableHandle, MessageIdUnique, id: u64 {
            id: u64, sender: Identity, sent: Timestamp, text: String
        }
    }
    reducers {
        add_pair: AddPair { id: u32, key: String, group: i32, value: i32 }
        set_pair: SetPair { id: u32, key: String, group: i32, value: i32 }
        remove_pair: RemovePair { id: u32 }
        add_pairs: AddPairs { first: u32, count: u32 }
        send_message: SendMessage { text: String }
        set_name: SetName { name: String }
        panic_now: PanicNow {}
    }
}
