//! The benchmark module's tables. It has no reducers.

spacetimedb_peers::module! {
    tables {
        pk_u_64: PkU64, PkU64TableHandle, PkU64NUnique, n: u64 { n: u64, data: i32 }
        player: Player, PlayerTableHandle, PlayerIdUnique, id: u64 {
            id: u64, name: String, x: f32, y: f32, score: i32, active: bool
        }
    }
    reducers {}
}
