// framelock as a page uses it: Arrow bytes in, a receipt out.
import { deleteDatabase, openDatabase } from '/dist/index.js';
import * as flechette from '/node_modules/@uwdata/flechette/src/index.js';
import { toArrow } from '../frame.js';

export function start() {
  let db;
  return {
    prepare: (columns) => toArrow(columns, flechette),
    async open(name) {
      db = await openDatabase(name);
    },
    exec: (sql) => db.exec(sql),
    async write(frame, table) {
      const receipt = await db.appendFrame(table, frame);
      if (!receipt.committed) await db.whenCommitted(receipt.frameId);
    },
    rows: (sql) => db.query(sql),
    arrow: async (sql) => (await db.queryArrow(sql)).length,
    close: () => db.close(),
    remove: (name) => deleteDatabase(name),
  };
}
