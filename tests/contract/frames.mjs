// Small frames for the contract tests, and what is expected of the rows that they leave behind.
import assert from 'node:assert/strict';
import { tableFromArrays, tableToIPC } from 'apache-arrow';

/** An Arrow IPC stream whose rows say who wrote them: `writer`, `frame` and `row`, and a text beside. */
export function namedFrame(writer, frame, rows = 100) {
  const row = Int32Array.from({ length: rows }, (_, i) => i);
  const table = tableFromArrays({
    writer: Int32Array.from(row, () => writer),
    frame: Int32Array.from(row, () => frame),
    row,
    note: Array.from(row, (i) => (i % 7 ? `writer ${writer}, frame ${frame}, row ${i}` : null)),
  });
  return tableToIPC(table, 'stream');
}

/** How many rows a table has, how many different ones, and whether each writer's frames are in call order. */
export async function summary(tab, database, table = 't') {
  const [found] = await tab.run(
    async (database, table) => {
      const db = await framelock.openDatabase(database);
      const rows = await db.query(`
        SELECT count(*) AS rows, count(DISTINCT writer || '/' || frame || '/' || row) AS different,
          (SELECT count(*) FROM (SELECT frame * 1000 + row < lag(frame * 1000 + row)
             OVER (PARTITION BY writer ORDER BY rowid) AS back FROM "${table}") WHERE back) AS disordered
        FROM "${table}"`);
      await db.close();
      return rows;
    },
    database,
    table,
  );
  return found;
}

/** Asserts that every row of `frames` frames of `rows` rows is there once, in order. */
export async function assertAllOnce(tab, database, frames, rows = 100) {
  const expected = { rows: frames * rows, different: frames * rows, disordered: 0 };
  assert.deepEqual(await summary(tab, database), expected);
}

/** How many receipts went which way. */
export function paths(receipts) {
  const counts = {};
  for (const { path } of receipts) counts[path] = (counts[path] ?? 0) + 1;
  return counts;
}
