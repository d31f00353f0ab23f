// @electric-sql/pglite on OPFS: Postgres, with COPY for frames, which is the fastest way in. Not SQLite: it is here for
// scale.
import { PGlite } from '/node_modules/@electric-sql/pglite/dist/index.js';

const create = (
  table,
) => `CREATE TABLE ${table}(id bigint, ts bigint, price double precision, qty integer, live boolean,
  sym text, note text, uid bytea)`;

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export function start() {
  let db;
  return {
    prepare({ rows, id, ts, price, qty, live, sym, note, uid }) {
      const lines = [];
      for (let i = 0; i < rows; i++) {
        const flag = live[i] ? 't' : 'f';
        const text = note[i] ?? '';
        lines.push(`${id[i]},${ts[i]},${price[i]},${qty[i]},${flag},${sym[i]},${text},\\x${hex(uid[i])}\n`);
      }
      return new Blob([lines.join('')]);
    },
    async open(name) {
      db = await PGlite.create(`opfs-ahp://${name}`);
    },
    exec: async (sql) => void (await db.exec(sql)),
    async write(blob, table, isNew) {
      await db.transaction(async (tx) => {
        if (isNew) await tx.exec(create(table));
        await tx.query(`COPY ${table} FROM '/dev/blob' WITH (FORMAT csv)`, [], { blob });
      });
    },
    rows: async (sql) => (await db.query(sql)).rows,
    close: () => db.close(),
    async remove(name) {
      const folder = await navigator.storage.getDirectory();
      await folder.removeEntry(name, { recursive: true }).catch(() => {});
    },
  };
}
