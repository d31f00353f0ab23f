import { openDatabase } from 'framelock';

/** Writes a frame and reads it back; the page and the worker share the database. */
export async function trial(who, options) {
  const db = await openDatabase('trial', options);
  // The page may be loaded again (Vite's development server does that), and the rows be there.
  const { path, rows } = await db.appendFrame(who, { n: Int32Array.of(1, 2, 3) }, { mode: 'replace' });
  const sum = await db.query(`SELECT sum(n) AS sum FROM ${who}`);
  const { storage } = await db.status();
  await db.close();
  return { path, rows, sum: Number(sum[0].sum), storage };
}
