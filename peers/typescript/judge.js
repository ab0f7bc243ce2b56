// The TypeScript SDK as a judge: it does what it is told on its input, and tells what it sees. Both are lines of JSON.

import { createInterface } from 'node:readline';
import { t } from 'spacetimedb';
import { WebSocket } from 'ws';
import { connectionTo, keyed } from './bindings.js';

globalThis.WebSocket ??= WebSocket;

const PAIR = { id: t.u32(), key: t.string(), group: t.i32(), value: t.i32() };

const CALLS = {
  add_pair: PAIR,
  set_pair: PAIR,
  remove_pair: { id: t.u32() },
  add_pairs: { first: t.u32(), count: t.u32() },
  send_message: { text: t.string() },
  set_name: { name: t.string() },
  panic_now: {},
};

const DbConnection = connectionTo(
  {
    pair: keyed('pair', 'id', t.row({ ...PAIR, id: t.u32().primaryKey() })),
    user: keyed(
      'user',
      'identity',
      t.row({ identity: t.identity().primaryKey(), name: t.option(t.string()), online: t.bool() })
    ),
    message: keyed(
      'message',
      'id',
      t.row({ id: t.u64().primaryKey(), sender: t.identity(), sent: t.timestamp(), text: t.string() })
    ),
  },
  CALLS
);

const SHOWN = {
  pair: row => [row.id, row.key, row.group, row.value],
  user: row => [row.identity.toHexString(), row.name ?? null, row.online],
  message: row => [Number(row.id), row.sender.toHexString(), Number(row.sent.microsSinceUnixEpoch), row.text],
};

const tell = seen => console.log(JSON.stringify(seen));

let conn;
let subscription;

const watch = db => {
  for (const [table, shown] of Object.entries(SHOWN)) {
    db[table].onInsert((_ctx, row) => tell({ saw: 'insert', table, row: shown(row) }));
    db[table].onDelete((_ctx, row) => tell({ saw: 'delete', table, row: shown(row) }));
    db[table].onUpdate((_ctx, old, row) => tell({ saw: 'update', table, old: shown(old), row: shown(row) }));
  }
};

const camel = name => name.replace(/_(.)/g, (_all, letter) => letter.toUpperCase());

const ORDERS = {
  connect: ({ uri, database, token, compression }) => {
    conn = DbConnection.builder()
      .withUri(uri)
      .withDatabaseName(database)
      .withToken(token ?? undefined)
      .withCompression(compression ?? 'none')
      .onConnect((opened, identity, given) => {
        watch(opened.db);
        tell({ saw: 'connected', identity: identity.toHexString(), token: given });
      })
      .onConnectError((_ctx, error) => tell({ saw: 'no connection', text: String(error?.message ?? error) }))
      .onDisconnect((_ctx, error) => tell({ saw: 'disconnected', is_error: error != null }))
      .build();
  },
  subscribe: ({ queries }) => {
    subscription = conn
      .subscriptionBuilder()
      .onApplied(() => tell({ saw: 'applied' }))
      .onError(ctx => tell({ saw: 'no subscription', text: ctx.event.message }))
      .subscribe(queries);
  },
  unsubscribe: () => subscription.unsubscribeThen(() => tell({ saw: 'unsubscribed' })),
  call: ({ reducer, args }) => {
    const named = Object.fromEntries(Object.keys(CALLS[reducer]).map((name, at) => [name, args[at]]));
    conn.reducers[camel(reducer)](named).then(
      () => tell({ saw: 'done', reducer }),
      error => tell({ saw: error.constructor.name === 'SenderError' ? 'refused' : 'fault', reducer, text: error.message })
    );
  },
  rows: () => {
    const pairs = [...conn.db.pair.iter()].map(SHOWN.pair).sort((a, b) => a[0] - b[0]);
    const [users, messages] = [conn.db.user, conn.db.message].map(table => Number(table.count()));
    tell({ saw: 'rows', pair: pairs, users, messages });
  },
  disconnect: () => conn.disconnect(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  ORDERS[order.do](order);
}
process.exit(0);
