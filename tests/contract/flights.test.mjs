// The real data set: flights-200k.arrow goes in from the page, in three forms, and every way out gives back what
// apache-arrow reads from the same file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { tableFromIPC } from 'apache-arrow';
import { root } from '../../scripts/toolchain.mjs';
import { inBrowsers, sqlite3 } from './harness.mjs';

const FLIGHTS = join(root, 'node_modules', 'vega-datasets', 'data', 'flights-200k.arrow');
const SAMPLES = 1000;
const SEED = 20_240_229;

/** A repeatable stream of integers below `bound` (mulberry32). */
function random(seed, bound) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) % bound;
  };
}

/** Count and sums as apache-arrow sees them. Integers are exact; the floats are summed in doubles. */
function sums(table) {
  const add = (name) =>
    table
      .getChild(name)
      .toArray()
      .reduce((sum, value) => sum + value, 0);
  return { rows: table.numRows, delay: add('delay'), distance: add('distance'), time: add('time') };
}

const SUMS = 'SELECT count(*) AS rows, sum(delay) AS delay, sum(distance) AS distance, sum(time) AS time';

/** Sums are equal, but for the order in which doubles were added. */
function assertSums(found, expected) {
  const { time, ...integers } = found;
  const { time: expectedTime, ...expectedIntegers } = expected;
  assert.deepEqual(integers, expectedIntegers);
  assert.ok(Math.abs(time - expectedTime) <= 1e-9 * expectedTime, `time ${time}, not ${expectedTime}`);
}

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

/** Appends the file's rows in one form. Runs in the page. */
async function append(form) {
  const bytes = new Uint8Array(await (await fetch('/vega-datasets/flights-200k.arrow')).arrayBuffer());
  const frames = {
    'IPC bytes': () => bytes,
    'apache-arrow table': () => Arrow.tableFromIPC(bytes),
    'flechette table': () => flechette.tableFromIPC(bytes),
  };
  const frame = frames[form]();
  const start = performance.now();
  const receipt = await db.appendFrame(form, frame);
  return { receipt, ms: performance.now() - start };
}

inBrowsers((context) => {
  const flights = tableFromIPC(readFileSync(FLIGHTS));
  let tab;
  before(async () => {
    tab = await context.browser.newTab();
    await tab.page.addScriptTag({ url: '/node_modules/apache-arrow/Arrow.es2015.min.js' });
    await tab.run(async () => {
      globalThis.flechette = await import('/node_modules/@uwdata/flechette/dist/flechette.mjs');
      globalThis.db = await framelock.openDatabase('flights');
    });
  });

  for (const form of ['IPC bytes', 'apache-arrow table', 'flechette table']) {
    test(`all flights as ${form}: counts, sums, ${SAMPLES} random rows, and the Arrow types back`, async (t) => {
      const { receipt, ms } = await tab.run(append, form);
      t.diagnostic(`${context.name}: ${flights.numRows} flights as ${form} in ${ms.toFixed(0)} ms`);
      assert.equal(receipt.path, 'direct');
      assert.equal(receipt.rows, flights.numRows);
      assert.deepEqual(receipt.coerced, {});

      const [found] = await tab.run((sql) => db.query(sql), `${SUMS} FROM "${form}"`);
      assertSums(found, sums(flights));

      const next = random(SEED, flights.numRows);
      const wanted = [...new Set(Array.from({ length: SAMPLES }, next))].sort((a, b) => a - b);
      const rows = await tab.run(
        (sql) => db.query(sql),
        `SELECT rowid - 1 AS row, * FROM "${form}" WHERE rowid - 1 IN (${wanted}) ORDER BY rowid`,
      );
      const expected = wanted.map((row) => ({ row, ...flights.get(row).toJSON() }));
      assert.deepEqual(rows, expected);

      const back = tableFromIPC(await tab.run((sql) => db.queryArrow(sql), `SELECT * FROM "${form}"`));
      assert.equal(back.numRows, flights.numRows);
      for (const { name, type } of flights.schema.fields) {
        const field = back.schema.fields.find((candidate) => candidate.name === name);
        assert.equal(String(field.type), String(type), name);
        // As bytes: deepEqual takes minutes to say where two arrays of this length differ.
        const [ours, theirs] = [back, flights].map((table) => bytesOf(table.getChild(name).toArray()));
        assert.ok(ours.equals(theirs), `the values of ${name} differ`);
      }
    });
  }

  test('the exported file is sound for an ordinary sqlite3, and has the same sums', async () => {
    const file = await tab.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
    for (const form of ['IPC bytes', 'apache-arrow table', 'flechette table']) {
      const [rows, delay, distance, time] = sqlite3(file, `${SUMS} FROM "${form}"`).split('|').map(Number);
      assertSums({ rows, delay, distance, time }, sums(flights));
    }
    assert.deepEqual(tab.errors, []);
  });
});
