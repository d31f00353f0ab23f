// Opens a database from a SharedWorker or a service worker, and answers with what came of it.
import { openDatabase } from '../../dist/index.js';

async function outcome() {
  try {
    const db = await openDatabase('elsewhere');
    await db.appendFrame('t', [{ a: 1 }]);
    await db.close();
    return 'worked';
  } catch ({ code, message }) {
    return `${code}: ${message}`;
  }
}

addEventListener('connect', async ({ ports: [port] }) => port.postMessage(await outcome()));
addEventListener('message', async ({ ports: [port] }) => port.postMessage(await outcome()));
