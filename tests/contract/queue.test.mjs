// The durable queue, exactly once, and a handle that meets its own open transaction.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllOnce, namedFrame, paths, summary } from './frames.mjs';
import { inBrowsers } from './harness.mjs';

inBrowsers((context) => {
  test('fallback queue, and the tab is closed at once: a new tab finds the frames applied', async () => {
    const [holder, writer] = [await context.browser.newTab(), await context.browser.newTab()];
    await holder.run(async () => {
      const db = await framelock.openDatabase('left');
      await new Promise((opened) => {
        db.transaction(async () => {
          opened();
          await new Promise(() => {});
        }).catch(() => {});
      });
    });
    const receipts = await writer.run(
      async (frames) => {
        const db = await framelock.openDatabase('left');
        const options = { fallback: 'queue', retry: { attempts: 1, lockTimeoutMs: 20 } };
        return Promise.all(frames.map((frame) => db.appendFrame('t', frame, options)));
      },
      [0, 1, 2].map((frame) => namedFrame(0, frame)),
    );
    await writer.close();
    assert.deepEqual(paths(receipts), { queued: 3 });
    assert.ok(receipts.every((receipt) => !receipt.committed));
    await holder.close();
    const later = await context.browser.newTab();
    const { remaining } = await later.run(async () => {
      globalThis.db = await framelock.openDatabase('left');
      return db.drain();
    });
    assert.equal(remaining, 0);
    await assertAllOnce(later, 'left', 3);
    assert.equal((await later.run(() => db.status())).queued, 0);
    await later.close();
  });

  test('frames whose move a power cut took back are applied by whoever opens the database next', async () => {
    const tab = await context.browser.newTab();
    const receipts = await tab.run(
      async (frames) => {
        const db = await framelock.openDatabase('moved');
        await db.exec('CREATE TABLE other(n)');
        const options = { fallback: 'queue', retry: { attempts: 0 } };
        // Nobody applies them while this is open.
        let commit;
        const transaction = db.transaction(() => new Promise((resolve) => (commit = resolve)));
        const receipts = await Promise.all(frames.map((frame) => db.appendFrame('t', frame, options)));
        db.close();
        commit();
        await transaction.catch(() => {});
        const root = await navigator.storage.getDirectory();
        const folder = await (await root.getDirectoryHandle('framelock')).getDirectoryHandle('moved.queue');
        const names = [];
        for await (const name of folder.keys()) names.push(name);
        for (const name of names) {
          await (await folder.getFileHandle(name)).move(name.replace(/frame$/, 'tmp'));
        }
        return { receipts, names };
      },
      [0, 1, 2].map((frame) => namedFrame(0, frame)),
    );
    assert.deepEqual(paths(receipts.receipts), { queued: 3 });
    assert.equal(receipts.names.filter((name) => name.endsWith('.frame')).length, 3);
    await tab.run(async () => {
      globalThis.db = await framelock.openDatabase('moved');
      const made = "SELECT count(*) AS n FROM sqlite_schema WHERE name = 't'";
      for (let tries = 0; tries < 200 && (await db.query(made))[0].n === 0; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    });
    await assertAllOnce(tab, 'moved', 3);
    await tab.close();
  });

  test('db.appendFrame awaited inside db.transaction of the same handle is queued, and applied after it', async () => {
    const tab = await context.browser.newTab();
    const results = await tab.run(
      async (frames) => {
        globalThis.db = await framelock.openDatabase('own');
        const inside = await db.transaction((tx) =>
          tx.exec('CREATE TABLE a(n)').then(() => db.appendFrame('t', frames[0])),
        );
        let second;
        await db
          .transaction(async () => {
            second = await db.appendFrame('t', frames[1]);
            throw new Error('roll back');
          })
          .catch(() => {});
        const after = await Promise.all([inside, second].map((receipt) => db.whenCommitted(receipt.frameId)));
        return { inside, second, after };
      },
      [namedFrame(0, 0), namedFrame(0, 1)],
    );
    assert.equal(results.inside.path, 'queued');
    assert.equal(results.second.path, 'queued');
    assert.ok(results.after.every((receipt) => receipt.committed));
    await assertAllOnce(tab, 'own', 2);
    await tab.close();
  });

  test('tx.appendFrame joins: committed with the transaction, undone with it', async () => {
    const tab = await context.browser.newTab();
    const { joined, rows } = await tab.run(
      async (frames) => {
        const db = await framelock.openDatabase('joined');
        const joined = await db.transaction(async (tx) => {
          const receipt = await tx.appendFrame('t', frames[0]);
          const bad = await tx.appendFrame('t', new Uint8Array([1, 2, 3])).catch(({ code }) => code);
          return { receipt, bad };
        });
        await db
          .transaction(async (tx) => {
            await tx.appendFrame('t', frames[1]);
            throw new Error('roll back');
          })
          .catch(() => {});
        const rows = await db.query('SELECT DISTINCT frame FROM t');
        await db.close();
        return { joined, rows };
      },
      [namedFrame(0, 0), namedFrame(0, 1)],
    );
    assert.equal(joined.receipt.path, 'joined');
    assert.equal(joined.receipt.committed, false);
    assert.equal(joined.bad, 'INVALID_FRAME');
    assert.deepEqual(rows, [{ frame: 0 }]);
    await tab.close();
  });

  test('one frameId from four tabs at once: one set of rows, one real receipt, three duplicates', async () => {
    const tabs = await Promise.all(Array.from({ length: 4 }, () => context.browser.newTab()));
    await Promise.all(
      tabs.map((tab) => tab.run(async () => void (globalThis.db = await framelock.openDatabase('once')))),
    );
    const frame = namedFrame(0, 0);
    const send = (tab, frame) =>
      tab.run(
        // Each waits for the lock, and not in the queue, however busy the machine is.
        (frame) =>
          db
            .appendFrame('t', frame, { frameId: 'the one', retry: { lockTimeoutMs: 10_000 } })
            .catch(({ code }) => ({ path: code })),
        frame,
      );
    const receipts = await Promise.all(tabs.map((tab) => send(tab, frame)));
    assert.deepEqual(paths(receipts), { direct: 1, duplicate: 3 });
    assert.equal((await send(tabs[1], namedFrame(0, 1))).path, 'FRAME_ID_CONFLICT');
    await assertAllOnce(tabs[2], 'once', 1);
    await Promise.all(tabs.map((tab) => tab.close()));
  });

  test('a queued frame that the database refuses is listed, and can be tried again or discarded', async () => {
    const tab = await context.browser.newTab();
    const seen = await tab.run(
      async (frames) => {
        const db = await framelock.openDatabase('refused');
        await db.exec(
          'CREATE TABLE t(writer INTEGER, frame INTEGER, row INTEGER CHECK(row < 50), note TEXT)',
        );
        const frameId = 'too long';
        await db.transaction(() => db.appendFrame('t', frames[0], { frameId, retry: { attempts: 0 } }));
        const outcome = await db.whenCommitted(frameId).catch(({ code, row }) => ({ code, row }));
        const status = await db.status();
        const list = await db.rejected();
        await db.exec('DROP TABLE t');
        await db.retryRejected(frameId);
        const applied = await db.whenCommitted(frameId);
        const after = await db.rejected();
        await db.close();
        return { outcome, queued: status.queued, rejected: status.rejected, list, applied, after };
      },
      [namedFrame(0, 0)],
    );
    assert.deepEqual(seen.outcome, { code: 'CONSTRAINT', row: 50 });
    assert.deepEqual([seen.queued, seen.rejected], [0, 1]);
    assert.equal(seen.list[0].frameId, 'too long');
    assert.equal(seen.list[0].error.code, 'CONSTRAINT');
    assert.equal(seen.applied.committed, true);
    assert.deepEqual(seen.after, []);
    const { rows } = await summary(tab, 'refused');
    assert.equal(rows, 100);
    await tab.close();
  });

  test('every handle is told how many frames wait and how many were refused, whoever changed it', async () => {
    const tab = await context.browser.newTab();
    const seen = await tab.run(async () => {
      const names = ['holder', 'sender', 'bystander'];
      const [holder, sender, bystander] = await Promise.all(
        names.map(() => framelock.openDatabase('counted')),
      );
      const last = {};
      [holder, sender, bystander].forEach((db, i) => db.on('queue', (counts) => (last[names[i]] = counts)));
      // Before a bystander would look by itself, which is after 3 s.
      const all = async (queued, rejected) => {
        const is = (name) => last[name]?.queued === queued && last[name]?.rejected === rejected;
        for (const end = performance.now() + 2000; !names.every(is) && performance.now() < end;)
          await new Promise((resolve) => setTimeout(resolve, 10));
        return structuredClone(last);
      };
      await holder.exec('CREATE TABLE t(a INTEGER CHECK(a < 5))');
      const options = { fallback: 'queue', retry: { attempts: 0 } };
      const waiting = await holder.transaction(async () => {
        await sender.appendFrame('t', { a: [1] }, options);
        await sender.appendFrame('t', { a: [9] }, { ...options, frameId: 'refused' });
        return all(2, 0);
      });
      const drained = await all(0, 1);
      await sender.discardRejected('refused');
      const discarded = await all(0, 0);
      await Promise.all([holder.close(), sender.close(), bystander.close()]);
      return { waiting, drained, discarded };
    });
    const all = (queued, rejected) => {
      const counts = { queued, rejected };
      return { holder: counts, sender: counts, bystander: counts };
    };
    assert.deepEqual(seen, { waiting: all(2, 0), drained: all(0, 1), discarded: all(0, 0) });
    await tab.close();
  });

  test('drain() says how many frames came out of the queue since it was called, whichever tab took them out', async () => {
    const tab = await context.browser.newTab();
    const drained = await tab.run(async () => {
      const [db, other] = [await framelock.openDatabase('drained'), await framelock.openDatabase('drained')];
      let draining;
      await other.transaction(async () => {
        for (const n of [1, 2, 3])
          await db.appendFrame('t', { n: [n] }, { fallback: 'queue', retry: { attempts: 0 } });
        draining = db.drain();
      });
      const first = await draining;
      const again = await db.drain();
      await Promise.all([db.close(), other.close()]);
      return { first, again };
    });
    assert.deepEqual(drained.first, { applied: 3, rejected: 0, remaining: 0 });
    assert.deepEqual(drained.again, { applied: 0, rejected: 0, remaining: 0 });
    await tab.close();
  });

  for (const storage of ['opfs', 'memory']) {
    test(`refused frames that are tried again keep their order, in whichever order they are asked for (${storage})`, async () => {
      const tab = await context.browser.newTab();
      const seen = await tab.run(async (storage) => {
        const db = await framelock.openDatabase('again', { storage });
        await db.exec('CREATE TABLE t(a INTEGER UNIQUE)');
        await db.exec('INSERT INTO t VALUES (1), (2), (3)');
        const queue = (a) => db.appendFrame('t', { a: [a] }, { frameId: `of ${a}`, retry: { attempts: 0 } });
        const ids = await db.transaction(async () => {
          const receipts = [await queue(1), await queue(2), await queue(3)];
          return receipts.map(({ frameId }) => frameId);
        });
        const refused = await Promise.allSettled(ids.map((id) => db.whenCommitted(id)));
        await db.transaction(async (tx) => {
          await tx.exec('DELETE FROM t');
          await queue(4);
          for (const id of [ids[2], ids[0], ids[1]]) await db.retryRejected(id);
        });
        const applied = await Promise.all([...ids, 'of 4'].map((id) => db.whenCommitted(id)));
        const { a } = await db.queryColumns('SELECT a FROM t ORDER BY rowid');
        await db.close();
        return {
          refused: refused.map(({ reason }) => reason?.code),
          applied: applied.map(({ committed }) => committed),
          a: [...a],
        };
      }, storage);
      assert.deepEqual(seen.refused, Array(3).fill('CONSTRAINT'));
      assert.deepEqual(seen.applied, Array(4).fill(true));
      assert.deepEqual(seen.a.map(Number), [1, 2, 3, 4]);
      await tab.close();
    });
  }
});
