// What is refused, how it is said, and that nothing else is touched: hostile names, broken frames, wrong options,
// constraints, SQL errors. Every code of the contract's table that a test can bring about is named in some test; those
// of storage and of other tabs are in open, busy, queue, load and quota.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as flechette from '@uwdata/flechette';
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow';
import { namedFrame } from './frames.mjs';
import { inBrowsers } from './harness.mjs';

const FRAME = tableToIPC(tableFromArrays({ a: Int32Array.of(1, 2, 3) }), 'stream');

/** A union, which SQLite's columns cannot keep. */
const EITHER = flechette.union(0, [flechette.int32(), flechette.utf8()], [0, 1], (value) =>
  Number(typeof value === 'string'),
);
const UNION = flechette.tableToIPC(
  flechette.tableFromColumns({ f: flechette.columnFromArray([1, 'a'], EITHER) }),
  { format: 'stream' },
);

/** Names that any text may be, and that must come out as they went in. */
const NAMES = [
  '"',
  '""',
  "'",
  '`',
  '[a]',
  'a"; DROP TABLE canary; --',
  "a'); DROP TABLE canary; --",
  ' ',
  '\t\n\r',
  '-- comment',
  '/* comment */',
  ';',
  '?1',
  ':a',
  'select',
  'table',
  'rowid',
  'NULL',
  '__proto__',
  'constructor',
  'toString',
  'main.canary',
  'temp.t',
  '\u{1f600}',
  'é',
  'e\u0301',
  'ñandú',
  '\u202egnp.exe',
  '\u200b',
  '\ufeff',
  '0',
  '1e5',
  '%s%n',
  '\\',
  'x'.repeat(5000),
  'sqlite',
  '_framelock',
  'İ',
  'ı',
];

inBrowsers((context) => {
  let tab;
  /** Runs `fn(db, ...args)` in the page. */
  const run = (fn, ...args) => tab.run(`async (...args) => (${fn})(db, ...args)`, ...args);
  /** What a call in the page threw: its code and the details. */
  const failure = (fn, ...args) =>
    tab.run(
      `async (...args) => {
        try {
          await (${fn})(db, ...args);
          return { code: 'worked' };
        } catch (error) {
          const { code, table, column, row, sqliteCode, message, name } = error;
          return { code, table, column, row, sqliteCode, message, name, ours: error instanceof framelock.FramelockError };
        }
      }`,
      ...args,
    );
  /** What there is in the database beside framelock's own tables. */
  const objects = () =>
    run(async (db) => {
      const rows = await db.query(
        "SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_framelock%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
      );
      return rows.map(({ name }) => name).sort();
    });

  before(async () => {
    tab = await context.browser.newTab();
    await tab.run(async () => void (globalThis.db = await framelock.openDatabase('refused')));
  });

  test('after a first frame that was refused, reads and status work', async () => {
    await run((db) => db.exec('CREATE TABLE canary(a INTEGER CHECK (a < 3))'));
    const refused = await failure((db, frame) => db.appendFrame('canary', frame), FRAME);
    assert.deepEqual(
      [refused.code, refused.table, refused.row, refused.sqliteCode, refused.ours],
      ['CONSTRAINT', 'canary', 2, 275, true],
    );
    assert.deepEqual(await run((db) => db.query('SELECT a FROM canary')), []);
    assert.deepEqual((await failure((db) => db.whenCommitted('unknown'))).code, 'INVALID_ARGUMENT');
    await run((db) => db.exec('INSERT INTO canary VALUES (1)'));
  });

  test('hostile table names come out as they went in, and touch nothing else', async () => {
    const wrong = await run(
      async (db, names, frame) => {
        const wrong = [];
        const quoted = (name) => '"' + name.replaceAll('"', '""') + '"';
        for (const name of names) {
          const before = await db.query('SELECT count(*) AS n FROM sqlite_schema');
          const receipt = await db.appendFrame(name, frame);
          const again = await db.appendFrame(name, frame, { mode: 'append' });
          const [{ n }] = await db.query(`SELECT count(*) AS n FROM ${quoted(name)}`);
          const after = await db.query('SELECT count(*) AS n FROM sqlite_schema');
          const [{ found }] = await db.query('SELECT count(*) AS found FROM sqlite_schema WHERE name = ?', [
            name,
          ]);
          const internal = after[0].n - before[0].n - 1;
          if (receipt.table !== name || !again.committed || n !== 6 || found !== 1 || internal > 4) {
            wrong.push({ name: name.slice(0, 20), table: receipt.table.slice(0, 20), n, found, internal });
          }
          await db.exec(`DROP TABLE ${quoted(name)}`);
        }
        return wrong;
      },
      NAMES,
      FRAME,
    );
    assert.deepEqual(wrong, []);
    assert.deepEqual(await objects(), ['canary']);
    assert.deepEqual(await run((db) => db.query('SELECT a FROM canary')), [{ a: 1 }]);
  });

  test('table names that are refused', async () => {
    const codes = await run(
      async (db, names, frame) => {
        const codes = [];
        for (const name of names)
          codes.push(
            await db.appendFrame(name, frame).then(
              () => name,
              ({ code }) => code,
            ),
          );
        return codes;
      },
      [
        '',
        'a\0b',
        '\0',
        'sqlite_master',
        'SQLite_x',
        '_framelock_frames',
        '_FRAMELOCK_x',
        '\ud800',
        undefined,
        null,
        7,
        {},
        ['t'],
      ],
      FRAME,
    );
    assert.deepEqual([...new Set(codes)], ['INVALID_ARGUMENT']);
    assert.deepEqual(await objects(), ['canary']);
  });

  test('names that SQLite takes for one are one table; frames and other objects keep their own', async () => {
    await run(async (db, frame) => {
      await db.appendFrame('Twin', frame);
      await db.appendFrame('tWIN', frame);
      await db.exec('CREATE VIEW looks AS SELECT 1 AS a; CREATE INDEX idx ON Twin(a)');
    }, FRAME);
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n FROM twin')), [{ n: 6 }]);
    for (const name of ['looks', 'idx']) {
      const refused = await failure((db, name, frame) => db.appendFrame(name, frame), name, FRAME);
      assert.ok(
        ['SCHEMA_MISMATCH', 'SQL', 'INVALID_ARGUMENT'].includes(refused.code),
        `${name}: ${refused.code}`,
      );
      const replaced = await failure(
        (db, name, frame) => db.appendFrame(name, frame, { mode: 'replace' }),
        name,
        FRAME,
      );
      assert.ok(
        ['SCHEMA_MISMATCH', 'SQL', 'INVALID_ARGUMENT'].includes(replaced.code),
        `${name}: ${replaced.code}`,
      );
    }
    assert.deepEqual(await objects(), ['Twin', 'canary', 'idx', 'looks']);
    await run((db) => db.exec('DROP VIEW looks; DROP TABLE twin'));
  });

  test('hostile column names come out as they went in', async () => {
    const names = [...NAMES, 'sqlite_x', '_framelock_x', ''];
    const columns = Object.fromEntries(names.map((name, i) => [name, Int32Array.of(i)]));
    Object.defineProperty(columns, '__proto__', { value: Int32Array.of(99), enumerable: true });
    const { rows, arrow } = await run(async (db, entries) => {
      const columns = Object.create(null);
      for (const [name, value] of entries) Object.defineProperty(columns, name, { value, enumerable: true });
      const plain = {};
      for (const key of Object.keys(columns))
        Object.defineProperty(plain, key, { value: columns[key], enumerable: true });
      await db.appendFrame('columns', plain);
      await db.appendFrame('columns', plain);
      const rows = await db.query('SELECT * FROM columns');
      return { rows: rows.map(Object.entries), arrow: await db.queryArrow('SELECT * FROM columns') };
    }, Object.entries(columns));
    assert.equal(rows.length, 2);
    const expected = Object.entries(columns).map(([name, [value]]) => [name, value]);
    assert.deepEqual(new Map(rows[0]), new Map(expected));
    const fields = tableFromIPC(arrow).schema.fields;
    // apache-arrow's reader takes a U+FEFF at the start of a name for a byte order mark.
    const shown = new Set(Object.keys(columns).map((name) => name.replace(/^\ufeff/, '')));
    assert.deepEqual(new Set(fields.map(({ name }) => name)), shown);
    await run((db) => db.exec('DROP TABLE columns'));
    const twins = await failure((db) => db.appendFrame('t', { a: [1], A: [2] }));
    assert.equal(twins.code, 'INVALID_FRAME');
    const zero = await failure((db) => db.appendFrame('t', { 'a\0b': [1] }));
    assert.equal(zero.code, 'INVALID_ARGUMENT');
    assert.deepEqual(await objects(), ['canary']);
  });

  test('broken Arrow IPC is INVALID_FRAME at every cut, and the next append works', async () => {
    const frame = namedFrame(0, 0, 20);
    const codes = await run(
      async (db, frame, cuts) => {
        const counts = {};
        const count = async (bytes) => {
          const code = await db.appendFrame('broken', bytes, { fallback: 'none' }).then(
            () => 'worked',
            ({ code }) => code,
          );
          counts[code] = (counts[code] ?? 0) + 1;
        };
        for (const cut of cuts) await count(frame.slice(0, cut));
        // Bits flipped in the metadata; some of them change nothing that counts.
        for (let at = 8; at < 400; at += 13) {
          const bytes = frame.slice();
          bytes[at] ^= 1 << (at % 8);
          await count(bytes);
        }
        await count(new Uint8Array());
        await count(new TextEncoder().encode('hello, this is no Arrow at all'));
        await count(new Uint8Array(1000).fill(0xff));
        return counts;
      },
      frame,
      // A stream without its end marker is whole, so the last bytes may be cut.
      Array.from({ length: 60 }, (_, i) => Math.floor(((frame.length - 32) * i) / 60)),
    );
    const { INVALID_FRAME, worked = 0, ...others } = codes;
    assert.ok(INVALID_FRAME > 60, JSON.stringify(codes));
    for (const code of Object.keys(others)) {
      assert.ok(
        ['UNSUPPORTED_TYPE', 'INVALID_ARGUMENT', 'SCHEMA_MISMATCH', 'LOSSY_VALUE'].includes(code),
        code,
      );
    }
    const before = worked ? await run((db) => db.query('SELECT count(*) AS n FROM broken')) : [{ n: 0 }];
    const receipt = await run((db, frame) => db.appendFrame('whole', frame), frame);
    assert.deepEqual([receipt.rows, receipt.committed], [20, true]);
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n FROM whole')), [{ n: 20 }]);
    assert.ok(before[0].n <= worked * 20);
    await run((db) => db.exec('DROP TABLE IF EXISTS broken; DROP TABLE whole'));
  });

  test('what is no frame is INVALID_ARGUMENT or INVALID_FRAME; poisoned objects too', async () => {
    const codes = await run(async (db) => {
      const detached = new Uint8Array(8);
      structuredClone(detached.buffer, { transfer: [detached.buffer] });
      const thrower = {
        get a() {
          throw new Error('a getter');
        },
      };
      const trap = new Proxy(
        {},
        {
          ownKeys() {
            throw new Error('a trap');
          },
        },
      );
      const inputs = {
        undefined: undefined,
        null: null,
        number: 1,
        string: 'frame',
        function: () => {},
        symbol: Symbol('s'),
        date: new Date(),
        map: new Map([['a', [1]]]),
        floats: new Float64Array(2),
        'data view': new DataView(new ArrayBuffer(8)),
        detached,
        'detached column': { a: detached },
        'unequal columns': { a: [1, 2], b: [1] },
        'no array': { a: 1 },
        'a throwing getter': thrower,
        'a throwing row': [thrower],
        'a trap': trap,
        'mixed kinds': { a: [1, 'x'] },
        'an object as value': { a: [{}], b: [() => {}] },
        'a symbol as value': { a: [Symbol('s')] },
        'an invalid date': { a: [new Date(NaN)] },
        'a huge bigint': { a: [2n ** 64n] },
        'a lone surrogate': { a: ['x', '\ud800'] },
        'rows that are none': [1, 2],
        'a null row': [{ a: 1 }, null],
      };
      const codes = {};
      for (const [what, input] of Object.entries(inputs)) {
        codes[what] = await db.appendFrame('poison', input).then(
          () => 'worked',
          ({ code, table, message }) => (table === 'poison' ? code : `${code}, table ${table}: ${message}`),
        );
      }
      return codes;
    });
    const wrong = Object.entries(codes).filter(
      ([, code]) => !['INVALID_ARGUMENT', 'INVALID_FRAME', 'LOSSY_VALUE', 'UNSUPPORTED_TYPE'].includes(code),
    );
    assert.deepEqual(wrong, []);
    assert.equal(codes['unequal columns'], 'INVALID_FRAME');
    assert.equal(codes.detached, 'INVALID_ARGUMENT');
    assert.equal(codes['a lone surrogate'], 'LOSSY_VALUE');
    assert.deepEqual(await objects(), ['canary']);
  });

  test('a frame that is changed after the call is stored as it was at the call', async () => {
    const rows = await run(async (db) => {
      const column = Int32Array.of(1, 2, 3);
      const values = ['a', 'b', 'c'];
      const sending = db.appendFrame('mutated', { column, values });
      column.fill(9);
      values.fill('z');
      await sending;
      return db.query('SELECT * FROM mutated');
    });
    assert.deepEqual(rows, [
      { column: 1, values: 'a' },
      { column: 2, values: 'b' },
      { column: 3, values: 'c' },
    ]);
    await run((db) => db.exec('DROP TABLE mutated'));
  });

  test('options of the wrong kind are INVALID_ARGUMENT; polluted prototypes are no options', async () => {
    const bad = [
      1,
      'options',
      [],
      null,
      { unknown: 1 },
      { mode: 'insert' },
      { mode: null },
      { match: 'index' },
      { extraColumns: true },
      { missingColumns: 'null' },
      { lossy: 'yes' },
      { fallback: 'memory' },
      { frameId: '' },
      { frameId: 'x'.repeat(129) },
      { frameId: 7 },
      { key: 'a' },
      { key: [] },
      { key: [1] },
      { types: 'int64' },
      { types: { a: 'int65' } },
      { types: { a: 7 } },
      { retry: 3 },
      { retry: { attempts: -1 } },
      { retry: { attempts: 1.5 } },
      { retry: { attempts: 2 ** 60 } },
      { retry: { lockTimeoutMs: NaN } },
      { retry: { baseDelayMs: -1 } },
      { retry: { factor: 0.5 } },
      { retry: { factor: Infinity } },
      { retry: { maxDelayMs: '1' } },
      { retry: { jitter: 1 } },
      { retry: { deadlineMs: Infinity } },
      { retry: { retries: 1 } },
      { signal: {} },
      { onProgress: 'log' },
    ];
    const codes = await run(
      async (db, bad, frame) => {
        const codes = [];
        for (const options of bad) {
          const code = await db.appendFrame('canary', frame, options).then(
            () => 'worked',
            ({ code }) => code,
          );
          if (code !== 'INVALID_ARGUMENT') codes.push([JSON.stringify(options), code]);
        }
        Object.prototype.mode = 'replace';
        Object.prototype.fallback = 'nonsense';
        try {
          await db.appendFrame('canary', { a: [2] }, {});
        } finally {
          delete Object.prototype.mode;
          delete Object.prototype.fallback;
        }
        return codes;
      },
      bad,
      FRAME,
    );
    assert.deepEqual(codes, []);
    assert.deepEqual(await run((db) => db.query('SELECT a FROM canary')), [{ a: 1 }, { a: 2 }]);
  });

  test('CONSTRAINT names table and row and rolls the whole frame back', async () => {
    await run((db) => db.exec('CREATE TABLE c(id INTEGER PRIMARY KEY, n TEXT NOT NULL, u INTEGER UNIQUE)'));
    const cases = [
      [{ id: [1, 2, 1], n: ['a', 'b', 'c'] }, 2, 1555],
      [{ id: [1, 2], n: ['a', null] }, 1, 1299],
      [{ id: [1, 2, 3], n: ['a', 'b', 'c'], u: [7, 8, 7] }, 2, 2067],
    ];
    for (const [frame, row, sqliteCode] of cases) {
      const refused = await failure((db, frame) => db.appendFrame('c', frame), frame);
      assert.deepEqual(
        [refused.code, refused.table, refused.row, refused.sqliteCode],
        ['CONSTRAINT', 'c', row, sqliteCode],
        refused.message,
      );
    }
    // In a frame that takes many statements the row is found too.
    const ids = Int32Array.from({ length: 10_000 }, (_, i) => (i === 9_876 ? 5 : i));
    const large = { id: ids, n: Array.from(ids, String) };
    assert.equal((await failure((db, frame) => db.appendFrame('c', frame), large)).row, 9_876);
    assert.deepEqual(await run((db) => db.query('SELECT count(*) AS n FROM c')), [{ n: 0 }]);
    const direct = await failure((db) =>
      db.exec("INSERT INTO c VALUES (1, 'a', 1); INSERT INTO c VALUES (1, 'a', 1)"),
    );
    assert.deepEqual([direct.code, direct.sqliteCode], ['CONSTRAINT', 1555]);
    await run((db) => db.exec('DROP TABLE c'));
  });

  test('SCHEMA_MISMATCH, LOSSY_VALUE, UNSUPPORTED_TYPE and FRAME_ID_CONFLICT write nothing', async () => {
    const refusals = await run(async (db, union) => {
      const code = (promise) =>
        promise.then(
          () => 'worked',
          ({ code, table, column, row }) => ({ code, table, column, row }),
        );
      await db.appendFrame('s', { a: Int32Array.of(1), b: ['x'] }, { frameId: 'first' });
      return {
        text: await code(db.appendFrame('s', { a: ['text'], b: ['x'] }, { types: { a: 'utf8' } })),
        float: await code(db.appendFrame('s', { a: Float64Array.of(1.5), b: ['x'] })),
        lossy: await code(db.appendFrame('s2', { f: Float64Array.of(0, NaN) })),
        type: await code(db.appendFrame('s3', union)),
        typeName: await code(db.appendFrame('s3', { f: [1] }, { types: { f: 'no such type' } })),
        conflict: await code(db.appendFrame('s', { a: Int32Array.of(2), b: ['y'] }, { frameId: 'first' })),
        again: (await db.appendFrame('s', { a: Int32Array.of(1), b: ['x'] }, { frameId: 'first' })).path,
        rows: await db.query('SELECT * FROM s'),
      };
    }, UNION);
    assert.deepEqual(
      [refusals.text.code, refusals.text.table, refusals.text.column],
      ['SCHEMA_MISMATCH', 's', 'a'],
    );
    assert.ok(['SCHEMA_MISMATCH', 'LOSSY_VALUE'].includes(refusals.float.code), refusals.float.code);
    assert.deepEqual(refusals.lossy, { code: 'LOSSY_VALUE', table: 's2', column: 'f', row: 1 });
    assert.deepEqual([refusals.type.code, refusals.type.column], ['UNSUPPORTED_TYPE', 'f']);
    assert.equal(refusals.typeName.code, 'INVALID_ARGUMENT');
    assert.equal(refusals.conflict.code, 'FRAME_ID_CONFLICT');
    assert.equal(refusals.again, 'duplicate');
    assert.deepEqual(refusals.rows, [{ a: 1, b: 'x' }]);
    await run((db) => db.exec('DROP TABLE s'));
    assert.deepEqual(await objects(), ['canary']);
  });

  test('SQL errors say where; statements that would break the lease are refused', async () => {
    const syntax = await failure((db) => db.exec('SELEKT 1'));
    assert.deepEqual([syntax.code, syntax.sqliteCode], ['SQL', 1]);
    assert.match(syntax.message, /SELEKT/);
    const missing = await failure((db) => db.query('SELECT * FROM nowhere'));
    assert.match(missing.message, /nowhere/);
    for (const sql of [
      'PRAGMA journal_mode = WAL',
      'PRAGMA locking_mode = EXCLUSIVE',
      "ATTACH 'other' AS other",
      'BEGIN',
      'COMMIT',
      'ROLLBACK',
      "VACUUM INTO 'elsewhere'",
    ]) {
      const refused = await failure((db, sql) => db.exec(sql), sql);
      assert.equal(refused.code, 'SQL', `${sql}: ${refused.code}`);
    }
    await run((db) => db.exec('VACUUM'));
    const worked = await run((db) => db.appendFrame('canary', { a: [2] }));
    assert.equal(worked.committed, true);
  });

  test("errors inside a transaction leave it usable, or say that it is over; its caller's error comes out", async () => {
    const seen = await run(async (db) => {
      const code = (promise) =>
        promise.then(
          () => 'worked',
          ({ code }) => code,
        );
      const inside = await db.transaction(async (tx) => {
        await tx.exec('CREATE TABLE inside(a INTEGER CHECK (a < 3))');
        const codes = [
          await code(tx.exec('nonsense')),
          await code(tx.appendFrame('inside', { a: [1, 9] })),
          await code(tx.appendFrame('inside', new Uint8Array(3))),
        ];
        await tx.appendFrame('inside', { a: [1, 2] });
        return codes;
      });
      const own = await db
        .transaction(() => Promise.reject(new RangeError('mine')))
        .catch((error) => error.name);
      let late;
      await db.transaction(async (tx) => void (late = tx));
      const ended = await code(
        db.transaction(async (tx) => {
          await tx.exec('INSERT INTO inside VALUES (1)');
          await tx.exec('ROLLBACK');
        }),
      );
      return {
        inside,
        own,
        late: await code(late.exec('SELECT 1')),
        ended,
        rows: await db.query('SELECT a FROM inside'),
        wrong: [await code(db.transaction()), await code(db.transaction(async () => {}, { retry: 1 }))],
      };
    });
    assert.deepEqual(seen.inside, ['SQL', 'CONSTRAINT', 'INVALID_FRAME']);
    assert.equal(seen.own, 'RangeError');
    assert.equal(seen.late, 'CLOSED');
    assert.ok(['SQL', 'CLOSED'].includes(seen.ended), seen.ended);
    assert.deepEqual(seen.rows, [{ a: 1n }, { a: 2n }]);
    assert.deepEqual(seen.wrong, ['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
    await run((db) => db.exec('DROP TABLE inside'));
  });

  test('ABORTED before anything is written, with the reason as cause', async () => {
    const seen = await run(async (db) => {
      const signal = AbortSignal.abort('because');
      const reason = (promise) =>
        promise.then(
          () => 'worked',
          ({ code, cause }) => [code, cause],
        );
      return [
        await reason(db.appendFrame('never', { a: [1] }, { signal })),
        await reason(db.query('SELECT 1', [], { signal })),
        await reason(db.exec('CREATE TABLE never(a)', [], { signal })),
        await reason(db.transaction(async () => {}, { signal })),
        await reason(db.drain({ signal })),
        await reason(db.whenCommitted('x', { signal })),
      ];
    });
    assert.deepEqual(
      seen,
      Array.from({ length: 6 }, () => ['ABORTED', 'because']),
    );
    assert.deepEqual(await objects(), ['canary']);
  });

  test('CLOSED after close, for every method; closing twice is harmless; events are checked', async () => {
    const seen = await tab.run(async () => {
      const code = async (call) => {
        try {
          await call();
          return 'worked';
        } catch (error) {
          return error.code;
        }
      };
      const other = await framelock.openDatabase('closing');
      const events = [
        await code(() => other.on('nothing', () => {})),
        await code(() => other.on('commit', 1)),
      ];
      await Promise.all([other.close(), other.close()]);
      const calls = [
        () => other.appendFrame('t', { a: [1] }),
        () => other.exec('SELECT 1'),
        () => other.query('SELECT 1'),
        () => other.queryColumns('SELECT 1'),
        () => other.queryArrow('SELECT 1'),
        () => other.stream('SELECT 1').next(),
        () => other.transaction(async () => {}),
        () => other.whenCommitted('x'),
        () => other.drain(),
        () => other.status(),
        () => other.exportFile(),
        () => other.importFile(new Uint8Array(1)),
        () => other.rejected(),
      ];
      const codes = [];
      for (const call of calls) codes.push(await code(call));
      return { events, codes, once: await code(() => other.close()) };
    });
    assert.deepEqual(seen.events, ['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
    assert.deepEqual([...new Set(seen.codes)], ['CLOSED']);
    assert.equal(seen.once, 'worked');
  });

  test('after all that the database is sound', async () => {
    assert.deepEqual(await run((db) => db.query('PRAGMA integrity_check')), [{ integrity_check: 'ok' }]);
  });
});
