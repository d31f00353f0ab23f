// ClickHouse, the real engine: chdb, which is ClickHouse as a library, behind a small HTTP front. What is shown is what
// has no transaction to lean on: that replays, twins, other cuts and a server that dies half-way add nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { clickhouse, clickhouseBooksSql, createFrameHandler } from '../../dist/server/index.js';
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

  const TABLES =
    'ticks typed zoned nulls words runs seen altered given lists collapsing computed pairs owned';
  const serve = (fetch = globalThis.fetch, options = {}) =>
    createFrameHandler({
      engine: clickhouse({ url, database: 'sync', fetch }),
      authorize,
      tables: {
        ...Object.fromEntries(TABLES.split(' ').map((name) => [name, {}])),
        strict: { schema: 'strict' },
      },
      schema: 'create',
      onError: () => undefined,
      ...options,
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

  /** A frame of batches that have each a dictionary of their own, of one column `word`. */
  const dictionaries = (values, ...batches) => {
    const type = new arrow.Dictionary(values, new arrow.Int8(), 7);
    const schema = new arrow.Schema([new arrow.Field('word', type, true)]);
    const made = batches.map(([words, keys]) => {
      const [length, data] = [keys.length, Int8Array.from(keys)];
      const column = arrow.makeData({ type, length, data, dictionary: arrow.vectorFromArray(words, values) });
      const struct = new arrow.Struct(schema.fields);
      return new arrow.RecordBatch(schema, arrow.makeData({ type: struct, length, children: [column] }));
    });
    return arrow.tableToIPC(new arrow.Table(schema, made), 'stream');
  };

  test('dictionaries, one for each of the frames that were sent together, and runs go in as their values', async () => {
    const { TimestampMillisecond, Utf8 } = arrow;
    const keys = Array.from({ length: 100 }, (_, i) => i);
    const words = (batch) => [keys.map((i) => `${batch}.${i}`), keys];
    const stream = randomUUID();
    for (const [i, frame] of [
      // The same words again.
      dictionaries(
        new Utf8(),
        [
          ['AAPL', 'MSFT'],
          [0, 1, 0],
        ],
        [
          ['MSFT', 'GOOG'],
          [1, 0],
        ],
      ),
      // More of them than the keys can count.
      dictionaries(new Utf8(), words(1), words(2), words(3)),
      // One word twice.
      dictionaries(new Utf8(), [
        ['x', 'x', null],
        [0, 1, 2],
      ]),
    ].entries()) {
      const answer = await put(stream, i + 1, 'words', frame);
      assert.equal(answer.status, 201, `${i} ${JSON.stringify(answer)}`);
    }
    const found = await query(
      "SELECT groupArray(word) FROM (SELECT word FROM words WHERE word NOT LIKE '%.%' ORDER BY _framelock) FORMAT TSV",
    );
    assert.equal(found, "['AAPL','MSFT','AAPL','GOOG','MSFT','x','x']");
    assert.equal(await query("SELECT uniqExact(word) FROM words WHERE word LIKE '%.%'"), '300');
    assert.equal(await query('SELECT count() FROM words WHERE word IS NULL'), '1');
    const runs = readFileSync(new URL('fixtures/runs.arrow', import.meta.url));
    assert.equal((await put(randomUUID(), 1, 'runs', runs)).status, 201);
    assert.equal(
      await query("SELECT groupArray(ifNull(c, '-')) FROM (SELECT * FROM runs ORDER BY i) FORMAT TSV"),
      "['p','p','-','q','q','q','q']",
    );
    const early = dictionaries(new TimestampMillisecond(), [[new Date('1899-12-31')], [0]]);
    const refused = await put(randomUUID(), 1, 'typed', early);
    assert.deepEqual([refused.reason, refused.row], ['VALUE_OUT_OF_RANGE', 0]);
    const long = dictionaries(new Utf8(), [['x'.repeat(1 << 20)], Array(200).fill(0)]);
    assert.equal((await put(randomUUID(), 1, 'words', long)).code, 'TOO_LARGE');
  });

  test('a view that fails behind the table is no rejection: the rows are there, and the operator is told', async () => {
    const told = [];
    const tell = serve(globalThis.fetch, { onError: (error) => told.push(error) });
    const stream = randomUUID();
    const rows = (values) => frameOf({ k: [new arrow.Int32(), values] });
    assert.equal((await read(await tell(frameRequest(stream, 1, 'seen', rows([1]))))).status, 201);
    await query('CREATE TABLE sums (k Int32, CONSTRAINT positive CHECK k > 0) ENGINE = MergeTree ORDER BY k');
    const view = (k) => query(`CREATE MATERIALIZED VIEW view TO sums AS SELECT ${k} AS k FROM seen`);
    for (const [i, [k, frame, code]] of [
      ['CAST(k AS Int32)', rows([null, 100]), 349],
      ['assumeNotNull(k)', rows([-5, 101]), 469],
    ].entries()) {
      await view(k);
      const before = Number(await query('SELECT count() FROM seen'));
      for (const status of [201, 200]) {
        const answer = await read(await tell(frameRequest(stream, i + 2, 'seen', frame)));
        assert.equal(answer.status, status, JSON.stringify(answer));
        assert.equal(Number(await query('SELECT count() FROM seen')), before + 2);
      }
      assert.equal(told.length, 1);
      assert.match(told.pop().message, new RegExp(`Code: ${code}`));
      await query('DROP TABLE view');
    }
    assert.equal((await state(stream)).last_seq, 3);
  });

  test('rows that are there count, though the table has changed since or the browser gives them up', async () => {
    const frame = frameOf({ q: [new arrow.Int32(), [7]] });
    for (const again of [
      (stream) => frameRequest(stream, 1, 'altered', frame),
      (stream) => skipRequest(stream, 1, 'altered', { digest: digestOf(frame), code: 'SCHEMA_MISMATCH' }),
    ]) {
      const stream = randomUUID();
      await query('DROP TABLE IF EXISTS altered');
      const dying = serve(breaking(isInsert, true));
      assert.equal((await dying(frameRequest(stream, 1, 'altered', frame))).status, 503);
      await query('ALTER TABLE altered MODIFY COLUMN q Nullable(String)');
      assert.equal((await handler(again(stream))).status, 200);
      const record = `FROM framelock_frames WHERE stream = '${stream}'`;
      assert.equal(await query(`SELECT rows, skipped = '' ${record} FORMAT TSV`), '1\t1');
      assert.equal(await query('SELECT count() FROM altered'), '1');
    }
  });

  test('a stream whose rows have no record yet is nobody else’s', async () => {
    const stream = randomUUID();
    const [mine, other] = [7, 8].map((n) => frameOf({ n: [new arrow.Int32(), [n]] }));
    const dying = serve(breaking(isRecord, false));
    assert.equal((await dying(frameRequest(stream, 1, 'owned', mine))).status, 503);
    const skip = { digest: digestOf(mine), code: 'CONSTRAINT' };
    for (const request of [
      frameRequest(stream, 1, 'owned', other, { token: 'mallory' }),
      frameRequest(stream, 1, 'owned', mine, { token: 'mallory' }),
      skipRequest(stream, 1, 'owned', skip, { token: 'mallory' }),
    ]) {
      assert.equal((await read(await handler(request))).code, 'FORBIDDEN');
    }
    assert.equal((await put(stream, 1, 'owned', mine)).status, 200);
    assert.equal(await query('SELECT groupArray(n) FROM owned'), '[7]');
  });

  test('a table that merges rows has all of a frame to begin with', async () => {
    await query(`CREATE TABLE collapsing (k Int32, sign Int8, _framelock String)
      ENGINE = CollapsingMergeTree(sign) ORDER BY k SETTINGS non_replicated_deduplication_window = 100`);
    const frame = frameOf({ k: [new arrow.Int32(), [1, 1]], sign: [new arrow.Int8(), [1, -1]] });
    const stream = randomUUID();
    for (const status of [201, 200]) assert.equal((await put(stream, 1, 'collapsing', frame)).status, status);
  });

  test('columns that the table computes, names that ClickHouse has for itself, lists of different lengths', async () => {
    const { Field, Int32, List } = arrow;
    await query(`CREATE TABLE computed (k Int32, m Int32 MATERIALIZED k * 2, a Int32 ALIAS k, d Int32 DEFAULT 5,
      _framelock String) ENGINE = MergeTree ORDER BY k`);
    const of = (...names) => frameOf(Object.fromEntries(names.map((name) => [name, [new Int32(), [1]]])));
    for (const [column, reason] of [
      ['m', 'SCHEMA_MISMATCH'],
      ['a', 'SCHEMA_MISMATCH'],
      ['_row_exists', 'INVALID_NAME'],
      ['_block_number', 'INVALID_NAME'],
      ['_block_offset', 'INVALID_NAME'],
    ]) {
      const answer = await put(randomUUID(), 1, 'computed', of('k', column));
      assert.deepEqual([answer.status, answer.reason, answer.column], [422, reason, column]);
    }
    assert.equal((await put(randomUUID(), 1, 'computed', of('k', 'd'))).status, 201);
    await query(
      'CREATE TABLE pairs (n Nested(a Int32, b Int32), _framelock String) ENGINE = MergeTree ORDER BY ()',
    );
    const list = new List(new Field('item', new Int32(), false));
    const pairs = (a, b) => frameOf({ 'n.a': [list, [a]], 'n.b': [list, [b]] });
    const uneven = await put(randomUUID(), 1, 'pairs', pairs([1, 2], [1]));
    assert.deepEqual([uneven.status, uneven.reason], [422, 'CONSTRAINT']);
    assert.equal((await put(randomUUID(), 1, 'pairs', pairs([1, 2], [3, 4]))).status, 201);
  });

  test('lists of nothing do not decide a column’s type', async () => {
    const { Field, Int32, List, Null } = arrow;
    const list = (type) => new List(new Field('item', type, true));
    const stream = randomUUID();
    for (const [i, columns] of [
      { n: [new Int32(), [1]], l: [list(new Null()), [[]]] },
      { n: [new Int32(), [2]], l: [list(new Int32()), [[5]]] },
      { n: [new Int32(), [3]], l: [list(new Null()), [[]]] },
    ].entries()) {
      const answer = await put(stream, i + 1, 'lists', frameOf(columns));
      assert.equal(answer.status, 201, `${i} ${JSON.stringify(answer)}`);
    }
    assert.equal(await query('SELECT groupArray(l) FROM (SELECT l FROM lists ORDER BY n)'), '[[],[5],[]]');
  });

  test('the books: made by somebody else, and made anew when they were dropped', async () => {
    // A user who may not create tables.
    const denied = async (address, init) =>
      String(init.body).startsWith('CREATE')
        ? new Response('Code: 497. Not enough privileges', { status: 403 })
        : fetch(address, init);
    const ticked = (by, stream) => by(frameRequest(stream, 1, 'given', ticks(6, 600))).then(read);
    assert.equal((await ticked(handler, randomUUID())).status, 201);
    await query('DROP TABLE framelock_frames');
    assert.equal((await ticked(serve(denied), randomUUID())).status, 503);
    await query(clickhouseBooksSql());
    assert.equal((await ticked(serve(denied), randomUUID())).status, 201);
    // While a server runs that has seen them.
    await query('DROP TABLE framelock_frames');
    const stream = randomUUID();
    assert.equal((await ticked(handler, stream)).status, 503);
    assert.equal((await ticked(handler, stream)).status, 201);
  });
});
