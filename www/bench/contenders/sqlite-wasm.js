// @sqlite.org/sqlite-wasm through its object API (oo1), with multi-row VALUES; `expert` is what somebody who knows the
// C API does instead: text and blobs encoded into the heap beforehand, the exports called directly.
import init from '/node_modules/@sqlite.org/sqlite-wasm/dist/index.mjs';
import { create as createSql } from '../frame.js';
import { chunks, insertSql, whileBusy } from './forms.js';

/** Rows of one statement; measured, see docs/performance.md. */
export const ROWS = { sahpool: 50, opfs: 50, memory: 50, expert: 50 };

export async function start(variant, tune = {}) {
  const sqlite3 = await init();
  const rowsPerStatement = tune.rows ?? ROWS[variant];
  const pooled = variant === 'sahpool' || variant === 'expert';
  const pool =
    pooled && (await sqlite3.installOpfsSAHPoolVfs({ name: 'bench', directory: '/bench-sahpool' }));
  const isBusy = (error) => (error.resultCode & 0xff) === sqlite3.capi.SQLITE_BUSY;
  let db;
  /** Prepared INSERTs by their text. */
  let inserts = new Map();

  function insertOf(table, rows) {
    const sql = insertSql(table, rows);
    if (!inserts.has(sql)) inserts.set(sql, db.prepare(sql));
    return inserts.get(sql);
  }

  function insertAll(frame, table) {
    for (const { rows, values } of frame.chunks) insertOf(table, rows).bind(values).stepReset();
  }

  const write = variant === 'expert' ? expert(sqlite3, insertOf) : { prepare: bound, insert: insertAll };
  function bound(columns) {
    return { chunks: chunks(columns, rowsPerStatement) };
  }

  return {
    prepare: (columns) => write.prepare(columns, rowsPerStatement),
    async open(name, workload) {
      if (pooled) db = new pool.OpfsSAHPoolDb(`/${name}`);
      else if (variant === 'opfs') db = new sqlite3.oo1.OpfsDb(`/${name}`, 'c');
      else db = new sqlite3.oo1.DB(':memory:', 'c');
      const pragmas = tune.pragmas ?? pragmasFor(variant, workload);
      await whileBusy(isBusy, () => db.exec(pragmas));
    },
    exec: (sql) => void db.exec(sql),
    async write(frame, table, create) {
      if (variant === 'opfs') await whileBusy(isBusy, () => db.exec('BEGIN IMMEDIATE'));
      else db.exec('BEGIN IMMEDIATE');
      if (create) db.exec(createSql(table));
      write.insert(frame, table);
      if (variant === 'opfs') await whileBusy(isBusy, () => db.exec('COMMIT'));
      else db.exec('COMMIT');
    },
    rows: (sql) => whileBusy(isBusy, () => db.selectObjects(sql)),
    close() {
      for (const statement of inserts.values()) statement.finalize();
      inserts = new Map();
      db.close();
    },
    async remove(name) {
      if (pooled) pool.unlink(`/${name}`);
      else if (variant === 'opfs') {
        const folder = await navigator.storage.getDirectory();
        for (const file of [name, `${name}-journal`]) await folder.removeEntry(file).catch(() => {});
      }
    },
  };
}

/** The settings that measured best at full durability. */
function pragmasFor(variant) {
  const page = 'PRAGMA page_size=8192; PRAGMA cache_size=-16384; PRAGMA synchronous=FULL;';
  if (variant === 'memory') return page;
  if (variant === 'opfs') return `${page} PRAGMA journal_mode=TRUNCATE;`;
  return `${page} PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE;`;
}

/** The frame laid out in the heap, and the loop over it. */
function expert(sqlite3, insertOf) {
  const { wasm } = sqlite3;
  const { exports } = wasm;
  return {
    prepare(columns, rowsPerStatement) {
      const encoder = new TextEncoder();
      const texts = [columns.sym, columns.note].map((values) => {
        const ends = new Uint32Array(columns.rows + 1);
        const parts = values.map((value) => value ?? '');
        parts.forEach((value, i) => (ends[i + 1] = ends[i] + value.length));
        const bytes = encoder.encode(parts.join(''));
        const at = wasm.alloc(bytes.length);
        wasm.heap8u().set(bytes, at);
        return { ends, at };
      });
      const uids = wasm.alloc(columns.uids.length);
      wasm.heap8u().set(columns.uids, uids);
      return { ...columns, texts, uids, rowsPerStatement };
    },
    insert({ rows, id, ts, price, qty, live, note, texts, uids, rowsPerStatement }, table) {
      const { sqlite3_bind_int: int, sqlite3_bind_double: real, sqlite3_bind_text: text } = exports;
      const { sqlite3_bind_blob: blob, sqlite3_bind_null: none, sqlite3_step, sqlite3_reset } = exports;
      const [sym, notes] = texts;
      for (let start = 0; start < rows; start += rowsPerStatement) {
        const end = Math.min(start + rowsPerStatement, rows);
        const { pointer } = insertOf(table, end - start);
        let at = 0;
        for (let i = start; i < end; i++) {
          // A double is cheaper to pass than an int64; the column's affinity makes it an integer again.
          real(pointer, ++at, id[i]);
          real(pointer, ++at, ts[i]);
          real(pointer, ++at, price[i]);
          int(pointer, ++at, qty[i]);
          int(pointer, ++at, live[i]);
          text(pointer, ++at, sym.at + sym.ends[i], sym.ends[i + 1] - sym.ends[i], 0);
          if (note[i] === null) none(pointer, ++at);
          else text(pointer, ++at, notes.at + notes.ends[i], notes.ends[i + 1] - notes.ends[i], 0);
          blob(pointer, ++at, uids + i * 16, 16, 0);
        }
        if (sqlite3_step(pointer) !== 101) throw new Error('the expert loop failed');
        sqlite3_reset(pointer);
      }
    },
  };
}
