// @duckdb/duckdb-wasm on an OPFS file: its own worker, its Arrow insert. Not SQLite and column-wise: it is here for
// scale, since people choose between the two.
import * as duckdb from '/node_modules/@duckdb/duckdb-wasm/dist/duckdb-browser.mjs';
import { arrowOf } from './arrow.js';

const DIST = '/node_modules/@duckdb/duckdb-wasm/dist/';

export async function start() {
  const worker = new Worker(`${DIST}duckdb-browser-eh.worker.js`);
  const db = new duckdb.AsyncDuckDB(new duckdb.VoidLogger(), worker);
  await db.instantiate(new URL(`${DIST}duckdb-eh.wasm`, location.href).href);
  let connection;
  return {
    prepare: arrowOf,
    async open(name) {
      const accessMode = duckdb.DuckDBAccessMode.READ_WRITE;
      // Sums come back as numbers.
      const query = { castBigIntToDouble: true, castDecimalToDouble: true };
      await db.open({ path: `opfs://${name}`, accessMode, query });
      connection = await db.connect();
    },
    async exec(sql) {
      await connection.query(sql);
    },
    async write(frame, table, create) {
      // It gives the bytes away to its worker.
      await connection.insertArrowFromIPCStream(frame.slice(), { name: table, create });
    },
    async rows(sql) {
      const table = await connection.query(sql.replace('ts % 1000003', 'epoch_us(ts) % 1000003'));
      return table.toArray().map((row) => row.toJSON());
    },
    arrow: async (sql) => (await connection.query(sql)).numRows,
    async close() {
      await connection.close();
      // Its handles on the file go with the database.
      await db.reset();
      await db.dropFiles();
    },
    async remove(name) {
      const folder = await navigator.storage.getDirectory();
      for (const file of [name, `${name}.wal`]) await folder.removeEntry(file).catch(() => {});
    },
  };
}
