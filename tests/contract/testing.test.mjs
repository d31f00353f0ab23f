// framelock/testing, as a user's own tests would use it.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers } from './harness.mjs';

inBrowsers((context) => {
  let tab;
  before(async () => {
    tab = await context.browser.newTab();
    await tab.run(async () => void (globalThis.testing = await import('/dist/testing/index.js')));
  });

  test('every test has a database of its own, also at the same time, and nothing is left', async () => {
    const { names, counts, left } = await tab.run(async () => {
      const one = (rows) =>
        testing.withTestDatabase(async (db) => {
          await db.appendFrame('t', { n: Array.from({ length: rows }, (_, n) => n) });
          const [{ n }] = await db.query('SELECT count(*) AS n FROM t');
          return { name: db.name, n };
        });
      const done = await Promise.all([one(1), one(2), one(3), one(4)]);
      return {
        names: new Set(done.map(({ name }) => name)).size,
        counts: done.map(({ n }) => n),
        left: await framelock.listDatabases(),
      };
    });
    assert.equal(names, 4);
    assert.deepEqual(counts, [1, 2, 3, 4]);
    assert.deepEqual(left, []);
  });

  test('memory, when it is asked for: no file, one handle, nothing to fail', async () => {
    const seen = await tab.run(() =>
      testing.withTestDatabase(
        async (db, { open }) => ({
          storage: (await db.status()).storage,
          names: await framelock.listDatabases(),
          second: await open().catch(({ code }) => code),
          faults: await testing.faults(db, { files: {} }).catch(({ code }) => code),
          holds: await testing.holdWriteLock(db.name).catch(({ code }) => code),
          namesAfter: await framelock.listDatabases(),
        }),
        { storage: 'memory' },
      ),
    );
    assert.deepEqual(seen, {
      storage: 'memory',
      names: [],
      second: 'INVALID_ARGUMENT',
      faults: 'INVALID_ARGUMENT',
      holds: 'INVALID_ARGUMENT',
      namesAfter: [],
    });
  });

  test('what the test throws comes out, and the database is removed all the same', async () => {
    const { message, left } = await tab.run(async () => {
      const failed = testing.withTestDatabase(async (db, { open }) => {
        await open();
        await db.exec('CREATE TABLE t(a)');
        throw new Error('the test failed');
      });
      const message = await failed.catch((error) => error.message);
      return { message, left: await framelock.listDatabases() };
    });
    assert.equal(message, 'the test failed');
    assert.deepEqual(left, []);
  });

  test('a handle that is left open is told of', async () => {
    const { code, message } = await tab.run(async () => {
      let left;
      const failed = testing.withTestDatabase(async (db) => {
        left = await framelock.openDatabase(db.name);
      });
      const { code, message } = await failed.catch((error) => error);
      await left.close();
      await framelock.deleteDatabase(left.name);
      return { code, message };
    });
    assert.equal(code, 'BUSY');
    assert.match(message, /left a handle on test-.* open/);
  });

  test('wrong arguments are refused', async () => {
    const codes = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        const calls = [
          testing.withTestDatabase('no function'),
          testing.withTestDatabase(() => {}, { keep: 1 }),
          testing.withTestDatabase(() => {}, { storag: 'memory' }),
          testing.withTestDatabase(() => {}, null),
          testing.faults({}, {}),
          testing.faults(db, { disks: {} }),
          testing.faults(db, { files: { call: 'writ' } }),
          testing.faults(db, { files: { times: 0 } }),
          testing.faults(db, { locks: { after: -1 } }),
          testing.holdWriteLock('no/name'),
        ];
        return Promise.all(calls.map((call) => call.then(String, ({ code }) => code)));
      }),
    );
    assert.deepEqual(codes, Array(10).fill('INVALID_ARGUMENT'));
  });

  test('a held lock: the frame is queued, and applied once the lock is given up', async () => {
    const seen = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.exec('CREATE TABLE t(n)');
        const release = await testing.holdWriteLock(db.name);
        const { holder } = await db.status();
        const busy = await db.appendFrame('t', [{ n: 1 }], { fallback: 'none' }).catch(({ code }) => code);
        const receipt = await db.appendFrame('t', [{ n: 2 }]);
        await Promise.all([release(), release()]);
        const committed = await db.whenCommitted(receipt.frameId);
        return {
          holder,
          busy,
          path: receipt.path,
          committed: committed.committed,
          rows: await db.query('SELECT n FROM t'),
        };
      }),
    );
    assert.deepEqual(seen, {
      holder: 'other-tab',
      busy: 'BUSY',
      path: 'queued',
      committed: true,
      rows: [{ n: 2n }],
    });
  });

  test('two writers of one test meet as two tabs do', async () => {
    const rows = await tab.run(() =>
      testing.withTestDatabase(async (db, { open }) => {
        const other = await open();
        await Promise.all([db.appendFrame('t', [{ n: 1 }]), other.appendFrame('t', [{ n: 2 }])]);
        return db.query('SELECT n FROM t ORDER BY n');
      }),
    );
    assert.deepEqual(rows, [{ n: 1n }, { n: 2n }]);
  });

  test('the disk is full: rolled back, and it works again', async () => {
    const seen = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.appendFrame('t', [{ n: 1 }]);
        const end = await testing.faults(db, { files: { call: 'write', error: 'quota', times: Infinity } });
        const code = await db.appendFrame('t', [{ n: 2 }]).catch(({ code }) => code);
        const { files } = await end();
        const { path } = await db.appendFrame('t', [{ n: 3 }]);
        return { code, failed: files > 0, path, rows: await db.query('SELECT n FROM t ORDER BY n') };
      }),
    );
    assert.deepEqual(seen, {
      code: 'QUOTA_EXCEEDED',
      failed: true,
      path: 'direct',
      rows: [{ n: 1n }, { n: 3n }],
    });
  });

  test('the n-th file call fails: the frame is in once, or not at all', async () => {
    const seen = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.appendFrame('t', [{ n: -1 }]);
        const outcomes = [];
        for (let after = 0; after < 40; after++) {
          const end = await testing.faults(db, { files: { after } });
          const outcome = await db.appendFrame('t', [{ n: after }]).then(
            ({ committed }) => committed,
            ({ code }) => code,
          );
          const { files } = await end();
          const [{ n }] = await db.query('SELECT count(*) AS n FROM t WHERE n = ?', [after]);
          outcomes.push({ after, outcome, n });
          if (files === 0) break;
        }
        return outcomes;
      }),
    );
    assert.ok(seen.length > 2, 'a write and a flush were made to fail');
    for (const { after, outcome, n } of seen) {
      assert.ok(outcome === true ? n === 1 : n === 0, `call ${after}: ${outcome}, ${n} rows`);
    }
    assert.equal(seen.at(-1).outcome, true, 'the last one met no fault');
  });

  test('the lock is never granted: down the whole ladder', async () => {
    const { receipt, counts, rows } = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.exec('CREATE TABLE t(n)');
        const end = await testing.faults(db, { locks: { times: Infinity } });
        const receipt = await db.appendFrame('t', [{ n: 1 }]);
        const counts = await end();
        await db.whenCommitted(receipt.frameId);
        return { receipt, counts, rows: await db.query('SELECT n FROM t') };
      }),
    );
    assert.equal(receipt.path, 'queued');
    assert.ok(receipt.attempts.some(({ outcome }) => outcome === 'busy'));
    assert.ok(counts.locks >= 1);
    assert.deepEqual(rows, [{ n: 1n }]);
  });

  test('messages are lost: a handoff gets no answer, and the frame is queued', async () => {
    const { receipt, counts, rows } = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.exec('CREATE TABLE t(n)');
        const release = await testing.holdWriteLock(db.name);
        const end = await testing.faults(db, { messages: { times: Infinity } });
        const receipt = await db.appendFrame('t', [{ n: 1 }], { retry: { attempts: 1 } });
        const counts = await end();
        await release();
        await db.drain();
        return { receipt, counts, rows: await db.query('SELECT n FROM t') };
      }),
    );
    assert.equal(receipt.path, 'queued');
    assert.deepEqual(
      receipt.attempts.map(({ path, outcome }) => [path, outcome]),
      [
        ['direct', 'busy'],
        ['handoff', 'unreachable'],
      ],
    );
    assert.ok(counts.messages >= 1);
    assert.deepEqual(rows, [{ n: 1n }]);
  });

  test('an applied frame that cannot be removed from the queue: drain says so, and writing goes on', async () => {
    const seen = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.exec('CREATE TABLE t(n)');
        const release = await testing.holdWriteLock(db.name);
        const end = await testing.faults(db, { files: { call: 'remove', file: 'queue', times: Infinity } });
        const options = { fallback: 'queue', retry: { attempts: 0 } };
        const { frameId } = await db.appendFrame('t', [{ n: 1 }], options);
        // So that the one who gets the lock next is the one who cannot remove it.
        const drained = db.drain();
        await release();
        await db.whenCommitted(frameId);
        const { remaining } = await drained;
        const { path } = await db.appendFrame('t', [{ n: 2 }]);
        const { files } = await end();
        const last = await db.drain();
        return { remaining, path, files, last, rows: await db.query('SELECT n FROM t ORDER BY n') };
      }),
    );
    assert.ok(seen.remaining <= 1, `${seen.remaining} remain`);
    assert.equal(seen.path, 'direct');
    assert.ok(seen.files < 20, `${seen.files} tries to remove it`);
    assert.deepEqual(seen.last, { applied: 0, rejected: 0, remaining: 0 });
    assert.deepEqual(seen.rows, [{ n: 1n }, { n: 2n }]);
  });

  test('after the handle was closed there is nothing to fail', async () => {
    const code = await tab.run(() =>
      testing.withTestDatabase(async (db) => {
        await db.close();
        return testing.faults(db, { files: {} }).catch(({ code }) => code);
      }),
    );
    assert.equal(code, 'CLOSED');
  });
});
