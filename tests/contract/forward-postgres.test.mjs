// Forwarding end to end: real browsers, the handler of framelock/server behind node's HTTP server, and a real PostgreSQL.
// What is in the table here is in the table over there, every value of every type, in order, once: after the network
// was cut, after reloads, and with handler and PostgreSQL killed and started again at every point of a request.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createFrameHandler, postgres } from '../../dist/server/index.js';
import { arrow } from '../server/frames.mjs';
import { listen } from '../server/listen.mjs';
import { Cluster } from '../server/postgres.mjs';
import { authorize } from '../server/wire.mjs';
import { inBrowsers } from './harness.mjs';

const item = (type) => new arrow.Field('item', type, true);
const some = (i, value) => (i % 5 === 3 ? null : value);
const EPOCH_MS = Date.UTC(1999, 11, 31);

/** Values of a type of which apache-arrow takes no ordinary ones, or not all digits. */
const made = (type, data) => new arrow.Vector([arrow.makeData({ type, length: data.length, data })]);
function decimals(values) {
  const data = new Uint32Array(values.length * 4);
  values.forEach((value, i) => {
    for (let part = 0; part < 4; part++, value >>= 32n) data[i * 4 + part] = Number(value & 0xffffffffn);
  });
  const type = new arrow.Decimal(9, 38, 128);
  return new arrow.Vector([arrow.makeData({ type, length: values.length, data })]);
}

/**
 * The columns of a frame: what its `i`th value is, and how PostgreSQL says what SQLite has. `as` tells which values are
 * the same although they are written otherwise.
 */
const COLUMNS = {
  frame: { type: new arrow.Int32(), value: (_, frame) => frame },
  n: { type: new arrow.Int32(), value: (i, frame) => frame * 1000 + i },
  flag: { type: new arrow.Bool(), value: (i) => some(i, i % 2 === 0) },
  tiny: { type: new arrow.Int8(), value: (i) => some(i, (i % 256) - 128) },
  small: { type: new arrow.Int16(), value: (i) => some(i, i - 32768) },
  byte: { type: new arrow.Uint8(), value: (i) => some(i, i % 256) },
  uint: { type: new arrow.Uint32(), value: (i) => some(i, 4294967295 - i) },
  big: { type: new arrow.Int64(), value: (i) => some(i, -(2n ** 63n) + BigInt(i)) },
  ubig: { type: new arrow.Uint64(), value: (i) => some(i, 2n ** 63n - 1n - BigInt(i)) },
  single: { type: new arrow.Float32(), value: (i) => some(i, i / 10), there: 'single::float8', as: Number },
  double: { type: new arrow.Float64(), value: (i) => (i % 7 ? Math.sqrt(i) : -Infinity), as: Number },
  digits: { all: (list, frame) => decimals(list.map((i) => BigInt(i - 7) * 10n ** 20n + BigInt(frame))) },
  text: { type: new arrow.Utf8(), value: (i) => some(i, i % 2 ? '' : `né😀"\\\n\t ${i}`) },
  word: {
    type: new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()),
    value: (i) => some(i, `w${i % 9}`),
  },
  bytes: {
    type: new arrow.Binary(),
    value: (i) =>
      some(
        i,
        Uint8Array.from({ length: i % 4 }, (_, byte) => i * 31 + byte),
      ),
    here: 'CASE WHEN bytes IS NOT NULL THEN hex(bytes) END',
    there: "upper(encode(bytes, 'hex'))",
  },
  day: {
    type: new arrow.DateDay(),
    value: (i) => some(i, new Date(86_400_000 * (i - 50))),
    there: "day - date '1970-01-01'",
  },
  clock: {
    all: (list) =>
      made(
        new arrow.TimeMicrosecond(),
        BigInt64Array.from(list, (i) => BigInt(i) * 86_000_001n),
      ),
    there: '(extract(epoch FROM clock) * 1000000)::bigint',
  },
  local: {
    all: (list) =>
      made(
        new arrow.TimestampMicrosecond(),
        BigInt64Array.from(list, (i) => BigInt(EPOCH_MS) * 1000n + BigInt(i)),
      ),
    there: '(extract(epoch FROM local) * 1000000)::bigint',
  },
  moment: {
    type: new arrow.TimestampMillisecond('America/New_York'),
    value: (i) => some(i, new Date(EPOCH_MS + i)),
    there: '(extract(epoch FROM moment) * 1000)::bigint',
  },
  list: {
    type: new arrow.List(item(new arrow.Int32())),
    value: (i) => some(i, [i, null, -i]),
    there: 'to_json(list)',
    as: JSON.parse,
  },
  words: {
    type: new arrow.List(item(new arrow.Utf8())),
    value: (i) => some(i, ['a,b"', '', `${i}`]),
    there: 'to_json(words)',
    as: JSON.parse,
  },
  record: {
    type: new arrow.Struct([
      new arrow.Field('a', new arrow.Int64(), true),
      new arrow.Field('b', new arrow.Utf8(), true),
    ]),
    value: (i) => some(i, { a: 2n ** 60n + BigInt(i), b: i % 2 ? null : 'é' }),
    as: JSON.parse,
  },
  grid: {
    type: new arrow.List(item(new arrow.List(item(new arrow.Int8())))),
    value: (i) => some(i, [[1], [i % 100]]),
    as: JSON.parse,
  },
};

const ROWS = 120;

/** A frame that has every type. */
function frameOf(frame) {
  const list = Array.from({ length: ROWS }, (_, i) => i);
  const vectors = Object.entries(COLUMNS).map(([name, { type, value, all }]) => [
    name,
    all
      ? all(list, frame)
      : arrow.vectorFromArray(
          list.map((i) => value(i, frame)),
          type,
        ),
  ]);
  return arrow.tableToIPC(new arrow.Table(Object.fromEntries(vectors)), 'stream');
}

/** A value as it is compared: one text for one value. */
function shown(value, as) {
  if (value === null || value === undefined) return null;
  const sorted = (key, inner) =>
    inner?.constructor === Object ? Object.fromEntries(Object.entries(inner).sort()) : inner;
  return as === JSON.parse ? JSON.stringify(JSON.parse(value), sorted) : String(as ? as(value) : value);
}

/** PostgreSQL and the handler before it, on one port; requests can be caught in the middle. */
class Remote {
  /** Is called with every PUT and the handler that would answer it. */
  meets = (request, handler) => handler(request);
  causes = [];
  puts = 0;

  async start() {
    // Neither the machine nor its disk fails here, only processes do.
    this.cluster = await Cluster.start({ fsync: 'off', autovacuum: 'off' });
    // What came first has the lower number.
    for (const table of ['everything', 'ticks']) {
      await this.cluster.query(`CREATE TABLE ${table} (arrived bigserial)`);
    }
    await this.listen();
    return this;
  }

  async listen() {
    this.pool = this.cluster.pool();
    const handler = createFrameHandler({
      engine: postgres(this.pool),
      authorize,
      tables: { everything: {}, ticks: {} },
      schema: 'addColumns',
      onError: (error) => this.causes.push(error?.code ?? String(error)),
    });
    this.web = await listen((request) => {
      if (request.method !== 'PUT') return handler(request);
      this.puts += 1;
      return this.meets(request, handler);
    }, this.port);
    this.port = Number(new URL(this.web.base).port);
  }

  get url() {
    return `http://127.0.0.1:${this.port}/sync`;
  }

  /** The handler goes away with every connection, and PostgreSQL as if by a power cut. */
  async kill() {
    await Promise.all([this.web.close(), this.cluster.end('SIGKILL')]);
  }

  async back() {
    await this.pool.end().catch(() => undefined);
    await this.cluster.run({ fsync: 'off', autovacuum: 'off' });
    await this.listen();
  }

  async stop() {
    await this.web.close().catch(() => undefined);
    await this.cluster.stop();
  }

  async rows(table, columns) {
    const list = columns.map((name) => `(${COLUMNS[name].there ?? `"${name}"`})::text AS "${name}"`);
    return this.cluster.query(`SELECT ${list} FROM ${table} ORDER BY arrived`);
  }
}

/** Opens the database as `db`. Runs in the page. */
async function open(database, url) {
  globalThis.told = [];
  const forward = { url, tables: ['everything', 'ticks'], getToken: async () => 'alice' };
  globalThis.db = await framelock.openDatabase(database, { forward });
  db.on('forward', (event) => told.push(event));
}

/** Appends frames, and small ones to another table between them. Runs in the page. */
async function append(frames) {
  for (const [frame, bytes] of frames) {
    await db.appendFrame('everything', bytes);
    for (let i = 0; i < 3; i++) {
      await db.appendFrame('ticks', {
        frame: Int32Array.of(frame, frame),
        n: Int32Array.of(2 * i, 2 * i + 1),
      });
    }
  }
}
const ITEMS = 4;
const range = (first, count) => Array.from({ length: count }, (_, i) => [first + i, frameOf(first + i)]);

/** Waits until the status of forwarding is as said. */
async function comesTo(tab, what) {
  let status;
  for (const end = Date.now() + 40_000; Date.now() < end; await sleep(50)) {
    status = await tab.run(async () => (await db.status()).forwarding);
    if (what(status)) return status;
  }
  const told = await tab.run(() => told.slice(-5));
  throw new Error(`it does not come to that: ${JSON.stringify({ status, told })}`);
}

/** Both tables here equal those over there, value by value, in order, and the books say so too. */
async function assertEqual(tab, remote, frames) {
  for (const [table, columns, count] of [
    ['everything', Object.keys(COLUMNS), frames * ROWS],
    ['ticks', ['frame', 'n'], frames * 6],
  ]) {
    const list = columns.map((name) => `${COLUMNS[name].here ?? `"${name}"`} AS "${name}"`);
    const here = await tab.run((sql) => db.query(sql), `SELECT ${list} FROM ${table} ORDER BY rowid`);
    const there = await remote.rows(table, columns);
    const all = (rows) =>
      rows.map((row) =>
        Object.fromEntries(columns.map((name) => [name, shown(row[name], COLUMNS[name].as)])),
      );
    assert.equal(here.length, count, table);
    assert.equal(there.length, count, table);
    const [ours, theirs] = [all(here), all(there)];
    // One row is enough to look at.
    const other = ours.findIndex((row, i) => JSON.stringify(row) !== JSON.stringify(theirs[i]));
    assert.deepEqual(theirs[other], ours[other], `${table}, row ${other}`);
  }
  const [books] = await remote.cluster.query(
    `SELECT count(*)::int AS streams, sum(last_seq)::int AS items,
      (SELECT sum(rows)::int FROM framelock_frames) AS rows FROM framelock_streams`,
  );
  assert.deepEqual(books, { streams: 1, items: frames * ITEMS, rows: frames * (ROWS + 6) });
}

inBrowsers((context) => {
  let remote, tab;
  const name = 'forward-postgres';
  let frames = 0;
  /** Appends so many more frames; gives how many items there are then. */
  const grow = async (count) => {
    const first = frames;
    frames += count;
    await tab.run(append, range(first, count));
    return frames * ITEMS;
  };
  const arrived = async () => {
    await comesTo(
      tab,
      ({ pending, lastAcknowledged }) => pending === 0 && lastAcknowledged === frames * ITEMS,
    );
    await assertEqual(tab, remote, frames);
  };
  before(async () => {
    remote = await new Remote().start();
    tab = await context.browser.newTab();
    await tab.run(open, name, remote.url);
  });
  after(() => remote?.stop());

  test('every value of every type arrives, in order', async () => {
    await grow(2);
    await arrived();
  });

  test(
    'appended while the browser is offline, which is then reloaded: all of it arrives when it is online',
    // Firefox's driver cannot cut the network of a worker.
    { skip: context.name !== 'chromium' },
    async () => {
      await tab.page.setOfflineMode(true);
      await grow(3);
      await comesTo(tab, ({ pending, reason }) => pending === 3 * ITEMS && reason === 'NETWORK');
      await tab.page.reload();
      assert.equal(
        await tab.page.evaluate('typeof framelock'),
        'undefined',
        'the page is gone, and its worker',
      );
      await tab.page.setOfflineMode(false);
      await tab.load();
      await tab.run(open, name, remote.url);
      await grow(1);
      await arrived();
    },
  );

  test('handler and PostgreSQL are killed and started again while frames wait, over a reload', async () => {
    await remote.kill();
    await grow(2);
    await tab.page.reload();
    await tab.load();
    await tab.run(open, name, remote.url);
    await grow(1);
    await comesTo(tab, ({ pending, reason }) => pending >= 3 * ITEMS && reason === 'NETWORK');
    await remote.back();
    await arrived();
  });

  /** At which point of a request both are killed. */
  const POINTS = {
    'before the request is looked at': async () => {},
    'while it is worked on': (request, handler) => {
      void handler(request).catch(() => undefined);
      return sleep(8);
    },
    'after the commit, before the answer': async (request, handler) => {
      const answer = await handler(request);
      assert.equal(answer.status, 201);
    },
  };
  for (const [point, reach] of Object.entries(POINTS)) {
    test(`both are killed in the middle of sending, ${point}`, async () => {
      let killed;
      remote.meets = (request, handler) => {
        if (killed) return handler(request);
        killed = reach(request, handler).then(() => remote.kill());
        // No answer ever comes: the connection ends.
        return new Promise(() => {});
      };
      const growing = grow(4);
      for (const end = Date.now() + 20_000; !killed && Date.now() < end;) await sleep(5);
      assert.ok(killed, 'something was sent');
      await killed;
      // While appends go on, or just after.
      await remote.back();
      await growing;
      await arrived();
    });
  }
});
