// Opens a handle from inside a dedicated worker, where there is no document.
import { openDatabase } from '../../dist/index.js';

const db = await openDatabase('fake', { workerUrl: '/tests/contract/fake-worker.mjs' });
const { rows } = await db.appendFrame('t', new Uint8Array(3));
await db.close();
postMessage(rows);
