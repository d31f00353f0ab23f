// Values in and out: parameters of every kind, row objects, columns, streams, and frames given as plain JavaScript in
// every mode.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as flechette from '@uwdata/flechette';
import {
  Binary,
  tableFromArrays,
  tableFromIPC,
  tableToIPC,
  TimestampMillisecond,
  vectorFromArray,
} from 'apache-arrow';
import { inBrowsers } from './harness.mjs';

const BIG = 2n ** 53n + 1n;

inBrowsers((context) => {
  let tab;
  /** Runs `fn(db, ...args)` in the page. */
  const run = (fn, ...args) => tab.run(`async (...args) => (${fn})(db, ...args)`, ...args);
  const rejects = async (promise, code) => {
    const error = await promise.then(
      (value) => assert.fail(`it gave ${JSON.stringify(value)}, not ${code}`),
      (error) => error,
    );
    assert.equal(error.code, code, error.message);
    return error;
  };

  before(async () => {
    tab = await context.browser.newTab();
    await tab.run(async () => void (globalThis.db = await framelock.openDatabase('values')));
  });

  test('parameters of every kind, by position and by name, arrive as SQLite values', async () => {
    const rows = await run((db) =>
      db.query(
        `SELECT typeof(a) || ' ' || quote(a) AS stored FROM (
           SELECT ? AS a UNION ALL SELECT ? UNION ALL SELECT ? UNION ALL SELECT ? UNION ALL SELECT ?
           UNION ALL SELECT ? UNION ALL SELECT ? UNION ALL SELECT ? UNION ALL SELECT ? UNION ALL SELECT ?
           UNION ALL SELECT ?)`,
        [
          null,
          1,
          -0.5,
          2n ** 63n - 1n,
          -(2n ** 63n),
          true,
          false,
          "it's\u{1f600}",
          new Uint8Array([0, 255]),
          new Uint8Array().buffer,
          new Date(1_700_000_000_123),
        ],
      ),
    );
    assert.deepEqual(
      rows.map(({ stored }) => stored),
      [
        'null NULL',
        'integer 1',
        'real -0.5',
        'integer 9223372036854775807',
        'integer -9223372036854775808',
        'integer 1',
        'integer 0',
        "text 'it''s\u{1f600}'",
        "blob X'00FF'",
        "blob X''",
        'integer 1700000000123',
      ],
    );
    const named = await run((db) =>
      db.query('SELECT :a AS a, @b AS b, $c AS c, :a AS again', { a: 1, b: 'two', c: 3n }),
    );
    assert.deepEqual(named, [{ a: 1, b: 'two', c: 3, again: 1 }]);
    const signed = await run((db) => db.query('SELECT :a AS a, $b AS b', { ':a': 1, $b: 2 }));
    assert.deepEqual(signed, [{ a: 1, b: 2 }]);
  });

  test('a text with U+0000 and an unpaired BOM, in and out', async () => {
    const rows = await run((db) => db.query('SELECT ? AS a, length(?1) AS n', ['a\0b\ufeff']).catch(String));
    assert.deepEqual(rows[0].a, 'a\0b\ufeff');
  });

  test('parameters that do not fit are INVALID_ARGUMENT', async () => {
    const codes = await run(async (db) => {
      const wrong = [
        ['SELECT ?', []],
        ['SELECT ?', [1, 2]],
        ['SELECT 1', [1]],
        ['SELECT :a', {}],
        ['SELECT :a', { b: 1 }],
        ['SELECT :a', { a: 1, b: 1 }],
        ['SELECT ?', [undefined]],
        ['SELECT ?', [{}]],
        ['SELECT ?', [[1]]],
        ['SELECT ?', [Symbol('s')]],
        ['SELECT ?', [() => {}]],
        ['SELECT ?', [2n ** 63n]],
        ['SELECT ?', [-(2n ** 63n) - 1n]],
        ['SELECT ?', [new Date(NaN)]],
        ['SELECT ?', ['\ud800']],
        ['SELECT ?', [new Int32Array(1)]],
        ['SELECT ?', 'text'],
        ['SELECT ?', 1],
        ['SELECT 1; SELECT ?', [1]],
        ['SELECT 1', [], { int64: 'text' }],
        ['SELECT 1', [], { dates: 1 }],
        ['SELECT 1', [], { timeoutMs: -1 }],
        ['SELECT 1', [], { unknown: 1 }],
        [1],
        [undefined],
        ["SELECT '\ud800'"],
      ];
      const codes = [];
      for (const args of wrong) {
        const code = await db.query(...args).then(JSON.stringify, ({ code }) => code);
        if (code !== 'INVALID_ARGUMENT') codes.push([String(args[0]), code]);
      }
      return codes;
    });
    assert.deepEqual(codes, []);
  });

  test('int64 is a bigint whatever its size, and a number when asked for and safe', async () => {
    const frame = tableToIPC(
      tableFromArrays({
        small: BigInt64Array.of(1n, 2n),
        big: BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n)),
        unsigned: BigUint64Array.of(0n, 2n ** 63n - 1n),
        int: Int32Array.of(1, 2),
      }),
    );
    await run((db, frame) => db.appendFrame('ints', frame), frame);
    const rows = await run((db) => db.query('SELECT * FROM ints'));
    assert.deepEqual(rows[0], { small: 1n, big: BIG, unsigned: 0n, int: 1 });
    assert.deepEqual(rows[1], { small: 2n, big: -(2n ** 63n), unsigned: 2n ** 63n - 1n, int: 2 });
    const numbers = await run((db) => db.query('SELECT small, int FROM ints', [], { int64: 'number' }));
    assert.deepEqual(numbers, [
      { small: 1, int: 1 },
      { small: 2, int: 2 },
    ]);
    const unsafe = run((db) => db.query('SELECT small, big FROM ints', [], { int64: 'number' }));
    const error = await unsafe.then(
      () => assert.fail('an unsafe number'),
      (error) => error,
    );
    assert.deepEqual([error.code, error.column, error.row], ['LOSSY_VALUE', 'big', 0]);
    // Without a catalogue type: a number where that is exact, else a bigint.
    const [expressions] = await run((db) =>
      db.query('SELECT count(*) AS n, max(big) AS most, sum(small) AS sum, 1.5 AS real FROM ints'),
    );
    assert.deepEqual(expressions, { n: 2, most: BIG, sum: 3, real: 1.5 });
    const [safe] = await run((db) => db.query('SELECT 9007199254740991 AS a, 9007199254740992 AS b'));
    assert.deepEqual(safe, { a: 2 ** 53 - 1, b: 2n ** 53n });
  });

  test('booleans, times, blobs, texts and NULL as row objects; dates when asked for', async () => {
    const times = [0, 1_700_000_000_123, null];
    const frame = tableToIPC(
      tableFromArrays({
        flag: [true, false, null],
        text: ['', 'ä\u{1f600}', null],
        blob: vectorFromArray([new Uint8Array([1, 2]), new Uint8Array(), null], new Binary()),
        at: vectorFromArray(times, new TimestampMillisecond()),
        real: [1.5, -0.25, null],
      }),
    );
    await run((db, frame) => db.appendFrame('kinds', frame), frame);
    const expected = [
      { flag: true, text: '', blob: Uint8Array.of(1, 2), real: 1.5 },
      { flag: false, text: 'ä\u{1f600}', blob: new Uint8Array(), real: -0.25 },
      { flag: null, text: null, blob: null, real: null },
    ];
    const rows = await run((db) => db.query('SELECT flag, text, blob, real FROM kinds'));
    assert.deepEqual(rows, expected);
    const stored = await run((db) => db.query('SELECT at FROM kinds'));
    assert.deepEqual(
      stored,
      times.map((at) => ({ at })),
    );
    const dates = await run((db) => db.query('SELECT at FROM kinds', [], { dates: true }));
    assert.deepEqual(
      dates,
      times.map((at) => ({ at: at === null ? null : new Date(at) })),
    );
  });

  test('duplicate and hostile column names of a result', async () => {
    const [row] = await run((db) => db.query('SELECT 1 AS a, 2 AS a, 3 AS "__proto__", 4 AS "", 5 AS "x y"'));
    assert.deepEqual(Object.entries(row), [
      ['a', 2],
      ['__proto__', 3],
      ['', 4],
      ['x y', 5],
    ]);
    const columns = await run((db) => db.queryColumns('SELECT 1 AS a, 2 AS a, 3 AS "__proto__"'));
    assert.deepEqual(Object.keys(columns), ['a', '__proto__']);
    assert.deepEqual(columns.a, Float64Array.of(2));
  });

  test('queryColumns: typed arrays where every value is of one kind', async () => {
    const columns = await run((db) =>
      db.queryColumns(
        'SELECT small, int, int * 1.5 AS real, nullif(int, 1) AS holes, CAST(int AS TEXT) AS text FROM ints',
      ),
    );
    assert.deepEqual(columns, {
      small: BigInt64Array.of(1n, 2n),
      int: Int32Array.of(1, 2),
      real: Float64Array.of(1.5, 3),
      holes: [null, 2],
      text: ['1', '2'],
    });
    const none = await run((db) => db.queryColumns('SELECT small, int + 1 AS next FROM ints WHERE false'));
    assert.deepEqual(none, { small: new BigInt64Array(0), next: [] });
  });

  test('queryColumns: the typed array of the catalogue type, empty ones too', async () => {
    const kinds = {
      int8: 'Int8Array',
      int16: 'Int16Array',
      int32: 'Int32Array',
      int64: 'BigInt64Array',
      uint8: 'Uint8Array',
      uint16: 'Uint16Array',
      uint32: 'Uint32Array',
      uint64: 'BigUint64Array',
      float32: 'Float32Array',
      float64: 'Float64Array',
      date32: 'Int32Array',
      'timestamp[us]': 'Float64Array',
      'timestamp[ns, UTC]': 'BigInt64Array',
      bool: 'Array',
      utf8: 'Array',
    };
    const seen = await run(async (db, kinds) => {
      const values = { bool: [true, false], utf8: ['1', ''], 'timestamp[ns, UTC]': [2n ** 60n, 2n ** 61n] };
      const frame = Object.fromEntries(kinds.map((kind) => [kind, values[kind] ?? [1, 2]]));
      const types = Object.fromEntries(kinds.map((kind) => [kind, kind]));
      await db.appendFrame('arrays', frame, { types });
      const nameOf = (column) => column.constructor.name;
      const named = (columns) => Object.fromEntries(kinds.map((kind) => [kind, nameOf(columns[kind])]));
      const all = await db.queryColumns('SELECT * FROM arrays');
      const none = await db.queryColumns('SELECT * FROM arrays WHERE false');
      const numbers = await db.queryColumns('SELECT int64, uint64 FROM arrays', [], { int64: 'number' });
      const dates = await db.queryColumns('SELECT date32, "timestamp[us]" FROM arrays', [], { dates: true });
      return {
        all: named(all),
        none: named(none),
        numbers: [nameOf(numbers.int64), nameOf(numbers.uint64)],
        dates: [dates.date32[1] instanceof Date, dates['timestamp[us]'][0] instanceof Date],
        values: [[...all.int8], [...all.uint64], [...all.float32], all.bool],
      };
    }, Object.keys(kinds));
    assert.deepEqual(seen.all, kinds);
    assert.deepEqual(seen.none, kinds);
    assert.deepEqual(seen.numbers, ['Float64Array', 'Float64Array']);
    assert.deepEqual(seen.dates, [true, true]);
    assert.deepEqual(seen.values, [
      [1, 2],
      [1n, 2n],
      [1, 2],
      [true, false],
    ]);
  });

  test('exec: several statements, changes, the last rowid; a failing one keeps those before it', async () => {
    const made = await run((db) =>
      db.exec(
        'CREATE TABLE e(id INTEGER PRIMARY KEY, a); INSERT INTO e(a) VALUES (1), (2); UPDATE e SET a = 3; -- end',
      ),
    );
    assert.deepEqual(made, { changes: made.changes, lastInsertRowid: 2n });
    assert.ok(made.changes === 2 || made.changes === 4, `${made.changes} changes`);
    const failed = await rejects(
      run((db) => db.exec('INSERT INTO e(a) VALUES (4); INSERT INTO nowhere VALUES (1)')),
      'SQL',
    );
    assert.match(failed.message, /nowhere/);
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n FROM e')), [{ n: 3 }]);
    const big = await run((db) => db.exec('INSERT INTO e(id) VALUES (?)', [2n ** 62n]));
    assert.deepEqual(big, { changes: 1, lastInsertRowid: 2n ** 62n });
    assert.equal((await run((db) => db.exec(''))).changes, 0);
  });

  test('INSERT ... RETURNING through query, and a second statement is refused', async () => {
    const rows = await run((db) => db.query('INSERT INTO e(id, a) VALUES (10, ?) RETURNING id, a', ['x']));
    assert.deepEqual(rows, [{ id: 10, a: 'x' }]);
    const updated = await run((db) => db.queryArrow("UPDATE e SET a = 'y' WHERE id = 10 RETURNING a"));
    assert.equal(tableFromIPC(updated).get(0).a, 'y');
    const nothing = await run((db) => db.queryArrow("UPDATE e SET a = 'y' WHERE id = 10"));
    assert.deepEqual([tableFromIPC(nothing).numCols, tableFromIPC(nothing).numRows], [0, 0]);
    await rejects(
      run((db) => db.query('SELECT 1; DROP TABLE e')),
      'INVALID_ARGUMENT',
    );
    assert.equal((await run((db) => db.query('SELECT a FROM e WHERE id = 10')))[0].a, 'y');
  });

  test('stream gives batches of one schema, every row once; leaving early is fine', async () => {
    const seen = await run(async (db) => {
      await db.appendFrame('long', { n: Int32Array.from({ length: 2500 }, (_, i) => i) });
      const batches = [];
      for await (const batch of db.stream('SELECT n FROM long', [], { batchRows: 1000 })) batches.push(batch);
      const empty = [];
      for await (const batch of db.stream('SELECT n FROM long WHERE n < ?', [0])) empty.push(batch);
      let first = 0;
      for await (const batch of db.stream('SELECT n FROM long', undefined, { batchRows: 1 })) {
        first = batch.length;
        break;
      }
      const wrong = [];
      for (const args of [['SELECT'], ['SELECT 1', [], { batchRows: 0 }], ['SELECT ?']]) {
        const iterate = async () => {
          for await (const _ of db.stream(...args));
        };
        wrong.push(await iterate().catch(({ code }) => code));
      }
      return { batches, empty, first, wrong };
    });
    const tables = seen.batches.map((batch) => tableFromIPC(batch));
    assert.deepEqual(
      tables.map((table) => table.numRows),
      [1000, 1000, 500],
    );
    const all = tables.flatMap((table) => [...table.getChild('n')]);
    assert.deepEqual(
      all,
      Array.from({ length: 2500 }, (_, i) => i),
    );
    assert.deepEqual(
      seen.empty.map((batch) => tableFromIPC(batch).numRows),
      [0],
    );
    assert.ok(seen.first > 0);
    assert.deepEqual(seen.wrong, ['SQL', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
  });

  test('columns: typed arrays by their kind, plain arrays by their values', async () => {
    const { arrow, rows } = await run(async (db) => {
      await db.appendFrame('columns', {
        i8: Int8Array.of(-1, 2),
        u32: Uint32Array.of(0, 2 ** 32 - 1),
        f32: Float32Array.of(0.5, -2),
        i64: BigInt64Array.of(1n, 2n),
        int: [1, 2],
        float: [1, 2.5],
        big: [1n, 2n ** 60n],
        flag: [true, null],
        text: ['a', undefined],
        at: [new Date(0), new Date(5)],
        blob: [new Uint8Array([1]), null],
        nothing: [null, undefined],
      });
      return {
        arrow: await db.queryArrow('SELECT * FROM columns'),
        rows: await db.query('SELECT * FROM columns'),
      };
    });
    const types = Object.fromEntries(
      tableFromIPC(arrow).schema.fields.map(({ name, type }) => [name, String(type)]),
    );
    assert.deepEqual(types, {
      i8: 'Int8',
      u32: 'Uint32',
      f32: 'Float32',
      i64: 'Int64',
      int: 'Int64',
      float: 'Float64',
      big: 'Int64',
      flag: 'Bool',
      text: 'Utf8',
      at: 'Timestamp<MILLISECOND, UTC>',
      blob: 'Binary',
      nothing: 'Null',
    });
    assert.deepEqual(rows[1], {
      i8: 2,
      u32: 2 ** 32 - 1,
      f32: -2,
      i64: 2n,
      int: 2n,
      float: 2.5,
      big: 2n ** 60n,
      flag: null,
      text: null,
      at: 5,
      blob: null,
      nothing: null,
    });
  });

  test('rows: keys that are missing are NULL, and types can be given', async () => {
    const { rows, arrow } = await run(async (db) => {
      await db.appendFrame('rows', [{ a: 1, b: 'x' }, { b: 'y' }, { a: 3, c: true }], {
        types: { a: 'int16', c: 'bool' },
      });
      return { rows: await db.query('SELECT * FROM rows'), arrow: await db.queryArrow('SELECT * FROM rows') };
    });
    assert.deepEqual(rows, [
      { a: 1, b: 'x', c: null },
      { a: null, b: 'y', c: null },
      { a: 3, b: null, c: true },
    ]);
    assert.deepEqual(
      tableFromIPC(arrow).schema.fields.map(({ type }) => String(type)),
      ['Int16', 'Utf8', 'Bool'],
    );
    // The second frame takes its types from the table.
    await run((db) => db.appendFrame('rows', [{ a: 4 }]));
    const wrong = await run((db) =>
      db
        .appendFrame('rows', [{ a: 1 }, { a: 2 ** 20 }])
        .catch((error) => error)
        .then(({ code, row, column }) => ({ code, row, column })),
    );
    assert.equal(wrong.row, 1);
    assert.equal(wrong.column, 'a');
    assert.ok(['LOSSY_VALUE', 'INVALID_ARGUMENT', 'SCHEMA_MISMATCH'].includes(wrong.code), wrong.code);
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n FROM rows')), [{ n: 4 }]);
  });

  test('modes: create, append, createAppend, replace, deleteRows, upsert, ignore', async () => {
    const append = (frame, mode, more = {}) =>
      run((db, frame, options) => db.appendFrame('m', frame, options), frame, { mode, ...more });
    const content = () => run((db) => db.query('SELECT * FROM m ORDER BY k'));
    await rejects(append({ k: [1] }, 'append'), 'SCHEMA_MISMATCH');
    await append({ k: [1], v: ['a'] }, 'create');
    await rejects(append({ k: [1], v: ['a'] }, 'create'), 'SCHEMA_MISMATCH');
    await append({ k: [2], v: ['b'] }, 'append');
    await append({ v: ['c'], k: [3] }, 'createAppend');
    assert.deepEqual(await content(), [
      { k: 1n, v: 'a' },
      { k: 2n, v: 'b' },
      { k: 3n, v: 'c' },
    ]);
    await append({ k: [4], v: ['d'] }, 'deleteRows');
    assert.deepEqual(await content(), [{ k: 4n, v: 'd' }]);
    await append({ k: ['x'] }, 'replace');
    assert.deepEqual(await content(), [{ k: 'x' }]);
    await run((db) => db.exec('DROP TABLE m; CREATE TABLE m(k INTEGER PRIMARY KEY, v TEXT, w TEXT)'));
    await append({ k: [1, 2], v: ['a', 'b'], w: ['keep', 'keep'] }, 'append');
    await append({ k: [2, 3], v: ['B', 'C'] }, 'upsert');
    await append({ k: [1, 4], v: ['no', 'D'] }, 'ignore', { key: ['k'] });
    assert.deepEqual(
      (await content()).map(({ k, v, w }) => [Number(k), v, w]),
      [
        [1, 'a', 'keep'],
        [2, 'B', 'keep'],
        [3, 'C', null],
        [4, 'D', null],
      ],
    );
    const error = await rejects(append({ k: [9, 1], v: ['x', 'x'] }, 'append'), 'CONSTRAINT');
    assert.equal(error.row, 1);
    assert.equal((await content()).length, 4);
  });

  test('no rows at all go into a table that is there, whatever the options say of its columns', async () => {
    const seen = await run(async (db) => {
      const outcome = (table, frame, options) =>
        db.appendFrame(table, frame, options).then(
          ({ path, rows }) => path + rows,
          ({ code }) => code,
        );
      await db.exec(
        "CREATE TABLE kept(k TEXT PRIMARY KEY, n INT NOT NULL); INSERT INTO kept VALUES ('a', 1)",
      );
      const options = [
        {},
        { types: { k: 'utf8', n: 'int64' } },
        { mode: 'upsert' },
        { mode: 'ignore', key: ['k'], missingColumns: 'error' },
      ];
      const outcomes = [];
      // Rows without columns are of the same schema, and still lack theirs.
      for (const each of options)
        outcomes.push(await outcome('kept', [], each), await outcome('kept', [{}], each));
      const kept = await db.query('SELECT count(*) AS n FROM kept');
      outcomes.push(await outcome('kept', [], { mode: 'deleteRows' }));
      const missing = await outcome('missing', [], { types: { a: 'int64' } });
      return { outcomes, kept, left: await db.query('SELECT count(*) AS n FROM kept'), missing };
    });
    assert.deepEqual(seen, {
      outcomes: [
        ...['direct0', 'SCHEMA_MISMATCH', 'direct0', 'INVALID_ARGUMENT'],
        ...['direct0', 'SCHEMA_MISMATCH', 'direct0', 'SCHEMA_MISMATCH', 'direct0'],
      ],
      kept: [{ n: 1 }],
      left: [{ n: 0 }],
      missing: 'SCHEMA_MISMATCH',
    });
  });

  test('runs as flechette writes them, whose ends are declared nullable', async () => {
    const runs = flechette.columnFromArray(
      ['a', 'a', null, 'b'],
      flechette.runEndEncoded(flechette.int32(), flechette.utf8()),
    );
    const table = flechette.tableFromColumns({ r: runs });
    for (const format of ['stream', 'file']) {
      await run((db, frame) => db.appendFrame('runs', frame), flechette.tableToIPC(table, { format }));
    }
    const rows = await run((db) => db.query('SELECT r FROM runs'));
    const words = ['a', 'a', null, 'b'];
    assert.deepEqual(
      rows.map(({ r }) => r),
      [...words, ...words],
    );
  });

  test('extra and missing columns, by name and by position', async () => {
    const append = (frame, options) =>
      run((db, frame, options) => db.appendFrame('x', frame, options), frame, options);
    await append({ a: [1], b: [1] }, {});
    await rejects(append({ a: [2], extra: [2] }, {}), 'SCHEMA_MISMATCH');
    await append({ a: [3], extra: [3] }, { extraColumns: 'drop' });
    await append({ a: [4], extra: [4] }, { extraColumns: 'add' });
    await rejects(append({ a: [5] }, { missingColumns: 'error' }), 'SCHEMA_MISMATCH');
    await append({ one: [6], two: [60], three: [600] }, { match: 'position' });
    const rows = await run((db) => db.query('SELECT * FROM x ORDER BY a'));
    assert.deepEqual(rows, [
      { a: 1n, b: 1n, extra: null },
      { a: 3n, b: null, extra: null },
      { a: 4n, b: null, extra: 4n },
      { a: 6n, b: 60n, extra: 600n },
    ]);
  });

  test('lossy values: an error that names row and column, or counted, or let through', async () => {
    const frame = { f: Float64Array.of(1, NaN, 2, NaN) };
    const send = (lossy) =>
      run((db, frame, options) => db.appendFrame('lossy', frame, options), frame, { lossy });
    const error = await rejects(send('error'), 'LOSSY_VALUE');
    assert.deepEqual([error.table, error.column, error.row], ['lossy', 'f', 1]);
    assert.deepEqual((await send('warn')).coerced, { f: 2 });
    await send('allow');
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n, count(f) AS there FROM lossy')), [
      { n: 8, there: 4 },
    ]);
  });
});
