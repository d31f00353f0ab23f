// Every Arrow type through the handler into a table that it made, as PostgreSQL then shows it; in a real PostgreSQL
// and in PGlite alike.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { PGlite } from '@electric-sql/pglite';
import { createFrameHandler, pglite, postgres } from '../../dist/server/index.js';
import { arrow, frameOf, ticks } from './frames.mjs';
import { Cluster } from './postgres.mjs';
import { authorize, digestOf, frameRequest, read, stateRequest } from './wire.mjs';

const {
  Binary,
  Bool,
  DateDay,
  Decimal,
  Dictionary,
  Field,
  FixedSizeBinary,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  List,
  Null,
  Struct,
  TimeMicrosecond,
  TimestampMicrosecond,
  TimestampMillisecond,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
} = arrow;

const item = (type) => new Field('item', type, true);
/** Name: [Arrow type, values, what it is declared as, what PostgreSQL shows]. */
const TYPES = {
  flag: [new Bool(), [true, null], 'boolean', ['true', null]],
  tiny: [new Int8(), [-128, null], 'smallint', ['-128', null]],
  small: [new Int16(), [-32768, null], 'smallint', ['-32768', null]],
  byte: [new Uint8(), [255, null], 'smallint', ['255', null]],
  int: [new Int32(), [-2147483648, 7], 'integer', ['-2147483648', '7']],
  uint: [new Uint32(), [4294967295, null], 'bigint', ['4294967295', null]],
  big: [new Int64(), [-(2n ** 63n), 2n ** 53n + 1n], 'bigint', ['-9223372036854775808', '9007199254740993']],
  ubig: [new Uint64(), [2n ** 64n - 1n, 0n], 'numeric(20,0)', ['18446744073709551615', '0']],
  single: [new Float32(), [0.1, null], 'real', ['0.1', null]],
  double: [new Float64(), [0.1, NaN], 'double precision', ['0.1', 'NaN']],
  endless: [new Float64(), [-Infinity, -0], 'double precision', ['-Infinity', '-0']],
  text: [new Utf8(), ['', 'ä😀"\\\n'], 'text', ['', 'ä😀"\\\n']],
  word: [new Dictionary(new Utf8(), new Int32()), ['one', null], 'text', ['one', null]],
  bytes: [new Binary(), [Uint8Array.of(0, 255), new Uint8Array()], 'bytea', ['\\x00ff', '\\x']],
  four: [new FixedSizeBinary(4), [Uint8Array.of(1, 2, 3, 4), null], 'bytea', ['\\x01020304', null]],
  day: [new DateDay(), [new Date('1969-12-31'), null], 'date', ['1969-12-31', null]],
  clock: [
    new TimeMicrosecond(),
    [45_296_000_001n, 0n],
    'time without time zone',
    ['12:34:56.000001', '00:00:00'],
  ],
  local: [
    new TimestampMicrosecond(),
    [new Date('1999-12-31T23:59:59.999Z'), null],
    'timestamp without time zone',
    ['1999-12-31 23:59:59.999', null],
  ],
  moment: [
    new TimestampMillisecond('America/New_York'),
    [new Date('2026-01-02T03:04:05.678Z'), null],
    'timestamp with time zone',
    ['2026-01-02 03:04:05.678+00', null],
  ],
  list: [new List(item(new Int32())), [[1, null, 3], []], 'integer[]', ['{1,NULL,3}', '{}']],
  words: [new List(item(new Utf8())), [['a,b', ''], null], 'text[]', ['{"a,b",""}', null]],
  record: [
    new Struct([new Field('a', new Int64(), true), new Field('b', new Utf8(), true)]),
    [{ a: 2n ** 60n, b: null }, null],
    'jsonb',
    ['{"a": "1152921504606846976", "b": null}', null],
  ],
  table: [
    new List(item(new List(item(new Int8())))),
    [[[1], [2, 3]], null],
    'jsonb',
    ['[[1], [2, 3]]', null],
  ],
};

/** A decimal128(38, 9) by hand: apache-arrow takes no digits. */
function decimals() {
  const type = new Decimal(9, 38, 128);
  const data = new Uint32Array(8);
  // −1 unscaled is −0.000000001; the other is 12345678901234567890.123456789.
  data.fill(0xffffffff, 0, 4);
  let rest = 12345678901234567890123456789n;
  for (let i = 4; i < 8; i++, rest >>= 32n) data[i] = Number(rest & 0xffffffffn);
  return new arrow.Vector([arrow.makeData({ type, length: 2, data })]);
}

let cluster;
before(async () => (cluster = await Cluster.start({ fsync: 'off', timezone: 'UTC' })));
after(() => cluster?.stop());

/** A name that is a part of a COPY. */
const ODD = 'x FROM STDIN (FORMAT binary)';

const ENGINES = {
  PostgreSQL: () => {
    const pool = cluster.pool();
    return { engine: postgres(pool), query: async (text) => (await pool.query(text)).rows };
  },
  PGlite: async () => {
    const db = await PGlite.create();
    await db.query("SET timezone = 'UTC'");
    return {
      engine: pglite(db),
      query: async (text) => (await db.query(text)).rows,
      close: () => db.close(),
    };
  },
};

for (const [name, make] of Object.entries(ENGINES)) {
  describe(name, () => {
    let made, handler;
    before(async () => {
      made = await make();
      const tables = { everything: {}, ticks: {}, digits: {}, domains: {}, nulls: {}, [ODD]: {} };
      handler = createFrameHandler({ engine: made.engine, authorize, tables, schema: 'create' });
    });
    after(() => made?.close?.());
    const put = async (...args) => read(await handler(frameRequest(...args)));

    test('every type is declared and shown as it should be', async () => {
      const columns = Object.entries(TYPES).map(([name, [type, values]]) => [name, [type, values]]);
      const vectors = columns.map(([name, [type, values]]) => [name, arrow.vectorFromArray(values, type)]);
      const table = new arrow.Table(Object.fromEntries([...vectors, ['digits', decimals()]]));
      const answer = await put(randomUUID(), 1, 'everything', arrow.tableToIPC(table, 'stream'));
      assert.deepEqual([answer.status, answer.rows], [201, 2], JSON.stringify(answer));
      const declared = await made.query(
        `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = 'everything'::regclass AND attnum > 0`,
      );
      const names = [...Object.keys(TYPES), 'digits'];
      const shown = await made.query(
        `SELECT ${names.map((name) => `"${name}"::text`).join(', ')} FROM everything`,
      );
      for (const [column, [, , type, values]] of Object.entries(TYPES)) {
        assert.equal(declared.find(({ name }) => name === column)?.type, type, column);
        assert.deepEqual(
          shown.map((row) => row[column]),
          values,
          column,
        );
      }
      assert.equal(declared.find(({ name }) => name === 'digits').type, 'numeric(38,9)');
      assert.deepEqual(
        shown.map(({ digits }) => digits),
        ['-0.000000001', '12345678901234567890.123456789'],
      );
      const [{ comment }] = await made.query(
        `SELECT col_description('everything'::regclass, attnum) AS comment FROM pg_attribute
        WHERE attrelid = 'everything'::regclass AND attname = 'moment'`,
      );
      assert.equal(comment, 'timestamp[ms, America/New_York]');
    });

    test('numerics of more digits than a decimal has, domains over domains, a name like a piece of SQL', async () => {
      await made.query('CREATE TABLE digits (a numeric(100,90), b numeric(1000,500), c numeric(3,1))');
      const row = (a, b, c) => {
        const cells = Object.entries({ a, b, c });
        return frameOf(Object.fromEntries(cells.map(([name, n]) => [name, [new Int64(), [n]]])));
      };
      const taken = await put(randomUUID(), 1, 'digits', row(1n, 2n ** 62n, 99n));
      assert.equal(taken.status, 201, JSON.stringify(taken));
      const [shown] = await made.query('SELECT a = 1 AS a, b = 4611686018427387904 AS b, c FROM digits');
      assert.deepEqual(shown, { a: true, b: true, c: '99.0' });
      for (const [frame, column] of [
        [row(10n ** 10n, 0n, 0n), 'a'],
        [row(0n, 0n, 100n), 'c'],
      ]) {
        const answer = await put(randomUUID(), 1, 'digits', frame);
        assert.deepEqual([answer.status, answer.reason, answer.column], [422, 'VALUE_OUT_OF_RANGE', column]);
      }
      await made.query('CREATE DOMAIN short AS varchar(3)');
      await made.query("CREATE DOMAIN shorter AS short CHECK (value <> 'no')");
      await made.query('CREATE DOMAIN shortest AS shorter');
      await made.query('CREATE TABLE domains (one short, two shorter, three shortest)');
      const words = (...list) =>
        frameOf(
          Object.fromEntries(['one', 'two', 'three'].map((name, i) => [name, [new Utf8(), [list[i]]]])),
        );
      assert.equal((await put(randomUUID(), 1, 'domains', words('abc', 'abc', 'abc'))).status, 201);
      const long = await put(randomUUID(), 1, 'domains', words('abc', 'abc', 'abcd'));
      assert.deepEqual([long.status, long.reason, long.column], [422, 'VALUE_OUT_OF_RANGE', 'three']);
      const no = await put(randomUUID(), 1, 'domains', words('abc', 'abc', 'no'));
      assert.deepEqual([no.status, no.reason], [422, 'CONSTRAINT']);
      const odd = await put(randomUUID(), 1, ODD, frameOf({ [ODD]: [new Int32(), [7]] }));
      assert.equal(odd.status, 201, JSON.stringify(odd));
      assert.deepEqual(await made.query(`SELECT * FROM "${ODD}"`), [{ [ODD]: 7 }]);
    });

    test('a column of NULLs alone waits for a frame that has values', async () => {
      const stream = randomUUID();
      const nothing = [new Null(), [null]];
      const one = [new Int32(), [1]];
      const frames = [
        { a: one, b: nothing },
        { a: one, b: [new Int32(), [5]] },
        { a: one, b: nothing },
        // Lists of nothing say as little.
        { a: one, l: [new List(item(new Null())), [[]]] },
        { a: one, l: [new List(item(new Int32())), [[7]]] },
        { a: one, l: [new List(item(new Null())), [[]]] },
      ];
      for (const [i, columns] of frames.entries()) {
        const answer = await put(stream, i + 1, 'nulls', frameOf(columns));
        assert.equal(answer.status, 201, JSON.stringify(answer));
      }
      assert.deepEqual(await made.query('SELECT b FROM nulls ORDER BY b'), [
        { b: 5 },
        ...Array(5).fill({ b: null }),
      ]);
      assert.deepEqual(await made.query('SELECT l::text AS l FROM nulls WHERE l IS NOT NULL ORDER BY l'), [
        { l: '{7}' },
        { l: '{}' },
      ]);
    });

    test('a frame is written once; a column comes later; a bad frame leaves nothing', async () => {
      const stream = randomUUID();
      const frames = [1, 2].map((seq) => ticks(9, seq));
      for (const status of [201, 200])
        assert.equal((await put(stream, 1, 'ticks', frames[0])).status, status);
      const wider = frameOf({ item: [new Int32(), [2]], later: [new Utf8(), ['new']] });
      assert.equal((await put(stream, 2, 'ticks', wider)).status, 201);
      const bad = await put(stream, 3, 'ticks', frameOf({ note: [new Utf8(), ['fine', 'a\0b']] }));
      assert.deepEqual([bad.status, bad.reason, bad.row], [422, 'NUL_IN_TEXT', 1]);
      const type = await put(stream, 3, 'ticks', frameOf({ item: [new Utf8(), ['x']] }));
      assert.deepEqual([type.status, type.reason, type.column], [422, 'SCHEMA_MISMATCH', 'item']);
      assert.equal((await put(stream, 4, 'ticks', frames[1])).code, 'SEQ_GAP');
      const [{ rows, later }] = await made.query(
        'SELECT count(*)::int AS rows, count(later)::int AS later FROM ticks',
      );
      assert.deepEqual([rows, later], [101, 1]);
      const state = await read(await handler(stateRequest(stream)));
      assert.deepEqual(state, { status: 200, last_seq: 2, last_digest: digestOf(wider) });
    });
  });
}
