// What takes long can be stopped in the middle, and answers meanwhile: a frame of a million rows, and the file on its
// way out.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers, sqlite3 } from './harness.mjs';

const ROWS = 1_000_000;

/** Defines in the page: `large()`, a frame; `count`, the rows of a table, or what SQLite says instead; `append`. */
const helpers = async (rows, database) => {
  globalThis.db ??= await framelock.openDatabase(database);
  globalThis.large = () => {
    const id = Int32Array.from({ length: rows }, (_, i) => i);
    const half = Float64Array.from(id, (i) => i / 2);
    return { id, a: half, b: half, c: half, d: half, e: half };
  };
  globalThis.count = (table) =>
    db.query(`SELECT count(*) AS n, sum(id) AS s FROM "${table}"`).then(
      ([{ n, s }]) => [n, s],
      ({ message }) => message,
    );
  /** Appends, calls `half(progress)` once in the middle, and says what became of it, and how long after. */
  globalThis.append = async (table, options, half) => {
    let at;
    const onProgress = (progress) => {
      if (at !== undefined || progress.rows < progress.totalRows / 5 || progress.rows === progress.totalRows)
        return;
      at = performance.now();
      half(progress);
    };
    const outcome = await db.appendFrame(table, large(), { ...options, onProgress }).catch((error) => error);
    return { outcome, half: at !== undefined, ms: performance.now() - at };
  };
};

inBrowsers((context) => {
  let tab, other;
  before(async () => {
    [tab, other] = [await context.browser.newTab(), await context.browser.newTab()];
    for (const each of [tab, other]) await each.run(helpers, ROWS, 'long');
  });

  const abort = (table, options) =>
    tab.run(
      async (table, options) => {
        const controller = new AbortController();
        const { outcome, half, ms } = await append(table, { ...options, signal: controller.signal }, () =>
          controller.abort('enough'),
        );
        const small = await db.appendFrame(table, { id: [1, 2, 3] }, { frameId: crypto.randomUUID() });
        const [{ integrity_check }] = await db.query('PRAGMA integrity_check');
        return { code: outcome.code, cause: outcome.cause, half, ms, path: small.path, integrity_check };
      },
      table,
      options,
    );

  test('a signal in the middle of a frame: ABORTED at once, no table, and the next append works', async (t) => {
    const { ms, ...rest } = await abort('t', {});
    assert.deepEqual(rest, {
      code: 'ABORTED',
      cause: 'enough',
      half: true,
      path: 'direct',
      integrity_check: 'ok',
    });
    t.diagnostic(`ABORTED after ${ms.toFixed(0)} ms`);
    assert.ok(ms < 1000, `${ms} ms`);
    assert.deepEqual(await tab.run(() => count('t')), [3, 6]);
  });

  test('a signal in the middle of replace leaves the old table', async () => {
    await tab.run(() => db.appendFrame('old', { id: Int32Array.from({ length: 50_000 }, (_, i) => i) }));
    const { code } = await abort('old', { mode: 'replace' });
    assert.equal(code, 'ABORTED');
    assert.deepEqual(await tab.run(() => count('old')), [50_003, (50_000 * 49_999) / 2 + 6]);
    assert.equal(await tab.run(() => db.query('SELECT * FROM old').then((rows) => 'a' in rows[0])), false);
  });

  test('a deadline that passes in the middle: TIMEOUT, and nothing of it is there', async () => {
    const [code, there] = await tab.run(async () => {
      const retry = { deadlineMs: 60 };
      const { outcome } = await append('late', { fallback: 'none', retry }, () => {});
      return [outcome.code, await count('late')];
    });
    assert.equal(code, 'TIMEOUT');
    assert.match(there, /no such table/);
  });

  test('status() and other calls are answered while a frame is written; another tab waits its turn', async () => {
    const asked = await other.run(() => db.query('SELECT 1 AS one'));
    assert.deepEqual(asked, [{ one: 1 }]);
    const [mine, theirs] = await Promise.all([
      tab.run(async () => {
        const seen = [];
        const { outcome } = await append('big', {}, async () => {
          const { lock, holder } = await db.status();
          seen.push([lock, holder]);
        });
        seen.push('receipt');
        return [seen, outcome.path, outcome.rows, await count('big')];
      }),
      other.run(async () => {
        for (;;) {
          const { holder } = await db.status();
          if (holder === 'other-tab') break;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return (await db.appendFrame('small', { id: [7] })).rows;
      }),
    ]);
    assert.deepEqual(mine, [
      [['held', 'this-tab'], 'receipt'],
      'direct',
      ROWS,
      [ROWS, (ROWS * (ROWS - 1)) / 2],
    ]);
    assert.equal(theirs, 1);
  });

  test('a page that is frozen in the middle keeps nothing, and its frame is in once', async () => {
    const [held, settled, rows] = await tab.run(async () => {
      let held;
      const { outcome } = await append('frozen', { retry: { deadlineMs: 60_000 } }, async () => {
        document.dispatchEvent(new Event('freeze'));
        // The piece that is being written and the way back take some 50 ms, on a busy machine more.
        for (let looks = 0; looks < 100 && held !== 0; looks++) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          held = (await navigator.locks.query()).held.filter(
            ({ name }) => name === 'framelock/1/long',
          ).length;
        }
        document.dispatchEvent(new Event('resume'));
      });
      const receipt = outcome.committed ? outcome : await db.whenCommitted(outcome.frameId);
      return [held, receipt.committed, await count('frozen')];
    });
    assert.equal(held, 0, 'the lock while the page is frozen');
    assert.equal(settled, true);
    assert.deepEqual(rows, [ROWS, (ROWS * (ROWS - 1)) / 2]);
  });

  test('a Blob of the file is a snapshot that nobody waits for, and goes in again', async () => {
    const file = await tab.download(async () => {
      const blob = await db.exportBlob();
      // Another handle writes while the Blob is there and not yet read.
      await db.appendFrame('afterwards', { id: [1] });
      globalThis.blob = blob;
      return blob;
    });
    assert.equal(sqlite3(file, 'PRAGMA integrity_check; SELECT count(*) FROM big'), `ok\n${ROWS}`);
    assert.equal(sqlite3(file, "SELECT count(*) FROM sqlite_schema WHERE name = 'afterwards'"), '0');
    const [type, same, again] = await tab.run(async () => {
      const copy = await framelock.openDatabase('copy');
      await copy.importFile(blob);
      const bytes = await copy.exportFile();
      const [{ n }] = await copy.query('SELECT count(*) AS n FROM big');
      await copy.close();
      return [blob.type, bytes.length === blob.size, n];
    });
    assert.deepEqual([type, same, again], ['application/vnd.sqlite3', true, ROWS]);
  });

  test('an export that a frozen page breaks off begins anew, and one that is closed upon is complete', async () => {
    const [held, sizes] = await tab.run(async () => {
      // Both messages are on their way before the worker has read the first piece.
      const exported = db.exportBlob();
      document.dispatchEvent(new Event('freeze'));
      let held;
      for (let looks = 0; looks < 100 && held !== 0; looks++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        held = (await navigator.locks.query()).held.filter(({ name }) => name === 'framelock/1/long').length;
      }
      document.dispatchEvent(new Event('resume'));
      globalThis.blob = await exported;
      const again = db.exportFile();
      await db.close();
      return [held, [blob.size, (await again).length]];
    });
    assert.equal(held, 0, 'the lock while the page is frozen');
    assert.equal(sizes[0], sizes[1]);
    const file = await tab.download(() => blob);
    assert.equal(sqlite3(file, 'PRAGMA integrity_check; SELECT count(*) FROM big'), `ok\n${ROWS}`);
  });

  test('a file of 64 MB goes out and in, and its rows in a stream, through a few megabytes of the wasm’s memory', async (t) => {
    const size = Number(process.env.FRAMELOCK_EXPORT_MB ?? 64);
    const { seen, sizes, n, error } = await tab.run(
      (size) =>
        new Promise((resolve, reject) => {
          const worker = new Worker('/tests/contract/memory-worker.mjs', { type: 'module' });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
          worker.postMessage(size);
        }),
      size,
    );
    await tab.run(() => Promise.all(['memory-a', 'memory-b'].map((name) => framelock.deleteDatabase(name))));
    assert.equal(error, undefined);
    t.diagnostic(`${size} MB: megabytes of wasm memory ${JSON.stringify(seen)}`);
    assert.equal(sizes[0], sizes[1]);
    assert.ok(sizes[0] > size * 1_000_000, `${sizes[0]} bytes`);
    assert.equal(n, Math.ceil(size / 16) * 256);
    // Two caches of 16 MiB fill on the way, and one part of 4 MiB is there at a time.
    assert.ok(seen.importFile - seen.before < 40, JSON.stringify(seen));
    // A batch has a megabyte.
    assert.ok(sizes[2] > n * 64_000, `${sizes[2]} bytes in batches`);
    assert.ok(seen.stream - seen.importFile < 8, JSON.stringify(seen));
  });
});
