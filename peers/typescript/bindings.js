// Bindings of a module, in the form that the SDK's generator gives them: schema, remote module, connection.

import {
  DbConnectionBuilder,
  DbConnectionImpl,
  SubscriptionBuilderImpl,
  procedures,
  reducerSchema,
  reducers,
  schema,
  table,
} from 'spacetimedb';

class SubscriptionBuilder extends SubscriptionBuilderImpl {}

// A table whose primary key is the column of that name.
export const keyed = (name, column, row) =>
  table(
    {
      name,
      indexes: [{ accessor: column, name: `${name}_${column}_idx_btree`, algorithm: 'btree', columns: [column] }],
      constraints: [{ name: `${name}_${column}_key`, constraint: 'unique', columns: [column] }],
    },
    row
  );

// The connection's class: `tables` as the SDK's `schema` takes them, `calls` the parameters of each reducer by its name.
export const connectionTo = (tables, calls = {}) => {
  const remoteModule = {
    versionInfo: { cliVersion: '2.8.3' },
    tables: schema(tables).schemaType.tables,
    reducers: reducers(...Object.entries(calls).map(each => reducerSchema(...each))).reducersType.reducers,
    ...procedures(),
  };
  return class DbConnection extends DbConnectionImpl {
    static builder = () => new DbConnectionBuilder(remoteModule, config => new DbConnection(config));

    subscriptionBuilder = () => new SubscriptionBuilder(this);
  };
};
