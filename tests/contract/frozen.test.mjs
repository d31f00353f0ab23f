// A holder that is frozen, and a lock that foreign code steals: the others go on, and whoever comes back writes nothing
// stale. Browsers freeze pages that have been hidden for long; Chromium's DevTools protocol does it on request, workers
// included.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertAllOnce, namedFrame, paths } from './frames.mjs';
import { inBrowsers, sqlite3 } from './harness.mjs';

/** Opens a transaction in the page that has written a row and stays open until `release()`. Runs in the page. */
async function hold(database) {
  globalThis.db = await framelock.openDatabase(database);
  await new Promise((opened, failed) => {
    globalThis.held = db
      .transaction(async (tx) => {
        await tx.exec('CREATE TABLE IF NOT EXISTS held(n)');
        await tx.exec('INSERT INTO held VALUES (1)');
        opened();
        await new Promise((resolve) => (globalThis.release = resolve));
        await tx.exec('INSERT INTO held VALUES (2)');
      })
      .then(
        () => 'committed',
        (error) => error.code,
      );
    held.catch(failed);
  });
}

/** Freezes a page with its workers; gives what thaws it. */
async function freeze(tab) {
  const session = await tab.page.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  return () => session.send('Page.setWebLifecycleState', { state: 'active' });
}

/** Opens the database as `db` and appends frames of a writer, all at once. Runs in the page. */
async function appendFrames(database, frames, options) {
  globalThis.db ??= await framelock.openDatabase(database);
  return Promise.all(frames.map((frame) => db.appendFrame('t', frame, options)));
}

const framesOf = (writer, count) => Array.from({ length: count }, (_, frame) => namedFrame(writer, frame));

/** Waits until all receipts are of committed frames. */
const settle = (tab, receipts) =>
  tab.run(
    (ids) => Promise.all(ids.map((id) => db.whenCommitted(id))),
    receipts.map(({ frameId }) => frameId),
  );

async function assertSound(tab) {
  const file = await tab.download(() => db.exportFile());
  assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
}

inBrowsers((context) => {
  const chromiumOnly = { skip: context.name !== 'chromium' };

  test(
    'a holder frozen in a transaction: appends settle as queued, and are committed after the thaw',
    chromiumOnly,
    async () => {
      const [holder, writer] = [await context.browser.newTab(), await context.browser.newTab()];
      await holder.run(hold, 'frozen');
      const thaw = await freeze(holder);
      const receipts = await writer.run(appendFrames, 'frozen', framesOf(0, 10));
      assert.deepEqual(paths(receipts), { queued: 10 });
      await thaw();
      const committed = await settle(writer, receipts);
      assert.ok(committed.every((receipt) => receipt.committed));
      await assertAllOnce(writer, 'frozen', 10);
      // The transaction is over, or it went on: never half of it.
      const ended = await holder.run(() => (release(), held));
      const [{ n }] = await writer.run(async () => {
        const known = await db.query("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'held'");
        return known[0].n ? db.query('SELECT count(*) AS n FROM held') : known;
      });
      assert.deepEqual([ended, n], ended === 'committed' ? ['committed', 2] : ['CLOSED', 0]);
      // And the thawed tab writes like any other.
      const later = await holder.run(appendFrames, 'frozen', framesOf(1, 3));
      assert.deepEqual(paths(later), { direct: 3 });
      await assertAllOnce(writer, 'frozen', 13);
      await assertSound(writer);
      await Promise.all([holder.close(), writer.close()]);
    },
  );

  test('a frozen holder that dies: what was queued meanwhile is committed', chromiumOnly, async () => {
    const [holder, writer] = [await context.browser.newTab(), await context.browser.newTab()];
    await sleep(300);
    const pid = await holder.processId();
    await holder.run(hold, 'icy');
    await freeze(holder);
    const receipts = await writer.run(appendFrames, 'icy', framesOf(0, 10));
    assert.deepEqual(paths(receipts), { queued: 10 });
    await holder.kill(pid);
    await settle(writer, receipts);
    await assertAllOnce(writer, 'icy', 10);
    const held = await writer.run(() => db.query("SELECT 1 FROM sqlite_schema WHERE name = 'held'"));
    assert.deepEqual(held, [], 'nothing of the dead transaction stays');
    await assertSound(writer);
    await writer.close();
  });

  test(
    'frozen while it appends, thawed while another writes: every frame once, in order',
    chromiumOnly,
    async () => {
      const [sleeper, writer] = [await context.browser.newTab(), await context.browser.newTab()];
      await sleeper.run(appendFrames, 'nap', framesOf(0, 1));
      const sleeping = sleeper.run(async (frames) => {
        const receipts = [];
        for (const frame of frames) receipts.push(await db.appendFrame('t', frame));
        return receipts;
      }, framesOf(0, 41).slice(1));
      const awake = writer.run(
        async (frames) => {
          globalThis.db = await framelock.openDatabase('nap');
          const receipts = [];
          for (const frame of frames) receipts.push(await db.appendFrame('t', frame));
          return receipts;
        },
        framesOf(1, 40),
      );
      for (let i = 0; i < 4; i++) {
        await sleep(60);
        const thaw = await freeze(sleeper);
        await sleep(400);
        await thaw();
      }
      const receipts = [...(await sleeping), ...(await awake)];
      await settle(writer, receipts);
      await assertAllOnce(writer, 'nap', 81);
      await assertSound(writer);
      await Promise.all([sleeper.close(), writer.close()]);
    },
  );

  test('the lock is stolen from an open transaction: it is undone, the others write, nothing is lost', async () => {
    const [holder, writer, thief] = await Promise.all([1, 2, 3].map(() => context.browser.newTab()));
    await holder.run(hold, 'stolen');
    const pending = writer.run(appendFrames, 'stolen', framesOf(0, 10));
    await thief.run(async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await navigator.locks.request('framelock/1/stolen', { steal: true }, async () => {});
    });
    const receipts = await pending;
    await settle(writer, receipts);
    assert.equal(await holder.run(() => (release(), held)), 'CLOSED');
    await assertAllOnce(writer, 'stolen', 10);
    const held = await writer.run(() => db.query("SELECT 1 FROM sqlite_schema WHERE name = 'held'"));
    assert.deepEqual(held, []);
    const later = await holder.run(appendFrames, 'stolen', framesOf(1, 1));
    assert.equal(later[0].committed, true);
    await assertSound(writer);
    await Promise.all([holder, writer, thief].map((tab) => tab.close()));
  });

  test('the lock is stolen again and again while three tabs append: every frame once, in order', async () => {
    const tabs = await Promise.all([1, 2, 3].map(() => context.browser.newTab()));
    const running = tabs.map((tab, writer) =>
      tab.run(
        async (frames) => {
          globalThis.db = await framelock.openDatabase('thieves');
          const receipts = [];
          for (const frame of frames) receipts.push(await db.appendFrame('t', frame));
          return receipts;
        },
        framesOf(writer, 25),
      ),
    );
    const thief = await context.browser.newTab();
    await thief.run(async () => {
      for (let i = 0; i < 25; i++) {
        await navigator.locks.request('framelock/1/thieves', { steal: true }, async () => {});
        await new Promise((resolve) => setTimeout(resolve, 10 + ((i * 37) % 60)));
      }
    });
    const receipts = (await Promise.all(running)).flat();
    assert.equal(receipts.length, 75);
    await settle(tabs[0], receipts);
    await assertAllOnce(tabs[0], 'thieves', 75);
    await assertSound(tabs[0]);
    await Promise.all([...tabs, thief].map((tab) => tab.close()));
  });

  test('the lock of those who are there is stolen: nobody deletes the database under an open handle', async () => {
    const [owner, other] = await Promise.all([1, 2].map(() => context.browser.newTab()));
    await owner.run(appendFrames, 'there', framesOf(0, 1));
    const code = await other.run(async () => {
      // So that the owner has the lock of those who are there, and no other.
      const db = await framelock.openDatabase('there');
      await db.exec('SELECT 1');
      await db.close();
      await navigator.locks.request('framelock/1/there/open', { steal: true }, async () => {});
      return framelock.deleteDatabase('there').catch(({ code }) => code);
    });
    assert.equal(code, 'BUSY');
    await assertAllOnce(owner, 'there', 1);
    await owner.run(() => db.close());
    await other.run(() => framelock.deleteDatabase('there'));
    await Promise.all([owner, other].map((tab) => tab.close()));
  });

  test('a thief that keeps the lock: appends settle as queued, and are committed once it lets go', async () => {
    const [writer, thief] = await Promise.all([1, 2].map(() => context.browser.newTab()));
    await writer.run(appendFrames, 'kept', framesOf(0, 1));
    await thief.run(async () => {
      await new Promise((stolen) => {
        navigator.locks.request('framelock/1/kept', { steal: true }, () => {
          stolen();
          return new Promise((resolve) => (globalThis.letGo = resolve));
        });
      });
    });
    const receipts = await writer.run(appendFrames, 'kept', framesOf(0, 6).slice(1));
    assert.deepEqual(paths(receipts), { queued: 5 });
    await thief.run(() => letGo());
    await settle(writer, receipts);
    await assertAllOnce(writer, 'kept', 6);
    await Promise.all([writer.close(), thief.close()]);
  });
});
