// Opening, listing, deleting, and the whole file in and out: what is no database, what is damaged, what another tab or
// another version has open, and browsers without OPFS.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { assertAllOnce, namedFrame } from './frames.mjs';
import { BROWSERS, inBrowsers, launch } from './harness.mjs';

/** Writes a file into framelock's folder, past framelock. Runs in the page. */
async function plant(name, bytes) {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('framelock', { create: true });
  const file = await folder.getFileHandle(name, { create: true });
  const writer = await file.createWritable();
  await writer.write(bytes);
  await writer.close();
}

/** The bytes of a file in framelock's folder. Runs in the page. */
async function dig(name) {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('framelock');
  const file = await (await folder.getFileHandle(name)).getFile();
  return new Uint8Array(await file.arrayBuffer());
}

/** Lets foreign code open a file (see foreign.mjs). Runs in the page. */
async function holdFile(request) {
  globalThis.foreign = new Worker('/tests/contract/foreign.mjs', { type: 'module' });
  const answer = new Promise((resolve) => (foreign.onmessage = resolve));
  foreign.postMessage(request);
  const { data } = await answer;
  if (data !== 'held') throw new Error(data);
}

/** Ends what `holdFile` began. Runs in the page. */
async function releaseFile() {
  const released = new Promise((resolve) => (foreign.onmessage = resolve));
  foreign.postMessage('release');
  await released;
  foreign.terminate();
}

/** Opens `name` and reads from it; gives the code of what failed first. */
const tryDatabase = (tab, name) =>
  tab.run(async (name) => {
    let db;
    try {
      db = await framelock.openDatabase(name);
      await db.query('SELECT count(*) FROM sqlite_schema');
      await db.appendFrame('t', { a: [1] }, { fallback: 'none' });
      return 'worked';
    } catch (error) {
      return error.code;
    } finally {
      await db?.close();
    }
  }, name);

/** Repeatable bytes that look like nothing. */
function noise(length) {
  let state = 1;
  return Uint8Array.from({ length }, () => (state = (state * 48271) % 0x7fffffff) & 0xff);
}

inBrowsers((context) => {
  let tab;
  before(async () => {
    tab = await context.browser.newTab();
  });

  test('names that are no file names are refused before anything is opened', async () => {
    const bad = ['', '.', '..', '.hidden', 'a/b', 'a\\b', '../x', 'a b', 'é', 'a\0', 'x'.repeat(129)];
    const reserved = ['a-journal', 'a.queue'];
    const strange = [undefined, null, 1, {}, ['a']];
    const results = await tab.run(
      async (names) => {
        const codes = [];
        for (const name of names) {
          codes.push(await framelock.openDatabase(name).then(String, ({ code }) => code));
          codes.push(await framelock.deleteDatabase(name).then(String, ({ code }) => code));
        }
        return codes;
      },
      [...bad, ...reserved, ...strange],
    );
    assert.deepEqual([...new Set(results)], ['INVALID_ARGUMENT']);
    assert.deepEqual(await tab.run(() => framelock.listDatabases()), []);
  });

  test('a wasm that is not there, or is a page, is named as the wasm', async () => {
    const errors = await tab.run(async () => {
      const open = (wasmUrl) => framelock.openDatabase('unloaded', { wasmUrl }).catch((error) => error);
      const errors = await Promise.all(['/nowhere.wasm', '/blank', 'http://127.0.0.1:1/a.wasm'].map(open));
      return errors.map(({ code, message }) => `${code}: ${message}`);
    });
    for (const error of errors)
      assert.match(
        error,
        /^WORKER_FAILED: the worker failed: the wasm did not load \(.*wasmUrl.*CSP.*\): \w/,
      );
  });

  test('list, delete while open (BUSY), delete after; deleting nothing is no error', async () => {
    const other = await context.browser.newTab();
    const longest = 'x'.repeat(128);
    const names = ['b-1', 'A.sqlite', '_', longest];
    await tab.run(async (names) => {
      globalThis.opened = [];
      for (const name of names) {
        const db = await framelock.openDatabase(name);
        await db.appendFrame('t', { a: [1] });
        opened.push(db);
      }
    }, names);
    assert.deepEqual(await other.run(() => framelock.listDatabases()), [...names].sort());
    const busy = (tab) => tab.run(() => framelock.deleteDatabase('b-1').then(String, ({ code }) => code));
    assert.equal(await busy(other), 'BUSY');
    assert.equal(await busy(tab), 'BUSY', 'this tab has it open too');
    await tab.run(() => Promise.all(opened.map((db) => db.close())));
    await other.run(async (names) => {
      for (const name of [...names, 'never-there']) await framelock.deleteDatabase(name);
    }, names);
    assert.deepEqual(await other.run(() => framelock.listDatabases()), []);
    // The name is free again, and nothing of the old rows is there.
    const rows = await tab.run(async () => {
      const db = await framelock.openDatabase('b-1');
      const rows = await db.query('SELECT name FROM sqlite_schema');
      await db.close();
      await framelock.deleteDatabase('b-1');
      return rows;
    });
    assert.deepEqual(rows, []);
    await other.close();
  });

  test('the folder is removed under an open handle, and another tab makes it anew: STORAGE_LOST, its rows stay', async () => {
    const other = await context.browser.newTab();
    const make = async (from) => {
      globalThis.db = await framelock.openDatabase('anew');
      await db.exec('CREATE TABLE t(n INTEGER)');
      await db.appendFrame('t', { n: [from, from + 1] });
      return db.query('SELECT n FROM t');
    };
    await tab.run(make, 0);
    await other.run(async () => {
      // So that nobody has the lease, and with it the files.
      const db = await framelock.openDatabase('anew');
      await db.exec('SELECT 1');
      await db.close();
      const root = await navigator.storage.getDirectory();
      await root.removeEntry('framelock', { recursive: true });
    });
    await other.run(make, 10);
    const codes = await tab.run(async () => {
      const code = (promise) => promise.then(JSON.stringify, ({ code }) => code);
      const options = { fallback: 'queue', retry: { attempts: 0 } };
      return [
        await code(db.query('SELECT count(*) AS n FROM t')),
        await code(db.appendFrame('t', { n: [2] })),
        await code(db.appendFrame('t', { n: [3] }, options)),
      ];
    });
    assert.deepEqual(codes, Array(3).fill('STORAGE_LOST'));
    const rows = await other.run(async () => {
      await db.appendFrame('t', { n: [12] });
      return db.query('SELECT n FROM t');
    });
    assert.deepEqual(rows, [{ n: 10n }, { n: 11n }, { n: 12n }]);
    await Promise.all([tab, other].map((tab) => tab.run(() => db.close())));
    await tab.run(() => framelock.deleteDatabase('anew'));
    await other.close();
  });

  test('random bytes are NOT_A_DATABASE, and stay byte for byte what they were', async () => {
    for (const [name, bytes] of [
      ['noise', noise(20_000)],
      ['short', new TextEncoder().encode('hello')],
      ['nearly', new TextEncoder().encode('SQLite format 4\0'.padEnd(4096, 'x'))],
    ]) {
      await tab.run(plant, name, bytes);
      assert.equal(await tryDatabase(tab, name), 'NOT_A_DATABASE', name);
      assert.deepEqual(await tab.run(dig, name), bytes, name);
    }
  });

  test('damaged SQLite files are CORRUPT or NOT_A_DATABASE, and stay what they were', async () => {
    const sound = await tab.run(async () => {
      const db = await framelock.openDatabase('sound');
      await db.exec('CREATE TABLE t(a INTEGER)');
      await db.appendFrame('big', { a: Array.from({ length: 5000 }, (_, i) => `row ${i}`) });
      const bytes = await db.exportFile();
      await db.close();
      return bytes;
    });
    const damage = {
      // The page size of the header is no power of two.
      'page-size': (bytes) => bytes.fill(0x7b, 16, 18),
      // The root page of the schema says it is no kind of page.
      schema: (bytes) => bytes.fill(0xff, 100, 108),
      // Every page behind the first is noise.
      pages: (bytes) => bytes.set(noise(bytes.length - 8192), 8192),
    };
    const codes = {};
    for (const [name, change] of Object.entries(damage)) {
      const bytes = sound.slice();
      change(bytes);
      await tab.run(plant, name, bytes);
      const read = await tab.run(async (name) => {
        let db;
        try {
          db = await framelock.openDatabase(name);
          await db.query('SELECT * FROM big');
          return 'worked';
        } catch ({ code }) {
          return code;
        } finally {
          await db?.close();
        }
      }, name);
      codes[name] = read;
      assert.deepEqual(await tab.run(dig, name), bytes, `${name} was changed`);
    }
    assert.deepEqual(codes, { 'page-size': 'NOT_A_DATABASE', schema: 'CORRUPT', pages: 'CORRUPT' });
    // The header is right and the rest is missing.
    const cut = sound.slice(0, 8192 * 2 + 100);
    await tab.run(plant, 'cut', cut);
    assert.notEqual(await tryDatabase(tab, 'cut'), 'worked');
  });

  test('export and import: all or nothing, with the Arrow types', async () => {
    const seen = await tab.run(
      async (frames, noise) => {
        const outcome = (promise) =>
          promise.then(
            () => 'done',
            ({ code }) => code,
          );
        const from = await framelock.openDatabase('from');
        await from.appendFrame('t', frames[0]);
        const file = await from.exportFile();
        const to = await framelock.openDatabase('to');
        await to.appendFrame('t', frames[1]);
        await to.exec('CREATE TABLE only_here(n)');
        const damaged = file.slice();
        damaged.fill(0xff, 8192);
        const refused = [];
        for (const bytes of [noise, new Uint8Array(), file.slice(0, 5000), damaged, new Blob([noise])]) {
          refused.push(await outcome(to.importFile(bytes)));
        }
        refused.push(await outcome(to.importFile('bytes')), await outcome(to.importFile()));
        const kept = await to.query('SELECT DISTINCT frame FROM t');
        await to.importFile(new Blob([file]));
        const imported = {
          frames: await to.query('SELECT DISTINCT frame FROM t'),
          tables: await to.query("SELECT name FROM sqlite_schema WHERE name = 'only_here'"),
          arrow: [await from.queryArrow('SELECT * FROM t'), await to.queryArrow('SELECT * FROM t')],
        };
        await to.importFile(await to.exportFile());
        await to.appendFrame('t', frames[1]);
        imported.after = await to.query('SELECT DISTINCT frame FROM t ORDER BY 1');
        await Promise.all([from.close(), to.close()]);
        return { refused, kept, imported };
      },
      [namedFrame(0, 0), namedFrame(0, 1)],
      noise(10_000),
    );
    const { refused, kept, imported } = seen;
    assert.deepEqual(refused.slice(0, 2), ['NOT_A_DATABASE', 'NOT_A_DATABASE']);
    for (const code of refused.slice(2, 5)) assert.ok(['CORRUPT', 'NOT_A_DATABASE'].includes(code), code);
    assert.deepEqual(refused.slice(5), ['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
    assert.deepEqual(kept, [{ frame: 1 }]);
    assert.deepEqual(imported.frames, [{ frame: 0 }]);
    assert.deepEqual(imported.tables, []);
    assert.deepEqual(imported.arrow[0], imported.arrow[1]);
    assert.deepEqual(imported.after, [{ frame: 0 }, { frame: 1 }]);
    await assertAllOnce(tab, 'to', 2);
  });

  test('an import in one tab is seen by the next statement of another', async () => {
    const other = await context.browser.newTab();
    const open = () => framelock.openDatabase('shared').then((db) => void (globalThis.shared = db));
    await Promise.all([tab.run(open), other.run(open)]);
    await other.run(() => shared.appendFrame('t', { a: [1, 2, 3] }));
    const before = await tab.run(() => shared.query('SELECT count(*) AS n FROM t'));
    await other.run(async () => {
      const plain = await framelock.openDatabase('plain');
      await plain.exec("CREATE TABLE t(b TEXT); INSERT INTO t VALUES ('imported')");
      await shared.importFile(await plain.exportFile());
      await plain.close();
    });
    const after = await tab.run(() => shared.query('SELECT * FROM t'));
    assert.deepEqual([before, after], [[{ n: 3 }], [{ b: 'imported' }]]);
    // The imported file knew no framelock tables; they come with the next frame.
    const receipt = await tab.run(() => shared.appendFrame('u', { a: [1] }));
    assert.equal(receipt.committed, true);
    await Promise.all([tab, other].map((tab) => tab.run(() => shared.close())));
    await other.close();
  });

  test('another version of framelock holds the lock and the file: PROTOCOL_VERSION, nothing written', async () => {
    const newer = await context.browser.newTab();
    await tab.run(async () => {
      globalThis.older = await framelock.openDatabase('versions');
      await older.appendFrame('t', { a: [1] });
      await older.close();
    });
    // What a later framelock would do: its own lock, the same file.
    await newer.run(holdFile, { hold: 'versions', lock: 'framelock/2/versions' });
    assert.equal(await tryDatabase(tab, 'versions'), 'PROTOCOL_VERSION');
    await newer.run(releaseFile);
    const rows = await tab.run(async () => {
      const db = await framelock.openDatabase('versions');
      const rows = await db.query('SELECT * FROM t');
      await db.close();
      return rows;
    });
    assert.deepEqual(rows, [{ a: 1n }]);
    await newer.close();
  });

  test('foreign code has the file but no lock: BUSY in the end, and then it works', async () => {
    await tab.run(async () => {
      const db = await framelock.openDatabase('taken');
      await db.appendFrame('t', { a: [1] });
      await db.close();
    });
    await tab.run(holdFile, { hold: 'taken' });
    assert.equal(await tryDatabase(tab, 'taken'), 'BUSY');
    await tab.run(releaseFile);
    assert.equal(await tryDatabase(tab, 'taken'), 'worked');
  });

  test("storage 'memory' keeps nothing and shares nothing", async () => {
    const seen = await tab.run(async () => {
      const [one, two] = [
        await framelock.openDatabase('ram', { storage: 'memory' }),
        await framelock.openDatabase('ram', { storage: 'memory' }),
      ];
      await one.appendFrame('t', { a: [1, 2] });
      const rows = await one.query('SELECT count(*) AS n FROM t');
      const none = await two.query('SELECT count(*) AS n FROM sqlite_schema');
      const status = await one.status();
      const file = await one.exportFile();
      await two.importFile(file);
      const copied = await two.query('SELECT count(*) AS n FROM t');
      await Promise.all([one.close(), two.close()]);
      return { rows, none, copied, storage: status.storage, list: await framelock.listDatabases() };
    });
    assert.equal(seen.storage, 'memory');
    assert.deepEqual([seen.rows, seen.none, seen.copied], [[{ n: 2 }], [{ n: 0 }], [{ n: 2 }]]);
    assert.ok(!seen.list.includes('ram'));
  });

  test("storage 'memory' has every rung: what waits is applied, what is refused is listed", async () => {
    const seen = await tab.run(async () => {
      const db = await framelock.openDatabase('ram', { storage: 'memory' });
      await db.exec('CREATE TABLE t(a INTEGER UNIQUE)');
      const queued = [];
      await db.transaction(async (tx) => {
        await tx.exec('INSERT INTO t VALUES(1)');
        const retry = { attempts: 1, lockTimeoutMs: 10 };
        for (const a of [2, 1, 3]) queued.push(await db.appendFrame('t', { a: [a] }, { retry }));
      });
      const settled = [];
      for (const { frameId } of queued) {
        settled.push(await db.whenCommitted(frameId).catch(({ code, sqliteCode }) => ({ code, sqliteCode })));
      }
      const counts = ({ queued, rejected }) => ({ queued, rejected });
      const before = { ...counts(await db.status()), list: await db.rejected(), drained: await db.drain() };
      await db.exec('DELETE FROM t WHERE a = 1');
      await db.retryRejected(queued[1].frameId);
      const retried = await db.whenCommitted(queued[1].frameId);
      const after = { ...counts(await db.status()), list: await db.rejected() };
      const rows = await db.queryColumns('SELECT a FROM t ORDER BY rowid');
      await db.close();
      return { queued, settled, before, retried, after, rows: [...rows.a] };
    });
    assert.deepEqual(
      seen.queued.map(({ path, committed }) => [path, committed]),
      Array(3).fill(['queued', false]),
    );
    const [second, first, third] = seen.settled;
    assert.deepEqual(
      [second.committed, first, third.committed],
      [true, { code: 'CONSTRAINT', sqliteCode: 2067 }, true],
    );
    const { list, ...before } = seen.before;
    assert.deepEqual(before, { queued: 0, rejected: 1, drained: { applied: 0, rejected: 1, remaining: 0 } });
    assert.deepEqual([list.length, list[0].frameId], [1, seen.queued[1].frameId]);
    assert.equal(seen.retried.committed, true);
    assert.deepEqual(seen.after, { queued: 0, rejected: 0, list: [] });
    assert.deepEqual(seen.rows, [2, 3, 1]);
  });
});

describe('without OPFS', () => {
  /** Opens by default, lists, deletes, and opens in memory. Runs in the page. */
  async function withoutOpfs() {
    const code = (promise) =>
      promise.then(
        () => 'worked',
        ({ code }) => code,
      );
    const codes = [
      await code(framelock.openDatabase('x')),
      await code(framelock.listDatabases()),
      await code(framelock.deleteDatabase('x')),
    ];
    const db = await framelock.openDatabase('x', { storage: 'memory' });
    await db.appendFrame('t', { a: [1, 2, 3] });
    const rows = await db.query('SELECT sum(a) AS sum FROM t');
    await db.close();
    return { codes, rows, secure: isSecureContext };
  }

  function assertOnlyMemory({ codes, rows }) {
    assert.deepEqual(
      codes,
      Array.from({ length: 3 }, () => 'STORAGE_UNAVAILABLE'),
    );
    assert.deepEqual(rows, [{ sum: 6 }]);
  }

  const insecure = { skip: !BROWSERS.includes('chromium') };
  test(
    'Chromium, an insecure context: STORAGE_UNAVAILABLE, memory only when asked for',
    insecure,
    async () => {
      const browser = await launch('chromium', {
        args: ['--host-resolver-rules=MAP insecure.test 127.0.0.1'],
      });
      try {
        browser.origin = browser.origin.replace('127.0.0.1', 'insecure.test');
        const tab = await browser.newTab();
        const seen = await tab.run(withoutOpfs);
        assert.equal(seen.secure, false);
        assertOnlyMemory(seen);
      } finally {
        await browser.close();
      }
    },
  );

  const hidden = { skip: !BROWSERS.includes('firefox') };
  test('Firefox, private browsing: STORAGE_UNAVAILABLE, memory only when asked for', hidden, async () => {
    const browser = await launch('firefox', { prefs: { 'browser.privatebrowsing.autostart': true } });
    try {
      const tab = await browser.newTab();
      const seen = await tab.run(withoutOpfs);
      assert.equal(seen.secure, true);
      assertOnlyMemory(seen);
    } finally {
      await browser.close();
    }
  });
});
