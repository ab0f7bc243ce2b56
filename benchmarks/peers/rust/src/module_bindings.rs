//! The connection to the benchmark module, in the form that the SDK's generator gives it.

use spacetimedb_sdk::__codegen::{
    self as __sdk, __ws,
    __lib::bsatn,
};

use crate::tables::{PkU64, Player};

#[derive(Debug)]
pub struct RemoteModule;

pub struct RemoteReducers {
    _imp: __sdk::DbContextImpl<RemoteModule>,
}

pub struct RemoteProcedures {
    _imp: __sdk::DbContextImpl<RemoteModule>,
}

pub struct RemoteTables {
    pub(crate) imp: __sdk::DbContextImpl<RemoteModule>,
}

/// The module has no reducers.
#[derive(Clone, PartialEq, Debug)]
pub enum Reducer {}

impl __sdk::Reducer for Reducer {
    fn reducer_name(&self) -> &'static str {
        match *self {}
    }

    fn args_bsatn(&self) -> Result<Vec<u8>, bsatn::EncodeError> {
        match *self {}
    }
}

#[derive(Default, Debug)]
pub struct DbUpdate {
    pk_u_64: __sdk::TableUpdate<PkU64>,
    player: __sdk::TableUpdate<Player>,
}

fn unknown_table(name: &str) -> __sdk::Error {
    __sdk::InternalError::unknown_name("table", name.to_owned(), "DatabaseUpdate").into()
}

impl TryFrom<__ws::v2::TransactionUpdate> for DbUpdate {
    type Error = __sdk::Error;

    fn try_from(raw: __ws::v2::TransactionUpdate) -> Result<Self, Self::Error> {
        let mut update = DbUpdate::default();
        for table in __sdk::transaction_update_iter_table_updates(raw) {
            match &table.table_name[..] {
                "pk_u_64" => update.pk_u_64.append(__sdk::TableUpdate::parse_table_update(table)?),
                "player" => update.player.append(__sdk::TableUpdate::parse_table_update(table)?),
                unknown => return Err(unknown_table(unknown)),
            }
        }
        Ok(update)
    }
}

impl __sdk::DbUpdate for DbUpdate {
    fn apply_to_client_cache(&self, cache: &mut __sdk::ClientCache<RemoteModule>) -> AppliedDiff<'_> {
        AppliedDiff {
            pk_u_64: cache
                .apply_diff_to_table::<PkU64>("pk_u_64", &self.pk_u_64)
                .with_updates_by_pk(|row| &row.n),
            player: cache
                .apply_diff_to_table::<Player>("player", &self.player)
                .with_updates_by_pk(|row| &row.id),
        }
    }

    fn parse_initial_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
        let mut update = DbUpdate::default();
        for table in raw.tables {
            match &table.table[..] {
                "pk_u_64" => update.pk_u_64.append(__sdk::parse_row_list_as_inserts(table.rows)?),
                "player" => update.player.append(__sdk::parse_row_list_as_inserts(table.rows)?),
                unknown => return Err(unknown_table(unknown)),
            }
        }
        Ok(update)
    }

    fn parse_unsubscribe_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
        let mut update = DbUpdate::default();
        for table in raw.tables {
            match &table.table[..] {
                "pk_u_64" => update.pk_u_64.append(__sdk::parse_row_list_as_deletes(table.rows)?),
                "player" => update.player.append(__sdk::parse_row_list_as_deletes(table.rows)?),
                unknown => return Err(unknown_table(unknown)),
            }
        }
        Ok(update)
    }
}

#[derive(Default)]
pub struct AppliedDiff<'r> {
    pk_u_64: __sdk::TableAppliedDiff<'r, PkU64>,
    player: __sdk::TableAppliedDiff<'r, Player>,
}

impl<'r> __sdk::AppliedDiff<'r> for AppliedDiff<'r> {
    fn invoke_row_callbacks(&self, event: &EventContext, callbacks: &mut __sdk::DbCallbacks<RemoteModule>) {
        callbacks.invoke_table_row_callbacks::<PkU64>("pk_u_64", &self.pk_u_64, event);
        callbacks.invoke_table_row_callbacks::<Player>("player", &self.player, event);
    }
}

#[derive(Clone)]
pub struct SubscriptionHandle {
    imp: __sdk::SubscriptionHandleImpl<RemoteModule>,
}

impl __sdk::SubscriptionHandle for SubscriptionHandle {
    fn new(imp: __sdk::SubscriptionHandleImpl<RemoteModule>) -> Self {
        Self { imp }
    }

    fn is_ended(&self) -> bool {
        self.imp.is_ended()
    }

    fn is_active(&self) -> bool {
        self.imp.is_active()
    }

    fn unsubscribe_then(self, on_end: __sdk::OnEndedCallback<RemoteModule>) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(Some(on_end))
    }

    fn unsubscribe(self) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(None)
    }
}

/// Defines a connection or a context of callbacks: views on tables and functions, and what is common to all of them.
macro_rules! context {
    ($name:ident { $($event:ident: $type:ty)? }) => {
        #[allow(dead_code)]
        pub struct $name {
            pub db: RemoteTables,
            pub reducers: RemoteReducers,
            pub procedures: RemoteProcedures,
            $(pub $event: $type,)?
            imp: __sdk::DbContextImpl<RemoteModule>,
        }

        impl $name {
            fn of(imp: __sdk::DbContextImpl<RemoteModule>, $($event: $type)?) -> Self {
                Self {
                    db: RemoteTables { imp: imp.clone() },
                    reducers: RemoteReducers { _imp: imp.clone() },
                    procedures: RemoteProcedures { _imp: imp.clone() },
                    $($event,)?
                    imp,
                }
            }
        }

        $(impl __sdk::AbstractEventContext for $name {
            type Event = $type;

            fn event(&self) -> &Self::Event {
                &self.$event
            }

            fn new(imp: __sdk::DbContextImpl<RemoteModule>, event: Self::Event) -> Self {
                Self::of(imp, event)
            }
        })?

        impl __sdk::InModule for $name {
            type Module = RemoteModule;
        }

        impl __sdk::DbContext for $name {
            type DbView = RemoteTables;
            type Reducers = RemoteReducers;
            type Procedures = RemoteProcedures;
            type SubscriptionBuilder = __sdk::SubscriptionBuilder<RemoteModule>;

            fn db(&self) -> &Self::DbView {
                &self.db
            }

            fn reducers(&self) -> &Self::Reducers {
                &self.reducers
            }

            fn procedures(&self) -> &Self::Procedures {
                &self.procedures
            }

            fn is_active(&self) -> bool {
                self.imp.is_active()
            }

            fn disconnect(&self) -> __sdk::Result<()> {
                self.imp.disconnect()
            }

            fn subscription_builder(&self) -> Self::SubscriptionBuilder {
                __sdk::SubscriptionBuilder::new(&self.imp)
            }

            fn try_identity(&self) -> Option<__sdk::Identity> {
                self.imp.try_identity()
            }

            fn connection_id(&self) -> __sdk::ConnectionId {
                self.imp.connection_id()
            }

            fn try_connection_id(&self) -> Option<__sdk::ConnectionId> {
                self.imp.try_connection_id()
            }
        }
    };
}

context!(DbConnection {});
context!(EventContext { event: __sdk::Event<Reducer> });
context!(ReducerEventContext { event: __sdk::ReducerEvent<Reducer> });
context!(ProcedureEventContext { event: () });
context!(SubscriptionEventContext { event: () });
context!(ErrorContext { event: Option<__sdk::Error> });

impl __sdk::EventContext for EventContext {}
impl __sdk::ReducerEventContext for ReducerEventContext {}
impl __sdk::ProcedureEventContext for ProcedureEventContext {}
impl __sdk::SubscriptionEventContext for SubscriptionEventContext {}
impl __sdk::ErrorContext for ErrorContext {}

impl __sdk::DbConnection for DbConnection {
    fn new(imp: __sdk::DbContextImpl<RemoteModule>) -> Self {
        Self::of(imp)
    }
}

impl DbConnection {
    pub fn builder() -> __sdk::DbConnectionBuilder<RemoteModule> {
        __sdk::DbConnectionBuilder::new()
    }

    pub fn advance_one_message_blocking(&self) -> __sdk::Result<()> {
        self.imp.advance_one_message_blocking()
    }
}

macro_rules! in_module {
    ($($type:ty),*) => {
        $(impl __sdk::InModule for $type {
            type Module = RemoteModule;
        })*
    };
}

in_module!(RemoteReducers, RemoteProcedures, RemoteTables, Reducer, DbUpdate, AppliedDiff<'_>, SubscriptionHandle);

impl __sdk::SpacetimeModule for RemoteModule {
    type DbConnection = DbConnection;
    type EventContext = EventContext;
    type ReducerEventContext = ReducerEventContext;
    type ProcedureEventContext = ProcedureEventContext;
    type SubscriptionEventContext = SubscriptionEventContext;
    type ErrorContext = ErrorContext;
    type Reducer = Reducer;
    type DbView = RemoteTables;
    type Reducers = RemoteReducers;
    type Procedures = RemoteProcedures;
    type DbUpdate = DbUpdate;
    type AppliedDiff<'r> = AppliedDiff<'r>;
    type SubscriptionHandle = SubscriptionHandle;
    type QueryBuilder = __sdk::QueryBuilder;

    fn register_tables(cache: &mut __sdk::ClientCache<Self>) {
        cache
            .get_or_make_table::<PkU64>("pk_u_64")
            .add_unique_constraint::<u64>("n", |row| &row.n);
        cache
            .get_or_make_table::<Player>("player")
            .add_unique_constraint::<u64>("id", |row| &row.id);
    }

    const ALL_TABLE_NAMES: &'static [&'static str] = &["pk_u_64", "player"];
}
