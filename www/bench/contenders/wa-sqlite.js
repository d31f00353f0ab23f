// @journeyapps/wa-sqlite with its synchronous build and one of its OPFS file systems, as its documentation shows.
// OPFSCoopSyncVFS has no busy_timeout: a taken lock is tried again from JavaScript.
import * as SQLite from '/node_modules/@journeyapps/wa-sqlite/src/sqlite-api.js';
import factory from '/node_modules/@journeyapps/wa-sqlite/dist/wa-sqlite.mjs';
import { create as createSql } from '../frame.js';
import { chunks, insertSql, whileBusy } from './forms.js';

/** Rows of one statement; measured, see docs/performance.md. */
const ROWS = 50;
const FOLDER = '/node_modules/@journeyapps/wa-sqlite/src/examples/';

export async function start(variant, tune = {}) {
  const module = await factory();
  const sqlite3 = SQLite.Factory(module);
  const { [variant]: Vfs } = await import(`${FOLDER}${variant}.js`);
  const vfs = await Vfs.create('bench', module);
  sqlite3.vfs_register(vfs, true);
  const isBusy = (error) => (error.code & 0xff) === SQLite.SQLITE_BUSY;
  const rowsPerStatement = tune.rows ?? ROWS;
  let db;
  let inserts = new Map();

  async function insertOf(table, rows) {
    const sql = insertSql(table, rows);
    if (!inserts.has(sql)) {
      // An iterator that is not finished keeps its statement.
      const iterator = sqlite3.statements(db, sql, { unscoped: true });
      inserts.set(sql, (await iterator[Symbol.asyncIterator]().next()).value);
    }
    return inserts.get(sql);
  }

  const exec = (sql) => whileBusy(isBusy, () => sqlite3.exec(db, sql));

  return {
    prepare: (columns) => chunks(columns, rowsPerStatement),
    async open(name, workload) {
      db = await whileBusy(isBusy, () => sqlite3.open_v2(name));
      await exec(tune.pragmas ?? pragmasFor(variant, workload));
    },
    exec,
    async write(frame, table, create) {
      await exec('BEGIN IMMEDIATE');
      if (create) await sqlite3.exec(db, createSql(table));
      for (const { rows, values } of frame) {
        const statement = await insertOf(table, rows);
        sqlite3.bind_collection(statement, values);
        await sqlite3.step(statement);
        sqlite3.reset(statement);
      }
      await exec('COMMIT');
    },
    rows: (sql) =>
      whileBusy(isBusy, async () => {
        const rows = [];
        for await (const statement of sqlite3.statements(db, sql)) {
          const names = sqlite3.column_names(statement);
          while ((await sqlite3.step(statement)) === SQLite.SQLITE_ROW) {
            const values = sqlite3.row(statement);
            const row = {};
            for (let i = 0; i < names.length; i++) row[names[i]] = values[i];
            rows.push(row);
          }
        }
        return rows;
      }),
    async close() {
      for (const statement of inserts.values()) await sqlite3.finalize(statement);
      inserts = new Map();
      await sqlite3.close(db);
    },
    async remove(name) {
      // The pool knows its files by itself; the others keep them under their own names.
      if (variant === 'AccessHandlePoolVFS') return void vfs.jDelete(name, 0);
      const folder = await navigator.storage.getDirectory();
      for await (const file of folder.keys()) {
        if (file.startsWith(name)) await folder.removeEntry(file).catch(() => {});
      }
    },
  };
}

/** The settings that measured best at full durability. */
function pragmasFor(variant) {
  const page = 'PRAGMA page_size=8192; PRAGMA cache_size=-16384; PRAGMA synchronous=FULL;';
  if (variant === 'OPFSWriteAheadVFS') return `${page} PRAGMA busy_timeout=60000;`;
  if (variant === 'OPFSCoopSyncVFS') return `${page} PRAGMA journal_mode=DELETE;`;
  return `${page} PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE;`;
}
