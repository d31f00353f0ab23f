// Every type that pyarrow can make × {plain, nullable, all null, empty, sliced, several batches, compressed}: in by
// appendFrame on every path, out by queryArrow, compared by other Arrow libraries than ours. Firefox: a few of them.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers, sqlite3 } from './harness.mjs';
import {
  assertEqualForApache,
  assertEqualForFlechette,
  assertEqualForPyarrow,
  pyarrowFrames,
  pythonWithPyarrow,
} from './pyarrow.mjs';

const DIRECT = { retry: { attempts: 20 }, fallback: 'none' };
const QUEUED = { retry: { attempts: 0 }, fallback: 'queue' };
const HANDOFF = { retry: { attempts: 0 }, fallback: 'handoff' };

/** Names of `frames` that are tested in a browser. */
const chosen = (frames, browser) =>
  Object.keys(frames).filter((name) => browser === 'chromium' || /^(nullable|several)/.test(name));

/** What SQLite has of every cell of a table, with its type and its bytes, and what the catalogue says. Runs in the page. */
async function stored(table) {
  const columns = await db.query('SELECT name FROM pragma_table_info(?)', [table]);
  const cells = columns.map(({ name }) => `"${name}"`);
  const words = cells.map((cell) => `typeof(${cell}) || ' ' || quote(${cell}) || ' ' || hex(${cell})`);
  const rows = await db.queryColumns(`SELECT ${words.map((word, i) => `${word} AS c${i}`)} FROM "${table}"`);
  const declared = await db.query('SELECT name, type, "notnull" FROM pragma_table_info(?)', [table]);
  const catalogue = await db.query(
    'SELECT column_name, hex(field) AS field FROM _framelock_columns WHERE table_name = ? ORDER BY 1',
    [table],
  );
  return { rows, declared, catalogue };
}

inBrowsers((context) => {
  const frames = pyarrowFrames();
  let tab, holder;

  before(async () => {
    [tab, holder] = [await context.browser.newTab(), await context.browser.newTab()];
    for (const each of [tab, holder]) {
      await each.run(async () => void (globalThis.db = await framelock.openDatabase('types')));
    }
    if (!pythonWithPyarrow()) {
      const how = 'python3 -m venv .cache/pyarrow && .cache/pyarrow/bin/pip install pyarrow';
      console.warn(`no pyarrow here: apache-arrow and flechette alone compare the types. To have it: ${how}`);
    }
  });

  const append = (table, frame, options) =>
    tab.run((...args) => db.appendFrame(...args), table, frame, options);

  test('a large frame is stored byte for byte as the same frame in a transaction, which goes row by row', async () => {
    const [differs, bytes, integrity] = await tab.run(async () => {
      const rows = 50_000;
      const many = (value) => Array.from({ length: rows }, (_, i) => value(i));
      const frame = {
        small: Int8Array.from(many((i) => i % 256)),
        wide: BigInt64Array.from(many((i) => (-1n) ** BigInt(i) * (1n << BigInt(i % 63)))),
        real: Float64Array.from(many((i) => (i % 3 ? i / 7 : 2 ** (i % 60)))),
        flag: many((i) => (i % 5 ? i % 2 === 0 : null)),
        text: many((i) => (i % 7 ? 'é'.repeat(i % 90) : null)),
        blob: many((i) => new Uint8Array(i % 40).fill(i)),
        day: many((i) => new Date(i * 86_400_000)),
      };
      const files = [];
      for (const how of ['large', 'joined']) {
        const one = await framelock.openDatabase(how);
        const append = (to) => to.appendFrame('t', frame, { frameId: 'f' });
        await (how === 'large' ? append(one) : one.transaction(append));
        files.push(new Uint8Array(await one.exportFile()));
        if (how === 'large') globalThis.verdict = await one.query('PRAGMA integrity_check');
        await one.close();
      }
      const [a, b] = files;
      return [a.findIndex((byte, i) => byte !== b[i]), [a.length, b.length], verdict];
    });
    assert.deepEqual([differs, integrity], [-1, [{ integrity_check: 'ok' }]]);
    assert.equal(bytes[0], bytes[1]);
    assert.ok(bytes[0] > 4_000_000, `${bytes[0]} bytes`);
  });

  for (const name of chosen(frames, context.name)) {
    test(`direct: ${name}`, async () => {
      const receipt = await append(name, frames[name], DIRECT);
      assert.equal(receipt.path, 'direct');
      assert.deepEqual(receipt.coerced, {});
      const found = await tab.run((name) => db.queryArrow(`SELECT * FROM "${name}"`), name);
      // The JavaScript libraries have no decompression of their own.
      const uncompressed = frames[name.split(',')[0]];
      if (name.includes('newest types')) assertEqualForFlechette(uncompressed, found);
      else assertEqualForApache(uncompressed, found);
      if (pythonWithPyarrow()) assertEqualForPyarrow(frames[name], found);
    });
  }

  test('queued, joined and handed over: the same bytes in every cell as direct', async () => {
    const names = chosen(frames, context.name);
    // A transaction in the other tab stays open until it is told; appends meet it.
    const hold = () =>
      holder.run(async () => {
        await new Promise((opened) => {
          globalThis.held = db.transaction(async (tx) => {
            await tx.exec('CREATE TABLE IF NOT EXISTS held(n)');
            opened();
            await new Promise((release) => (globalThis.release = release));
          });
        });
      });
    const letGo = () => holder.run(() => (release(), held));

    await hold();
    const queued = [];
    for (const name of names) queued.push(await append(`${name} queued`, frames[name], QUEUED));
    await letGo();
    for (const { path, committed, frameId } of queued) {
      assert.deepEqual([path, committed], ['queued', false]);
      const settled = await tab.run((id) => db.whenCommitted(id), frameId);
      assert.equal(settled.committed, true);
    }

    for (const name of names) {
      const joined = await tab.run(
        (table, frame) => db.transaction((tx) => tx.appendFrame(table, frame)),
        `${name} joined`,
        frames[name],
      );
      assert.equal(joined.path, 'joined');
    }

    await hold();
    const handing = names.map((name) => append(`${name} handed over`, frames[name], HANDOFF));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await letGo();
    const handed = await Promise.all(handing);
    const paths = new Set(handed.map(({ path }) => path));
    assert.ok(paths.has('handoff'), `no frame was handed over, but ${[...paths]}`);
    for (const { path, frameId } of handed) {
      if (path === 'queued') await tab.run((id) => db.whenCommitted(id), frameId);
    }

    for (const name of names) {
      const direct = await tab.run(stored, name);
      for (const path of ['queued', 'joined', 'handed over']) {
        const other = await tab.run(stored, `${name} ${path}`);
        assert.deepEqual(other, direct, `${name} ${path}`);
      }
    }
    const file = await tab.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
  });

  test('plain values under lossy warn and allow: the nearest is stored, and counted by column', async () => {
    const send = (lossy) =>
      tab.run(
        (lossy) =>
          db.appendFrame(
            'nearest',
            [
              { i: 300, d: 0.29, u: -1n, f: NaN, day: new Date(86_399_999) },
              { i: 1.9, d: '1.009', u: 2n ** 70n, f: 0.1, day: null },
              { i: 5, d: '1.5', u: 7, f: 0.5, day: new Date(0) },
            ],
            { lossy, types: { i: 'int8', d: 'decimal64(5, 2)', u: 'uint16', f: 'float32', day: 'date32' } },
          ),
        lossy,
      );
    const error = await send('error').catch((error) => error);
    assert.deepEqual([error.code, error.column, error.row], ['LOSSY_VALUE', 'i', 0]);
    for (const lossy of ['warn', 'allow']) {
      assert.deepEqual((await send(lossy)).coerced, { i: 2, d: 2, u: 2, f: 2, day: 1 });
    }
    const rows = await tab.run(() => db.query('SELECT * FROM nearest LIMIT 3', [], { int64: 'number' }));
    assert.deepEqual(rows, [
      { i: 127, d: 29, u: 0, f: null, day: 0 },
      { i: 1, d: 100, u: 65_535, f: Math.fround(0.1), day: null },
      { i: 5, d: 150, u: 7, f: 0.5, day: 0 },
    ]);
  });

  test('plain values take the types of the columns they go to, by position too, and give a column of nulls its type', async () => {
    const rows = await tab.run(async () => {
      await db.appendFrame('places', { a: ['x'], b: [null] });
      await db.appendFrame('places', { b: ['y'], a: [7n] }, { match: 'position' });
      return db.query('SELECT a, b, typeof(b) AS stored FROM places');
    });
    assert.deepEqual(rows, [
      { a: 'x', b: null, stored: 'null' },
      { a: 'y', b: 7n, stored: 'integer' },
    ]);
  });
});
