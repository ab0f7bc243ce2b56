//! Bindings of a module, in the form that the SDK's generator gives them, from a list of its tables and reducers.

pub use spacetimedb_sdk;

/// Defines a connection to a module.
///
/// Each table is `accessor: Row, Handle, Index, key: KeyType { columns }` and has a primary key; each reducer is
/// `name: Args { arguments }`.
#[macro_export]
macro_rules! module {
    (
        tables { $($table:ident: $row:ident, $handle:ident, $index:ident, $pk:ident: $key:ty { $($columns:tt)* })* }
        reducers { $($reducer:ident: $args:ident { $($arg:ident: $arg_type:ty),* })* }
    ) => {
        use $crate::spacetimedb_sdk::__codegen::{self as __sdk, __lib, __lib::bsatn, __sats, __ws};

        #[derive(Debug)]
        pub struct RemoteModule;

        pub struct RemoteReducers {
            imp: __sdk::DbContextImpl<RemoteModule>,
        }

        pub struct RemoteProcedures {
            _imp: __sdk::DbContextImpl<RemoteModule>,
        }

        pub struct RemoteTables {
            imp: __sdk::DbContextImpl<RemoteModule>,
        }

        $($crate::table!($table: $row, $handle, $index, $pk: $key { $($columns)* });)*

        $(
            #[derive(__lib::ser::Serialize, Clone, PartialEq, Debug)]
            #[sats(crate = __lib)]
            pub struct $args {
                $(pub $arg: $arg_type,)*
            }

            impl From<$args> for Reducer {
                fn from(args: $args) -> Self {
                    Self::$args(args)
                }
            }
        )*

        #[allow(dead_code)]
        #[derive(Clone, PartialEq, Debug)]
        pub enum Reducer {
            $($args($args),)*
        }

        // A module without reducers has nothing that could be matched by reference.
        #[allow(unreachable_code)]
        impl __sdk::Reducer for Reducer {
            fn reducer_name(&self) -> &'static str {
                match *self {
                    $(Self::$args(_) => stringify!($reducer),)*
                }
            }

            fn args_bsatn(&self) -> Result<Vec<u8>, bsatn::EncodeError> {
                match *self {
                    $(Self::$args(ref args) => bsatn::to_vec(args),)*
                }
            }
        }

        impl RemoteReducers {
            $(
                /// Calls the reducer; `then` hears what came of it.
                pub fn $reducer(
                    &self,
                    args: $args,
                    then: impl FnOnce(&ReducerEventContext, Result<Result<(), String>, __sdk::InternalError>) + Send + 'static,
                ) -> __sdk::Result<()> {
                    self.imp.invoke_reducer_with_callback(args, then)
                }
            )*
        }

        #[derive(Default, Debug)]
        pub struct DbUpdate {
            $($table: __sdk::TableUpdate<$row>,)*
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
                        $(stringify!($table) => update.$table.append(__sdk::TableUpdate::parse_table_update(table)?),)*
                        unknown => return Err(unknown_table(unknown)),
                    }
                }
                Ok(update)
            }
        }

        impl __sdk::DbUpdate for DbUpdate {
            fn apply_to_client_cache(&self, cache: &mut __sdk::ClientCache<RemoteModule>) -> AppliedDiff<'_> {
                AppliedDiff {
                    $($table: cache
                        .apply_diff_to_table::<$row>(stringify!($table), &self.$table)
                        .with_updates_by_pk(|row| &row.$pk),)*
                }
            }

            fn parse_initial_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
                let mut update = DbUpdate::default();
                for table in raw.tables {
                    match &table.table[..] {
                        $(stringify!($table) => update.$table.append(__sdk::parse_row_list_as_inserts(table.rows)?),)*
                        unknown => return Err(unknown_table(unknown)),
                    }
                }
                Ok(update)
            }

            fn parse_unsubscribe_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
                let mut update = DbUpdate::default();
                for table in raw.tables {
                    match &table.table[..] {
                        $(stringify!($table) => update.$table.append(__sdk::parse_row_list_as_deletes(table.rows)?),)*
                        unknown => return Err(unknown_table(unknown)),
                    }
                }
                Ok(update)
            }
        }

        #[derive(Default)]
        pub struct AppliedDiff<'r> {
            $($table: __sdk::TableAppliedDiff<'r, $row>,)*
        }

        impl<'r> __sdk::AppliedDiff<'r> for AppliedDiff<'r> {
            fn invoke_row_callbacks(&self, event: &EventContext, callbacks: &mut __sdk::DbCallbacks<RemoteModule>) {
                $(callbacks.invoke_table_row_callbacks::<$row>(stringify!($table), &self.$table, event);)*
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

        $crate::context!(DbConnection {});
        $crate::context!(EventContext { event: __sdk::Event<Reducer> });
        $crate::context!(ReducerEventContext { event: __sdk::ReducerEvent<Reducer> });
        $crate::context!(ProcedureEventContext { event: () });
        $crate::context!(SubscriptionEventContext { event: () });
        $crate::context!(ErrorContext { event: Option<__sdk::Error> });

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

        #[allow(dead_code)]
        impl DbConnection {
            pub fn builder() -> __sdk::DbConnectionBuilder<RemoteModule> {
                __sdk::DbConnectionBuilder::new()
            }

            pub fn advance_one_message_blocking(&self) -> __sdk::Result<()> {
                self.imp.advance_one_message_blocking()
            }

            pub fn run_threaded(&self) -> std::thread::JoinHandle<()> {
                self.imp.run_threaded()
            }
        }

        $crate::in_module!(
            RemoteReducers, RemoteProcedures, RemoteTables, Reducer, DbUpdate, AppliedDiff<'_>, SubscriptionHandle
        );

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
                $(cache
                    .get_or_make_table::<$row>(stringify!($table))
                    .add_unique_constraint::<$key>(stringify!($pk), |row| &row.$pk);)*
            }

            const ALL_TABLE_NAMES: &'static [&'static str] = &[$(stringify!($table)),*];
        }
    };
}

/// Defines a connection or a context of callbacks: views on tables and functions, and what is common to all of them.
#[doc(hidden)]
#[macro_export]
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
                    reducers: RemoteReducers { imp: imp.clone() },
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

#[doc(hidden)]
#[macro_export]
macro_rules! in_module {
    ($($type:ty),*) => {
        $(impl __sdk::InModule for $type {
            type Module = RemoteModule;
        })*
    };
}

/// Defines the row, the handle and the unique index of one table.
#[doc(hidden)]
#[macro_export]
macro_rules! table {
    ($access:ident: $row:ident, $handle:ident, $index:ident, $pk:ident: $key:ty { $($field:ident: $type:ty),* }) => {
        #[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
        #[sats(crate = __lib)]
        pub struct $row {
            $(pub $field: $type,)*
        }

        impl __sdk::InModule for $row {
            type Module = RemoteModule;
        }

        pub struct $handle<'ctx> {
            imp: __sdk::TableHandle<$row>,
            ctx: std::marker::PhantomData<&'ctx RemoteTables>,
        }

        #[allow(non_camel_case_types)]
        pub trait $access {
            fn $access(&self) -> $handle<'_>;
        }

        impl $access for RemoteTables {
            fn $access(&self) -> $handle<'_> {
                $handle {
                    imp: self.imp.get_table::<$row>(stringify!($access)),
                    ctx: std::marker::PhantomData,
                }
            }
        }

        impl<'ctx> __sdk::Table for $handle<'ctx> {
            type Row = $row;
            type EventContext = EventContext;
            type InsertCallbackId = __sdk::CallbackId;
            type DeleteCallbackId = __sdk::CallbackId;

            fn count(&self) -> u64 {
                self.imp.count()
            }

            fn iter(&self) -> impl Iterator<Item = $row> + '_ {
                self.imp.iter()
            }

            fn on_insert(
                &self,
                callback: impl FnMut(&Self::EventContext, &Self::Row) + Send + 'static,
            ) -> __sdk::CallbackId {
                self.imp.on_insert(callback)
            }

            fn remove_on_insert(&self, callback: __sdk::CallbackId) {
                self.imp.remove_on_insert(callback)
            }

            fn on_delete(
                &self,
                callback: impl FnMut(&Self::EventContext, &Self::Row) + Send + 'static,
            ) -> __sdk::CallbackId {
                self.imp.on_delete(callback)
            }

            fn remove_on_delete(&self, callback: __sdk::CallbackId) {
                self.imp.remove_on_delete(callback)
            }
        }

        impl<'ctx> __sdk::TableWithPrimaryKey for $handle<'ctx> {
            type UpdateCallbackId = __sdk::CallbackId;

            fn on_update(
                &self,
                callback: impl FnMut(&Self::EventContext, &Self::Row, &Self::Row) + Send + 'static,
            ) -> __sdk::CallbackId {
                self.imp.on_update(callback)
            }

            fn remove_on_update(&self, callback: __sdk::CallbackId) {
                self.imp.remove_on_update(callback)
            }
        }

        pub struct $index<'ctx> {
            imp: __sdk::UniqueConstraintHandle<$row, $key>,
            phantom: std::marker::PhantomData<&'ctx RemoteTables>,
        }

        #[allow(dead_code)]
        impl<'ctx> $handle<'ctx> {
            pub fn $pk(&self) -> $index<'ctx> {
                $index {
                    imp: self.imp.get_unique_constraint::<$key>(stringify!($pk)),
                    phantom: std::marker::PhantomData,
                }
            }
        }

        #[allow(dead_code)]
        impl<'ctx> $index<'ctx> {
            pub fn find(&self, value: &$key) -> Option<$row> {
                self.imp.find(value)
            }
        }
    };
}
