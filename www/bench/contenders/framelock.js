// framelock as a page uses it: Arrow bytes in, a receipt out.
import { deleteDatabase, openDatabase } from '/dist/index.js';
import { arrowOf } from './arrow.js';

/** Asks the worker for its storage calls. */
function taken() {
  const channel = new BroadcastChannel('bench-calls');
  return new Promise((resolve) => {
    channel.onmessage = ({ data }) => resolve(data);
    channel.postMessage('take');
  }).finally(() => channel.close());
}

export function start(variant, { count }) {
  const options = count ? { workerUrl: new URL('../counted-worker.js', import.meta.url) } : {};
  let db;
  return {
    calls: count ? taken : undefined,
    prepare: arrowOf,
    async open(name, workload) {
      // Several tabs that all write all the time: a frame goes to the tab that holds the lock at once. The variant
      // `default` waits for the lock, as a page does that sets nothing.
      const retry = workload === 'W5' && variant !== 'default' ? { attempts: 0 } : undefined;
      db = await openDatabase(name, retry ? { ...options, retry } : options);
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
