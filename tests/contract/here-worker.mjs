// A user's own worker that counts the workers it starts, and does what it is told with framelock imported.
let started = 0;
globalThis.Worker = class extends Worker {
  constructor(...args) {
    super(...args);
    started += 1;
  }
};

const { openDatabase, deleteDatabase, listDatabases } = await import('/dist/index.js');
const { here } = await import('/dist/here.js');

const deeds = {
  async loads() {
    const open = async (options) => {
      const db = await openDatabase('here-a', { engine: here, ...options });
      await db.close();
      return 'opened';
    };
    const codes = [await open({ wasmUrl: '/nowhere.wasm' }).catch(({ code }) => code), await open({})];
    return { codes, started };
  },
  async lives() {
    const [a, b] = await Promise.all(
      ['here-a', 'here-b'].map((name) => openDatabase(name, { engine: here })),
    );
    const again = await openDatabase('here-a', { engine: here });
    const events = [];
    a.on('commit', ({ tables, origin }) => events.push(`${tables} ${origin}`));
    const receipts = [];
    for (let i = 0; i < 50; i++)
      receipts.push((await again.appendFrame('t', { n: Int32Array.of(i) })).committed);
    await b.appendFrame('t', { n: Int32Array.of(7) });
    const counts = [];
    for (const db of [a, b]) counts.push((await db.query('SELECT count(*) AS n FROM t'))[0].n);
    // Somebody else's mistake in the same worker is none of the engine's.
    setTimeout(() => Promise.reject(new Error('the app failed')));
    await new Promise((resolve) =>
      addEventListener('unhandledrejection', (event) => (event.preventDefault(), resolve()), { once: true }),
    );
    const alive = (await a.query('SELECT 1 AS one'))[0].one;
    const sqlError = await a.query('SELEC').catch(({ code }) => code);
    const names = (await listDatabases({ engine: here })).filter((name) => name.startsWith('here-'));
    const busy = await deleteDatabase('here-a', { engine: here }).catch(({ code }) => code);
    await Promise.all([a, b, again].map((db) => db.close()));
    const { held, pending } = await navigator.locks.query();
    const locks = [...held, ...pending].filter(({ name }) => name.includes('here-')).length;
    const closed = await a.query('SELECT 1').catch(({ code }) => code);
    return {
      receipts: [...new Set(receipts)],
      counts,
      heard: [...new Set(events)],
      alive,
      sqlError,
      names,
      busy,
      locks,
      closed,
      started,
    };
  },
  async reopens() {
    const sums = [];
    for (let i = 0; i < 5; i++) {
      const db = await openDatabase('here-a', { engine: here });
      await db.appendFrame('u', { n: Int32Array.of(i) });
      sums.push((await db.query('SELECT sum(n) AS sum FROM u'))[0].sum);
      await db.close();
    }
    for (const name of ['here-a', 'here-b']) await deleteDatabase(name, { engine: here });
    return {
      sums,
      left: (await listDatabases({ engine: here })).filter((name) => name.startsWith('here-')),
      started,
    };
  },
  async fails() {
    const folder = await (
      await navigator.storage.getDirectory()
    ).getDirectoryHandle('framelock', { create: true });
    // No file can have this name.
    await folder.getDirectoryHandle('here-folder', { create: true });
    const open = () => openDatabase('here-folder', { engine: here });
    const code = await open().catch(({ code }) => code);
    // The browser frees a lock a moment after it was let go of.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { held, pending } = await navigator.locks.query();
    const locks = [...held, ...pending].filter(({ name }) => name.includes('here-folder')).length;
    await folder.removeEntry('here-folder');
    const db = await open();
    await db.close();
    await deleteDatabase('here-folder', { engine: here });
    return { code, locks, started };
  },
  async own() {
    const db = await openDatabase('here-own');
    const wrong = await openDatabase('here-own', { engine: {} }).catch(({ code }) => code);
    await db.close();
    await deleteDatabase('here-own');
    return { wrong, started };
  },
  async memory() {
    const db = await openDatabase('m', { engine: here, storage: 'memory' });
    const { rows } = await db.appendFrame('t', { n: new Float64Array(1000) });
    await db.close();
    return { rows, started };
  },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ value: await deeds[data]() });
  } catch (error) {
    postMessage({ error: `${error.code} ${error.stack}` });
  }
};
postMessage('ready');
