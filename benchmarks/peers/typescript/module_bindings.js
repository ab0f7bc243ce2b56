// The benchmark module's bindings, in the form that the SDK's generator gives them: schema, remote module, connection.

import {
  DbConnectionBuilder,
  DbConnectionImpl,
  SubscriptionBuilderImpl,
  procedures,
  reducers,
  schema,
  t,
  table,
} from 'spacetimedb';

const primaryKey = (name, column) => ({
  indexes: [{ accessor: column, name: `${name}_${column}_idx_btree`, algorithm: 'btree', columns: [column] }],
  constraints: [{ name: `${name}_${column}_key`, constraint: 'unique', columns: [column] }],
});

const tables = schema({
  pk_u_64: table(
    { name: 'pk_u_64', ...primaryKey('pk_u_64', 'n') },
    t.row({ n: t.u64().primaryKey(), data: t.i32() })
  ),
  player: table(
    { name: 'player', ...primaryKey('player', 'id') },
    t.row({
      id: t.u64().primaryKey(),
      name: t.string(),
      x: t.f32(),
      y: t.f32(),
      score: t.i32(),
      active: t.bool(),
    })
  ),
});

const remoteModule = {
  versionInfo: { cliVersion: '2.8.3' },
  tables: tables.schemaType.tables,
  reducers: reducers().reducersType.reducers,
  ...procedures(),
};

export class SubscriptionBuilder extends SubscriptionBuilderImpl {}

export class DbConnection extends DbConnectionImpl {
  static builder = () => new DbConnectionBuilder(remoteModule, config => new DbConnection(config));

  subscriptionBuilder = () => new SubscriptionBuilder(this);
}
