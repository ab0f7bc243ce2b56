// The TypeScript SDK under measurement. It takes the options and prints the fields of `benchmarks/ours.py`.

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { t } from 'spacetimedb';
import { WebSocket } from 'ws';
import { connectionTo, keyed } from './bindings.js';

globalThis.WebSocket ??= WebSocket;

const DbConnection = connectionTo({
  pk_u_64: keyed('pk_u_64', 'n', t.row({ n: t.u64().primaryKey(), data: t.i32() })),
  player: keyed(
    'player',
    'id',
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

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    table: { type: 'string' },
    protocol: { type: 'string', default: 'v2' },
    compression: { type: 'string', default: 'none' },
    then: { type: 'string' },
    callback: { type: 'string', default: 'none' },
    keys: { type: 'string' },
    finds: { type: 'string', default: '20' },
  },
});

const SHAPES = { pk_u_64: ['n', 'data'], player: ['id', 'score'] };
const [KEY, VALUE] = SHAPES[options.table];
const FINDS = Math.min(Number(options.finds), 20); // a find looks at every row, so more would take minutes
const keys = readFileSync(options.keys, 'ascii').trim().split('\n').slice(0, FINDS).map(BigInt);
const found = { updates: 0, updates_sum: 0 };

const memory = field => {
  try {
    return Number(readFileSync('/proc/self/status', 'ascii').match(new RegExp(`${field}:\\s+(\\d+)`))[1]) * 1024;
  } catch {
    return field === 'VmHWM' ? process.resourceUsage().maxRSS * 1024 : process.memoryUsage.rss();
  }
};

const clock = () => ({ wall: process.hrtime.bigint(), cpu: process.cpuUsage() });

const note = (name, start) => {
  const wall = process.hrtime.bigint();
  const cpu = process.cpuUsage(start.cpu);
  found[name] = Number(wall - start.wall) / 1e9;
  found[`${name}_cpu`] = (cpu.user + cpu.system) / 1e6;
};

const sumOfValues = rows => {
  let sum = 0;
  for (const row of rows) sum += row[VALUE];
  return sum;
};

const findAll = (table, start, memoryBefore) => {
  table[KEY].find(keys[0]);
  note('find', start);
  found.find_memory = Math.max(0, memory('VmHWM') - memoryBefore);
  const before = clock();
  const rows = keys.map(key => table[KEY].find(key));
  note('find_all', before);
  note('find_some', start); // 20 of them, as many as the other clients count here
  found.find_some_memory = Math.max(0, memory('VmHWM') - memoryBefore);
  found.find_each = found.find_all / rows.length;
  found.finds = rows.length;
  found.finds_sum = sumOfValues(rows);
};

const finish = (conn, table) => {
  let keysSum = 0n;
  for (const row of table.iter()) keysSum += row[KEY];
  found.rows = Number(table.count());
  found.values_sum = sumOfValues(table.iter());
  const text = JSON.stringify(found);
  console.log(`${text.slice(0, -1)}, "keys_sum": ${BigInt.asUintN(64, keysSum)}}`);
  conn.disconnect();
  process.exit(0);
};

const stream = (conn, table) => {
  const start = clock();
  conn
    .subscriptionBuilder()
    .onApplied(() => {
      note('stream', start);
      finish(conn, table);
    })
    .subscribe(`SELECT * FROM ${options.table} WHERE ${KEY} = 0`);
};

const load = conn => {
  const table = conn.db[options.table];
  if (options.callback === 'row') {
    table.onUpdate((_ctx, _old, row) => {
      found.updates += 1;
      found.updates_sum += row.data;
    });
  }
  try {
    writeFileSync('/proc/self/clear_refs', '5'); // the peak of the memory starts anew
  } catch {
    // not Linux: the peak includes what came before
  }
  const memoryBefore = memory('VmRSS');
  const start = clock();
  conn
    .subscriptionBuilder()
    .onApplied(() => {
      note('applied', start);
      found.applied_memory = Math.max(0, memory('VmHWM') - memoryBefore);
      if (options.then === 'find') {
        findAll(table, start, memoryBefore);
      } else if (options.then === 'scan') {
        const sum = sumOfValues(table.iter());
        note('scan', start);
        found.scan_sum = sum;
      } else {
        return stream(conn, table);
      }
      return finish(conn, table);
    })
    .onError(ctx => {
      console.error(ctx.event);
      process.exit(1);
    })
    .subscribe(`SELECT * FROM ${options.table}`);
};

DbConnection.builder()
  .withUri(`ws://127.0.0.1:${options.port}`)
  .withDatabaseName('bench')
  .withCompression(options.compression)
  .onConnect(load)
  .onConnectError((_ctx, error) => {
    console.error(error);
    process.exit(1);
  })
  .build();
