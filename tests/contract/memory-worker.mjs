// A user's own worker that looks at the wasm's memory: how much of it a large file takes on its way out and in,
// and a stream of all its rows.
import { openDatabase } from '/dist/index.js';
import { here } from '/dist/here.js';

/** The engine's memory, seen when it is instantiated. */
let memory;
for (const name of ['instantiate', 'instantiateStreaming']) {
  const instantiate = WebAssembly[name];
  WebAssembly[name] = async (...args) => {
    const made = await instantiate.apply(WebAssembly, args);
    ({ memory } = (made.instance ?? made).exports);
    return made;
  };
}

/** Megabytes of the wasm's memory, which never shrinks. */
const megabytes = () => memory.buffer.byteLength / 2 ** 20;

onmessage = async ({ data: size }) => {
  try {
    const db = await openDatabase('memory-a', { engine: here });
    const copy = await openDatabase('memory-b', { engine: here });
    await db.exec('CREATE TABLE t(b BLOB)');
    for (let made = 0; made < size; made += 16) {
      await db.exec(
        'INSERT INTO t WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 256) SELECT randomblob(64000) FROM n',
      );
    }
    const seen = { before: megabytes() };
    const bytes = await db.exportFile();
    seen.exportFile = megabytes();
    const blob = await db.exportBlob();
    seen.exportBlob = megabytes();
    await copy.importFile(blob);
    seen.importFile = megabytes();
    let streamed = 0;
    for await (const batch of db.stream('SELECT b FROM t', [], { batchRows: 16 })) streamed += batch.length;
    seen.stream = megabytes();
    const [{ n }] = await copy.query('SELECT count(*) AS n FROM t');
    await Promise.all([db.close(), copy.close()]);
    postMessage({ seen, sizes: [bytes.length, blob.size, streamed], n });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
