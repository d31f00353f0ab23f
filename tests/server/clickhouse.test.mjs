// ClickHouse, the real engine: chdb, which is ClickHouse as a library, behind a small HTTP front. What is shown is what
// has no transaction to lean on: that replays, twins, other cuts and a server that dies half-way add nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { clickhouse, createFrameHandler } from '../../dist/server/index.js';
import { CHDB_PYTHON } from '../../scripts/toolchain.mjs';
import { arrow, frameOf, ticks } from './frames.mjs';
import { authorize, digestOf, frameRequest, read, skipRequest, stateRequest } from './wire.mjs';

const why = existsSync(CHDB_PYTHON) ? false : 'no chdb in .cache: npm run setup says why';

describe('ClickHouse', { skip: why }, () => {
  let folder, front, url, handler;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'framelock-chdb-'));
    const script = fileURLToPath(new URL('chdb_front.py', import.meta.url));
    front = spawn(CHDB_PYTHON, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
    const port = await new Promise((resolve, reject) => {
      front.stdout.once('data', (line) => resolve(Number(line)));
      front.once('exit', (code) => reject(new Error(`the front ended with ${code}`)));
    });
    url = `http://127.0.0.1:${port}/`;
    await query('CREATE DATABASE IF NOT EXISTS sync');
    handler = serve();
  });
  after(() => {
    front?.stdin.end();
    front?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  const serve = (fetch = globalThis.fetch) =>
    createFrameHandler({
      engine: clickhouse({ url, database: 'sync', fetch }),
      authorize,
      tables: { ticks: {}, strict: { schema: 'strict' }, typed: {}, zoned: {}, nulls: {} },
      schema: 'create',
      onError: () => undefined,
    });
  const query = async (text) => {
    const address = new URL(url);
    if (!text.startsWith('CREATE DATABASE')) address.searchParams.set('database', 'sync');
    const response = await fetch(address, { method: 'POST', body: text });
    const said = await response.text();
    assert.equal(response.status, 200, said);
    return said.trim();
  };
  const put = async (...args) => read(await handler(frameRequest(...args)));
  const rowsOf = async (item) => Number(await query(`SELECT count() FROM ticks WHERE item = ${item}`));
  const state = async (stream) => read(await handler(stateRequest(stream)));

  test('a frame is written once: replays, gaps, forks, skips', async () => {
    const stream = randomUUID();
    const frames = [1, 2, 3].map((seq) => ticks(1, 100 + seq));
    assert.deepEqual(await state(stream), { status: 200, last_seq: 0, last_digest: null });
    assert.equal((await put(stream, 2, 'ticks', frames[1])).code, 'SEQ_GAP');
    for (const status of [201, 200, 200]) {
      const answer = await put(stream, 1, 'ticks', frames[0]);
      assert.deepEqual(
        [answer.status, answer.last_digest],
        [status, digestOf(frames[0])],
        JSON.stringify(answer),
      );
    }
    assert.equal((await put(stream, 1, 'ticks', frames[1])).code, 'STREAM_FORKED');
    assert.equal((await put(stream, 2, 'ticks', frames[1], { token: 'bob' })).code, 'FORBIDDEN');
    const digest = digestOf('given up');
    assert.equal(
      (await handler(skipRequest(stream, 2, 'ticks', { digest, code: 'CONSTRAINT' }))).status,
      201,
    );
    assert.equal((await put(stream, 3, 'ticks', frames[2])).status, 201);
    const since = async (seq) =>
      (await read(await handler(stateRequest(stream, { search: { since: seq } })))).skipped;
    assert.deepEqual(await since(1), [{ seq: 2, digest, code: 'CONSTRAINT' }]);
    assert.deepEqual(await since(2), []);
    assert.deepEqual([await rowsOf(101), await rowsOf(102), await rowsOf(103)], [100, 0, 100]);
  });

  test('twins at once add nothing', async () => {
    const stream = randomUUID();
    const frame = ticks(2, 200);
    const answers = await Promise.all(Array.from({ length: 4 }, () => put(stream, 1, 'ticks', frame)));
    assert.ok(
      answers.every(({ status }) => status === 200 || status === 201),
      JSON.stringify(answers),
    );
    assert.equal(await rowsOf(200), 100);
  });

  /** A fetch that fails when a test says so; `after`: what was asked is done, and nobody hears of it. */
  const breaking = (match, after) => async (address, init) => {
    const hit = match(address.searchParams.get('query') ?? String(init.body));
    if (hit && !after) throw new Error('the server died');
    const response = await fetch(address, init);
    if (hit) throw new Error('the server died');
    return response;
  };
  const isInsert = (text) => text.includes('FORMAT ArrowStream');
  const isRecord = (text) => text.startsWith('INSERT INTO framelock_frames');

  test('a server that dies between the rows and the record: whoever comes next finds the rows', async () => {
    for (const [match, after] of [
      [isInsert, true],
      [isRecord, false],
      [isRecord, true],
    ]) {
      const stream = randomUUID();
      const item = Math.floor(1000 + Math.random() * 1e6);
      const frame = ticks(3, item);
      const dying = serve(breaking(match, after));
      assert.equal((await dying(frameRequest(stream, 1, 'ticks', frame))).status, 503);
      assert.equal(await rowsOf(item), 100);
      assert.equal((await put(stream, 1, 'ticks', frame)).status, 200);
      assert.deepEqual([await rowsOf(item), (await state(stream)).last_seq], [100, 1]);
    }
  });

  test('cut anew after such a death: nothing is written twice, and nothing is lost', async () => {
    const stream = randomUUID();
    const [one, two] = [ticks(4, 401), ticks(4, 402)];
    const item = { headers: { 'Framelock-Item-Digest': digestOf(two) } };
    const tables = [one, two].map((bytes) => arrow.tableFromIPC(bytes));
    const both = arrow.tableToIPC(tables[0].concat(tables[1]), 'stream');
    const dying = serve(breaking(isInsert, true));
    assert.equal((await dying(frameRequest(stream, '1-2', 'ticks', both, item))).status, 503);
    // The first alone: it is there, with the second.
    const answer = await put(stream, 1, 'ticks', one);
    assert.deepEqual([answer.status, answer.last_seq, answer.last_digest], [200, 2, digestOf(two)]);
    assert.equal((await put(stream, 2, 'ticks', two)).status, 200);
    assert.deepEqual([await rowsOf(401), await rowsOf(402)], [100, 100]);
  });

  test('two servers race with two cuts: the table takes one of them, and both say which', async () => {
    const stream = randomUUID();
    const [one, two] = [ticks(5, 501), ticks(5, 502)];
    const item = { headers: { 'Framelock-Item-Digest': digestOf(two) } };
    const tables = [one, two].map((bytes) => arrow.tableFromIPC(bytes));
    const both = arrow.tableToIPC(tables[0].concat(tables[1]), 'stream');
    // The slow one has looked and found nothing when the other writes.
    let go;
    const written = new Promise((resolve) => (go = resolve));
    const slow = serve(async (address, init) => {
      if (isInsert(address.searchParams.get('query') ?? '')) await written;
      return fetch(address, init);
    });
    const late = slow(frameRequest(stream, 1, 'ticks', one)).then(read);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const first = await put(stream, '1-2', 'ticks', both, item);
    go();
    assert.deepEqual([first.status, (await late).status, (await late).last_seq], [201, 200, 2]);
    assert.deepEqual([await rowsOf(501), await rowsOf(502)], [100, 100]);
  });

  test('types, and what is refused before ClickHouse would bend it', async () => {
    const { Field, Float64, Int32, Int64, List, TimestampMillisecond, Utf8 } = arrow;
    const stream = randomUUID();
    const frame = frameOf({
      big: [new Int64(), [2n ** 53n + 1n, null]],
      real: [new Float64(), [0.1, -Infinity]],
      text: [new Utf8(), ['a\0b', '']],
      at: [new TimestampMillisecond('UTC'), [new Date('2026-01-02T03:04:05.678Z'), null]],
      list: [new List(new Field('item', new Int32(), true)), [[1, 2], []]],
    });
    const answer = await put(stream, 1, 'typed', frame);
    assert.equal(answer.status, 201, JSON.stringify(answer));
    assert.equal(
      await query('SELECT big, real, hex(text), at, list FROM typed ORDER BY big NULLS LAST FORMAT TSV'),
      '9007199254740993\t0.1\t610062\t2026-01-02 03:04:05.678\t[1,2]\n\\N\t-inf\t\t\\N\t[]',
    );
    const moment = frameOf({ at: [new TimestampMillisecond('UTC'), [new Date('1899-12-31T23:59:59Z')]] });
    const early = await put(stream, 2, 'typed', moment);
    assert.deepEqual([early.status, early.reason, early.row], [422, 'VALUE_OUT_OF_RANGE', 0]);
    await query('CREATE TABLE strict (n Int32, _framelock String) ENGINE = MergeTree ORDER BY n');
    const wide = await put(stream, 2, 'strict', frameOf({ n: [new Int64(), [2n ** 32n + 1n]] }));
    assert.deepEqual([wide.status, wide.reason, wide.column], [422, 'SCHEMA_MISMATCH', 'n']);
    const nothing = await put(stream, 2, 'strict', frameOf({ n: [new Int32(), [1, null]] }));
    assert.deepEqual([nothing.status, nothing.code], [422, 'REJECTED'], JSON.stringify(nothing));
    assert.equal(await query('SELECT count() FROM strict'), '0');
  });

  test('what ClickHouse would bend or never take is a rejection, or goes in as what it has', async () => {
    const { Field, Int32, List, TimestampMillisecond, Utf8 } = arrow;
    const list = (type) => new List(new Field('item', type, true));
    const moment = (zone) => new TimestampMillisecond(zone);
    const at = new Date('2026-01-02T03:04:05.678Z');
    for (const [columns, reason, row] of [
      // ClickHouse has no NULL for a list: it stores an empty one.
      [{ l: [list(new Int32()), [[1], null]] }, 'VALUE_OUT_OF_RANGE', 1],
      [{ m: [list(moment('UTC')), [[at], [new Date('1899-12-31T00:00:00Z')]]] }, 'VALUE_OUT_OF_RANGE', 1],
      [{ _framelock: [new Utf8(), ['x']], n: [new Int32(), [1]] }, 'INVALID_NAME', undefined],
      [{ 'a\0b': [new Int32(), [1]] }, 'INVALID_NAME', undefined],
      [{ '': [new Int32(), [1]] }, 'INVALID_NAME', undefined],
      [{ z: [moment('UTC\0'), [at]] }, 'NUL_IN_TEXT', undefined],
    ]) {
      const answer = await put(randomUUID(), 1, 'typed', frameOf(columns));
      const wanted = [422, reason, Object.keys(columns)[0], row];
      assert.deepEqual([answer.status, answer.reason, answer.column, answer.row], wanted, reason);
    }
    const zones = { offset: '+02:00', unknown: 'Mars/Base', quoted: "a'b\\c", known: 'Europe/Berlin' };
    const zoned = Object.entries(zones).map(([name, zone]) => [name, [moment(zone), [at]]]);
    const lists = { list: [list(moment('Mars/Base')), [[at]]] };
    const frame = frameOf({ ...Object.fromEntries(zoned), ...lists });
    const answer = await put(randomUUID(), 1, 'zoned', frame);
    assert.equal(answer.status, 201, JSON.stringify(answer));
    for (const [name, zone] of Object.entries(zones)) {
      assert.equal(
        await query(`SELECT toUnixTimestamp64Milli(${name}) FROM zoned`),
        String(at.getTime()),
        name,
      );
      const column = `FROM system.columns WHERE database = 'sync' AND table = 'zoned' AND name = '${name}'`;
      assert.equal(await query(`SELECT type ${column} FORMAT TSVRaw`), "Nullable(DateTime64(3, 'UTC'))");
      assert.equal(await query(`SELECT comment ${column} FORMAT TSVRaw`), `timestamp[ms, ${zone}]`);
    }
  });

  test('a column of NULLs alone waits for a frame that has values', async () => {
    const { Int32, Null } = arrow;
    const stream = randomUUID();
    const nothing = [new Null(), [null]];
    for (const [i, columns] of [
      { b: nothing },
      { a: [new Int32(), [1]], b: nothing },
      { a: [new Int32(), [2]], b: [new Int32(), [5]] },
      { a: [new Int32(), [3]], b: nothing },
    ].entries()) {
      const answer = await put(stream, i + 1, 'nulls', frameOf(columns));
      assert.equal(answer.status, 201, `${i} ${JSON.stringify(answer)}`);
    }
    const rows = await query('SELECT a, b FROM nulls ORDER BY a NULLS FIRST FORMAT TSV');
    assert.equal(rows, '\\N\t\\N\n1\t\\N\n2\t5\n3\t\\N');
  });
});
