// `node scripts/forward-bench.mjs`: how fast rows get from an HTTP request into a real PostgreSQL with fsync, in ratios
// of one run. Needs a build. The rounds take turns, and the median of each counts.
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import * as arrow from 'apache-arrow';
import { createFrameHandler, postgres } from '../dist/server/index.js';
import { listen } from '../tests/server/listen.mjs';
import { Cluster } from '../tests/server/postgres.mjs';
import { authorize, frameRequest } from '../tests/server/wire.mjs';

const ROUNDS = 5;
const ROWS = 100_000;
const SMALL = { rows: 100, frames: 100 };

/** Rows of eight columns, as a frame and as objects. */
function rowsOf(count, seed) {
  const row = Int32Array.from({ length: count }, (_, i) => i);
  const columns = {
    id: BigInt64Array.from({ length: count }, (_, i) => BigInt(seed) * 1_000_000n + BigInt(i)),
    at: BigInt64Array.from({ length: count }, (_, i) => 1_767_225_600_000n + BigInt(i)),
    device: row.map((i) => i % 500),
    ok: Array.from(row, (i) => i % 3 > 0),
    price: Float64Array.from(row, (i) => i * 1.25 + seed),
    qty: Float64Array.from(row, (i) => (i % 1000) / 8),
    symbol: Array.from(row, (i) => `SYM${i % 400}`),
    note: Array.from(row, (i) => (i % 5 ? `a note for row ${i}` : null)),
  };
  const time = new arrow.TimestampMillisecond('UTC');
  const text = (values) => arrow.vectorFromArray(values, new arrow.Utf8());
  const table = new arrow.Table({
    id: arrow.makeVector(columns.id),
    at: new arrow.Vector([arrow.makeData({ type: time, length: count, data: columns.at })]),
    device: arrow.makeVector(columns.device),
    ok: arrow.vectorFromArray(columns.ok, new arrow.Bool()),
    price: arrow.makeVector(columns.price),
    qty: arrow.makeVector(columns.qty),
    symbol: text(columns.symbol),
    note: text(columns.note),
  });
  const objects = Array.from(row, (i) => ({
    id: Number(columns.id[i]),
    at: new Date(Number(columns.at[i])).toISOString(),
    device: columns.device[i],
    ok: columns.ok[i],
    price: columns.price[i],
    qty: columns.qty[i],
    symbol: columns.symbol[i],
    note: columns.note[i],
  }));
  return { frame: arrow.tableToIPC(table, 'stream'), objects };
}

const COLUMNS =
  'id bigint, at timestamptz, device integer, ok boolean, price float8, qty float8, symbol text, note text';

/** What a web developer would write: the body is JSON, PostgreSQL takes it apart. */
async function jsonServer(pool) {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const rows = JSON.parse(Buffer.concat(parts).toString());
    await pool.query(`INSERT INTO by_json SELECT * FROM json_to_recordset($1) AS r (${COLUMNS})`, [
      JSON.stringify(rows),
    ]);
    response.writeHead(201).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const cluster = await Cluster.start({ shared_buffers: '256MB', max_wal_size: '4GB' });
const pool = cluster.pool();
await pool.query(
  `CREATE TABLE by_json (${COLUMNS}); CREATE TABLE frames (${COLUMNS}); CREATE TABLE small (${COLUMNS})`,
);
const handler = createFrameHandler({
  engine: postgres(pool),
  authorize,
  tables: { frames: {}, small: {} },
  limits: { requestsPerSecond: 1e6, maxBodyBytes: 64 << 20 },
});
const web = await listen(handler);
const json = await jsonServer(pool);
const times = { frame: [], json: [], 'one by one': [], coalesced: [] };
const timed = async (name, rows, work) => {
  const start = performance.now();
  await work();
  times[name].push(rows / ((performance.now() - start) / 1000));
};
const put = async (stream, seq, table, bytes, headers = {}) => {
  const response = await fetch(frameRequest(stream, seq, table, bytes, { base: web.base, headers }));
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  await response.arrayBuffer();
};
try {
  for (let round = 0; round <= ROUNDS; round++) {
    const { frame, objects } = rowsOf(ROWS, round);
    const text = JSON.stringify(objects);
    await timed('frame', ROWS, () => put(randomUUID(), 1, 'frames', frame));
    await timed('json', ROWS, async () => {
      const response = await fetch(json.url, { method: 'POST', body: text });
      if (response.status !== 201) throw new Error(String(response.status));
      await response.arrayBuffer();
    });
    const all = SMALL.rows * SMALL.frames;
    const items = Array.from({ length: SMALL.frames }, (_, i) => rowsOf(SMALL.rows, 1000 * round + i).frame);
    const [one, many] = [randomUUID(), randomUUID()];
    await timed('one by one', all, async () => {
      for (const [i, item] of items.entries()) await put(one, i + 1, 'small', item);
    });
    const whole = rowsOf(all, round).frame;
    const digest = `sha-256=:${createHash('sha256').update(items.at(-1)).digest('base64')}:`;
    await timed('coalesced', all, () =>
      put(many, `1-${SMALL.frames}`, 'small', whole, { 'Framelock-Item-Digest': digest }),
    );
    // The first round only warms up.
    if (round === 0) for (const list of Object.values(times)) list.length = 0;
  }
  const speed = Object.fromEntries(Object.entries(times).map(([name, list]) => [name, median(list)]));
  const shown = (rows) => `${Math.round(rows).toLocaleString('en')} rows/s`;
  console.log(
    `100,000 rows x 8 columns in a request: frames ${shown(speed.frame)}, JSON ${shown(speed.json)}`,
  );
  console.log(`  ratio ${(speed.frame / speed.json).toFixed(1)}`);
  console.log(
    `frames of 100 rows: one by one ${shown(speed['one by one'])}, 100 together ${shown(speed.coalesced)}`,
  );
  console.log(`  ratio ${(speed.coalesced / speed['one by one']).toFixed(1)}`);
} finally {
  json.close();
  await web.close();
  await cluster.stop();
}
