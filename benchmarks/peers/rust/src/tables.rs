//! The rows and table handles of the benchmark module, in the form that the SDK's generator gives them.

use spacetimedb_sdk::__codegen::{
    self as __sdk, __lib, __sats,
};

use crate::module_bindings::{EventContext, RemoteModule, RemoteTables};

/// Defines the row, the handle and the unique index of one table.
macro_rules! table {
    ($row:ident, $handle:ident, $unique:ident, $access:ident, $name:literal, $pk:ident,
     { $($field:ident: $type:ty),* }) => {
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

        pub trait $access {
            fn $access(&self) -> $handle<'_>;
        }

        impl $access for RemoteTables {
            fn $access(&self) -> $handle<'_> {
                $handle {
                    imp: self.imp.get_table::<$row>($name),
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

        pub struct $unique<'ctx> {
            imp: __sdk::UniqueConstraintHandle<$row, u64>,
            phantom: std::marker::PhantomData<&'ctx RemoteTables>,
        }

        impl<'ctx> $handle<'ctx> {
            pub fn $pk(&self) -> $unique<'ctx> {
                $unique {
                    imp: self.imp.get_unique_constraint::<u64>(stringify!($pk)),
                    phantom: std::marker::PhantomData,
                }
            }
        }

        impl<'ctx> $unique<'ctx> {
            pub fn find(&self, value: &u64) -> Option<$row> {
                self.imp.find(value)
            }
        }
    };
}

table!(PkU64, PkU64TableHandle, PkU64NUnique, pk_u_64, "pk_u_64", n, { n: u64, data: i32 });

table!(Player, PlayerTableHandle, PlayerIdUnique, player, "player", id, {
    id: u64, name: String, x: f32, y: f32, score: i32, active: bool
});
