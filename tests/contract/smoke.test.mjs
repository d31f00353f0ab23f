// The shortest way through everything: open, append an Arrow frame, read it back, export, and let an ordinary sqlite3
// look at the file.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow';
import { inBrowsers, sqlite3 } from './harness.mjs';

const ROWS = 1000;

/** A frame with a column of each of the common kinds. */
function frame() {
  const indices = Array.from({ length: ROWS }, (_, i) => i);
  const table = tableFromArrays({
    id: Int32Array.from(indices),
    big: BigInt64Array.from(indices, (i) => 2n ** 53n + BigInt(i)),
    price: Float64Array.from(indices, (i) => i / 3),
    sym: indices.map((i) => (i % 10 ? `sym-${i % 7}é` : null)),
  });
  return tableToIPC(table, 'stream');
}

inBrowsers((context) => {
  test('open, append, read back, export, integrity_check, close, delete', async () => {
    const tab = await context.browser.newTab();
    const receipt = await tab.run(async (bytes) => {
      globalThis.db = await framelock.openDatabase('smoke');
      return db.appendFrame('ticks', bytes);
    }, frame());
    assert.deepEqual(
      { ...receipt, frameId: '', elapsedMs: 0, attempts: receipt.attempts.map(({ outcome }) => outcome) },
      {
        frameId: '',
        table: 'ticks',
        rows: ROWS,
        path: 'direct',
        committed: true,
        attempts: ['committed'],
        elapsedMs: 0,
        coerced: {},
      },
    );

    const rows = await tab.run(() => db.query('SELECT * FROM ticks ORDER BY id'));
    assert.equal(rows.length, ROWS);
    assert.deepEqual(rows[0], { id: 0, big: 2n ** 53n, price: 0, sym: null });
    assert.deepEqual(rows[999], { id: 999, big: 2n ** 53n + 999n, price: 333, sym: 'sym-5é' });
    const { price } = await tab.run(() => db.queryColumns('SELECT price FROM ticks ORDER BY id'));
    assert.deepEqual(
      price,
      Float64Array.from({ length: ROWS }, (_, i) => i / 3),
    );

    const back = tableFromIPC(await tab.run(() => db.queryArrow('SELECT * FROM ticks ORDER BY id')));
    const sent = tableFromIPC(frame());
    assert.equal(back.numRows, ROWS);
    for (const { name, type } of sent.schema.fields) {
      const field = back.schema.fields.find((other) => other.name === name);
      assert.equal(String(field.type), String(type), name);
    }

    const file = await tab.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
    assert.equal(
      sqlite3(file, 'SELECT count(*), max(big), count(sym) FROM ticks'),
      '1000|9007199254741991|900',
    );

    assert.deepEqual(await tab.run(() => framelock.listDatabases()), ['smoke']);
    await tab.run(() => db.close());
    await tab.run(() => framelock.deleteDatabase('smoke'));
    assert.deepEqual(await tab.run(() => framelock.listDatabases()), []);
    assert.deepEqual(tab.errors, []);
    await tab.close();
  });
});
