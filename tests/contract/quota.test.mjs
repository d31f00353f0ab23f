// The storage is full, or is cleared while a handle is open (Chromium: the DevTools protocol can do both on request).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BROWSERS, launch, sqlite3 } from './harness.mjs';

const MIB = 1 << 20;

describe('quota and eviction', { skip: !BROWSERS.includes('chromium') }, () => {
  let browser, tab, session;
  before(async () => {
    browser = await launch('chromium');
    tab = await browser.newTab();
    session = await tab.page.createCDPSession();
  });
  after(() => browser?.close());

  const quota = (quotaSize) =>
    session.send('Storage.overrideQuotaForOrigin', {
      origin: browser.origin,
      ...(quotaSize === undefined ? {} : { quotaSize }),
    });
  /** Bytes that the browser counts for the origin. */
  const used = async () => (await session.send('Storage.getUsageAndQuota', { origin: browser.origin })).usage;

  /** Appends `rows` rows of 8 KB; gives the path, or the code and the message. Runs in the page. */
  const fill = (rows, options) =>
    tab.run(
      async (rows, options) => {
        const pad = crypto.getRandomValues(new Uint8Array(8000));
        const frame = { n: Array.from({ length: rows }, (_, i) => i), pad: Array(rows).fill(pad) };
        return db.appendFrame('t', frame, options).then(
          ({ path }) => ({ path }),
          ({ code, message }) => ({ code, message }),
        );
      },
      rows,
      options,
    );
  const count = () => tab.run(() => db.query('SELECT count(*) AS n FROM t').then(([{ n }]) => n));

  test('a frame that does not fit is QUOTA_EXCEEDED and rolled back; once there is space it goes in', async () => {
    await tab.run(async () => {
      globalThis.db = await framelock.openDatabase('full');
      await db.appendFrame('t', { n: [1], pad: [new Uint8Array(1)] });
    });
    await quota((await used()) + 4 * MIB);
    for (const rows of [1500, 5000]) {
      const refused = await fill(rows);
      assert.equal(refused.code, 'QUOTA_EXCEEDED', JSON.stringify(refused));
      assert.match(refused.message, /\d+ bytes were needed.*\d+ bytes are left/);
      assert.equal(await count(), 1, 'all of it was rolled back');
    }
    // What fits still goes in, and reads go on.
    assert.deepEqual(await fill(20), { path: 'direct' });
    await quota();
    assert.deepEqual(await fill(1500), { path: 'direct' });
    assert.equal(await count(), 1521);
    const file = await tab.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
  });

  test('20 quotas, each a little larger: rolled back or committed, never half, never corrupt', async () => {
    await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('steps');
      await db.appendFrame('t', { n: [0], pad: [new Uint8Array(1)] });
    });
    const base = await used();
    let committed = 0;
    let rows = 1;
    for (let step = 0; step < 20; step++) {
      await quota(base + step * 200_000);
      const outcome = await fill(200);
      if (outcome.path) [committed, rows] = [committed + 1, rows + 200];
      else assert.equal(outcome.code, 'QUOTA_EXCEEDED', JSON.stringify(outcome));
      await quota();
      assert.equal(await count(), rows, `step ${step}`);
    }
    assert.ok(committed < 20, 'some did not fit');
    assert.deepEqual(await fill(200), { path: 'direct' });
    assert.deepEqual(await tab.run(() => db.query('PRAGMA integrity_check')), [{ integrity_check: 'ok' }]);
  });

  test('a queue that is full: QUOTA_EXCEEDED, and what was queued before is applied', async () => {
    const seen = await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('queue-full');
      let release;
      const held = new Promise((opened, failed) => {
        globalThis.transaction = db
          .transaction(async () => {
            opened();
            await new Promise((resolve) => (release = resolve));
          })
          .catch(failed);
      });
      await held;
      globalThis.release = release;
      return db.appendFrame('t', { n: [1] }, { fallback: 'queue', retry: { attempts: 0 } });
    });
    assert.equal(seen.path, 'queued');
    await quota((await used()) + MIB);
    const refused = await fill(1000, { fallback: 'queue', retry: { attempts: 0 } });
    assert.equal(refused.code, 'QUOTA_EXCEEDED', JSON.stringify(refused));
    await quota();
    await tab.run(async (frameId) => {
      release();
      await transaction;
      await db.whenCommitted(frameId);
    }, seen.frameId);
    assert.deepEqual(await tab.run(() => db.query('SELECT n FROM t')), [{ n: 1n }]);
  });

  test('a queued frame that is refused while the storage is full is on the list, and not applied later after all', async () => {
    await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('refused-full');
      await db.exec('CREATE TABLE t(n INTEGER UNIQUE); INSERT INTO t VALUES (1)');
      await new Promise((opened) => {
        globalThis.transaction = db.transaction(async () => {
          opened();
          await new Promise((resolve) => (globalThis.release = resolve));
        });
      });
      const options = { frameId: 'one', fallback: 'queue', retry: { attempts: 0 } };
      await db.appendFrame('t', { n: [1] }, options);
    });
    await quota(await used());
    const full = await tab.run(async () => {
      release();
      await transaction;
      const code = await db.whenCommitted('one').catch(({ code }) => code);
      return { code, list: (await db.rejected()).map(({ frameId }) => frameId) };
    });
    await quota();
    // There was no room for the reason, and who asks late does not hear it.
    assert.ok(['CONSTRAINT', 'SQL'].includes(full.code), full.code);
    assert.deepEqual(full.list, ['one']);
    const later = await tab.run(async () => {
      await db.exec('DELETE FROM t');
      const before = [await db.drain(), await db.query('SELECT n FROM t')];
      await db.retryRejected('one');
      const { committed } = await db.whenCommitted('one');
      return { before, committed };
    });
    assert.deepEqual(later, { before: [{ applied: 0, rejected: 1, remaining: 0 }, []], committed: true });
  });

  test('storage cleared under an open handle: a clear error, never silently empty; reopening starts clean', async () => {
    await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('cleared');
      await db.appendFrame('t', { n: [1, 2, 3] });
      // The lease is given back, so that the next statement opens the file anew.
      await new Promise((resolve) => setTimeout(resolve, 2500));
    });
    await session.send('Storage.clearDataForOrigin', { origin: browser.origin, storageTypes: 'all' });
    const codes = await tab.run(async () => {
      const code = (promise) => promise.then(JSON.stringify, ({ code }) => code);
      return [
        await code(db.query('SELECT count(*) AS n FROM t')),
        await code(db.appendFrame('t', { n: [4] }, { fallback: 'none' })),
      ];
    });
    assert.deepEqual(codes, ['STORAGE_LOST', 'STORAGE_LOST']);
    const again = await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('cleared');
      const tables = await db.query('SELECT name FROM sqlite_schema');
      const receipt = await db.appendFrame('t', { n: [1] });
      return { tables, path: receipt.path, list: await framelock.listDatabases() };
    });
    assert.deepEqual(again, { tables: [], path: 'direct', list: ['cleared'] });
  });

  test('storage cleared, and another tab was faster: what it has written is neither read nor written over', async () => {
    const other = await browser.newTab();
    const make = async (from) => {
      await globalThis.db?.close();
      globalThis.db = await framelock.openDatabase('faster');
      await db.exec('CREATE TABLE t(n INTEGER)');
      await db.appendFrame('t', { n: [from, from + 1] });
      return db.query('SELECT n FROM t');
    };
    await tab.run(make, 0);
    await session.send('Storage.clearDataForOrigin', { origin: browser.origin, storageTypes: 'all' });
    await other.run(make, 10);
    const codes = await tab.run(async () => {
      const code = (promise) =>
        promise.then(
          () => 'worked',
          ({ code }) => code,
        );
      return [await code(db.appendFrame('t', { n: [2] })), await code(db.query('SELECT n FROM t'))];
    });
    assert.equal(codes[1], 'STORAGE_LOST');
    const rows = await other.run(async () => {
      await db.appendFrame('t', { n: [12] });
      const rows = await db.query('SELECT n FROM t');
      await db.close();
      return rows;
    });
    assert.deepEqual(rows, [{ n: 10n }, { n: 11n }, { n: 12n }]);
    await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('cleared');
      await db.appendFrame('t', { n: [1] });
    });
    await other.close();
  });

  test('storage cleared while the lease is held: the next call says so', async () => {
    await tab.run(async () => {
      await db.appendFrame('t', { n: [2] });
    });
    await session.send('Storage.clearDataForOrigin', { origin: browser.origin, storageTypes: 'all' });
    const code = await tab.run(() =>
      db.appendFrame('t', { n: [3] }, { fallback: 'none' }).then(
        ({ path }) => path,
        ({ code }) => code,
      ),
    );
    assert.equal(code, 'STORAGE_LOST');
    const after = await tab.run(async () => {
      await db.close();
      globalThis.db = await framelock.openDatabase('cleared');
      const receipt = await db.appendFrame('fresh', { n: [1] });
      return { path: receipt.path, check: await db.query('PRAGMA integrity_check') };
    });
    assert.deepEqual(after, { path: 'direct', check: [{ integrity_check: 'ok' }] });
  });

  // Chromium 156: closing a file that was cleared away never returns.
  test('storage cleared while a tab reads, and another wants to write: both say so, and neither hangs', async () => {
    const other = await browser.newTab();
    await other.run(async () => {
      globalThis.db = await framelock.openDatabase('cleared');
      await db.query('SELECT n FROM fresh');
    });
    await session.send('Storage.clearDataForOrigin', { origin: browser.origin, storageTypes: 'all' });
    const codeOf = async (tab, method, ...args) =>
      tab.run(
        (method, ...args) =>
          Promise.race([
            db[method](...args).then(
              () => 'worked',
              ({ code }) => code,
            ),
            new Promise((resolve) => setTimeout(resolve, 5000, 'hung')),
          ]),
        method,
        ...args,
      );
    assert.equal(await codeOf(tab, 'appendFrame', 'fresh', { n: [2] }), 'STORAGE_LOST');
    assert.equal(await codeOf(other, 'query', 'SELECT n FROM fresh'), 'STORAGE_LOST');
    assert.equal(await codeOf(other, 'close'), 'worked');
    await other.close();
  });
});
