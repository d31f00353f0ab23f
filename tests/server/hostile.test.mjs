// Hostile senders against a server in a process of its own: it lives, its memory stays where it was, and no row stands
// where it does not belong.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createGzip } from 'node:zlib';
import { arrow, ticks } from './frames.mjs';
import { Cluster } from './postgres.mjs';
import { randomOf } from './sender.mjs';
import { ARROW, digestOf, frameRequest, read, stateRequest } from './wire.mjs';

const MB = 1 << 20;

let cluster, pool, target, base;
const alices = randomUUID();
before(async () => {
  cluster = await Cluster.start({ fsync: 'off' });
  pool = cluster.pool();
  const file = fileURLToPath(new URL('target.mjs', import.meta.url));
  target = fork(file, [JSON.stringify(cluster.config())], { execArgv: ['--expose-gc'] });
  [{ base }] = await once(target, 'message');
  const answer = await put(alices, 1, 'victim', ticks(0, 1, 10), { token: 'alice' });
  assert.equal(answer.status, 201);
});
after(async () => {
  target?.kill();
  await cluster?.stop();
});

const put = async (stream, seq, table, bytes, options) =>
  read(await fetch(frameRequest(stream, seq, table, bytes, { base, token: 'mallory', ...options })));

async function memory() {
  target.send('memory');
  const [said] = await once(target, 'message');
  return said;
}

/** What belongs to alice, and must be as it was. */
async function unharmed() {
  assert.equal(target.exitCode, null, 'the server is alive');
  const { rows } = await pool.query('SELECT count(*)::int AS rows FROM victim WHERE writer = 0 AND item = 1');
  const all = await pool.query('SELECT count(*)::int AS rows FROM victim');
  assert.deepEqual([rows[0].rows, all.rows[0].rows], [10, 10]);
  const state = await read(await fetch(stateRequest(alices, { base, token: 'alice' })));
  assert.equal(state.last_seq, 1);
}

test('a foreign stream, a foreign table, a forged digest', async () => {
  const frame = ticks(1, 2, 10);
  assert.equal((await put(alices, 2, 'victim', frame)).code, 'FORBIDDEN');
  assert.equal((await put(randomUUID(), 1, 'framelock_streams', frame)).code, 'FORBIDDEN');
  const forged = { 'Content-Digest': digestOf('something else') };
  assert.equal(
    (await put(alices, 2, 'victim', frame, { token: 'alice', headers: forged })).code,
    'DIGEST_MISMATCH',
  );
  const item = { 'Framelock-Item-Digest': digestOf('something else') };
  assert.equal(
    (await put(alices, 2, 'victim', frame, { token: 'alice', headers: item })).code,
    'DIGEST_MISMATCH',
  );
  const none = { 'Content-Digest': null };
  assert.equal(
    (await put(alices, 2, 'victim', frame, { token: 'alice', headers: none })).code,
    'DIGEST_MISMATCH',
  );
  await unharmed();
});

/** Sends a body without end over a raw socket; gives the answer's first line and how much was taken. */
async function pour(headers, chunk, most) {
  const { hostname, port, pathname } = new URL(base);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  const lines = [
    `PUT ${pathname}/v1/streams/${randomUUID()}/frames/1?table=open HTTP/1.1`,
    `Host: ${hostname}`,
    'Authorization: Bearer mallory',
    `Content-Type: ${ARROW}`,
    `Content-Digest: ${digestOf('')}`,
    ...headers,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let answer = '';
  socket.on('data', (part) => (answer += part));
  let sent = 0;
  while (sent < most && !socket.destroyed && !socket.closed) {
    sent += chunk.length;
    // Not `events.once`, which rejects when the other side hangs up.
    if (!socket.write(chunk)) {
      await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
    }
  }
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return { line: answer.split('\r\n')[0], sent };
}

test('a body of 1 GiB: not read, and the memory does not notice', async () => {
  const before = await memory();
  const zeros = Buffer.alloc(64 << 10);
  const sized = await pour([`Content-Length: ${1 << 30}`], zeros, 1 << 30);
  assert.match(sized.line, /413/);
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), zeros, Buffer.from('\r\n')]);
  const chunked = await pour(['Transfer-Encoding: chunked'], chunk, 1 << 30);
  assert.match(chunked.line, /413/);
  for (const { sent } of [sized, chunked]) assert.ok(sent < 64 * MB, `${sent} bytes were taken`);
  const { peak } = await memory();
  assert.ok(peak - before.rss < 64 * MB, `${(peak - before.rss) / MB} MB more`);
  await unharmed();
});

/** A sender that sends a byte now and then; gives its answer's first line. */
async function drip(token) {
  const { hostname, port, pathname } = new URL(base);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (part) => (answer += part));
  const head = `PUT ${pathname}/v1/streams/${randomUUID()}/frames/1?table=open HTTP/1.1\r\nHost: x\r\n`;
  socket.write(
    `${head}Authorization: Bearer ${token}\r\nContent-Type: ${ARROW}\r\nContent-Length: 100000\r\n\r\n`,
  );
  const timer = setInterval(() => socket.write('x'), 100);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(timer);
  return answer.split('\r\n')[0];
}

test('bodies that drip: given up in time, while others are served', async () => {
  // As many as may be at the database at once.
  const slow = Array.from({ length: 32 }, (_, i) => drip(`mallory ${i % 2}`));
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (let i = 0; i < 5; i++) {
    assert.equal((await put(randomUUID(), 1, 'open', ticks(1, 1, 10))).status, 201);
  }
  for (const line of await Promise.all(slow)) assert.match(line, /408/);
  await unharmed();
});

/** The gzip of so many zeros. */
async function zipped(bytes) {
  const gzip = createGzip({ level: 9 });
  const parts = [];
  gzip.on('data', (part) => parts.push(part));
  const zeros = Buffer.alloc(MB);
  for (let i = 0; i < bytes / MB; i++) if (!gzip.write(zeros)) await once(gzip, 'drain');
  gzip.end();
  await once(gzip, 'end');
  return Buffer.concat(parts);
}

test('bombs: gzip of 1 GiB of zeros, a dictionary that repeats a long text a million times', async () => {
  const before = await memory();
  const bomb = await zipped(1 << 30);
  assert.ok(bomb.length < 2 * MB);
  const headers = { 'Content-Encoding': 'gzip' };
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => put(randomUUID(), 1, 'open', bomb, { headers })),
  );
  assert.deepEqual([...new Set(answers.map(({ code }) => code))], ['TOO_LARGE']);
  const text = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32());
  const one = arrow.vectorFromArray(['x'.repeat(MB)], new arrow.Utf8());
  const keys = new Int32Array(1_000_000);
  const repeated = arrow.makeData({ type: text, length: keys.length, data: keys, dictionary: one });
  const frame = arrow.tableToIPC(new arrow.Table({ note: new arrow.Vector([repeated]) }), 'stream');
  assert.equal((await put(randomUUID(), 1, 'open', frame, { gzip: true })).code, 'TOO_LARGE');
  const { peak, rss } = await memory();
  assert.ok(peak - before.rss < 192 * MB, `${(peak - before.rss) / MB} MB more at most`);
  assert.ok(rss - before.rss < 128 * MB, `${(rss - before.rss) / MB} MB more afterwards`);
  await unharmed();
});

/** 1,000,000 rows of 15 int64 columns, all zeros, zstd of level 19 inside Arrow, written by pyarrow: 120 MB in 6 KB. */
test('a struct of 60,000 fields: the names of each are looked up, not compared with all before', async () => {
  const fields = Array.from({ length: 60_000 }, (_, i) => new arrow.Field(String(i), new arrow.Null(), true));
  const type = new arrow.Struct(fields);
  const children = fields.map(() => arrow.makeData({ type: new arrow.Null(), length: 1 }));
  const wide = new arrow.Vector([arrow.makeData({ type, length: 1, children })]);
  const frame = arrow.tableToIPC(new arrow.Table({ wide }), 'stream');
  const start = performance.now();
  const answer = await put(randomUUID(), 1, 'open', frame, { gzip: true });
  const ms = performance.now() - start;
  // Nobody else is served meanwhile. Compared with all before it took ten seconds.
  assert.ok(ms < 4000, `${ms} ms, ${JSON.stringify(answer)}`);
  await unharmed();
});

const ZEROS = readFileSync(new URL('fixtures/zeros.zstd.arrows', import.meta.url));

test('bombs inside Arrow: what is decoded at once is limited, however many come', async (t) => {
  await pool.query('CREATE TABLE zeros (c0 text)');
  const before = await memory();
  const answers = await Promise.all(Array.from({ length: 12 }, () => put(randomUUID(), 1, 'zeros', ZEROS)));
  const { peak, rss } = await memory();
  // Two at once, and some that are thrown away and not yet collected.
  assert.ok(peak - before.rss < 640 * MB, `${(peak - before.rss) / MB} MB more at most`);
  assert.ok(rss - before.rss < 256 * MB, `${(rss - before.rss) / MB} MB more afterwards`);
  assert.deepEqual([...new Set(answers.map(({ reason, code }) => reason ?? code))], ['SCHEMA_MISMATCH']);
  t.diagnostic(`memory: ${Math.round((peak - before.rss) / MB)} MB more at most`);
  await unharmed();
});

test('10,000 random requests: no crash, no row that does not belong, the memory flat', async (t) => {
  const random = randomOf(7);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const streams = [alices, ...Array.from({ length: 20 }, () => randomUUID())];
  const whole = [1, 2, 3].map((item) => Buffer.from(ticks(1, item, 20)));
  const mangled = () => {
    const bytes = Buffer.from(pick(whole));
    for (let i = 0; i < 1 + random() * 4; i++)
      bytes[Math.floor(random() * bytes.length)] ^= 1 << (random() * 8);
    return random() < 0.3 ? bytes.subarray(0, random() * bytes.length) : bytes;
  };
  const noise = () => Buffer.from(Array.from({ length: random() * 300 }, () => random() * 256));
  const one = async () => {
    const bytes = pick([() => pick(whole), mangled, mangled, mangled, noise])();
    const stream = pick([...streams, 'nonsense', '..', '%00', '00000000-0000-0000-0000-00000000000g', '']);
    const seq = pick([1, 1, 2, 3, '1-2', '2-1', 0, -1, '1e3', '9007199254740993', 'x', '1-1', '01']);
    const table = pick([
      'open',
      'open',
      'open',
      'victim',
      'nothing',
      '__proto__',
      '"; DROP TABLE victim; --',
      '',
    ]);
    const headers = {
      ...(random() < 0.1 && {
        'Content-Digest': pick(['', 'sha-256=::', digestOf('x'), 'md5=:AAAA:', null]),
      }),
      ...(random() < 0.1 && { 'Content-Type': pick(['text/plain', 'application/json', '']) }),
      ...(random() < 0.1 && { 'Content-Encoding': pick(['gzip', 'br', 'identity']) }),
      ...(random() < 0.1 && { 'Framelock-Item-Digest': pick(['', digestOf('y')]) }),
    };
    // Of what is alice's, mallory may only see that it is hers; with no token nobody sees anything.
    const token =
      stream === alices || table === 'victim' ? pick(['mallory', 'nobody', '']) : pick(['mallory', 'eve']);
    const safe = table === 'victim' ? 'nobody' : token;
    const search = random() < 0.1 ? { skip: '1' } : {};
    const method = random() < 0.85 ? 'PUT' : pick(['GET', 'POST', 'DELETE', 'OPTIONS', 'PATCH']);
    const options = { base, token: safe, headers, search, gzip: random() < 0.1 };
    const request = frameRequest(stream, seq, table, bytes, options);
    const body = method === 'GET' || method === 'OPTIONS' ? undefined : await request.arrayBuffer();
    const response = await fetch(request.url, { method, headers: request.headers, body });
    await response.arrayBuffer();
    return response.status;
  };
  const warm = async (count) => {
    const statuses = {};
    for (let i = 0; i < count; i += 20) {
      for (const status of await Promise.all(Array.from({ length: 20 }, one))) {
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    }
    return statuses;
  };
  await warm(500);
  const before = await memory();
  const statuses = await warm(10_000);
  const { rss, peak, errors } = await memory();
  t.diagnostic(`answers: ${JSON.stringify(statuses)}`);
  t.diagnostic(
    `memory: ${Math.round(before.rss / MB)} MB before, ${Math.round(peak / MB)} at most, ${Math.round(rss / MB)} after`,
  );
  assert.equal(
    Object.values(statuses).reduce((sum, count) => sum + count),
    10_000,
  );
  assert.equal(statuses[500], undefined, 'no failure of ours');
  assert.ok(statuses[201] > 0 && statuses[422] > 0 && statuses[403] > 0, JSON.stringify(statuses));
  assert.equal(errors, before.errors, 'no failure of the database');
  assert.ok(rss - before.rss < 48 * MB, `${(rss - before.rss) / MB} MB more`);
  await unharmed();
  // Whatever was taken is what the books say.
  const { rows } = await pool.query(
    `SELECT (SELECT count(*) FROM open) = (SELECT sum(rows) FROM framelock_frames WHERE table_name = '"open"') AS equal`,
  );
  assert.equal(rows[0].equal, true);
});
